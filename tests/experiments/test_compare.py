"""Paired intervals against Student's t in closed form and as printed in tables."""

import math

import pytest

from experiments.compare import paired


def test_two_pairs_have_one_degree_of_freedom():
    """t(1) is the Cauchy distribution, whose quantile is tan(pi (p - 1/2)); two differences 0 and 2 have s = sqrt 2."""
    found = paired([1.0, 3.0], [1.0, 1.0])
    half = math.tan(math.pi * 0.475) * math.sqrt(2) / math.sqrt(2)
    assert (found.mean, found.low, found.high) == pytest.approx((1.0, 1 - half, 1 + half), rel=1e-12)
    assert not found.differs


def test_three_pairs_have_two_degrees_of_freedom():
    """The quantile of t(2) is (2p - 1) / sqrt(2 p (1 - p)); the differences -1, 0, 1 moved to 5 have s = 1."""
    found = paired([14.0, 25.0, 36.0], [10.0, 20.0, 30.0])
    half = 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)
    assert (found.mean, found.low, found.high) == pytest.approx((5.0, 5 - half, 5 + half), rel=1e-12)
    assert found.differs


@pytest.mark.parametrize(("n", "quantile"), [(4, 3.182), (5, 2.776), (6, 2.571), (11, 2.228), (31, 2.042)])
def test_more_pairs_follow_the_printed_table(n, quantile):
    """Differences 1, ..., n have variance n (n + 1) / 12."""
    found = paired([float(i) for i in range(1, n + 1)], [0.0] * n)
    half = quantile * math.sqrt(n * (n + 1) / 12) / math.sqrt(n)
    assert found.mean == pytest.approx((n + 1) / 2, rel=1e-12)
    assert found.high - found.mean == pytest.approx(half, abs=0.0005 * half / quantile)
    assert found.mean - found.low == pytest.approx(found.high - found.mean, rel=1e-12)


def test_what_is_common_to_a_pair_does_not_widen_the_interval():
    """Seeds that differ by far more than the two methods do: that is why pairs are compared."""
    seeds = [0.0, 100.0, -40.0, 7.0]
    found = paired([s + d for s, d in zip(seeds, (0.1, 0.2, 0.1, 0.2), strict=True)], seeds)
    assert found.differs
    assert found.low > 0


def test_better_and_worse_are_mirror_images():
    ours, theirs = [0.9, 0.8, 0.85], [0.5, 0.6, 0.55]
    better, worse = paired(ours, theirs), paired(theirs, ours)
    assert (better.mean, better.low, better.high) == pytest.approx((-worse.mean, -worse.high, -worse.low))
    assert better.differs == worse.differs


def test_equal_results_do_not_differ():
    found = paired([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
    assert (found.mean, found.low, found.high, found.differs) == (0.0, 0.0, 0.0, False)
    assert str(found) == "+0.000 [+0.000, +0.000]"


@pytest.mark.parametrize(("ours", "theirs"), [([1.0], [2.0]), ([], []), ([1.0, 2.0], [1.0])])
def test_pairs_are_needed(ours, theirs):
    with pytest.raises(ValueError, match=f"two or more pairs, got {len(ours)} and {len(theirs)}"):
        paired(ours, theirs)
