"""The batches of several clients, padded to one width and gathered step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from models.model import Model
from models.objectives import Batch
from models.training import Job, Recipe

LARGE = 2**16  # numbers of one client's samples: putting so many side by side takes longer than a call for each client


class Feeder:
    """Batch after batch of several clients, sorted so that the first have the most steps.

    *orders* says in which order each client sees its samples, one row per epoch. What fills a batch up is a copy of a
    client's own sample, of weight 0.
    """

    def __init__(
        self, model: Model, jobs: Sequence[Job], orders: Sequence[np.ndarray], recipe: Recipe, dtype: torch.dtype
    ) -> None:
        width = recipe.batch_size
        self.steps = [order.shape[0] * -(-order.shape[1] // width) for order in orders]
        index = np.zeros((len(jobs), self.steps[0], width), np.int64)
        weight = np.zeros((len(jobs), self.steps[0], width), bool)
        for i, order in enumerate(orders):
            for whole, values in ((index, order), (weight, True)):
                _epochs(whole[i, : self.steps[i]], len(order))[:, : order.shape[1]] = values
        index, weight = index.swapaxes(0, 1), np.ascontiguousarray(weight.swapaxes(0, 1))
        self.inputs = {m: _Pool(jobs, index, "inputs", m) for m in _held(model.shapes, jobs, "inputs")}
        self.targets = {t: _Pool(jobs, index, "targets", t) for t in _held(model.tasks, jobs, "targets")}
        some = next(iter((*self.inputs.values(), *self.targets.values()))).values
        self.weight = torch.from_numpy(weight).to(some.device, dtype)
        seen = [order.size for order in orders]
        masks = [job.masks(recipe, model, rows) for job, rows in zip(jobs, seen, strict=True)]
        hidden = [m for m in self.inputs if any(m in mask for mask in masks)]
        self.hidden = {m: self._padded([mask[m] for mask in masks if m in mask], orders, m) for m in hidden}
        self.active = [int(np.searchsorted(-np.array(self.steps), -s)) for s in range(self.steps[0])]

    def _padded(self, masks: Sequence[Tensor], orders: Sequence[np.ndarray], m: str) -> Tensor:
        """``[steps, holders, batch, tokens]``; nothing is hidden where a batch is filled up."""
        places, tokens = self.inputs[m].places, masks[0].shape[-1]
        out = np.zeros((len(masks), self.steps[0], self.weight.shape[-1], tokens), bool)
        for row, (i, mask) in enumerate(zip(places, masks, strict=True)):
            epochs, n = orders[i].shape
            _epochs(out[row, : self.steps[i]], epochs)[:, :n] = mask.numpy().reshape(epochs, n, tokens)
        return torch.from_numpy(np.ascontiguousarray(out.swapaxes(0, 1))).to(self.weight.device)

    def step(self, s: int) -> Batch:
        """Batch number *s* of those clients that have one."""
        active = self.active[s]
        inputs = {m: (pool, int(np.searchsorted(pool.places, active))) for m, pool in self.inputs.items()}
        targets = {t: (pool, int(np.searchsorted(pool.places, active))) for t, pool in self.targets.items()}
        return Batch(
            {m: pool.gather(s, count) for m, (pool, count) in inputs.items() if count},
            {t: pool.gather(s, count) for t, (pool, count) in targets.items() if count},
            {m: hidden[s, : inputs[m][1]] for m, hidden in self.hidden.items() if inputs[m][1]},
            self.weight[s, :active],
        )


def _epochs(batches: np.ndarray, epochs: int) -> np.ndarray:
    """A client's ``[steps, batch, ...]`` as ``[epochs, samples and what fills the last batch up, ...]``, in place."""
    return batches.reshape(epochs, -1, *batches.shape[2:])


class _Pool:
    """One modality's or task's values of all clients that have it, end to end; large ones are left where they are."""

    def __init__(self, jobs: Sequence[Job], index: np.ndarray, kind: str, name: str) -> None:
        own = [getattr(job.samples, kind).get(name) for job in jobs]
        held = [values for values in own if values is not None]
        self.places = np.array([i for i, values in enumerate(own) if values is not None])
        self.apart = held if len(held) > 1 and held[0].numel() > LARGE else None
        self.values = held[0] if self.apart or len(held) == 1 else torch.cat(held)
        starts = np.zeros(len(held), int) if self.apart else np.cumsum([0, *(len(v) for v in held[:-1])])
        rows = np.ascontiguousarray(index[:, self.places] + starts[:, None])
        self.rows = torch.from_numpy(rows).to(self.values.device)

    def gather(self, s: int, count: int) -> Tensor:
        """``[holders, batch, ...]`` of step *s*, the first *count* holders."""
        rows = self.rows[s, :count]
        if self.apart:
            out = self.values.new_empty(*rows.shape, *self.values.shape[1:])
            for own, some, place in zip(self.apart, rows, out, strict=False):
                torch.index_select(own, 0, some, out=place)
            return out
        return self.values.index_select(0, rows.flatten()).view(*rows.shape, *self.values.shape[1:])


def _held(names: Iterable[str], jobs: Sequence[Job], kind: str) -> list[str]:
    """Those *names* that anybody has, in the model's order: gradients are summed in that order, whoever is stacked."""
    return [name for name in names if any(name in getattr(job.samples, kind) for job in jobs)]
