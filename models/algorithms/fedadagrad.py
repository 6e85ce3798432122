"""Adagrad at the server."""

from torch import Tensor

from models.algorithms._adaptive import Adaptive
from models.algorithms._knobs import below, positive
from models.federation.algorithm import Algorithm


def gathering(v: Tensor, square: Tensor) -> Tensor:
    """v = v + D^2."""
    return v + square


def fedadagrad(lr: float = 0.1, beta1: float = 0.0, tau: float = 1e-3) -> Algorithm:
    """FedAdagrad: the server takes a step of Adagrad along the mean update (Reddi et al. 2021, arXiv 2003.00295).

    Every node that gathers does, an edge on what its own children report; moments stay where they are.
    """
    positive("fedadagrad", lr=lr, tau=tau)
    below(1, "fedadagrad", beta1=beta1)
    return Algorithm(rule=Adaptive(gathering, lr, beta1, tau))
