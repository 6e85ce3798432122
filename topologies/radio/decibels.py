"""Decibels, noise and signal-to-noise ratios."""

from __future__ import annotations

from math import log10

BOLTZMANN_JOULES_PER_KELVIN = 1.380649e-23  # exact in the SI
ROOM_KELVIN = 290.0  # the reference temperature of noise figures: IEEE Std 145


def ratio(decibels: float) -> float:
    """The ratio of powers that so many dB are."""
    return float(10 ** (decibels / 10))


def decibels(ratio: float) -> float:
    """A ratio of powers in dB; watts over a milliwatt in dBm."""
    return 10 * log10(ratio)


def noise_dbm(bandwidth_hertz: float, noise_figure_db: float) -> float:
    """Thermal noise in a band, at the output of a receiver of that noise figure: k T B F."""
    return decibels(BOLTZMANN_JOULES_PER_KELVIN * ROOM_KELVIN * bandwidth_hertz / 1e-3) + noise_figure_db


def snr_db(transmit_dbm: float, loss_db: float, noise_dbm: float) -> float:
    """What arrives of a signal, over the noise."""
    return transmit_dbm - loss_db - noise_dbm
