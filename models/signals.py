"""What schedules go by: figures of nodes' weights as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

from models.model import ballot, module
from models.states import State

SIGNALS = frozenset({"loss", "divergence", "gradient"})


def divergence(states: Mapping[str, State], modules: Sequence[str]) -> dict[str, float]:
    """How far nodes are from each other in the weights of *modules* that all of them hold.

    ``max``: the largest distance (2-norm) between two of their z = votes x weights; ``spread``: the largest norm of a z
    less the smallest, which nodes can find by flooding (Hosseinalipour et al., arXiv 2007.09511); ``inf``: the largest
    infinity norm of the weights themselves less the smallest (Lin et al., arXiv 2103.10481).
    """
    keys = _common(states, modules)
    z = [_flat([state.tensors[key] * state.samples.get(ballot(key), 0) for key in keys]) for state in states.values()]
    norms = [float(each.norm()) for each in z]
    every = [_flat([state.tensors[key] for key in keys]) for state in states.values()]
    sizes = [float(weights.abs().max()) if keys else 0.0 for weights in every]
    return {
        "max": max((float((a - b).norm()) for a, b in combinations(z, 2)), default=0.0),
        "spread": max(norms, default=0.0) - min(norms, default=0.0),
        "inf": max(sizes, default=0.0) - min(sizes, default=0.0),
    }


def gradient(states: Mapping[str, State], modules: Sequence[str], way: float) -> dict[str, float]:
    """``norm``: of the mean over nodes of how far each has come from its base, over the *way*, steps x step size."""
    keys, total = _common(states, modules), None
    for state in states.values():
        base = {} if state.base is None else state.base.tensors
        moved = _flat([base.get(key, state.tensors[key]) - state.tensors[key] for key in keys])
        total = moved if total is None else total + moved
    return {"norm": 0.0 if total is None else float(total.norm()) / len(states) / way}


def _common(states: Mapping[str, State], modules: Sequence[str]) -> list[str]:
    some, first = set(modules), next(iter(states.values()), None)
    held = [state.tensors for state in states.values()]
    keys = () if first is None else first.tensors
    return [key for key in keys if module(key) in some and all(key in tensors for tensors in held)]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return (
        torch.cat([tensor.flatten().double() for tensor in tensors]) if tensors else torch.zeros(0, dtype=torch.float64)
    )
