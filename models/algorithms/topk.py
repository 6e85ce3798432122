"""Only the largest changes go up."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log2, prod

import numpy as np
import torch
from torch import Tensor

from models.algorithms import _knobs
from models.federation.algorithm import Algorithm
from models.model import Tensors


@dataclass(frozen=True, slots=True)
class TopK:
    """The k numbers of largest size of a whole update, with their places: k (32 + ceil log2 d) bits of d numbers."""

    share: float
    feedback: bool = True

    def _count(self, numbers: int) -> int:
        return max(1, round(self.share * numbers))

    def nbytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Values and places."""
        numbers = sum(map(prod, shapes.values()))
        return ceil(self._count(numbers) * (32 + ceil(log2(numbers))) / 8) if numbers > 1 else 4 * numbers

    def __call__(self, update: Tensors, random: np.random.Generator) -> dict[str, Tensor]:
        """The others are zero."""
        flat = torch.cat([value.flatten() for value in update.values()])
        kept = flat.abs().topk(self._count(flat.numel())).indices
        sparse = torch.zeros_like(flat).index_copy(0, kept, flat[kept])
        pieces = sparse.split([value.numel() for value in update.values()])
        return {key: piece.view_as(value) for (key, value), piece in zip(update.items(), pieces, strict=True)}


def topk(share: float = 0.01, feedback: bool = True) -> Algorithm:
    """Top-k sparsification with error feedback (Stich et al. 2018, arXiv 1809.07599).

    Of every report, an edge's too.
    """
    _knobs.share("topk", share=share)
    return Algorithm(uplink=TopK(share, feedback))
