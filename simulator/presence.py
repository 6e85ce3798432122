"""Who is there at time t: always, by a timetable, or coming and going at random."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from topologies.streams import stream

Presence = Callable[[str, float], tuple[bool, float]]
"""Of a node and a time in seconds: whether it is there now, and until when that holds."""

BLOCK = 64  # durations drawn at a time


def always(node: str, time_s: float) -> tuple[bool, float]:
    """Everybody is there all the time."""
    return True, math.inf


@dataclass(frozen=True, slots=True)
class Windows:
    """Spans of time, [from, until) in seconds, again *every* so many: a timetable, or when a device is plugged in."""

    spans: tuple[tuple[float, float], ...]
    every: float = math.inf

    def at(self, time_s: float) -> tuple[bool, float]:
        """Whether *time_s* is in one of them, and until when that holds."""
        lap = 0.0 if self.every == math.inf else self.every * math.floor(time_s / self.every)
        for start, end in self.spans:
            if time_s < lap + start:
                return False, lap + start
            if time_s < lap + end:
                return True, lap + end  # who follows one bound after the other sees no gap where the next lap begins
        if self.every == math.inf or not self.spans:
            return False, math.inf
        return False, lap + self.every + self.spans[0][0]


@dataclass(frozen=True, slots=True)
class Timetable:
    """The same *windows* for all nodes of *nodes*; the others are always there."""

    windows: Windows
    nodes: frozenset[str]

    def __call__(self, node: str, time_s: float) -> tuple[bool, float]:
        """Whether *node* is there, and until when."""
        return self.windows.at(time_s) if node in self.nodes else (True, math.inf)


@dataclass(frozen=True, slots=True)
class Churn:
    """The nodes of *nodes* come and go: exponential times of these means, each node's own; the others are always there.

    A node starts present with the share of time that it is there in the long run, so the process is stationary. A pure
    function of seed, node and time.
    """

    seed: int
    present_seconds: float
    absent_seconds: float
    nodes: frozenset[str]
    _bounds: dict[str, list[float]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("present_seconds", "absent_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"churn: {name} must be > 0 and finite, got {getattr(self, name)}")

    def __call__(self, node: str, time_s: float) -> tuple[bool, float]:
        """Whether *node* is there, and until when."""
        if node not in self.nodes:
            return True, math.inf
        bounds = self._bounds.setdefault(node, [])
        while not bounds or bounds[-1] <= time_s:
            self._extend(node, bounds)
        passed = bisect_right(bounds, time_s)
        return self._starts(node) == (passed % 2 == 0), bounds[passed]

    def _starts(self, node: str) -> bool:
        share = self.present_seconds / (self.present_seconds + self.absent_seconds)
        return bool(self._random(node, 0).random() < share)

    def _extend(self, node: str, bounds: list[float]) -> None:
        """Draw the next times at which *node* comes or goes: an even number, so that all blocks begin alike."""
        block = len(bounds) // BLOCK + 1
        first, second = self.present_seconds, self.absent_seconds
        if not self._starts(node):
            first, second = second, first
        means = np.tile([first, second], BLOCK // 2)
        durations = self._random(node, block).exponential(means)
        start = bounds[-1] if bounds else 0.0
        bounds.extend((start + np.cumsum(durations)).tolist())

    def _random(self, node: str, block: int) -> np.random.Generator:
        return stream(self.seed, "presence", node, block)
