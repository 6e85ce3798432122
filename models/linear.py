"""A linear model of several tasks with offsets owned by tiers: a mixed-effects model as a federation."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.blocks import Block, Head, Offset
from models.data.samples import Task
from models.m3t import read_out
from models.model import Nested, Stack, Tensors


@dataclass(frozen=True)
class LinearModel:
    """``head.<task>`` on the raw features of one modality, plus ``offset.<tier>``; everything begins at zero."""

    shapes: Mapping[str, tuple[int, ...]]  # one modality, of one sample
    tasks: Mapping[str, Task]
    offsets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.shapes) != 1:
            raise ValueError(f"a linear model takes one modality, got {sorted(self.shapes)}")

    @cached_property
    def modules(self) -> dict[str, Block]:
        """Every module by its name."""
        features = math.prod(next(iter(self.shapes.values())))
        outputs = {name: task.outputs for name, task in self.tasks.items()}
        heads: dict[str, Block] = {f"head.{t}": Head(features, n, zero=True) for t, n in outputs.items()}
        return heads | {f"offset.{tier}": Offset(outputs) for tier in self.offsets}

    def held(self, modalities: Iterable[str], tasks: Iterable[str]) -> tuple[str, ...]:
        """The "module/parameter" names of use to a node with these tasks."""
        return tuple(
            key
            for task in tasks
            for key in (f"head.{task}/weight", f"head.{task}/bias", *(f"offset.{t}/{task}" for t in self.offsets))
        )

    def path(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """The head alone."""
        return (f"head.{task}",)

    def needs(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """The head alone."""
        return self.path(task, modalities)

    def modalities(self, keys: Collection[str]) -> tuple[str, ...]:
        """The one there is."""
        return tuple(self.shapes)

    def probe_shape(self, name: str) -> tuple[int, ...]:
        """One sample's features."""
        return (1, math.prod(next(iter(self.shapes.values()))))

    def probe(self, name: str, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Module *name* alone."""
        block = self.modules[name]
        if isinstance(block, Offset):
            return torch.cat([Offset.add(effect, x[..., :1]) for effect in params.values()], -1)
        assert isinstance(block, Head)
        return block(params, x)

    def forward(
        self, params: Nested, inputs: Tensors, tasks: Sequence[str], stack: Stack | None = None
    ) -> dict[str, Tensor]:
        """Outputs ``[..., batch, outputs]`` by task."""
        (x,) = inputs.values()
        x = x.flatten(1 if stack is None else 2)
        return {task: read_out(self.modules, self.offsets, params, task, x, stack) for task in tasks}
