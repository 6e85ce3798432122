"""The account of one node: joules by cause, and the carbon they stand for. Every figure of energy is read from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.costs import Carbon

OWN = ("idle", "compute", "transmit", "receive", "tail", "sleep")  # what flows through the node itself


@dataclass(slots=True)
class Sum:
    """A sum that loses nothing to rounding on the way (Neumaier 1974)."""

    _sum: float = 0.0
    _lost: float = 0.0

    def add(self, term: float) -> None:
        """Add one term."""
        before, after = self._sum, self._sum + term
        larger, smaller = (before, term) if abs(before) >= abs(term) else (term, before)
        self._lost += (larger - after) + smaller
        self._sum = after

    @property
    def value(self) -> float:
        """So far."""
        return self._sum + self._lost if math.isfinite(self._sum) else self._sum


@dataclass(slots=True)
class Account:
    """Joules of a node by cause, and the time that it was there."""

    carbon: Carbon | None = None
    present_s: float = 0.0
    _sums: dict[str, Sum] = field(default_factory=dict)
    _grams: dict[str, float] = field(default_factory=dict)

    def add(self, cause: str, joules: float, start_s: float, end_s: float) -> None:
        """Charge joules, drawn evenly from a time until another."""
        if joules == 0:
            return
        self._sums.setdefault(cause, Sum()).add(joules)
        if self.carbon:
            self._grams[cause] = self._grams.get(cause, 0.0) + joules * self.carbon.between(start_s, end_s)

    def joules(self, cause: str) -> float:
        """Of one cause; 0 where nothing was charged."""
        return self._sums[cause].value if cause in self._sums else 0.0

    @property
    def causes(self) -> dict[str, float]:
        """Joules of every cause that was charged, in the order of the first charge."""
        return {cause: self.joules(cause) for cause in self._sums}

    @property
    def own(self) -> float:
        """What flowed through the node itself: all but its building and the networks that serve it."""
        return sum(self.joules(cause) for cause in OWN)

    @property
    def grams(self) -> float:
        """Of CO2-equivalent, for all causes."""
        return sum(self._grams.values())

    def cool(self, pue: float) -> None:
        """Charge what the building adds: `pue` - 1 of all that the node drew, at the same hours."""
        more = pue - 1
        self._sums["cooling"] = Sum(self.own * more)
        if self.carbon:
            self._grams["cooling"] = more * sum(self._grams.get(cause, 0.0) for cause in OWN)
