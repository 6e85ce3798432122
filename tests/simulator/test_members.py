"""Members of groups that each know something of their own: what happened to them is what happens to nodes."""

from collections import Counter
from dataclasses import replace

import pytest

from simulator import Deadline, Plan, Size, Stage, TierPlan, Work, barrier
from simulator.costs import Costs
from simulator.gathering.selection import RandomOf, everyone
from simulator.records import Log
from simulator.run import federation
from tests.simulator.test_cohorts import RADIO, assert_same, stage, tree_of
from tests.simulator.worlds import Diary, device
from topologies.hierarchy import Hierarchy

SIZES = {"a": Size(40, 90.0), "b": Size(24, 30.0)}


class Diaries(Diary):
    """Diaries of one size, whose keepers have more or less to train on."""

    def unlike(self, children):
        return self.holds and "they hold different things"

    def work(self, node, activity, step, modules=(), count=1):
        flops = super().work(node, activity, step, modules, count).flops
        return Work(flops * (1 + len(node) % 3 + step) if activity == "train" else flops)


def ran(tree, stages, workload=None, **how):
    """The log, what everybody knew in the end, every merge, and every training."""
    workload = Diaries(SIZES) if workload is None else workload
    log, states = federation(tree, workload, stages, log=Log(), **how)
    return log, states, workload.calls, Counter(workload.trained)


def assert_as_nodes(tree, stages, **how):
    arrays, knew, merges, trained = ran(tree, stages, **how)
    assert not any(happening.kind == "unfolded" for happening in arrays.happenings)
    assert tree.population > len(tree)
    processes, known, merged, steps = ran(tree.unfolded(), stages, **how)
    assert knew == known
    assert sorted(merges) == sorted(merged)  # who arrived, in child order
    assert trained == steps
    assert_same(tree, arrays, processes)
    return arrays, knew


@pytest.mark.parametrize("link", [RADIO, replace(RADIO, shared=False)])
@pytest.mark.parametrize("select", [everyone, RandomOf(7)])
@pytest.mark.parametrize("wait", [barrier, *map(Deadline, (0.1, 2.0, 9.0, 20.0, 60.0, 90.0, 400.0))])
def test_what_happens_to_members_is_what_happens_to_nodes(link, wait, select):
    """Cut in the latency, loading, computing, sending, or not at all."""
    tree = tree_of(2, 20, link=link)
    plan = Plan(campus=TierPlan(("a",), 2), room=TierPlan(("a", "b"), 2, wait, select))
    assert_as_nodes(tree, [Stage("s", plan, trainable=("a", "b"))], costs=Costs(sleep=True), seed=3)


def test_who_is_cut_has_learned_as_far_as_it_came():
    """Three speeds, one deadline: still computing, sending, and done."""
    tree = Hierarchy("room", "room", device())
    for name, flops in (("slow", 1.0), ("middling", 12.0), ("quick", 1000.0)):
        tree.add_group("room", 1, "device", device(flops), replace(RADIO, shared=False), f"room/{name}")
    only = Stage("s", Plan(room=TierPlan(("a",), 1, Deadline(25.0))), trainable=("a",))
    log, knew = assert_as_nodes(tree, [only], final_broadcast=False)
    assert knew["room/slow0"] == ("down room",)
    assert knew["room/middling0"] == ("down room", "train 0")
    assert knew["room/quick0"] == ("down room", "train 0", "sent")
    assert [happening.detail for happening in log.happenings] == ["2 of 3 dropped by room in round 1 turn -"]


def test_a_room_that_is_cut_as_a_whole():
    tree = tree_of(3, 20)
    plan = Plan(campus=TierPlan(("a",), 3, Deadline(50.0)), room=TierPlan(("a", "b"), 1))
    assert_as_nodes(tree, [Stage("s", plan, trainable=("a", "b"))])


def test_stages_and_broadcasts():
    tree, first = tree_of(2, 10), Stage("pretrain", at="campus", trainable=("a",))
    _, knew = assert_as_nodes(tree, [first, stage()])
    assert knew["room0/slow0"][0] == "down room0"
    assert_as_nodes(tree, [replace(first, preinstalled=True), stage()], final_broadcast=False)
    assert_as_nodes(tree, [stage()], costs=Costs(downlink=False, compute=False))


def test_nodes_and_members_of_one_parent_report_in_child_order():
    tree = Hierarchy("room", "room", device())
    link = replace(RADIO, shared=False)
    tree.add("room/first", "room", "device", device(), link)
    tree.add_group("room", 2, "device", device(3.0), link, "room/one")
    tree.add("room/second", "room", "device", device(), link)
    tree.add_group("room", 2, "device", device(5.0), replace(link, latency_seconds=0.0), "room/other")
    plan = Plan(room=TierPlan(("a",), 3, select=RandomOf(4)))
    _, _, merges, _ = ran(tree, [Stage("s", plan, trainable=("a",))])
    orders = [senders for _, direction, senders, _, _ in merges if direction == "up"]
    names = [f"room/{name}" for name in ("first", "one0", "one1", "second", "other0", "other1")]
    assert len(set(map(tuple, orders))) == 3
    assert all(senders == [name for name in names if name in senders] and len(senders) == 4 for senders in orders)
    assert {count for _, direction, _, _, count in merges if direction == "up"} == {6}  # registered, asked or not
    assert_as_nodes(tree, [Stage("s", plan, trainable=("a",))])


def test_members_whose_packets_differ_are_nodes():
    workload = Diaries(SIZES, holds={"room0/slow0": {"a"}})
    log, *_ = ran(tree_of(1, 5), [stage()], workload)
    said = {happening.detail for happening in log.happenings if happening.kind == "unfolded"}
    assert said == {"room0/slow: they hold different things", "room0/fast: they hold different things"}
