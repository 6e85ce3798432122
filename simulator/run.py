"""The one call that runs a simulation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import simpy

from simulator.interfaces import Workload
from simulator.plan import Evaluate, Stage
from simulator.processes import Federation
from simulator.records import Log
from topologies.hierarchy import Hierarchy

S = TypeVar("S")


def simulate(
    hierarchy: Hierarchy,
    workload: Workload[S],
    stages: Sequence[Stage],
    *,
    evaluate: Evaluate = Evaluate(),  # noqa: B008 - frozen
    final_broadcast: bool = True,
    log: Log | None = None,
    on_round: Callable[[int, Log], None] = lambda round_, log: None,
) -> Log:
    """Run *stages* in sequence on one clock and return what happened.

    *on_round* is called with the round's number after every round of the root, after every stage, and at the end.
    Raises ValueError for a stage that does not fit the hierarchy.
    """
    return federation(hierarchy, workload, stages, evaluate, log, on_round, final_broadcast)[0]


def federation(
    hierarchy: Hierarchy,
    workload: Workload[S],
    stages: Sequence[Stage],
    evaluate: Evaluate = Evaluate(),  # noqa: B008 - frozen
    log: Log | None = None,
    on_round: Callable[[int, Log], None] = lambda round_, log: None,
    final_broadcast: bool = True,
) -> tuple[Log, dict[str, S]]:
    """As :func:`simulate`, but what every node knows at the end comes too."""
    if not stages:
        raise ValueError("a run needs at least one stage")
    for stage in stages:
        stage.check(hierarchy.tiers)
    log = Log() if log is None else log
    env = simpy.Environment()
    run = Federation(env, hierarchy, workload, stages, evaluate, log, on_round)
    env.run(env.process(run.run(final_broadcast)))
    log.end_s = env.now
    return log, run.states
