"""Whom to ask by time, energy, utility and fairness: what is estimated is what the turn then takes."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest

from simulator import Carbon, CostOnly, Costs, Plan, Size, Stage, TierPlan, simulate
from simulator.gathering.policies import DeadlineOf, EnergyOf, FairOf, UtilityOf
from simulator.gathering.selection import chosen
from simulator.workloads import CostOnly as Base
from tests.simulator.test_cohorts import tree_of
from tests.simulator.test_selection import asked
from tests.simulator.worlds import device, house, room, wire

SIZES = {"m": Size(8, 8.0)}  # 64 bits; 2 s on a device


@dataclass
class Known:
    """Facts as they are given."""

    times: dict = field(default_factory=dict)
    cost: dict = field(default_factory=dict)
    carbon: dict = field(default_factory=dict)
    count: dict = field(default_factory=dict)
    loss: dict = field(default_factory=dict)

    def seconds(self, child):
        return self.times[child]

    def joules(self, child):
        return self.cost[child]

    def grams(self, child):
        return self.carbon[child]

    def asked(self, child):
        return self.count.get(child, 0)

    def signal(self, name, children):
        return {child: {"loss": self.loss}[name][child] for child in children}


def places(policy, children, random=None, **facts):
    return chosen(policy, children, random or np.random.default_rng(0), Known(**facts)).tolist()


def test_a_deadline_takes_all_that_can_make_it():
    assert places(DeadlineOf(5.0), "abcd", times={"a": 5.0, "b": 5.1, "c": 1.0, "d": 9.0}) == [0, 2]
    assert places(DeadlineOf(0.5), "a", times={"a": 1.0}) == []


def test_the_lowest_joules_or_grams_and_of_equals_the_first():
    known = {"cost": {"a": 3.0, "b": 1.0, "c": 1.0, "d": 0.5}, "carbon": {"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0}}
    assert places(EnergyOf(2), "abcd", **known) == [1, 3]
    assert places(EnergyOf(2, by="grams"), "abcd", **known) == [0, 1]
    assert places(EnergyOf(9), "abcd", **known) == [0, 1, 2, 3]


def test_those_asked_least_often_come_first_and_ties_are_drawn():
    counts = {"a": 2, "b": 0, "c": 1, "d": 0}
    assert places(FairOf(2), "abcd", count=counts) == [1, 3]
    drawn = Counter(
        places(FairOf(3), "abcde", np.random.default_rng(n), count=dict.fromkeys("abcde", 1))[0] for n in range(99)
    )
    assert len(drawn) == 3
    draws = Counter(tuple(places(FairOf(1), "bd", np.random.default_rng(n), count=counts)) for n in range(2000))
    assert abs(draws[(0,)] - 1000) < 4 * np.sqrt(2000 / 4)  # four standard deviations of a fair coin


def test_utility_is_loss_times_a_penalty_for_who_takes_longer_than_preferred():
    """b takes twice as long as preferred: 3 (1/2)^2 = 0.75, below a's 1 and above d's 0.5."""
    known = {
        "times": dict.fromkeys("abcd", 10.0) | {"b": 20.0},
        "count": dict.fromkeys("abcd", 1),
        "loss": {"a": 1.0, "b": 3.0, "c": 2.0, "d": 0.5},
    }
    assert places(UtilityOf(2, 2.0, 10.0), "abcd", **known) == [0, 2]
    assert places(UtilityOf(3, 2.0, 10.0), "abcd", **known) == [0, 1, 2]
    assert places(UtilityOf(1, 0.0, 10.0), "abcd", **known) == [1]
    assert places(UtilityOf(1), "abcd", **known) == [1]  # no preferred time, no penalty


def test_a_share_is_drawn_from_those_never_asked_and_the_others_fill_up():
    known = {
        "times": dict.fromkeys("abcdef", 1.0),
        "count": {"a": 1, "b": 1, "c": 3, "d": 1},
        "loss": dict(zip("abcd", (4, 3, 2, 1), strict=True)),
    }
    for n in range(20):
        found = places(UtilityOf(4, explore=0.25), "abcdef", np.random.default_rng(n), **known)
        assert found[:3] == [0, 1, 2]
        assert found[3] in (4, 5)
    assert places(UtilityOf(4, explore=1.0), "abcdef", **known) == [0, 1, 4, 5]
    assert places(UtilityOf(2), "ab", times={"a": 1.0, "b": 1.0}) == [0, 1]  # nobody has been asked, no loss is needed


@dataclass
class Spy:
    """Asks everyone, and notes what is known."""

    signals: ClassVar[frozenset[str]] = frozenset()
    seen: list = field(default_factory=list)

    def choose(self, children, random, facts):
        known = (facts.seconds, facts.joules, facts.grams, facts.asked)
        self.seen.append({child: tuple(fact(child) for fact in known) for child in children})
        return range(len(children))


def estimated(tree, tier, learning=None, **how):
    spy = Spy()
    stage = Stage("s", Plan({tier: TierPlan(("m",), 2, select=spy)}), trainable=("m",))
    log = simulate(tree, learning or CostOnly(SIZES), [stage], final_broadcast=False, **how)
    return spy.seen, log


@pytest.mark.parametrize("costs", [Costs(), Costs(receive=False), Costs(downlink=False), Costs(compute=False)])
def test_what_is_estimated_is_what_a_turn_takes_and_adds(costs):
    """On links of one's own nobody waits for another, so the estimate is exact."""
    framed = replace(wire(64, 32, latency=0.25), payload_bytes=4.0, header_bytes=1.0)
    tree = room(device(4.0), device(1.0, busy=8.0), link=framed)
    seen, log = estimated(tree, "room", costs=costs)
    for node, (seconds, joules, grams, _) in seen[0].items():
        spans = [span for span in log.spans if span.node == node and span.round == 1]
        assert seconds == pytest.approx(max(span.end_s for span in spans))
        assert joules == pytest.approx(sum(span.joules for span in spans))
        assert grams == joules
    assert [fact[3] for fact in seen[1].values()] == [1, 1]


def test_a_route_over_several_hops_is_as_slow_as_its_slowest_and_charges_a_child_its_own_radio():
    tree = house(wire(32, latency=0.25), wire(16, latency=0.5))
    seen, log = estimated(tree, "cloud")
    spans = [span for span in log.spans if span.node == "tablet0" and span.round == 1]
    seconds, joules, *_ = seen[0]["tablet0"]
    assert seconds == spans[-1].end_s
    assert joules == pytest.approx(sum(span.joules for span in spans))


def test_nodes_of_one_machine_have_a_core_each():
    tree = room(link=wire(64))
    for name in ("one", "two"):
        tree.add(name, "room", "device", replace(device(4.0), cores=2), wire(64), host="machine")
    seen, log = estimated(tree, "room")
    for node, (seconds, joules, *_) in seen[0].items():
        spans = [span for span in log.spans if span.node == node and span.round == 1]
        assert seconds == spans[-1].end_s == 1 + 2 * 2 + 1
        assert joules == pytest.approx(sum(span.joules for span in spans))


def test_how_often_each_was_asked_counts_from_the_start_of_a_stage():
    spy = Spy()
    stage = Stage("one", Plan(room=TierPlan(("m",), 2, select=spy)), trainable=("m",))
    simulate(room(device(), link=wire(64)), CostOnly(SIZES), [stage, replace(stage, name="two")])
    assert [seen["tablet0"][3] for seen in spy.seen] == [0, 1, 0, 1]


def test_grams_follow_the_hour():
    tree = room(device(), link=wire(64))
    costs = Costs(carbon=Carbon((0.5, 0.1)))
    (first, _), _ = estimated(tree, "room", costs=costs)
    assert first["tablet0"][2] == pytest.approx(0.5 * first["tablet0"][1])


def test_the_cheapest_are_asked_again_and_again_and_the_fair_in_turn():
    tree = room(device(4.0), device(8.0), device(2.0), link=wire(64))

    def of(select):
        stage = Stage("s", Plan(room=TierPlan(("m",), 3, select=select)), trainable=("m",))
        return asked(simulate(tree, CostOnly(SIZES), [stage, replace(stage, name="again")], seed=3))

    assert of(EnergyOf(1)) == {n: ["tablet1"] for n in range(1, 7)}
    fair = of(FairOf(2))
    assert Counter(name for n in (1, 2, 3) for name in fair[n]) == Counter({f"tablet{n}": 2 for n in range(3)})
    assert Counter(name for n in (4, 5, 6) for name in fair[n]) == Counter({f"tablet{n}": 2 for n in range(3)})
    # who trains within 2 s, the faster first
    assert of(DeadlineOf(4.0)) == {n: ["tablet1", "tablet0"] for n in range(1, 7)}


@dataclass
class Lossy(Base):
    """Tells each node's loss: what is left after so many trainings."""

    signals: ClassVar[frozenset[str]] = frozenset({"loss"})
    asked: list = field(default_factory=list)

    def signal(self, name, states, modules):
        self.asked.append((name, tuple(states), tuple(modules)))
        return {node: float(node[-1]) for node in states}


def test_a_workload_is_asked_for_the_loss_of_those_that_have_been_tried():
    tree, workload = room(*[device()] * 4, link=wire(64)), Lossy(SIZES)
    plan = TierPlan(("m",), 5, select=UtilityOf(2, explore=0.5))
    by_round = asked(simulate(tree, workload, [Stage("s", Plan(room=plan), trainable=("m",))], seed=1))
    first = workload.asked[0]
    assert first == ("loss", tuple(by_round[1]), ("m",))
    assert set(by_round[1] + by_round[2] + by_round[3]) == {f"tablet{n}" for n in range(4)}
    assert by_round[4] == by_round[5] == ["tablet2", "tablet3"]  # all have been tried: the highest losses


def test_a_policy_that_needs_a_signal_is_refused_where_there_is_none():
    tree = room(*[device()] * 4, link=wire(64))
    plan = Plan(room=TierPlan(("m",), select=UtilityOf(2)))
    with pytest.raises(ValueError, match=r"plan.room.select: UtilityOf needs to be told loss, which this workload"):
        simulate(tree, CostOnly(SIZES), [Stage("s", plan, trainable=("m",))])


@pytest.mark.parametrize("policy", [UtilityOf(5), EnergyOf(5), FairOf(5)])
def test_more_than_there_are_are_refused_before_the_run(policy):
    tree = room(*[device()] * 4, link=wire(64))
    with pytest.raises(ValueError, match=r"plan.room.select.\w+: room has 4 children, so it cannot ask 5"):
        simulate(tree, CostOnly(SIZES), [Stage("s", Plan(room=TierPlan(("m",), select=policy)), trainable=("m",))])


def test_groups_are_unfolded_for_a_policy_that_needs_to_know_each():
    tree = tree_of(1, 5)
    plan = Plan(campus=TierPlan(("a",)), room=TierPlan(("a",), 2, select=FairOf(2)))
    log = simulate(tree, CostOnly({"a": Size(4, 9.0)}), [Stage("s", plan, trainable=("a",))])
    assert {it.detail.split(": ")[1] for it in log.happenings} == {"whom to ask depends on each member"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DeadlineOf(0), "select: deadline: seconds must be > 0"),
        (lambda: UtilityOf(0), "select: utility: a whole number >= 1, got 0"),
        (lambda: UtilityOf(1, -1.0), "alpha must be >= 0, got -1"),
        (lambda: UtilityOf(1, seconds=0.0), "seconds must be > 0, got 0"),
        (lambda: UtilityOf(1, explore=1.5), "explore must be a share from 0 to 1, got 1.5"),
        (lambda: EnergyOf(1, by="watts"), "by joules or grams, got 'watts'"),
        (lambda: FairOf(True), "select: fair: a whole number >= 1, got True"),
        (lambda: chosen(FairOf(1), "ab", np.random.default_rng(0)), "FairOf needs to know of the children"),
    ],
)
def test_figures_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
