"""One comparison: what was expected, what the simulator gave, and by how much they may differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from experiments.validation.estimates import Estimate

RELATIVE, STANDARD_ERRORS = "relative", "standard errors"
FOUR = 4.0


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. *error* and *tolerance* are in *measure*; without a tolerance the error is only stated."""

    check: str
    expected: float
    got: float
    error: float
    measure: str = RELATIVE
    tolerance: float | None = None
    got_standard_error: float = 0.0

    @property
    def holds(self) -> bool | None:
        """Whether the error is within its tolerance (NaN is not); None where it is only stated."""
        return None if self.tolerance is None else self.error <= self.tolerance


@dataclass(frozen=True, slots=True)
class Check:
    """What can be run to get rows."""

    name: str
    rows: Callable[[], Sequence[Row]]


def close(check: str, expected: float, got: float, tolerance: float = 1e-9) -> Row:
    """Equal but for rounding: the error is relative to what was expected."""
    return Row(check, expected, got, _relative(expected, got), RELATIVE, tolerance)


def near(check: str, expected: float, got: float, tolerance: float, unit: str) -> Row:
    """Equal but for rounding: the error is a difference in *unit*."""
    return Row(check, expected, got, abs(got - expected), unit, tolerance)


def likely(check: str, expected: float, estimate: Estimate, tolerance: float = FOUR) -> Row:
    """A mean within so many of its standard errors."""
    error = abs(estimate.mean - expected) / estimate.standard_error
    return Row(check, expected, estimate.mean, error, STANDARD_ERRORS, tolerance, estimate.standard_error)


def stated(check: str, expected: float, got: float) -> Row:
    """A model beside a better one: the relative error is told, nothing is promised."""
    return Row(check, expected, got, _relative(expected, got))


def worst(rows: Iterable[Row]) -> Row:
    """The one with the largest error, for all of them."""
    return max(rows, key=lambda row: math.inf if math.isnan(row.error) else row.error)


def _relative(expected: float, got: float) -> float:
    return abs(got - expected) / abs(expected) if expected else math.inf if got else 0.0
