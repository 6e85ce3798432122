"""Algorithms in scenarios: what they send is in the ledger, what they keep survives a resume, mistakes are told."""

import re
from dataclasses import replace

import pytest
import torch

from experiments.build import build
from experiments.costs_only import costs_alone
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError
from experiments.simulation import simulated
from models.model import initial
from simulator.records import Log
from tests.experiments.going_on import STUDY, cut_after, resumed, tables
from tests.experiments.mixing import weights_hash

PLAIN = STUDY | {"learning": {"optimizer": {"name": "sgd", "lr": 0.05}, "batch_size": 16}, "baselines": []}
NUMBERS = 64 * 16 + 16 + 16 * 10 + 10


def study(algorithm, **learning):
    return Scenario.model_validate(PLAIN | {"learning": PLAIN["learning"] | learning | {"algorithm": algorithm}})


LORA = PLAIN | {
    "data": {"source": "campus", "test": 300},
    "model": {"width": 8, "trunk": {"layers": 1, "heads": 2}, "adapters": {"kind": "lora", "rank": 2}, "offsets": []},
    "learning": {"algorithm": "flora", "optimizer": {"name": "adamw", "lr": 0.005}, "batch_size": 16},
    "stages": [{"name": "adapt", "at": "device", "trainable": ["adapter", "head.*"]}],
}


MEETING = {
    "classroom": {"modules": ["*"], "peers": {"kind": "consensus", "rounds": 2}},
    "campus": {"modules": ["*"]},
    "cloud": {"modules": ["*"]},
}


def sent(result, activity):
    spans = result.spans
    return spans[(spans.kind == "transmit") & (spans.activity == activity)].groupby("tier").nbytes.unique()


def test_control_variates_and_indices_are_charged():
    plain = run(study("fedavg"))
    assert sent(plain, "up").loc["device"].tolist() == [4 * NUMBERS]
    both = run(study("scaffold"))
    assert [tier.tolist() for tier in sent(both, "up")] == [[8 * NUMBERS]] * 3  # every tier sends its variate up
    assert [tier.tolist() for tier in sent(both, "down")] == [[8 * NUMBERS]] * 3
    few = run(study([{"name": "topk", "share": 0.1}]))
    k, place = round(0.1 * NUMBERS), (NUMBERS - 1).bit_length()
    assert sent(few, "up").loc["device"].tolist() == [-(-k * (32 + place) // 8)]
    assert sent(few, "down").loc["classroom"].tolist() == [4 * NUMBERS]
    assert few.manifest["sim_seconds"] < plain.manifest["sim_seconds"] < both.manifest["sim_seconds"]


@pytest.mark.parametrize(
    "scenario",
    [
        study("scaffold"),
        study("fedadam"),
        study(["fedprox", {"name": "topk", "share": 0.1}]),
        Scenario.model_validate(LORA),
    ],
    ids=["scaffold", "fedadam", "topk", "flora"],
)
def test_a_resumed_run_is_the_one_that_was_left_alone(scenario, tmp_path):
    whole = run(scenario, tmp_path / "whole")
    cut = cut_after(3, scenario, tmp_path / "cut")
    result, said, rounds = resumed(cut)
    assert (said, rounds) == ([], [3])
    assert tables(cut) == tables(tmp_path / "whole")
    assert weights_hash(result.states) == weights_hash(whole.states)
    for node, state in whole.states.items():
        assert state.extra.keys() == result.states[node].extra.keys()
        for name, values in state.extra.items():
            assert all(torch.equal(result.states[node].extra[name][key], value) for key, value in values.items())


def test_factors_of_who_reported_are_charged_without_learning_too():
    """Costs alone know who reports to whom: under a deadline that some miss they are those of the run, to the bit."""
    devices = {"device_mix": {"laptop_i5u": 0.5, "android_tablet_budget": 0.5}}
    plan = LORA["plan"] | {"classroom": {"modules": ["*"], "rounds": 2, "wait": {"deadline": 0.08}}}
    result, log = run(Scenario.model_validate(LORA | {"topology": LORA["topology"] | devices, "plan": plan})), Log()
    assert len(set(sent(result, "down").loc["classroom"])) > 2
    simulated(replace(result.built, workload=costs_alone(result.built)), log)
    assert list(log.spans) == list(result.log.spans)
    assert not len(log.metrics)


def test_steps_before_a_score_and_copies_of_ones_own_are_charged():
    """MLPFL is scored after one more pass over the samples, by plain SGD; Ditto keeps a model beside the shared one."""
    plain, meta, both = (build(study(name)) for name in ("fedavg", "mlpfl", "ditto"))
    node, stage = "campus0/room0/chromebook0", plain.stages[0]
    for built in (plain, meta, both):
        built.workload.enter(stage)
        built.workload.train(node, built.workload.start(node), 0)
    trained, scored = (plain.workload.work(node, what, 0).flops for what in ("train", "evaluate"))
    epochs = plain.learner.recipe.epochs
    assert meta.workload.work(node, "train", 0).flops > 1.9 * trained  # two gradients for each step
    assert meta.workload.work(node, "evaluate", 0).flops == scored + trained / epochs
    assert both.workload.work(node, "evaluate", 0).flops == scored
    drawn = build(study("fedprox"))  # to what came down, as Ditto's own is
    owing = build(study({"name": "topk", "feedback": True}))
    for modules, numbers in ((stage.trainable, NUMBERS), (("head.digit",), 16 * 10 + 10)):
        ours = [one.workload.peak(stage, node, frozenset(modules)) for one in (plain, drawn, both, owing)]
        assert ours[0] < ours[1] == ours[2] - 4 * numbers  # of what is frozen there is one copy
        assert ours[3] == ours[0] + 4 * numbers


def test_a_personal_model_is_scored_in_a_second_stage_from_the_start():
    """What a node has learned for itself is not forgotten before it trains again."""
    built = build(study("ditto"))
    learner, stage, node = built.learner, built.stages[0], "campus0/room0/chromebook0"
    learner.enter(stage)
    state = learner.train(node, learner.start(node), 0)
    before = [score.value for score in learner.evaluate({node: state})]
    learner.enter(stage)
    other = replace(state, tensors={key: torch.zeros_like(value) for key, value in state.tensors.items()})
    assert [score.value for score in learner.evaluate({node: other})] == before != []


def test_a_run_can_begin_with_given_weights(tmp_path):
    scenario = study("fedavg", start=None)
    drawn = run(scenario)
    weights = initial(drawn.built.learner.model, scenario.seed)
    torch.save(weights, tmp_path / "start.pt")
    again = run(study("fedavg", start=str(tmp_path / "start.pt")))
    assert weights_hash(again.states) == weights_hash(drawn.states)
    torch.save({key: value + 1 for key, value in weights.items()}, tmp_path / "other.pt")
    other = run(study("fedavg", start=str(tmp_path / "other.pt")))
    assert weights_hash(other.states) != weights_hash(drawn.states)
    torch.save({key: value[..., :1] for key, value in weights.items()}, tmp_path / "bad.pt")
    with pytest.raises(ScenarioError, match=r"encoder\.image/0.weight.* shape"):
        run(study("fedavg", start=str(tmp_path / "bad.pt")))


def test_an_algorithm_of_ones_own_is_a_small_file_beside_the_scenario(tmp_path):
    (tmp_path / "halving.py").write_text(
        "from models.federation.algorithm import Algorithm\n"
        "def Half(mix: float = 0.5) -> Algorithm:\n"
        '    """Half of what comes down."""\n'
        "    return Algorithm(mix=mix)\n"
    )
    own = {"name": "halving:Half", "folder": str(tmp_path)}
    assert weights_hash(run(study(own)).states) != weights_hash(run(study("fedavg")).states)
    assert weights_hash(run(study(own | {"mix": 1.0})).states) == weights_hash(run(study("fedavg")).states)


@pytest.mark.parametrize(
    ("learning", "told"),
    [
        ({"algorithm": "fedavgg"}, "there is no algorithm 'fedavgg'; did you mean 'fedavg'?"),
        ({"algorithm": "zzz"}, "there is no algorithm 'zzz'; there are afl, "),
        ({"algorithm": "dfl"}, "the plan lets nobody go on training; give the tier above the devices meanwhile: train"),
        ({"algorithm": "fedasync"}, "fedasync goes by how stale a report is, but the plan keeps no late ones"),
        ({"algorithm": {"name": "fedprox", "nu": 1.0}}, "algorithm fedprox has no knob 'nu'; its knobs are mu"),
        ({"algorithm": {"name": "fedprox", "mu": -1.0}}, "mu must be >= 0"),
        ({"algorithm": ["fedprox", "scaffold"]}, "fedprox and scaffold cannot be combined: both change 'local'"),
        ({"algorithm": 3}, "expected a name such as fedavg"),
        ({"algorithm": {"name": "topk", "feedback": "no"}}, "feedback: input should be a valid boolean, got 'no'"),
        ({"algorithm": {"name": "fedprox", "mu": True}}, "mu: input should be a valid number, got True"),
        ({"algorithm": {"name": "fedper", "stay": "head"}}, "must be a list, such as"),
        ({"algorithm": ["topk", {"name": "topk", "share": 0.1}]}, "topk is named twice"),
        ({"algorithm": "nowhere:Mine"}, "No module named 'nowhere'"),
        ({"weighting": {"heads": "uniform"}}, "'heads' matches no module"),
    ],
)
def test_mistakes_are_told(learning, told):
    with pytest.raises(ValueError, match=told.replace("(", r"\(")):
        Scenario.model_validate(PLAIN | {"learning": learning})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"learning": {"algorithm": "scaffold", "optimizer": {"name": "adamw"}}}, "scaffold needs plain SGD"),
        ({"learning": {"algorithm": ["fedadam", {"name": "fedrep", "stay": ["tail.*"]}]}}, "has no module 'tail.*'"),
        (
            {"learning": {"algorithm": {"name": "sign_flip", "clients": ["me"]}}},
            "'me' is no client, which are those that train;",
        ),
        ({"learning": {"algorithm": "krum"}}, "krum takes 4 reports or more, and no node gets as many: campus0"),
        ({"learning": {"algorithm": {"name": "krum", "faults": 0, "keep": 4}}}, "takes 4 reports or more"),
        ({"learning": {"algorithm": {"name": "trimmed_mean", "share": 0.2}}}, "trimmed_mean takes 5 reports or more"),
        ({"learning": {"algorithm": "flora"}}, "flora needs low-rank maps"),
        ({"learning": {"algorithm": "fedit"}}, "fedit needs low-rank maps"),
        ({"learning": {"algorithm": {"name": "fedper", "stay": ["*"]}}}, "all modules would, and nobody would learn"),
        ({"learning": {"algorithm": "median"}, "d2d": {}, "plan": MEETING}, "median takes 3 reports or more"),
        (
            {"learning": {"algorithm": "fednova"}, "d2d": {}, "plan": MEETING},
            "plan.classroom.peers: fednova sends effective_steps beside the weights",
        ),
    ],
)
def test_what_does_not_suit_the_model_the_data_or_the_plan_is_told_before_the_run(changes, told):
    learning = PLAIN["learning"] | {"optimizer": {"name": "sgd", "lr": 0.05}} | changes["learning"]
    with pytest.raises(ScenarioError, match=re.escape(told)):
        build(Scenario.model_validate(PLAIN | changes | {"learning": learning}))


def test_periods_do_not_make_a_node_forget_what_it_was_sent():
    """A report of a turn in which a module did not come down is made smaller against what came before."""
    plan = STUDY["plan"] | {"classroom": {"modules": ["*"], "rounds": 4, "every": {"encoder.*": 2}}}
    spec = study([{"name": "topk", "share": 1.0}]).model_dump(mode="json") | {"plan": plan}
    exact = study("fedavg").model_dump(mode="json") | {"plan": plan}
    ours, theirs = (run(Scenario.model_validate(one)).states["cloud"].tensors for one in (spec, exact))
    for key, value in theirs.items():
        assert torch.allclose(ours[key], value, atol=1e-6)


def test_alone_nobody_has_the_corrections_of_a_federation():
    """The baseline of every client by itself is the same under SCAFFOLD."""
    found = []
    for algorithm in ("fedavg", "scaffold"):
        spec = study(algorithm).model_dump(mode="json") | {"baselines": ["local"]}
        metrics = run(Scenario.model_validate(spec)).metrics
        found.append(metrics[metrics.model == "local"].value.tolist())
    assert found[0] == found[1]


def test_bytes_that_are_drawn_at_random_do_not_depend_on_the_others():
    """Of a node's reports, whatever else is packed between: QSGD's draws are its own."""
    built = build(study({"name": "qsgd", "levels": 2}))
    learner, node = built.learner, "campus0/room0/chromebook0"
    learner.enter(built.stages[0])
    modules = built.stages[0].trainable
    state = learner.train(node, learner.start(node), 0)
    other = built.learner.without_training()
    other.enter(built.stages[0])
    other.trainings = learner.trainings
    for _ in range(3):
        other.start("cloud")
    ours, theirs = (one.pack(node, "campus0/room0", state, modules).wire.tensors for one in (learner, other))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_where_only_some_nodes_get_enough_reports_the_others_are_named(tmp_path):
    """Krum among three devices of a room; the campus has two rooms, the cloud one campus."""
    scenario = study({"name": "krum", "faults": 0})
    few = [it for it in run(scenario).log.happenings if it.kind == "few_reports"]
    assert [(it.node, it.detail) for it in few] == [
        ("campus0", "2 in stage federate; krum takes 3"),
        ("cloud", "1 in stage federate; krum takes 3"),
    ]


@pytest.mark.parametrize("waits", [{"select": {"random": 3}}, {"wait": {"first": 3}}])
def test_reports_that_are_not_asked_or_not_waited_for_do_not_count(waits):
    star = {"topology": {"kind": "star", "clients": 6}, "plan": {"cloud": {"modules": ["*"], **waits}}}
    learning = {"learning": PLAIN["learning"] | {"algorithm": "krum"}}
    with pytest.raises(ScenarioError, match="krum takes 4 reports or more, and no node gets as many: cloud gets 3"):
        build(Scenario.model_validate(PLAIN | star | learning))
    build(Scenario.model_validate(PLAIN | star | learning | {"plan": {"cloud": {"modules": ["*"]}}}))


def test_a_device_that_trains_very_often_before_it_is_heard_keeps_no_chain():
    """SCAFFOLD's change of a control variate is that of the training before, plus one: some hundred trainings."""
    built = build(study("scaffold"))
    learner, node = built.learner, "campus0/room0/chromebook0"
    learner.enter(built.stages[0])
    state = learner.start(node)
    for step in range(400):
        state = learner.train(node, state, step)
    assert all(value.isfinite().all() for own in state.extra.values() for value in own.values())


def test_a_local_rule_that_gives_something_else_is_told(tmp_path):
    (tmp_path / "lacking.py").write_text(
        "from models.federation.algorithm import Algorithm\n"
        "def Lacking() -> Algorithm:\n"
        "    return Algorithm(local=lambda state, train: train(state.tensors))\n"
    )
    with pytest.raises(ValueError, match=r"a local rule must give two mappings, weights and extra .*; got one"):
        run(study({"name": "lacking:Lacking", "folder": str(tmp_path)}))
