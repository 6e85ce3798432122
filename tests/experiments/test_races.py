"""Curves of several runs in one picture."""

import numpy as np
import pandas as pd

from experiments.figures.races import draw_races, together


def course(times, values):
    return pd.DataFrame({"time_s": times, "value": values})


def test_runs_are_compared_once_all_of_them_have_begun():
    slow, fast = course([2.0, 6.0, 10.0], [0.0, 0.4, 0.8]), course([1.0, 5.0, 8.0], [0.1, 0.5, 0.5])
    times, values = together([slow, fast])
    assert times.tolist() == [2, 5, 6, 8, 10]
    assert np.allclose(values, [[0.0, 0.3, 0.4, 0.6, 0.8], [0.2, 0.5, 0.5, 0.5, 0.5]])  # fast has ended at 8


def test_one_run_is_itself():
    times, values = together([course([1.0, 2.0], [0.25, 0.5])])
    assert (times.tolist(), values.tolist()) == ([1, 2], [[0.25, 0.5]])


def test_another_seed_changes_the_picture(tmp_path):
    one, other = course([1.0, 2.0], [0.2, 0.4]), course([1.0, 2.0], [0.1, 0.5])  # the mean is the same

    def drawn(*runs):
        return [path.read_bytes() for path in draw_races(tmp_path, "race", {"way": runs}, "accuracy")]

    middle = course([1.0, 2.0], [0.15, 0.45])
    assert drawn(middle, middle) != drawn(one, other)
    assert drawn(one, other) == drawn(other, one)
