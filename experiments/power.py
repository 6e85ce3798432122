"""What this machine draws, where its kernel reports it (Linux): a battery that discharges, or RAPL counters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SYS = Path("/sys/class")


@dataclass(frozen=True)
class Meter:
    """Where power is read, and what is included in it."""

    files: tuple[Path, ...]
    covers: str
    counts: bool  # microjoules that add up; else microwatts of now

    def watts(self, seconds: float, work: Callable[[], None], clock: Callable[[], float] = time.perf_counter) -> float:
        """The mean over at least *seconds* while *work* is done again and again."""
        before, began, seen = self._read(), clock(), list[float]()
        joules = 0.0
        while not seen or clock() - began < seconds:
            work()
            now = self._read()
            seen.append(sum(now))
            joules += sum(map(self._passed, self.files, before, now))
            before = now
        return joules / (clock() - began) if self.counts else sum(seen) / len(seen) * 1e-6

    def _read(self) -> list[float]:
        return [float(path.read_text()) for path in self.files]

    def _passed(self, path: Path, before: float, now: float) -> float:
        """Joules between two readings of a counter, which begins again at 0 when it is full."""
        wrapped = float(_text(path.with_name("max_energy_range_uj")) or before) if now < before else 0.0
        return (now - before + wrapped) * 1e-6


def meter(root: Path = SYS) -> Meter | None:
    """What reports power here: a battery in use, else the whole platform's counter, else the processors'."""
    batteries = tuple(
        path / "power_now"
        for path in sorted(root.glob("power_supply/*"))
        if _text(path / "status") == "Discharging" and _text(path / "power_now")
    )
    if batteries:
        return Meter(batteries, "the whole device, from its battery", counts=False)
    domains = dict(_domains(root))
    platform = tuple(path for path, name in domains.items() if name == "psys")
    if platform:
        return Meter(platform, "the platform, from RAPL psys", counts=True)
    return Meter(tuple(domains), "the processors alone, from RAPL", counts=True) if domains else None


def battery_joules(root: Path = SYS) -> float | None:
    """What the batteries hold when full, if that is reported."""
    full = [_text(path) for path in sorted(root.glob("power_supply/*/energy_full"))]
    return sum(float(text) for text in full) * 3600e-6 if full and all(full) else None


def _domains(root: Path) -> Iterator[tuple[Path, str]]:
    """Readable counters of whole packages; what has two colons is a part of one."""
    for path in sorted(root.glob("powercap/intel-rapl:*")):
        if path.name.count(":") == 1 and _text(path / "energy_uj"):
            yield path / "energy_uj", _text(path / "name")


def _text(path: Path) -> str:
    """What is in a file; nothing where it is not, or not for us (counters are often readable by root only)."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
