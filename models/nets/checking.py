"""Whether a torch.nn.Module can be federated: its parameters named, each row worked alone, nothing drawn by lot."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._python_dispatch import TorchDispatchMode

from models.data.samples import Task

NAME = re.compile(r"[A-Za-z]\w*(\.\w+)*")


def check(
    network: nn.Module,
    shapes: Mapping[str, tuple[int, ...]],
    tasks: Mapping[str, Task],
    names: Mapping[str, str],
    dtypes: Mapping[str, torch.dtype],
) -> None:
    """ValueError, with the remedy, where *network* cannot be federated."""
    for problem in layer_problems(network):
        raise ValueError(f"{type(network).__name__}: {problem}")
    owner = mapped(network, names)
    for task in tasks:
        if f"head.{task}" not in owner.values():
            raise ValueError(f"parameters: nothing is mapped to head.{task}; every task needs a head of its own")
    needed(network, shapes)
    if not any(value.is_meta for value in network.parameters()):  # without data there is nothing to see
        try_out(network, shapes, tasks, dtypes)


def mapped(network: nn.Module, names: Mapping[str, str]) -> dict[str, str]:
    """The module of every parameter; ValueError where none, or more than one, of the patterns in *names* matches it."""
    for pattern, name in names.items():
        if not NAME.fullmatch(name) or name.startswith("offset."):
            raise ValueError(f"parameters: {pattern} is mapped to {name!r}; a name is such as trunk or head.answer")
    out, used = {}, set()
    for parameter, value in network.named_parameters():
        if isinstance(value, nn.parameter.UninitializedParameter):
            raise ValueError(f"{type(network).__name__}: {parameter} has no size yet; use layers of given sizes")
        exact = [parameter] if parameter in names else []
        matching = exact or [pattern for pattern in names if fnmatchcase(parameter, pattern)]
        if len(matching) != 1:
            what = f"matched by {' and '.join(matching)}" if matching else "matched by no pattern"
            raise ValueError(f"parameters: {parameter} is {what}; map every parameter exactly once")
        out[parameter] = names[matching[0]]
        used.add(matching[0])
    if idle := [pattern for pattern in names if pattern not in used]:
        raise ValueError(f"parameters: {idle[0]} matches no parameter; there are {', '.join(list(out)[:6])}")
    return out


def layer_problems(network: nn.Module) -> Iterator[str]:
    """Layers that draw by lot, keep running statistics, or mix the rows of a batch."""
    for name, layer in network.named_modules():
        kind = f"{name or 'it'} ({type(layer).__name__})"
        dropout = layer.p if isinstance(layer, _DropoutNd) else getattr(layer, "dropout", 0.0)
        if isinstance(dropout, float) and dropout > 0 and layer.training:
            yield f"{kind} drops by lot; give it p=0, since results must not depend on who is trained beside whom"
        if isinstance(layer, _NormBase) and (layer.track_running_stats or "Batch" in type(layer).__name__):
            yield f"{kind} keeps or uses statistics of whole batches; use LayerNorm or GroupNorm"


def _parameters(network: nn.Module) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(network.forward).parameters


def takes_tasks(network: nn.Module) -> bool:
    """Whether ``forward`` wants to know which tasks are asked for."""
    return "tasks" in _parameters(network)


def needed(network: nn.Module, shapes: Mapping[str, Any]) -> list[str]:
    """The modalities without which ``forward`` cannot do; ValueError where its arguments are not the modalities."""
    arguments = _parameters(network)
    free = any(p.kind is p.VAR_KEYWORD for p in arguments.values())
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {n: p for n, p in arguments.items() if p.kind in kinds}
    where = f"{type(network).__name__}.forward"
    if missing := [m for m in shapes if m not in named and not free]:
        raise ValueError(f"{where} takes {', '.join(named)}, but the data have {', '.join(shapes)}: add {missing[0]}")
    if more := [n for n, p in named.items() if p.default is p.empty and n not in shapes and n != "tasks"]:
        raise ValueError(f"{where} needs {more[0]!r}, but the data have only {', '.join(shapes)}")
    return [m for m in shapes if m not in named or named[m].default is inspect.Parameter.empty]


def try_out(
    network: nn.Module,
    shapes: Mapping[str, tuple[int, ...]],
    tasks: Mapping[str, Task],
    dtypes: Mapping[str, torch.dtype],
) -> None:
    """Two rows, twice, with another second row: shapes, lots, buffers, and whether the first comes out the same."""
    who = type(network).__name__
    inputs = {m: _rows(shape, dtypes.get(m, torch.float32)) for m, shape in shapes.items()}
    others = {m: x[[0, 2]] for m, x in inputs.items()}
    extra = {"tasks": tuple(tasks)} if takes_tasks(network) else {}
    buffers = {name: value._version for name, value in network.named_buffers()}
    with torch.no_grad(), _Lots() as lots:
        try:
            one, two = (network(**x, **extra) for x in ({m: x[:2] for m, x in inputs.items()}, others))
        except Exception as error:
            given = ", ".join(f"{m} {[2, *shape]}" for m, shape in shapes.items())
            raise ValueError(f"{who}.forward failed on {given}: {type(error).__name__}: {error}") from error
    if lots.drawn:
        raise ValueError(f"{who}.forward draws by lot ({lots.drawn}); leave that out: rounds must be repeatable")
    for name, value in network.named_buffers():
        if value._version != buffers[name]:
            raise ValueError(f"{who}.forward changes its buffer {name}; only parameters are federated")
    for task in tasks.values():
        first, again = (_output(out, task, tasks, who) for out in (one, two))
        if not torch.allclose(first[0], again[0], rtol=1e-3, atol=1e-4, equal_nan=True):
            raise ValueError(f"{who}.forward mixes the rows of a batch; each row must be worked alone")


def _rows(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Three different rows; of whole numbers, zeros and ones, which every vocabulary has."""
    generator = torch.Generator().manual_seed(0)
    if dtype.is_floating_point:
        return torch.randn((3, *shape), generator=generator, dtype=dtype)
    return torch.randint(0, 2, (3, *shape), generator=generator, dtype=dtype)


def _output(out: Any, task: Task, tasks: Mapping[str, Task], who: str) -> Tensor:
    wanted = f"a tensor [batch, {task.outputs}]" + ("" if len(tasks) == 1 else ", or one by each task's name")
    value = (
        out if isinstance(out, Tensor) and len(tasks) == 1 else out.get(task.name) if isinstance(out, Mapping) else None
    )
    if not isinstance(value, Tensor) or value.shape != (2, task.outputs):
        got = f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else f"{type(out).__name__}"
        raise ValueError(f"{who}.forward returns {got} for {task.name} on a batch of 2; it must return {wanted}")
    return value


class _Lots(TorchDispatchMode):
    """Sees whether an operation draws random numbers."""

    drawn = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags and _share_dropped(func, args, kwargs or {}) != 0:
            self.drawn = str(func._schema.name).removeprefix("aten::")
        return func(*args, **(kwargs or {}))


def _share_dropped(func: Any, args: Any, kwargs: Any) -> Any:
    """How much an operation leaves to chance, if it says so: attention and dropout may be told to drop nothing."""
    given = {a.name: a.default_value for a in func._schema.arguments}
    given |= dict(zip(given, args, strict=False)) | kwargs
    return given.get("dropout_p", given.get("p"))
