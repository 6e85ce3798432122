"""Local training of many clients at once: their weights stacked along a leading axis, every gradient their own.

The losses of different clients are independent, so the gradient of their sum holds each client's gradient side by
side. Clients are sorted by number of steps: later steps work on a prefix of the stack, and who is done is left out.
Only clients that train the same modules are stacked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from models.data.samples import Samples
from models.model import Model, Stack, module, nest
from models.objectives import Batch
from models.training import Job, Recipe, trainable_keys

FLOATS = 1_000_000  # trained weights that are stacked at a time: more no longer fit near the processor


def fitting(numbers: int, limit: int = FLOATS) -> int:
    """How many clients of so many numbers each to stack."""
    return max(8, min(1000, limit // max(numbers, 1)))


def train_all(model: Model, jobs: Sequence[Job], recipe: Recipe, chunk: int | None = None) -> list[dict[str, Tensor]]:
    """The weights after each job, *chunk* clients stacked at a time; the numbers do not depend on *chunk*."""
    out: list[dict[str, Tensor]] = [{} for _ in jobs]
    for trainable in dict.fromkeys(job.trains(recipe) for job in jobs):
        places = [i for i, job in enumerate(jobs) if job.trains(recipe) == trainable]
        alike = _train_alike(model, [jobs[i] for i in places], replace(recipe, trainable=trainable), chunk)
        for i, result in zip(places, alike, strict=True):
            out[i] = result
    return out


def _train_alike(model: Model, jobs: Sequence[Job], recipe: Recipe, chunk: int | None) -> list[dict[str, Tensor]]:
    """The weights after each job, when all train the same modules."""
    if not chunk:
        chunk = fitting(max((_trained(job, recipe) for job in jobs), default=1))
    rows = [job.rows(recipe) for job in jobs]
    order = sorted(range(len(jobs)), key=lambda i: -len(rows[i]))
    out: list[dict[str, Tensor]] = [{} for _ in jobs]
    for start in range(0, len(order), chunk):
        some = order[start : start + chunk]
        results = _train_chunk(model, [jobs[i] for i in some], [rows[i] for i in some], recipe)
        for i, result in zip(some, results, strict=True):
            out[i] = result
    return out


def _trained(job: Job, recipe: Recipe) -> int:
    """How many numbers a job trains."""
    return sum(job.tensors[key].numel() for key in trainable_keys(job.tensors, recipe))


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of several clients by "module/parameter", and the places of the clients that have each."""

    values: dict[str, Tensor]
    places: dict[str, np.ndarray]

    @classmethod
    def of(cls, jobs: Sequence[Job], trainable: frozenset[str]) -> Weights:
        """Stacked; what all share and nobody trains is one tensor seen many times."""
        values, places = {}, {}
        for key in dict.fromkeys(key for job in jobs for key in job.tensors):
            places[key] = np.array([i for i, job in enumerate(jobs) if key in job.tensors])
            own = [jobs[i].tensors[key] for i in places[key]]
            shared = module(key) not in trainable and all(t is own[0] for t in own)
            values[key] = own[0].expand(len(own), *own[0].shape) if shared else torch.stack(own)
        return cls(values, places)

    def first(self, active: int) -> tuple[dict[str, Tensor], Stack]:
        """The weights of the first *active* clients, and who holds what among them."""
        values, rows = {}, {}
        for key, places in self.places.items():
            count = int(np.searchsorted(places, active))
            values[key] = self.values[key][:count]
            if count < active:
                rows[key] = torch.from_numpy(places[:count])
                rows.setdefault(module(key), rows[key])
        return values, Stack(active, rows)


class Feeder:
    """The batches of several clients, padded to one width and gathered step by step."""

    def __init__(self, model: Model, jobs: Sequence[Job], rows: Sequence[list[np.ndarray]], recipe: Recipe) -> None:
        steps, width = max(len(r) for r in rows), recipe.batch_size
        self.index = np.zeros((len(jobs), steps, width), np.int64)
        self.weight = torch.zeros(len(jobs), steps, width, dtype=_dtype(jobs[0].samples))
        for i, batches in enumerate(rows):
            for s, some in enumerate(batches):
                self.index[i, s, : len(some)] = some
                self.weight[i, s, : len(some)] = 1
        self.inputs = {m: _Pool(jobs, "inputs", m) for m in _held(model.shapes, jobs, "inputs")}
        self.targets = {t: _Pool(jobs, "targets", t) for t in _held(model.tasks, jobs, "targets")}
        masks = [job.masks(recipe, model, sum(len(b) for b in r)) for job, r in zip(jobs, rows, strict=True)]
        self.hidden = {m: self._pad(masks, rows, m) for m in self.inputs if any(m in mask for mask in masks)}

    def _pad(self, masks: Sequence[dict[str, Tensor]], rows: Sequence[list[np.ndarray]], m: str) -> Tensor:
        held = [i for i, mask in enumerate(masks) if m in mask]
        out = torch.zeros(len(held), *self.index.shape[1:], masks[held[0]][m].shape[-1], dtype=torch.bool)
        for place, i in enumerate(held):
            seen = 0
            for s, some in enumerate(rows[i]):
                out[place, s, : len(some)] = masks[i][m][seen : seen + len(some)]
                seen += len(some)
        return out

    def step(self, s: int, active: int) -> Batch:
        """Batch number *s* of the first *active* clients."""
        index = self.index[:active, s]
        return Batch(
            {m: pool.gather(index) for m, pool in self.inputs.items() if pool.places[0] < active},
            {t: pool.gather(index) for t, pool in self.targets.items() if pool.places[0] < active},
            {m: h[: int(np.searchsorted(self.inputs[m].places, active)), s] for m, h in self.hidden.items()},
            self.weight[:active, s],
        )


class _Pool:
    """One modality's or task's values of all clients end to end."""

    def __init__(self, jobs: Sequence[Job], kind: str, name: str) -> None:
        own = [getattr(job.samples, kind).get(name) for job in jobs]
        self.places = np.array([i for i, values in enumerate(own) if values is not None])
        held = [values for values in own if values is not None]
        self.values = held[0] if len(held) == 1 else torch.cat(held)
        self.starts = np.cumsum([0, *(len(v) for v in held[:-1])])

    def gather(self, index: np.ndarray) -> Tensor:
        """``[holders, batch, ...]`` of the clients in *index* ``[clients, batch]``."""
        count = int(np.searchsorted(self.places, len(index)))
        rows = index[self.places[:count]] + self.starts[:count, None]
        return self.values[torch.from_numpy(rows)]


def _held(names: Iterable[str], jobs: Sequence[Job], kind: str) -> list[str]:
    """Those *names* that anybody has, in the model's order: gradients are summed in that order, whoever is stacked."""
    return [name for name in names if any(name in getattr(job.samples, kind) for job in jobs)]


def _dtype(samples: Samples) -> torch.dtype:
    return next(iter(samples.inputs.values())).dtype


def _train_chunk(
    model: Model, jobs: Sequence[Job], rows: Sequence[list[np.ndarray]], recipe: Recipe
) -> list[dict[str, Tensor]]:
    weights = Weights.of(jobs, recipe.trainable)
    keys = trainable_keys(weights.values, recipe)
    state = {k: tuple(torch.zeros_like(weights.values[k]) for _ in range(recipe.optimizer.slots)) for k in keys}
    feeder, reached = Feeder(model, jobs, rows, recipe), set[str]()
    for s in range(len(rows[0])):
        active = sum(len(r) > s for r in rows)
        values, stack = weights.first(active)
        leaves = {key: values[key].detach().requires_grad_() for key in keys if len(values[key])}
        loss = recipe.objective.loss(model, nest(_present({**values, **leaves})), feeder.step(s, active), stack)
        grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        with torch.no_grad():
            for (key, leaf), grad in zip(leaves.items(), grads, strict=True):
                if grad is not None:
                    reached.add(key)
                    recipe.optimizer.update(leaf.detach(), grad, tuple(t[: len(leaf)] for t in state[key]), s + 1)
    return [_own(job, i, weights, [key for key in keys if key in reached]) for i, job in enumerate(jobs)]


def _present(values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in values.items() if len(value)}


def _own(job: Job, i: int, weights: Weights, keys: Sequence[str]) -> dict[str, Tensor]:
    """Client *i*'s weights after training, apart from the stack's memory."""
    mine = set(keys) & set(job.tensors)
    trained = {key: weights.values[key][int(np.searchsorted(weights.places[key], i))].clone() for key in mine}
    return {key: trained.get(key, value) for key, value in job.tensors.items()}
