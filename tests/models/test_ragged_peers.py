"""Peers of which some lack a module, or keep one at home: what consensus and relays make of the others' copies."""

import pytest
import torch

from experiments.learning import depths
from experiments.workload import LearningWorkload
from models import SGD, Client, Learner, LinearModel, Recipe, Samples, Study, Supervised, Task, initial
from models.federation.library import made
from simulator import Plan, Stage, TierPlan
from simulator.run import federation
from simulator.sideways.consensus import Consensus, gossip
from simulator.sideways.relay import Relay
from topologies import Hierarchy, LinkProfile, device
from topologies.relays import Given
from topologies.sideways import join

MODEL = LinearModel({"record": (1,)}, {"a": Task("a"), "b": Task("b")})
TARGETS, SAMPLES = (1.0, 2.0, 4.0, 100.0), (4, 4, 4, 4)
SLOW, BESIDE = LinkProfile("slow", "wire", 3e5, 3e5), LinkProfile("d2d", "d2d", 1e6, 1e6)
STAR = (("d0", "d1"), ("d1", "d2"), ("d1", "d3"))  # d1 in the middle
EXACT = [
    Consensus(200, mixed=mixed, report=report, weights=weights)
    for mixed in ("sums", "models")
    for report in ("sampled", "everyone")
    for weights in ("laplacian", "metropolis")
]


def samples(n, tasks, value):
    """Their only feature is 0, so that only biases move; one step of rate .5 brings these to the target."""
    column = torch.full((n,), value, dtype=torch.float64)
    return Samples({"record": torch.zeros(n, 1, dtype=torch.float64)}, dict.fromkeys(tasks, column))


def learned(
    peers, *, links=STAR, lacks=(3,), sizes=SAMPLES, rounds=1, rate=0.5, uniform=(), algorithm=("fedavg", {}), unable=()
):
    """Four devices below a cloud; what all know at the end, and the log.

    Those that *lacks* lists are without task a; those of *unable* hold its head, but memory does not let them train it.
    """
    tree = Hierarchy("cloud", "cloud", device("chromebook_n100"))
    for i in range(4):
        tree.add(f"d{i}", "cloud", "device", device("chromebook_n100"), SLOW)
    join(tree, links, BESIDE)
    start = {key: torch.full_like(value, 3.0) for key, value in initial(MODEL, 0, torch.float64).items()}
    clients = {}
    holds = {"cloud": frozenset(start)}
    for i, (target, n) in enumerate(zip(TARGETS, sizes, strict=True)):
        tasks = ("b",) if i in lacks else ("a", "b")
        clients[f"d{i}"] = Client(samples(n, tasks, target), samples(n, tasks, target))
        holds[f"d{i}"] = frozenset(MODEL.held(["record"], tasks))
    modules = tuple(MODEL.modules)
    silent = getattr(peers, "silent", False)
    learner = Learner(
        MODEL, Study({"record": (1,)}, MODEL.tasks, clients, samples(2, ("a", "b"), 0.0)), holds,
        {"federate": Recipe(Supervised(), SGD(rate), 1, max(sizes), trainable=frozenset(modules))},
        seed=1, depths=depths(tree), start=start, uniform=frozenset(uniform),
        algorithms={"federate": made(*algorithm)},
    )  # fmt: skip
    learner.curriculum.allowed = {("federate", f"d{i}"): frozenset({"head.b"}) for i in unable}
    plan = Plan(cloud=TierPlan(modules, rounds, peers=peers, down=() if silent else None))
    stage = Stage("federate", plan, "device", modules)
    log, states = federation(tree, LearningWorkload(learner), [stage], seed=1, final_broadcast=False)
    return states, log


def bias(states, task, node="cloud"):
    return states[node].tensors[f"head.{task}/bias"].item()


@pytest.mark.parametrize("peers", EXACT, ids=lambda p: f"{p.mixed}-{p.report}-{p.weights}")
def test_consensus_finds_the_mean_of_those_that_hold_a_module(peers):
    states, _ = learned(peers)
    assert bias(states, "a") == pytest.approx((1 + 2 + 4) / 3, rel=1e-9)
    assert bias(states, "b") == pytest.approx((1 + 2 + 4 + 100) / 4, rel=1e-9)


@pytest.mark.parametrize("theta", [0, 1, 200])
def test_scaling_by_votes_does_not_inflate_what_some_lack(theta):
    """Nobody learns: all begin alike, so their mean by votes is what they began with once they agree."""
    start, _ = learned(None, rate=0.0)
    states, _ = learned(Consensus(theta), rate=0.0, rounds=5)  # as many votes each
    for node in ("cloud", "d0", "d1", "d2"):
        for key, value in states[node].tensors.items():
            assert torch.allclose(value, start["cloud"].tensors[key], rtol=1e-9, atol=0)


def test_gossip_keeps_the_mean_of_those_that_hold_a_module():
    states, _ = learned(gossip())
    assert sum(bias(states, "a", f"d{i}") for i in range(3)) == pytest.approx(1 + 2 + 4, rel=1e-12)
    assert bias(states, "a", "d0") != 1


@pytest.mark.parametrize("algorithm", ["fedper", "fedrep"])
def test_what_stays_at_home_is_not_mixed(algorithm):
    own = algorithm, {"stay": ["head.a"]}
    start, _ = learned(None, lacks=(), rate=0.0)
    states, _ = learned(Consensus(30), lacks=(), rate=0.0, rounds=3, sizes=(1, 2, 3, 14), algorithm=own)
    for node in ("d0", "d1", "d2", "d3"):
        assert torch.equal(states[node].tensors["head.a/weight"], start[node].tensors["head.a/weight"])


@pytest.mark.parametrize("report", ["sampled", "everyone"])
def test_consensus_of_sums_counts_uniform_votes_as_one(report):
    peers, sizes = Consensus(300, report=report), (1, 2, 3, 14)
    by_samples, _ = learned(peers, lacks=(), sizes=sizes)
    assert bias(by_samples, "a") == pytest.approx((1 + 4 + 12 + 1400) / 20, rel=1e-9)
    even, _ = learned(peers, lacks=(), sizes=sizes, uniform=["head.a"])
    assert bias(even, "a") == pytest.approx((1 + 2 + 4 + 100) / 4, rel=1e-9)
    assert bias(even, "b") == pytest.approx((1 + 4 + 12 + 1400) / 20, rel=1e-9)


@pytest.mark.parametrize("merging", [False, True])
def test_what_a_head_lacks_is_told_once_and_its_votes_stay(merging):
    states, log = learned(Relay(Given(("d3",)), merge_at_relays=merging), rounds=3)
    assert [(h.node, h.kind) for h in log.happenings] == [("d3", "lacks")]
    assert log.happenings[0].detail.startswith("head.a:")
    votes = {node: states[node].samples.get("head.a") for node in ("cloud", "d0", "d1", "d2")}
    assert votes == {"cloud": None, "d0": 12, "d1": 12, "d2": 12}
    assert states["cloud"].samples["head.b"] == 3 * 16


@pytest.mark.parametrize("merging", [False, True])
def test_a_head_that_holds_all_reports_all(merging):
    states, log = learned(Relay(Given(("d0",)), merge_at_relays=merging))
    assert bias(states, "a") == pytest.approx((1 + 2 + 4) / 3)
    assert states["cloud"].samples["head.a"] == 12
    assert not log.happenings


def test_votes_stay_with_what_a_relay_on_the_way_lacks():
    """d3 stands between d0, the head, and the others."""
    links = (("d0", "d3"), ("d3", "d1"), ("d3", "d2"))
    states, _ = learned(Relay(Given(("d0",)), merge_at_relays=True), links=links)
    assert bias(states, "a") == 1
    votes = {node: states[node].samples.get("head.a") for node in ("cloud", "d0", "d1", "d2")}
    assert votes == {"cloud": 4, "d0": None, "d1": 4, "d2": 4}


@pytest.mark.parametrize("peers", EXACT, ids=lambda p: f"{p.mixed}-{p.report}-{p.weights}")
def test_who_holds_a_module_and_cannot_train_it_has_no_say(peers):
    states, _ = learned(peers, lacks=(), unable=(3,))
    assert bias(states, "a") == pytest.approx((1 + 2 + 4) / 3, rel=1e-9)
    assert bias(states, "a", "d3") == pytest.approx((1 + 2 + 4) / 3, rel=1e-9)  # it takes over what the others know
    assert bias(states, "b") == pytest.approx((1 + 2 + 4 + 100) / 4, rel=1e-9)


@pytest.mark.parametrize("mixed", ["sums", "models"])
def test_votes_are_counted_once_whoever_reports(mixed):
    """A node that is drawn, but has no say in a module, leaves the votes with their owners for a later turn."""
    states, _ = learned(Consensus(30, mixed=mixed), lacks=(), unable=(3,), rounds=12)
    assert sum(state.samples.get("head.a", 0) for state in states.values()) == pytest.approx(12 * 3 * 4)
    assert sum(state.samples.get("head.b", 0) for state in states.values()) == pytest.approx(12 * 4 * 4)


@pytest.mark.parametrize("merging", [False, True])
def test_a_head_without_a_say_leaves_the_votes_with_their_owners(merging):
    states, log = learned(Relay(Given(("d3",)), merge_at_relays=merging), lacks=(), unable=(3,), rounds=2)
    assert [(h.node, h.kind) for h in log.happenings] == [("d3", "lacks")]
    votes = {node: states[node].samples.get("head.a") for node in ("cloud", "d0", "d1", "d2", "d3")}
    assert votes == {"cloud": None, "d0": 8, "d1": 8, "d2": 8, "d3": None}
