"""Counts what PyTorch does: operations, bytes through memory, FLOPs, and the most memory held at once.

It works on tensors without data (device ``meta``) as on real ones: the operations are the same.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of computing takes: FLOPs, bytes moved, operations started, and its peak of memory in bytes."""

    flops: int = 0
    bytes_moved: int = 0
    launches: int = 0
    memory_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        """One after the other: all add up but the peak of memory, of which the larger counts."""
        return Cost(
            self.flops + other.flops,
            self.bytes_moved + other.bytes_moved,
            self.launches + other.launches,
            max(self.memory_bytes, other.memory_bytes),
        )

    def __mul__(self, times: int) -> Cost:
        """So many *times* in a row."""
        peak = self.memory_bytes if times else 0
        return Cost(self.flops * times, self.bytes_moved * times, self.launches * times, peak)


def count(work: Callable[[], Any], held: Sequence[Tensor] = ()) -> Cost:
    """What *work* costs, with *held* in memory all the time.

    FLOPs are those of the matrix products that torch's flop counter knows, two per multiply-add; elementwise operations
    count 0. Bytes moved are inputs and outputs of every operation that is not a view, as if nothing stayed in a cache.
    Memory is that of the storages alive at once, seen between operations: what one allocates inside is not seen.
    """
    counter = _Counter(held)
    with counter:
        work()
    return Cost(counter.flops, counter.bytes_moved, counter.launches, counter.peak)


class _Counter(TorchDispatchMode):
    """Sees every operation after autograd has taken it apart."""

    def __init__(self, held: Sequence[Tensor]) -> None:
        super().__init__()
        self.flops = self.bytes_moved = self.launches = self.live = self.peak = 0
        self._alive: dict[int, int] = {}  # bytes by storage
        self._keep(held)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here: torch need not load its compiler, which takes a second, to keep it off."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        counts = flop_registry.get(func._overloadpacket)
        if counts is None:  # in inference mode operations arrive that are made of others
            with self:
                parts = func.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        out = func(*args, **(kwargs or {}))
        if counts is not None:
            self.flops += int(counts(*args, **(kwargs or {}), out_val=out))
        inputs, outputs = list(_tensors((args, kwargs))), list(_tensors(out))
        known = {_storage(tensor) for tensor in inputs}
        new = [tensor for tensor in outputs if _storage(tensor) not in known]
        name = func._schema.name.removeprefix("aten::")
        # A view makes nothing new and changes nothing; the schema alone does not tell, see ``_unsafe_view``.
        if (new or func._schema.is_mutable) and not name.startswith(("empty", "new_empty")):
            self.launches += 1
            self.bytes_moved += sum(map(_nbytes, outputs))
            if not name.startswith("new_") and not name.endswith("_like"):  # those look at a shape only
                self.bytes_moved += sum(map(_nbytes, inputs)) - sum(map(_nbytes, _only_written(func, kwargs or {})))
        self._keep(new)
        return out

    def _keep(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            storage, key = tensor.untyped_storage(), _storage(tensor)
            if key not in self._alive:
                self._alive[key] = storage.nbytes()
                self.live += storage.nbytes()
                weakref.finalize(storage, self._free, key).atexit = False
        self.peak = max(self.peak, self.live)

    def _free(self, key: int) -> None:
        self.live -= self._alive.pop(key)


def _tensors(values: Any) -> Iterator[Tensor]:
    return (value for value in tree_leaves(values) if isinstance(value, torch.Tensor))


def _only_written(func: Any, kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    """What an operation puts its result into (``out=``) without reading it."""
    return _tensors([kwargs.get(argument.name) for argument in func._schema.arguments if argument.is_out])


def _storage(tensor: Tensor) -> int:
    """Which piece of memory a tensor looks at."""
    return tensor.untyped_storage()._cdata


def _nbytes(tensor: Tensor) -> int:
    """The bytes behind a tensor; along an axis that repeats one value (stride 0) they are there once."""
    numbers = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        numbers *= size if stride else min(size, 1)
    return numbers * tensor.element_size()
