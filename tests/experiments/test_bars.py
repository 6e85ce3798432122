"""Bars of an answer: their intervals are those that the table has."""

import pytest

from experiments.compare import paired
from experiments.figures.bars import draw_bars, reach

DIFFERENCE = "minus own [95 %]"


def test_an_interval_reaches_as_far_as_the_paired_difference():
    found = paired([0.9, 1.0, 0.8, 0.95], [0.7, 0.75, 0.7, 0.7])
    below, above = reach({DIFFERENCE: str(found)}, DIFFERENCE)
    assert below == pytest.approx(found.mean - found.low, abs=1e-3)  # three digits are printed
    assert above == pytest.approx(found.high - found.mean, abs=1e-3)
    assert reach({DIFFERENCE: "+0.2 [+0.1, +0.4]"}, DIFFERENCE) == pytest.approx((0.1, 0.2))
    assert reach({DIFFERENCE: ""}, DIFFERENCE) == reach({DIFFERENCE: str(found)}, None) == (0.0, 0.0)


def test_intervals_are_drawn_where_they_are_asked_for(tmp_path):
    rows = [{"plan": "own", "mse": 0.7, DIFFERENCE: ""}, {"plan": "all", "mse": 0.9, DIFFERENCE: "+0.2 [+0.1, +0.3]"}]
    drawn = [
        [path.read_bytes() for path in draw_bars(tmp_path, "bars", rows, "plan", ["mse"], "error", against)]
        for against in (None, DIFFERENCE, DIFFERENCE)
    ]
    assert drawn[0][0] != drawn[1][0]
    assert drawn[1] == drawn[2]
