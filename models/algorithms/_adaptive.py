"""Server optimizers: the mean update is a gradient, and the server takes its own step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from models.federation.tally import Result, Tally, tallied
from models.model import module
from models.states import Direction, State, Vote

FIRST, SECOND = "first_moment", "second_moment"


@dataclass(frozen=True, slots=True)
class Adaptive:
    """D = sum p_i (w_i - w); m = b1 m + (1 - b1) D; v as *second* says of (v, D^2); w += lr m / (sqrt v + tau).

    v begins at tau^2, m at 0 (Reddi et al. 2021, algorithm 2). Both stay at the node that merges.
    """

    second: Callable[[Tensor, Tensor], Tensor]
    lr: float
    beta1: float
    tau: float

    def __call__(
        self, own: State, received: Sequence[Vote], modules: Sequence[str], direction: Direction, registered: int
    ) -> State:
        """One step of the server."""
        some = set(modules)
        voted = Tally(own, received, registered, [key for key in own.tensors if module(key) in some]).keys
        keys = {name: dict.fromkeys([*own.extra.get(name, ()), *voted]) for name in (FIRST, SECOND)}

        def compute(tally: Tally) -> Result:
            weights, first, second = {}, dict(own.extra.get(FIRST, {})), dict(own.extra.get(SECOND, {}))
            for key in tally.keys:
                update = tally.mean_update(key)
                m = first[key] * self.beta1 if key in first else update * 0
                first[key] = m = m + update * (1 - self.beta1)
                v = second[key] if key in second else update * 0 + self.tau**2
                second[key] = v = self.second(v, update * update)
                weights[key] = own.tensors[key] + m * self.lr / (v.sqrt() + self.tau)
            return weights, {FIRST: first, SECOND: second}

        return tallied(own, received, modules, registered, compute, keys)
