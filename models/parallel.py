"""Engines of several processes: `Joblib`, on this machine or a cluster, and `Auto`, which uses it where it pays.

Jobs are sorted by number of steps and cut into parts of as many steps each, a part per worker; a worker stacks its part
as :class:`models.engines.Inline` does. A worker that dies is made up for once: what is still to do is done client by
client, so that a second death has a name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from math import ceil
from typing import Any, TypeVar
from uuid import uuid4

import joblib
from joblib.parallel import get_active_backend
from torch import Tensor

from models.data.samples import Samples
from models.engines import Engine, Inline
from models.evaluation import WIDTH
from models.model import Model, Tensors
from models.parcels import pack, unpack
from models.pools import Pool, WorkerDied
from models.training import Job, Recipe
from models.workers import ARITHMETIC, Done, WorkerError, work

Outputs = dict[str, Tensor]
Out = TypeVar("Out")
START_SECONDS = 2.0  # what it takes to start workers: they are started once they would have saved as much
WORTH_SECONDS = 0.1  # work shorter than this is not tried on workers


def divide(weights: Sequence[int], parts: int) -> list[list[int]]:
    """The places of *weights*, heaviest first, cut into at most so many parts of about the same weight.

    Neighbours are alike, so that what is stacked ends together.
    """
    order = sorted(range(len(weights)), key=lambda i: -weights[i])
    ends = list(accumulate(max(weights[i], 1) for i in order))
    out: list[list[int]] = [[] for _ in range(parts)]
    for i, end in zip(order, ends, strict=True):
        middle = end - max(weights[i], 1) / 2
        out[min(int(middle * parts / ends[-1]), parts - 1)].append(i)
    return [part for part in out if part]


def steps(job: Job, recipe: Recipe) -> int:
    """How many steps a training takes."""
    return recipe.epochs * ceil(len(job.samples) / recipe.batch_size)


def batches(samples: Samples) -> int:
    """How many batches a prediction takes."""
    return ceil(len(samples) / WIDTH)


class Joblib:
    """Every job in a worker process of *pool*, whatever its size; *make* makes the engine that a worker has."""

    def __init__(self, pool: Pool, make: Callable[[], Inline] = Inline) -> None:
        self.pool, self._own = pool, make()  # its own for what all of them share
        self._engine = pack((uuid4().hex, make))  # with a name, so that a process does not go on with another run's
        self._reports: dict[str, dict[str, Any]] = {}  # by worker
        self._deaths = 0

    def train_all(self, model: Model, jobs: Sequence[Job], recipe: Recipe) -> list[Outputs]:
        """The weights after each job."""
        weights, names = [steps(job, recipe) for job in jobs], [f"training {job.node}" for job in jobs]
        plain = [  # no promises, which hold on to the learner
            replace(job, tensors=dict(job.tensors), beside={name: dict(own) for name, own in job.beside.items()})
            for job in jobs
        ]
        trained = self._all(plain, weights, names, lambda some: ("train_all", model, some, recipe))
        return [{**job.tensors, **changed} for job, changed in zip(plain, trained, strict=True)]

    def predict(
        self, model: Model, jobs: Sequence[tuple[Tensors, Samples]], trainable: frozenset[str]
    ) -> list[Outputs]:
        """Outputs by task of each (weights, samples)."""
        weights = [batches(samples) for _, samples in jobs]
        names = [f"scoring model {i + 1} of {len(jobs)}" for i in range(len(jobs))]
        plain = [(dict(tensors), samples) for tensors, samples in jobs]
        return self._all(plain, weights, names, lambda some: ("predict", model, some, trainable))

    def report(self) -> dict[str, Any]:
        """What the workers say together."""
        own = {"engine": "joblib", "workers": self.pool.workers, "worker_deaths": self._deaths}
        return together(list(self._reports.values())) | own

    def close(self) -> None:
        """End the workers that were started for it."""
        self.pool.close()
        self._own.close()

    def _all(
        self, jobs: Sequence[Any], weights: Sequence[int], names: Sequence[str], task: Callable[[list[Any]], Any]
    ) -> list[Outputs]:
        """What *task* makes of the jobs, part by part, in the order of the jobs."""
        out: dict[int, Outputs] = {}

        def compute(parts: list[list[int]]) -> None:
            tasks = [task([jobs[i] for i in part]) for part in parts]
            for done in self._work(tasks):
                out.update(zip(parts[done.number], unpack(done.parcel), strict=True))

        parts = divide(weights, self.pool.workers)
        try:
            compute(parts)
        except WorkerDied:
            self._deaths += 1
            for i in (i for part in parts for i in part):
                try:
                    if i not in out:
                        compute([[i]])
                except WorkerDied as error:
                    raise WorkerError(f"a worker died twice while {names[i]} ({_first_line(error)})") from error
        return [out[i] for i in range(len(jobs))]

    def _work(self, tasks: Sequence[Any]) -> Iterator[Done]:
        """What comes of the tasks, as it comes; raises what the first of them raised."""
        calls = [
            joblib.delayed(work)(n, self._engine, pack(t), os.environ.get(ARITHMETIC)) for n, t in enumerate(tasks)
        ]
        failed: list[tuple[int, Exception]] = []
        for done in self.pool.run(calls):
            self._reports[done.worker] = done.report
            if done.error is None:
                yield done
            else:
                done.error.add_note(f"in worker {done.worker}:\n{done.traceback}")
                failed.append((done.number, done.error))
        if failed:
            raise min(failed, key=lambda one: one[0])[1]


class Auto:
    """In this process, or where that pays in worker processes, as the seconds say that either took before."""

    def __init__(
        self,
        make: Callable[[], Inline],
        pool: Callable[[], Pool],
        clock: Callable[[], float] = time.perf_counter,
        cores: int | None = None,
    ) -> None:
        self._inline, self._make, self._pool, self._clock = make(), make, pool, clock
        self._cores = usable_cores() if cores is None else cores
        self._workers: Joblib | None = None
        self.others = 0  # cores that somebody else uses meanwhile
        self._saved = 0.0  # seconds that workers would have saved so far
        self._seconds: dict[tuple[Hashable, bool], float] = {}  # per step, by kind of work and whether in workers

    def train_all(self, model: Model, jobs: Sequence[Job], recipe: Recipe) -> list[Outputs]:
        """The weights after each job."""
        kind = ("train", recipe.objective.__class__, recipe.trainable, recipe.batch_size)
        amount = sum(steps(job, recipe) for job in jobs)
        return self._timed(kind, amount, len(jobs), lambda engine: engine.train_all(model, jobs, recipe))

    def predict(
        self, model: Model, jobs: Sequence[tuple[Tensors, Samples]], trainable: frozenset[str]
    ) -> list[Outputs]:
        """Outputs by task of each (weights, samples)."""
        amount = sum(batches(samples) for _, samples in jobs)
        return self._timed("predict", amount, len(jobs), lambda engine: engine.predict(model, jobs, trainable))

    def report(self) -> dict[str, Any]:
        """Of this process and of the workers, if there are any."""
        if self._workers is None:
            return self._inline.report()
        workers = self._workers.report()
        return together([self._inline.report(), workers]) | {"engine": workers["engine"]}

    def close(self) -> None:
        """End the workers, if there are any."""
        self._inline.close()
        if self._workers:
            self._workers.close()

    def _timed(self, kind: Hashable, amount: int, count: int, compute: Callable[[Engine], Out]) -> Out:
        """Compute where it is quickest, and remember how long it took."""
        out_of_process = count > 1 and self._pays(kind, amount)
        began = self._clock()
        out = compute(self._workers if out_of_process and self._workers else self._inline)
        seconds = self._clock() - began
        first = out_of_process and (kind, True) not in self._seconds  # with the workers' start
        self._seconds[kind, out_of_process] = 0.0 if first else seconds / max(amount, 1)
        if count > 1 and not out_of_process:
            self._saved += seconds / 2
        return out

    def _pays(self, kind: Hashable, amount: int) -> bool:
        """Whether to use the workers, which are started when they would have paid for their start."""
        here, there = self._seconds.get((kind, False)), self._seconds.get((kind, True), 0.0)
        if self._workers is None and self._saved > START_SECONDS and self._cores - self.others > 1:
            self._workers = Joblib(self._pool(), self._make)
        return self._workers is not None and here is not None and here * amount > WORTH_SECONDS and there < here


def together(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One report of several: amounts added up, lists and texts joined without repetition."""
    out: dict[str, Any] = {}
    for key in dict.fromkeys(key for report in reports for key in report):
        values = [report[key] for report in reports if key in report]
        if isinstance(values[0], dict):
            out[key] = together(values)
        elif isinstance(values[0], list):
            out[key] = sorted({item for value in values for item in value})
        elif isinstance(values[0], str | bool):
            out[key] = values[0] if len(set(values)) == 1 else "; ".join(dict.fromkeys(map(str, values)))
        else:
            out[key] = sum(values)
    return out


def usable_cores() -> int:
    """How many this process may use; one where it is itself a worker of joblib's."""
    backend, _ = get_active_backend()
    return 1 if (backend.nesting_level or 0) > 0 else int(joblib.cpu_count())


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
