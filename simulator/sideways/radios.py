"""One radio per node: who sends or receives does nothing else on the air, and others wait in the order of asking."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from simpy import Environment, Event

T = TypeVar("T")


class Radios:
    """The radios of a cluster. A message holds those of both its ends from its start until it has arrived."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._asked: dict[Event, tuple[str, str]] = {}  # in the order of asking, until they are through
        self._busy: set[str] = set()

    def hold(self, ends: tuple[str, str], steps: Generator[Event, Any, T]) -> Generator[Event, Any, T]:
        """Go through *steps* when it is their turn at both ends: nobody who asked before waits for either."""
        turn = self._env.event()
        self._asked[turn] = ends
        self._serve()
        try:
            yield turn
            return (yield from steps)
        finally:
            del self._asked[turn]
            if turn.triggered:
                self._busy.difference_update(ends)
            self._serve()

    def _serve(self) -> None:
        wanted: set[str] = set()  # by somebody who asked before
        for turn, ends in self._asked.items():
            if not turn.triggered and wanted.isdisjoint(ends) and self._busy.isdisjoint(ends):
                self._busy.update(ends)
                turn.succeed()
            wanted.update(() if turn.triggered else ends)
