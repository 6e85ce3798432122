"""Plans in scenarios: every form is what the simulator takes, and every mistake is told at its line before the run."""

import pytest

from experiments.build import build
from experiments.planning import stage_of
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError
from simulator.gathering import policies
from simulator.plan import FirstOf
from simulator.sideways import laws
from simulator.sideways.consensus import Consensus
from simulator.sideways.cooperate import Cooperate
from simulator.sideways.relay import Relay
from topologies.relays import Given
from topologies.varying import Flickering, Wandering

COSTS = {
    "title": "Costs",
    "topology": {"kind": "campus", "classrooms": 2, "devices": 4},
    "model": {"footprint": {"encoder": {"bytes": 1000, "flops": 1e9}, "head": {"bytes": 10, "flops": 1e6}}},
    "plots": False,
}
D2D = {"d2d": {"neighbours": "ring"}}


def scenario(classroom=None, campus=None, **sections):
    plan = {
        "classroom": {"modules": ["encoder", "head"]} | (classroom or {}),
        "campus": {"modules": ["encoder"], "rounds": 3} | (campus or {}),
    }
    return Scenario.model_validate(COSTS | {"plan": plan} | sections)


def classroom(built):
    return built.stages[0].plan["classroom"]


@pytest.mark.parametrize(
    ("select", "made"),
    [
        ({"deadline": "30 s"}, policies.DeadlineOf(30)),
        ({"energy": 2}, policies.EnergyOf(2)),
        ({"carbon": 2}, policies.EnergyOf(2, "grams")),
        ({"fair": 2}, policies.FairOf(2)),
    ],
)
def test_whom_to_ask(select, made):
    built = build(scenario({"select": select}, costs={"carbon": {"grams_per_kwh": 300.0}}))
    assert classroom(built).select == made
    assert Scenario.model_validate(built.scenario.dump()) == built.scenario
    run(built.scenario)


def test_when_and_what():
    tier = {"wait": {"first": 2}, "late": "keep", "every": {"enc*": 2}, "down": ["encoder"]}
    built = build(scenario(tier))
    plan = classroom(built)
    assert (plan.wait, plan.late, plan.every, plan.down) == (FirstOf(2), "keep", {"encoder": 2}, ("encoder",))
    assert classroom(build(scenario({"meanwhile": "train"}))).meanwhile == "train"


@pytest.mark.parametrize(
    ("peers", "made"),
    [
        ({"kind": "relay"}, Relay()),
        (
            {
                "kind": "relay",
                "head": "best",
                "half_duplex": True,
                "varying": {"kind": "flickering", "probability": 0.5},
            },
            Relay("best", half_duplex=True, varying=Flickering(0.5)),
        ),
        ({"kind": "consensus", "rounds": 4, "modules": ["*"]}, Consensus(4, modules=("encoder", "head"))),
        ({"kind": "gossip"}, Consensus(1, "metropolis", mixed="models", report="nobody")),
        (
            {
                "kind": "gossip",
                "varying": {"kind": "wandering", "width": 9, "height": 9, "metres_per_second": 1, "range": "30 m"},
            },
            Consensus(1, "metropolis", mixed="models", report="nobody", varying=Wandering(9, 9, 1, 30)),
        ),
        (
            {"kind": "cooperate", "helped": ["campus0/room0/chromebook0"], "samples": "1 MB"},
            Cooperate(("campus0/room0/chromebook0",), 10**6),
        ),
    ],
)
def test_what_siblings_do(peers, made):
    built = build(scenario({"peers": peers} | ({"down": []} if peers["kind"] == "gossip" else {}), **D2D))
    assert classroom(built).peers == made
    assert Scenario.model_validate(built.scenario.dump()) == built.scenario
    spans = run(built.scenario).spans
    assert (spans.activity == "sideways").any()


def test_heads_are_named():
    heads = [f"campus0/room{room}/chromebook1" for room in range(2)]
    built = build(scenario({"peers": {"kind": "relay", "head": {"given": heads}}}, **D2D))
    assert classroom(built).peers == Relay(Given(tuple(heads)))


@pytest.mark.parametrize(
    ("law", "made"),
    [
        ({"law": "taper", "share": 0.1}, laws.Taper(0.1)),
        ({"law": "two_timescale", "phi": 1.0, "rate": 1.0, "shift": 9.0}, laws.TwoTimescale(1, 1, 9)),
        (
            {
                "law": "finite_gap",
                "gap": 1.0,
                "samples": 9.0,
                "phi": 1.0,
                "dimension": 3.0,
                "nodes_above": 3,
                "layers": 2,
            },
            laws.FiniteGap(1, laws.Layers(9, 1, 3, 3, 2)),
        ),
    ],
)
def test_laws_of_consensus_need_a_model_that_learns(law, made):
    spec = scenario({"peers": {"kind": "consensus", "rounds": law}}, **D2D)
    assert stage_of(spec.resolved(), spec.resolved().stages[0]).plan["classroom"].peers == Consensus(made)
    with pytest.raises(ScenarioError, match="needs to be told divergence"):
        build(spec)


@pytest.mark.parametrize(
    ("neighbours", "links"),
    [("everyone", 12), ("ring", 8), ({"degree": 2}, 8), ({"probability": 1.0}, 12)],
)
def test_links_among_siblings(neighbours, links):
    assert len(build(scenario(d2d={"neighbours": neighbours})).hierarchy.sideways) == links


def test_links_across_classrooms():
    tree = build(scenario(d2d={"neighbours": "ring", "among": "campus"})).hierarchy
    assert len(tree.sideways) == 8
    assert any(tree.parent(a) != tree.parent(b) for a, b in tree.sideways)


@pytest.mark.parametrize(
    ("tier", "sections", "told"),
    [
        ({"late": "keep"}, {}, "late: keep is of no effect"),
        ({"modules": []}, {}, "name at least one"),
        ({"every": {"trunk": 2}}, {}, "'trunk' matches none of the tier's modules"),
        ({"every": {"enc*": 2, "encoder": 3}}, {}, "encoder has a period already, from 'enc*'"),
        ({"down": ["adapter"]}, {}, "'adapter' matches none of the tier's modules"),
        ({"wait": {"first": 5}}, {}, "a classroom has 4 children, so it cannot wait for 5"),
        ({"select": {"fair": 5}}, {}, "a classroom has 4 children, so it cannot ask 5"),
        ({"select": "some"}, {}, "expected everyone or one of"),
        ({"peers": {"kind": "relay", "head": "last"}}, D2D, "expected first, random, best"),
        ({"peers": {"kind": "consensus", "rounds": -1}}, D2D, "greater than or equal to 0"),
        ({"meanwhile": "train", "peers": {"kind": "gossip"}}, D2D, "meanwhile: train: not with peers"),
        ({}, {"d2d": {"link": "wifi_indirect"}}, "unknown link profile 'wifi_indirect'; did you mean 'wifi_direct'?"),
        ({}, {"d2d": {"neighbours": "some"}}, "expected everyone, ring, spanning"),
        ({}, {"d2d": {"tier": "tablet"}}, "no tier 'tablet'"),
        (
            {},
            {"presence": {"kind": "timetable", "present": [[0, 9]], "nodes": ["nobody"]}},
            "there is no node 'nobody'",
        ),
    ],
)
def test_mistakes_are_told_before_anything_runs(tier, sections, told):
    with pytest.raises(ValueError, match=told.replace("[", r"\[").replace("*", r"\*").replace("?", r"\?")):
        build(scenario(tier, **sections))


@pytest.mark.parametrize(
    ("peers", "d2d", "told"),
    [
        ({"kind": "consensus"}, None, "have no sideways links; make some"),
        ({"kind": "relay", "head": {"given": ["campus0/room0/chromebook0"]}}, D2D, "none of"),
        ({"kind": "relay", "head": {"given": ["nobody"]}}, D2D, "there is no node 'nobody'"),
    ],
)
def test_a_graph_that_is_not_connected_and_a_head_outside_its_cluster_are_refused(peers, d2d, told):
    with pytest.raises(ScenarioError, match=told):
        build(scenario({"peers": peers}, **(d2d or {})))


def test_an_edge_dies_at_half_time():
    half = run(scenario()).manifest["sim_seconds"] / 2
    presence = {"kind": "timetable", "present": [[0, half]], "nodes": ["campus0/room0"]}
    result = run(scenario(presence=presence))
    gone = {h.node for h in result.log.happenings if h.kind == "absent"}
    assert gone == {"campus0/room0"}


DIGITS = {
    "title": "Digits",
    "seed": 3,
    "topology": {
        "kind": "star",
        "clients": 4,
        "device_mix": {"chromebook_n100": 0.5, "android_tablet_budget": 0.5},
        "link": "wan_cloud_far",
    },
    "data": {"source": "digits", "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"kind": "mlp", "hidden": [8]},
    "evaluate": {"tiers": ["cloud"], "moments": ["after_merge"]},
    "plots": False,
}


def test_going_on_is_waiting_where_what_comes_down_replaces_it_and_not_where_it_is_mixed_in():
    """Full batches, whose order does not matter: the same weights and votes at the same times, at more joules."""
    found = []
    for meanwhile, algorithm in (("idle", "fedavg"), ("train", "fedavg"), ("train", {"name": "dfl", "mix": 0.5})):
        plan = {"cloud": {"modules": ["*"], "rounds": 3, "meanwhile": meanwhile}}
        learning = {"batch_size": "full", "algorithm": algorithm}
        result = run(Scenario.model_validate(DIGITS | {"plan": plan, "learning": learning}))
        found.append((result.metrics, result.manifest["joules"]))
    (waits, less), (goes_on, more), (mixes, _) = found
    assert goes_on.equals(waits)
    assert more > less
    assert not mixes.value.equals(waits.value)
    assert mixes.time_s.equals(waits.time_s)


def test_draws_of_profiles_are_refused_where_the_plan_goes_by_what_is_learned():
    learned = {
        "model": {"kind": "mlp", "hidden": [4]},
        "data": {"source": "digits", "partition": {"kind": "dirichlet", "alpha": 1.0}},
    }
    plan = {"classroom": {"modules": ["*"], "select": {"utility": 2}}, "campus": {"modules": ["*"]}}
    spec = Scenario.model_validate(COSTS | learned | {"plan": plan})
    with pytest.raises(
        ScenarioError, match=r"--perturb-profiles: plan.classroom.select: goes by what is learned \(loss\)"
    ):
        run(spec, perturb_profiles=2)


@pytest.mark.parametrize("peers", [{"kind": "consensus", "rounds": 5}, {"kind": "relay", "head": "best"}])
@pytest.mark.parametrize("gone", range(4))
def test_who_leaves_a_meeting_and_comes_back_does_not_report_for_it(peers, gone):
    """Another of the cluster does where one is drawn; where a head was chosen before, nobody, and that is said."""
    sections = {
        "topology": {"kind": "classroom", "devices": 4},
        "model": {"footprint": {"encoder": {"bytes": "1 MB", "flops": 1e9}}},
        "plan": {"classroom": {"modules": ["encoder"], "peers": peers}},
    }
    whole = run(Scenario.model_validate(COSTS | sections | D2D)).spans
    beside = whole[whole.activity == "sideways"]
    moment = beside.start_s.min() + 0.1 * (beside.end_s.max() - beside.start_s.min())
    node = f"room0/chromebook{gone}"
    presence = {"kind": "timetable", "present": [[0, moment], [moment + 1e-3, 1e6]], "nodes": [node]}
    result = run(Scenario.model_validate(COSTS | sections | D2D | {"presence": presence}))
    spans = result.spans
    up = set(spans[(spans.activity == "up") & (spans.kind == "transmit")].node)
    said = {h.kind for h in result.log.happenings}
    assert node not in up
    assert len(up) == 1 or (peers["kind"] == "relay" and not up and "no_arrivals" in said)
