"""A scenario's objects set going: what a run and the reruns of its costs have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from experiments.build import Built
from experiments.ledger import node_rows
from experiments.scenario import Problem, ScenarioError
from simulator.records import Log
from simulator.run import simulate


def simulated(
    built: Built, log: Log, on_round: Callable[[int, Log], None] = lambda round_, log: None
) -> list[dict[str, Any]]:
    """Simulate *built* into *log*; a row per node, with its energy by cause. Raises ScenarioError."""
    try:
        simulate(
            built.hierarchy,
            built.workload,
            built.stages,
            costs=built.costs,
            presence=built.presence,
            seed=built.scenario.seed,
            log=log,
            evaluate=built.evaluate,
            final_broadcast=built.scenario.final_broadcast,
            on_round=on_round,
        )
    except ValueError as error:  # figures that do not go together, which shows only where they meet
        raise ScenarioError([Problem("", "", str(error))]) from error
    return node_rows(built.hierarchy, log)
