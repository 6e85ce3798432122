"""Where the wall time of a run goes. The host's clock is measured here, and never enters a result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.learner import Learner

PARTS = ("start-up", "events", "training", "evaluation", "writing", "baselines", "plots")


class Wall:
    """A run's wall time by part, each second in one part only.

    The learner keeps its own time: of the events, what it took is training or evaluation.
    """

    def __init__(self) -> None:
        self._began = self._since = time.perf_counter()
        self._parts: dict[str, float] = {}
        self._inside = ["other"]  # parts within parts, the innermost last
        self._earlier: Mapping[str, float] = {}

    def goes_on_from(self, earlier: Mapping[str, float]) -> None:
        """The run was killed, and had taken so long by part until it was saved."""
        self._earlier = earlier

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens inside belongs to *name*, and not to the part around it."""
        self._charge()
        self._inside.append(name)
        try:
            yield
        finally:
            self._charge()
            self._inside.pop()

    def _charge(self) -> None:
        now = time.perf_counter()
        name = self._inside[-1]
        self._parts[name] = self._parts.get(name, 0.0) + now - self._since
        self._since = now

    def rename(self, name: str, new: str) -> None:
        """What *name* has taken until now belongs to *new*."""
        self._charge()
        self._parts[new] = self._parts.get(new, 0.0) + self._parts.pop(name, 0.0)

    def figures(self, learner: Learner | None) -> dict[str, float]:
        """Seconds by part until now, in a fixed order, what is in no part as "other"; they add up to the whole."""
        self._charge()
        now = dict.fromkeys(PARTS, 0.0) | self._parts
        if learner:
            now["training"] += learner.trainings.seconds
            now["evaluation"] += learner.scorer.seconds
            now["events"] -= learner.seconds
        out = {name: now.get(name, 0.0) + self._earlier.get(name, 0.0) for name in {**now, **self._earlier}}
        return {**{name: seconds for name, seconds in out.items() if name != "other"}, "other": out.get("other", 0.0)}


def told(figures: Mapping[str, float]) -> list[str]:
    """A line per part, with its share of the whole."""
    total = sum(figures.values())
    lines = [f"  {name:<11}{seconds:8.2f} s {seconds / total:6.1%}" for name, seconds in figures.items() if seconds]
    return [f"{total:.2f} s of wall time:", *(line.replace("%", " %") for line in lines)]
