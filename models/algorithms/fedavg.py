"""Plain averaging."""

from models.federation.algorithm import FEDAVG, Algorithm


def fedavg() -> Algorithm:
    """FedAvg, on a tree HierFAVG: means by votes (McMahan et al. 2017, 1602.05629; Liu et al. 2020, 1905.06641)."""
    return FEDAVG
