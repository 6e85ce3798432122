"""What the sections of a scenario owe to each other.

Each check names as parameters the sections that it reads and yields (keys, what is wrong). It runs when those sections
are sound by themselves, whatever is wrong elsewhere, so that one reading of a file tells all of its mistakes.
"""

from __future__ import annotations

import csv
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.schema.algorithms import algorithm_problems
from experiments.schema.computing import CacheSpec, DeviceSpec, EngineSpec
from experiments.schema.documents import find_file
from experiments.schema.foundations import VqaData
from experiments.schema.mistakes import Keys, nearest
from experiments.schema.places import AnyTopology, DataSchools, Rosters, Star, TopologyFile
from experiments.schema.plan_checks import (
    carbon_followed,
    pattern_problems,
    plan_problems,
    plans_for_algorithms,
    stage_problems,
    unknown_tier,
    untrained,
)
from experiments.schema.plans import First, StageSpec, TierPlanSpec
from experiments.schema.profile_checks import (
    changed_profiles,
    links_beside,
    profile_names,
    profiles_of_file,
    radio_links,
)
from experiments.schema.sections import Evaluation, Learning
from experiments.schema.subjects import (
    CampusData,
    Data,
    DigitsData,
    FootprintModel,
    LinearModel,
    M3TModel,
    Model,
    RecordedData,
    StarData,
)

Problems = Iterator[tuple[Keys, str]]
TASKS = {
    CampusData: ("answer", "engagement", "outcome"),
    DigitsData: ("digit",),
    StarData: ("read", "math"),
    VqaData: ("answer",),
}
KINDS = {  # models that fit the data
    CampusData: ("m3t", "module"),
    DigitsData: ("mlp", "linear", "module"),
    StarData: ("linear", "module"),
    VqaData: ("hf", "module"),
}


def problems(sections: Mapping[str, Any], beside: Path) -> list[tuple[Keys, str]]:
    """Everything on which the given *sections*, each sound in itself, do not agree; files are sought *beside*."""
    known = {**sections, "beside": beside}
    out: list[tuple[Keys, str]] = []
    for check in CHECKS:
        wanted = inspect.signature(check).parameters
        if all(name in known for name in wanted):
            out += check(**{name: known[name] for name in wanted})
    return out


def roster_columns(topology: AnyTopology, beside: Path) -> Problems:
    """Columns that the roster lacks."""
    if not isinstance(topology, Rosters):
        return
    try:
        with find_file(topology.file, beside).open(encoding="utf-8-sig", newline="") as lines:
            header = next(csv.reader(lines), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        yield ("topology", "file"), f"{topology.file}:1 is no table in UTF-8: {error}"
        return
    for field in ("student", "classroom", "school"):
        column = getattr(topology, field)
        if column is not None and column not in header:
            yield ("topology", field), f"{topology.file}:1 has no column {column!r}{nearest(column, header)}"


def tree_of_file(topology: AnyTopology) -> Problems:
    """A tree file that holds no tree: a cycle, an orphan, two roots, a profile that nobody knows."""
    if isinstance(topology, TopologyFile):
        try:
            topology.tree()
        except ValueError as error:
            yield ("topology", "file"), str(error)


def schools_of_data(topology: AnyTopology, data: Data | None) -> Problems:
    """Data that brings its schools, and topologies that need it to."""
    if isinstance(data, StarData):
        if not isinstance(topology, (DataSchools, Star)):
            yield ("topology", "kind"), "star data brings its own schools: use kind data or star"
        elif isinstance(topology, Star) and topology.clients is not None:
            yield ("topology", "clients"), "star data brings its own classes; leave clients out"
        elif isinstance(topology, Star) and topology.grouped:
            yield ("topology", "grouped"), "the classes of star data have names of their own; leave this out"
    elif isinstance(topology, DataSchools):
        yield ("topology", "kind"), "kind data takes the schools of data source star, which is not used here"
    elif isinstance(topology, Star) and topology.clients is None:
        yield ("topology", "clients"), "is missing"


def tasks(data: Data | None, model: Model) -> Problems:
    """A model that the data cannot teach."""
    if data is None or isinstance(model, FootprintModel):
        return
    if isinstance(data, RecordedData):
        yield ("data",), "recorded accuracies teach nobody: give model.footprint, or data to learn from"
        return
    if model.kind not in KINDS[type(data)]:
        yield ("model",), f"data source {data.source} needs a model of kind {' or '.join(KINDS[type(data)])}"
        return
    for place, task in enumerate(model.tasks):
        known = TASKS[type(data)]
        if task not in known:
            hint = nearest(task, known) or f"; it has {', '.join(known)}"
            yield ("model", "tasks", place), f"data source {data.source} has no task {task!r}{hint}"


ONLY_COSTS = "a model given by its footprint only has costs; leave this out, or give a model"


def costs_only(
    data: Data | None, model: Model, baselines: tuple[str, ...], evaluate: Evaluation | None, learning: Learning,
    stages: tuple[StageSpec, ...],
) -> Problems:  # fmt: skip
    """A footprint learns nothing, and a model learns from data."""
    if isinstance(model, FootprintModel):
        learns = {"baselines": baselines, "learning": learning != Learning()}
        if not isinstance(data, RecordedData):
            learns |= {"data": data, "evaluate": evaluate}
        yield from (((key,), ONLY_COSTS) for key, given in learns.items() if given)
        for place, stage in enumerate(stages):
            if stage.objective != "supervised":
                continue  # told below
            for key in ("tasks", "epochs", "optimizer", "data", "algorithm"):
                if getattr(stage, key) != StageSpec.model_fields[key].default:
                    yield ("stages", place, key), ONLY_COSTS
    elif data is None:
        yield ("data",), "is missing; without data, give model.footprint to simulate costs only"


def nothing_to_compute(model: Model, engine: EngineSpec, device: DeviceSpec, cache: CacheSpec) -> Problems:
    """Nobody trains where only costs are simulated."""
    if isinstance(model, FootprintModel):
        for key, value in {"engine": engine, "device": device, "cache": cache}.items():
            if value != type(value)():
                yield (key,), ONLY_COSTS


def algorithms(model: Model, learning: Learning, stages: tuple[StageSpec, ...]) -> Problems:
    """Algorithms that are not there, knobs that they lack, and weightings of modules that nobody has."""
    yield from algorithm_problems(learning.algorithm, ("learning", "algorithm"))
    for place, stage in enumerate(stages):
        if stage.algorithm is not None:
            yield from algorithm_problems(stage.algorithm, ("stages", place, "algorithm"))
    if not isinstance(model, FootprintModel):
        for pattern in learning.weighting:
            for _, what in pattern_problems([pattern], model, ()):
                yield ("learning", "weighting", pattern), what


def offset_tiers(topology: AnyTopology, model: Model) -> Problems:
    """Offsets owned by tiers that are not there."""
    if isinstance(model, (M3TModel, LinearModel)):
        for place, tier in enumerate(model.offsets):
            yield from unknown_tier(topology, tier, ("model", "offsets", place))


def evaluated_tiers(topology: AnyTopology, evaluate: Evaluation | None) -> Problems:
    """Tiers to evaluate that are not there."""
    for place, tier in enumerate(evaluate.tiers if evaluate else ()):
        yield from unknown_tier(topology, tier, ("evaluate", "tiers", place))


def evaluated_take_part(
    topology: AnyTopology, plan: dict[str, TierPlanSpec], stages: tuple[StageSpec, ...], evaluate: Evaluation | None
) -> Problems:
    """Tiers to evaluate whose nodes never know anything."""
    active = {tier for stage in stages for tier in (stage.at, *(plan if stage.plan is None else stage.plan))}
    active |= {*plan, *topology.ranks[:1]} if not stages else set()
    for place, tier in enumerate(evaluate.tiers if evaluate and topology.ranks else ()):
        if tier in topology.ranks and tier not in active:
            what = f"no plan names {tier} and no stage trains there, so there is nothing to score"
            yield ("evaluate", "tiers", place), what


def baselines_fit(baselines: tuple[str, ...], stages: tuple[StageSpec, ...]) -> Problems:
    """Baselines of one federated stage, where there is another number of them."""
    federated = [stage.data != "public" for stage in stages]
    if {"zero", "local"}.intersection(baselines) and stages and federated != [False] * (len(stages) - 1) + [True]:
        yield ("baselines",), "zero and local compare with a single federated stage, the last one; leave them out"


def plan_tiers(topology: AnyTopology, plan: dict[str, TierPlanSpec]) -> Problems:
    """Tiers of the plan that are not there, or gather nobody, or wait for more children than they have."""
    for tier, spec in plan.items():
        keys: Keys = ("plan", tier)
        yield from unknown_tier(topology, tier, keys)
        if tier in topology.tiers[:1]:
            yield keys, f"{tier} is the lowest tier and has nobody to gather from"
        children = topology.children.get(tier)
        if isinstance(spec.wait, First) and children is not None and spec.wait.first > children:
            yield (*keys, "wait", "first"), f"a {tier} has {children} children, so it cannot wait for {spec.wait.first}"


def plan_modules(topology: AnyTopology, model: Model, plan: dict[str, TierPlanSpec]) -> Problems:
    """Patterns that match nothing, and modules that grow on the way up."""
    yield from plan_problems(topology, model, plan, ("plan",))


def something_to_do(plan: dict[str, TierPlanSpec], stages: tuple[StageSpec, ...]) -> Problems:
    """A plan without tiers, when nothing else says what to do."""
    if not plan and not stages:
        yield ("plan",), "is empty: name a tier that gathers its children, or give stages"


def stages_agree(topology: AnyTopology, data: Data | None, model: Model, stages: tuple[StageSpec, ...]) -> Problems:
    """Stages in the wrong place, on data that is not there, or with modules that nobody has."""
    names = [stage.name for stage in stages]
    for place, stage in enumerate(stages):
        keys: Keys = ("stages", place)
        if stage.name in names[:place]:
            yield (*keys, "name"), f"another stage is called {stage.name!r} already"
        yield from stage_problems(topology, data, model, stage, keys)


CHECKS: tuple[Callable[..., Problems], ...] = (
    changed_profiles,
    profiles_of_file,
    profile_names,
    links_beside,
    radio_links,
    roster_columns,
    tree_of_file,
    schools_of_data,
    tasks,
    costs_only,
    nothing_to_compute,
    algorithms,
    offset_tiers,
    evaluated_tiers,
    evaluated_take_part,
    baselines_fit,
    plan_tiers,
    plan_modules,
    something_to_do,
    stages_agree,
    untrained,
    carbon_followed,
    plans_for_algorithms,
)
