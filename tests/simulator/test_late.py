"""Late means late anywhere: in a computation, a transfer or a latency, down to the devices, at that very time."""

import pytest

from simulator import (
    CostOnly,
    Deadline,
    Evaluate,
    FirstOf,
    Plan,
    Size,
    Stage,
    TierPlan,
    Work,
    barrier,
    simulate,
)
from simulator.records import Happening
from simulator.run import federation
from tests.simulator.worlds import Diary, computed, device, house, moved, room, times, wire
from topologies import DeviceProfile, Hierarchy, LinkProfile

NBYTES, FLOPS = 8, 8.0  # 64 bits; 2 s on a device
INTERRUPTED = {"status": "interrupted"}


def gather(wait=barrier, rounds=1):
    return TierPlan(("m",), rounds, wait)


def run(tree, flops=(), **plan):
    """What comes of one stage, without the closing broadcast: the log, the diaries and the workload."""
    workload = Diary({"m": Size(NBYTES, FLOPS)}, flops=dict(flops))
    stage = Stage("federate", Plan(plan), trainable=("m",))
    return *federation(tree, workload, [stage], final_broadcast=False), workload


def late(seconds, node, by, where="round 1 turn -"):
    return Happening(seconds, node, "late", f"dropped by {by} in {where}")


def alone(seconds, node, where="round 1 turn -"):
    return Happening(seconds, node, "no_arrivals", f"keeps its own model in {where}")


def test_a_deadline_inside_a_computation():
    tree = room(device(4.0), device(1.0), link=wire(64), edge=device())
    log, states, workload = run(tree, room=gather(Deadline(5)))
    assert log.spans == [
        *moved(tree, "room", "tablet0", "m", (0, 1), NBYTES),
        *moved(tree, "room", "tablet1", "m", (0, 1), NBYTES),
        computed(tree, "tablet0", "train", "m", (1, 3), FLOPS),
        *moved(tree, "tablet0", "room", "m", (3, 4), NBYTES),
        computed(tree, "tablet1", "train", "m", (1, 5), 1.0 * 4, **INTERRUPTED),
    ]
    assert log.happenings == [late(5, "tablet1", "room")]
    assert log.end_s == 5
    assert workload.trained == [("tablet0", 0)]
    assert states["tablet1"] == ("down room",)
    assert states["room"] == ("up tablet0",)


def test_a_deadline_inside_a_transfer_charges_the_bits_and_counts_whole_bytes():
    tree = room(device(), link=wire(16, 64), edge=device())
    log, states, _ = run(tree, room=gather(Deadline(5.375)))
    bits = 16 * 2.375  # 4.75 bytes
    assert log.spans[-2:] == moved(tree, "tablet0", "room", "m", (3, 5.375), 4, bits=bits, **INTERRUPTED)
    assert states["tablet0"] == ("down room", "train 0")


def test_a_deadline_inside_a_latency_costs_nothing_yet():
    tree = room(device(), link=wire(64, latency=2), edge=device())
    log, states, _ = run(tree, room=gather(Deadline(6)))
    assert log.spans[-2:] == moved(tree, "tablet0", "room", "m", (5, 6), 0, **INTERRUPTED)
    assert states["tablet0"] == ("down room", "train 0")


@pytest.mark.parametrize(("seconds", "nbytes"), [(1, 0), (2, 0), (2.5, 4)])
def test_a_deadline_inside_the_downlink_leaves_the_child_as_it_was(seconds, nbytes):
    tree = room(device(), link=wire(64, latency=2), edge=device())
    log, states, workload = run(tree, room=gather(Deadline(seconds)))
    assert log.spans == moved(tree, "room", "tablet0", "m", (0, seconds), nbytes, **INTERRUPTED)
    assert (states["tablet0"], workload.calls, workload.trained) == ((), [], [])


def test_a_deadline_while_packing_sends_nothing():
    tree = room(device(), link=wire(64), edge=device())
    log, states, _ = run(tree, flops={"pack": 4.0}, room=gather(Deadline(3.5)))
    assert log.spans[-1] == computed(tree, "tablet0", "pack", "m", (3, 3.5), 2.0, **INTERRUPTED)
    assert states["tablet0"] == ("down room", "train 0")


def test_all_flows_on_a_route_end_at_the_deadline():
    tree = house(wire(32), wire(16))
    log, _, _ = run(tree, cloud=gather(Deadline(3)))
    hops = [("cloud", "room"), ("room", "tablet0")]
    assert log.spans == [end for hop in hops for end in moved(tree, *hop, "m", (0, 3), 6, bits=48, **INTERRUPTED)]


@pytest.mark.parametrize(
    ("seconds", "ends"),
    [
        (0.5, ["transmit cloud campus", "receive campus cloud"]),
        (2.5, ["transmit room tablet0", "receive tablet0 room"]),
        (4, ["compute tablet0 "]),
        (5.5, ["transmit tablet0 room", "receive room tablet0"]),
        (7.5, ["transmit campus cloud", "receive cloud campus"]),
    ],
)
def test_a_deadline_at_the_top_interrupts_down_to_the_devices_at_that_very_time(seconds, ends):
    tree = house(wire(64), wire(64), wire(64))  # 1 s down each, trains in [3, 5], 1 s up each
    log, states, _ = run(tree, cloud=gather(Deadline(seconds)), campus=gather(), room=gather())
    cut = [span for span in log.spans if span.status == "interrupted"]
    assert [f"{span.kind} {span.node} {span.peer}" for span in cut] == ends
    assert {span.end_s for span in cut} == {seconds}
    assert max(span.end_s for span in log.spans) == log.end_s == seconds
    assert log.happenings == [late(seconds, "campus", "cloud"), alone(seconds, "cloud")]
    assert states["cloud"] == ()


def test_a_campus_that_gives_up_on_its_room_still_reports():
    tree = house(wire(64), wire(64), wire(64))
    log, states, _ = run(tree, cloud=gather(), campus=gather(Deadline(3)), room=gather())
    assert log.spans[-3:] == [
        computed(tree, "tablet0", "train", "m", (3, 4), 4.0, at=(1, "0.0"), **INTERRUPTED),
        *moved(tree, "campus", "cloud", "m", (4, 5), NBYTES),
    ]
    where = "round 1 turn 0"
    assert log.happenings == [late(4, "room", "campus", where), alone(4, "campus", where)]
    assert states["campus"] == ("down cloud", "sent")
    assert states["room"] == ("down campus",)


def test_a_room_interrupted_while_it_merges_has_merged_nothing():
    tree = house(wire(64), wire(64))  # 2 s down, trains in [2, 4], has reported at 5
    log, states, _ = run(tree, flops={"merge": 8.0}, cloud=gather(Deadline(6)), room=gather())
    assert log.spans[-1] == computed(tree, "room", "merge", "m", (5, 6), 4.0, at=(1, "0"), **INTERRUPTED)
    assert states["room"] == ("down cloud",)
    assert states["tablet0"] == ("down room", "train 0", "sent")


def test_two_deadlines_of_the_same_instant_interrupt_once():
    tree = house(wire(64), wire(64))
    log, _, _ = run(tree, cloud=gather(Deadline(3)), room=gather(Deadline(2)))
    assert times(log, status="interrupted") == [(2, 3)]
    assert log.end_s == 3


def test_the_next_round_starts_at_the_deadline():
    tree = room(device(4.0), device(1.0), link=wire(64))
    log, states, workload = run(tree, room=gather(Deadline(5), rounds=2))
    assert times(log, kind="receive", activity="down") == [(0, 1), (0, 1), (5, 6), (5, 6)]
    assert times(log, kind="compute", node="tablet0") == [(1, 3), (6, 8)]
    assert times(log, kind="compute", node="tablet1", status="interrupted", flops=4.0) == [(1, 5), (6, 10)]
    assert log.end_s == 10
    assert workload.trained == [("tablet0", 0), ("tablet0", 1)]
    assert states["tablet1"] == ("down room", "down room")


def test_an_interrupted_training_is_not_a_step():
    tree = house(wire(64), wire(64))  # a round: trains in [2, 4] and, interrupted, in [6, 7]
    log, _, workload = run(tree, cloud=gather(Deadline(7), rounds=2), room=gather(rounds=2))
    assert times(log, activity="train", status="done") == [(2, 4), (9, 11)]
    assert times(log, activity="train", status="interrupted") == [(6, 7), (13, 14)]
    assert workload.trained == [("tablet0", 0), ("tablet0", 1)]


def test_a_room_loses_its_slow_child_in_both_turns_and_merges_the_other():
    tree = house(wire(64), wire(64), tablets=1)
    tree.add("slow", "room", "device", device(1.0), wire(64))
    _, _, workload = run(tree, cloud=gather(), room=gather(Deadline(5), rounds=2))
    assert [call for call in workload.calls if call[0] == "room"] == [
        ("room", "down", ["cloud"], ("m",), 1),
        ("room", "up", ["tablet0"], ("m",), 2),
        ("room", "up", ["tablet0"], ("m",), 2),
    ]


def test_with_no_arrivals_a_tier_keeps_its_own_model_and_says_so():
    tree = room(device(), device(), link=wire(64))
    log, states, workload = run(tree, room=gather(Deadline(2), rounds=2))
    assert states["room"] == ()
    assert [call[1] for call in workload.calls] == ["down"] * 4
    assert log.happenings == [
        *(it for number, end in ((1, 2), (2, 4)) for it in (
            late(end, "tablet0", "room", f"round {number} turn -"),
            late(end, "tablet1", "room", f"round {number} turn -"),
            alone(end, "room", f"round {number} turn -"),
        )),
    ]  # fmt: skip


def test_first_of_interrupts_the_others_when_enough_have_arrived():
    tree = room(device(1.0), device(4.0), device(2.0), link=wire(64))  # reports at 10, 4 and 6
    log, _, workload = run(tree, room=gather(FirstOf(2)))
    assert log.end_s == 6
    assert log.spans[-1] == computed(tree, "tablet0", "train", "m", (1, 6), 5.0, **INTERRUPTED)
    assert workload.calls[-1] == ("room", "up", ["tablet1", "tablet2"], ("m",), 3)
    assert log.happenings == [late(6, "tablet0", "room")]


def test_first_of_counts_all_that_arrive_in_its_instant():
    tree = room(device(), device(), device(1.0), link=wire(64))
    log, _, workload = run(tree, room=gather(FirstOf(1)))
    assert log.end_s == 4
    assert workload.calls[-1] == ("room", "up", ["tablet0", "tablet1"], ("m",), 3)


def test_first_of_more_than_there_are_is_refused_before_the_run():
    tree = room(device(1.0), device(4.0), link=wire(64))
    with pytest.raises(ValueError, match=r"plan.room.wait.first: room has 2 children, so 5 can never"):
        run(tree, room=gather(FirstOf(5)))


def test_an_arrival_exactly_at_the_deadline_counts():
    log, states, _ = run(room(device(), link=wire(64)), room=gather(Deadline(4)))
    assert (log.end_s, log.happenings, states["room"]) == (4, [], ("up tablet0",))
    tree = house(wire(64), wire(64), wire(64))
    log, states, _ = run(tree, cloud=gather(Deadline(8)), campus=gather(Deadline(6)), room=gather(Deadline(4)))
    assert (log.end_s, log.happenings, states["cloud"]) == (8, [], ("up campus",))


def test_a_computation_that_ends_exactly_at_the_deadline_is_learned():
    tree = room(device(), link=wire(64))
    log, states, _ = run(tree, room=gather(Deadline(3)))
    assert times(log, kind="compute", status="done") == [(1, 3)]
    assert times(log, status="interrupted", kind="transmit") == [(3, 3)]
    assert states["tablet0"] == ("down room", "train 0")


def test_merge_order_is_child_order_and_not_order_of_arrival():
    tree = room(device(1.0), device(4.0), link=wire(64))  # tablet1 reports first
    log, states, workload = run(tree, room=gather())
    assert times(log, node="room", kind="receive") == [(3, 4), (9, 10)]
    assert states["room"] == ("up tablet0+tablet1",)
    assert workload.calls == [
        ("tablet0", "down", ["room"], ("m",), 1),
        ("tablet1", "down", ["room"], ("m",), 1),
        ("room", "up", ["tablet0", "tablet1"], ("m",), 2),
    ]


def test_what_a_sender_keeps_is_kept_once_its_report_is_delivered():
    tree = room(device(), device(1.0), link=wire(64))
    _, states, _ = run(tree, room=gather(Deadline(9.5)))  # tablet1 is half way up
    assert states["tablet0"] == ("down room", "train 0", "sent")
    assert states["tablet1"] == ("down room", "train 0")


def test_scoring_makes_nobody_late():
    """Down 1 s, training 3 s, up 1 s: due at the deadline of 5 s, whether models are scored beside it or not."""
    wire_1 = LinkProfile("wire", "wired", 8.0, 8.0)
    tablet = DeviceProfile("tablet", "device", 1.0, 1.0, 1, 1.0, 1.0, 0.0, 1.0)
    tree = Hierarchy("room", "classroom", tablet)
    for name in ("a", "b"):
        tree.add(name, "room", "device", tablet, wire_1)

    class Scored(CostOnly):
        def work(self, node, activity, step, modules=(), count=1):
            return Work(7.0) if activity == "evaluate" else super().work(node, activity, step, modules, count)

    plan = Plan(classroom=TierPlan(("m",), rounds=3, wait=Deadline(5.0)))
    for tiers in ((), ("device",)):
        evaluate = Evaluate(tiers=tiers, moments=("after_broadcast",))
        log = simulate(tree, Scored({"m": Size(1, 3.0)}), [Stage("s", plan, "device", ("m",))], evaluate=evaluate)
        assert not log.happenings
        assert sum(span.activity == "evaluate" for span in log.spans) == 2 * 3 * len(tiers) + 2 * len(tiers)
        assert max(span.end_s for span in log.spans if span.activity == "up") == 15.0
