"""The middle of each number."""

import torch

from models.federation.algorithm import Algorithm
from models.federation.tally import Reports, Result, Tally


def medians(tally: Tally) -> Result:
    """Of each coordinate the median of all who have a say in it, of an even number the mean of the middle two."""
    weights = {}
    for key in tally.keys:
        rows = torch.stack([tally.arrived(vote, key) for vote in tally.voters(key)]).sort(0).values
        weights[key] = (rows[(len(rows) - 1) // 2] + rows[len(rows) // 2]) / 2
    return weights, {}


def median() -> Algorithm:
    """Median: of every coordinate, which less than half of all cannot move far (Yin et al. 2018, arXiv 1803.01498).

    Every report counts alike, on every tier. On a tree, half of an edge's children suffice to own it; of two reports it
    is the mean, so a node needs three.
    """
    return Algorithm(rule=Reports(medians), extra_flops=sorting, least=3)


def sorting(numbers: int, copies: int) -> float:
    """Comparisons of a sort."""
    return numbers * copies * max(copies - 1, 1).bit_length()
