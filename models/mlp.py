"""A perceptron over one modality: hidden layers as its encoder, and a head per task."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from models.blocks import Block, Draw, Linear, Params, linear
from models.data.samples import Task
from models.model import Cut, Nested, Stack, Tensors, module

FEATURES = "features"


@dataclass(frozen=True, slots=True)
class Layers:
    """Linear layers, each followed by a ReLU: *sizes* are the numbers that enter, and that leave each layer."""

    sizes: tuple[int, ...]

    def init(self, draw: Draw) -> dict[str, Tensor]:
        """He-scaled weights and zero biases."""
        p = {}
        for i, (rows, columns) in enumerate(pairwise(self.sizes)):
            p[f"{i}.weight"] = draw((rows, columns), math.sqrt(2 / rows))
            p[f"{i}.bias"] = draw((columns,), 0.0)
        return p

    def __call__(self, p: Params, x: Tensor) -> Tensor:
        """``[..., inputs]`` to ``[..., outputs of the last layer]``."""
        for i in range(len(self.sizes) - 1):
            x = torch.relu(linear(x, p[f"{i}.weight"], p[f"{i}.bias"]))
        return x


@dataclass(frozen=True)
class MLP:
    """``encoder.<modality>``, layers of *hidden* units with ReLUs, and ``head.<task>``, a linear map per task."""

    shapes: Mapping[str, tuple[int, ...]]  # one modality, of one sample
    tasks: Mapping[str, Task]
    hidden: tuple[int, ...] = (128,)

    def __post_init__(self) -> None:
        if len(self.shapes) != 1:
            raise ValueError(f"MLP: takes one modality, got {sorted(self.shapes)}")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"MLP: hidden must be one or more layers of 1 unit or more, got {list(self.hidden)}")

    @property
    def encoder(self) -> str:
        """The name of the module of the hidden layers."""
        return f"encoder.{next(iter(self.shapes))}"

    @cached_property
    def modules(self) -> dict[str, Block]:
        """Every module by its name, in a fixed order."""
        layers = Layers((math.prod(next(iter(self.shapes.values()))), *self.hidden))
        return {self.encoder: layers} | {f"head.{t}": Linear(self.hidden[-1], k.outputs) for t, k in self.tasks.items()}

    def held(self, modalities: Iterable[str], tasks: Iterable[str]) -> tuple[str, ...]:
        """The "module/parameter" names of use to a node with these tasks."""
        layers = [f"{self.encoder}/{i}.{name}" for i in range(len(self.hidden)) for name in ("weight", "bias")]
        return (*layers, *(f"head.{task}/{name}" for task in tasks for name in ("weight", "bias")))

    def path(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """The hidden layers and the head."""
        return (self.encoder, f"head.{task}")

    def needs(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """The same."""
        return self.path(task, modalities)

    def modalities(self, keys: Collection[str]) -> tuple[str, ...]:
        """The one there is."""
        return tuple(self.shapes)

    def probe_shape(self, name: str) -> tuple[int, ...]:
        """One sample for the encoder, what it makes of it for a head."""
        return (1, math.prod(next(iter(self.shapes.values())))) if name == self.encoder else (1, self.hidden[-1])

    def probe(self, name: str, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Module *name* alone."""
        block = self.modules[name]
        assert isinstance(block, Layers | Linear)
        return block(params, x)

    def forward(
        self, params: Nested, inputs: Tensors, tasks: Sequence[str], stack: Stack | None = None
    ) -> dict[str, Tensor]:
        """Outputs ``[..., batch, outputs]`` by task."""
        (x,) = inputs.values()
        z = self.probe(self.encoder, params[self.encoder], x.flatten(1 if stack is None else 2))
        return self.read(params, z, tasks, stack)

    def read(self, params: Nested, z: Tensor, tasks: Sequence[str], stack: Stack | None) -> dict[str, Tensor]:
        """Outputs by task of what leaves the hidden layers."""
        out = {}
        for task in tasks:
            name = f"head.{task}"
            out[task] = self.probe(name, params[name], z if stack is None else stack.take(name, z))
        return out

    def cut(self, trainable: Collection[str]) -> Cut | None:
        """Behind the hidden layers, if they are frozen."""
        if self.encoder in trainable:
            return None

        def front(params: Nested, inputs: Tensors, stack: Stack) -> dict[str, Tensor]:
            (x,) = inputs.values()
            return {FEATURES: self.probe(self.encoder, params[self.encoder], x.flatten(2))}

        return Cut(
            f"MLP{dict(self.shapes)}{self.hidden}",
            lambda key, modalities: module(key) == self.encoder,
            front,
            lambda key: module(key) != self.encoder,
            Heads({FEATURES: self.hidden[-1:]}, self.tasks, self.hidden),
        )


@dataclass(frozen=True)
class Heads(MLP):
    """What is left of a perceptron whose hidden layers are frozen: its samples are what these made of the real ones."""

    @cached_property
    def modules(self) -> dict[str, Block]:
        """The heads."""
        return {name: block for name, block in super().modules.items() if name.startswith("head.")}

    def held(self, modalities: Iterable[str], tasks: Iterable[str]) -> tuple[str, ...]:
        """Those of the heads."""
        return tuple(key for key in super().held(modalities, tasks) if module(key) in self.modules)

    def path(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """The head."""
        return (f"head.{task}",)

    def forward(
        self, params: Nested, inputs: Tensors, tasks: Sequence[str], stack: Stack | None = None
    ) -> dict[str, Tensor]:
        """Outputs ``[..., batch, outputs]`` by task."""
        return self.read(params, inputs[FEATURES], tasks, stack)
