"""A scenario whose devices are groups: the same seconds and joules as with a node for each."""

import pytest
import torch

from experiments.build import build
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError
from experiments.simulation import simulated
from experiments.uncertainty import rerun
from simulator.records import Log
from simulator.run import federation

KINDS = {
    "classroom": {"kind": "classroom", "devices": 5},
    "campus": {"kind": "campus", "classrooms": 2, "devices": 3},
    "district": {"kind": "district", "campuses": 2, "classrooms": 2, "devices": 3},
}
MIX = {"chromebook_n100": 0.5, "android_tablet_budget": 0.5}


def scenario(kind, wait, grouped, **topology):
    tiers = ("classroom", "campus", "cloud")[: 1 + list(KINDS).index(kind)]
    return Scenario.model_validate({
        "title": "Grouped or not",
        "topology": KINDS[kind] | {"device_mix": MIX, "grouped": grouped} | topology,
        "model": {"footprint": {"head": {"bytes": 40_000, "flops": 1e10}}},
        "plan": {t: {"modules": ["head"], "rounds": 2} | ({"wait": wait} if t == "classroom" else {}) for t in tiers},
        "plots": False,
    })  # fmt: skip


@pytest.mark.parametrize("wait", ["barrier", {"deadline": 0.1}, {"first": 2}])
@pytest.mark.parametrize("kind", KINDS)
def test_groups_cost_what_their_members_cost(kind, wait):
    """Whether they run as arrays or, for a policy that looks at each report, as nodes."""
    apart, together = (run(scenario(kind, wait, grouped)) for grouped in (False, True))
    assert any(h.kind == "unfolded" for h in together.log.happenings) == ("first" in wait)
    cut = [{s.tier for s in result.log.spans if s.status == "interrupted"} for result in (apart, together)]
    assert cut[0] == cut[1]
    assert bool(cut[0]) == ("deadline" in wait or "first" in wait)
    for figure in ("sim_seconds", "joules"):
        assert together.manifest[figure] == pytest.approx(apart.manifest[figure], rel=1e-9)
    sums = [result.nodes.groupby("tier").total_joules.sum().to_dict() for result in (apart, together)]
    assert sums[1] == pytest.approx(sums[0], rel=1e-9)
    assert together.log.joules() == pytest.approx(apart.log.joules(), rel=1e-9)
    assert together.log.nbytes() == pytest.approx(apart.log.nbytes(), abs=len(apart.log.spans))  # whole bytes of each


def test_grouped_devices_are_groups_by_profile():
    tree = build(scenario("district", "barrier", True)).hierarchy
    assert tree.nodes("device") == ()
    assert tree.population == 1 + 2 + 4 + 12
    assert {group.profile.name for group in tree.groups()} == set(MIX)
    assert not build(scenario("district", "barrier", False)).hierarchy.groups()


DIGITS = {
    "title": "Digits, grouped or not",
    "seed": 5,
    "topology": {"kind": "star", "clients": 40, "device": "android_tablet_budget", "link": "fibre"},
    "profiles": {"links": {"fibre": {"based_on": "home_broadband", "latency_seconds": 1e-4, "up_bits_per_s": 4e7}}},
    "data": {"source": "digits"},
    "model": {"kind": "mlp", "hidden": [8]},
    "learning": {"optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 16},
    "evaluate": {"tiers": ["cloud"], "moments": ["after_merge"]},
    "plots": False,
}


def learned(given, grouped, **plan):
    """The happenings, the log and what everybody knows in the end."""
    given = given | {"topology": given["topology"] | {"grouped": grouped}}
    if plan:
        given |= {"plan": {"cloud": {"modules": ["*"], "rounds": 3} | plan}}
    b = build(Scenario.model_validate(given))
    return federation(b.hierarchy, b.workload, b.stages, b.evaluate, costs=b.costs, seed=b.scenario.seed)


def assert_as_nodes(together, apart, arrays=True):
    (log, knew), (processes, known) = together, apart
    assert any(happening.kind == "unfolded" for happening in log.happenings) != arrays
    assert knew.keys() == known.keys()
    for node, state in known.items():
        assert state.samples == knew[node].samples, node
        assert all(torch.equal(value, knew[node].tensors[key]) for key, value in state.tensors.items()), node
    assert log.end_s == pytest.approx(processes.end_s, rel=1e-9)
    assert log.joules() == pytest.approx(processes.joules(), rel=1e-9)
    assert [row[1:] for row in log.metrics] == [row[1:] for row in processes.metrics]


CUT = {"wait": {"deadline": 0.0022}}


@pytest.mark.parametrize("plan", [{}, CUT, {"select": {"random": 9}}, CUT | {"select": {"random": 20}}])
def test_clients_that_learn_as_arrays_learn_the_same_as_nodes(plan):
    """40 of different sizes, each on a link of its own; a deadline cuts those with more to train on."""
    together, apart = (learned(DIGITS, grouped, **plan, rounds=3) for grouped in (True, False))
    assert_as_nodes(together, apart)
    cut = {span.activity for span in apart[0].spans if span.status == "interrupted"}
    assert cut == ({"train", "up"} if "wait" in plan else set())
    assert together[0].spans[-1].tier == "device"
    assert "cloud/*" in {span.node for span in together[0].spans}


ROOM = {
    "title": "A room",
    "seed": 2,
    "topology": {"kind": "classroom", "devices": 6},
    "data": {"source": "campus", "public": 0, "test": 40},
    "model": {"width": 8, "trunk": {"layers": 1}, "adapters": {"width": 2, "last": 1}, "tasks": ["answer"]},
    "plan": {"classroom": {"modules": ["head.*", "adapter", "encoder.*"], "rounds": 2}},
    "stages": [{"name": "learn", "at": "device", "trainable": ["head.*", "adapter", "encoder.*"]}],
    "evaluate": {"tiers": ["classroom"], "moments": ["after_merge"]},
    "plots": False,
}


def test_a_room_learns_as_arrays_over_one_medium():
    assert_as_nodes(learned(ROOM, True), learned(ROOM, False))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": ROOM["data"] | {"missing_modality": 0.4}}, "differ in what they hold (encoder."),
        ({"evaluate": {"tiers": ["device"]}}, "its members are scored"),
        ({"plan": {"classroom": ROOM["plan"]["classroom"] | {"wait": {"first": 3}}}}, "the parent waits otherwise"),
    ],
)
def test_members_that_differ_run_as_nodes_and_it_is_said(change, reason):
    together = learned(ROOM | change, True)
    assert_as_nodes(together, learned(ROOM | change, False), arrays=False)
    assert all(reason in happening.detail for happening in together[0].happenings if happening.kind == "unfolded")


@pytest.mark.parametrize(
    ("change", "why"), [({"baselines": ["zero"]}, "are compared with baselines"),
                        ({"presence": {"kind": "churn", "present": "1 h", "absent": "1 min"}}, "come and go")],
)  # fmt: skip
def test_who_is_told_apart_is_a_node_from_the_start(change, why):
    b = build(Scenario.model_validate(ROOM | change | {"topology": ROOM["topology"] | {"grouped": True}}))
    assert len(b.hierarchy.nodes("device")) == 6
    said = [detail for _, kind, detail in b.happenings if kind == "unfolded"]
    assert said == [f"1 groups: their members {why} one by one"]


def test_memory_is_looked_at_member_by_member():
    """Each is refused by name; where all can train the same part, they stay arrays."""
    b = build(Scenario.model_validate(ROOM))
    b.learner.enter(b.stages[0])
    peaks = [b.workload.peak(b.stages[0], node, frozenset(b.stages[0].trainable)) for node in b.hierarchy.leaves]
    device = {"small": {"based_on": "chromebook_n100", "memory_bytes": min(peaks) - 1}}
    given = ROOM | {"topology": ROOM["topology"] | {"device": "small"}, "profiles": {"devices": device}}
    with pytest.raises(ScenarioError, match=r"room0/device0 .*Devices that lack memory: 6"):
        learned(given | {"memory": {"policy": "refuse"}}, True)
    together, apart = (learned(given | {"memory": {"policy": "fit"}}, grouped) for grouped in (True, False))
    assert_as_nodes(together, apart)
    all_of_it = set(b.stages[0].trainable)
    sent = {span.modules for span in together[0].spans if span.activity == "up"}
    assert all(set(modules.split("+")) < all_of_it for modules in sent)


def test_costs_of_grouped_learning_can_be_rerun():
    """With all factors 1 the rerun's spans are the run's."""
    given = DIGITS | {"topology": DIGITS["topology"] | {"grouped": True}, "plan": {"cloud": {"modules": ["*"]}}}
    b, log, again = build(Scenario.model_validate(given)), Log(), Log()
    simulated(b, log)
    rerun(b, {}, again)
    assert log.spans == again.spans
    assert "cloud/*" in {span.node for span in log.spans}
