"""Few levels of each number, drawn without bias."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log2, prod

import numpy as np
import torch
from torch import Tensor

from models.algorithms._knobs import count
from models.federation.algorithm import Algorithm
from models.model import Tensors


@dataclass(frozen=True, slots=True)
class Quantised:
    """||x|| sign(x_j) l_j / s with l_j one of the levels 0 to s on either side of s |x_j| / ||x||, right on average.

    A code of one sign and ceil log2(s + 1) bits a number, and 32 bits for the norm of the whole update. Its error is on
    average at most min(d / s^2, sqrt(d) / s) of ||x||^2, d numbers (Alistarh et al., lemma 3.1).
    """

    levels: int
    feedback: bool = False

    def nbytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Codes and the norm."""
        return 4 + ceil(sum(map(prod, shapes.values())) * (1 + ceil(log2(self.levels + 1))) / 8)

    def __call__(self, update: Tensors, random: np.random.Generator) -> dict[str, Tensor]:
        """What the codes say."""
        flat = torch.cat([value.flatten() for value in update.values()])
        norm = flat.double().norm()
        if not norm:
            return dict(update)
        scaled = flat.double().abs() * (self.levels / norm)
        level = (scaled + torch.from_numpy(random.random(flat.numel()))).floor()
        decoded = (level * flat.double().sign() * (norm / self.levels)).to(flat.dtype)
        pieces = decoded.split([value.numel() for value in update.values()])
        return {key: piece.view_as(value) for (key, value), piece in zip(update.items(), pieces, strict=True)}


def qsgd(levels: int = 16, feedback: bool = False) -> Algorithm:
    """QSGD: updates go up in few levels, drawn without bias (Alistarh et al. 2017, arXiv 1610.02132).

    Of every report, an edge's too. *feedback* adds what was lost to the next update, which such a draw does not need,
    and with few levels for many numbers makes worse.
    """
    count("qsgd", 1, levels=levels)
    return Algorithm(uplink=Quantised(levels, feedback))
