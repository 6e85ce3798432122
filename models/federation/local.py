"""What a node does when it trains: a local rule asks a trainer for one training or several."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from torch import Tensor

from models.data.samples import Samples
from models.model import Tensors, module
from models.promises import lazily
from models.states import State
from models.training import BATCHES, Correction, Gradient, Job, Recipe

Extra = Mapping[str, Tensors]
Local = Callable[[State, "Trainer"], tuple[Tensors, Extra]]
"""From what a node knows to its weights after its local training, and all that it keeps or sends beside them."""

Personal = Callable[[State, "Trainer"], Tensors]
"""From what a node knows to the weights by which it is scored."""


class Trainer:
    """One node's trainings of one step, as its local rule asks for them: each is a promise.

    *promise* takes a job, the number of the training within this step, and its recipe; *loss* gives the mean training
    loss of weights on the node's samples.
    """

    def __init__(
        self,
        job: Job,
        recipe: Recipe,
        promise: Callable[[Job, int, Recipe], Tensors],
        loss: Callable[[Tensors, Samples], Tensors],
    ) -> None:
        self.job, self.recipe = job, recipe
        self.trainable = job.trains(recipe)
        self._promise, self._loss, self._parts = promise, loss, 0

    def __call__(
        self,
        tensors: Tensors,
        correction: Correction | None = None,
        beside: Mapping[str, Tensors] | None = None,
        only: Collection[str] | None = None,
        **changes: Any,
    ) -> Tensors:
        """*tensors* after a training, in which steps follow *correction*, which goes by what is *beside* the weights.

        *only* these modules train; *changes* are fields of the recipe. Every further training of a step sees the
        samples in an order of its own.
        """
        part, self._parts = self._parts, self._parts + 1
        plain = correction is None and beside is None and only is None and not changes
        if plain and not part and tensors is self.job.tensors:  # as most do: nothing is made anew
            return self._promise(self.job, part, self.recipe)
        purpose = f"{BATCHES} {part}" if part else BATCHES
        recipe = replace(self.recipe, correction=correction, purpose=purpose, **changes)
        trainable = self.trainable if only is None else self.trainable & frozenset(only)
        job = replace(self.job, tensors=tensors, trainable=trainable, beside=beside or {})
        return self._promise(job, part, recipe)

    @property
    def steps(self) -> int:
        """How many steps a training by the recipe takes."""
        return self.recipe.epochs * ceil(len(self.job.samples) / self.recipe.batch_size)

    def keys(self, tensors: Collection[str]) -> list[str]:
        """Those of *tensors* that this node trains."""
        return [key for key in tensors if module(key) in self.trainable]

    def loss(self, tensors: Tensors) -> Tensors:
        """The mean training loss of *tensors* on all samples, as ``{"value": number}``."""
        return self._loss(tensors, self.job.samples)


def paired(result: Any) -> tuple[Tensors, Extra]:
    """What a local rule gave, if it is what one gives; else ValueError."""
    if isinstance(result, tuple) and len(result) == 2:
        tensors, extra = result
        if isinstance(tensors, Mapping) and isinstance(extra, Mapping):
            return tensors, extra
    got = "one" if isinstance(result, Mapping) else type(result).__name__
    raise ValueError(f"a local rule must give two mappings, weights and extra ({{}} or state.extra); got {got}")


def plainly(state: State, train: Trainer) -> tuple[Tensors, Extra]:
    """Train as the recipe says."""
    return train(state.tensors), state.extra


@dataclass(frozen=True, slots=True)
class Toward:
    """The gradient of the loss plus that of ``strength/2 ||w - anchor||^2``, where there is an anchor."""

    strength: float
    needs: tuple[str, ...] = ("anchor",)

    def __call__(self, weights: Tensors, gradient: Gradient, beside: Mapping[str, Tensors]) -> dict[str, Tensor]:
        """Both, of what the loss reaches."""
        anchor = beside["anchor"]
        pulls = {key: (weights[key] - value) * self.strength for key, value in anchor.items()}
        return {key: grad + pulls[key] if key in pulls else grad for key, grad in gradient(weights).items()}


def anchored(state: State) -> Tensors:
    """What the last merge down brought to a node; nothing before the first."""
    return {} if state.base is None else state.base.tensors


def combined(keys: Collection[str], needs: Collection[Tensors], compute: Callable[[str], Tensor]) -> Tensors:
    """What *compute* makes of the values of each key, when they are known."""
    own = tuple(keys)
    return lazily(own, tuple(needs), lambda: {key: compute(key) for key in own})
