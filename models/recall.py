"""Trained weights that need not be kept: a training gives the same bits whenever it is run, so it can be run again.

A client that has delivered its report holds what it trained, but nearly always replaces all of it by the next model
from above before anybody looks. So memory grows with the clients that train in a round, not with those there are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from weakref import ref

import torch
from torch import Tensor

from models.engines import Engine
from models.model import Model, Tensors, module
from models.promises import Promise, Wave, plain
from models.training import Job, Recipe


@dataclass(slots=True)
class Training:
    """A job, and by stage and part the recipe that it follows."""

    job: Job
    name: tuple[str, int]

    def settle(self) -> None:
        """Its weights are known: hold plain tensors, not the promises they came from, so that no chain is held."""
        job = self.job
        if type(job.tensors) is dict and not job.beside:
            return
        if not job.beside:
            self.job = Job(job.node, _known(job.tensors), job.samples, job.seed, job.step, job.trainable)
            return
        beside = {
            name: {key: values[key] for key in values if self.changes(key)}
            for name, values in ((name, settled(own)) for name, own in job.beside.items())
        }
        self.job = replace(job, tensors=_known(job.tensors), beside=beside)

    def changes(self, key: str) -> bool:
        """Whether it trains what *key* names."""
        return self.job.trainable is None or module(key) in self.job.trainable


def _known(tensors: Tensors) -> Tensors:
    found = settled(tensors)
    return dict(found) if isinstance(found, Promise) else found


Again = Callable[[Training], Tensors]


class Trained(Promise):
    """The weights after *training*, None where nobody is to run it a second time."""

    shared = False  # a node's trainings are its own, and known by this

    def __init__(
        self, keys: Collection[str], depth: int, wave: Wave, settle: Callable[[], Tensors], training: Training | None
    ) -> None:
        super().__init__(keys, depth, wave, settle)
        self.training = training

    def delivered(self, carried: Collection[str], again: Again) -> Promise:
        """The same for a sender whose report has *carried* all that it trained: from now on it need not be kept."""
        training = self.training
        if training is None or any(training.changes(key) for key in self if key not in carried):
            return self
        return Recall(training, self, again)


class Recall(Promise):
    """Weights after a training, taken from *trained* while somebody else holds that; else they are trained again."""

    costly = True

    def __init__(self, training: Training, trained: Trained | None, again: Again) -> None:
        depth, wave = (0, Wave(over=True)) if trained is None else (trained.depth, trained.wave)
        super().__init__(training.job.tensors, depth, wave, lambda: again(training))
        self.training = training
        self._trained: Callable[[], Trained | None] = (lambda: None) if trained is None else ref(trained)

    def __getitem__(self, key: str) -> Tensor:
        if not self.training.changes(key):
            return self.training.job.tensors[key]
        trained = self._trained()
        return super().__getitem__(key) if trained is None else trained[key]


def settled(tensors: Tensors) -> Tensors:
    """The plain values behind promises, all computed, or the weights that are to be trained again."""
    found = plain(tensors)
    while isinstance(found, Promise) and not isinstance(found, Recall):
        for key in found:
            found[key]
            break
        else:
            return {}
        found = plain(found)
    return found


class Public:
    """Trainings on public data and what came of them, so that a second learner need not repeat them."""

    def __init__(self) -> None:
        self._known: list[tuple[Job, Recipe, dict[str, Tensor]]] = []

    def train_all(self, engine: Engine, model: Model, jobs: Sequence[Job], recipe: Recipe) -> list[dict[str, Tensor]]:
        """The weights after each job; *engine* runs those that have not been run before."""
        known = [self._find(job, recipe) for job in jobs]
        new = [job for job, found in zip(jobs, known, strict=True) if found is None]
        trained = engine.train_all(model, new, recipe) if new else []
        self._known += [(job, recipe, result) for job, result in zip(new, trained, strict=True)]
        rest = iter(trained)
        return [next(rest) if found is None else found for found in known]

    def _find(self, job: Job, recipe: Recipe) -> dict[str, Tensor] | None:
        """The weights after *job*, if the same has been run: same order of batches, recipe, and weights before it."""
        for other, how, result in self._known:
            asked = (job.node, job.seed, job.step, job.trainable, recipe, job.samples is other.samples)
            if asked == (other.node, other.seed, other.step, other.trainable, how, True) and _same(job, other):
                return result
        return None


def _same(one: Job, other: Job) -> bool:
    a, b = one.tensors, other.tensors
    if one.beside or other.beside:
        return False
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
