"""Whom to ask, by what is known of them: their time, their energy, what their data teach, how often they were asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from simulator.costs import positive
from simulator.gathering.selection import Facts

By = Literal["joules", "grams"]


@dataclass(frozen=True, slots=True)
class DeadlineOf:
    """Ask as many as can report within *seconds*: FedCS (Nishio and Yonetani, ICC 2019).

    Each is reckoned alone on the network. FedCS packs the uploads of a cell one behind the other; here those of one
    cell who share it may come later than reckoned, and a tier's deadline decides about them. Nobody, if none can.
    """

    signals: ClassVar[frozenset[str]] = frozenset()

    seconds: float

    def __post_init__(self) -> None:
        positive("select: deadline: seconds", self.seconds)

    def choose(self, children: Sequence[str], random: np.random.Generator, facts: Facts) -> list[int]:
        """The places of the chosen."""
        return [place for place, child in enumerate(children) if facts.seconds(child) <= self.seconds]


@dataclass(frozen=True, slots=True)
class UtilityOf:
    """Ask the *k* of the highest utility, after Oort (Lai et al., OSDI 2021).

    A child's utility is the workload's signal "loss" (0 for a node without samples of its own), times (T / t)^alpha
    where its turn takes t seconds, more than the T = *seconds* that are preferred. A share *explore* of the k are drawn
    from those that have never been asked; where either kind is too few, the other fills up.
    """

    signals: ClassVar[frozenset[str]] = frozenset({"loss"})

    k: int
    alpha: float = 2.0
    seconds: float = float("inf")
    explore: float = 0.1

    def __post_init__(self) -> None:
        _whole("utility", self.k)
        if not self.alpha >= 0:
            raise ValueError(f"select: utility: alpha must be >= 0, got {self.alpha}")
        if not self.seconds > 0:
            raise ValueError(f"select: utility: seconds must be > 0, got {self.seconds}")
        if not 0 <= self.explore <= 1:
            raise ValueError(f"select: utility: explore must be a share from 0 to 1, got {self.explore}")

    def choose(self, children: Sequence[str], random: np.random.Generator, facts: Facts) -> list[int]:
        """The places of the chosen."""
        new = [place for place, child in enumerate(children) if not facts.asked(child)]
        tried = [place for place, child in enumerate(children) if facts.asked(child)]
        k = min(self.k, len(children))
        drawn = min(max(round(self.explore * k), k - len(tried)), len(new))
        utility = self._utility([children[place] for place in tried], facts)
        best = sorted(zip(utility, tried, strict=True), key=lambda it: (-it[0], it[1]))[: k - drawn]
        return [*(place for _, place in best), *random.choice(np.array(new, np.int64), drawn, replace=False).tolist()]

    def _utility(self, children: Sequence[str], facts: Facts) -> list[float]:
        losses = facts.signal("loss", children) if children else {}
        seconds = [max(facts.seconds(child), self.seconds) for child in children]
        return [
            losses.get(child, 0.0) * (1.0 if took == self.seconds else (self.seconds / took) ** self.alpha)
            for child, took in zip(children, seconds, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class EnergyOf:
    """Ask the *k* whose turn takes the fewest joules, or the fewest *grams* of CO2-equivalent if it starts now."""

    signals: ClassVar[frozenset[str]] = frozenset()

    k: int
    by: By = "joules"

    def __post_init__(self) -> None:
        _whole("energy", self.k)
        if self.by not in get_args(By):
            raise ValueError(f"select: energy: by {' or '.join(get_args(By))}, got {self.by!r}")

    def choose(self, children: Sequence[str], random: np.random.Generator, facts: Facts) -> list[int]:
        """The places of the chosen; of equals, the first."""
        cost = facts.joules if self.by == "joules" else facts.grams
        return sorted(range(len(children)), key=lambda place: (cost(children[place]), place))[: self.k]


@dataclass(frozen=True, slots=True)
class FairOf:
    """Ask the *k* that have been asked least often in this stage, ties at random: all get the same quota."""

    signals: ClassVar[frozenset[str]] = frozenset()

    k: int

    def __post_init__(self) -> None:
        _whole("fair", self.k)

    def choose(self, children: Sequence[str], random: np.random.Generator, facts: Facts) -> list[int]:
        """The places of the chosen."""
        order = random.permutation(len(children)).tolist()
        return sorted(order, key=lambda place: facts.asked(children[place]))[: self.k]


def _whole(policy: str, k: int) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"select: {policy}: a whole number >= 1, got {k!r}")
