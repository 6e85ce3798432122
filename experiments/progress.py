"""What a run shows while it goes on: a bar on a terminal, a line per round elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from experiments.store import MANIFEST

if TYPE_CHECKING:
    from experiments.build import Built
    from simulator.records import Log


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """A run that its workers, its disk or its user would not go on with: its folder waits for another try."""
    try:
        yield
    except RuntimeError as error:
        from models.workers import WorkerError

        if not isinstance(error, WorkerError):
            raise
        what, status = str(error), 1
    except OSError as error:
        if not (folder / MANIFEST).exists():
            raise
        what, status = f"{error.filename or folder}: {error.strerror or error}", 2
    except KeyboardInterrupt:
        if not (folder / MANIFEST).exists():
            raise
        what, status = "interrupted", 130
    else:
        return
    print(f"{what}\nthe run folder is kept; go on with: edufog run --resume {folder}", file=sys.stderr)
    raise SystemExit(status)


class Progress:
    """Called after every round of the root: simulated time, round, accuracy, joules, time to go."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.began = quiet, time.perf_counter()
        self.console, self.shown, self.first = Console(file=sys.stderr), 0, 0
        self.bar: Bar | None = None

    def __enter__(self) -> Progress:
        if not self.quiet and self.console.is_terminal:
            self.bar = Bar(
                TextColumn("round"),
                MofNCompleteColumn(),
                BarColumn(24),
                TextColumn("{task.description}"),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self.bar.start()
            self.task = self.bar.add_task("starting", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def __call__(self, built: Built, round_: int, log: Log, phase: str) -> None:
        """Show where the run is."""
        if self.quiet:
            return
        total = rounds(built)
        text = phase if phase != "rounds" else describe(built, log)
        if phase != "rounds":  # what comes is timed from here: a run that goes on has its first rounds behind it
            self.began, self.first = time.perf_counter(), round_
        if self.bar:
            self.bar.update(self.task, completed=round_, total=total, description=text)
        elif phase != "rounds":
            print(f"{text} ...", file=sys.stderr, flush=True)
        elif round_ > max(self.shown, self.first):
            self.shown = round_
            wall = time.perf_counter() - self.began
            left = wall / (round_ - self.first) * (total - round_)
            print(f"round {round_}/{total}  {text}  wall {wall:.0f} s  ETA {left:.0f} s", file=sys.stderr, flush=True)


def rounds(built: Built) -> int:
    """Of the root, over all stages."""
    root = built.hierarchy.tier(built.hierarchy.root)
    return sum(stage.plan[root].rounds for stage in built.stages if root in stage.plan)


def describe(built: Built, log: Log) -> str:
    """Simulated seconds, the last figure of the first task, joules of computing, sending and receiving so far."""
    now = max(log.spans.end_s, log.metrics[-1].time_s if log.metrics else 0.0)
    parts = [f"sim {now:.3g} s"]
    if log.metrics:
        first, root = log.metrics[0], built.hierarchy.tier(built.hierarchy.root)
        rows = [m for m in log.metrics if (m.task, m.name) == (first.task, first.name)]
        rows = [m for m in rows if m.tier == root] or rows
        latest = (rows[-1].tier, rows[-1].moment, rows[-1].round)
        last = [m.value for m in rows if (m.tier, m.moment, m.round) == latest]
        of = f" (mean of {len(last)})" if len(last) > 1 else ""
        parts.append(f"{first.task} {first.name} {sum(last) / len(last):.3f}{of}")
    return "  ".join([*parts, f"{log.joules():.4g} J active"])
