"""How much of the processor others used: a round that was disturbed is not a measurement."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True)
class Reading:
    """At an instant: the processor seconds that were idle so far, over all cores. None: this system does not say."""

    time_s: float
    idle_s: float | None


def read(stat: Path = STAT) -> Reading:
    """The present reading. Idle and waiting for discs count as idle; time stolen by the host of a guest does not."""
    try:
        first = stat.read_text(encoding="ascii").split("\n", 1)[0].split()
    except OSError:
        return Reading(time.monotonic(), None)
    return Reading(time.monotonic(), (int(first[4]) + int(first[5])) / os.sysconf("SC_CLK_TCK"))


def others_share(before: Reading, after: Reading, own_s: float, cores: int) -> float | None:
    """The share of all *cores* that others used between two readings, *own_s* processor seconds being ours."""
    if before.idle_s is None or after.idle_s is None:
        return None
    elapsed = (after.time_s - before.time_s) * cores
    return max(0.0, (elapsed - (after.idle_s - before.idle_s) - own_s) / elapsed)


def wait_for_quiet(
    limit: float,
    patience_s: float,
    sleep: Callable[[float], None] = time.sleep,
    reading: Callable[[], Reading] = read,
) -> None:
    """Return once others used no more than *limit* of the processor for a quarter of a second, or patience is over."""
    start = before = reading()
    while before.time_s - start.time_s < patience_s:
        sleep(0.25)
        after = reading()
        share = others_share(before, after, 0.0, os.cpu_count() or 1)
        if share is None or share <= limit:
            return
        before = after
