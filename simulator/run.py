"""The one call that runs a simulation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import simpy

from simulator.acts import Acts
from simulator.costs import Costs
from simulator.gathering.broods import check_needs, check_selection
from simulator.groups.folding import folded
from simulator.interfaces import Workload
from simulator.plan import Evaluate, Stage
from simulator.presence import Presence, always
from simulator.processes import Federation
from simulator.records import Log
from topologies.hierarchy import Hierarchy

S = TypeVar("S")


def simulate(
    hierarchy: Hierarchy,
    workload: Workload[S],
    stages: Sequence[Stage],
    *,
    costs: Costs = Costs(),  # noqa: B008 - frozen
    presence: Presence = always,
    seed: int = 0,
    evaluate: Evaluate = Evaluate(),  # noqa: B008 - frozen
    final_broadcast: bool = True,
    log: Log | None = None,
    on_round: Callable[[int, Log], None] = lambda round_, log: None,
) -> Log:
    """Run *stages* in sequence on one clock and return what happened.

    *costs* says what is charged and how, *presence* who is there when (the root always is), *seed* draws jitter, fading
    and batteries. *on_round* is called with the round's number after every round of the root, after every stage, and at
    the end. Raises ValueError for a stage that does not fit the hierarchy.
    """
    return federation(hierarchy, workload, stages, evaluate, log, on_round, final_broadcast, costs, presence, seed)[0]


def federation(
    hierarchy: Hierarchy,
    workload: Workload[S],
    stages: Sequence[Stage],
    evaluate: Evaluate = Evaluate(),  # noqa: B008 - frozen
    log: Log | None = None,
    on_round: Callable[[int, Log], None] = lambda round_, log: None,
    final_broadcast: bool = True,
    costs: Costs = Costs(),  # noqa: B008 - frozen
    presence: Presence = always,
    seed: int = 0,
) -> tuple[Log, dict[str, S]]:
    """As :func:`simulate`, but what every node knows at the end comes too."""
    if not stages:
        raise ValueError("a run needs at least one stage")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number >= 0, got {seed!r}")
    for stage in stages:
        stage.check(hierarchy.tiers)
    check_selection(hierarchy, stages)
    log = Log() if log is None else log
    hierarchy = folded(hierarchy, workload, stages, evaluate, costs, presence, log)
    check_needs(hierarchy, workload, stages)
    env = simpy.Environment()
    run = Federation(env, hierarchy, workload, stages, evaluate, log, on_round, costs, presence, seed)
    env.run(env.process(run.run(final_broadcast)))
    log.end_s = env.now
    close(run.acts)
    return log, run.states


def close(acts: Acts) -> None:
    """Charge what depends on time alone: idle, radios at rest, access points and switches, and the buildings."""
    now, log = acts.env.now, acts.log
    for name, there in acts.nodes.items():
        there.close()
        if there.charge:
            log.charges[name] = there.charge.joules()
    cohorts = [cohort for cell in acts.cohorts.values() for cohort in cell]
    accounts = {node.name: node.account for node in acts.nodes.values()} | {c.name: c.account for c in cohorts}
    if acts.costs.infrastructure:
        for node, watts in acts.network.infrastructure():
            accounts[node].add("infrastructure", watts * now, 0.0, now)
    for cohort in cohorts:
        cohort.close()
        log.accounts[cohort.name] = cohort.account
    for name, there in acts.nodes.items():
        if acts.costs.pue and there.profile and there.profile.pue > 1:
            there.account.cool(there.profile.pue)
        log.accounts[name] = there.account
