"""What a model costs: bytes, FLOPs and memory of each module, counted on tensors without data.

FLOPs are those of the matrix products that torch's flop counter sees, forward and backward, two per multiply-add;
elementwise operations count 0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from models.data.samples import Samples
from models.model import Model, Tensors, initial, module, nest
from models.objectives import Batch, Objective


@dataclass(frozen=True, slots=True)
class ModuleCost:
    """One module: its size, and what one sample costs it (backward: gradients of its weights and of its input)."""

    module: str
    parameters: int
    nbytes: int
    forward_flops: int
    backward_flops: int
    activation_bytes: int


def module_costs(model: Model) -> list[ModuleCost]:
    """The footprint of every module of *model*."""
    weights = nest(meta(initial(model, 0)))
    return [_module_cost(name, weights[name], model) for name in model.modules]


def meta(tensors: Tensors) -> dict[str, Tensor]:
    """The same shapes without data."""
    return {key: torch.empty_like(value, device="meta") for key, value in tensors.items()}


def training_flops(
    model: Model, keys: Collection[str], samples: Samples, objective: Objective, trainable: Collection[str]
) -> int:
    """FLOPs of one training step per sample, for a node that holds *keys* and sees samples like these."""
    batch = _one(samples)
    hidden = objective.hide(model, batch, 1, np.random.default_rng(0))
    tensors = {key: value for key, value in meta(initial(model, 0)).items() if key in keys}
    own = [value.requires_grad_() for key, value in tensors.items() if module(key) in trainable]
    if not own:
        return 0

    def step() -> None:
        loss = objective.loss(model, nest(tensors), Batch(batch.inputs, batch.targets, meta(hidden)))
        torch.autograd.grad(loss, own, allow_unused=True)

    return _flops(step)


def forward_flops(model: Model, keys: Collection[str], samples: Samples) -> int:
    """FLOPs of one prediction of all tasks that the node has, per sample."""
    batch = _one(samples)
    tensors = nest({key: value for key, value in meta(initial(model, 0)).items() if key in keys})
    tasks = [task for task in batch.targets if f"head.{task}" in tensors]
    return _flops(lambda: model.forward(tensors, batch.inputs, tasks))


def _one(samples: Samples) -> Samples:
    """One sample's shapes."""
    return Samples(
        {m: torch.empty(1, *x.shape[1:], dtype=x.dtype, device="meta") for m, x in samples.inputs.items()},
        {t: torch.empty(1, dtype=y.dtype, device="meta") for t, y in samples.targets.items()},
    )


def _flops(step: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def _module_cost(name: str, weights: Mapping[str, Tensor], model: Model) -> ModuleCost:
    own = {key: value.requires_grad_() for key, value in weights.items()}
    x = torch.empty(model.probe_shape(name), device="meta", requires_grad=True)
    saved: dict[int, int] = {}
    known = {value.untyped_storage()._cdata for value in own.values()}

    def keep(t: Tensor) -> Tensor:
        if t.untyped_storage()._cdata not in known:
            saved[t.untyped_storage()._cdata] = t.untyped_storage().nbytes()
        return t

    forward = _flops(lambda: model.probe(name, own, x))
    with saved_tensors_hooks(keep, lambda t: t):
        out = model.probe(name, own, x)
    backward = _flops(lambda: torch.autograd.grad(out.sum(), [x, *own.values()], allow_unused=True))
    parameters = sum(value.numel() for value in own.values())
    nbytes = sum(value.numel() * value.element_size() for value in own.values())
    return ModuleCost(name, parameters, nbytes, forward, backward, sum(saved.values()))
