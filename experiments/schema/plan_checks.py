"""Plans and stages against the tree and the model: patterns resolved, modules that only shrink going up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise

from experiments.schema.algorithms import AlgorithmSpec, needs
from experiments.schema.mistakes import Keys, nearest
from experiments.schema.physics import CostsSpec
from experiments.schema.places import AnyTopology
from experiments.schema.plans import SELECT, CarbonAwareSpec, First, StageSpec, TierPlanSpec
from experiments.schema.sections import Learning
from experiments.schema.subjects import CampusData, Data, M3TModel, Model

Problems = Iterator[tuple[Keys, str]]
WITHOUT = {
    "late": "goes by how stale a report is, but the plan keeps no late ones, so none ever is; give the plan wait: "
    "{first: 1} (or more) and late: keep",
    "meanwhile": "mixes what comes down with what was learned meanwhile, but the plan lets nobody go on training; give "
    "the tier above the devices meanwhile: train",
}
SHRINK = "modules may only shrink going up"


def resolve(patterns: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The *names* that some pattern matches, in their own order."""
    return tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def unknown_tier(topology: AnyTopology, tier: str, keys: Keys) -> Problems:
    """Whether the topology lacks *tier*."""
    tiers = topology.tiers
    if tiers and tier not in tiers:
        yield keys, f"no tier {tier!r} in this topology{nearest(tier, tiers) or '; it has ' + ', '.join(tiers)}"


def pattern_problems(patterns: Sequence[str], model: Model, keys: Keys) -> Problems:
    """Patterns that match no module of the model."""
    families = dict.fromkeys(f"{name.partition('.')[0]}.*" if "." in name else name for name in model.modules)
    for place, pattern in enumerate(patterns):
        if not resolve([pattern], model.modules):
            hint = nearest(pattern, [*families, *model.modules]) or f"; the modules are {', '.join(families)}"
            yield (*keys, place), f"{pattern!r} matches no module{hint}"


def plan_problems(topology: AnyTopology, model: Model, plan: dict[str, TierPlanSpec], keys: Keys) -> Problems:
    """Patterns of *plan* that match nothing, a frozen trunk that is sent, modules that grow on the way up."""
    sound = []
    for tier, spec in plan.items():
        yield from _selection_problems(topology, tier, spec, (*keys, tier))
        unmatched = list(pattern_problems(spec.modules, model, (*keys, tier, "modules")))
        yield from unmatched
        yield from _part_problems(spec, model, (*keys, tier))
        yield from _frozen_problems(spec.modules, model, (*keys, tier, "modules"), "would be sent unchanged")
        sound += [] if unmatched else [tier]
    tiers = [tier for tier in topology.tiers if tier in sound]
    for below, tier in pairwise(tiers):
        grown = set(resolve(plan[tier].modules, model.modules)) - set(resolve(plan[below].modules, model.modules))
        if grown:
            names = ", ".join(name for name in model.modules if name in grown)
            yield (*keys, tier, "modules"), f"merges {names}, which {below} below does not; {SHRINK}"


def _part_problems(spec: TierPlanSpec, model: Model, keys: Keys) -> Problems:
    """Periods of modules that the tier does not gather or that have one already; modules down that are not gathered."""
    own, known = resolve(spec.modules, model.modules), dict[str, str]()
    for pattern in spec.every:
        matched = resolve([pattern], own)
        if not matched:
            yield (*keys, "every", pattern), f"{pattern!r} matches none of the tier's modules, {', '.join(own)}"
        for name in matched:
            if known.setdefault(name, pattern) != pattern:
                yield (*keys, "every", pattern), f"{name} has a period already, from {known[name]!r}"
    for place, pattern in enumerate(spec.down or ()):
        if not resolve([pattern], own):
            yield (*keys, "down", place), f"{pattern!r} matches none of the tier's modules, {', '.join(own)}"
    if spec.peers is not None:
        yield from pattern_problems(spec.peers.modules or (), model, (*keys, "peers", "modules"))


def _plans(plan: dict[str, TierPlanSpec], stages: tuple[StageSpec, ...]) -> list[tuple[Keys, dict[str, TierPlanSpec]]]:
    """The plan that stages share, if some do, and those of their own."""
    own: list[tuple[Keys, dict[str, TierPlanSpec]]] = [
        (("stages", place, "plan"), stage.plan) for place, stage in enumerate(stages) if stage.plan
    ]
    return [(("plan",), plan), *own] if not stages or any(stage.plan is None for stage in stages) else own


def carbon_followed(costs: CostsSpec, plan: dict[str, TierPlanSpec], stages: tuple[StageSpec, ...]) -> Problems:
    """Who is asked by grams of CO2 that nobody counts."""
    for keys, given in _plans(plan, stages) if costs.carbon is None else ():
        for tier, spec in given.items():
            if isinstance(spec.select, CarbonAwareSpec):
                what = "goes by grams of CO2, which costs.carbon would tell; give it, or take energy"
                yield (*keys, tier, "select", "carbon"), what


def untrained(model: Model, plan: dict[str, TierPlanSpec], stages: tuple[StageSpec, ...]) -> Problems:
    """Modules that travel and that no stage trains; without stages the only one trains all that travels."""
    trained = {name for stage in stages for name in resolve(stage.trainable, model.modules)}
    for keys, given in _plans(plan, stages) if stages else ():
        for tier, spec in given.items():
            for place, pattern in enumerate(spec.modules):
                matched = resolve([pattern], model.modules)
                if matched and not trained.intersection(matched):
                    what = f"no stage trains {pattern}, so nobody has anything to merge; train it, or leave it out here"
                    yield (*keys, tier, "modules", place), what


def plans_for_algorithms(learning: Learning, plan: dict[str, TierPlanSpec], stages: tuple[StageSpec, ...]) -> Problems:
    """Algorithms for plans of a kind (late reports kept, training meanwhile) in a plan without."""
    shared: tuple[Keys, tuple[AlgorithmSpec, ...]] = (("learning", "algorithm"), learning.algorithm)
    cases = [(*shared, plan)] if not stages else []
    for place, stage in enumerate(stages):
        own = None if stage.algorithm is None else (("stages", place, "algorithm"), stage.algorithm)
        if own or stage.data == "own":
            cases.append((*(own or shared), plan if stage.plan is None else stage.plan))
    told = dict[Keys, str]()
    for keys, algorithms, given in cases:
        for name, key, value in needs(algorithms):
            if not any(getattr(spec, key) == value for spec in given.values()):
                told[keys] = f"{name} {WITHOUT[key]}, or choose another algorithm"
    yield from told.items()


def _selection_problems(topology: AnyTopology, tier: str, spec: TierPlanSpec, keys: Keys) -> Problems:
    """More children asked than there are, or waited for than are asked."""
    policy = next((name for name, kind in SELECT.items() if isinstance(spec.select, kind)), "deadline")
    if policy == "deadline":
        return
    children, asked = topology.children.get(tier), getattr(spec.select, policy)
    if children is not None and asked > children:
        yield (*keys, "select", policy), f"a {tier} has {children} children, so it cannot ask {asked}"
    elif isinstance(spec.wait, First) and spec.wait.first > asked:
        yield (*keys, "wait", "first"), f"a {tier} asks {asked} children, so it cannot wait for {spec.wait.first}"


def stage_problems(topology: AnyTopology, data: Data | None, model: Model, stage: StageSpec, keys: Keys) -> Problems:
    """A stage in the wrong place, on data that is not there, or with modules that nobody has."""
    yield from unknown_tier(topology, stage.at, (*keys, "at"))
    yield from pattern_problems(stage.trainable, model, (*keys, "trainable"))
    tasks = getattr(model, "tasks", ())
    for place, task in enumerate(stage.tasks or ()):
        if task not in tasks:
            hint = nearest(task, tasks) or f"; it has {', '.join(tasks)}"
            yield (*keys, "tasks", place), f"the model has no task {task!r}{hint}"
    if stage.objective == "masked":
        yield from _masked_problems(data, model, stage, keys)
    else:
        yield from _frozen_problems(stage.trainable, model, (*keys, "trainable"), "cannot be trained here")
    if stage.at in topology.ranks:
        yield from _place_problems(topology, stage, keys)
    for tier in stage.plan or {}:
        yield from unknown_tier(topology, tier, (*keys, "plan", tier))
    yield from plan_problems(topology, model, stage.plan or {}, (*keys, "plan"))


def _masked_problems(data: Data | None, model: Model, stage: StageSpec, keys: Keys) -> Problems:
    if not isinstance(model, M3TModel):
        yield (*keys, "objective"), "masked needs a model of kind m3t"
    if stage.data != "public":
        yield (*keys, "data"), "a masked stage learns from public data"
    if stage.plan != {}:
        yield (*keys, "plan"), "a masked stage runs in one place, so nobody merges; leave plan out"
    taught = [n for n in resolve(stage.trainable, model.modules) if n.startswith(("head.", "offset."))]
    if taught:
        yield (*keys, "trainable"), f"masked reconstruction does not reach {', '.join(taught)}; leave it out"
    if isinstance(data, CampusData) and not data.public:
        yield ("data", "public"), f"must be > 0, since stage {stage.name!r} learns from public data"


def _place_problems(topology: AnyTopology, stage: StageSpec, keys: Keys) -> Problems:
    leaf, root = topology.ranks[0], topology.ranks[-1]
    if stage.at not in (leaf, root):
        yield (*keys, "at"), f"a {stage.at} has no data; train at {leaf} on own data or at {root} on public data"
    elif stage.at == root and stage.objective != "masked":
        yield (*keys, "objective"), f"the {root} has public data only, which has no targets; give objective: masked"
    elif stage.at == leaf and stage.data == "public":
        yield (*keys, "at"), f"public data is at the {root}, not at a {leaf}"


def _frozen_problems(patterns: Sequence[str], model: Model, keys: Keys, what: str) -> Problems:
    if isinstance(model, M3TModel) and model.trunk.frozen and "trunk" in resolve(patterns, model.modules):
        yield keys, f"trunk is frozen, so it {what}; leave it out, or set model.trunk.frozen: false"
