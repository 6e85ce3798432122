"""What one link of a radio knows: its signal-to-noise ratios, its rates, and how it fades."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, inf, isfinite, isnan
from typing import Literal

from . import draws
from .decibels import ratio
from .fading import outage_probability
from .rates import Mcs, Shannon

Direction = Literal["up", "down"]
EDGE = 1e-6  # of a block: a retry that rounding puts at the end of a block belongs to the next one


@dataclass(frozen=True, slots=True)
class Channel:
    """One radio link between a node and its parent; up is towards the root.

    The SNRs are means over fading, shadowing included. A rate is goodput: *mac_efficiency* times that of the PHY.
    *k* is the Rician factor, a ratio (0 Rayleigh, infinity no fading). A transfer sees either the mean rate (*over*
    average: it lasts many blocks) or the rate of the block in which it starts (*over* outage), and then tries again
    after *retry_seconds*, the length of a block, where that is 0. Raises ValueError, naming the figure.
    """

    up_snr_db: float
    down_snr_db: float
    rates: Mcs | Shannon
    mac_efficiency: float = 1.0
    k: float = inf
    over: Literal["average", "outage"] = "average"
    retry_seconds: float = 0.05
    metres: float = 0.0
    sight: bool = True

    def __post_init__(self) -> None:
        for name in ("up_snr_db", "down_snr_db", "metres"):
            if not isfinite(getattr(self, name)):
                raise ValueError(f"channel: {name} must be finite, got {getattr(self, name)}")
        if max(self.up_snr_db, self.down_snr_db) > 1000:
            raise ValueError(
                f"channel: no SNR is {max(self.up_snr_db, self.down_snr_db):g} dB; check powers and losses"
            )
        if not 0 < self.mac_efficiency <= 1:
            raise ValueError(f"channel: mac_efficiency must be > 0 and <= 1, got {self.mac_efficiency}")
        if isnan(self.k) or self.k < 0:
            raise ValueError(f"channel: k must be >= 0, got {self.k}")
        if self.over not in ("average", "outage"):
            raise ValueError(f"channel: over must be average or outage, got {self.over!r}")
        if not (isfinite(self.retry_seconds) and self.retry_seconds > 0):
            raise ValueError(f"channel: retry_seconds must be > 0, got {self.retry_seconds}")

    @property
    def fades(self) -> bool:
        """Whether the gain is ever other than 1."""
        return self.k != inf

    @property
    def in_range(self) -> bool:
        """Whether both ends hear each other at the lowest rate, at gain 1."""
        return self.bits_per_s(1.0, "up") > 0 and self.bits_per_s(1.0, "down") > 0

    def mean_snr(self, direction: Direction) -> float:
        """The mean SNR as a ratio."""
        if direction not in ("up", "down"):
            raise ValueError(f"direction must be up or down, got {direction!r}")
        return ratio(self.up_snr_db if direction == "up" else self.down_snr_db)

    def bits_per_s(self, gain: float, direction: Direction) -> float:
        """The goodput at a power gain; 0 is an outage."""
        return self.mac_efficiency * self.rates.bits_per_s(gain * self.mean_snr(direction))

    def mean_bits_per_s(self, direction: Direction) -> float:
        """The goodput of a transfer that lasts many blocks, each at the rate that it supports."""
        return self.mac_efficiency * self.rates.mean_bits_per_s(self.mean_snr(direction), self.k)

    def edge_bits_per_s(self, direction: Direction) -> float:
        """The rate of the link where nothing is drawn: the mean, or at gain 1 where each transfer draws its own."""
        return self.mean_bits_per_s(direction) if self.over == "average" else self.bits_per_s(1.0, direction)

    def outage(self, direction: Direction) -> float:
        """How likely a block supports no rate at all."""
        return outage_probability(self.rates.lowest_snr, self.mean_snr(direction), self.k)

    def gain(self, seed: int, name: str, time_s: float) -> float:
        """The power gain of the link called *name* at a time: the same all through a block, and in both directions."""
        if not (isfinite(time_s) and time_s >= 0):
            raise ValueError(f"{name}: a time must be >= 0, got {time_s}")
        return draws.gain(seed, name, floor(time_s / self.retry_seconds + EDGE), self.k)
