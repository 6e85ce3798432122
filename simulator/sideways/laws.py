"""How many rounds of mixing a cluster needs: the control laws of MH-FL and TT-HF.

MH-FL is arXiv 2007.09511 (constants of its version 4), TT-HF arXiv 2103.10481.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, inf, log
from typing import Literal, Protocol

MOST = 50  # rounds
Estimate = Literal["max", "spread"]


@dataclass(frozen=True, slots=True)
class Case:
    """A cluster that is about to mix: how many nodes, the spectral *radius* of its matrix, how often it has mixed.

    *turn* counts from 1. *signals* are the workload's answers to the law's `signals`, *first* those of turn 1. They are
    of "divergence", with z = votes x weights: "max", the largest norm of a difference of two z; "spread", the largest
    less the smallest norm of a z; "inf", the largest less the smallest infinity norm of the weights as they are. And of
    "gradient": "norm", of the last change of the global model over step size and local steps.
    """

    size: int
    radius: float
    turn: int
    signals: Mapping[str, float]
    first: Mapping[str, float]


class Law(Protocol):
    """Rounds of mixing for a case; *signals* are the names of the signals it goes by."""

    @property
    def signals(self) -> tuple[str, ...]: ...  # noqa: D102

    def __call__(self, case: Case) -> int:
        """Rounds, >= 0."""
        ...


def theta(divergence: float, radius: float, size: int, sigma: float, most: int = MOST) -> int:
    """MH-FL: ceil((log sigma - 2 log(size^2 divergence)) / (2 log radius)), from 1 to *most*.

    So many rounds bring the cluster's squared error below *sigma*; *divergence* is the largest distance between two of
    its z = votes x weights.
    """
    if divergence == 0 or radius == 0:
        return 1
    if radius >= 1 or sigma == 0:
        return most
    return min(max(ceil((log(sigma) - 2 * log(size**2 * divergence)) / (2 * log(radius))), 1), most)


def gamma(eta: float, phi: float, error: float, size: int, radius: float, most: int = MOST) -> int:
    """TT-HF: max(0, ceil(log(eta phi / (size error)) / log radius)), at most *most*.

    Rounds that bring the consensus *error* (largest less smallest infinity norm) below eta phi; 0 if it is.
    """
    if size * error <= eta * phi:
        return 0
    if radius == 0:
        return 1
    return most if radius >= 1 else min(ceil(log(eta * phi / (size * error)) / log(radius)), most)


@dataclass(frozen=True, slots=True)
class Taper:
    """MH-FL with sigma = share x size^4 x divergence^2, of the first turn, once and for all; 0 < share < 1.

    Its rounds grow fewer as the divergence shrinks. *estimate*: "max" over pairs, or the distributed "spread" of norms.
    """

    share: float
    estimate: Estimate = "max"
    signals = ("divergence",)

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"taper: the share must be > 0 and < 1, got {self.share}")

    def __call__(self, case: Case) -> int:
        """Rounds."""
        sigma = self.share * case.size**4 * case.first[self.estimate] ** 2
        return theta(case.signals[self.estimate], case.radius, case.size, sigma)


@dataclass(frozen=True, slots=True)
class Layers:
    """What MH-FL's bounds know of a tree: all *samples* D, its *phi* and M (*dimension*), N of the layer above, |L|."""

    samples: float
    phi: float
    dimension: float
    nodes_above: int
    layers: int

    def __post_init__(self) -> None:
        _positive("layers", self, ("samples", "phi", "dimension", "nodes_above", "layers"))

    @property
    def scale(self) -> float:
        """D^2 / (Phi M^2 N |L|)."""
        return self.samples**2 / (self.phi * self.dimension**2 * self.nodes_above * self.layers)


@dataclass(frozen=True, slots=True)
class FiniteGap:
    """MH-FL with sigma = D^2 gap / (Phi M^2 N |L|): the optimality gap stays below a constant that grows with *gap*."""

    gap: float
    layers: Layers
    estimate: Estimate = "max"
    signals = ("divergence",)

    def __post_init__(self) -> None:
        _positive("finite gap", self, ("gap",))

    def __call__(self, case: Case) -> int:
        """Rounds."""
        return theta(case.signals[self.estimate], case.radius, case.size, self.layers.scale * self.gap)


@dataclass(frozen=True, slots=True)
class LinearRate:
    """MH-FL with sigma = D^2 mu (mu - delta eta) |g|^2 / (eta^4 Phi M^2 N |L|): the gap falls at a linear rate.

    *mu* is the loss's strong convexity, *eta* its smoothness, 0 < *delta* <= mu / eta; g is the gradient as the last
    change of the global model tells it: signal "gradient", key "norm".
    """

    delta: float
    mu: float
    eta: float
    layers: Layers
    estimate: Estimate = "max"
    signals = ("divergence", "gradient")

    def __post_init__(self) -> None:
        _positive("linear rate", self, ("delta", "mu", "eta"))
        if self.delta > self.mu / self.eta:
            raise ValueError(f"linear rate: delta must be <= mu / eta = {self.mu / self.eta:g}, got {self.delta}")

    def __call__(self, case: Case) -> int:
        """Rounds."""
        slope = self.mu * (self.mu - self.delta * self.eta) / self.eta**4
        sigma = self.layers.scale * slope * case.signals["norm"] ** 2
        return theta(case.signals[self.estimate], case.radius, case.size, sigma)


@dataclass(frozen=True, slots=True)
class TwoTimescale:
    """TT-HF: keep the consensus error below eta_t phi, where eta_t = rate / (t + shift) is the step size after t steps.

    *steps* are local steps in a turn.
    """

    phi: float
    rate: float
    shift: float
    steps: int = 1
    signals = ("divergence",)

    def __post_init__(self) -> None:
        _positive("two timescales", self, ("phi", "rate", "shift", "steps"))

    def __call__(self, case: Case) -> int:
        """Rounds."""
        eta = self.rate / (case.turn * self.steps + self.shift)
        return gamma(eta, self.phi, case.signals["inf"], case.size, case.radius)


def _positive(where: str, law: object, names: tuple[str, ...]) -> None:
    for name in names:
        if not 0 < getattr(law, name) < inf:
            raise ValueError(f"{where}: {name} must be > 0 and finite, got {getattr(law, name)}")
