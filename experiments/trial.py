"""An algorithm of somebody's own, tried before the run: what is wrong with it is told with its file and line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from numbers import Integral
from pathlib import Path

import numpy as np

from models.federation.algorithm import Algorithm
from models.learner import Learner
from models.model import Tensors, ballot, module
from models.promises import UnknownError
from models.states import State, Vote, by_votes, merge
from simulator.plan import Stage

MANY = 10  # reports to a merge that is tried


def tried(learner: Learner, stage: Stage, algorithm: Algorithm, file: str, reports: int) -> None:
    """Run the parts of *algorithm* once: the local rule on placeholders, the others on the initial weights.

    A merge rule is given so many *reports*, of clients; one that goes by what they bring beside the weights is not
    tried. Raises ValueError for what fails, with the last place of it in *file*.
    """
    recipe = learner.curriculum.recipe_in(stage)
    if recipe.public or not learner.study.clients:
        return
    node = next(iter(learner.study.clients))
    with _told("local rule", file):
        learner.asks(node, recipe, algorithm)
    start = {key: learner.initial[key] for key in learner.initial if key in learner.holds[node]}
    if algorithm.rule is not by_votes and not (algorithm.up or algorithm.figures):
        with _told("merge rule", file):
            copy = State(start, dict.fromkeys(map(ballot, start), 1), State(start, {}))
            votes = [Vote(name, copy) for name in islice(cycle(learner.study.clients), min(max(reports, 1), MANY))]
            _fits(merge(copy, votes, tuple(recipe.trainable), "up", algorithm.rule).tensors, start)
    some = {name for plan in stage.plan.values() for name in plan.modules} & recipe.trainable
    sent = {key: start[key] for key in start if module(key) in some and algorithm.carries(key)}
    if algorithm.uplink and sent:
        with _told("uplink", file):
            _fits(algorithm.uplink(sent, np.random.default_rng(0)), sent)
            nbytes = algorithm.uplink.nbytes({key: tuple(value.shape) for key, value in sent.items()})
            if not (isinstance(nbytes, Integral) and nbytes >= 0):
                raise ValueError(f"nbytes must give a whole number, 0 or more, got {nbytes!r}")


def _fits(made: Tensors, given: Tensors) -> None:
    shapes = [{key: tuple(values[key].shape) for key in values} for values in (made, given)]
    if shapes[0] != shapes[1]:
        key = next(iter(dict(shapes[1].items() ^ shapes[0].items())))
        raise ValueError(f"of {key} it must give {shapes[1].get(key, 'nothing')}, got {shapes[0].get(key, 'nothing')}")


@contextmanager
def _told(part: str, file: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of somebody else's function
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.filename == file]
        place = f" ({Path(file).name}, line {own[-1].lineno})" if own else ""
        if isinstance(error, UnknownError):
            what = (
                "it looks at weights before they are known; make what depends on them with "
                "models.federation.local.combined (docs/algorithms.md)"
            )
        else:
            what = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise ValueError(f"its {part} failed when it was tried: {what}{place}") from error
