"""Optimizers over stacked weights, each beside the torch.optim class that it equals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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

    def update(self, p: Tensor, grad: Tensor, state: Sequence[Tensor], step: int) -> None:
        """Change *p* and *state* in place, and *grad* at will; *step* counts from 1.

        Products and sums apart: fused, they could round otherwise at the end of a vector than inside it.
        """
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

    def update(self, p: Tensor, grad: Tensor, state: Sequence[Tensor], step: int) -> None:
        """One step; *state* holds the two moments."""
        mean, square = state
        bias = math.sqrt(1 - self.beta2**step)
        scratch = grad * (1 - self.beta1)
        mean.mul_(self.beta1).add_(scratch)
        grad.mul_(grad).mul_(1 - self.beta2)
        square.mul_(self.beta2).add_(grad)
        if self.weight_decay:
            p.mul_(1 - self.lr * self.weight_decay)
        torch.sqrt(square, out=scratch).add_(self.eps * bias)
        torch.div(mean, scratch, out=scratch).mul_(self.lr * bias / (1 - self.beta1**step))
        p.sub_(scratch)

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

    def update(self, p: Tensor, grad: Tensor, state: Sequence[Tensor], step: int) -> None:
        """One step; *state* holds the velocity."""
        if self.weight_decay:
            grad.add_(p * self.weight_decay)
        if self.momentum:
            grad = torch.mul(state[0].mul_(self.momentum).add_(grad), self.lr, out=grad)
        else:
            grad.mul_(self.lr)
        p.sub_(grad)

    def torch(self, params: Iterable[Tensor]) -> torch.optim.Optimizer:
        """torch.optim.SGD with the same numbers."""
        return torch.optim.SGD(params, self.lr, self.momentum, weight_decay=self.weight_decay, foreach=False)


def clip_factors(limit: float, grads: Iterable[tuple[Tensor, Tensor | None]], clients: int) -> Tensor:
    """What each client's gradient is to be multiplied by, so that its 2-norm over all its weights is *limit* at most.

    *grads*: stacked gradients, each with its clients' places (None: all of them). As torch.nn.utils.clip_grad_norm_.
    """
    total: Tensor | None = None
    for grad, rows in grads:
        squares = (grad * grad).reshape(len(grad), -1).sum(1)
        total = squares.new_zeros(clients) if total is None else total
        if rows is None:
            total += squares
        else:
            total.index_add_(0, rows, squares)
    if total is None:
        raise ValueError("clip_factors: there is no gradient")
    return (limit / (total.sqrt() + 1e-6)).clamp(max=1.0)
