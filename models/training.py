"""Local training of one client in plain PyTorch: the readable twin of what runs stacked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.data.samples import Samples
from models.data.streams import stream, streams
from models.model import Model, Tensors, module, nest
from models.objectives import Batch, Objective
from models.optimizers import Optimizer

BATCHES = "batches"  # what the streams of the order of batches are for
Gradient = Callable[[Tensors], dict[str, Tensor]]  # of the batch at hand, at some weights: those that a loss reaches


class Correction(Protocol):
    """Makes of a client's gradient the direction of its step. A frozen dataclass, elementwise: it may see a stack.

    Products and sums apart, as :meth:`models.optimizers.Optimizer.update` has them.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of what a job has to have beside its weights."""
        ...

    def __call__(self, weights: Tensors, gradient: Gradient, beside: Mapping[str, Tensors]) -> dict[str, Tensor]:
        """The direction by "module/parameter" at *weights*; *beside* are the job's, as far as it trains them."""
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a client trains when it is asked to: what it minimises, with which optimizer, for how long, on what."""

    objective: Objective
    optimizer: Optimizer
    epochs: int
    batch_size: int  # 2 or more; every batch is padded to it when clients are stacked
    trainable: frozenset[str] = frozenset()  # modules; the others are frozen
    public: bool = False  # train on the study's public samples instead of the node's own
    clip: float | None = None  # the most that the 2-norm of a client's gradient, over all that it trains, may be
    tasks: frozenset[str] | None = None  # whose losses count; None: all that a node has samples of
    correction: Correction | None = None  # what a step follows in place of the gradient
    purpose: str = BATCHES  # of the stream that orders the batches: a second training of a step has another


@dataclass(frozen=True, slots=True)
class Job:
    """One local training: a node's weights, its data, and the seed of its order of batches."""

    node: str
    tensors: Tensors
    samples: Samples
    seed: int
    step: int
    trainable: frozenset[str] | None = None  # modules, where the node trains fewer than the recipe says
    beside: Mapping[str, Tensors] = field(default_factory=dict)  # by name, what the recipe's correction goes by

    def trains(self, recipe: Recipe) -> frozenset[str]:
        """The modules that this node trains."""
        return recipe.trainable if self.trainable is None else recipe.trainable & self.trainable

    @property
    def signature(self) -> tuple[tuple[str, ...], ...]:
        """What it holds and has samples of, by name."""
        return tuple(self.tensors), tuple(self.samples.inputs), tuple(self.samples.targets)

    def rows(self, recipe: Recipe) -> list[np.ndarray]:
        """Which samples each step sees."""
        n, size, epochs = len(self.samples), recipe.batch_size, recipe.epochs
        return batches(self.seed, self.node, self.step, n, size, epochs, recipe.purpose)

    def masks(self, recipe: Recipe, model: Model, rows: int) -> dict[str, Tensor]:
        """Which tokens are hidden, for *rows* samples in the order in which they are seen."""
        if not recipe.objective.random:
            return {}
        return recipe.objective.hide(model, self.samples, rows, stream(self.seed, "mask", self.node, self.step))


def batches(
    seed: int, node: str, step: int, n: int, batch_size: int, epochs: int, purpose: str = BATCHES
) -> list[np.ndarray]:
    """The batches of a node's training number *step*: every epoch all *n* samples once, in a new order.

    A pure function, so that another implementation can be fed the same.
    """
    every = _orders(stream(seed, purpose, node, step), n, epochs)
    return [order[i : i + batch_size] for order in every for i in range(0, n, batch_size)]


def orders(jobs: Sequence[Job], recipe: Recipe) -> list[np.ndarray]:
    """In which order each epoch of each job sees its samples, ``[epochs, samples]``; :func:`batches` cuts the same."""
    own = streams(recipe.purpose, [(job.seed, job.node, job.step) for job in jobs])
    return [_orders(rng, len(job.samples), recipe.epochs) for job, rng in zip(jobs, own, strict=True)]


def _orders(rng: np.random.Generator, n: int, epochs: int) -> np.ndarray:
    out = np.empty((epochs, n), np.int64)
    for order in out:
        order[:] = rng.permutation(n)
    return out


def trainable_keys(tensors: Collection[str], recipe: Recipe) -> list[str]:
    """The "module/parameter" names that training changes."""
    return [key for key in tensors if module(key) in recipe.trainable]


def within_reach(model: Model, jobs: Sequence[Job], recipe: Recipe) -> list[tuple[str, ...]]:
    """Of each job, the "module/parameter" names that its loss depends on and that its node holds.

    ValueError where a node has samples for which it lacks a module.
    """
    known: dict[object, tuple[str, ...]] = {}
    for job in jobs:
        if job.signature not in known:
            reach = dict.fromkeys(recipe.objective.reach(model, job.samples))
            known[job.signature] = tuple(key for key in job.tensors if key in reach)
            held = {module(key) for key in job.tensors}
            lacking = [name for key in reach if not (name := module(key)).startswith("offset.") and name not in held]
            if lacking and getattr(model, "ragged", True):
                raise ValueError(f"{job.node}: its samples need {lacking[0]}, which it does not hold")
    return [known[job.signature] for job in jobs]


def train(model: Model, job: Job, recipe: Recipe) -> dict[str, Tensor]:
    """The weights after the job; those that no loss reaches stay as they are."""
    recipe = replace(recipe, trainable=job.trains(recipe))
    own = {key: job.tensors[key].clone().requires_grad_() for key in trainable_keys(job.tensors, recipe)}
    if not own:
        return dict(job.tensors)
    optimizer = recipe.optimizer.torch(own.values())
    rows = job.rows(recipe)
    hidden = job.masks(recipe, model, sum(len(r) for r in rows))
    seen, reached = 0, set[str]()
    for some in rows:
        batch = Batch(
            {m: x[some] for m, x in job.samples.inputs.items()},
            {t: y[some] for t, y in job.samples.targets.items()},
            {m: mask[seen : seen + len(some)] for m, mask in hidden.items()},
        )
        seen += len(some)
        grads = direction(model, recipe, {**job.tensors, **own}, own, batch, job.beside)
        reached |= grads.keys()
        for key, value in own.items():
            value.grad = grads[key].clone() if key in grads else None  # weights that are added may share one gradient
        if recipe.clip is not None:
            torch.nn.utils.clip_grad_norm_(own.values(), recipe.clip)
        optimizer.step()
    return {**job.tensors, **{key: own[key].detach() for key in own if key in reached}}


def direction(
    model: Model, recipe: Recipe, weights: Tensors, own: Tensors, batch: Batch, beside: Mapping[str, Tensors]
) -> dict[str, Tensor]:
    """What one client's step follows, of those of its *own* weights that the loss reaches."""

    def gradient(at: Tensors) -> dict[str, Tensor]:
        leaves = {key: value.detach().requires_grad_() for key, value in at.items()}
        with torch.enable_grad():
            loss = recipe.objective.loss(model, nest({**weights, **leaves}), batch)
        if not loss.requires_grad:
            return {}
        grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        return {key: grad for key, grad in zip(leaves, grads, strict=True) if grad is not None}

    own = {key: value.detach() for key, value in own.items()}
    with torch.no_grad():
        return recipe.correction(own, gradient, beside) if recipe.correction else gradient(own)


def train_all(model: Model, jobs: Sequence[Job], recipe: Recipe) -> list[dict[str, Tensor]]:
    """One after the other: what :func:`models.stacked.train_all` must equal."""
    return [train(model, job, recipe) for job in jobs]
