"""Whether an algorithm can do what a plan gives it to do: refusals before the run, and what is told."""

import pytest

from experiments.build import build
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError
from models.algorithms.sign_flip import sign_flip

STAR = {
    "title": "Six clients that can hear each other",
    "topology": {"kind": "star", "clients": 6},
    "d2d": {"neighbours": "ring"},
    "data": {"source": "digits"},
    "model": {"kind": "mlp", "hidden": [4]},
    "plan": {"cloud": {"modules": ["*"]}},
    "learning": {"optimizer": {"name": "sgd", "lr": 0.1}},
    "plots": False,
}
GOSSIP = {"modules": [], "peers": {"kind": "gossip", "modules": ["*"]}}
POOLED = {"kind": "cooperate", "helped": ["tablet2"], "samples": "1 kB", "result": "pooled"}


def scenario(cloud, algorithm="fedavg", **learning):
    learning = STAR["learning"] | {"algorithm": algorithm} | learning
    topology = STAR["topology"] | {"device": "android_tablet_budget"}
    return Scenario.model_validate(STAR | {"topology": topology, "plan": {"cloud": cloud}, "learning": learning})


@pytest.mark.parametrize(
    ("cloud", "algorithm", "learning", "told"),
    [
        (GOSSIP, "median", {}, "median works on reports, and by this plan nobody reports"),
        (GOSSIP, "fedadam", {}, "fedadam works on reports, and by this plan nobody reports"),
        (GOSSIP, {"name": "topk", "share": 0.1}, {}, "topk works on reports, and by this plan nobody reports"),
        ({"modules": ["*"], "down": []}, "scaffold", {}, "scaffold sends .* with the models that come down, and"),
        (
            {"modules": ["*"], "peers": {"kind": "relay", "merge_at_relays": True}},
            "fedavg", {"weighting": {"head.*": "uniform"}},
            r"plan.cloud.peers: with merge_at_relays .* weighting: uniform cannot hold",
        ),
        (
            {"modules": ["*"], "peers": POOLED, "wait": {"first": 6}}, "fedavg", {},
            r"plan.cloud.wait.first: the children of cloud meet their peers, of whom 5 report, so 6 can never arrive",
        ),
        (
            {"modules": ["*"], "peers": POOLED}, {"name": "krum", "faults": 3}, {},
            "krum takes 6 reports or more, and no node gets as many: cloud gets 5",
        ),
    ],
)  # fmt: skip
def test_what_would_be_of_no_effect_or_wrong_is_refused(cloud, algorithm, learning, told):
    with pytest.raises(ScenarioError, match=told):
        build(scenario(cloud, algorithm, **learning))


@pytest.mark.parametrize(
    ("cloud", "algorithm", "asked"),
    [
        (GOSSIP, "fedprox", 6),
        ({"modules": ["*"], "peers": POOLED, "wait": {"first": 5}}, "fedavg", 6),
        ({"modules": ["*"], "peers": POOLED, "select": {"random": 4}}, "median", 4),
        ({"modules": ["*"], "peers": {"kind": "relay", "merge_at_relays": True}}, "fedavg", 6),
    ],
)
def test_what_works_is_not(cloud, algorithm, asked):
    assert run(scenario(cloud, algorithm)).manifest["client_updates"] == asked


def test_modules_whose_owners_are_not_linked_are_told():
    """Half of all pupils lack a modality; on a ring those that have it are rarely neighbours all the way round."""
    spec = {
        "title": "Ragged", "seed": 3, "topology": {"kind": "campus", "classrooms": 1, "devices": 8},
        "d2d": {"neighbours": "ring"}, "data": {"source": "campus", "missing_modality": 0.5},
        "model": {"width": 8, "trunk": {"layers": 1, "heads": 2}, "offsets": []},
        "plan": {
            "classroom": {"modules": ["encoder.*", "head.*"], "peers": {"kind": "consensus"}},
            "campus": {"modules": ["encoder.*", "head.*"]},
        },
        "plots": False,
    }  # fmt: skip
    built = build(Scenario.model_validate(spec))
    told = {detail.partition(" ")[0]: (node, kind) for node, kind, detail in built.happenings}
    for name in ("encoder.handwriting", "encoder.clickstream", "encoder.record"):
        holders = [f"campus0/room0/chromebook{i}" for i in range(8)]
        has = [any(key.startswith(name) for key in built.learner.holds[holder]) for holder in holders]
        runs = sum(has[i] and not has[i - 1] for i in range(8))  # of neighbours that hold it, round the ring
        assert (name in told) == (runs > 1)
        if name in told:
            assert told[name] == ("campus0/room0", "unlinked")
    assert told


@pytest.mark.parametrize("clients", [["tablet[13]"], 0.5])
def test_who_lies_is_told(clients):
    built = build(scenario({"modules": ["*"]}, {"name": "sign_flip", "clients": clients}))
    rule = sign_flip(clients).local
    expected = [f"tablet{i}" for i in range(6) if rule.flips(f"tablet{i}", 0)]
    assert [node for node, kind, _ in built.happenings if kind == "liar"] == expected
    assert 0 < len(expected) < 6


def test_learning_that_diverges_is_told():
    """Steps so large that weights overflow; with small ones nothing is told."""
    for rate, nodes in ((1e30, {"cloud", *(f"tablet{i}" for i in range(6))}), (0.1, set())):
        log = run(scenario({"modules": ["*"]}, optimizer={"name": "sgd", "lr": rate})).log
        assert {it.node for it in log.happenings if it.kind == "not_finite"} == nodes
