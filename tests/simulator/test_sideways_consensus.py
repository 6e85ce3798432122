"""Mixing with neighbours: the operator, how fast they agree, what it costs, and how many rounds the laws ask for."""

from dataclasses import dataclass, field
from math import ceil, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import CostOnly, Plan, Size, Stage, TierPlan, simulate
from simulator.costs import Costs
from simulator.sideways.consensus import Consensus, gossip
from simulator.sideways.laws import Case, FiniteGap, Layers, LinearRate, Taper, TwoTimescale, gamma, theta
from tests.simulator.vectors import NBYTES, Copy, Vectors, friends, meet
from tests.simulator.worlds import wire
from topologies.mixing import laplacian, metropolis, spectral_radius
from topologies.sideways import at_random, everyone, neighbours, ring
from topologies.varying import Flickering

HOP = 8 * NBYTES / 64  # seconds
NAMES = "abcdefgh"
LINE = [("a", "b"), ("b", "c")]


@st.composite
def worlds(draw):
    """A connected graph, vectors and votes."""
    n, seed = draw(st.integers(2, 8)), draw(st.integers(0, 10_000))
    pairs = at_random(NAMES[:n], seed, probability=draw(st.sampled_from([0.6, 0.8, 1.0])))
    rng = np.random.default_rng(seed)
    states = {m: Copy(rng.normal(size=3), float(votes)) for m, votes in zip(NAMES, rng.integers(1, 9, n), strict=False)}
    return friends(NAMES[:n], pairs), states


def matrix(tree, weights="laplacian", c=2.0):
    graph = neighbours(tree, tree.children("room"))
    return laplacian(graph, c) if weights == "laplacian" else metropolis(graph)


def stacked(states):
    return np.stack([copy.vector for copy in states.values()])


@settings(max_examples=40, deadline=None)
@given(worlds(), st.integers(0, 6), st.sampled_from(["laplacian", "metropolis"]))
def test_rounds_are_powers_of_the_matrix_on_votes_times_models(world, rounds, weights):
    tree, states = world
    met = meet(tree, Consensus(rounds, weights), states)
    v, n = matrix(tree, weights), len(states)
    votes = np.array([copy.votes for copy in states.values()])
    z = np.linalg.matrix_power(v, rounds) @ (votes[:, None] * stacked(states))
    assert [copy.votes for copy in met.states.values()] == pytest.approx([votes.mean()] * n)
    np.testing.assert_allclose(votes.mean() * stacked(met.states), z, rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(worlds(), st.integers(0, 12), st.sampled_from(["laplacian", "metropolis"]), st.sampled_from(["sums", "models"]))
def test_the_consensus_error_shrinks_by_the_spectral_radius_each_round(world, rounds, weights, mixed):
    tree, states = world
    before = stacked(meet(tree, Consensus(0, weights, mixed=mixed), states).states)
    after = stacked(meet(tree, Consensus(rounds, weights, mixed=mixed), states).states)
    radius = spectral_radius(matrix(tree, weights))
    np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0), rtol=1e-9, atol=1e-12)
    error = [np.linalg.norm(each - each.mean(axis=0)) for each in (before, after)]
    assert error[1] <= radius**rounds * error[0] + 1e-12


@pytest.mark.parametrize("report", ["sampled", "everyone"])
def test_with_many_rounds_the_reports_are_the_exact_mean_by_votes(report):
    tree = friends(NAMES[:5], ring(NAMES[:5]))
    states = {m: Copy(np.array([float(k), k**2]), k + 1.0) for k, m in enumerate(NAMES[:5])}
    met = meet(tree, Consensus(400, report=report), states, due=True)
    votes = sum(copy.votes for copy in states.values())
    mean = sum(copy.votes * copy.vector for copy in states.values()) / votes
    for sent in met.reports:
        np.testing.assert_allclose(sent.state.vector, mean, rtol=1e-12)
    assert sum(sent.state.votes for sent in met.reports) == pytest.approx(votes)
    assert len(met.reports) == (1 if report == "sampled" else 5)
    if report == "sampled":  # and the others have no votes left
        (sent,) = met.reports
        assert sum(copy.votes for copy in met.states.values()) == pytest.approx(votes)
        assert met.states[sent.sender].votes == pytest.approx(votes)


def test_what_all_report_adds_up_to_the_sums_whatever_the_rounds():
    tree = friends("abc", LINE)
    states = {m: Copy(np.array([float(k)]), k + 1.0) for k, m in enumerate("abc")}
    reports = meet(tree, Consensus(1, report="everyone"), states, due=True).reports
    assert sum(r.state.votes * r.state.vector for r in reports) == pytest.approx(0 * 1 + 1 * 2 + 2 * 3)


def test_the_sampled_node_stands_for_its_cluster_and_each_is_as_likely():
    tree, states = friends("abc", LINE), {m: Copy(np.array([1.0])) for m in "abc"}
    policy = Consensus(1, mixed="models")
    reports = meet(tree, policy, states, due=True, turns=300).reports
    assert {report.weight for report in reports} == {3.0}
    counts = [sum(r.sender == m for r in reports) for m in "abc"]
    assert all(abs(count - 100) < 4 * np.sqrt(300 * 2 / 9) for count in counts)
    assert [r.sender for r in reports] == [r.sender for r in meet(tree, policy, states, due=True, turns=300).reports]


@pytest.mark.parametrize("latency", [0.0, 0.5])
def test_each_round_takes_its_slowest_transfer_and_its_merging(latency):
    quick, slow = wire(64, latency=latency), wire(16, 32, latency=latency)  # 1 s; 4 s from b to c, 2 s back
    tree = friends("abc", [("a", "b", quick), ("b", "c", slow)])
    states = {m: Copy(np.zeros(1)) for m in "abc"}
    met = meet(tree, Consensus(2), states, workload=Vectors(flops=4.0))  # a second for each copy
    one = 4 + latency + 3  # b merges three
    first = [("a", "b", 0.0, 1 + latency, "done"), ("b", "a", 0.0, 1 + latency, "done"),
             ("c", "b", 0.0, 2 + latency, "done"), ("b", "c", 0.0, 4 + latency, "done")]  # fmt: skip
    assert met.spans()[:4] == first
    assert met.end_s == 2 * one
    assert met.joules("transmit") == pytest.approx(2 * 2.0 * (1 + 1 + 2 + 4))
    assert met.joules("receive") == pytest.approx(2 * 0.5 * (1 + 1 + 2 + 4))


def test_a_broadcast_is_sent_once_at_the_rate_of_the_slowest_neighbour():
    tree = friends("abc", [("a", "b", wire(64)), ("b", "c", wire(16, 32))])
    states = {m: Copy(np.array([float(k)])) for k, m in enumerate("abc")}
    met = meet(tree, Consensus(1, energy="broadcast"), states)
    assert sorted(met.spans()) == [("a", "*", 0, 1, "done"), ("b", "*", 0, 4, "done"), ("c", "*", 0, 2, "done")]
    assert {span.activity for span in met.log.spans} == {"sideways"}
    assert met.joules("transmit") == pytest.approx(2.0 * (1 + 4 + 2))
    assert met.joules("receive") == pytest.approx(0.5 * (1 + 2 * 4 + 2))
    np.testing.assert_array_equal(stacked(met.states), stacked(meet(tree, Consensus(1), states).states))


def test_energy_by_broadcast_and_by_link_on_a_complete_graph():
    n, rounds = 5, 3
    tree, states = friends(NAMES[:n], everyone(NAMES[:n])), {m: Copy(np.zeros(1)) for m in NAMES[:n]}
    joules = {e: meet(tree, Consensus(rounds, energy=e), states).joules("transmit") for e in ("link", "broadcast")}
    assert joules == {"link": 2.0 * HOP * rounds * n * (n - 1), "broadcast": 2.0 * HOP * rounds * n}


@pytest.mark.parametrize("energy", ["link", "broadcast"])
def test_who_leaves_midway_is_left_out_and_the_others_go_on(energy):
    tree = friends("abc", LINE)
    states = {m: Copy(np.array([value])) for m, value in zip("abc", (0.0, 4.0, 9.0), strict=True)}
    met = meet(tree, Consensus(3, energy=energy), states, due=True, gone={"c": 1.5 * HOP})
    v = matrix(tree)
    z = v @ np.array([0.0, 4.0, 9.0])  # one round of three
    pair = np.array([[v[0, 0], v[0, 1], 0], [v[1, 0], v[1, 1] + v[1, 2], 0], [0, 0, 1]])
    z = pair @ pair @ z
    assert [met.states[m].vector[0] for m in "abc"] == pytest.approx(z.tolist())
    assert met.end_s == 3 * HOP
    assert sorted(met.kinds()) == [("b", "undelivered"), ("c", "undelivered")]  # and then nobody tries any more
    (report,) = met.reports
    assert report.sender in "ab"


def test_if_all_leave_it_ends():
    states = {m: Copy(np.zeros(1)) for m in "abc"}
    met = meet(friends("abc", LINE), Consensus(50), states, due=True, gone=dict.fromkeys("abc", 0.5))
    assert (met.reports, met.end_s) == ([], 0.5)


def test_gossip_mixes_models_once_a_turn_and_reports_nothing():
    tree = friends(NAMES[:4], ring(NAMES[:4]))
    states = {m: Copy(np.array([float(k)]), k + 1.0) for k, m in enumerate(NAMES[:4])}
    met = meet(tree, gossip(), states, due=True, turns=2)
    w = np.array([[1, 1, 0, 1], [1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1]]) / 3
    np.testing.assert_allclose(stacked(met.states), w @ w @ stacked(states))
    assert [copy.votes for copy in met.states.values()] == [1, 2, 3, 4]
    assert (met.reports, met.end_s) == ([], 2 * HOP)


def test_gossip_over_links_that_come_and_go_agrees_all_the_same():
    tree = friends(NAMES[:6], ring(NAMES[:6]))
    states = {m: Copy(np.array([float(k)])) for k, m in enumerate(NAMES[:6])}
    met = meet(tree, gossip(varying=Flickering(0.5)), states, turns=120)
    np.testing.assert_allclose(stacked(met.states), 2.5, atol=1e-3)
    sent = len(met.spans())
    assert abs(sent - 120 * 6) < 4 * np.sqrt(4 * 720 * 0.25)  # 720 draws of two transfers each


def test_theta_is_the_least_number_that_brings_the_error_below_sigma():
    for radius, divergence, sigma, size in [(0.5, 3.0, 0.1, 4), (0.9, 1.0, 1e-2, 3), (0.25, 10.0, 1.0, 5)]:
        rounds = theta(divergence, radius, size, sigma, most=10**6)
        error = [(radius**k * size**2 * divergence) ** 2 for k in (rounds - 1, rounds)]
        assert error[1] <= sigma * (1 + 1e-9) < error[0]
    assert theta(1.0, 0.9, 3, 1e-30) == 50
    assert theta(1e-9, 0.9, 3, 1.0) == 1
    assert (theta(0.0, 0.5, 3, 1.0), theta(1.0, 1.0, 3, 1.0), theta(1.0, 0.0, 3, 1e-9)) == (1, 50, 1)


def test_gamma_is_the_least_number_that_brings_the_error_below_eta_phi():
    for radius, error, size in [(0.5, 3.0, 4), (0.9, 1.0, 3)]:
        rounds = gamma(0.1, 0.2, error, size, radius, most=10**6)
        assert radius**rounds * size * error <= 0.02 * (1 + 1e-9) < radius ** (rounds - 1) * size * error
    assert gamma(0.1, 0.2, 0.02 / 4, 4, 0.5) == 0
    assert gamma(0.1, 0.2, 0.0, 4, 0.5) == 0
    assert (gamma(0.1, 0.2, 1.0, 4, 1.0), gamma(0.1, 0.2, 1.0, 4, 0.0)) == (50, 1)


def test_sigma_of_each_law():
    signals = {"max": 2.0, "spread": 1.0, "inf": 0.7, "norm": 3.0}
    case = Case(4, 0.8, 2, signals, {"max": 5.0, "spread": 4.0})
    layers = Layers(samples=100, phi=7, dimension=3, nodes_above=2, layers=2)
    scale = 100**2 / (7 * 9 * 2 * 2)
    assert Taper(0.5)(case) == max(1, ceil((log(0.5) + 2 * log(5.0 / 2.0)) / (2 * log(0.8))))
    assert Taper(0.01, "spread")(case) == ceil((log(0.01) + 2 * log(4.0 / 1.0)) / (2 * log(0.8)))
    assert FiniteGap(1e-3, layers)(case) == theta(2.0, 0.8, 4, scale * 1e-3)
    slope = 0.2 * (0.2 - 0.1 * 1.5) / 1.5**4
    assert LinearRate(0.1, 0.2, 1.5, layers)(case) == theta(2.0, 0.8, 4, scale * slope * 9)
    assert TwoTimescale(0.3, 6.0, 10.0, steps=5)(case) == gamma(6 / (2 * 5 + 10), 0.3, 0.7, 4, 0.8)


def test_rounds_taper_as_the_nodes_agree_and_the_first_turn_is_remembered_by_run():
    tree = friends("abc", LINE)
    states = {m: Copy(np.array([float(k)])) for k, m in enumerate("abc")}
    policy = Consensus(Taper(0.02), c=1.5)
    radius = spectral_radius(matrix(tree, c=1.5))
    first = ceil(log(0.02) / (2 * log(radius)))
    assert first > 2
    model = Vectors()
    counts = [len(meet(tree, policy, states, workload=model, turns=turns).spans()) // 4 for turns in (1, 2, 3, 1)]
    assert counts == [first, first + 1, first + 2, first]  # the divergence is so small then that one will do
    assert set(model.asked) == {("divergence", ("a", "b", "c"))}
    assert policy.signals == {"divergence"}
    assert Consensus(3).signals == set()


def test_two_timescales_mix_only_while_they_differ_too_much():
    tree = friends("abc", LINE)
    policy = Consensus(TwoTimescale(phi=1.0, rate=1.0, shift=1.0), mixed="models")
    apart = {m: Copy(np.array([float(k)])) for k, m in enumerate("abc")}
    radius = spectral_radius(matrix(tree))
    assert len(meet(tree, policy, apart).spans()) // 4 == ceil(log(0.5 / (3 * 2)) / log(radius))
    near = {m: Copy(np.array([1 + 0.05 * k])) for k, m in enumerate("abc")}
    assert meet(tree, policy, near).end_s == 0.0


def test_bad_figures_are_refused():
    for wrong, message in [
        ({"rounds": -1}, "rounds must be a whole number >= 0 or a law, got -1"),
        ({"rounds": 1.5}, "got 1.5"),
        ({"c": 1.0}, "c must be > 1"),
        ({"weights": "equal"}, "weights must be laplacian, metropolis, got 'equal'"),
        ({"report": "head"}, "report must be sampled, everyone, nobody"),
    ]:
        with pytest.raises(ValueError, match=message):
            Consensus(**wrong)
    for law in (lambda: Taper(1.0), lambda: FiniteGap(0.0, Layers(1, 1, 1, 1, 1)), lambda: TwoTimescale(1, 0, 1),
                lambda: LinearRate(1.0, 0.2, 1.5, Layers(1, 1, 1, 1, 1)), lambda: Layers(1, 0, 1, 1, 1)):  # fmt: skip
        with pytest.raises(ValueError, match="must be"):
            law()
    with pytest.raises(ValueError, match="a cannot reach c"):
        meet(friends("abc", [("a", "b")]), Consensus(), {})


def test_receive_energy_is_a_switch():
    states = {m: Copy(np.zeros(1)) for m in "abc"}
    assert meet(friends("abc", LINE), Consensus(), states, costs=Costs(receive=False)).joules("receive") == 0


@dataclass
class Counting:
    """A law that notes which turn it is."""

    turns: list = field(default_factory=list)
    signals = ()

    def __call__(self, case):
        self.turns.append(case.turn)
        return 0

    def __hash__(self):
        return 1


def test_laws_count_turns_from_the_beginning_of_a_stage():
    tree, law = friends("ab", [("a", "b")]), Counting()
    plan = Plan(room=TierPlan(("body",), rounds=3, peers=Consensus(law)))
    stages = [Stage(name, plan, "device", ("body",)) for name in ("first", "second")]
    simulate(tree, CostOnly({"body": Size(8, 1.0)}), stages)
    assert law.turns == [1, 2, 3, 1, 2, 3]
