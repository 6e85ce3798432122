"""How far simulated round times are from measured ones, and whether they rank configurations alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from scipy.stats import kendalltau


@dataclass(frozen=True, slots=True)
class Agreement:
    """Relative errors of *simulated* against *measured*: the mean of their sizes, its 95th percentile, the mean.

    *tau* is Kendall's tau-b of the two rankings (Kendall, Biometrika 1945); NaN for fewer than two.
    """

    mean_error: float
    p95_error: float
    bias: float
    tau: float

    def percent(self) -> dict[str, float]:
        """Name and value of every figure; errors in percent."""
        errors = {"mean error %": self.mean_error, "p95 error %": self.p95_error, "bias %": self.bias}
        return {**{name: 100 * value for name, value in errors.items()}, "tau": self.tau}

    @property
    def met(self) -> bool:
        """Whether it is as good as a prediction of the ranking and of the times should be."""
        return self.mean_error <= 0.02 and self.p95_error <= 0.05 and self.tau >= 0.9


def agreement(measured: Sequence[float], simulated: Sequence[float]) -> Agreement:
    """Compare round times of the same configurations, in seconds. Raises ValueError unless they are > 0 and paired."""
    real, twin = np.asarray(measured, float), np.asarray(simulated, float)
    if real.shape != twin.shape or real.size == 0 or not (real > 0).all():
        raise ValueError(f"agreement: as many simulated as measured times, all > 0; got {measured} and {simulated}")
    errors = twin / real - 1
    sizes = np.abs(errors)
    tau = float(kendalltau(real, twin).statistic) if real.size > 1 else float("nan")
    return Agreement(float(sizes.mean()), float(np.percentile(sizes, 95)), float(errors.mean()), tau)


def repeatability(rounds: Sequence[Sequence[float]]) -> Agreement:
    """How well reality predicts itself: per configuration, the median of every second round against the others'.

    Configurations with a single round say nothing; with no others, ValueError.
    """
    several = [times for times in rounds if len(times) > 1]
    return agreement([median(times[::2]) for times in several], [median(times[1::2]) for times in several])
