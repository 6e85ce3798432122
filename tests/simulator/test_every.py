"""Modules that travel at times of their own, and modules that only come up: every span by hand."""

import pytest

from simulator import CostOnly, FirstOf, Plan, Size, Stage, TierPlan, barrier, simulate
from simulator.run import federation
from tests.simulator.worlds import Diary, computed, device, house, moved, room, times, wire

SIZES = {"a": Size(8, 4.0), "b": Size(8, 4.0)}  # 64 bits: 1 s each way; 1 s of training each on 4 FLOP/s
AB = ("a", "b")


def stage(**plan):
    return Stage("s", Plan(plan), trainable=AB)


def test_a_module_of_period_two_goes_up_in_even_turns_and_down_in_odd_ones():
    tree = room(device(), link=wire(64), edge=device())
    plan = TierPlan(AB, 3, every={"b": 2})
    log = simulate(tree, CostOnly(SIZES), [stage(room=plan)], final_broadcast=False)

    def turn(number, start, down, up):
        at, there = (number, ""), start + len(down)
        moving = [
            moved(tree, "room", "tablet0", "+".join(down), (start, there), 8 * len(down), at=at),
            [computed(tree, "tablet0", "train", "a+b", (there, there + 2), 8.0, at=at)],
            moved(tree, "tablet0", "room", "+".join(up), (there + 2, there + 2 + len(up)), 8 * len(up), at=at),
        ]
        return [span for spans in moving for span in spans]

    assert log.spans == [*turn(1, 0, AB, ("a",)), *turn(2, 5, ("a",), AB), *turn(3, 10, AB, ("a",))]


def test_what_is_merged_is_what_was_due():
    workload = Diary(SIZES)
    plan = TierPlan(AB, 6, every={"a": 3, "b": 2})
    simulate(room(device(), link=wire(64)), workload, [stage(room=plan)], final_broadcast=False)
    ups = [modules for _, way, _, modules, _ in workload.calls if way == "up"]
    downs = [modules for _, way, _, modules, _ in workload.calls if way == "down"]
    assert ups == [("b",), ("a",), ("b",), AB]  # turns 2, 3, 4, 6
    assert downs == [AB, ("b",), ("a",), ("b",)]  # turns 1, 3, 4, 5


def test_a_turn_in_which_nothing_is_due_moves_nothing_and_merges_nothing():
    workload = Diary(SIZES, flops={"pack": 4.0, "merge": 4.0})
    plan = TierPlan(("a",), 4, every={"a": 2})
    tree = room(device(), device(2.0), link=wire(64), edge=device())
    log, states = federation(tree, workload, [stage(room=plan)], final_broadcast=False)
    assert log.happenings == []
    assert times(log, kind="compute", node="tablet1", activity="train") == [(1, 5), (5, 9), (15, 19), (19, 23)]
    assert times(log, activity="up", kind="transmit") == [(8, 9), (11, 12), (22, 23), (25, 26)]
    assert times(log, activity="pack", node="tablet0") == [(7, 8), (21, 22)]
    assert times(log, activity="merge") == [(12, 14), (26, 28)]
    assert states["tablet0"] == (
        *("down room", "train 0", "train 1", "sent"),
        *("down room", "train 2", "train 3", "sent"),
    )


def test_turns_are_counted_over_the_rounds_above_and_anew_in_each_stage():
    workload = Diary(SIZES)
    plan = {"cloud": TierPlan(("a",), 3), "room": TierPlan(("a",), every={"a": 2})}
    stages = [Stage(name, Plan(plan), trainable=AB) for name in ("one", "two")]
    log = simulate(house(wire(64), wire(64)), workload, stages, final_broadcast=False)
    up = [span.round for span in log.spans if (span.node, span.activity, span.kind) == ("tablet0", "up", "transmit")]
    assert up == [2, 5]
    assert [it.kind for it in log.happenings] == []


@pytest.mark.parametrize(("wait", "end"), [(barrier, 8), (FirstOf(1), 2)])
def test_in_a_turn_without_reports_whoever_has_computed_counts_as_arrived(wait, end):
    plan = TierPlan(("a",), 1, wait, every={"a": 2}, down=())
    tree = room(device(4.0), device(1.0), link=wire(64))
    log = simulate(tree, CostOnly(SIZES), [stage(room=plan)], final_broadcast=False)
    assert log.end_s == end


def test_only_what_is_to_go_down_goes_down_also_when_the_stage_ends():
    tree, workload = room(device(), link=wire(64)), Diary(SIZES)
    log = simulate(tree, workload, [stage(room=TierPlan(AB, 2, down=("b",)))])
    assert times(log, kind="receive", activity="down") == [(0, 1), (5, 6), (10, 11)]
    assert {span.modules for span in log.spans if span.activity == "down"} == {"b"}
    assert {span.modules for span in log.spans if span.activity == "up"} == {"a+b"}
    nothing = simulate(tree, Diary(SIZES), [stage(room=TierPlan(AB, 2, down=()))])
    assert not times(nothing, activity="down")


def test_groups_with_times_of_their_own_run_as_nodes_and_say_so():
    from tests.simulator.test_cohorts import tree_of

    tree = tree_of(1, 5)
    plan = Plan(campus=TierPlan(("a",)), room=TierPlan(AB, 2, every={"b": 2}))
    one, other = (simulate(t, CostOnly(SIZES), [Stage("s", plan, trainable=AB)]) for t in (tree, tree.unfolded()))
    assert list(one.spans) == list(other.spans)
    assert {it.detail.split(": ")[1] for it in one.happenings} == {"modules travel at times of their own"}
