"""What a model costs: bytes of each module, and FLOPs, traffic and memory of training, scoring and merging.

All is counted (:mod:`models.counting`) for the operations that run here when one client trains alone, with zeros for a
small model of our own, else without data. The operations are the same; zeros need less of torch to be loaded.
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
from models.model import Cut, Model, Probed, Stack, Tensors, nest, predictable, undrawn
from models.objectives import Batch
from models.training import Recipe, direction, trainable_keys

SMALL = 2**24  # numbers of a model that may as well hold data


def module_costs(model: Model) -> list[ModuleCost]:
    """The footprint of every module of *model*: run alone where it can be, else seen at work in the whole."""
    if not isinstance(model, Probed):
        return seen_at_work(model, nest(shapes(model)))
    device = _device(model)
    weights = nest(shapes(model, device))
    return [_module_cost(name, weights[name], model, device) for name in model.modules]


def shapes(model: Model, device: str = "meta") -> dict[str, Tensor]:
    """Every weight by "module/parameter", without data, or zeros on another *device*."""

    def draw(shape: tuple[int, ...], std: float) -> Tensor:
        return torch.zeros(shape, device=device)

    return {f"{name}/{key}": value for name, b in model.modules.items() for key, value in b.init(draw).items()}


def _device(model: Model, samples: Samples | None = None) -> str:
    """Where a step of *model* on *samples* is counted: a model that is not ours may look at what the zeros are."""
    without = samples is not None and any(x.is_meta for x in (*samples.inputs.values(), *samples.targets.values()))
    if without or not isinstance(model, Probed):
        return "meta"
    numbers = sum(value.numel() for b in model.modules.values() for value in b.init(undrawn).values())
    return "cpu" if numbers <= SMALL else "meta"


class Step:
    """One training step of one client, to be run as often as one likes: on data, or on shapes alone.

    Loss, gradients of the trainable part, and the optimizer's update, in place.
    """

    def __init__(self, model: Model, weights: Tensors, batch: Batch, recipe: Recipe) -> None:
        self.model, self.recipe, self.batch = model, recipe, batch
        trained = set(trainable_keys(weights, recipe))
        self.weights = {key: value.detach() for key, value in weights.items()}
        self.own = {key: value for key, value in self.weights.items() if key in trained}
        slots, names = range(recipe.optimizer.slots), recipe.correction.needs if recipe.correction else ()
        self.state = {key: tuple(torch.zeros_like(value) for _ in slots) for key, value in self.own.items()}
        self.beside = {name: {key: torch.zeros_like(value) for key, value in self.own.items()} for name in names}

    def __call__(self) -> None:
        """Take the step."""
        grads = direction(self.model, self.recipe, self.weights, self.own, self.batch, self.beside)
        with torch.no_grad():
            for key, grad in grads.items():
                self.recipe.optimizer.update(self.own[key], grad, self.state[key], 1)

    @property
    def held(self) -> list[Tensor]:
        """What is in memory all the time: weights, the optimizer's state, what a correction goes by, the batch."""
        seen = (self.batch.inputs, self.batch.targets, self.batch.hidden)
        slots = [slot for slots in self.state.values() for slot in slots]
        beside = [value for own in self.beside.values() for value in own.values()]
        return [*self.weights.values(), *slots, *beside, *(value for some in seen for value in some.values())]


def training_step(model: Model, keys: Collection[str], samples: Samples, recipe: Recipe, rows: int) -> Cost:
    """A :class:`Step` on *rows* samples like these, for a node that holds *keys*; nothing if it trains none of them.

    The data set itself is not counted as memory, only the batch.
    """
    device = _device(model, samples)
    weights = _weights(model, keys, samples, device)
    if not trainable_keys(weights, recipe):
        return Cost()
    some, hidden = _like(samples, rows, device), recipe.objective.hide(model, samples, rows, np.random.default_rng(0))
    there = {m: mask.to(device) for m, mask in hidden.items()}
    step = Step(model, weights, Batch(some.inputs, some.targets, there), recipe)
    return count(step, step.held)


def prediction(model: Model, keys: Collection[str], samples: Samples, rows: int) -> Cost:
    """All tasks that a node holding *keys* can predict, for a batch of *rows* samples like these."""
    device = _device(model, samples)
    weights = _weights(model, keys, samples, device)
    inputs = _like(samples, rows, device).inputs
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
    inputs = {m: x.unsqueeze(0) for m, x in _like(samples, rows, "meta").inputs.items()}

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


def _weights(model: Model, keys: Collection[str], samples: Samples, device: str) -> dict[str, Tensor]:
    """The shapes of *keys*; in float64 where a modality of *samples* is."""
    double = any(x.dtype == torch.float64 for x in samples.inputs.values())
    return {key: value.double() if double else value for key, value in shapes(model, device).items() if key in keys}


def _like(samples: Samples, rows: int, device: str) -> Samples:
    """The shapes of *rows* samples."""

    def like(tensors: Tensors) -> dict[str, Tensor]:
        return {n: torch.zeros(rows, *t.shape[1:], dtype=t.dtype, device=device) for n, t in tensors.items()}

    return Samples(like(samples.inputs), like(samples.targets))


def _module_cost(name: str, weights: Mapping[str, Tensor], model: Probed, device: str) -> ModuleCost:
    own = {key: value.requires_grad_() for key, value in weights.items()}
    x = torch.zeros(model.probe_shape(name), device=device, requires_grad=True)
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
