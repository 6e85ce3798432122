"""A model from which one step leads to a good one of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from models.algorithms._knobs import positive
from models.federation.algorithm import Algorithm
from models.federation.local import Extra, Trainer
from models.model import Tensors
from models.optimizers import SGD
from models.states import State
from models.training import Gradient


@dataclass(frozen=True, slots=True)
class Ahead:
    """The gradient after one step along it: grad F(w - a grad F(w)), on the same batch."""

    rate: float
    needs: tuple[str, ...] = ()

    def __call__(self, weights: Tensors, gradient: Gradient, beside: Mapping[str, Tensors]) -> dict[str, Tensor]:
        """Of what the loss reaches."""
        steps = {key: value * self.rate for key, value in gradient(weights).items()}
        return gradient({key: value - steps[key] if key in steps else value for key, value in weights.items()})


@dataclass(frozen=True, slots=True)
class Meta:
    """w <- w - b grad F(w - a grad F(w))."""

    rate: float

    def __call__(self, state: State, train: Trainer) -> tuple[Tensors, Extra]:
        """One training; b is the recipe's own rate."""
        return train(state.tensors, Ahead(self.rate)), state.extra


@dataclass(frozen=True, slots=True)
class Step:
    """What inner steps make of the shared model."""

    rate: float

    def __call__(self, state: State, train: Trainer) -> Tensors:
        """Along the gradient, once over the samples."""
        return train(state.tensors, epochs=1, optimizer=SGD(self.rate), clip=None)


def mlpfl(inner_lr: float = 0.01) -> Algorithm:
    """MLPFL: meta-learning over layers of groups of learners (Chu et al. 2022, arXiv 2212.02985; after the abstract).

    The gradient is taken at its argument and not through it (first order), as the update is written. Every tier
    averages: group, course, all. A client is scored after inner steps at *inner_lr*, one for each batch of its samples:
    one step, as in the paper, where batches are full.
    """
    positive("mlpfl", inner_lr=inner_lr)
    return Algorithm(local=Meta(inner_lr), personal=Step(inner_lr))
