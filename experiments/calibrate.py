"""Measures this machine, and writes it down as a device profile that a scenario can use."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import torch

from experiments.power import Meter, battery_joules, meter
from experiments.roofline import Fit, Timing, fitted, uncertainty
from models.counting import count
from models.data.samples import Task
from models.footprint import Step
from models.m3t import M3T
from models.model import initial
from models.objectives import Batch, Supervised
from models.optimizers import AdamW
from models.training import Recipe

SHAPES = {"handwriting": (8, 8), "clickstream": (12, 8), "record": (12,)}
TASKS = {"answer": Task("answer", 10), "engagement": Task("engagement", 4), "outcome": Task("outcome")}
QUICK = ((16, 1, 4), (64, 2, 16), (128, 2, 64), (256, 2, 4), (256, 2, 128))  # width, layers, batch
SIZES = (
    *QUICK, (32, 2, 8), (64, 4, 64), (128, 4, 8), (128, 2, 256), (256, 4, 32), (512, 2, 4), (512, 2, 64), (512, 4, 16),
)  # fmt: skip
SWEEPS = 5
SQUARE, STREAM = 1024, 16_000_000  # sides of a large product; numbers of a long array


@dataclass(frozen=True)
class Calibration:
    """What was measured. *idle_watts* and *busy_watts* are None where the machine does not report power."""

    timings: tuple[Timing, ...]
    fit: Fit
    flops_per_s: float  # of a large product of matrices
    bytes_per_s: float
    cores: int
    memory_bytes: int
    idle_watts: float | None
    busy_watts: float | None
    battery_joules: float | None
    power: str  # where the watts come from, or why there are none

    @property
    def peak(self) -> float:
        """FLOP/s: of a large product, or of training should that be faster."""
        sustained = self.fit.roofline.flops_per_s
        return max(self.flops_per_s, sustained) if sustained < inf else self.flops_per_s

    @property
    def utilisation(self) -> float:
        """The share of the peak that training reaches; 1 where no step was long enough to tell."""
        return min(self.fit.roofline.flops_per_s / self.peak, 1.0)


def calibrate(quick: bool = False, tell: Callable[[str], None] = print) -> Calibration:
    """Time training steps of several sizes and fit a roofline to them; look up cores, memory and power.

    Every step is timed on one thread and on all cores, and the faster counts: a step too small for many threads is run
    on one. The best of several runs counts, on one thread by its own processor time, so that other work on the machine
    disturbs little; much of it does.
    """
    cores, seconds = _cores(), 0.05 if quick else 0.15
    load = os.getloadavg()[0]
    if load > cores / 4:
        tell(f"this machine is busy (load {load:.1f} on {cores} cores): it may look slower than it is")
    timings = tuple(_timings(QUICK if quick else SIZES, cores, seconds, tell))
    fit = fitted(timings)
    a = torch.rand(SQUARE, SQUARE)
    flops_per_s = 2 * SQUARE**3 / _best(lambda: a @ a, cores, 4 * seconds)
    bytes_per_s = fit.roofline.bytes_per_s
    if bytes_per_s == inf:  # no step was bound by memory
        source, target = torch.zeros(STREAM), torch.empty(STREAM)
        bytes_per_s = 2 * 4 * STREAM / _best(lambda: target.copy_(source), cores, 4 * seconds)
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    torch.set_num_threads(cores)
    idle, busy, power = _watts(meter(), 2.0 if quick else 10.0, lambda: a @ a)
    return Calibration(timings, fit, flops_per_s, bytes_per_s, cores, memory_bytes, idle, busy, battery_joules(), power)


def _timings(
    sizes: Sequence[tuple[int, int, int]], cores: int, seconds: float, tell: Callable[[str], None]
) -> Iterator[Timing]:
    """Every step's best time over several sweeps, so that a busy moment does not hit all runs of one step."""
    steps = [training_step(*size) for size in sizes]
    best = [inf] * len(steps)
    for sweep in range(SWEEPS):
        tell(f"timing {len(steps)} training steps, sweep {sweep + 1} of {SWEEPS}")
        best = [min(known, _best(step, cores, seconds)) for known, step in zip(best, steps, strict=True)]
    for (width, layers, rows), step, took in zip(sizes, steps, best, strict=True):
        cost = count(step, step.held)
        name = f"width {width}, {layers} layer(s), batch {rows}"
        yield Timing(name, cost.flops, cost.bytes_moved, cost.launches, took)


def training_step(width: int, layers: int, rows: int) -> Step:
    """A step of a model of the campus, all of it trained, on made-up samples."""
    rng = np.random.default_rng(0)
    model = M3T(SHAPES, TASKS, width=width, layers=layers, hidden=width)
    inputs = {m: torch.tensor(rng.normal(size=(rows, *shape)), dtype=torch.float32) for m, shape in SHAPES.items()}
    targets = {
        t: torch.tensor(rng.integers(0, k.classes, rows))
        if k.classes
        else torch.tensor(rng.normal(size=rows), dtype=torch.float32)
        for t, k in TASKS.items()
    }
    weights = {k: v for k, v in initial(model, 0).items() if not k.startswith("decoder")}
    recipe = Recipe(Supervised(), AdamW(), 1, rows, frozenset(model.modules))
    return Step(model, weights, Batch(inputs, targets, {}), recipe)


def _best(work: Callable[[], object], cores: int, seconds: float) -> float:
    """The shortest time of *work*, tried for about *seconds* on one thread, and on all cores.

    On one thread it never waits but for others, so its processor time is what it would take alone.
    """
    before, best = torch.get_num_threads(), inf
    for threads in sorted({1, cores}):
        torch.set_num_threads(threads)
        clock = time.thread_time if threads == 1 else time.perf_counter
        work()
        began = time.perf_counter()
        for done in range(1000):
            if done >= 2 and time.perf_counter() - began > seconds:
                break
            start = clock()
            work()
            best = min(best, clock() - start)
    torch.set_num_threads(before)
    return best


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _watts(source: Meter | None, seconds: float, work: Callable[[], object]) -> tuple[float | None, float | None, str]:
    if source is None:
        return None, None, "power is not reported by this host"

    def often() -> None:
        for _ in range(5):
            work()

    idle, busy = source.watts(seconds, lambda: time.sleep(0.1)), source.watts(seconds, often)
    if busy < idle:
        return None, None, f"power is not reliable here: {idle:.3g} W idle, {busy:.3g} W busy"
    return idle, busy, f"power of {source.covers}"


def profile_yaml(found: Calibration, name: str) -> str:
    """The profile as a scenario's ``profiles`` section; watts that were not measured are left for the user to give."""
    figures: dict[str, float | int | str] = {
        "kind": "device",
        "description": f'"Measured by edufog calibrate; {found.power}"',
        "cores": found.cores,
        "flops_per_s": found.peak,
        "utilisation": found.utilisation,
        "launch_seconds": found.fit.roofline.launch_seconds,
        "memory_bytes": found.memory_bytes,
        "memory_bytes_per_s": found.bytes_per_s,
    }
    if found.idle_watts is not None and found.busy_watts is not None:
        figures |= {"idle_watts": found.idle_watts, "busy_watts": found.busy_watts}
    if found.battery_joules is not None:
        figures["battery_joules"] = found.battery_joules
    lines = ["profiles:", "  devices:", f"    {name}:", *(f"      {k}: {_value(v)}" for k, v in figures.items())]
    names = {"flops_per_s": "utilisation", "bytes_per_s": "memory_bytes_per_s"}  # the peak itself was measured apart
    unsure = {names.get(k, k): min(v, 1.0) for k, v in uncertainty(found.timings).items()}
    if unsure:
        lines.append("      uncertainty: {" + ", ".join(f"{k}: {v:.2g}" for k, v in unsure.items()) + "}")
    if found.idle_watts is None:
        lines += ["      # Give what the device draws in watts; until then the profile is refused.",
                  "      # idle_watts:", "      # busy_watts:"]  # fmt: skip
    return "\n".join([*report(found, "# "), *lines, ""])


def _value(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def report(found: Calibration, start: str = "") -> Iterator[str]:
    """How well the fit tells the timings, line by line."""
    errors = sorted(map(abs, found.fit.errors))
    yield (
        f"{start}{len(found.timings)} training steps, R2 {found.fit.r2:.4f} of seconds; relative error: "
        f"median {errors[len(errors) // 2]:.1%}, worst {errors[-1]:.1%}"
    )
    for timing, error in zip(found.timings, found.fit.errors, strict=True):
        yield (
            f"{start}{timing.name}: {timing.flops:.3g} FLOP, {timing.bytes_moved:.3g} B, {timing.launches:g} "
            f"operations, {timing.seconds:.3g} s, fit {error:+.1%}"
        )
    yield f"{start}{found.power}"
