"""Whether an algorithm can do in a stage, on a tree, what it is to do there."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import networkx as nx

from experiments.scenario import Scenario
from experiments.schema.algorithms import algorithm_of
from experiments.schema.placing import in_stage
from experiments.schema.plans import StageSpec
from experiments.trial import tried
from models.federation.algorithm import Algorithm, Setting
from models.learner import Learner
from models.model import module
from models.states import by_votes
from simulator.gathering.broods import active, reporting
from simulator.plan import Stage, TierPlan
from simulator.sideways.consensus import Consensus
from topologies.hierarchy import Hierarchy
from topologies.sideways import clusters, neighbours

Happening = tuple[str, str, str]


def suited(scenario: Scenario, tree: Hierarchy, learner: Learner, stages: Sequence[Stage]) -> tuple[Happening, ...]:
    """At which nodes, of what kind, how: merges of fewer reports than their algorithm takes.

    ValueError for a stage whose algorithm does not suit its recipe, the model, the clients or the plan.
    """
    found: list[Happening] = []
    for place, (stage, spec) in enumerate(zip(stages, scenario.stages, strict=True)):
        key = "learning.algorithm" if spec.algorithm is None else f"stages.{place}.algorithm"
        algorithm, name = learner.curriculum.algorithm_in(stage), _name(scenario, spec)
        with in_stage(place, spec):
            try:
                algorithm.check(Setting(learner.curriculum.recipe_in(stage), learner.model, learner.study.clients))
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from error
            _try_own(scenario, spec, tree, learner, stage, key)
            _refuse_unsent(algorithm, name, stage)
            _refuse_idle(algorithm, name, stage, key)
            _refuse_uneven(learner.uniform, stage)
            found += _liars(algorithm, learner, stage)
            found += _few(algorithm, name, tree, stage, key)
    return tuple(found)


def _name(scenario: Scenario, spec: StageSpec) -> str:
    return " with ".join(one.name for one in spec.algorithm or scenario.learning.algorithm)


def _liars(algorithm: Algorithm, learner: Learner, stage: Stage) -> Iterator[Happening]:
    """Those that an attack among the local rules makes liars of."""
    flips = getattr(algorithm.local, "flips", None)
    for client in learner.study.clients:
        if flips and flips(client, learner.seed):
            yield client, "liar", f"reverses what it has learned in stage {stage.name}"


def _try_own(scenario: Scenario, spec: StageSpec, tree: Hierarchy, learner: Learner, stage: Stage, key: str) -> None:
    for one in spec.algorithm or scenario.learning.algorithm:
        if one.folder:
            try:
                most = max(_reports(tree, stage).values(), default=1)
                tried(learner, stage, algorithm_of((one,)), _file(one.name), most)
            except ValueError as error:
                raise ValueError(f"{key}: {one.name}: {error}") from error


def _refuse_unsent(algorithm: Algorithm, name: str, stage: Stage) -> None:
    sent = ", ".join((*algorithm.up, *algorithm.figures))
    for tier, plan in stage.plan.items():
        if plan.peers is not None and sent:
            raise ValueError(
                f"plan.{tier}.peers: {name} sends {sent} beside the weights, which peers do not pass on; leave peers "
                "out, or take another algorithm"
            )


def _file(name: str) -> str:
    """Where the module of ``module:Name`` is, which has been imported."""
    return getattr(sys.modules.get(name.partition(":")[0]), "__file__", None) or ""


def _refuse_idle(algorithm: Algorithm, name: str, stage: Stage, key: str) -> None:
    """What works on reports, or comes down with models, where there are none."""
    plans = stage.plan.values()
    if (algorithm.rule is not by_votes or algorithm.uplink) and plans and not any(map(_gathers, plans)):
        raise ValueError(
            f"{key}: {name} works on reports, and by this plan nobody reports; choose another for this stage"
        )
    if algorithm.down and plans and not any(plan.downward for plan in plans):
        sent = ", ".join(algorithm.down)
        raise ValueError(f"{key}: {name} sends {sent} with the models that come down, and by this plan none does")


def _gathers(plan: TierPlan) -> bool:
    return bool(plan.modules) and not getattr(plan.peers, "silent", False)


def _refuse_uneven(uniform: frozenset[str], stage: Stage) -> None:
    for tier, plan in stage.plan.items():
        peers = plan.peers
        if peers and getattr(peers, "merge_at_relays", False) and uniform.intersection(peers.modules or plan.modules):
            raise ValueError(
                f"plan.{tier}.peers: with merge_at_relays a relay's mean would count as much as the copy of one, so "
                "weighting: uniform cannot hold; leave out either"
            )


def _reports(tree: Hierarchy, stage: Stage) -> dict[str, int]:
    """How many each node that gathers gets at most."""
    return {node: reporting(tree, node, stage) for tier in stage.plan for node in tree.nodes(tier)}


def _few(algorithm: Algorithm, name: str, tree: Hierarchy, stage: Stage, key: str) -> Iterator[Happening]:
    """Nodes that never get as many reports as a merge takes; ValueError where there are no others."""
    if algorithm.least < 2:
        return
    reports = _reports(tree, stage)
    if not reports:
        return
    if max(reports.values()) < algorithm.least:
        node = max(reports, key=lambda name: reports[name])
        raise ValueError(
            f"{key}: {name} takes {algorithm.least} reports or more, and no node gets as many: {node} gets "
            f"{reports[node]}; change the algorithm's knobs, ask or wait for more, or have more children report to one"
        )
    for node, there in reports.items():
        if there < algorithm.least:
            yield node, "few_reports", f"{there} in stage {stage.name}; {name} takes {algorithm.least}"


def unlinked(tree: Hierarchy, learner: Learner, stages: Sequence[Stage]) -> Iterator[Happening]:
    """Modules of which consensus finds no common mean, since those that have a say in them are not linked."""
    allowed = learner.curriculum.allowed

    def speaks(node: str, name: str, stage: Stage) -> bool:
        able = name not in stage.trainable or name in allowed.get((stage.name, node), stage.trainable)
        return able and any(module(key) == name for key in learner.holds[node])

    for stage, tier, plan in ((each, tier, plan) for each in stages for tier, plan in each.plan.items()):
        if not isinstance(plan.peers, Consensus):
            continue
        for node in tree.nodes(tier):
            for members in clusters(tree, [child for child in active(tree, node, stage) if isinstance(child, str)]):
                graph = neighbours(tree, members)
                for name in plan.peers.modules or plan.modules:
                    there = graph.subgraph(m for m in members if speaks(m, name, stage))
                    if (parts := nx.number_strongly_connected_components(there)) > 1:
                        what = f"{name} in stage {stage.name}: {parts} parts of its children have it, not linked"
                        yield node, "unlinked", what
