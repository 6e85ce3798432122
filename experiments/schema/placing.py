"""Mistakes that show only when a scenario is built, told with their line of the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from experiments.scenario import Problem, Scenario, ScenarioError
from experiments.schema.documents import UnreadableError, read
from experiments.schema.plans import StageSpec


def problem_of(error: ValueError) -> Problem:
    """What *error* says, with the key of the scenario that it begins with, if it does."""
    key, colon, what = str(error).partition(": ")
    known = colon and key.partition(".")[0] in Scenario.model_fields
    return Problem("", key, what) if known else Problem("", "", str(error))


@contextmanager
def in_stage(place: int, stage: StageSpec) -> Iterator[None]:
    """A mistake in the plan that is a stage's own is told with the keys of that stage."""
    try:
        yield
    except ScenarioError:
        raise
    except ValueError as error:
        if stage.plan is None or not str(error).startswith("plan"):
            raise
        raise ValueError(f"stages.{place}.{error}") from error


@contextmanager
def placed(path: Path, settings: Sequence[str] = ()) -> Iterator[None]:
    """A problem that names a key and no place gets the key's line in the scenario at *path*, or the ``--set`` of it."""
    try:
        yield
    except ScenarioError as error:
        raise ScenarioError(_placed(problem, path, settings) for problem in error.problems) from error.__cause__


def _placed(problem: Problem, path: Path, settings: Sequence[str]) -> Problem:
    if problem.place or not problem.key:
        return problem
    for key in (setting.partition("=")[0] for setting in settings):
        if f"{problem.key}.".startswith(f"{key}.") or key.startswith(f"{problem.key}."):
            return Problem(f"--set {key}", "" if key == problem.key else problem.key, problem.what)
    try:
        line = read(path).line(problem.key.split("."))
    except UnreadableError:  # it has gone since it was read
        return problem
    return Problem(f"{path}:{line}", problem.key, problem.what)
