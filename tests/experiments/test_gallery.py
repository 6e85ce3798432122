"""The main job in small: it learns, it is scored where and when it was asked, and nobody pays for what it lacks."""

from collections import Counter

import pytest

from experiments.cli import GALLERY
from experiments.run import run
from experiments.scenario import Scenario

ROUNDS = 3
SMALL = {
    "topology.campuses": "1", "topology.classrooms": "2", "topology.devices": "3", "data.public": "900",
    "data.missing_modality": "0.34", "data.missing_task": "0.34", "plan.cloud.rounds": str(ROUNDS),
    "stages.0.epochs": "2", "learning.local_epochs": "3", "baselines": "[]", "plots": "false",
    "model.trunk.layers": "1",
}  # fmt: skip
OUTPUTS = {"answer": 10, "engagement": 4, "outcome": 1}
FLOAT = 4  # bytes


@pytest.fixture(scope="module")
def campus():
    return run(Scenario.load(GALLERY / "campus.yaml", SMALL, seed=1))


@pytest.fixture(scope="module")
def clients(campus):
    """By device: the modalities and the tasks that it has."""
    study = campus.built.study
    return {node: (tuple(c.train.inputs), tuple(c.train.targets)) for node, c in study.clients.items()}


def test_the_small_campus_has_students_who_lack_something(clients):
    lacking = Counter((len(modalities), len(tasks)) for modalities, tasks in clients.values())
    assert lacking[3, 3] > 0
    assert lacking[2, 3] > 0
    assert lacking[3, 2] > 0


def test_answer_beats_chance_by_far(campus):
    """Of n guesses among ten classes a share of .1 is right, with deviation sqrt(.09 / n); five of these are skill."""
    m = campus.metrics
    (last,) = m[(m.tier == "cloud") & (m.task == "answer") & (m["round"] == ROUNDS)].value
    n = len(campus.built.study.test)
    assert n == 360
    assert last > 0.1 + 5 * (0.09 / n) ** 0.5


def test_figures_are_there_for_the_tiers_moments_and_rounds_that_were_asked(campus, clients):
    """The cloud merges and the devices receive; the cloud receives nothing and the devices merge nobody."""
    m = campus.metrics
    assert set(m.model) == {"federated"}
    assert set(zip(m.tier, m.moment, strict=True)) == {("cloud", "after_merge"), ("device", "after_broadcast")}
    for (_, tier, _), rows in m.groupby(["node", "tier", "task"]):
        assert rows["round"].tolist() == list(range(1, ROUNDS + 1))  # not 0: a head is fresh before the first round
        assert rows.time_s.is_monotonic_increasing
        assert set(rows.moment) == {"after_merge" if tier == "cloud" else "after_broadcast"}
    assert set(m[m.tier == "cloud"].task) == set(OUTPUTS)


def test_a_device_is_scored_on_its_own_tasks_only(campus, clients):
    m = campus.metrics
    scored = m[m.tier == "device"].groupby("node").task.agg(set).to_dict()
    assert scored == {node: set(tasks) for node, (_, tasks) in clients.items()}


def test_each_task_has_its_own_figure(campus):
    names = campus.metrics.groupby("task").name.unique().map(list).to_dict()
    assert names == {"answer": ["accuracy"], "engagement": ["accuracy"], "outcome": ["mse"]}


def test_the_last_broadcast_reaches_every_device_after_the_last_merge(campus, clients):
    m = campus.metrics[campus.metrics["round"] == ROUNDS]
    merged = m[m.tier == "cloud"].time_s.unique()
    received = m[m.tier == "device"].groupby("node").time_s.unique()
    assert len(merged) == 1
    assert set(received.index) == set(clients)
    assert all(len(times) == 1 and times[0] > merged[0] for times in received)


def reported(campus, modalities, tasks, offsets):
    """The bytes of a report of the federated modules by someone who has these modalities and tasks, by hand."""
    size = {row["module"]: row["nbytes"] for row in campus.footprint}
    shared = size["adapter"] + sum(size[f"encoder.{m}"] for m in modalities) + sum(size[f"head.{t}"] for t in tasks)
    return shared + len(offsets) * FLOAT * sum(OUTPUTS[t] for t in tasks)  # one number per output of a task


def test_a_head_and_an_offset_have_the_bytes_of_their_outputs(campus):
    """Six tokens of 64 numbers go into a head; an offset is one number per output."""
    size = {row["module"]: row["nbytes"] for row in campus.footprint}
    assert {t: size[f"head.{t}"] for t in OUTPUTS} == {t: FLOAT * n * (6 * 64 + 1) for t, n in OUTPUTS.items()}
    assert size["offset.campus"] == size["offset.classroom"] == FLOAT * sum(OUTPUTS.values())


@pytest.mark.parametrize("activity", ["up", "down"])
def test_a_student_sends_and_receives_what_it_has_and_no_more(campus, clients, activity):
    s = campus.spans
    mine = s[(s.tier == "device") & (s.activity == activity)]
    rounds = mine[mine["round"] > 0]
    for node, rows in rounds.groupby("node"):
        assert set(rows.nbytes) == {reported(campus, *clients[node], ("campus", "classroom"))}
        times = ROUNDS * 2 + (activity == "down")  # the classroom's two turns a round; the closing broadcast
        assert len(rows) == times
    assert set(rounds.node) == set(clients)


def test_above_the_classroom_offsets_stay_where_they_belong(campus):
    """A classroom reports for all modalities and tasks, with the campus's offset; the campus reports with none."""
    s = campus.spans
    up = s[(s.kind == "transmit") & (s.activity == "up")].groupby("tier").nbytes.unique().map(list)
    everything = ("handwriting", "clickstream", "record"), tuple(OUTPUTS)
    assert up["classroom"] == [reported(campus, *everything, ("campus",))]
    assert up["campus"] == [reported(campus, *everything, ())]


def test_the_trunk_goes_down_once_and_never_up(campus, clients):
    """What the cloud pre-trained comes once, as far as a student has a use for it; a decoder comes to nobody."""
    s, pretrain = campus.spans, campus.built.stages[0]
    size = {row["module"]: row["nbytes"] for row in campus.footprint}
    assert {"trunk", *(f"decoder.{m}" for m in clients[min(clients)][0])} <= set(pretrain.trainable)
    first = s[(s.kind == "receive") & (s["round"] == 0)]
    came = first[first.tier == "device"].groupby("node").nbytes.sum().to_dict()
    useful = {node: {"trunk", *(f"encoder.{m}" for m in modalities)} for node, (modalities, _) in clients.items()}
    assert came == {node: sum(size[n] for n in names & set(pretrain.trainable)) for node, names in useful.items()}
    later = s[s.kind.isin(["transmit", "receive"]) & (s["round"] > 0)]
    assert not any(name in modules.split("+") for modules in later.modules for name in size if "decoder" in name)
    assert not any("trunk" in modules.split("+") for modules in later.modules)


def test_who_lacks_a_modality_or_a_task_computes_less_per_sample(campus, clients):
    s, study = campus.spans, campus.built.study
    epochs = 3
    cost = {}
    for node, rows in s[(s.tier == "device") & (s.activity == "train")].groupby("node"):
        assert len(set(rows.flops)) == 1
        cost[node] = rows.flops.iloc[0] / (epochs * len(study.clients[node].train))
    full = {cost[node] for node, (modalities, tasks) in clients.items() if len(modalities) == len(tasks) == 3}
    assert len(full) == 1
    assert all(cost[node] < max(full) for node, have in clients.items() if len(have[0]) < 3 or len(have[1]) < 3)


def test_the_ledger_knows_pre_training(campus):
    """Epochs times samples times the FLOPs of a sample, on the cloud alone, before anything else."""
    s = campus.spans
    (first,) = s[(s.activity == "train") & (s["round"] == 0)].itertuples()
    assert (first.node, first.start_s) == ("cloud", 0.0)
    assert s.start_s[s.kind != "compute"].min() == first.end_s
    assert first.flops % (2 * 900) == 0
    assert first.joules > 0


def test_every_version_is_scored_once_after_its_broadcast():
    """Also where one stage's closing broadcast and the next one's first round bring the same model."""
    stages = (
        "[{name: one, at: device, trainable: ['encoder.*', trunk, adapter, 'head.*', 'offset.*']}, "
        "{name: two, at: device, trainable: ['encoder.*', trunk, adapter, 'head.*', 'offset.*']}]"
    )
    keys = {**SMALL, "model.trunk.frozen": "false", "stages": stages, "plan.cloud.rounds": "1"}
    keys = {k: v for k, v in keys.items() if not k.startswith("stages.")}
    m = run(Scenario.load(GALLERY / "campus.yaml", keys, seed=1)).metrics
    received = m[m.moment == "after_broadcast"]
    assert set(received["round"]) == {1, 2}
    assert not received.duplicated(["node", "round", "task", "name"]).any()


def test_encoders_may_stay_with_their_students():
    """The cloud has no encoder then, and is scored on nothing; heads still travel."""
    plan = "{classroom: {modules: ['head.*']}, campus: {modules: ['head.*']}, cloud: {modules: ['head.*'], rounds: 2}}"
    stages = "[{name: federate, at: device, trainable: ['encoder.*', 'head.*']}]"
    keys = {**SMALL, "plan": plan, "stages": stages, "baselines": "[zero, local]", "model.adapters": "null"}
    keys = {k: v for k, v in keys.items() if not k.startswith(("stages.", "plan."))}
    result = run(Scenario.load(GALLERY / "campus.yaml", keys, seed=1))
    assert set(result.metrics.tier) == {"device"}
    assert set(result.metrics.model) == {"federated", "zero", "local"}
    sent = result.spans[result.spans.kind == "transmit"]
    assert all(name.startswith("head.") for names in sent.modules for name in names.split("+"))
