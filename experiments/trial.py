"""An algorithm of somebody's own, tried before the run: what is wrong with it is told with its file and line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from models.federation.algorithm import Algorithm
from models.learner import Learner
from models.model import Tensors, ballot
from models.promises import UnknownError
from models.states import State, Vote, by_votes, merge
from simulator.plan import Stage


def tried(learner: Learner, stage: Stage, algorithm: Algorithm, folder: str) -> None:
    """Run the parts of *algorithm* once: the local rule on placeholders, the others on the initial weights.

    A merge rule that goes by what reports bring beside the weights is not tried. Raises ValueError for what fails, with
    the last place of it below *folder*.
    """
    recipe = learner.curriculum.recipe_in(stage)
    if recipe.public or not learner.study.clients:
        return
    node = next(iter(learner.study.clients))
    with _told("local rule", folder):
        learner.asks(node, recipe, algorithm)
    start = {key: learner.initial[key] for key in learner.initial if key in learner.holds[node]}
    if algorithm.rule is not by_votes and not (algorithm.up or algorithm.figures):
        with _told("merge rule", folder):
            copy = State(start, dict.fromkeys(map(ballot, start), 1))
            votes = [Vote(f"client {i}", copy) for i in range(max(algorithm.least, 2))]
            _fits(merge(copy, votes, tuple(recipe.trainable), "up", algorithm.rule).tensors, start)
    if algorithm.uplink:
        with _told("uplink", folder):
            _fits(algorithm.uplink(start, np.random.default_rng(0)), start)
            nbytes = algorithm.uplink.nbytes({key: tuple(value.shape) for key, value in start.items()})
            if not (isinstance(nbytes, int) and nbytes >= 0):
                raise ValueError(f"nbytes must give a whole number, 0 or more, got {nbytes!r}")


def _fits(made: Tensors, given: Tensors) -> None:
    shapes = [{key: tuple(values[key].shape) for key in values} for values in (made, given)]
    if shapes[0] != shapes[1]:
        key = next(iter(dict(shapes[1].items() ^ shapes[0].items())))
        raise ValueError(f"of {key} it must give {shapes[1].get(key, 'nothing')}, got {shapes[0].get(key, 'nothing')}")


@contextmanager
def _told(part: str, folder: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of somebody else's function
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
        place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
        if isinstance(error, UnknownError):
            what = (
                "it looks at weights before they are known; make what depends on them with "
                "models.federation.local.combined (docs/algorithms.md)"
            )
        else:
            what = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise ValueError(f"its {part} failed when it was tried: {what}{place}") from error
