"""Which module of a whole model an operation belongs to: for models whose modules do not run alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

if TYPE_CHECKING:
    from models.model import Model


BESIDE = ("adapter", "prompt")  # what works beside a module


@dataclass(frozen=True, slots=True)
class ModuleCost:
    """One module: its size, and what one sample costs it (backward: gradients of its weights and of its input)."""

    module: str
    parameters: int
    nbytes: int
    forward_flops: int
    backward_flops: int
    activation_bytes: int


def seen_at_work(model: Model, weights: Mapping[str, Mapping[str, Tensor]]) -> list[ModuleCost]:
    """The modules' costs: an operation belongs to the module whose weights it uses; *weights* and inputs hold no data.

    One that uses none, such as attention's own products, belongs with the one before, adapters and prompts apart.
    A product of two matrices takes two more of its size backward, one for each factor.
    """
    own = {name: {key: value.requires_grad_() for key, value in some.items()} for name, some in weights.items()}
    dtypes: Mapping[str, torch.dtype] = getattr(model, "dtypes", {})
    inputs = {
        m: torch.empty((1, *shape), device="meta", dtype=dtypes.get(m, torch.float32))
        for m, shape in model.shapes.items()
    }
    watch = _Watch(own)
    with saved_tensors_hooks(watch.keep, lambda t: t), watch:
        model.forward(own, inputs, tuple(model.tasks))
    out = []
    for name, some in own.items():
        numbers = sum(value.numel() for value in some.values())
        nbytes = sum(value.numel() * value.element_size() for value in some.values())
        flops, kept = watch.flops[name], sum(watch.kept[name].values())
        out.append(ModuleCost(name, numbers, nbytes, flops, 2 * flops, kept))
    return out


class _Watch(TorchDispatchMode):
    """Sees every operation, and whose weights it uses."""

    def __init__(self, weights: Mapping[str, Mapping[str, Tensor]]) -> None:
        super().__init__()
        self.owner = {_storage(value): name for name, some in weights.items() for value in some.values()}
        self.now = self.around = next(iter(weights))
        self.made: dict[int, str] = {}  # by place in memory, which may be used again
        self.flops = dict.fromkeys(weights, 0)
        self.kept: dict[str, dict[int, int]] = {name: {} for name in weights}

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        users = [self.owner[_storage(value)] for value in tensors if _storage(value) in self.owner]
        self.now = users[-1] if users else self.around
        self.around = self.around if self.now in BESIDE else self.now
        out = func(*args, **kwargs)
        seen = {_storage(value) for value in tensors}
        results = [_storage(value) for value in tree_leaves(out) if isinstance(value, Tensor)]
        self.made |= {place: self.now for place in results if place not in seen}  # a view makes nothing
        counts = flop_registry.get(func._overloadpacket)
        if counts is not None:
            self.flops[self.now] += int(counts(*args, **kwargs, out_val=out))
        return out

    def keep(self, tensor: Tensor) -> Tensor:
        """What autograd keeps for the way back, weights apart: it counts with the module that made it."""
        place = _storage(tensor)
        if place not in self.owner:
            self.kept[self.made.get(place, self.now)][place] = tensor.untyped_storage().nbytes()
        return tensor


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
