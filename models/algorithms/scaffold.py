"""Control variates against the drift of clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.algorithms._knobs import positive
from models.federation.algorithm import Algorithm, Setting
from models.federation.local import Extra, Trainer, combined
from models.federation.tally import Result, Tally, one, tallied
from models.model import Tensors, module
from models.optimizers import SGD
from models.states import Direction, State, Vote
from models.training import Gradient

ALL, OWN, CHANGE = "control", "own_control", "control_change"  # c, c_i, and how c_i has changed since the last report


@dataclass(frozen=True, slots=True)
class Drift:
    """The gradient plus a constant, c - c_i."""

    needs: tuple[str, ...] = ("drift",)

    def __call__(self, weights: Tensors, gradient: Gradient, beside: Mapping[str, Tensors]) -> dict[str, Tensor]:
        """Of what the loss reaches."""
        drift = beside["drift"]
        return {key: grad + drift[key] if key in drift else grad for key, grad in gradient(weights).items()}


def local(state: State, train: Trainer) -> tuple[Tensors, Extra]:
    """y <- y - eta (g - c_i + c), then c_i+ = c_i - c + (x - y)/(K eta) (option II)."""
    c, own, change = (state.extra.get(name, {}) for name in (ALL, OWN, CHANGE))
    keys, x = train.keys(state.tensors), state.tensors
    rate = train.steps * getattr(train.recipe.optimizer, "lr", 1.0)

    def drift(key: str) -> Tensor:
        zero = torch.zeros_like(x[key])
        return c.get(key, zero) - own.get(key, zero)

    y = train(x, Drift(), {"drift": combined(keys, (x, c, own), drift)})

    def step(key: str) -> Tensor:
        """c_i+ - c_i; nothing where no loss has reached."""
        zero = torch.zeros_like(x[key])
        return zero if y[key] is x[key] else (x[key] - y[key]) / rate - c.get(key, zero)

    now = combined(keys, (x, y, c, own), lambda key: own[key] + step(key) if key in own else step(key))
    since = combined(keys, (x, y, c, change), lambda key: change[key] + step(key) if key in change else step(key))
    return y, {**state.extra, OWN: now, CHANGE: since}


@dataclass(frozen=True, slots=True)
class Controlled:
    """x <- x + eta_g mean(y - x); c <- c + (S/N) mean(c_i+ - c_i) of S reports of N children.

    A child whose report lacks a weight is none of the N of that weight.
    """

    server_lr: float

    def __call__(
        self, own: State, received: Sequence[Vote], modules: Sequence[str], direction: Direction, registered: int
    ) -> State:
        """Every report counts alike."""
        some = set(modules)
        sent = {key for vote in received for key in vote.state.extra.get(CHANGE, ())}
        keys = [key for key in own.tensors if key in sent and module(key) in some]
        known = [*own.extra.get(ALL, ()), *(key for key in keys if key not in own.extra.get(ALL, ()))]

        def compute(tally: Tally) -> Result:
            weights, change = {}, {}
            for key in tally.keys:
                counts = [one(vote) for vote in tally.voters(key)]
                weights[key] = tally.moved(key, [n * self.server_lr for n in counts], sum(counts))
            for key in keys:
                there = [v.state.extra[CHANGE][key] for v in received if key in v.state.extra.get(CHANGE, ())]
                change[key] = sum(there[1:], there[0]) / (registered - len(received) + len(there))
            return weights, {ALL: _added(tally, ALL, change), CHANGE: _added(tally, CHANGE, change)}

        earlier = [key for key in own.extra.get(CHANGE, ()) if key not in keys]
        return tallied(own, received, modules, registered, compute, {ALL: known, CHANGE: [*keys, *earlier]})


def _added(tally: Tally, name: str, change: Mapping[str, Tensor]) -> dict[str, Tensor]:
    before = tally.own.extra.get(name, {})
    out = {key: before[key] for key in before}
    return {**out, **{key: before[key] + value if key in before else value for key, value in change.items()}}


def check(setting: Setting) -> None:
    """K eta is the way of plain gradient steps only."""
    optimizer = setting.recipe.optimizer
    if not isinstance(optimizer, SGD) or optimizer.momentum or optimizer.weight_decay:
        raise ValueError("scaffold needs plain SGD: learning.optimizer: {name: sgd}, without momentum or weight_decay")


def scaffold(server_lr: float = 1.0) -> Algorithm:
    """SCAFFOLD: control variates against client drift, sent both ways (Karimireddy et al. 2020, arXiv 1910.06378).

    An edge adds to the c that came down what its children report, and reports in turn the mean of their changes.
    """
    positive("scaffold", server_lr=server_lr)
    return Algorithm(local=local, rule=Controlled(server_lr), up=(CHANGE,), down=(ALL,), check=check)
