"""One cell of like stations as arrays: everybody loads, computes and reports, and shares one medium all the while.

The stations of a group in a cell of their own need no processes. Their medium is a single bottleneck with fair shares,
so in *virtual time* nothing ever has to be worked out twice: a clock of which every transfer on its way gets the same
(Parekh and Gallager 1993; Demers, Keshav and Shenker 1989). In throughput mode it counts bits per transfer, which pass
at one rate for all (the DCF of 802.11: equal chances to send, so a slow station slows all down); in airtime mode it
counts seconds of the medium per transfer. A transfer ends when that clock has advanced by what it needs.

Where each has a link of its own nothing is shared: the clock is the time, and a transfer needs its own seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Amount = float | Sequence[float] | Floats  # one for all, or one per member
Sharing = Literal["throughput", "airtime", "none"]
ROUNDING = 1e-12  # relative: what ends so little after a time ends at it, as on the fluid


class Passed(NamedTuple):
    """What each member has done by some time: bits and seconds of airtime each way, and seconds of computing."""

    down_bits: Floats
    down_airtime: Floats
    computed_seconds: Floats
    up_bits: Floats
    up_airtime: Floats


class Transfers(NamedTuple):
    """One direction of a round. The virtual clock advances by *need* during a transfer, and *load* slower for it."""

    bits: Floats
    per_bit: Floats  # seconds of airtime
    need: Floats
    load: Floats


class Times(NamedTuple):
    """When each transfer of one direction began and ended, and what the virtual clock showed at its begin."""

    begin: Floats
    clock: Floats
    end: Floats


class Pace(NamedTuple):
    """The virtual clock: what it showed at the seconds at which its pace changed."""

    seconds: Floats
    clock: Floats


@dataclass(frozen=True, slots=True, eq=False)
class CellRound:
    """When each member has the model, has computed, and has delivered its report, in seconds; made by `cell_round`."""

    down_end: Floats
    compute_end: Floats
    up_end: Floats
    _down: tuple[Transfers, Times]
    _up: tuple[Transfers, Times]
    _pace: Pace

    @property
    def up_begin(self) -> Floats:
        """When each upload got on the air, its latency waited out."""
        return self._up[1].begin

    def at(self, seconds: float) -> Passed:
        """What had passed at a time, such as a deadline at which the late are interrupted.

        A transfer that ends at that very time has ended.
        """
        clock = float(np.interp(seconds, self._pace.seconds, self._pace.clock))
        computed = np.clip(seconds - self.down_end, 0.0, self.compute_end - self.down_end)
        computed = np.where(over(self.compute_end, seconds), self.compute_end - self.down_end, computed)
        return Passed(*_passed(*self._down, seconds, clock), computed, *_passed(*self._up, seconds, clock))


def over(ends: Floats, seconds: float) -> Any:
    """Which of them have ended by a time: rounding makes nobody late."""
    return ends <= seconds * (1 + ROUNDING)


def cell_round(
    up_bits_per_s: Amount,
    down_bits_per_s: Amount,
    *,
    down_bits: Amount = 0.0,
    compute_seconds: Amount = 0.0,
    up_bits: Amount = 0.0,
    up_latency: Amount = 0.0,
    down_latency: Amount = 0.0,
    start: Amount = 0.0,
    sharing: Sharing = "throughput",
) -> CellRound:
    """One round of the members of a cell: down, compute, up, one after the other for each, all on one medium.

    With *sharing* none, each has a link of its own instead. Any figure may be one for all or one per member (arrays of
    one length). A transfer of no bits takes no time, not even its latency. Uploads of the early share the medium with
    downloads of the late. Exact but for rounding, in n log n steps. Raises ValueError for figures that make no sense,
    naming the first member at fault.
    """
    if sharing not in get_args(Sharing):
        raise ValueError(f"sharing must be {' or '.join(get_args(Sharing))}, got {sharing!r}")
    up_rate, down_rate, down_bits, compute, up_bits, up_wait, down_wait, start = _checked(
        up_bits_per_s=up_bits_per_s, down_bits_per_s=down_bits_per_s, down_bits=down_bits,
        compute_seconds=compute_seconds, up_bits=up_bits, up_latency=up_latency, down_latency=down_latency, start=start,
    )  # fmt: skip
    down, up = _transfers(down_bits, 1 / down_rate, sharing), _transfers(up_bits, 1 / up_rate, sharing)
    begin, pause = start + np.where(down_bits > 0, down_wait, 0.0), compute + np.where(up_bits > 0, up_wait, 0.0)
    apart = _apart(begin, pause, down, up) if sharing == "none" else None
    coming, going, pace = apart or _in_step(begin, pause, down, up) or _one_by_one(begin, pause, down, up)
    return CellRound(coming.end, coming.end + compute, going.end, (down, coming), (up, going), pace)


def _checked(**figures: Amount) -> list[Floats]:
    """Every figure as an array with one value per member."""
    arrays = {name: np.asarray(value, float) for name, value in figures.items()}
    count = max(array.size for array in arrays.values())
    for name, array in arrays.items():
        if array.shape not in ((), (count,)):
            raise ValueError(f"{name} must be one figure or {count} of them, got the shape {array.shape}")
        rate = name.endswith("bits_per_s")
        fine = ((array > 0) if rate else (array >= 0)) & (array < math.inf)
        if not fine.all():
            bad = int(np.flatnonzero(~fine.reshape(-1))[0])
            rule = "> 0" if rate else ">= 0"
            raise ValueError(f"member {bad}: {name} must be {rule} and finite, got {array.reshape(-1)[bad]}")
    return [array if array.ndim else np.full(count, array) for array in arrays.values()]


def _transfers(bits: Floats, per_bit: Floats, sharing: Sharing) -> Transfers:
    if sharing == "throughput":
        return Transfers(bits, per_bit, bits, per_bit)
    return Transfers(bits, per_bit, bits * per_bit, np.ones_like(bits))


def _passed(transfers: Transfers, times: Times, seconds: float, clock: float) -> tuple[Floats, Floats]:
    """Bits and airtime until a time, at which the virtual clock shows *clock*."""
    need = np.where(transfers.need > 0, transfers.need, 1.0)
    share = np.where(times.begin < seconds, np.clip((clock - times.clock) / need, 0.0, 1.0), 0.0)
    bits = transfers.bits * np.where(over(times.end, seconds), 1.0, share)
    return bits, bits * transfers.per_bit


def _apart(begin: Floats, pause: Floats, down: Transfers, up: Transfers) -> tuple[Times, Times, Pace]:
    """The round where nobody waits for anybody."""
    coming = Times(begin, begin, begin + down.need)
    ready = coming.end + pause
    going = Times(ready, ready, ready + up.need)
    until = np.array([begin.min(), going.end.max()])
    return coming, going, Pace(until, until)


def _in_step(begin: Floats, pause: Floats, down: Transfers, up: Transfers) -> tuple[Times, Times, Pace] | None:
    """The round where all begin to load at one time, and all to report; None if they do not."""
    if (begin != begin[0]).any():
        return None
    coming, first = _burst(begin, 0.0, down)
    ready = coming.end + pause
    if (ready != ready[0]).any():
        return None
    going, second = _burst(ready, float(first.clock[-1]), up)
    return coming, going, Pace(*(np.concatenate(parts) for parts in zip(first, second, strict=True)))


def _burst(begin: Floats, clock: float, transfers: Transfers) -> tuple[Times, Pace]:
    """Transfers that all begin at one time: the smallest need ends first, and the others go on without it."""
    order = np.argsort(transfers.need, kind="stable")
    need = transfers.need[order]
    load = np.cumsum(np.where(need > 0, transfers.load[order], 0.0)[::-1])[::-1]
    ends = begin[0] + np.cumsum(np.diff(need, prepend=0.0) * load)
    end = np.empty_like(ends)
    end[order] = ends
    pace = Pace(np.concatenate([begin[:1], ends]), np.concatenate([[clock], clock + need]))
    return Times(begin, np.full_like(ends, clock), end), pace


def _one_by_one(begin: Floats, pause: Floats, down: Transfers, up: Transfers) -> tuple[Times, Times, Pace]:
    """The round by its events: a transfer gets on the air, or the one whose mark the virtual clock reaches ends."""
    count = len(begin)
    need, load = (np.concatenate(pair).tolist() for pair in ((down.need, up.need), (down.load, up.load)))
    pauses, air = pause.tolist(), _Air()
    coming = sorted(zip(begin.tolist(), range(count), strict=True))  # a sorted list is a heap; uploads count from n on
    joined, shown, left = ([0.0] * (2 * count) for _ in range(3))
    while coming or air.marks:
        if coming and coming[0][0] < air.next_end():  # what ends at the time of an arrival ends before it
            time, which = heappop(coming)
            air.pass_until(time)
            joined[which], shown[which] = time, air.clock
            if need[which] > 0:
                air.join(which, need[which], load[which])
                continue
        else:
            which = air.leave()
            air.carry(-load[which])
        left[which] = air.now
        if which < count:
            heappush(coming, (air.now + pauses[which], which + count))
    times = np.array([joined, shown, left]).reshape(3, 2, count)
    return Times(*times[:, 0]), Times(*times[:, 1]), Pace(np.array(air.seconds), np.array(air.clocks))


class _Air:
    """The medium in virtual time: which transfers are on it, by the mark at which each ends."""

    __slots__ = ("clock", "clocks", "load", "lost", "marks", "now", "seconds")

    def __init__(self) -> None:
        self.now = self.clock = self.load = self.lost = 0.0
        self.marks: list[tuple[float, int]] = []
        self.seconds: list[float] = []
        self.clocks: list[float] = []

    def next_end(self) -> float:
        """When the first of them ends if no other joins."""
        return self.now + (self.marks[0][0] - self.clock) * (self.load + self.lost) if self.marks else math.inf

    def pass_until(self, time: float) -> None:
        """Let time pass in which nothing ends."""
        if self.marks:
            self.clock += (time - self.now) / (self.load + self.lost)
        self.now = time
        self._note()

    def join(self, which: int, need: float, load: float) -> None:
        """One more on the air."""
        heappush(self.marks, (self.clock + need, which))
        self.carry(load)

    def leave(self) -> int:
        """Let time pass until the first ends, and say which it was."""
        self.now = self.next_end()
        self.clock, which = heappop(self.marks)
        self._note()
        return which

    def carry(self, load: float) -> None:
        """Add to the load without loss (Knuth's two-sum): what little remains in the end must be right."""
        before, after = self.load, self.load + load
        part = after - before
        self.lost += (before - (after - part)) + (load - part)
        self.load = after

    def _note(self) -> None:
        self.seconds.append(self.now)
        self.clocks.append(self.clock)
