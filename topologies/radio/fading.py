"""What multipath does to rates: outage, and the mean over fading.

The power gain has mean 1. Its *k* is the Rician factor, the power of the steady path over that of the scattered ones,
as a ratio: 0 is Rayleigh fading, infinity no fading at all. SNRs are ratios too, not dB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import ceil, erfc, expm1, inf, log1p, log2, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PANEL_BITS, NODES = 0.25, 24  # quadrature by Gauss and Legendre; the tests hold it at 1e-9 for k up to 1000


def survival(gain: Any, k: float) -> Any:
    """How likely the gain exceeds *gain*, a number >= 0 or an array: exp(-x), or Marcum's Q for Rician fading."""
    if k == 0:
        return np.exp(-np.asarray(gain))
    if k == inf:
        return np.where(np.asarray(gain) <= 1, 1.0, 0.0)
    from scipy.special import chndtr  # here, for it takes as long to load as all else together

    return 1 - chndtr(2 * (1 + k) * np.asarray(gain), 2, 2 * k)


def outage_probability(threshold_snr: float, mean_snr: float, k: float = 0.0) -> float:
    """How likely the SNR is below what the lowest rate needs."""
    _check(mean_snr, k)
    if not threshold_snr >= 0:
        raise ValueError(f"threshold_snr must be >= 0, got {threshold_snr}")
    gain = threshold_snr / mean_snr
    if k == 0:
        return -expm1(-gain)
    if k == inf:
        return float(gain > 1)
    from scipy.special import chndtr

    return float(chndtr(2 * (1 + k) * gain, 2, 2 * k))  # not 1 - survival, which would lose the small ones


def outage_capacity(outage: float, mean_snr: float, k: float = 0.0) -> float:
    """The rate in bit/s/Hz that fading supports but for the fraction *outage* of the time."""
    if not 0 <= outage < 1:
        raise ValueError(f"outage must be >= 0 and < 1, got {outage}")
    _check(mean_snr, k)
    if k == 0:
        return log2(1 - mean_snr * log1p(-outage))
    if k == inf:
        return log2(1 + mean_snr)
    from scipy.special import chndtrix

    return log2(1 + mean_snr * float(chndtrix(outage, 2, 2 * k)) / (2 * (1 + k)))


def ergodic_capacity(mean_snr: float, k: float = 0.0, cap: float = inf, lowest_snr: float = 0.0) -> float:
    """The mean over fading of log2(1 + SNR) in bit/s/Hz, at most *cap*, and nothing below *lowest_snr*.

    By parts, it is the integral of how likely the SNR supports a rate, over all rates (Goldsmith, Wireless
    Communications, 2005, section 4.2).
    """
    _check(mean_snr, k)
    lowest = log2(1 + lowest_snr)
    if not lowest < cap:
        raise ValueError(f"cap must be above the {lowest:.3g} bit/s/Hz of the lowest SNR, got {cap}")
    if k == inf:
        return min(log2(1 + mean_snr), cap) if mean_snr >= lowest_snr else 0.0
    highest = ((sqrt(k) + 7) / sqrt(1 + k)) ** 2  # a gain that is exceeded once in 1e20 times
    top = min(log2(1 + mean_snr * highest), cap)
    at_lowest = lowest * float(survival(lowest_snr / mean_snr, k))
    return at_lowest + (_integral(lowest, top, mean_snr, k) if top > lowest else 0.0)


def _check(mean_snr: float, k: float) -> None:
    if not 0 < mean_snr < inf:
        raise ValueError(f"mean_snr must be > 0 and finite, got {mean_snr}")
    if not k >= 0:
        raise ValueError(f"k must be >= 0, got {k}")


def _integral(low: float, high: float, mean_snr: float, k: float) -> float:
    edges = np.linspace(low, high, ceil((high - low) / PANEL_BITS) + 1)
    half = np.diff(edges) / 2
    nodes, weights = _gauss_legendre()
    bits = (edges[:-1] + half)[:, None] + half[:, None] * nodes
    return float(np.sum(half[:, None] * weights * survival(np.expm1(bits * np.log(2)) / mean_snr, k)))


@cache
def _gauss_legendre() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return nodes, weights


def mean_table_rate(snrs: Sequence[float], rates: Sequence[float], mean_snr: float, k: float = 0.0) -> float:
    """The mean over fading of a table of rates, each for SNRs from its threshold on; both rise."""
    _check(mean_snr, k)
    steps = np.diff(np.asarray(rates, dtype=float), prepend=0.0)
    return float(np.sum(steps * survival(np.asarray(snrs) / mean_snr, k)))


def shadowing_outage(margin_db: float, sigma_db: float) -> float:
    """How likely log-normal shadowing eats the margin that a link has above what it needs."""
    if not sigma_db >= 0:
        raise ValueError(f"sigma_db must be >= 0, got {sigma_db}")
    if sigma_db == 0:
        return 1.0 if margin_db < 0 else 0.0
    return erfc(margin_db / sigma_db / sqrt(2)) / 2
