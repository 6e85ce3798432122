"""Baselines: no rounds, no sharing, pooled data; each is what its name says, and the same every time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.apart import Apart
from experiments.baselines import add_baselines, alone, scores, trainings, zero_rounds
from experiments.build import build
from experiments.cli import GALLERY
from experiments.learning import learner_of
from experiments.pooled import FOLDS, POOLED, Pooled, Table, flat, pooled_scores
from experiments.scenario import Scenario
from models.data.samples import Client, Samples, Study, Task
from models.model import module
from simulator.plan import Plan, Stage, TierPlan
from simulator.records import Log
from topologies.schools import schools_from_rosters

SMALL = {
    "topology.campuses": "1", "topology.classrooms": "2", "topology.devices": "2", "data.public": "1200",
    "data.missing_modality": "0.25", "data.missing_task": "0.25", "plan.cloud.rounds": "2", "stages.0.epochs": "1",
    "learning.local_epochs": "1", "model.trunk.layers": "1", "plots": "false",
}  # fmt: skip
TRAINED = 2 * 2  # rounds of the cloud times those of the classroom


@pytest.fixture(scope="module")
def built():
    return build(Scenario.load(GALLERY / "campus.yaml", SMALL | {"baselines": "[zero, local]"}, seed=2))


@pytest.fixture
def learner(built):
    return learner_of(built.scenario, built.hierarchy, built.study, built.stages)


@pytest.mark.parametrize(
    ("rounds", "count"),
    [({}, 1), ({"cloud": 20}, 20), ({"cloud": 5, "classroom": 3}, 15), ({"a": 2, "b": 3, "c": 4}, 24)],
)
def test_a_client_trains_as_often_as_all_rounds_above_it_multiplied(rounds, count):
    plan = Plan({tier: TierPlan(("head",), number) for tier, number in rounds.items()})
    assert trainings(Stage("s", plan)) == count


def test_zero_is_pre_trained_and_no_more(built, learner):
    states = zero_rounds(built.hierarchy, learner, built.stages)
    learner.settle()
    assert states.keys() == set(built.hierarchy.nodes())
    assert learner.updates == 1  # the cloud's
    came = {k: v for k, v in states["cloud"].tensors.items() if module(k) in built.stages[0].trainable}
    assert not any(torch.equal(value, learner.initial[key]) for key, value in came.items() if key.endswith("/weight"))
    assert any(module(key) == "trunk" for key in came)
    for node in built.study.clients:
        for key, value in states[node].tensors.items():
            assert torch.equal(value, came.get(key, learner.initial[key]))
            assert key in came or module(key) not in built.stages[0].trainable


def test_local_trains_as_often_as_the_plan_says(built, learner):
    start = zero_rounds(built.hierarchy, learner, built.stages)
    learner.settle()
    before = learner.updates
    states = alone(built.hierarchy, learner, built.stages, start)
    assert states.keys() == built.study.clients.keys()
    assert learner.updates - before == TRAINED * len(states)
    trunk = {key: value for key, value in start["cloud"].tensors.items() if module(key) == "trunk"}
    for state in states.values():
        assert all(torch.equal(state.tensors[key], value) for key, value in trunk.items())  # frozen


def test_local_is_alone(built, learner):
    """A client's weights do not depend on who else there is, to the bit."""
    start = zero_rounds(built.hierarchy, learner, built.stages)
    together = alone(built.hierarchy, learner, built.stages, start)
    node = min(built.study.clients)
    single = learner_of(built.scenario, built.hierarchy, built.study, built.stages)
    single.study = replace(built.study, clients={node: built.study.clients[node]})
    by_itself = alone(built.hierarchy, single, built.stages, start)
    assert by_itself.keys() == {node}
    assert by_itself[node].tensors.keys() == together[node].tensors.keys()
    for key, value in by_itself[node].tensors.items():
        assert torch.equal(value, together[node].tensors[key])


def test_baselines_are_scored_where_the_federation_is_and_are_the_same_every_time(built):
    logs = [Log(), Log()]
    notes = [add_baselines(built, log) for log in logs]
    assert logs[0].metrics == logs[1].metrics
    assert notes == [[], []]
    rows = logs[0].metrics
    assert {(m.time_s, m.round, m.turn, m.moment, m.split) for m in rows} == {(0.0, 0, "", "baseline", "test")}
    tasks = {node: set(client.train.targets) for node, client in built.study.clients.items()}
    for model, nodes in (("zero", {**tasks, "cloud": set(built.study.tasks)}), ("local", tasks)):
        own = [m for m in rows if m.model == model]
        assert {node: {m.task for m in own if m.node == node} for node in nodes} == nodes
        assert len(own) == sum(map(len, nodes.values()))
        assert all(m.tier == built.hierarchy.tier(m.node) for m in own)


def test_local_learns_and_zero_knows_nothing(built, learner):
    """Fresh heads put out zero, so that an untrained outcome has the error of always saying 0."""
    start = zero_rounds(built.hierarchy, learner, built.stages)
    zero = {(s.node, s.task): s.value for s in scores(learner, {n: start[n] for n in built.study.clients})}
    local = {(s.node, s.task): s.value for s in scores(learner, alone(built.hierarchy, learner, built.stages, start))}
    answers = [key for key in zero if key[1] == "answer"]
    assert np.mean([local[key] for key in answers]) > np.mean([zero[key] for key in answers])
    assert local.keys() == zero.keys()


def test_pooled_picks_come_from_the_grid_and_are_scored_on_the_same_samples(built):
    study, root = built.study, built.hierarchy.root
    study = replace(study, tasks={task: study.tasks[task] for task in ("engagement", "outcome")})
    found, picks = pooled_scores(built.hierarchy, study, "pooled_linear", 2)
    assert pooled_scores(built.hierarchy, study, "pooled_linear", 2) == (found, picks)
    assert [pick.partition(":")[0] for pick in picks] == [f"pooled_linear {task}" for task in study.tasks]
    assert all(f"{FOLDS} folds -> " in pick for pick in picks)
    expected = {(node, task) for node, c in study.clients.items() for task in c.test.targets if task in study.tasks}
    assert {(s.node, s.task) for s in found} == expected | {(root, task) for task in study.tasks}
    assert all(0 <= s.value <= 1 for s in found if s.name == "accuracy")


@pytest.mark.parametrize(("name", "task"), [*((name, "outcome") for name in POOLED), ("pooled_trees", "engagement")])
def test_a_pick_is_in_its_grid_and_can_be_taken_again(built, name, task):
    train = Table.of(task, {n: c.train for n, c in built.study.clients.items()}, built.study)
    test = Table.of(task, {n: c.test for n, c in built.study.clients.items()}, built.study)
    fitted = Pooled.fitted(name, built.study.tasks[task], train, built.hierarchy, 0)
    assert fitted.pick.keys() == fitted.grid.keys()
    assert all(value in fitted.grid[key] for key, value in fitted.pick.items())
    again = Pooled.fitted(name, built.study.tasks[task], train, built.hierarchy, 0, pick=fitted.pick)
    assert np.array_equal(fitted.predict(test), again.predict(test))


def test_a_table_has_the_rows_of_those_who_have_the_task_and_nothing_where_a_modality_lacks():
    shapes = {"a": (2,), "b": (1,)}
    one = Samples({"a": torch.ones(2, 2), "b": torch.zeros(2, 1)}, {"t": torch.tensor([1.0, 2.0])})
    two = Samples({"b": torch.zeros(1, 1)}, {"t": torch.tensor([3.0])})
    three = Samples({"b": torch.zeros(1, 1)}, {"u": torch.tensor([4.0])})
    nan = float("nan")
    assert np.array_equal(flat(two, shapes), [[nan, nan, 0]], equal_nan=True)

    class Both:
        modalities = shapes

    table = Table.of("t", {"one": one, "two": two, "three": three}, Both)
    assert np.array_equal(table.features, [[1, 1, 0], [1, 1, 0], [nan, nan, 0]], equal_nan=True)
    assert table.target.tolist() == [1, 2, 3]
    assert table.owners.tolist() == ["one", "one", "two"]


def test_mixed_effects_see_schools_and_classes_where_a_linear_model_does_not():
    """Targets are +1 in one class and -1 in the other, whatever the features: only an offset explains that variance."""
    rows = {"student": ["x", "y"], "class": ["1a", "2b"], "school": ["north", "south"]}
    tree = schools_from_rosters(rows, device="raspberry_pi5")
    random, sign = np.random.default_rng(0), np.repeat([1.0, -1.0], 40)
    owners = np.repeat(["north/1a/x", "south/2b/y"], 40)
    train = Table(random.normal(size=(80, 3)), sign, owners)
    test = Table(random.normal(size=(80, 3)), sign, owners)
    error = {}
    for name in ("pooled_linear", "pooled_mixed"):
        model = Pooled.fitted(name, Task("t"), train, tree, 0)
        error[name] = float(((model.predict(test) - sign) ** 2).mean())
    assert error["pooled_linear"] > 0.9
    assert error["pooled_mixed"] < 0.01


def test_pooled_models_learn_from_training_samples_alone(built):
    """Held-out targets are the training targets' opposite, so who had seen them would be right where all are wrong."""
    rng = np.random.default_rng(0)

    def part(n, sign):
        x = torch.tensor(rng.normal(size=(n, 3)), dtype=torch.float32)
        return Samples({"record": x}, {"score": sign * x.sum(-1)})

    nodes = built.hierarchy.leaves
    clients = {node: Client(part(30, 1), part(20, -1)) for node in nodes}
    study = Study({"record": (3,)}, {"score": Task("score")}, clients, part(50, -1))
    for name in POOLED:
        found, _ = pooled_scores(built.hierarchy, study, name, 0)
        assert {score.node for score in found} == {*nodes, built.hierarchy.root}
        # a good model's error is (2 (x1 + x2 + x3))² in the mean: 4 * 3
        assert np.mean([score.value for score in found]) == pytest.approx(12, rel=0.35)


def test_pre_training_is_not_run_again_for_the_baselines(built, learner):
    """Its weights are those of the run, to the bit; other weights before it are another training."""
    first = zero_rounds(built.hierarchy, learner, built.stages)
    learner.settle()
    second = learner_of(built.scenario, built.hierarchy, built.study, built.stages)
    second.trainings.public, second.trainings.engine = learner.trainings.public, None  # nobody there who could train
    states = zero_rounds(built.hierarchy, second, built.stages)
    root = built.hierarchy.root
    assert all(torch.equal(value, first[root].tensors[key]) for key, value in states[root].tensors.items())
    other = learner_of(built.scenario.model_copy(update={"seed": 3}), built.hierarchy, built.study, built.stages)
    other.trainings.public = learner.trainings.public
    other.enter(built.stages[0])
    trained = other.train(root, other.start(root), 0)
    assert not torch.equal(trained.tensors["trunk/0.qkv.weight"], first[root].tensors["trunk/0.qkv.weight"])


def test_a_process_of_their_own_finds_the_same(built):
    here = Log()
    notes = add_baselines(built, here)
    apart = Apart(built.scenario)
    try:
        found = apart.found()
    finally:
        apart.close()
    assert found == (list(here.metrics), notes)
