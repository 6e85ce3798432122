"""Errors and rankings against their definitions."""

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.reality.comparison import agreement, repeatability


def test_errors_by_hand():
    found = agreement([1.0, 2.0, 4.0], [1.1, 1.9, 4.0])
    assert found.mean_error == pytest.approx((0.1 + 0.05 + 0.0) / 3)
    assert found.bias == pytest.approx((0.1 - 0.05 + 0.0) / 3)
    assert found.p95_error == pytest.approx(0.05 + 0.9 * (0.1 - 0.05))  # 95 % of the way over two intervals is 1.9
    assert found.tau == 1.0


@given(st.permutations(range(7)))
def test_tau_counts_pairs(order):
    """Kendall 1945: concordant minus discordant pairs, over all."""
    real, simulated = [float(i + 1) for i in range(7)], [float(i + 1) for i in order]
    signs = [(1 if simulated[a] < simulated[b] else -1) for a, b in combinations(range(7), 2)]
    assert agreement(real, simulated).tau == pytest.approx(sum(signs) / len(signs))


def test_goals_need_all_three():
    real = [1.0, 2.0, 3.0, 4.0]
    assert agreement(real, [1.01, 2.02, 3.03, 4.04]).met
    assert not agreement(real, [1.021, 2.042, 3.063, 4.084]).met
    assert not agreement([1.0, 1.001, 1.002], [1.002, 1.001, 1.0]).met


def test_a_single_configuration_has_no_ranking():
    assert math.isnan(agreement([1.0], [1.0]).tau)


@pytest.mark.parametrize(("real", "simulated"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([math.nan], [1.0])])
def test_what_cannot_be_compared_is_refused(real, simulated):
    with pytest.raises(ValueError, match="as many simulated as measured"):
        agreement(real, simulated)


def test_reality_against_itself_takes_every_second_round():
    found = repeatability([[1.0, 1.1, 1.0, 1.1, 1.0], [2.0, 2.0], [5.0]])
    assert found.bias == pytest.approx(0.1 / 2)
