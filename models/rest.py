"""What is left of an M3T when its frozen front is computed once and kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.blocks import Block
from models.data.samples import Task
from models.model import Cut, Nested, Stack, Tensors, module

if TYPE_CHECKING:
    from models.m3t import M3T


def cut_at(model: M3T, depth: int) -> Cut:
    """*model* before and after the first *depth* segments of its trunk."""
    before = tuple(begin for segment in model.trunk.segments[:depth] for begin in segment.reads)
    after = tuple(begin for segment in model.trunk.segments[depth:] for begin in segment.reads)
    shape = {m: (tuple(size), model.encoders[m].tokens) for m, size in model.shapes.items()}
    name = repr((shape, model.width, model.heads, model.hidden, model.adapters, model.prompt, depth))

    def reads(key: str, modalities: Collection[str]) -> bool:
        kind, _, rest = module(key).partition(".")
        return rest in modalities if kind == "encoder" else key.startswith(before)

    def remains(key: str) -> bool:
        return key.startswith((*after, "head.", "offset."))

    return Cut(f"M3T{name}", reads, partial(front, model, depth), remains, Rest(model, depth))


def front(model: M3T, depth: int, params: Nested, inputs: Tensors, stack: Stack) -> dict[str, Tensor]:
    """What :class:`Rest` takes: tokens, zero where a client lacks them, and which are there; or what heads read."""
    tokens, there = model.encode(params, model.parts(inputs, stack), stack)
    assert there is not None
    x = model.trunk.walk(params, torch.cat(list(tokens.values()), -2), there, 0, depth)
    if depth == len(model.trunk.segments):
        return {"features": x.flatten(-2)}
    return {"tokens": x, "there": there.unsqueeze(1).expand(-1, x.shape[1], -1)}


@dataclass(frozen=True)
class Rest:
    """An M3T from segment *depth* of its trunk on: a model whose samples are what the front made of the real ones."""

    model: M3T
    depth: int

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tokens and whether each is there; behind the trunk, all tokens of a sample side by side."""
        own, width = self.model.token_count, self.model.width
        if self.depth == len(self.model.trunk.segments):
            return {"features": (own * width,)}
        return {"tokens": (own + self.model.trunk.joined(self.depth), width), "there": (own,)}

    @cached_property
    def modules(self) -> dict[str, Block]:
        """Those that are still used."""
        used = {module(key) for segment in self.model.trunk.segments[self.depth :] for key in segment.reads}
        everything = self.model.modules.items()
        return {name: block for name, block in everything if name in used or name.startswith(("head.", "offset."))}

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The same."""
        return self.model.tasks

    def held(self, modalities: Iterable[str], tasks: Iterable[str]) -> tuple[str, ...]:
        """Those that are still used, by a node with these tasks."""
        return tuple(key for key in self.model.held(self.model.shapes, tasks) if module(key) in self.modules)

    def path(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """Those that are still used."""
        return tuple(name for name in self.model.path(task, ()) if name in self.modules)

    def needs(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """Those that are still used."""
        return tuple(name for name in self.model.needs(task, ()) if name in self.modules)

    def modalities(self, keys: Collection[str]) -> tuple[str, ...]:
        """All that it takes."""
        return tuple(self.shapes)

    def probe_shape(self, name: str) -> tuple[int, ...]:
        """The same."""
        return self.model.probe_shape(name)

    def probe(self, name: str, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """The same."""
        return self.model.probe(name, params, x)

    def forward(
        self, params: Nested, inputs: Tensors, tasks: Sequence[str], stack: Stack | None = None
    ) -> dict[str, Tensor]:
        """Outputs ``[..., batch, outputs]`` by task."""
        if "features" in inputs:
            return self.model.read(params, inputs["features"], tasks, stack)
        there = inputs["there"].select(-2, 0)  # the same for all samples of a client
        x = self.model.trunk.walk(params, inputs["tokens"], there, self.depth)
        return self.model.read(params, x.flatten(-2), tasks, stack)
