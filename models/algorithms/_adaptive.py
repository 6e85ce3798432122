"""Server optimizers: the mean update is a gradient, and the server takes its own step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from models.federation.tally import VALUE, Result, Tally, single, tallied
from models.model import module
from models.states import Direction, State, Vote

FIRST, SECOND, STEPS = "first_moment", "second_moment", "server_steps"


@dataclass(frozen=True, slots=True)
class Adaptive:
    """D = sum p_i (w_i - w); m = b1 m + (1 - b1) D; v as *second* says of (v, D^2); w += lr m / (sqrt v + tau).

    v begins at *v0*, by default tau^2 (Reddi et al. 2021, algorithm 2), m at 0. Both stay at the node that merges. If
    *debias* is not 0, lr of the node's step t is corrected as Adam's of step t + debias - 1 (Kingma and Ba 2015): 1 is
    theirs, and 2 is what Flower's FedAdam does, with v0 = 0.
    """

    second: Callable[[Tensor, Tensor], Tensor]
    lr: float
    beta1: float
    tau: float
    v0: float | None = None
    beta2: float = 0.0
    debias: int = 0

    def __call__(
        self, own: State, received: Sequence[Vote], modules: Sequence[str], direction: Direction, registered: int
    ) -> State:
        """One step of the server."""
        some = set(modules)
        voted = Tally(own, received, registered, [key for key in own.tensors if module(key) in some]).keys
        keys = {name: dict.fromkeys([*own.extra.get(name, ()), *voted]) for name in (FIRST, SECOND)}
        if self.debias:
            keys[STEPS] = {VALUE: None}

        def compute(tally: Tally) -> Result:
            weights, first, second = {}, dict(own.extra.get(FIRST, {})), dict(own.extra.get(SECOND, {}))
            v0 = self.tau**2 if self.v0 is None else self.v0
            step = float(own.extra[STEPS][VALUE]) + 1 if STEPS in own.extra else 1.0
            lr = self.lr * self._corrected(step + self.debias - 1) if self.debias else self.lr
            for key in tally.keys:
                update = tally.mean_update(key)
                m = first[key] * self.beta1 if key in first else update * 0
                first[key] = m = m + update * (1 - self.beta1)
                v = second[key] if key in second else update * 0 + v0
                second[key] = v = self.second(v, update * update)
                weights[key] = own.tensors[key] + m * lr / (v.sqrt() + self.tau)
            return weights, {FIRST: first, SECOND: second, STEPS: single(step)}

        return tallied(own, received, modules, registered, compute, keys)

    def _corrected(self, step: float) -> float:
        return float((1 - self.beta2**step) ** 0.5 / (1 - self.beta1**step))
