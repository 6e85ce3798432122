"""A mean without the extremes of each number."""

from dataclasses import dataclass
from math import ceil

import torch

from models.algorithms._knobs import below, positive
from models.algorithms.median import sorting
from models.federation.algorithm import Algorithm
from models.federation.tally import Reports, Result, Tally
from models.means import weighted_sum


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The mean of each coordinate without the floor(*share* n) largest and as many smallest of n."""

    share: float

    def __call__(self, tally: Tally) -> Result:
        """Every report counts alike."""
        weights = {}
        for key in tally.keys:
            rows = torch.stack([tally.arrived(vote, key) for vote in tally.voters(key)]).sort(0).values
            cut = int(self.share * len(rows))
            kept = rows[cut : len(rows) - cut]
            weights[key] = weighted_sum(list(kept), [1 / len(kept)] * len(kept))
        return weights, {}


def trimmed_mean(share: float = 0.2) -> Algorithm:
    """Trimmed mean: of every coordinate, without a *share* at either end (Yin et al. 2018, arXiv 1803.01498).

    Every report counts alike, on every tier. At least one is cut at either end, so a node needs 1 / *share* children.
    """
    below(0.5, "trimmed_mean", share=share)
    positive("trimmed_mean", share=share)
    return Algorithm(rule=Reports(Trimmed(share)), extra_flops=sorting, least=ceil(1 / share))
