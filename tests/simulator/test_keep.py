"""Late and kept: semi-asynchronous and asynchronous rounds, as schedules that can be worked out by hand."""

from dataclasses import dataclass, field
from zlib import crc32

from simulator import Deadline, FirstOf, Plan, RandomOf, Size, Stage, TierPlan
from simulator.gathering.selection import chosen
from simulator.presence import Timetable, Windows
from simulator.records import Happening
from simulator.run import federation
from tests.simulator.worlds import Diary, device, room, times, wire
from topologies import Hierarchy
from topologies.streams import stream

NBYTES = 8  # 64 bits: 1 s each way on a wire of 64 bit/s


@dataclass
class Stale(Diary):
    """Records who was merged, and how stale each was."""

    merged: list = field(default_factory=list)

    def merge(self, node, own, received, modules, direction, count):
        if direction == "up":
            self.merged.append([(node, arrival.sender, arrival.staleness) for arrival in received])
        return super().merge(node, own, received, modules, direction, count)


def workload(**flops):
    return Stale({"m": Size(NBYTES, 1.0)}, flops=flops)


def tablets(*seconds, edge=None):
    """Tablets whose training takes these seconds."""
    return room(*[device(1 / s) for s in seconds], link=wire(64), edge=edge)


def kept(wait, rounds=1, **how):
    return TierPlan(("m",), rounds, wait, late="keep", **how)


def run(tree, learning, plan, **how):
    stage = Stage("s", Plan(plan), trainable=tuple(learning.sizes))
    return federation(tree, learning, [stage], final_broadcast=False, **how)[0]


def uploads(log, node):
    return [end for _, end in times(log, node=node, kind="transmit", status="done")]


def test_whoever_comes_first_is_merged_and_asked_again_at_once_so_each_reports_as_often_as_it_can():
    """FedAsync as a renewal process: down 1 s, training, up 1 s, over and over, whatever the others do."""
    cycles, rounds = (3.0, 5.125, 7.0625), 40
    tree, learning = tablets(*(cycle - 2 for cycle in cycles)), workload()
    log = run(tree, learning, {"room": kept(FirstOf(1), rounds)})

    due = sorted((cycle * n, i) for i, cycle in enumerate(cycles) for n in range(1, rounds + 1))[:rounds]
    assert log.end_s == due[-1][0]
    for i, cycle in enumerate(cycles):
        assert uploads(log, f"tablet{i}") == [time for time, who in due if who == i]
        assert times(log, node=f"tablet{i}", activity="train")[0] == (1.0, cycle - 1)
    expected = [
        [("room", f"tablet{i}", sum(time - cycles[i] < other < time for other, _ in due))] for time, i in due
    ]  # merges since it was sent the model, its own last one being in it
    assert learning.merged == expected
    assert max(stale for ((_, _, stale),) in expected) >= 3


def test_the_rounds_of_a_kept_child_are_those_in_which_it_was_asked():
    log = run(tablets(1.0, 5.0), workload(), {"room": kept(FirstOf(1), 3)})
    asked = [(span.node, span.round) for span in log.spans if span.activity == "train" and span.status == "done"]
    assert asked == [("tablet0", 1), ("tablet0", 2), ("tablet1", 1)]  # until 2, 5 and 6 s; the last reports at 7
    assert log.end_s == 7.0


def test_a_buffer_of_two_by_hand():
    """Tablets report after 3, 4 and 9 s; two reports make a merge.

    At 4 s the first two are merged and asked again; at 8 they are back; the third, at 9, is the first of the next
    merge, with the one that comes at 11: two merges have been made since it was asked.
    """
    learning = workload()
    log = run(tablets(1.0, 2.0, 7.0), learning, {"room": kept(FirstOf(2), 3)})
    assert learning.merged == [
        [("room", "tablet0", 0), ("room", "tablet1", 0)],
        [("room", "tablet0", 0), ("room", "tablet1", 0)],
        [("room", "tablet0", 0), ("room", "tablet2", 2)],
    ]
    assert log.end_s == 11.0
    assert times(log, node="tablet2", kind="compute") == [(1.0, 8.0)]  # one training, undisturbed
    stale, late = log.happenings
    assert stale == Happening(11.0, "tablet2", "stale", "staleness 2 at room, in round 3 turn -")
    assert late == Happening(11.0, "tablet1", "late", "still out when stage s ended, asked by room in round 3 turn -")


def test_an_arrival_while_its_parent_merges_counts_at_the_next_merge_at_once():
    """Merging takes 4 s. The second report lands at 4 s, in the first merge (3 to 7); the next merge begins at 7."""
    learning = workload(merge=16.0)
    tree = tablets(1.0, 2.0, edge=device(4.0))
    log = run(tree, learning, {"room": kept(FirstOf(1), 2)})
    assert learning.merged == [[("room", "tablet0", 0)], [("room", "tablet1", 1)]]
    assert times(log, activity="merge") == [(3.0, 7.0), (7.0, 11.0)]
    # it is not asked in the turn in which it waits to be merged; the first is, and lands (at 10) in the second merge
    assert times(log, node="tablet1", activity="train") == [(1.0, 3.0)]
    assert [it.detail for it in log.happenings] == [
        "staleness 1 at room, in round 2 turn -",
        "came after the last merge of stage s, asked by room in round 2 turn -",
    ]


def test_a_deadline_that_keeps():
    """A deadline of 4 s: the slow one reports at 10 s, in the third turn, not interrupted, sent one model."""
    learning = workload()
    log = run(tablets(1.0, 8.0), learning, {"room": kept(Deadline(4.0), 3)})
    assert learning.merged == [
        [("room", "tablet0", 0)],
        [("room", "tablet0", 0)],
        [("room", "tablet0", 0), ("room", "tablet1", 2)],
    ]
    assert times(log, node="tablet1", kind="receive") == [(0.0, 1.0)]
    assert {span.status for span in log.spans} == {"done"}
    # All that are out are back before the third deadline: at 10 s the turn is over.
    assert (log.end_s, [(it.kind, it.time_s) for it in log.happenings]) == (11.0, [("stale", 11.0)])


def test_k_of_all_and_nobody_late_is_as_without_keeping():
    tree, plans = tablets(1.0, 2.0, 3.0), [TierPlan(("m",), 3, FirstOf(3), late=late) for late in ("drop", "keep")]
    dropped, keeping = (run(tree, workload(), {"room": plan}) for plan in plans)
    assert list(dropped.spans) == list(keeping.spans)


def test_when_a_stage_ends_who_is_still_out_is_cut_and_gets_the_new_model():
    tree, learning = tablets(1.0, 8.0), workload()
    stage = Stage("s", Plan(room=kept(FirstOf(1))), trainable=("m",))
    log, states = federation(tree, learning, [stage])
    assert times(log, node="tablet1", status="interrupted") == [(1.0, 3.0)]
    assert times(log, node="tablet1", kind="receive") == [(0.0, 1.0), (3.0, 4.0)]
    assert states["tablet1"] == ("down room", "down room")


def test_in_the_next_stage_all_are_asked_again():
    tree, learning = tablets(1.0, 8.0), workload()
    stages = [Stage(name, Plan(room=kept(FirstOf(1))), trainable=("m",), preinstalled=True) for name in ("a", "b")]
    log, _ = federation(tree, learning, stages)
    assert times(log, node="tablet1", kind="receive") == [(0.0, 1.0), (3.0, 4.0)]
    assert learning.merged == [[("room", "tablet0", 0)]] * 2  # what a stage's end sent down counts as sent


def test_a_kept_child_that_leaves_is_out_no_more():
    """The slow one leaves at 5 s, in its training, and is back at 6.5: it is asked in the turn that begins at 9."""
    presence = Timetable(Windows(((0.0, 5.0), (6.5, 100.0))), frozenset({"tablet1"}))
    learning = workload()
    log = run(tablets(1.0, 8.0), learning, {"room": kept(FirstOf(1), 4)}, presence=presence)
    assert times(log, node="tablet1", kind="compute") == [(1.0, 5.0), (10.0, 12.0)]
    assert [merged[0][1] for merged in learning.merged] == ["tablet0"] * 4


def test_only_those_who_are_not_out_are_chosen_from():
    learning = workload()
    log = run(tablets(*[30.0] * 6), learning, {"room": kept(Deadline(1.0), 3, select=RandomOf(2))})
    asked = times(log, kind="receive")
    assert asked == [(n, n + 1.0) for n in (0.0, 1.0, 2.0) for _ in range(2)]
    assert len({span.node for span in log.spans if span.kind == "receive"}) == 6
    first = chosen(RandomOf(2), range(6), stream(0, "select", "room", crc32(b"s|round 1 turn -")))
    assert [span.node for span in log.spans if span.kind == "receive"][:2] == [f"tablet{n}" for n in first]


def nested(*seconds):
    tree = Hierarchy("cloud", "cloud")
    tree.add("room", "cloud", "room", device(), wire(64))
    for n, each in enumerate(seconds):
        tree.add(f"tablet{n}", "room", "device", device(1 / each), wire(64))
    return tree


def test_what_a_room_has_out_persists_over_the_rounds_above():
    """The room merges its first and reports; the slow one, asked in the cloud's first round, lands in its second.

    Round 1: down until 1, tablet0 until 4, up until 5. Round 2: down until 6, both asked or out: tablet1 lands at 7.
    """
    learning = workload()
    log = run(nested(1.0, 4.0), learning, {"cloud": TierPlan(("m",), 2), "room": kept(FirstOf(1))})
    assert learning.merged == [
        [("room", "tablet0", 0)],
        [("cloud", "room", 0)],
        [("room", "tablet1", 1)],
        [("cloud", "room", 0)],
    ]
    assert log.end_s == 8.0
    reports = [s for s in log.spans if s.activity == "up" and s.kind == "transmit" and s.status == "done"]
    assert [(s.node, s.round) for s in reports] == [("tablet0", 1), ("room", 1), ("tablet1", 1), ("room", 2)]
    assert [(it.node, it.kind) for it in log.happenings] == [("tablet1", "stale"), ("tablet0", "late")]


def test_a_room_that_is_cut_takes_those_it_has_out_with_it():
    """The cloud waits 5.5 s and drops the room: both tablets are cut there, also the one kept from the first turn."""
    plan = {"cloud": TierPlan(("m",), 1, Deadline(5.5)), "room": kept(FirstOf(1), 9)}
    log = run(nested(1.0, 40.0), workload(), plan)
    cut = [(span.node, span.start_s, span.end_s) for span in log.spans if span.status == "interrupted"]
    assert sorted(cut) == [("tablet0", 5.0, 5.5), ("tablet1", 2.0, 5.5)]
    assert log.end_s == 5.5
    assert [it.node for it in log.happenings] == ["room", "cloud"]  # late, and no arrivals


def test_a_room_that_is_cut_while_it_reports_takes_those_it_has_out_with_it():
    """The room sends its report from 4 to 5 s; the cloud gives up at 4.5 s and goes on without it."""
    plan = {"cloud": TierPlan(("m",), 2, Deadline(4.5)), "room": kept(FirstOf(1))}
    log = run(nested(1.0, 40.0), workload(), plan)
    assert times(log, node="tablet1", kind="compute") == [(2.0, 4.5), (6.5, 9.0)]


def test_staleness_counts_from_when_a_model_was_last_sent():
    """Every second turn sends something down: the report of the others builds on the merge before the last."""
    learning = Stale({"a": Size(NBYTES, 1.0), "b": Size(NBYTES)})
    plan = TierPlan(("a", "b"), 4, FirstOf(1), late="keep", down=("b",), every={"b": 2})
    run(tablets(1.0), learning, {"room": plan})
    assert [stale for ((_, _, stale),) in learning.merged] == [0, 1, 0, 1]


def test_what_is_merged_is_what_was_due_when_its_sender_was_asked():
    """Turns from 0 to 2, 6 and 8 s. tablet1 is asked in the second, when b is due, and lands in the third."""
    learning = Stale({"a": Size(NBYTES, 1.0), "b": Size(NBYTES)})
    presence = Timetable(Windows(((1.0, 99.0),)), frozenset({"tablet1"}))
    plan = TierPlan(("a", "b"), 3, Deadline(4.0), late="keep", every={"b": 2}, down=())
    run(tablets(1.0, 4.0), learning, {"room": plan}, presence=presence)
    ups = [(senders, modules) for _, way, senders, modules, _ in learning.calls if way == "up"]
    assert ups == [(["tablet0"], ("a",)), (["tablet0"], ("a", "b")), (["tablet0", "tablet1"], ("a", "b"))]
