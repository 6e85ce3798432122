"""Who is asked: even draws from those that are there, the same whatever ran before, and never more than there are."""

import math
from collections import Counter

import numpy as np
import pytest

from simulator import CostOnly, Deadline, FirstOf, Plan, Size, Stage, TierPlan, barrier, simulate
from simulator.gathering.selection import RandomOf, chosen, everyone
from simulator.presence import Timetable, Windows
from tests.simulator.test_cohorts import assert_same, both, tree_of
from tests.simulator.worlds import Diary, device, room, wire
from topologies.streams import stream

SIZES = {"m": Size(10, 8.0)}


def stage(select, rounds=1, wait=barrier):
    return Stage("s", Plan(room=TierPlan(("m",), rounds, wait, select)), trainable=("m",))


def asked(log):
    """By round, who trained."""
    out = {}
    for span in log.spans:
        if span.activity == "train":
            out.setdefault(span.round, []).append(span.node)
    return out


def test_every_choice_is_equally_likely():
    """6 pairs of 4: chi-square with 5 degrees of freedom stays below its 99.9th percentile, 20.5."""
    draws = 3000
    found = Counter(tuple(chosen(RandomOf(2), "abcd", stream(5, "select", "room", n))) for n in range(draws))
    assert len(found) == math.comb(4, 2)
    expected = draws / 6
    assert sum((count - expected) ** 2 / expected for count in found.values()) < 20.5


def test_only_the_chosen_are_asked_and_only_they_cost():
    tree = room(*[device()] * 5, link=wire(80.0))
    log = simulate(tree, CostOnly(SIZES), [stage(RandomOf(2), 6)], seed=4, final_broadcast=False)
    by_round = asked(log)
    assert [len(nodes) for nodes in by_round.values()] == [2] * 6
    assert len(set(map(tuple, by_round.values()))) > 1
    assert all(nodes == sorted(nodes) for nodes in by_round.values())
    assert log.nbytes(kind="transmit") == 6 * 2 * 2 * 10  # down and up
    assert log.end_s == pytest.approx(6 * (1.0 + 2.0 + 1.0))


def test_a_round_draws_the_same_whatever_ran_before():
    """So a run can be taken up anywhere: the draw follows from seed, node, stage and round alone."""
    tree = room(*[device()] * 9, link=wire(80.0))
    short, long = (simulate(tree, CostOnly(SIZES), [stage(RandomOf(3), n)], seed=4) for n in (2, 5))
    other = simulate(tree, CostOnly(SIZES), [stage(RandomOf(3), 5)], seed=5)
    assert asked(short).items() <= asked(long).items()
    assert asked(other) != asked(long)
    slower = room(*[device(2.0)] * 9, link=wire(20.0))
    assert asked(simulate(slower, CostOnly(SIZES), [stage(RandomOf(3), 5)], seed=4)) == asked(long)


def test_everyone_is_all_of_them():
    tree = room(*[device()] * 4, link=wire(80.0))
    logs = [simulate(tree, CostOnly(SIZES), [stage(s, 2)], seed=1) for s in (everyone, RandomOf(4))]
    assert logs[0].spans == logs[1].spans


def test_the_chosen_are_there_and_more_than_those_are_not_asked():
    """Of three tablets one leaves at 3 s for good; the second round can ask two at most."""
    tree = room(*[device()] * 3, link=wire(80.0))
    presence = Timetable(Windows(((0.0, 3.0),)), frozenset({"tablet1"}))
    workload = Diary(SIZES)
    log = simulate(tree, workload, [stage(RandomOf(3), 2)], presence=presence)
    assert asked(log) == {1: ["tablet0", "tablet1", "tablet2"], 2: ["tablet0", "tablet2"]}
    ups = [(senders, count) for node, way, senders, _, count in workload.calls if way == "up"]
    assert ups == [(["tablet0", "tablet2"], 3)] * 2  # count: who is registered; tablet1 left before its report


@pytest.mark.parametrize("wait", [Deadline(3.5), FirstOf(2)])
def test_waiting_is_for_the_chosen(wait):
    """Two of six devices take 3 s, the others 8 s: who of the chosen comes in time is merged."""
    tree = room(*[device(8.0 if n % 3 == 0 else 8.0 / 6) for n in range(6)], link=wire(80.0))
    workload = Diary(SIZES)
    simulate(tree, workload, [stage(RandomOf(4), 4, wait)], seed=2, final_broadcast=False)
    rounds = [senders for _, way, senders, _, _ in workload.calls if way == "up"]
    downs = Counter(node for node, way, *_ in workload.calls if way == "down")
    assert sum(downs.values()) == 4 * 4
    quick = {"tablet0", "tablet3"}
    assert all(set(senders) <= quick if isinstance(wait, Deadline) else len(senders) >= 2 for senders in rounds)


@pytest.mark.parametrize("wait", [barrier, Deadline(30.0)])
def test_costs_of_chosen_members_of_groups(wait):
    tree = tree_of(3, 20)
    plan = Plan(campus=TierPlan(("a",), 2, select=RandomOf(2)), room=TierPlan(("a", "b"), 2, wait, RandomOf(6)))
    assert_same(tree, *both(tree, [Stage("s", plan, trainable=("a", "b"))], seed=8))


def test_a_policy_of_ones_own_sees_the_names():
    def odd(children, random):
        return [place for place, name in enumerate(children) if int(name[-1]) % 2]

    tree = room(*[device()] * 4, link=wire(80.0))
    assert asked(simulate(tree, CostOnly(SIZES), [stage(odd)])) == {1: ["tablet1", "tablet3"]}
    assert asked(simulate(tree_of(1, 5), CostOnly({"a": Size(4, 9.0), "b": Size(4, 9.0)}), [
        Stage("s", Plan(campus=TierPlan(("a",)), room=TierPlan(("a",), select=odd)), trainable=("a",))
    ])) == {1: ["room0/*"]}  # fmt: skip


@pytest.mark.parametrize("places", [[0, 0], [4], [-1]])
def test_a_policy_that_points_beside_the_children_is_refused(places):
    tree = room(*[device()] * 4, link=wire(80.0))
    with pytest.raises(ValueError, match=r"select: places must be distinct and from 0 to 3, got \["):
        simulate(tree, CostOnly(SIZES), [stage(lambda children, random: places)])


def test_more_than_there_are_are_refused_before_the_run():
    tree = room(*[device()] * 4, link=wire(80.0))
    with pytest.raises(ValueError, match=r"plan.room.select.random: room has 4 children, so it cannot ask 5"):
        simulate(tree, CostOnly(SIZES), [stage(RandomOf(5))])
    grouped = tree_of(1, 5)
    plan = Plan(campus=TierPlan(("a",)), room=TierPlan(("a",), select=RandomOf(6)))
    with pytest.raises(ValueError, match=r"room0 has 5 children, so it cannot ask 6"):
        simulate(grouped, CostOnly({"a": Size(4, 9.0)}), [Stage("s", plan, trainable=("a",))])
    for bad in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match="select: random: a whole number >= 1"):
            RandomOf(bad)


def test_the_draw_of_a_large_group_makes_no_names():
    """Asking 3 of a million takes no longer than asking 3 of ten: nobody else is named."""
    from simulator.gathering.broods import Brood
    from topologies.groups import Group

    class Mute(Group):
        def name_of(self, index):
            raise AssertionError("named")

    from topologies.profiles import device as known
    from topologies.profiles import link

    million = Mute("d", "room", 1_000_000, "device", known("chromebook_n100"), link("eth_1g"))
    places = chosen(RandomOf(3), Brood((million,), ()), np.random.default_rng(1))
    assert len(places) == 3


@pytest.mark.parametrize("asked", [[True, False, True], [0.0, 1.0], np.array([True, False])])
def test_a_mask_is_not_taken_for_places(asked):
    with pytest.raises(ValueError, match="select: places must be whole numbers"):
        chosen(lambda children, random: asked, ("a", "b", "c"), np.random.default_rng(0))


def test_nobody_may_be_asked():
    assert chosen(lambda children, random: [], ("a", "b"), np.random.default_rng(0)).tolist() == []
