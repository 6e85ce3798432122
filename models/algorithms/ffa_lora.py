"""Low-rank adapters of which one factor is frozen."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from models.algorithms._lora import LowRank, first
from models.federation.algorithm import Algorithm
from models.federation.local import Extra, Trainer
from models.model import Tensors
from models.states import State
from models.training import Gradient


@dataclass(frozen=True, slots=True)
class Frozen:
    """The gradient without that of any A."""

    needs: tuple[str, ...] = ()

    def __call__(self, weights: Tensors, gradient: Gradient, beside: Mapping[str, Tensors]) -> dict[str, Tensor]:
        """Of what the loss reaches."""
        return {key: grad for key, grad in gradient(weights).items() if not first(key)}


def local(state: State, train: Trainer) -> tuple[Tensors, Extra]:
    """All else trains as the recipe says."""
    return train(state.tensors, Frozen()), state.extra


def travels(key: str) -> bool:
    """Whether it is no A."""
    return not first(key)


def ffa_lora() -> Algorithm:
    """FFA-LoRA: A stays as drawn, the same for all, so the mean of B is exact (Sun et al. 2024, arXiv 2403.12313).

    A never travels, on no tier: half of the bytes where A and B are of one size.
    """
    return Algorithm(local=local, carries=travels, check=LowRank("ffa_lora"))
