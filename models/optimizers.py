"""Optimizers over stacked weights, each beside the torch.optim class that it equals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Optimizer(Protocol):
    """One update rule, elementwise, so that it does not care how many clients are stacked."""

    @property
    def slots(self) -> int:
        """Tensors of state per weight."""
        ...

    def update(self, p: Tensor, grad: Tensor, state: tuple[Tensor, ...], step: int) -> None:
        """Change *p* and *state* in place; *step* counts from 1."""
        ...

    def torch(self, params: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The same rule from torch.optim."""
        ...


@dataclass(frozen=True, slots=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW does it."""

    lr: float = 1e-3
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    slots: int = 2

    def update(self, p: Tensor, grad: Tensor, state: tuple[Tensor, ...], step: int) -> None:
        """One step; *state* holds the two moments."""
        mean, square = state
        mean.mul_(self.beta1).add_(grad * (1 - self.beta1))
        square.mul_(self.beta2).add_(grad * grad * (1 - self.beta2))
        denominator = square.sqrt().div_(math.sqrt(1 - self.beta2**step)).add_(self.eps)
        if self.weight_decay:
            p.mul_(1 - self.lr * self.weight_decay)
        p.sub_((mean / denominator).mul_(self.lr / (1 - self.beta1**step)))

    def torch(self, params: Iterable[Tensor]) -> torch.optim.Optimizer:
        """torch.optim.AdamW with the same numbers."""
        betas = (self.beta1, self.beta2)
        return torch.optim.AdamW(params, self.lr, betas, self.eps, self.weight_decay, foreach=False)


@dataclass(frozen=True, slots=True)
class SGD:
    """Stochastic gradient descent with momentum, as torch.optim.SGD does it."""

    lr: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0

    @property
    def slots(self) -> int:
        """The velocity, if there is momentum."""
        return 1 if self.momentum else 0

    def update(self, p: Tensor, grad: Tensor, state: tuple[Tensor, ...], step: int) -> None:
        """One step; *state* holds the velocity."""
        if self.weight_decay:
            grad = grad + p * self.weight_decay
        if self.momentum:
            grad = state[0].mul_(self.momentum).add_(grad)
        p.sub_(grad * self.lr)

    def torch(self, params: Iterable[Tensor]) -> torch.optim.Optimizer:
        """torch.optim.SGD with the same numbers."""
        return torch.optim.SGD(params, self.lr, self.momentum, weight_decay=self.weight_decay, foreach=False)
