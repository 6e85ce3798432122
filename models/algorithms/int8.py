"""A byte for each number."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from models.federation.algorithm import Algorithm
from models.model import Tensors

LARGEST = 127


@dataclass(frozen=True, slots=True)
class Bytes:
    """Each number as a whole number of -127 to 127, times a scale of its tensor, the largest size over 127.

    To the nearest, off by half the scale at most, or drawn, off by less than the scale, and right on average.
    """

    stochastic: bool
    feedback: bool

    def nbytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """One for each number, four for each scale."""
        return sum(prod(shape) + 4 for shape in shapes.values())

    def __call__(self, update: Tensors, random: np.random.Generator) -> dict[str, Tensor]:
        """What the bytes say."""
        return {key: self._decoded(value, random) for key, value in update.items()}

    def _decoded(self, value: Tensor, random: np.random.Generator) -> Tensor:
        scale = value.abs().max().double() / LARGEST if value.numel() else 0
        if not scale:
            return value
        exact = value.double() / scale
        drawn = (exact + torch.from_numpy(random.random(value.shape))).floor() if self.stochastic else exact.round()
        return (drawn.clamp(-LARGEST, LARGEST) * scale).to(value.dtype)


def int8(stochastic: bool = False, feedback: bool = False) -> Algorithm:
    """int8: updates go up as bytes with a scale per tensor (after Dettmers 2016, arXiv 1511.04561).

    Of every report, an edge's too. Rounded to the nearest, or *stochastic*: at random and right on average. *feedback*
    adds what was lost to the next update (Seide et al. 2014).
    """
    return Algorithm(uplink=Bytes(stochastic, feedback))
