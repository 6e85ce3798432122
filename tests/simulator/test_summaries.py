"""One row per classroom in place of its devices': every sum that the rows had."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.records import Span
from simulator.summaries import summarised, summary_name
from topologies import campus

TREE = campus(2, 2, "android_tablet_budget")
GROUPED = campus(2, 2, "android_tablet_budget", grouped=True)
ROOM, TABLETS = "campus0/room0", ("campus0/room0/tablet0", "campus0/room0/tablet1")
LEAVES = [f"campus0/room{room}/tablet{i}" for room in range(2) for i in range(2)]


def span(kind, node, peer, joules=1.0, nbytes=8, times=(0.0, 1.0), *, round=1, turn="0", modules="a", status="done"):
    row = (kind, node, TREE.tier(node), peer, round, turn, modules, *times, joules, nbytes, joules * 2, status, "train")
    return Span(*row)


def both_ends(sender, receiver, *what, **how):
    activity = "up" if TREE.parent(sender) == receiver else "down"
    ends = span("transmit", sender, receiver, *what, **how), span("receive", receiver, sender, *what, **how)
    return [end._replace(activity=activity) for end in ends]


@st.composite
def runs(draw):
    """Spans of devices, rooms and the campus, whose joules are whole, so that any order adds up to the same."""
    rows = []
    for _ in range(draw(st.integers(0, 30))):
        node = draw(st.sampled_from([*LEAVES, ROOM, "campus0/room1"]))
        start = draw(st.integers(0, 9))
        what = (float(draw(st.integers(0, 99))), draw(st.integers(0, 99)), (start, start + draw(st.integers(0, 9))))
        how = {
            "round": draw(st.integers(1, 2)), "turn": draw(st.sampled_from(["0", "1"])),
            "modules": draw(st.sampled_from(["a", "b", "a+b"])),
            "status": draw(st.sampled_from(["done", "interrupted"])),
        }  # fmt: skip
        ends = [node, TREE.parent(node)]
        rows += draw(
            st.sampled_from(
                [
                    [span("compute", node, "", *what, **how)],
                    both_ends(*ends, *what, **how),
                    both_ends(*ends[::-1], *what, **how),
                ]
            )
        )
    return rows


def sums(rows, *columns):
    found = defaultdict(lambda: [0.0, 0, 0.0])
    for row in rows:
        total = found[tuple(getattr(row, column) for column in columns)]
        for i, value in enumerate((row.joules, row.nbytes, row.flops)):
            total[i] += value
    return dict(found)


@given(runs())
def test_every_ledger_holds_as_before(rows):
    short, name = summarised(rows, TREE), summary_name(TREE)
    renamed = [row._replace(node=name(row.node), peer=name(row.peer) if row.peer else "") for row in rows]
    for columns in (("kind", "node"), ("kind", "tier", "activity", "round", "status"), ("node", "peer", "kind")):
        assert sums(short, *columns) == sums(renamed, *columns)
    keys = [(r.kind, r.node, r.tier, r.peer, r.round, r.status, r.activity) for r in short if "*" in r.node + r.peer]
    assert len(keys) == len(set(keys))  # one row of each sort
    assert [r for r in short if "*" not in r.node + r.peer] == [r for r in renamed if "*" not in r.node + r.peer]


@given(runs())
def test_what_is_sent_still_arrives(rows):
    short = summarised(rows, TREE)
    values = ("nbytes", "start_s", "end_s", "modules", "turn", "round", "status", "activity")
    sent = [(r.node, r.peer, *(getattr(r, v) for v in values)) for r in short if r.kind == "transmit"]
    came = [(r.peer, r.node, *(getattr(r, v) for v in values)) for r in short if r.kind == "receive"]
    assert sorted(sent) == sorted(came)


@given(runs(), st.integers(0, 30))
def test_a_round_may_come_in_parts(rows, cut):
    assert summarised(summarised(rows[:cut], TREE) + summarised(rows[cut:], TREE), TREE) == summarised(rows, TREE)


@given(runs())
def test_groups_are_summarised_as_their_members_would_be(rows):
    assert summarised(rows, GROUPED) == summarised(rows, TREE)


def test_two_tablets_of_a_room_by_hand():
    rows = [
        span("compute", TABLETS[0], "", 3.0, 0, (1.0, 2.0), turn="0"),
        *both_ends(TABLETS[0], ROOM, 0.5, 10, (2.0, 4.0), modules="a+b"),
        span("compute", TABLETS[1], "", 4.0, 0, (0.5, 3.0), turn="1"),
        *both_ends(TABLETS[1], ROOM, 0.25, 5, (3.0, 6.0), modules="b+c"),
        span("compute", ROOM, "", 9.0, 0, (6.0, 7.0)),
    ]
    up = (1, "0", "a+b+c", 2.0, 6.0, 0.75, 15, 1.5, "done", "up")
    assert summarised(rows, TREE) == [
        Span("compute", f"{ROOM}/*", "device", "", 1, "", "a", 0.5, 3.0, 7.0, 0, 14.0, "done", "train"),
        Span("transmit", f"{ROOM}/*", "device", ROOM, *up),
        Span("receive", ROOM, "classroom", f"{ROOM}/*", *up),
        rows[-1],
    ]


@pytest.mark.parametrize("tree", [TREE, GROUPED])
def test_only_leaves_share_a_name(tree):
    name = summary_name(tree)
    assert [name(node) for node in ("campus0", ROOM, *TABLETS)] == ["campus0", ROOM, f"{ROOM}/*", f"{ROOM}/*"]
    assert name(f"{ROOM}/*") == f"{ROOM}/*"
