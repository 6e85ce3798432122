"""A run's baselines in a process of their own, beside the simulation: they follow from the scenario alone."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from simulator.records import Metric

if TYPE_CHECKING:
    from experiments.scenario import Scenario
    from models.engines import Engine

WORTH = 20_000  # training steps of the baselines from which a second process pays for its start

Found = tuple[list[Metric], list[str]]  # rows, and how the pooled models were tuned


class Apart:
    """The process; it ends with this one, whatever happens."""

    def __init__(self, scenario: Scenario) -> None:
        # -P: nothing in the current folder may pass for one of our packages
        command = [sys.executable, "-P", "-m", __name__]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdin
        with suppress(BrokenPipeError):  # it could not even start: nothing will be found
            self._process.stdin.write(json.dumps(scenario.dump()) + "\n")
            self._process.stdin.flush()

    def found(self) -> Found | None:
        """What it has found, once it has; None if it ended otherwise."""
        assert self._process.stdout
        text = self._process.stdout.read()
        if self._process.wait():
            return None
        rows, notes = json.loads(text)
        return [Metric(*row) for row in rows], notes

    def spare(self, engine: Engine) -> None:
        """Leave a core to the process where *engine* decides by itself how many it uses."""
        from models.parallel import Auto

        if isinstance(engine, Auto):
            engine.others = 1

    def close(self) -> None:
        """End it, if it is still at work."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                if pipe:
                    pipe.close()


@contextmanager
def beside(scenario: Scenario) -> Iterator[Apart | None]:
    """The baselines of *scenario* at work in the meantime, where that pays."""
    if not _pays(scenario):
        yield None
        return
    apart = Apart(scenario)
    try:
        yield apart
    finally:
        apart.close()


def _pays(scenario: Scenario) -> bool:
    """Whether there is a core for it, enough to do, and nothing that takes as long to set up as to use."""
    if "local" not in scenario.baselines or scenario.engine.kind != "auto" or scenario.device.kind == "cuda":
        return False
    if getattr(scenario.model, "kind", "") in ("module", "hf"):
        return False
    from models.parallel import usable_cores

    last = scenario.resolved().stages[-1]
    rounds = [tier.rounds for tier in (scenario.plan if last.plan is None else last.plan).values()]
    epochs = last.epochs or scenario.learning.local_epochs
    least = math.prod([*scenario.topology.children.values(), *rounds]) * epochs  # of one step or more
    return least >= WORTH and usable_cores() > 1


def main() -> None:
    """Read a scenario, a line of JSON; print its baselines' rows and notes."""
    from experiments.baselines import add_baselines
    from experiments.build import build
    from experiments.collector import seldom_collecting
    from experiments.scenario import Scenario
    from simulator.records import Log

    given = json.loads(sys.stdin.readline()) | {"engine": "inline"}
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    built, log = build(Scenario.model_validate(given, strict=False)), Log()
    with seldom_collecting():
        notes = add_baselines(built, log)
    json.dump([[list(row) for row in log.metrics], notes], sys.stdout)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
