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
        width, epochs = recipe.batch_size, recipe.epochs
        rows = np.array([order.shape[1] for order in orders])
        per = -(-rows // width)  # batches of an epoch
        self.steps = epochs * per
        seen = _Seen(rows, per, epochs, width)
        shape = (int(self.steps[0]), len(jobs), width)
        index, weight = np.zeros(shape, np.int64), np.zeros(shape, bool)
        index[seen.where()], weight[seen.where()] = np.concatenate([order.ravel() for order in orders]), True
        self.inputs = {m: _Pool(jobs, index, "inputs", m) for m in _held(model.shapes, jobs, "inputs")}
        self.targets = {t: _Pool(jobs, index, "targets", t) for t in _held(model.tasks, jobs, "targets")}
        some = next(iter((*self.inputs.values(), *self.targets.values()))).values
        self.weight = torch.from_numpy(weight).to(some.device, dtype)
        masks = [job.masks(recipe, model, order.size) for job, order in zip(jobs, orders, strict=True)]
        hidden = [m for m in self.inputs if any(m in mask for mask in masks)]
        self.hidden = {m: self._padded([mask[m] for mask in masks if m in mask], seen, m) for m in hidden}
        self.active = np.searchsorted(-self.steps, -np.arange(self.steps[0])).tolist()

    def _padded(self, masks: Sequence[Tensor], seen: _Seen, m: str) -> Tensor:
        """``[steps, holders, batch, tokens]``; nothing is hidden where a batch is filled up."""
        places = self.inputs[m].places
        out = np.zeros((self.weight.shape[0], len(places), self.weight.shape[-1], masks[0].shape[-1]), bool)
        out[seen.where(places)] = torch.cat(list(masks)).numpy()
        return torch.from_numpy(out).to(self.weight.device)

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


class _Seen:
    """Which step sees a sample, and where in its batch, for all samples of all clients in the order of their epochs."""

    def __init__(self, rows: np.ndarray, per: np.ndarray, epochs: int, width: int) -> None:
        every = epochs * rows
        self.client = np.repeat(np.arange(len(rows)), every)
        epoch, place = np.divmod(np.arange(every.sum()) - np.repeat(np.cumsum(every) - every, every), rows[self.client])
        self.step, self.column = epoch * per[self.client] + place // width, place % width

    def where(self, places: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step, client and column of each; of the clients at *places* alone, numbered anew."""
        if places is None:
            return self.step, self.client, self.column
        some = np.isin(self.client, places)
        return self.step[some], np.searchsorted(places, self.client[some]), self.column[some]


class _Pool:
    """One modality's or task's values of all clients that have it, end to end; large ones are left where they are."""

    def __init__(self, jobs: Sequence[Job], index: np.ndarray, kind: str, name: str) -> None:
        own = [getattr(job.samples, kind).get(name) for job in jobs]
        held = [values for values in own if values is not None]
        self.places = np.array([i for i, values in enumerate(own) if values is not None])
        self.apart = held if len(held) > 1 and held[0].numel() > LARGE else None
        self.values = held[0] if self.apart or len(held) == 1 else torch.cat(held)
        starts = np.zeros(len(held), int) if self.apart else np.cumsum([0, *(len(v) for v in held[:-1])])
        rows = (index if len(held) == len(jobs) else index[:, self.places]) + starts[:, None]
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
