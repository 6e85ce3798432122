"""Whether an algorithm can do in a stage, on a tree, what it is to do there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.scenario import Scenario
from experiments.schema.placing import in_stage
from experiments.schema.plans import StageSpec
from models.federation.algorithm import Algorithm, Setting
from models.learner import Learner
from simulator.gathering.broods import reporting
from simulator.plan import Stage
from topologies.hierarchy import Hierarchy

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
            _refuse_unsent(algorithm, name, stage)
            found += _few(algorithm, name, tree, stage, key)
    return tuple(found)


def _name(scenario: Scenario, spec: StageSpec) -> str:
    return " with ".join(one.name for one in spec.algorithm or scenario.learning.algorithm)


def _refuse_unsent(algorithm: Algorithm, name: str, stage: Stage) -> None:
    sent = ", ".join((*algorithm.up, *algorithm.figures))
    for tier, plan in stage.plan.items():
        if plan.peers is not None and sent:
            raise ValueError(
                f"plan.{tier}.peers: {name} sends {sent} beside the weights, which peers do not pass on; leave peers "
                "out, or take another algorithm"
            )


def _few(algorithm: Algorithm, name: str, tree: Hierarchy, stage: Stage, key: str) -> Iterator[Happening]:
    """Nodes that never get as many reports as a merge takes; ValueError where there are no others."""
    if algorithm.least < 2:
        return
    reports = {node: reporting(tree, node, stage) for tier in stage.plan for node in tree.nodes(tier)}
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
