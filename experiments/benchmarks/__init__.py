"""How fast it is: ``python -m experiments.benchmarks [NAME]`` prints one JSON line per benchmark.

A benchmark is a module here with `GOALS`, the most that some of its figures may be, and `figures()`, which measures.
Times are of the processor (`time.process_time`), the best of three; a ratio sets two of them against each other that
were taken in turn in one run, so that it says little of the machine.
"""

from __future__ import annotations

import pkgutil
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def names() -> list[str]:
    """The benchmarks there are: the modules of this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


class NotHereError(Exception):
    """A benchmark cannot be run here; says why, and what to do."""


def report(name: str) -> dict[str, Any]:
    """What one benchmark measures, what its goals are, and whether it meets each; or why it was skipped."""
    module = import_module(f"{__name__}.{name}")
    try:
        figures: dict[str, float] = module.figures()
    except NotHereError as error:
        return {"name": name, "skipped": str(error), "met": True}
    goals: dict[str, float] = module.GOALS
    met = all(figures[figure] <= most for figure, most in goals.items())
    return {"name": name, "figures": figures, "goals": goals, "met": met}


def best_seconds(runs: Sequence[Callable[[], object]], times: int = 3) -> list[float]:
    """The least processor time that each of the runs takes, each run in turn and all of them so many times."""
    best = [float("inf")] * len(runs)
    for _ in range(times):
        for n, run in enumerate(runs):
            began = time.process_time()
            run()
            best[n] = min(best[n], time.process_time() - began)
    return best
