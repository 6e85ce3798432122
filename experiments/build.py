"""From a scenario to the objects of a run: hierarchy, data, model, learner, workload, stages."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.scenario import Problem, Scenario, ScenarioError, module_names, resolve
from experiments.schema.catalogue import device_profiles, link_profiles
from experiments.schema.documents import find_file
from experiments.schema.places import Classroom, DataSchools, Devices, Rosters, Star, TopologyFile
from experiments.schema.sections import Deadline as DeadlineSpec
from experiments.schema.sections import First, StageSpec, TierPlanSpec
from experiments.schema.subjects import FootprintModel
from simulator.interfaces import Workload
from simulator.plan import Deadline, Evaluate, FirstOf, Plan, Stage, TierPlan, Wait, barrier
from simulator.workloads import CostOnly, Size
from topologies.hierarchy import Hierarchy

if TYPE_CHECKING:
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


def build(scenario: Scenario) -> Built:
    """The objects of a run; raises ScenarioError where the scenario does not fit its data or its tree."""
    try:
        return _built(scenario.resolved())
    except ScenarioError:
        raise
    except ValueError as error:
        raise ScenarioError([Problem("", "", str(error))]) from error


def _built(scenario: Scenario) -> Built:
    stages = tuple(_stage(scenario, spec) for spec in scenario.stages)
    evaluation = scenario.evaluate
    evaluate = Evaluate() if evaluation is None else Evaluate(evaluation.every, evaluation.tiers, evaluation.moments)
    if isinstance(scenario.model, FootprintModel):
        sizes = {name: Size(round(f.bytes), f.flops) for name, f in scenario.model.footprint.items()}
        tree = hierarchy(scenario, None)
        _fit(scenario, stages, tree, tree.nodes())
        return Built(scenario, tree, CostOnly(sizes), stages, evaluate)
    from experiments.learning import learner_of, study_of
    from experiments.workload import LearningWorkload

    tree, study = study_of(scenario)
    _fit(scenario, stages, tree, study.clients)
    learner = learner_of(scenario, tree, study, stages)
    return Built(scenario, tree, LearningWorkload(learner), stages, evaluate, learner, study)


def _fit(scenario: Scenario, stages: Iterable[Stage], tree: Hierarchy, with_data: Container[str]) -> None:
    """Refuse stages at tiers that the tree lacks, or at nodes that have nothing to learn from."""
    for stage, spec in zip(stages, scenario.stages, strict=True):
        stage.check(tree.tiers)
        without = next((node for node in tree.nodes(stage.at) if node not in with_data), None)
        if without is not None and spec.data == "own":
            raise ValueError(f"stage {stage.name}: {without} has no data of its own; train at the leaves, or on public")


def hierarchy(scenario: Scenario, rosters: Any) -> Hierarchy:
    """The tree; *rosters* is the table of student, class and school that the data source brings, if it does."""
    from topologies import schools

    topology = scenario.topology
    devices, links = device_profiles(scenario.profiles), link_profiles(scenario.profiles)
    if isinstance(topology, TopologyFile):
        return topology.tree()
    values: dict[str, Any] = {"seed": scenario.seed}
    for name, value in topology:
        if name in ("access", "link", "campus_link", "cloud_link"):
            values[name] = links[value]
        elif name in ("edge", "campus", "cloud", "server"):
            values["cloud" if name == "server" else name] = devices[value]
        elif name in ("campuses", "classrooms", "devices"):
            values[name] = value
    if isinstance(topology, Devices):
        mix = {devices[name]: share for name, share in topology.mix.items()}
        values["device" if isinstance(topology, Classroom | Star | Rosters) else "device_mix"] = mix
    if isinstance(topology, DataSchools):
        return schools.schools_from_rosters(rosters, device=None, **values)
    if isinstance(topology, Rosters):
        import pandas as pd

        columns: dict[str, Any] = {name: getattr(topology, name) for name in ("student", "classroom", "school")}
        try:
            table = pd.read_csv(find_file(topology.file, Path()), dtype=str)
            return schools.schools_from_rosters(table, **columns, **values)
        except ValueError as error:  # from pandas with a line, from the rosters with a row; neither names the file
            raise ValueError(f"{topology.file}: {str(error).strip()}") from error
    if isinstance(topology, Star):
        clients = topology.clients or 0 if rosters is None else _client_names(rosters)
        return schools.star(clients, tier=topology.ranks[0], **values)
    builders: Mapping[str, Callable[..., Hierarchy]] = {
        "district": schools.district,
        "campus": schools.campus,
        "classroom": schools.classroom,
    }
    return builders[topology.kind](**values)


def _client_names(rosters: Any) -> list[str]:
    pairs = zip(rosters["school"], rosters["class"], strict=True)
    return list(dict.fromkeys(f"{school}/{class_}" for school, class_ in pairs))


def _wait(spec: TierPlanSpec) -> Wait:
    if isinstance(spec.wait, DeadlineSpec):
        return Deadline(spec.wait.deadline)
    return FirstOf(spec.wait.first) if isinstance(spec.wait, First) else barrier


def _plan(scenario: Scenario, specs: Mapping[str, TierPlanSpec]) -> Plan:
    names = module_names(scenario)
    return Plan({tier: TierPlan(resolve(s.modules, names), s.rounds, _wait(s)) for tier, s in specs.items()})


def _stage(scenario: Scenario, spec: StageSpec) -> Stage:
    plan = _plan(scenario, scenario.plan if spec.plan is None else spec.plan)
    return Stage(spec.name, plan, spec.at, resolve(spec.trainable, module_names(scenario)), spec.preinstalled)
