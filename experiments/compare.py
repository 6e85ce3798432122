"""Whether one result is better than another: paired differences over seeds, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t


@dataclass(frozen=True, slots=True)
class Paired:
    """The mean of paired differences and its 95 % interval (Student's t over the pairs)."""

    mean: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 0; only then may one be called better."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """*ours* minus *theirs*, pair by pair (the same seed); two pairs or more. Raises ValueError otherwise."""
    if len(ours) != len(theirs) or len(ours) < 2:
        raise ValueError(f"paired differences need two or more pairs, got {len(ours)} and {len(theirs)}")
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    n = len(differences)
    mean = math.fsum(differences) / n
    spread = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1))
    half = float(t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    return Paired(mean, mean - half, mean + half)
