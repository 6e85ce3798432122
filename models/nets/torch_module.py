"""Any torch.nn.Module as a model of named modules."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from models.attribution import BESIDE
from models.blocks import Block, Draw
from models.data.samples import Task
from models.model import Nested, Stack, Tensors, module
from models.nets.checking import check, mapped, needed, takes_tasks


@dataclass(frozen=True)
class Given:
    """Weights that begin as somebody made them."""

    weights: Mapping[str, Tensor]

    def init(self, draw: Draw) -> dict[str, Tensor]:
        """The weights themselves, of the kind (number format, device) that *draw* makes; nobody writes into them."""
        like = draw((1,), 0.0)
        return {name: value.to(like) for name, value in self.weights.items()}


@dataclass(frozen=True, eq=False)
class TorchModel:
    """*network* with its parameters under our module names, and its ``forward`` on inputs of several modalities.

    *names* maps patterns of parameter names to modules, ``{"body.*": "trunk", "answer.*": "head.answer"}``; exactly
    one has to match every parameter. ``forward`` takes modalities by name, ``[batch, *shape]``, and returns a tensor
    ``[batch, outputs]``, or one per task by name where there are several tasks. A modality with a default in its
    signature may be lacking; an argument ``tasks``, if it has one, says which tasks are asked for. Each row must be
    worked alone, nothing may be drawn by lot and no buffer changed: ValueError otherwise, with the remedy.

    Clients are worked one after the other, so whoever is stacked beside a client changes no bit of it. With *lanes*
    of 2 or more they run by torch.func.vmap, always so many at a time (the last group filled up with copies), since a
    stack of another size may take other paths. *folder*: where other processes find the network's own source.
    """

    network: nn.Module
    shapes: Mapping[str, tuple[int, ...]]
    tasks: Mapping[str, Task]
    names: Mapping[str, str]
    dtypes: Mapping[str, torch.dtype] = field(default_factory=dict)  # of modalities; float32 unless given
    lanes: int = 1
    folder: str = ""
    ragged = False  # only clients with the same modules, modalities and tasks share a stack

    def __post_init__(self) -> None:
        if self.lanes < 1:
            raise ValueError(f"lanes must be >= 1, got {self.lanes}")
        check(self.network, self.shapes, self.tasks, self.names, self.dtypes)
        self.network.requires_grad_(False)

    @property
    def stackable(self) -> bool:
        """Whether clients gain from a stack."""
        return self.lanes > 1

    @cached_property
    def owner(self) -> dict[str, str]:
        """The module of every parameter."""
        return mapped(self.network, self.names)

    @cached_property
    def modules(self) -> dict[str, Block]:
        """Every module by its name, in the order in which they were named."""
        weights: dict[str, dict[str, Tensor]] = {name: {} for name in self.names.values()}
        for parameter, value in self.network.named_parameters():
            weights[self.owner[parameter]][parameter] = value.detach()
        return {name: Given(own) for name, own in weights.items()}

    @cached_property
    def needed(self) -> frozenset[str]:
        """The modalities that ``forward`` cannot do without."""
        return frozenset(needed(self.network, self.shapes))

    def held(self, modalities: Iterable[str], tasks: Iterable[str]) -> tuple[str, ...]:
        """The "module/parameter" names of use to a node: all but encoders and heads of what it lacks."""
        there, some = set(modalities), set(tasks)
        if missing := sorted(self.needed - there):
            raise ValueError(
                f"a client lacks {missing[0]}, which {type(self.network).__name__}.forward needs; give that argument "
                f"a default ({missing[0]}=None), or data in which nobody lacks it"
            )
        lacking = {f"encoder.{m}" for m in self.shapes if m not in there}
        lacking |= {f"head.{task}" for task in self.tasks if task not in some}
        return tuple(f"{own}/{name}" for name, own in self.owner.items() if own not in lacking)

    def path(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """All that a prediction uses but adapters and prompts, without which it means something."""
        return tuple(name for name in self.needs(task, modalities) if name not in BESIDE)

    def needs(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """Every module but the encoders of other modalities and the heads of other tasks."""
        there = set(modalities)
        others = {f"encoder.{m}" for m in self.shapes if m not in there} | {
            f"head.{t}" for t in self.tasks if t != task
        }
        return tuple(name for name in self.modules if name not in others)

    def modalities(self, keys: Collection[str]) -> tuple[str, ...]:
        """Those whose encoder is among *keys*, or that have none of their own."""
        held = {module(key) for key in keys}
        return tuple(m for m in self.shapes if (e := f"encoder.{m}") in held or e not in self.modules)

    def forward(
        self, params: Nested, inputs: Tensors, tasks: Sequence[str], stack: Stack | None = None
    ) -> dict[str, Tensor]:
        """Outputs ``[..., batch, outputs]`` by task."""
        weights = {name: value for own in params.values() for name, value in own.items()}
        around = self._rest(weights)
        if stack is None:
            return self._call({**around, **weights}, inputs, tasks)
        if self.lanes > 1:
            return self._stacked(weights, around, inputs, tasks, stack.count)
        own, seen = ({key: value.unbind() for key, value in some.items()} for some in (weights, inputs))
        single = [self._call(around | _at(own, i), _at(seen, i), tasks) for i in range(stack.count)]
        return {task: torch.stack([out[task] for out in single]) for task in tasks}

    def _stacked(
        self, weights: Tensors, around: Tensors, inputs: Tensors, tasks: Sequence[str], count: int
    ) -> dict[str, Tensor]:
        parts = []
        for start in range(0, count, self.lanes):
            own, seen = (
                {k: self._filled(v[start : start + self.lanes]) for k, v in x.items()} for x in (weights, inputs)
            )
            parts.append(vmap(lambda w, x: self._call({**around, **w}, x, tasks))(own, seen))
        return {task: torch.cat([part[task] for part in parts])[:count] for task in tasks}

    def _filled(self, x: Tensor) -> Tensor:
        """*x* with so many lanes; copies carry no gradient back."""
        short = self.lanes - len(x)
        return torch.cat([x, x[-1:].detach().expand(short, *x.shape[1:])]) if short else x

    def _call(self, values: Tensors, inputs: Tensors, tasks: Sequence[str]) -> dict[str, Tensor]:
        asked: dict[str, Any] = {"tasks": tuple(tasks)} if takes_tasks(self.network) else {}
        out = functional_call(self.network, dict(values), (), {**inputs, **asked})
        return dict.fromkeys(tasks, out) if isinstance(out, Tensor) else {task: out[task] for task in tasks}

    def _rest(self, weights: Tensors) -> dict[str, Tensor]:
        """Parameters of modules that a client lacks, and buffers, where the *weights* are (another device, or none)."""
        device = next(iter(weights.values())).device
        rest: dict[str, Tensor] = {n: value for n, value in self.network.named_parameters() if n not in weights}
        rest |= self.network.named_buffers()
        return {name: value.to(device) for name, value in rest.items() if value.device != device}

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes find the network's source in *folder*."""
        values = (self.network, self.shapes, self.tasks, self.names, self.dtypes, self.lanes, self.folder)
        return _again, (type(self), self.folder, pickle.dumps(values))


def _at(values: Mapping[str, Sequence[Tensor]], i: int) -> dict[str, Tensor]:
    return {key: value[i] for key, value in values.items()}


def _again(kind: type[TorchModel], folder: str, pickled: bytes) -> TorchModel:
    if folder and folder not in sys.path:
        sys.path.append(folder)  # never before what is installed
    return kind(*pickle.loads(pickled))


def seeded(make: Any, seed: int) -> nn.Module:
    """What *make* makes under this seed, with torch's own stream of random numbers left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        made: nn.Module = make()
    return made
