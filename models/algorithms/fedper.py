"""Heads that stay with their client."""

from collections.abc import Sequence

from models.algorithms._staying import HEADS, staying
from models.federation.algorithm import Algorithm


def fedper(stay: Sequence[str] = HEADS) -> Algorithm:
    """FedPer: some modules never leave the client, the others are averaged (Arivazhagan et al. 2019, arXiv 1912.00818).

    *stay* are patterns of modules. They travel neither up nor down on any tier, so nodes above have none of them that
    has learned anything; the plan may list them or not.
    """
    travels, check = staying("fedper", stay)
    return Algorithm(carries=travels, check=check)
