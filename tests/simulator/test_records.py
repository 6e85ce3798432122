"""The tables of a run: lists to their readers, columns and files inside, and sums that outlive the rows."""

import math
import tracemalloc
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.records import Happening, Log, Metric, Span, Spans
from simulator.tables import HOT, Table

KINDS, NODES = ("compute", "transmit", "receive"), ("a", "b", "c")


def spans(number, seed=0):
    """So many different spans, whose joules are hard to add up."""
    random = np.random.default_rng(seed)
    watts = random.choice([1e-12, 1.0, 1e12], number) * random.random(number)
    return [
        Span(
            KINDS[i % 3], NODES[i // 3 % 3], "t", "", i // 100, f"{i % 7}", "m",
            i if i % 5000 == 0 else i / 3, i / 3 + 1, float(watts[i]), i, i / 7, "done", "train",
        )
        for i in range(number)
    ]  # fmt: skip


@pytest.fixture(params=[0, 3, HOT - 1, HOT, 2 * HOT + 5])
def pair(request):
    """A table, half of it released where it is longer than a page, and the list that it stands for."""
    rows, table = spans(request.param), Spans()
    table.extend(rows[: HOT + 2])
    if len(rows) > HOT:
        table.release(lambda: rows[: HOT + 2])
    table.extend(rows[HOT + 2 :])
    return table, rows


def test_a_table_reads_as_a_list(pair):
    table, rows = pair
    assert list(table) == rows
    assert table == rows
    assert rows == table
    assert len(table) == len(rows)
    assert bool(table) == bool(rows)
    assert list(reversed(table)) == rows[::-1]
    assert all(isinstance(row, Span) for row in islice(table, 10))
    for position in (0, 1, -1, HOT - 1, HOT, HOT + 1, HOT + 2, 2 * HOT, -2 * HOT):
        if -len(rows) <= position < len(rows):
            assert table[position] == rows[position]
        else:
            with pytest.raises(IndexError):
                table[position]


def test_slices_are_those_of_a_list(pair):
    table, rows = pair
    for cut in (slice(None), slice(2, -2), slice(-3, None), slice(5, 2), slice(None, None, -1), slice(HOT, None, 7),
                slice(HOT + 1, HOT - 4, -2), slice(-5, -1, 3)):  # fmt: skip
        assert table[cut] == rows[cut]


def test_another_list_is_not_equal(pair):
    table, rows = pair
    assert table != [*rows, rows[0] if rows else 1]
    assert table != "rows"
    if rows:
        assert table != [*rows[:-1], rows[-1]._replace(joules=-1.0)]


def test_values_come_back_as_the_type_that_they_had():
    """The bytes of a file follow from it: 0 is not 0.0."""
    rows = spans(HOT)
    rows[7] = rows[7]._replace(nbytes=2**70)
    rows[8] = rows[8]._replace(joules=float("nan"), flops=float("inf"))
    table = Spans()
    table.extend(rows)
    assert [[repr(value) for value in row] for row in table] == [[repr(value) for value in row] for row in rows]


def test_plain_tuples_and_numpy_numbers_are_rows_too():
    table = Table(Happening)
    table.extend((np.float64(i) / 3, "n", "late", f"{i}") for i in range(HOT + 1))
    assert table[1].time_s == table[-1].time_s / HOT == 1 / 3
    assert type(table[1].time_s) is float


def held_bytes(make):
    """What is held in the end by what is made."""
    tracemalloc.start()
    made = make()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held, made


def test_packed_rows_take_a_third_of_the_memory():
    def rows():
        return (Span("compute", "a", "t", "", i, "0", "m", i / 3, i / 7, i / 9, i, i / 11, "done", "x")
                for i in range(300, 300 + 3 * HOT))  # fmt: skip

    def table():
        made = Spans()
        made.extend(rows())
        return made

    packed, made = held_bytes(table)
    assert made._hot == []
    assert packed <= 3 * HOT * (6 * 8 + 8 * 4) * 1.1  # six numbers of 8 bytes and eight codes of 4
    assert packed < held_bytes(lambda: list(rows()))[0] / 3


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, HOT // 2), min_size=1, max_size=6),
    st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_sums_stay_true_whenever_rows_are_released(lengths, releases):
    rows, log = spans(sum(lengths)), Log()
    done = 0
    for length, release in zip(lengths, releases, strict=False):
        log.spans.extend(rows[done : done + length])
        done += length
        if release:
            log.spans.release(lambda upto=done: rows[:upto])
            assert list(log.spans.kept()) == []
    for node in NODES:
        for kind in KINDS:
            own = [row for row in rows if (row.node, row.kind) == (node, kind)]
            assert log.joules(node, kind) == pytest.approx(math.fsum(row.joules for row in own), rel=1e-15)
            assert log.nbytes(node, kind) == sum(row.nbytes for row in own)
    assert log.joules() == pytest.approx(math.fsum(row.joules for row in rows), rel=1e-15)
    assert log.flops() == pytest.approx(math.fsum(row.flops for row in rows), rel=1e-12)
    assert log.spans.last_round == max((row.round for row in rows), default=0)
    assert log.spans.end_s == max((row.end_s for row in rows), default=0)
    assert log.spans == rows


def test_joules_are_added_without_loss():
    """1 + 1e16 - 1e16 is 1, and a float alone would say 0."""
    log = Log()
    log.spans.extend(spans(1)[0]._replace(joules=joules) for joules in (1.0, 1e16, -1e16))
    assert log.joules("a", "compute") == 1.0
    log.spans.append(spans(1)[0]._replace(joules=math.inf))
    assert log.joules() == math.inf


def test_what_nobody_did_adds_up_to_nothing():
    log = Log()
    assert (log.joules("a", "compute"), log.joules(), log.nbytes("a", "transmit"), log.flops("a")) == (0, 0, 0, 0)
    assert (log.spans.last_round, log.spans.end_s) == (0, 0)


def test_a_released_table_may_hold_summaries_in_place_of_the_rows():
    rows, table = spans(9), Spans()
    table.extend(rows[:6])
    table.release(lambda: rows[:2], 2)
    table.extend(rows[6:])
    assert table == rows[:2] + rows[6:]
    assert sum(total.nbytes for total in table.totals()) == sum(range(9))


def test_tables_become_frames_with_their_columns():
    log = Log()
    assert list(log.frame("metrics")) == list(Metric._fields)
    log.spans.extend(spans(4))
    assert log.frame("spans").joules.tolist() == [row.joules for row in spans(4)]
    assert log.frame("spans").turn.tolist() == ["0", "1", "2", "3"]
