"""Mistakes that show only when a scenario is built, told with their line of the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.schema.documents import UnreadableError, read
from experiments.schema.mistakes import Problem, ScenarioError


@contextmanager
def placed(path: Path) -> Iterator[None]:
    """A problem that names a key and no place gets the key's line in the scenario at *path*."""
    try:
        yield
    except ScenarioError as error:
        raise ScenarioError(_placed(problem, path) for problem in error.problems) from error.__cause__


def _placed(problem: Problem, path: Path) -> Problem:
    if problem.place or not problem.key:
        return problem
    try:
        line = read(path).line(problem.key.split("."))
    except UnreadableError:  # it has gone since it was read
        return problem
    return Problem(f"{path}:{line}", problem.key, problem.what)
