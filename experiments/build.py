"""From a scenario to the objects of a run: hierarchy, data, model, learner, workload, stages."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.memory import fitted, fitted_sizes, short_groups
from experiments.physics import costs_of, presence_of
from experiments.scenario import Problem, Scenario, ScenarioError, module_names, resolve
from experiments.schema.catalogue import device_profiles, link_profiles
from experiments.schema.documents import find_file
from experiments.schema.places import Classroom, DataSchools, Devices, PrototypeNetwork, Rosters, Star, TopologyFile
from experiments.schema.sections import Deadline as DeadlineSpec
from experiments.schema.sections import First, StageSpec, TierPlanSpec
from experiments.schema.subjects import Footprint, FootprintModel
from simulator.broods import check_selection
from simulator.costs import Costs
from simulator.interfaces import Workload
from simulator.plan import Deadline, Evaluate, FirstOf, Plan, Stage, TierPlan, Wait, barrier
from simulator.presence import Presence, always
from simulator.selection import RandomOf, Select, everyone
from simulator.workloads import CostOnly, Size
from topologies.hierarchy import Hierarchy

if TYPE_CHECKING:
    from experiments.workload import LearningWorkload
    from models.data.samples import Study
    from models.learner import Learner
    from topologies.profiles import DeviceProfile


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
        return built
    except ScenarioError:
        raise
    except ValueError as error:
        raise ScenarioError([Problem("", "", str(error))]) from error


def _built(scenario: Scenario) -> Built:
    stages = tuple(_stage(scenario, spec) for spec in scenario.stages)
    evaluation = scenario.evaluate
    evaluate = Evaluate() if evaluation is None else Evaluate(evaluation.every, evaluation.tiers, evaluation.moments)
    if isinstance(scenario.model, FootprintModel):
        tree, unheard = _on_air(scenario, hierarchy(scenario, None))
        apart = _told_apart(tree, "come and go" if scenario.presence else "")
        if apart:
            tree = tree.unfolded()
        _fit(scenario, stages, tree, tree.nodes())
        sizes = {
            name: Size(round(f.bytes), f.flops, f.memory, f.moved, f.launches, _merging(f))
            for name, f in scenario.model.footprint.items()
        }
        if short := short_groups(scenario.memory, tree, stages, sizes):
            tree = tree.unfolded(short)
        fits = fitted_sizes(scenario.memory, tree, stages, sizes)
        costs_only = CostOnly(sizes, fits.allowed)
        return Built(scenario, tree, costs_only, stages, evaluate, happenings=unheard + apart + fits.happenings)
    import torch

    from experiments.engine import engine_of
    from experiments.learning import learner_of, study_of

    torch.set_num_threads(1)  # two are many times slower on small steps
    tree, study = study_of(scenario)
    tree, unheard = _on_air(scenario, tree)
    if unheard:
        left = set(tree.lowest)
        study = replace(study, clients={name: client for name, client in study.clients.items() if name in left})
    one_by_one = {"come and go": scenario.presence, "are compared with baselines": scenario.baselines}
    apart = _told_apart(tree, next((why for why, holds in one_by_one.items() if holds), ""))
    if apart:
        tree = tree.unfolded()
    _fit(scenario, stages, tree, study.clients)
    learner = learner_of(scenario, tree, study, stages, engine_of(scenario))
    workload = _workload(scenario, learner, stages)
    fits = fitted(scenario.memory, tree, stages, workload.candidates, workload.peak)
    learner.allowed = fits.allowed
    return Built(
        scenario, tree, workload, stages, evaluate, learner, study, happenings=unheard + apart + fits.happenings
    )


def _workload(scenario: Scenario, learner: Learner, stages: Iterable[Stage]) -> LearningWorkload:
    """What the simulator asks of *learner*."""
    from experiments.device_cache import CachingWorkload, refuse_useless
    from experiments.workload import LearningWorkload

    if not scenario.learning.device_cache:
        return LearningWorkload(learner)
    refuse_useless(learner.model, [learner.recipe_in(stage) for stage in stages])
    return CachingWorkload(learner)


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


def _on_air(scenario: Scenario, tree: Hierarchy) -> tuple[Hierarchy, tuple[tuple[str, str, str], ...]]:
    """The tree at the rates of its radio, if the scenario has one, and what happened to nodes out of range."""
    if scenario.radio is None:
        return tree, ()
    from topologies.placement import with_radio

    heard, unheard = with_radio(tree, scenario.radio.radio(), scenario.seed)
    return heard, tuple((why.node, "out_of_range", why.detail) for why in unheard)


def _fit(scenario: Scenario, stages: Iterable[Stage], tree: Hierarchy, with_data: Container[str]) -> None:
    """Refuse stages at tiers that the tree lacks, or at nodes that have nothing to learn from."""
    for stage, spec in zip(stages, scenario.stages, strict=True):
        stage.check(tree.tiers)
        check_selection(tree, [stage])
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
    if isinstance(topology, PrototypeNetwork):
        return _prototype(topology, devices)
    values: dict[str, Any] = {"seed": scenario.seed}
    for name, value in topology:
        if name in ("access", "link", "campus_link", "cloud_link"):
            values[name] = links[value]
        elif name in ("edge", "campus", "cloud", "server"):
            values["cloud" if name == "server" else name] = devices[value]
        elif name in ("campuses", "classrooms", "devices", "grouped"):
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


def _prototype(spec: PrototypeNetwork, devices: Mapping[str, DeviceProfile]) -> Hierarchy:
    from topologies.prototype import Prototype

    return Prototype(
        devices[spec.device], devices[spec.edge], devices[spec.cloud],
        seed=spec.placement_seed, users=spec.users, within_metres=spec.within, one_generator=spec.one_generator,
        noise=spec.noise, fading=spec.fading, uplinks=spec.uplinks, cloud=spec.cloud_link, star=spec.star,
        user_watts=spec.user_power, d2d_watts=spec.d2d_power, cloud_watts=spec.cloud_power,
        receive_watts=spec.receive_power,
    ).tree()  # fmt: skip


def _client_names(rosters: Any) -> list[str]:
    pairs = zip(rosters["school"], rosters["class"], strict=True)
    return list(dict.fromkeys(f"{school}/{class_}" for school, class_ in pairs))


def _wait(spec: TierPlanSpec) -> Wait:
    if isinstance(spec.wait, DeadlineSpec):
        return Deadline(spec.wait.deadline)
    return FirstOf(spec.wait.first) if isinstance(spec.wait, First) else barrier


def _select(spec: TierPlanSpec) -> Select:
    return everyone if spec.select == "everyone" else RandomOf(spec.select.random)


def _plan(scenario: Scenario, specs: Mapping[str, TierPlanSpec]) -> Plan:
    names = module_names(scenario)
    return Plan(
        {tier: TierPlan(resolve(s.modules, names), s.rounds, _wait(s), _select(s)) for tier, s in specs.items()}
    )


def _stage(scenario: Scenario, spec: StageSpec) -> Stage:
    plan = _plan(scenario, scenario.plan if spec.plan is None else spec.plan)
    return Stage(spec.name, plan, spec.at, resolve(spec.trainable, module_names(scenario)), spec.preinstalled)
