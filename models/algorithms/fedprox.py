"""A pull towards the model that came down."""

from dataclasses import dataclass

from models.algorithms._knobs import not_negative
from models.federation.algorithm import Algorithm
from models.federation.local import Extra, Toward, Trainer, anchored
from models.model import Tensors
from models.states import State


@dataclass(frozen=True, slots=True)
class Proximal:
    """Minimise F + mu/2 ||w - w_g||^2, where w_g is what the last merge down brought."""

    mu: float

    def __call__(self, state: State, train: Trainer) -> tuple[Tensors, Extra]:
        """One training."""
        return train(state.tensors, Toward(self.mu), {"anchor": anchored(state)}), state.extra


def fedprox(mu: float = 0.01) -> Algorithm:
    """FedProx: clients stay near the model that they were sent (Li et al. 2020, arXiv 1812.06127).

    Each is pulled to what came down from its own parent; every tier averages.
    """
    not_negative("fedprox", mu=mu)
    return Algorithm(local=Proximal(mu))
