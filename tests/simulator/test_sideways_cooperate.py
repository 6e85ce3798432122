"""One trains for another: who, when, at whose cost, and who reports what."""

import numpy as np
import pytest

from simulator.sideways.cooperate import Cooperate
from tests.simulator.vectors import NBYTES, Copy, Vectors, friends, meet
from tests.simulator.worlds import wire

HOP = 8 * NBYTES / 64  # seconds
STATES = {name: Copy(np.array([float(k)])) for k, name in enumerate("abc")}
TRIANGLE = [("a", "b", wire(16)), ("a", "c"), ("b", "c")]
MODEL = Vectors(training=8.0)  # 2 s on a device


def test_the_quickest_neighbour_gets_the_samples_once_and_trains_each_turn():
    met = meet(friends("abc", TRIANGLE), Cooperate(("a",), 32), STATES, workload=MODEL, turns=2, due=True)
    samples, turn = 8 * 32 / 64, 2 + HOP
    assert met.spans() == [("a", "c", 0, samples, "done"),
                           ("c", "a", samples + 2, samples + turn, "done"),
                           ("c", "a", samples + turn + 2, samples + 2 * turn, "done")]  # fmt: skip
    assert met.spans("compute") == [("c", "", samples, samples + 2, "done"),
                                    ("c", "", samples + turn, samples + turn + 2, "done")]  # fmt: skip
    assert met.states["a"].vector == 0 + 10**0 + 10**1  # its own trainings, by their steps
    assert [report.sender for report in met.reports] == list("abc") * 2


def test_pooled_the_helper_reports_both_with_the_votes_of_both():
    policy = Cooperate(("a",), {"a": 32}, result="pooled")
    met = meet(friends("abc", TRIANGLE), policy, STATES, workload=MODEL, due=True)
    assert [(report.sender, report.state.votes) for report in met.reports] == [("b", 1), ("c", 1 + 2)]
    assert met.reports[1].state.vector == pytest.approx((1 * 2 + 2 * (0 + 1)) / 3)
    assert met.states["a"].votes == 0
    assert met.end_s == 4 + 2


def test_a_helper_of_two_trains_them_side_by_side():
    met = meet(friends("abc", TRIANGLE), Cooperate(("a", "b"), 0), STATES, workload=MODEL)
    assert [span[:4] for span in met.spans("compute")] == [("c", "", 0, 4), ("c", "", 0, 4)]


def test_a_helper_that_goes_is_replaced_in_the_next_turn():
    met = meet(friends("abc", TRIANGLE), Cooperate(("a",), 32), STATES, workload=MODEL, turns=2, due=True,
               gone={"c": 5.0})  # fmt: skip
    assert ("a", "no_helper") in met.kinds()
    assert [report.sender for report in met.reports] == ["b", "a", "b"]
    assert met.spans("compute") == [("c", "", 4, 5, "interrupted"), ("b", "", 5 + 16, 5 + 16 + 2, "done")]
    assert met.states["a"].vector == 1  # one training was done


def test_who_cannot_be_helped_is_refused():
    for policy, message in [
        (lambda: Cooperate(("a", "b", "c"), 1), "a has no neighbour that trains"),
        (lambda: Cooperate(("a",), {"b": 1}), "nbytes of a is missing"),
        (lambda: Cooperate(("a",), -1), "nbytes of a must be >= 0, got -1"),
        (lambda: Cooperate(("a",), 1, result="away"), "result must be back, pooled, got 'away'"),
    ]:
        with pytest.raises(ValueError, match=message):
            meet(friends("abc", TRIANGLE), policy(), STATES)
