"""Who does the learner's computing: one small protocol, so that a learner does not care where its jobs run.

Here is the engine of this process; :mod:`models.parallel` has those of many.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from models import evaluation, stacked, training
from models.data.samples import Samples
from models.devices import CPU, Device, Mover
from models.model import Model, Tensors
from models.prefix import Prefixes
from models.training import Job, Recipe


class Engine(Protocol):
    """Runs trainings and predictions. Which engine, and how it divides the work, changes no bit of the results."""

    def train_all(self, model: Model, jobs: Sequence[Job], recipe: Recipe) -> list[dict[str, Tensor]]:
        """The weights after each job."""
        ...

    def predict(
        self, model: Model, jobs: Sequence[tuple[Tensors, Samples]], trainable: frozenset[str]
    ) -> list[dict[str, Tensor]]:
        """Outputs ``[n, outputs]`` by task of each (weights, samples). Only *trainable* modules change."""
        ...

    def report(self) -> dict[str, Any]:
        """What a run's manifest says of it: its name, and what it did."""
        ...

    def close(self) -> None:
        """Give back what it holds: processes, files."""
        ...


@dataclass(frozen=True, slots=True)
class Cache:
    """Where outputs of frozen fronts are kept: in each process's memory, and beyond that in a *folder* for all.

    The folder is made when it is needed, and removed when an engine that uses it ends; others then make it anew.
    """

    memory_bytes: float = 1e9
    folder: Path | None = None
    disk_bytes: float = 0.0


class Inline:
    """In this process, on *device*, *chunk* clients stacked at a time (None: as many as fit and pay)."""

    def __init__(self, chunk: int | None = None, device: Device = CPU, cache: Cache = Cache()) -> None:
        self.chunk, self.device = chunk, device
        self.chooser = device.chooser()
        self.prefixes = Prefixes(cache.memory_bytes, cache.folder, cache.disk_bytes)
        self._mover = Mover(device)
        self._tidy = weakref.finalize(self, shutil.rmtree, cache.folder, True) if cache.folder else None

    def train_all(self, model: Model, jobs: Sequence[Job], recipe: Recipe) -> list[dict[str, Tensor]]:
        """The weights after each job; what it does not train is the very tensor that it had."""
        out: list[dict[str, Tensor]] = [{} for _ in jobs]
        groups: dict[frozenset[str], list[int]] = {}
        for i, job in enumerate(jobs):
            groups.setdefault(job.trains(recipe), []).append(i)
        with self.device.at_work():
            for trainable, places in groups.items():
                training.within_reach(model, [jobs[i] for i in places], recipe)  # who lacks a module is told so
                there = self._mover.jobs([jobs[i] for i in places], trainable)
                rest, short = self.prefixes.shorten(model, there, trainable, recipe.objective.random)
                short = self._mover.jobs(short, trainable)  # what was kept on disk
                results = stacked.train_all(rest, short, recipe, self.chunk, self.chooser)
                whole = rest is model and self.device.kind == "cpu"
                for i, job, result in zip(places, short, results, strict=True):
                    out[i] = result if whole else {**jobs[i].tensors, **_brought_back(job, result)}
        return out

    def predict(
        self, model: Model, jobs: Sequence[tuple[Tensors, Samples]], trainable: frozenset[str]
    ) -> list[dict[str, Tensor]]:
        """Outputs by task of each (weights, samples)."""
        with self.device.at_work():
            there = self._mover.pairs(jobs, trainable)
            rest, short = self.prefixes.shorten_predictions(model, there, trainable)
            short = self._mover.pairs(short, trainable)
            outputs = evaluation.predict(rest, short, self.chunk, self.chooser)
            return [{task: values.cpu() for task, values in output.items()} for output in outputs]

    def report(self) -> dict[str, Any]:
        """Its name, its device, how many clients it stacked, and what it kept of frozen fronts."""
        return {"engine": "inline", **self.device.report(), **self.chooser.report(), **self.prefixes.report()}

    def close(self) -> None:
        """Remove what is kept on disk."""
        if self._tidy:
            self._tidy()


def _brought_back(job: Job, result: Tensors) -> dict[str, Tensor]:
    """What of *result* the job has trained, in this machine's memory."""
    return {key: t.cpu() for key, t in result.items() if t is not job.tensors[key]}


class Plain(Inline):
    """One client after the other in plain PyTorch: the twin, equal to 1e-9 in float64, not to the bit."""

    def train_all(self, model: Model, jobs: Sequence[Job], recipe: Recipe) -> list[dict[str, Tensor]]:
        """The weights after each job."""
        return training.train_all(model, jobs, recipe)


class Idle(Inline):
    """Trains nothing."""

    def train_all(self, model: Model, jobs: Sequence[Job], recipe: Recipe) -> list[dict[str, Tensor]]:
        """No weights."""
        return [{} for _ in jobs]
