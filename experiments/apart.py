"""A run's baselines in a process of their own, beside the simulation: they follow from the scenario alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from simulator.records import Metric

if TYPE_CHECKING:
    from experiments.build import Built
    from experiments.scenario import Scenario

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

    def close(self) -> None:
        """End it, if it is still at work."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


@contextmanager
def beside(built: Built) -> Iterator[Apart | None]:
    """The baselines of *built* at work in the meantime, where that pays."""
    if not _pays(built):
        yield None
        return
    apart = Apart(built.scenario)
    try:
        yield apart
    finally:
        apart.close()


def _pays(built: Built) -> bool:
    """Whether there is a core for it, enough to do, and nothing that takes as long to set up as to use."""
    scenario, learner = built.scenario, built.learner
    if learner is None or not scenario.baselines or scenario.engine.kind != "auto" or scenario.device.kind == "cuda":
        return False
    from experiments.baselines import trainings
    from models.parallel import Auto, usable_cores

    if (
        "local" not in scenario.baselines
        or getattr(scenario.model, "kind", "") in ("module", "hf")
        or usable_cores() < 2
    ):
        return False
    last = built.stages[-1]
    recipe = learner.recipe_in(last)
    steps = sum(recipe.epochs * -(-len(client.train) // recipe.batch_size) for client in learner.study.clients.values())
    if steps * trainings(last) < WORTH or not isinstance(learner.engine, Auto):
        return False
    learner.engine.others = 1
    return True


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
