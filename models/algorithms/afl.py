"""Fairness by the worst mixture of children."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.algorithms._knobs import positive
from models.algorithms._losses import LOSS, local, noted
from models.federation.algorithm import Algorithm
from models.federation.tally import VALUE, Result, Tally, single, tallied
from models.states import Direction, State, Vote

MIXTURE = "mixture"  # lambda, by child


def projected(values: Sequence[float], mass: float = 1.0) -> list[float]:
    """The nearest point of a simplex: max(v - t, 0) with sum *mass* (Duchi et al. 2008)."""
    total, threshold = 0.0, 0.0
    for place, value in enumerate(sorted(values, reverse=True), 1):
        total += value
        if value > (total - mass) / place:
            threshold = (total - mass) / place
    return [max(value - threshold, 0.0) for value in values]


@dataclass(frozen=True, slots=True)
class Agnostic:
    """w <- sum lambda_i w_i, then lambda <- Proj(lambda + g F), F the losses at the model that the children were sent.

    A child that has not been heard of keeps 1/N, N children being registered, so that the lambda of the others are a
    simplex of the rest; of a child that has been, but does not report now, the loss counts as 0.
    """

    rate: float

    def __call__(
        self, own: State, received: Sequence[Vote], modules: Sequence[str], direction: Direction, registered: int
    ) -> State:
        """One step of both."""
        before = own.extra.get(MIXTURE, {})
        children = tuple(dict.fromkeys([*before, *(vote.sender for vote in received)]))

        def compute(tally: Tally) -> Result:
            mixture = {name: float(before[name]) if name in before else 1 / registered for name in children}
            losses = {vote.sender: tally.figure(vote, LOSS) for vote in received}
            weights = {}
            for key in tally.keys:
                says = [mixture[vote.sender] for vote in tally.voters(key)]
                if sum(says):
                    weights[key] = tally.moved(key, says, sum(says))
            return weights, {
                MIXTURE: self.stepped(mixture, losses, min(1.0, len(mixture) / registered)),
                LOSS: single(noted(tally, _mixed(mixture, losses))),
            }

        return tallied(own, received, modules, registered, compute, {MIXTURE: children, LOSS: (VALUE,)})

    def stepped(self, mixture: Mapping[str, float], losses: Mapping[str, float], mass: float) -> dict[str, Tensor]:
        """Lambda after a step towards the worst; *mass* is their sum."""
        moved = projected([value + self.rate * losses.get(name, 0.0) for name, value in mixture.items()], mass)
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in zip(mixture, moved, strict=True)}


def _mixed(mixture: Mapping[str, float], losses: Mapping[str, float]) -> float:
    total = sum(mixture[name] for name in losses)
    return sum(mixture[name] * loss for name, loss in losses.items()) / total if total else 0.0


def afl(rate: float = 0.1) -> Algorithm:
    """AFL: minimise the loss of the worst mixture of children, found on the way (Mohri et al. 2019, arXiv 1902.00146).

    After the paper's stochastic ascent and descent, with local trainings in place of single steps. *rate* is that of
    lambda, which stays at the node that gathers. The report of an edge has the loss of its own mixture, so that the
    root looks for the worst edge, and that for its worst child. Where all of lambda is elsewhere, the own copy stays.
    """
    positive("afl", rate=rate)
    return Algorithm(local=local, rule=Agnostic(rate), figures=(LOSS,))
