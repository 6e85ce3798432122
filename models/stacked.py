"""Local training of many clients at once: their weights stacked along a leading axis, every gradient their own.

The losses of different clients are independent, so the gradient of their sum holds each client's gradient side by
side. Clients are sorted by number of steps: later steps work on a prefix of the stack, and who is done is left out.
So is a module that a client does not hold, or that its loss cannot reach. Only clients that train the same modules are
stacked; those of a model that is not ``ragged`` must be alike in all that they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from models.choosing import Chooser, Load
from models.feeding import Feeder
from models.model import Model, Tensors, module
from models.objectives import Batch
from models.optimizers import clip_factors
from models.stacks import Front, Weights
from models.training import Job, Recipe, orders, within_reach


def train_all(
    model: Model, jobs: Sequence[Job], recipe: Recipe, chunk: int | None = None, chooser: Chooser | None = None
) -> list[dict[str, Tensor]]:
    """The weights after each job, *chunk* clients stacked at a time, or as many as *chooser* finds best.

    The numbers depend on neither. ValueError where a client has samples for which it lacks a module.
    """
    out: list[dict[str, Tensor]] = [{} for _ in jobs]
    for places in _alike(model, jobs, recipe):
        alike = [jobs[i] for i in places]
        trainable = alike[0].trains(recipe)
        results = _train_alike(model, alike, replace(recipe, trainable=trainable), chunk, chooser or Chooser())
        for i, result in zip(places, results, strict=True):
            out[i] = result
    return out


def _alike(model: Model, jobs: Sequence[Job], recipe: Recipe) -> Iterator[list[int]]:
    """Which jobs may share a stack."""
    groups: dict[object, list[int]] = {}
    for i, job in enumerate(jobs):
        own = () if getattr(model, "ragged", True) else job.signature
        beside = tuple((name, frozenset(values)) for name, values in job.beside.items())
        groups.setdefault((job.trains(recipe), own, beside), []).append(i)
    yield from groups.values()


def _train_alike(
    model: Model, jobs: Sequence[Job], recipe: Recipe, chunk: int | None, chooser: Chooser
) -> list[dict[str, Tensor]]:
    """The weights after each job, when all train the same modules."""
    seen = orders(jobs, recipe)
    steps = [len(order) * -(-order.shape[1] // recipe.batch_size) for order in seen]
    used = within_reach(model, jobs, recipe)
    out = [dict(job.tensors) for job in jobs]
    queue = [i for i in sorted(range(len(jobs)), key=lambda i: -steps[i]) if steps[i] and _trained(used[i], recipe)]
    chunk = chunk if getattr(model, "stackable", True) else 1
    while queue:
        load = _load(model, jobs[queue[0]], used[queue[0]], recipe)
        count = chunk or chooser.size(load, len(queue))
        some, queue = queue[:count], queue[count:]
        with chooser.running(load, len(some), sum(steps[i] for i in some)) as watch:
            stack = _Stack(model, [jobs[i] for i in some], [used[i] for i in some], [seen[i] for i in some], recipe)
            stack.train(watch)
            results = stack.results()
        for i, result in zip(some, results, strict=True):
            out[i].update(result)
    return out


def _apart(grads: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gradients that can be written into: those of two weights that are added may be one tensor."""
    seen, out = set[int](), {}
    for key, grad in grads.items():
        place = grad.data_ptr()
        out[key] = grad.clone() if place in seen else grad
        seen.add(place)
    return out


def _trained(keys: Iterable[str], recipe: Recipe) -> bool:
    return any(module(key) in recipe.trainable for key in keys)


def _load(model: Model, job: Job, keys: Sequence[str], recipe: Recipe) -> Load:
    """One such client: its weights, and of what it trains gradients, moments and what is made on the way."""
    sizes = {key: job.tensors[key].numel() * job.tensors[key].element_size() for key in keys}
    trained = sum(size for key, size in sizes.items() if module(key) in recipe.trainable)
    nbytes = sum(sizes.values()) + trained * (recipe.optimizer.slots + 2)
    return Load.of("train", (type(model), type(recipe.objective), recipe.batch_size), nbytes, trained)


class _Stack:
    """Some clients in training, those with the most steps first; *keys* are what the loss of each can reach."""

    def __init__(
        self,
        model: Model,
        jobs: Sequence[Job],
        keys: Sequence[Sequence[str]],
        orders: Sequence[np.ndarray],
        recipe: Recipe,
    ) -> None:
        self.model, self.recipe = model, recipe
        clients: list[Tensors] = [{key: job.tensors[key] for key in own} for job, own in zip(jobs, keys, strict=True)]
        trained = {key for client in clients for key in client if module(key) in recipe.trainable}
        self.weights = Weights.of(clients, trained)
        dtype = next(value.dtype for value in clients[0].values() if value.is_floating_point())
        self.feeder = Feeder(model, jobs, orders, recipe, dtype)
        slots = range(recipe.optimizer.slots)
        self.states = [tuple(torch.zeros_like(group.flat) for _ in slots) for group in self.weights.groups]
        self.beside = self.weights.companions([job.beside for job in jobs])
        self.reached: set[str] = set()

    def train(self, watch: Callable[[Tensor], None] | None = None) -> None:
        """All steps of all of them; *watch* is shown the first loss."""
        front = None
        for s, active in enumerate(self.feeder.active):
            if front is None or active < front.stack.count:
                front = self.weights.first(active)
            known = self._direction(front, self.feeder.step(s), watch if not s else None)
            self.reached |= known.keys()
            with torch.no_grad():
                self._update(front, known, s + 1)

    def _direction(self, front: Front, batch: Batch, watch: Callable[[Tensor], None] | None) -> Mapping[str, Tensor]:
        """What each client's step follows."""

        def gradient(at: Front) -> dict[str, Tensor]:
            with torch.enable_grad():
                loss = self.recipe.objective.loss(self.model, at.params, batch, at.stack)
            if watch and at is front:
                watch(loss)
            grads = torch.autograd.grad(loss, list(at.leaves.values()), allow_unused=True)
            return {key: grad for key, grad in zip(at.leaves, grads, strict=True) if grad is not None}

        correction, weights = self.recipe.correction, front.leaves
        if correction is None:
            return gradient(front)
        with torch.no_grad():
            own = {key: value.detach() for key, value in weights.items()}
            beside = front.beside(self.beside)
            return correction(own, lambda w: gradient(front if w is own else front.at(w)), beside)

    def _update(self, front: Front, grads: Mapping[str, Tensor], step: int) -> None:
        """Move what is reached, all keys of a group at once."""
        clip, factors, grads = self.recipe.clip, None, _apart(grads)
        if clip is not None:
            factors = clip_factors(clip, [(grads[key], front.rows(key)) for key in sorted(grads)], front.stack.count)
        for group, state, count in zip(self.weights.groups, self.states, front.holders, strict=True):
            got = {key: grads[key].reshape(count, -1) for key in group.keys if key in grads}
            if not got:
                continue
            grad = torch.cat(list(got.values()), 1) if len(got) > 1 else next(iter(got.values())).contiguous()
            if factors is not None:
                grad *= factors[group.rows[:count]].unsqueeze(1)
            tensors = [tensor[:count] for tensor in (group.flat, *state)]
            if len(got) == len(group.keys):
                self.recipe.optimizer.update(tensors[0], grad, tensors[1:], step)
                continue
            pieces = dict(zip(got, grad.split([part.shape[1] for part in got.values()], 1), strict=True))
            for key, *own in zip(group.keys, *(tensor.split(group.sizes, 1) for tensor in tensors), strict=True):
                if key in pieces:  # nobody's loss reaches the others
                    self.recipe.optimizer.update(own[0], pieces[key], own[1:], step)

    def results(self) -> list[dict[str, Tensor]]:
        """What each client trained, apart from the stack's memory."""
        return self.weights.own(self.reached)
