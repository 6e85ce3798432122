"""What is charged and how: the time and energy of a piece of work or a transfer. Pure functions of profiles."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

from simulator.interfaces import Work
from topologies.profiles import DeviceProfile, LinkProfile


class Power(Protocol):
    """What a processor draws above idle at a utilisation between 0 and 1; *linear* if in proportion to it."""

    @property
    def linear(self) -> bool: ...  # noqa: D102

    def above_idle(self, device: DeviceProfile, utilisation: float) -> float:
        """Watts above `device.idle_watts`."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """From idle to busy watts in proportion to utilisation (Fan, Weber and Barroso, ISCA 2007)."""

    linear = True

    def above_idle(self, device: DeviceProfile, utilisation: float) -> float:
        """Watts above idle."""
        return (device.busy_watts - device.idle_watts) * utilisation


@dataclass(frozen=True, slots=True)
class Cubic:
    """Energy kappa C f^2 of C cycles at clock f, so kappa f^3 watts while busy (Burd and Brodersen, 1996).

    *kappa* is the effective switched capacitance of the whole chip in J s^2, *hertz* its clock while training.
    """

    kappa: float
    hertz: float
    linear = True

    def __post_init__(self) -> None:
        positive("power: kappa", self.kappa)
        positive("power: hertz", self.hertz)
        if not self.kappa * self.hertz * self.hertz * self.hertz < math.inf:
            raise ValueError(f"power: kappa f^3 is beyond all figures at {self.kappa:g} and {self.hertz:g} Hz")

    def above_idle(self, device: DeviceProfile, utilisation: float) -> float:
        """Watts above idle."""
        return self.kappa * self.hertz**3 * utilisation


@dataclass(frozen=True, slots=True)
class Table:
    """Measured watts at measured utilisations from 0 to 1, straight lines between (as in SPECpower_ssj2008).

    *points* are (utilisation, share of the way from idle to busy watts), so that one table serves a family of devices.
    """

    points: tuple[tuple[float, float], ...]
    linear = False

    def __post_init__(self) -> None:
        ordered = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(self.points))
        ends = len(self.points) > 1 and self.points[0] == (0, 0) and self.points[-1] == (1, 1)
        if not (ordered and ends):
            raise ValueError(
                f"power table: pairs that rise from [0, 0] to [1, 1], got {[list(p) for p in self.points]}"
            )

    def above_idle(self, device: DeviceProfile, utilisation: float) -> float:
        """Watts above idle."""
        at = min(bisect_right(self.points, utilisation, key=lambda point: point[0]), len(self.points) - 1)
        (left, low), (right, high) = self.points[at - 1], self.points[at]
        share = low + (high - low) * (min(utilisation, 1.0) - left) / (right - left)
        return (device.busy_watts - device.idle_watts) * share


@dataclass(frozen=True, slots=True)
class Carbon:
    """Grams of CO2-equivalent per joule: one figure, or one for each hour from the start of the run, over and over."""

    grams_per_joule: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.grams_per_joule or not all(0 <= g < math.inf for g in self.grams_per_joule):
            raise ValueError("carbon: intensities must be >= 0 and finite, at least one")

    def between(self, start_s: float, end_s: float) -> float:
        """The mean intensity over an interval; at an instant, the one that holds then."""
        trace = self.grams_per_joule
        first, last = int(start_s // HOUR), int(end_s // HOUR)
        if first == last or len(trace) == 1:
            return trace[first % len(trace)]
        return (self._until(end_s) - self._until(start_s)) / (end_s - start_s)

    def _until(self, time_s: float) -> float:
        """The integral from 0."""
        trace, hour = self.grams_per_joule, int(time_s // HOUR)
        rounds, rest = divmod(hour, len(trace))
        whole = math.fsum(trace) * rounds + math.fsum(trace[:rest])
        return whole * HOUR + trace[rest] * (time_s - hour * HOUR)


HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Battery:
    """How devices that have a battery use it. A device dies at 0 and is back when charged to the share *revive*.

    It starts at a share of its capacity drawn evenly between the two of *initial*. While *plugged* (from and until,
    in seconds, again *every* so many) it runs on the mains and charges with *charge_watts*.
    """

    initial: tuple[float, float] = (1.0, 1.0)
    charge_watts: float = 0.0
    plugged: tuple[tuple[float, float], ...] = ()
    every: float = math.inf
    revive: float = 0.1

    def __post_init__(self) -> None:
        low, high = self.initial
        if not 0 < low <= high <= 1:
            raise ValueError(f"battery: initial must be shares > 0 and <= 1, low before high, got {list(self.initial)}")
        if not 0 <= self.charge_watts < math.inf:
            raise ValueError(f"battery: charge_watts must be >= 0 and finite, got {self.charge_watts}")
        if not 0 < self.revive <= 1:
            raise ValueError(f"battery: revive must be a share > 0 and <= 1, got {self.revive}")
        if self.plugged and not self.charge_watts > 0:
            raise ValueError("battery: plugged needs charge_watts > 0")
        windows("battery: plugged", self.plugged, self.every)


def windows(where: str, given: Sequence[tuple[float, float]], every: float) -> None:
    """Refuse windows that are out of order, overlap, or do not fit the period after which they repeat."""
    if not every > 0:
        raise ValueError(f"{where}: they repeat every > 0 s, got {every}")
    times = [0.0, *(time for window in given for time in window), every]
    if not all(math.isfinite(time) for time in times[:-1]):
        raise ValueError(f"{where}: times must be finite, got {[list(window) for window in given]}")
    if any(a > b for a, b in pairwise(times)) or any(not a < b for a, b in given):
        raise ValueError(
            f"{where}: windows must be [from, until] with 0 <= from < until, in order, within {every:g} s, "
            f"got {[list(window) for window in given]}"
        )


@dataclass(frozen=True, slots=True)
class Costs:
    """What is charged, and how. The defaults charge what is known; the switches are those that published studies need.

    - *crowding*: what switching between more jobs than cores takes of a host's rate, times the share of the jobs that
      wait for a core. It costs time; its energy is not charged.
    - *compute*, *downlink*: False makes computing, or what goes down, take no time and no energy.
    - *receive*: False charges the sender only. *latency_power*: what the sender's radio draws while a message is on its
      way before its first bit arrives. *idle*: False charges only what activity adds.
    - *wifi*: stations of a cell get equal bit rates (the DCF of 802.11, whose slow stations slow all; Heusse et al.,
      INFOCOM 2003) or equal airtime. *multicast*: what several children of a cell get at the same time is sent once,
      at the rate of the slowest. *half_duplex*: a radio sends or receives, on all its links together. *queueing*: False
      gives every message all of a link's rate, unless the link is shared or half duplex: no message waits for another.
    - *jitter*, *loss*: draw the latency's jitter; send lost bits again.
    - *tail*, *sleep*: the radio's tail after a transfer, and whether it sleeps between transfers.
    - *infrastructure*, *pue*: access points, switches, networks beyond; what the building adds to its machines.
    - *power*, *battery*, *carbon*: models, None where not followed.
    """

    compute: bool = True
    crowding: float = 0.0
    downlink: bool = True
    receive: bool = True
    idle: bool = True
    latency_power: Literal["idle", "transmit"] = "idle"
    wifi: Literal["equal_throughput", "equal_airtime"] = "equal_throughput"
    multicast: bool = False
    half_duplex: bool = False
    queueing: bool = True
    jitter: bool = False
    loss: bool = False
    tail: bool = True
    sleep: bool = False
    infrastructure: bool = True
    pue: bool = True
    power: Power = Linear()
    battery: Battery | None = None
    carbon: Carbon | None = None

    def __post_init__(self) -> None:
        for name, known in (("latency_power", ("idle", "transmit")), ("wifi", ("equal_throughput", "equal_airtime"))):
            if getattr(self, name) not in known:
                raise ValueError(f"costs: {name} must be {' or '.join(known)}, got {getattr(self, name)!r}")
        if not 0 <= self.crowding < 1:
            raise ValueError(f"costs: crowding must be >= 0 and < 1, got {self.crowding}")
        if self.battery and self.latency_power == "transmit":
            raise ValueError("costs: latency_power transmit is for studies that follow no battery; leave one out")


def compute_seconds(device: DeviceProfile, work: Work) -> float:
    """The time of *work* on an otherwise idle device: roofline, and what starting its operations takes."""
    flowing = max(work.flops / device.sustained_flops_per_s, work.bytes_moved / device.memory_bytes_per_s)
    return flowing + work.launches * device.launch_seconds


def wire_bytes(link: LinkProfile, nbytes: int, *, loss: bool = False) -> float:
    """What a link carries for *nbytes* of payload: headers, and with *loss* the expected repeats, 1 / (1 - loss)."""
    headers = math.ceil(nbytes / link.payload_bytes) * link.header_bytes if link.payload_bytes else 0.0
    return (nbytes + headers) / (1 - link.loss if loss else 1.0)


def transmit_joules(link: LinkProfile, airtime_seconds: float) -> float:
    """The sender's energy above the radio's idle, by airtime."""
    return (link.transmit_watts - link.idle_watts) * airtime_seconds


def receive_joules(link: LinkProfile, airtime_seconds: float) -> float:
    """The receiver's energy above the radio's idle, by airtime."""
    return (link.receive_watts - link.idle_watts) * airtime_seconds


def rest_watts(link: LinkProfile, *, sleep: bool) -> tuple[float, float]:
    """What a radio at rest draws above its idle: in its tail, and after it.

    A radio that never sleeps has no less than idle in its tail; one that sleeps has tail watts first and sleep watts
    then, so both figures may be negative: it saves.
    """
    above = link.tail_watts - link.idle_watts
    return (above, link.sleep_watts - link.idle_watts) if sleep else (max(above, 0.0), 0.0)


def rest_joules(link: LinkProfile, seconds: float, *, used: bool, sleep: bool) -> tuple[float, float]:
    """What a radio at rest adds to its idle draw in *seconds*: in its tail, if it was *used* before, and after it."""
    tail = min(seconds, link.tail_seconds) if used else 0.0
    in_tail, after = rest_watts(link, sleep=sleep)
    return in_tail * tail, after * (seconds - tail)


def positive(what: str, value: float) -> None:
    """Refuse what is not > 0 and finite."""
    if not 0 < value < math.inf:
        raise ValueError(f"{what} must be > 0 and finite, got {value}")
