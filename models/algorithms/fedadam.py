"""Adam at the server."""

from dataclasses import dataclass

from torch import Tensor

from models.algorithms._adaptive import Adaptive
from models.algorithms._knobs import below, not_negative, positive
from models.federation.algorithm import Algorithm


@dataclass(frozen=True, slots=True)
class Forgetting:
    """v = b2 v + (1 - b2) D^2."""

    beta2: float

    def __call__(self, v: Tensor, square: Tensor) -> Tensor:
        """The second moment."""
        return v * self.beta2 + square * (1 - self.beta2)


def fedadam(
    lr: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.99,
    tau: float = 1e-3,
    v0: float | None = None,
    debias: int = 0,
) -> Algorithm:
    """FedAdam: the server takes a step of Adam along the mean update (Reddi et al. 2021, arXiv 2003.00295).

    Every node that gathers does, an edge on what its own children report; moments stay where they are. The second one
    begins at *v0*, by default tau^2. As in the paper lr is not corrected for the first steps, unless *debias* says so:
    1 as in Adam, 2 with v0 = 0 as in Flower.
    """
    positive("fedadam", lr=lr, tau=tau)
    below(1, "fedadam", beta1=beta1, beta2=beta2)
    not_negative("fedadam", v0=v0 or 0.0, debias=debias)
    return Algorithm(rule=Adaptive(Forgetting(beta2), lr, beta1, tau, v0, beta2, debias))
