"""What schedules go by: figures of nodes' weights as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

from models.federation.local import Trainer
from models.federation.tally import VALUE
from models.model import ballot, module
from models.states import State

SIGNALS = frozenset({"loss", "divergence", "gradient"})


def figure(
    name: str, states: Mapping[str, State], modules: Sequence[str], trainers: Mapping[str, Trainer]
) -> dict[str, float]:
    """The signal of this *name*: ``loss``, of every node that trains its mean training loss, or :func:`divergence`.

    Raises ValueError for another name.
    """
    if name == "loss":
        return {node: float(train.loss(states[node].tensors)[VALUE]) for node, train in trainers.items()}
    if name == "divergence":
        return divergence(states, modules)
    raise ValueError(f"there is no signal {name!r}; there are {', '.join(sorted(SIGNALS))}")


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


def gradient(
    states: Mapping[str, State], modules: Sequence[str], way: float, change: tuple[State, State] | None = None
) -> dict[str, float]:
    """``norm``: of the last *change* of the global model, before and after it, over the *way*, steps x step size.

    Before there was a change: of the mean over nodes of how far each has come from its base. After MH-FL (arXiv
    2007.09511), where nodes train once between two changes; the mean of some nodes need not vanish at the optimum.
    """
    keys = _common(states, modules)
    if change is not None:
        before, after = (state.tensors for state in change)
        return {"norm": float(_flat([before[key] - after[key] for key in keys if key in before]).norm()) / way}
    total = None
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
