"""What a federation's result has to be compared with: no rounds, no sharing, and classical models on pooled data.

``zero``: what every node knows when the last stage begins (after pre-training, before any round). ``local``: every
client alone, from there, with as many trainings as the plan gives it, the same steps and optimizer, sending nothing.
``pooled_*``: models from scikit-learn that see all clients' data in one place (:mod:`experiments.pooled`). All are
scored on the same held-out samples as the federated models: a client's own mix, and all classes for the root.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from experiments.learning import learner_of
from experiments.pooled import POOLED, pooled_scores
from models.evaluation import Score, evaluate
from models.federate import Federation, Node
from models.federation.algorithm import FEDAVG
from models.learner import Learner
from models.states import State
from simulator.plan import Stage
from simulator.records import Log, Metric
from topologies.hierarchy import Hierarchy

if TYPE_CHECKING:
    from experiments.build import Built


def add_baselines(built: Built, log: Log) -> list[str]:
    """Append the scores of the scenario's baselines to *log*; returns how the pooled models were tuned."""
    wanted, notes = built.scenario.baselines, []
    study = built.study
    assert study is not None
    assert built.learner is not None
    if "zero" in wanted or "local" in wanted:
        learner = learner_of(built.scenario, built.hierarchy, study, built.stages, built.learner.engine)
        learner.curriculum.allowed = built.learner.curriculum.allowed
        learner.trainings.public = built.learner.trainings.public
        zero = zero_rounds(built.hierarchy, learner, built.stages)
        if "zero" in wanted:
            _append(built, log, "zero", scores(learner, {n: zero[n] for n in zero if _scored(built, n)}))
        if "local" in wanted:
            _append(built, log, "local", scores(learner, alone(built.hierarchy, learner, built.stages, zero)))
    for name in wanted:
        if name in POOLED:
            found, picks = pooled_scores(built.hierarchy, study, name, built.scenario.seed)
            _append(built, log, name, found)
            notes += picks
    return notes


def zero_rounds(hierarchy: Hierarchy, learner: Learner, stages: tuple[Stage, ...]) -> dict[str, State]:
    """What every node knows when the last stage begins."""
    return Federation(names(hierarchy, hierarchy.root), learner, stages[:-1]).run()


def alone(
    hierarchy: Hierarchy, learner: Learner, stages: tuple[Stage, ...], start: Mapping[str, State]
) -> dict[str, State]:
    """Every client after as many trainings as the last stage's plan gives it, with nobody to share with."""
    last = stages[-1]
    learner.enter(last)
    learner.curriculum.algorithm = FEDAVG  # who shares with nobody has nobody's corrections either
    states = {node: start[node] for node in learner.study.clients}
    for step in range(trainings(last)):
        states = {node: learner.train(node, state, step) for node, state in states.items()}
    learner.settle()
    return states


def trainings(stage: Stage) -> int:
    """How often a client trains in a stage: the rounds of all tiers above it, multiplied."""
    out = 1
    for tier in stage.plan.values():
        out *= tier.rounds
    return out


def scores(learner: Learner, states: Mapping[str, State]) -> list[Score]:
    """Of all tasks that a node has a head for, trained or not."""
    jobs = []
    for node, state in states.items():
        samples = learner.scorer.held_out(node)
        jobs.append((node, state.tensors, samples, tuple(samples.targets)))
    return evaluate(
        learner.model, [job for job in jobs if job[3]], learner.engine.predict, frozenset(learner.model.modules)
    )


def names(hierarchy: Hierarchy, node: str) -> Node:
    """The tree as the learner knows it: names and tiers."""
    return Node(node, hierarchy.tier(node), tuple(names(hierarchy, child) for child in hierarchy.children(node)))


def _scored(built: Built, node: str) -> bool:
    return node == built.hierarchy.root or node in (built.study.clients if built.study else ())


def _append(built: Built, log: Log, model: str, found: Iterable[Score]) -> None:
    for s in found:
        tier = built.hierarchy.tier(s.node)
        what = (s.split, s.group, s.task, s.modality, s.name, s.value)
        log.metrics.append(Metric(0.0, 0, "", s.node, tier, "baseline", model, *what))
