"""What a model is to the rest: named modules, and outputs of several tasks from inputs of several modalities."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from models.blocks import Block
from models.data.samples import Task
from models.data.streams import stream

Tensors = Mapping[str, Tensor]  # "module/parameter" to its values
Nested = Mapping[str, Mapping[str, Tensor]]  # module to parameter to its values


@dataclass(frozen=True, slots=True)
class Stack:
    """Who is stacked: *rows* gives the places of the holders of a module or "module/parameter" that not all hold."""

    count: int
    rows: Mapping[str, Tensor]

    def spread(self, name: str, x: Tensor) -> Tensor:
        """What only the holders of *name* have, as a tensor over all clients: zero for the others."""
        if name not in self.rows:
            return x
        return x.new_zeros(self.count, *x.shape[1:]).index_copy(0, self.rows[name], x)

    def take(self, name: str, x: Tensor) -> Tensor:
        """The part of *x* that belongs to the holders of *name*."""
        return x[self.rows[name]] if name in self.rows else x

    def holds(self, name: str, like: Tensor) -> Tensor:
        """1 for each client that holds *name*, else 0; of the type of *like*, and where that is."""
        return self.spread(name, like.new_ones(len(self.rows[name]) if name in self.rows else self.count))


class Model(Protocol):
    """Named modules over modalities and tasks, such as :class:`models.m3t.M3T`."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of one sample of every modality."""
        ...

    @property
    def modules(self) -> Mapping[str, Block]:
        """Every module by its name."""
        ...

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Every task by its name."""
        ...

    def held(self, modalities: Iterable[str], tasks: Iterable[str]) -> tuple[str, ...]:
        """The "module/parameter" names that a node with these modalities and tasks has a use for."""
        ...

    def path(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """The modules that have to be taught before a prediction of *task* from these modalities means anything."""
        ...

    def needs(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """The modules that such a prediction cannot do without."""
        ...

    def modalities(self, keys: Collection[str]) -> tuple[str, ...]:
        """The modalities that a node holding *keys* can make use of."""
        ...

    def forward(
        self, params: Nested, inputs: Tensors, tasks: Sequence[str], stack: Stack | None = None
    ) -> dict[str, Tensor]:
        """Outputs ``[..., batch, outputs]`` by task: of one client, or of a stack of them."""
        ...


@runtime_checkable
class Probed(Protocol):
    """A model whose modules also run one by one."""

    def probe(self, name: str, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Module *name* alone on an input of the shape that :meth:`probe_shape` gives: for counting what it costs."""
        ...

    def probe_shape(self, name: str) -> tuple[int, ...]:
        """The shape of module *name*'s input for one sample."""
        ...


@dataclass(frozen=True)
class Cut:
    """A model in two parts: a front, whose outputs are kept, and the rest, which takes these for its samples.

    *name* says what shapes the front's numbers besides weights and samples: two fronts of one name, weights and samples
    give the same. *reads* tells whether the front looks at a "module/parameter" for samples of these modalities,
    *remains* whether the rest may. *front* runs on a stack, without gradients, and gives what ``rest.shapes`` names:
    ``[clients, batch, *shape]``.
    """

    name: str
    reads: Callable[[str, Collection[str]], bool]
    front: Callable[[Nested, Tensors, Stack], Mapping[str, Tensor]]
    remains: Callable[[str], bool]
    rest: Model


@runtime_checkable
class Cuttable(Protocol):
    """A model that can be cut before the first operation that trains; one without this method always runs whole."""

    def cut(self, trainable: Collection[str]) -> Cut | None:
        """Where to cut if these modules train; None if nothing comes before them. Clients' data play no part in it."""
        ...


@cache
def module(key: str) -> str:
    """The module of a "module/parameter" name."""
    return key.partition("/")[0]


def predictable(tasks: Iterable[str], keys: Iterable[str]) -> list[str]:
    """Those *tasks* whose head is among the modules of *keys*."""
    held = {module(key) for key in keys}
    return [task for task in tasks if f"head.{task}" in held]


@cache
def ballot(key: str) -> str:
    """What the votes on a "module/parameter" are counted under: its module; an offset's each task apart.

    A node holds only its own tasks' part of an offset, so it has no say in the others.
    """
    return key if key.startswith("offset.") else module(key)


def nest(tensors: Tensors) -> dict[str, dict[str, Tensor]]:
    """The same tensors by module and parameter."""
    out: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, parameter = key.partition("/")
        out.setdefault(name, {})[parameter] = value
    return out


def keys_of(model: Model) -> list[str]:
    """The "module/parameter" names of all its weights."""
    return [f"{name}/{parameter}" for name, block in model.modules.items() for parameter in block.init(undrawn)]


def undrawn(shape: tuple[int, ...], std: float) -> Tensor:
    """No draw: a weight's shape, in next to no memory."""
    return torch.zeros(()).expand(shape)


def initial(model: Model, seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Weights before any training; each module has its own random stream, so adding one changes no other."""
    out: dict[str, Tensor] = {}
    for name, block in model.modules.items():
        rng = stream(seed, "init", name)

        def draw(shape: tuple[int, ...], std: float, rng: np.random.Generator = rng) -> Tensor:
            values = rng.normal(0, std, shape) if std else np.zeros(shape)
            return torch.as_tensor(values, dtype=dtype)

        out |= {f"{name}/{parameter}": value for parameter, value in block.init(draw).items()}
    return out


def fitting(start: Tensors, drawn: Tensors) -> dict[str, Tensor]:
    """Weights to begin with, in the model's order."""
    for key in (*drawn, *start):
        if key not in start or key not in drawn:
            raise ValueError(f"the weights to start from {'lack' if key in drawn else 'have another weight,'} {key}")
        if start[key].shape != drawn[key].shape:
            shapes = f"{tuple(start[key].shape)}, the model {tuple(drawn[key].shape)}"
            raise ValueError(f"{key}: the weights to start from have the shape {shapes}")
    return {key: start[key] for key in drawn}
