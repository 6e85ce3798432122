"""From a scenario to the objects of a run: hierarchy, data, model, learner, workload, stages."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.memory import fitted, fitted_sizes, short_groups
from experiments.network import beside, hierarchy, on_air
from experiments.physics import costs_of, presence_of
from experiments.planning import stage_of
from experiments.scenario import Scenario, ScenarioError
from experiments.schema.documents import find_file
from experiments.schema.placing import in_stage, problem_of
from experiments.schema.subjects import Footprint, FootprintModel, RecordedData
from simulator.costs import Costs
from simulator.gathering.broods import check_needs, check_selection
from simulator.interfaces import Workload
from simulator.plan import Evaluate, Stage
from simulator.presence import Presence, always
from simulator.workloads import CostOnly, Size
from topologies.hierarchy import Hierarchy

if TYPE_CHECKING:
    from experiments.workload import LearningWorkload
    from models.data.samples import Study
    from models.learner import Learner


@dataclass(frozen=True)
class Built:
    """What a run needs. *learner* and *study* are None where only costs are simulated."""

    scenario: Scenario
    hierarchy: Hierarchy
    workload: Workload[Any]
    stages: tuple[Stage, ...]
    evaluate: Evaluate
    learner: Learner | None = None
    study: Study | None = None
    costs: Costs = Costs()  # noqa: RUF009 - frozen
    presence: Presence = always
    happenings: tuple[tuple[str, str, str], ...] = ()  # node, kind, detail: what is known before the run begins


def build(scenario: Scenario) -> Built:
    """The objects of a run; raises ScenarioError where the scenario does not fit its data or its tree."""
    try:
        built = _built(scenario.resolved())
        costs, presence = costs_of(built.scenario), presence_of(built.scenario, built.hierarchy)
        built = replace(built, costs=costs, presence=presence)
        _follow_batteries(built)
        for place, (stage, spec) in enumerate(zip(built.stages, built.scenario.stages, strict=True)):
            with in_stage(place, spec):
                check_needs(built.hierarchy, built.workload, [stage])
        return built
    except ScenarioError:
        raise
    except ValueError as error:
        raise ScenarioError([problem_of(error)]) from error


def _built(scenario: Scenario) -> Built:
    stages = tuple(_staged(scenario))
    evaluation = scenario.evaluate
    evaluate = Evaluate() if evaluation is None else Evaluate(evaluation.every, evaluation.tiers, evaluation.moments)
    build_one = _costing if isinstance(scenario.model, FootprintModel) else _learning
    return build_one(scenario, stages, evaluate)


def _staged(scenario: Scenario) -> Iterator[Stage]:
    for place, spec in enumerate(scenario.stages):
        with in_stage(place, spec):
            yield stage_of(scenario, spec)


def _costing(scenario: Scenario, stages: tuple[Stage, ...], evaluate: Evaluate) -> Built:
    """Without any learning."""
    assert isinstance(scenario.model, FootprintModel)
    tree, unheard = on_air(scenario, hierarchy(scenario, None))
    tree, apart = _joined(scenario, tree)
    _fit(scenario, stages, tree, tree.nodes())
    sizes = {
        name: Size(round(f.bytes), f.flops, f.memory, f.moved, f.launches, _merging(f))
        for name, f in scenario.model.footprint.items()
    }
    if short := short_groups(scenario.memory, tree, stages, sizes):
        tree = tree.unfolded(short)
    fits = fitted_sizes(scenario.memory, tree, stages, sizes)
    workload: Workload[Any] = CostOnly(sizes, fits.allowed)
    if isinstance(scenario.data, RecordedData):
        workload = _recorded(scenario.data, sizes, fits.allowed)
    return Built(scenario, tree, workload, stages, evaluate, happenings=unheard + apart + fits.happenings)


def _learning(scenario: Scenario, stages: tuple[Stage, ...], evaluate: Evaluate) -> Built:
    import torch

    from experiments.engine import engine_of
    from experiments.learning import learner_of, study_of
    from experiments.suiting import suited, unlinked

    torch.set_num_threads(1)  # two are many times slower on small steps
    tree, study = study_of(scenario)
    tree, unheard = on_air(scenario, tree)
    if unheard:
        left = set(tree.lowest)
        study = replace(study, clients={name: client for name, client in study.clients.items() if name in left})
    tree, apart = _joined(scenario, tree)
    _fit(scenario, stages, tree, study.clients)
    learner = learner_of(scenario, tree, study, stages, engine_of(scenario))
    few = suited(scenario, tree, learner, stages)
    workload = _workload(scenario, learner, stages)
    fits = fitted(scenario.memory, tree, stages, workload.candidates, workload.peak)
    learner.curriculum.allowed = fits.allowed
    happenings = (*unheard, *apart, *few, *fits.happenings, *unlinked(tree, learner, stages))
    return Built(scenario, tree, workload, stages, evaluate, learner, study, happenings=happenings)


def _joined(scenario: Scenario, tree: Hierarchy) -> tuple[Hierarchy, tuple[tuple[str, str, str], ...]]:
    """The tree with the scenario's links beside it, its groups as nodes where members do something one by one."""
    one_by_one: dict[str, Any] = {
        "come and go": scenario.presence,
        "have links beside the tree": scenario.d2d,
        "are compared with baselines": scenario.baselines,
    }
    apart = _told_apart(tree, next((why for why, holds in one_by_one.items() if holds), ""))
    if apart:
        tree = tree.unfolded()
    beside(scenario, tree)
    return tree, apart


def _recorded(data: RecordedData, sizes: Mapping[str, Size], allowed: Mapping[Any, frozenset[str]]) -> Workload[Any]:
    """Costs, and what somebody else recorded."""
    from experiments.recorded import Recorded, read_accuracies

    path = find_file(data.file, Path())
    return Recorded(CostOnly(sizes, allowed), read_accuracies(path, data.run, mended=data.mended))


def _workload(scenario: Scenario, learner: Learner, stages: Iterable[Stage]) -> LearningWorkload:
    """What the simulator asks of *learner*."""
    from experiments.device_cache import CachingWorkload, refuse_useless
    from experiments.workload import LearningWorkload

    payload = None if scenario.learning.payload is None else round(scenario.learning.payload)
    if not scenario.learning.device_cache:
        return LearningWorkload(learner, payload)
    refuse_useless(learner.model, [learner.curriculum.recipe_in(stage) for stage in stages])
    return CachingWorkload(learner, payload)


def _told_apart(tree: Hierarchy, why: str) -> tuple[tuple[str, str, str], ...]:
    """What happens to groups whose members do something one by one; nothing without a reason."""
    groups = tree.groups()
    if not groups or not why:
        return ()
    return ((tree.root, "unfolded", f"{len(groups)} groups: their members {why} one by one"),)


def _follow_batteries(built: Built) -> None:
    """Refuse to follow batteries where nobody has one."""
    tree = built.hierarchy
    profiles = [
        *(tree.profile(node) for node in tree.nodes() if node != tree.root),
        *(g.profile for g in tree.groups()),
    ]
    if built.costs.battery and not any(profile and profile.battery_joules for profile in profiles):
        raise ValueError("costs.battery: no node below the root has a battery (battery_joules of its profile is 0)")


def _merging(footprint: Footprint) -> float:
    return footprint.bytes / 4 if footprint.merge is None else footprint.merge


def _fit(scenario: Scenario, stages: Iterable[Stage], tree: Hierarchy, with_data: Container[str]) -> None:
    """Refuse stages at tiers that the tree lacks, or at nodes that have nothing to learn from."""
    for place, (stage, spec) in enumerate(zip(stages, scenario.stages, strict=True)):
        with in_stage(place, spec):
            stage.check(tree.tiers)
            check_selection(tree, [stage])
        without = next((node for node in tree.nodes(stage.at) if node not in with_data), None)
        if without is not None and spec.data == "own":
            raise ValueError(
                f"stages.{place}.at: {without} has no data of its own for stage {stage.name}; train at the leaves, or "
                "on public"
            )
