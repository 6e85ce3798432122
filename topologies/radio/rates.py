"""From a signal-to-noise ratio to a rate: the 802.11ax table, or Shannon's bound with a cap."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import inf, isfinite, log2

from .decibels import decibels, ratio
from .fading import ergodic_capacity, mean_table_rate

SUBCARRIERS = {20e6: 234, 40e6: 468, 80e6: 980, 160e6: 1960}
"""Data subcarriers by bandwidth: the RUs of 242, 484, 996 and twice 996 tones of IEEE 802.11ax-2021."""
SYMBOL_SECONDS = 12.8e-6 + 0.8e-6  # an HE symbol and the short guard interval
BITS_PER_SUBCARRIER = (1 / 2, 1, 3 / 2, 2, 3, 4, 9 / 2, 5, 6, 20 / 3, 15 / 2, 25 / 3)
"""Of HE MCS 0 to 11: bits of BPSK to 1024-QAM times the code rate."""
SNR_DB = (4.0, 7.0, 9.0, 12.0, 16.0, 20.0, 21.0, 22.0, 27.0, 29.0, 32.0, 34.0)
"""What HE MCS 0 to 11 need: the minimum sensitivities of IEEE 802.11ax-2021 (-82 to -52 dBm in 20 MHz) over thermal
noise (-101 dBm), a noise figure of 10 dB and 5 dB for the implementation. Wider channels need the same ratio."""


@dataclass(frozen=True, slots=True)
class Mcs:
    """The 802.11ax rates of a channel of 20, 40, 80 or 160 MHz.

    Every stream works at the SNR of the link: as many receive antennas make up for the power that streams share.
    """

    bandwidth_hertz: float
    streams: int = 1

    def __post_init__(self) -> None:
        if self.bandwidth_hertz not in SUBCARRIERS:
            given = f"{self.bandwidth_hertz / 1e6:g} MHz"
            raise ValueError(f"802.11ax has channels of 20, 40, 80 or 160 MHz, got {given}; use one, or Shannon")
        _check_streams(self.streams, 8)

    @property
    def table(self) -> tuple[float, ...]:
        """The PHY rate in bit/s of each MCS."""
        symbols_per_s = self.streams * SUBCARRIERS[self.bandwidth_hertz] / SYMBOL_SECONDS
        return tuple(bits * symbols_per_s for bits in BITS_PER_SUBCARRIER)

    @property
    def lowest_snr(self) -> float:
        """The SNR, as a ratio, that MCS 0 needs."""
        return ratio(SNR_DB[0])

    def bits_per_s(self, snr: float) -> float:
        """The highest PHY rate at *snr*, a ratio; 0 below the lowest."""
        reached = bisect_right(_SNRS, snr)
        return self.table[reached - 1] if reached else 0.0

    def mean_bits_per_s(self, mean_snr: float, k: float) -> float:
        """The mean over fading of factor *k*, when every block gets the rate that it supports."""
        return mean_table_rate(_SNRS, self.table, mean_snr, k)


_SNRS = tuple(ratio(snr) for snr in SNR_DB)


@dataclass(frozen=True, slots=True)
class Shannon:
    """Shannon's bound, at most *cap* bit/s/Hz a stream, and nothing below *lowest_db*.

    A cap stands for the densest modulation; -10 dB is the lowest SNR of the truncated bound in 3GPP TR 36.942, annex A.
    """

    bandwidth_hertz: float
    streams: int = 1
    cap: float = inf
    lowest_db: float = -10.0

    def __post_init__(self) -> None:
        if not (isfinite(self.bandwidth_hertz) and self.bandwidth_hertz > 0):
            raise ValueError(f"Shannon: bandwidth_hertz must be > 0, got {self.bandwidth_hertz}")
        _check_streams(self.streams, inf)
        if not isfinite(self.lowest_db):
            raise ValueError(f"Shannon: lowest_db must be finite, got {self.lowest_db}")
        lowest = log2(1 + self.lowest_snr)
        if not self.cap > lowest:
            raise ValueError(
                f"Shannon: cap must be > {lowest:.3g} bit/s/Hz, which {decibels(self.lowest_snr):g} dB allow,"
                f" got {self.cap}"
            )

    @property
    def lowest_snr(self) -> float:
        """The SNR, as a ratio, below which nothing passes."""
        return ratio(self.lowest_db)

    def bits_per_s(self, snr: float) -> float:
        """The rate at *snr*, a ratio; 0 below the lowest."""
        bits = min(log2(1 + snr), self.cap) if snr >= self.lowest_snr else 0.0
        return self.streams * self.bandwidth_hertz * bits

    def mean_bits_per_s(self, mean_snr: float, k: float) -> float:
        """The mean over fading of factor *k*, when every block gets the rate that it supports."""
        return self.streams * self.bandwidth_hertz * ergodic_capacity(mean_snr, k, self.cap, self.lowest_snr)


def _check_streams(streams: int, most: float) -> None:
    if isinstance(streams, bool) or not isinstance(streams, int) or not 1 <= streams <= most:
        upto = f"from 1 to {most}" if most < inf else ">= 1"
        raise ValueError(f"streams must be a whole number {upto}, got {streams!r}")
