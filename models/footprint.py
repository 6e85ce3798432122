"""What a model costs: bytes of each module, and FLOPs, traffic and memory of training, scoring and merging.

All is counted on tensors without data (:mod:`models.counting`), for the operations that run here when one client
trains alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from models.attribution import ModuleCost, seen_at_work
from models.counting import Cost, count
from models.data.samples import Samples
from models.model import Cut, Model, Probed, Stack, Tensors, nest, predictable
from models.objectives import Batch
from models.training import Recipe, trainable_keys


def module_costs(model: Model) -> list[ModuleCost]:
    """The footprint of every module of *model*: run alone where it can be, else seen at work in the whole."""
    weights = nest(shapes(model))
    if not isinstance(model, Probed):
        return seen_at_work(model, weights)
    return [_module_cost(name, weights[name], model) for name in model.modules]


def shapes(model: Model) -> dict[str, Tensor]:
    """Every weight by "module/parameter", without data."""

    def draw(shape: tuple[int, ...], std: float) -> Tensor:
        return torch.empty(shape, device="meta")

    return {f"{name}/{key}": value for name, b in model.modules.items() for key, value in b.init(draw).items()}


def meta(tensors: Tensors) -> dict[str, Tensor]:
    """The same shapes without data."""
    return {key: torch.empty_like(value, device="meta") for key, value in tensors.items()}


class Step:
    """One training step of one client, to be run as often as one likes: on data, or on shapes alone.

    Loss, gradients of the trainable part, and the optimizer's update, in place.
    """

    def __init__(self, model: Model, weights: Tensors, batch: Batch, recipe: Recipe) -> None:
        self.model, self.recipe, self.batch = model, recipe, batch
        trained = set(trainable_keys(weights, recipe))
        self.weights = {key: value.detach().requires_grad_(key in trained) for key, value in weights.items()}
        self.own = {key: value for key, value in self.weights.items() if key in trained}
        slots = range(recipe.optimizer.slots)
        self.state = {key: tuple(torch.zeros_like(value.detach()) for _ in slots) for key, value in self.own.items()}

    def __call__(self) -> None:
        """Take the step."""
        loss = self.recipe.objective.loss(self.model, nest(self.weights), self.batch)
        grads = torch.autograd.grad(loss, list(self.own.values()), allow_unused=True)
        with torch.no_grad():
            for (key, value), grad in zip(self.own.items(), grads, strict=True):
                if grad is not None:
                    self.recipe.optimizer.update(value.detach(), grad, self.state[key], 1)

    @property
    def held(self) -> list[Tensor]:
        """What is in memory all the time: weights, the optimizer's state, the batch."""
        seen = (self.batch.inputs, self.batch.targets, self.batch.hidden)
        slots = [slot for slots in self.state.values() for slot in slots]
        return [*self.weights.values(), *slots, *(value for some in seen for value in some.values())]


def training_step(model: Model, keys: Collection[str], samples: Samples, recipe: Recipe, rows: int) -> Cost:
    """A :class:`Step` on *rows* samples like these, for a node that holds *keys*; nothing if it trains none of them.

    The data set itself is not counted as memory, only the batch.
    """
    weights = {key: value for key, value in shapes(model).items() if key in keys}
    if not trainable_keys(weights, recipe):
        return Cost()
    some, hidden = _like(samples, rows), recipe.objective.hide(model, samples, rows, np.random.default_rng(0))
    step = Step(model, weights, Batch(some.inputs, some.targets, meta(hidden)), recipe)
    return count(step, step.held)


def prediction(model: Model, keys: Collection[str], samples: Samples, rows: int) -> Cost:
    """All tasks that a node holding *keys* can predict, for a batch of *rows* samples like these."""
    weights = {key: value for key, value in shapes(model).items() if key in keys}
    inputs = _like(samples, rows).inputs
    tasks = predictable(samples.targets, weights)

    @torch.no_grad()
    def predict() -> None:
        model.forward(nest(weights), inputs, tasks)

    return count(predict, [*weights.values(), *inputs.values()]) if tasks else Cost()


def features(cut: Cut, samples: Samples) -> Samples:
    """The shapes of what the front of *cut* makes of all *samples*, with their targets."""
    kept = {m: torch.empty(len(samples), *shape, device="meta") for m, shape in cut.rest.shapes.items()}
    return Samples(kept, samples.targets)


def front_pass(cut: Cut, model: Model, keys: Collection[str], samples: Samples, rows: int) -> Cost:
    """*rows* samples like these through the front of *cut*, for a node that holds *keys*, without gradients.

    As it runs here: tokens of modalities that the node lacks are there, masked.
    """
    read = {key: value for key, value in shapes(model).items() if key in keys and cut.reads(key, samples.inputs)}
    weights = {key: value.unsqueeze(0) for key, value in read.items()}
    inputs = {m: x.unsqueeze(0) for m, x in _like(samples, rows).inputs.items()}

    @torch.no_grad()
    def run() -> None:
        cut.front(nest(weights), inputs, Stack(1, {}))

    return count(run, [*weights.values(), *inputs.values()])


def merging(weights: Tensors, copies: int) -> Cost:
    """The weighted mean of so many *copies* of *weights*: each is read and added once, and one is written.

    One pass per tensor, whatever the number of copies; all of them and the result are in memory.
    """
    nbytes = sum(value.numel() * value.element_size() for value in weights.values()) * (copies + 1)
    return Cost(copies * sum(value.numel() for value in weights.values()), nbytes, len(weights), nbytes)


def parts(samples: int, batch_size: int) -> Iterator[tuple[int, int]]:
    """How often which number of rows comes up in one pass over so many *samples*: full batches, and what is left."""
    full, left = divmod(samples, batch_size)
    return ((times, rows) for times, rows in ((full, batch_size), (1, left)) if times and rows)


def _like(samples: Samples, rows: int) -> Samples:
    """The shapes of *rows* samples."""

    def like(tensors: Tensors) -> dict[str, Tensor]:
        return {n: torch.empty(rows, *t.shape[1:], dtype=t.dtype, device="meta") for n, t in tensors.items()}

    return Samples(like(samples.inputs), like(samples.targets))


def _module_cost(name: str, weights: Mapping[str, Tensor], model: Probed) -> ModuleCost:
    own = {key: value.requires_grad_() for key, value in weights.items()}
    x = torch.empty(model.probe_shape(name), device="meta", requires_grad=True)
    saved: dict[int, int] = {}
    known = {value.untyped_storage()._cdata for value in own.values()}

    def keep(t: Tensor) -> Tensor:
        if t.untyped_storage()._cdata not in known:
            saved[t.untyped_storage()._cdata] = t.untyped_storage().nbytes()
        return t

    forward = count(lambda: model.probe(name, own, x)).flops
    with saved_tensors_hooks(keep, lambda t: t):
        out = model.probe(name, own, x)
    backward = count(lambda: torch.autograd.grad(out.sum(), [x, *own.values()], allow_unused=True)).flops
    parameters = sum(value.numel() for value in own.values())
    nbytes = sum(value.numel() * value.element_size() for value in own.values())
    return ModuleCost(name, parameters, nbytes, forward, backward, sum(saved.values()))
