"""Saves a run as it goes on, and puts a replayed one in place."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.store import Store, UnusableError

if TYPE_CHECKING:
    from experiments.build import Built
    from experiments.checkpoints import Saved
    from experiments.wall import Wall
    from models.evaluation import Score

FOLDER = "checkpoints"


def found(folder: Path) -> list[Path]:
    """The checkpoints of a run folder, the latest first."""
    numbered = (path for path in (folder / FOLDER).glob("*.pt") if path.stem.isdecimal())
    return sorted(numbered, key=lambda path: int(path.stem), reverse=True)


class Keeper:
    """Counts the rounds that a run closes, and saves it as its scenario says.

    *at* is where a replay ends, if the run begins with one; *went_on* is called then.
    """

    def __init__(
        self, built: Built, store: Store, wall: Wall, scenario: str, at: Saved | None, went_on: Callable[[], None]
    ) -> None:
        self.built, self.store, self.wall, self.scenario, self.at = built, store, wall, scenario, at
        self.spec, self.rounds, self._went_on = built.scenario.checkpoints, 0, went_on
        self._last = time.perf_counter()
        if built.learner:
            built.learner.follow()
        if at and built.learner:
            built.learner.replay(_scores(store, at.scored), _signals(at.answered))
        if at is None:
            self._drop(0)

    def closed(self) -> None:
        """A round is over, and in the tables."""
        self.rounds += 1
        if self.at is None:
            if self._due():
                self._save()
        elif self.rounds == self.at.rounds:
            self._put_in_place(self.at)

    def _due(self) -> bool:
        waited = time.perf_counter() - self._last
        return self.rounds % self.spec.rounds == 0 and waited >= self.spec.seconds

    def _save(self) -> None:
        from experiments.checkpoints import saved, write

        learner, folder = self.built.learner, self.store.folder / FOLDER
        assert learner is not None
        learner.settle()
        with self.wall.part("writing"):
            self.store.sync()
            where = {"scenario": self.scenario, "rounds": self.rounds, "tables": dict(self.store.extents())}
            write(folder / f"{self.rounds:06d}.pt", saved(learner, **where, wall=self.wall.figures(learner)))
            self._drop(self.spec.keep)
        self._last = time.perf_counter()

    def _put_in_place(self, at: Saved) -> None:
        from experiments.checkpoints import put_in_place

        assert self.built.learner is not None
        put_in_place(self.built.learner, at)
        self.store.go_on()
        for path in found(self.store.folder):
            if int(path.stem) > at.rounds:  # it was of no use, and must not pass for the latest
                path.unlink()
        self.at, self._last = None, time.perf_counter()
        self.wall.rename("events", "replay")
        self._went_on()

    def _drop(self, keep: int) -> None:
        for path in found(self.store.folder)[keep:]:
            path.unlink()


def _scores(store: Store, counts: list[int]) -> Iterator[list[Score]]:
    """The scores that evaluations gave, from the folder's own metrics; where these are damaged, there are too few."""
    from models.evaluation import Score

    rows = store.metrics()
    for count in counts:
        try:
            own = list(islice(rows, count))
        except (ValueError, TypeError, csv.Error):
            own = []
        yield [Score(m.node, m.task, m.modality, m.split, m.group, m.name, m.value) for m in own]
    raise UnusableError("the replay has more scores")


def _signals(answers: list[dict[str, float]]) -> Iterator[dict[str, float]]:
    """What was signalled, from the checkpoint."""
    yield from answers
    raise UnusableError("the replay asks for more signals")
