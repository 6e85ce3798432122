"""A scenario's objects set going: what a run and the reruns of its costs have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from experiments.build import Built
from experiments.collector import seldom_collecting
from experiments.ledger import node_rows
from experiments.scenario import Problem, ScenarioError
from simulator.records import Happening, Log
from simulator.run import federation

OnRound = Callable[[int, Log], None]
FEW = 1000  # nodes: of more, those that train are not looked at


def simulated(built: Built, log: Log, on_round: OnRound = lambda round_, log: None) -> list[dict[str, Any]]:
    """Simulate *built* into *log*; a row per node, with its energy by cause. Raises ScenarioError."""
    known_after(built, log, on_round)
    return node_rows(built.hierarchy, log)


def known_after(built: Built, log: Log, on_round: OnRound) -> dict[str, Any]:
    """Simulate *built* into *log*; what every node knows at the end, by its name. Raises ScenarioError."""
    try:
        with seldom_collecting():
            _, states = federation(
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
    return states


def tell_diverged(built: Built, log: Log, states: Mapping[str, Any]) -> None:
    """A happening for each node whose weights are at hand and not finite at the end."""
    from models.scoring import diverged

    assert built.study is not None
    looked = {node: states[node] for node in states if len(states) <= FEW or node not in built.study.clients}
    what = "its weights are not all finite: the learning has diverged"
    log.happenings.extend(Happening(log.end_s, node, "not_finite", what) for node in diverged(looked))
