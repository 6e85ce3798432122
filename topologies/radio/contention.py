"""What stations that contend for a Wi-Fi channel get of it: the saturation throughput of Bianchi (IEEE JSAC 2000).

Every station always has a frame to send, hears all others, and backs off in a binary exponential way; frames are lost
to collisions only. The fixed MAC efficiency of an airtime cell can be set beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite


@dataclass(frozen=True, slots=True)
class Contention:
    """What the distributed coordination function spends beside payload; the defaults are those of 802.11ax at 5 GHz.

    *header_seconds* is the HE single-user preamble with two training fields, *header_bits* what goes in front of the
    payload at its rate, *ack_seconds* a block acknowledgement, and it, RTS and CTS are legacy frames at 24 Mbit/s. The
    first window has *window* slots and doubles *stages* times.
    """

    slot_seconds: float = 9e-6
    sifs_seconds: float = 16e-6
    difs_seconds: float = 34e-6
    propagation_seconds: float = 0.1e-6
    header_seconds: float = 50.4e-6
    header_bits: float = 320.0
    ack_seconds: float = 32e-6
    rts_seconds: float = 28e-6
    cts_seconds: float = 28e-6
    window: int = 16
    stages: int = 6

    def __post_init__(self) -> None:
        for name, value in ((field.name, getattr(self, field.name)) for field in fields(self)):
            if name in ("window", "stages") and (isinstance(value, bool) or not isinstance(value, int)):
                raise ValueError(f"contention: {name} must be a whole number, got {value!r}")
            if not (isfinite(value) and value >= 0):
                raise ValueError(f"contention: {name} must be >= 0, got {value}")
        if not (self.window and self.slot_seconds):
            raise ValueError(f"contention: a window of {self.window} slots of {self.slot_seconds} s has no length")

    def busy_seconds(self, frame_seconds: float, rts_cts: bool) -> tuple[float, float]:
        """How long a success and a collision keep the channel: equations 14 and 17 of the paper."""
        delta, sifs, difs = self.propagation_seconds, self.sifs_seconds, self.difs_seconds
        success = frame_seconds + sifs + delta + self.ack_seconds + difs + delta
        if not rts_cts:
            return success, frame_seconds + difs + delta
        asked = self.rts_seconds + sifs + delta + self.cts_seconds + sifs + delta
        return asked + success, self.rts_seconds + difs + delta


def attempt_probability(collision: float, window: int, stages: int) -> float:
    """How likely a station starts to send in a slot, if its frames collide so often: equation 7 of the paper."""
    doubled = sum((2 * collision) ** stage for stage in range(stages))
    return 2 / (1 + window + collision * window * doubled)


def attempts(stations: int, window: int, stages: int) -> tuple[float, float]:
    """The attempt and the collision probability that agree with each other: equations 7 and 9 of the paper."""
    low, high = 0.0, 1.0 if stations > 1 else 0.0
    while low < (middle := (low + high) / 2) < high:
        attempt = attempt_probability(middle, window, stages)
        if 1 - (1 - attempt) ** (stations - 1) > middle:
            low = middle
        else:
            high = middle
    return attempt_probability(high, window, stages), high


def payload_share(
    attempt: float, stations: int, payload_seconds: float, busy: tuple[float, float], slot_seconds: float
) -> float:
    """The part of the time in which payload passes, if every station tries so often: equation 13 of the paper."""
    idle = (1 - attempt) ** stations
    success = stations * attempt * (1 - attempt) ** (stations - 1)
    slot = idle * slot_seconds + success * busy[0] + (1 - idle - success) * busy[1]
    return success * payload_seconds / slot


def bianchi_throughput(
    stations: int,
    phy_bits_per_s: float,
    payload_bytes: float = 30_000.0,
    timing: Contention | None = None,
    rts_cts: bool = False,
) -> float:
    """The payload in bit/s that so many saturated stations get through together, frames of *payload_bytes* each.

    The default payload is an aggregate of 20 packets of 1,500 bytes. Raises ValueError, naming the figure.
    """
    if isinstance(stations, bool) or not isinstance(stations, int) or stations < 1:
        raise ValueError(f"stations must be a whole number >= 1, got {stations!r}")
    for name, value in (("phy_bits_per_s", phy_bits_per_s), ("payload_bytes", payload_bytes)):
        if not (isfinite(value) and value > 0):
            raise ValueError(f"{name} must be > 0, got {value}")
    timing = timing or Contention()
    attempt, _ = attempts(stations, timing.window, timing.stages)
    frame = timing.header_seconds + (timing.header_bits + 8 * payload_bytes) / phy_bits_per_s
    payload = 8 * payload_bytes / phy_bits_per_s
    busy = timing.busy_seconds(frame, rts_cts)
    return phy_bits_per_s * payload_share(attempt, stations, payload, busy, timing.slot_seconds)
