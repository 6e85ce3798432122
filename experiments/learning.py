"""The learning side of a scenario: its data on the tree, its model, who holds which modules, and its learner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from experiments.foundation import foundation, own_module, vqa
from experiments.network import hierarchy
from experiments.scenario import Scenario, resolve
from experiments.schema.adapting import Adapters, ExpertAdapters, LoraAdapters
from experiments.schema.algorithms import FEDAVG, AlgorithmSpec, algorithm_of
from experiments.schema.documents import find_file
from experiments.schema.foundations import HfModel, ModuleModel, VqaData
from experiments.schema.plans import StageSpec
from experiments.schema.sections import Learning
from experiments.schema.subjects import CampusData, DigitsData, FootprintModel, MlpModel, StarData
from experiments.schema.subjects import LinearModel as LinearSpec
from models.adapters import Adaptation, Bottleneck, Experts, LoRA, Prompt
from models.data.samples import Samples, Study
from models.engines import Engine
from models.learner import Learner
from models.linear import LinearModel
from models.m3t import M3T
from models.mlp import MLP
from models.model import Model, keys_of, module
from models.objectives import Masked, Objective, Supervised
from models.optimizers import SGD, AdamW, Optimizer
from models.training import Recipe
from simulator.plan import Stage
from topologies.hierarchy import Hierarchy


def study_of(scenario: Scenario) -> tuple[Hierarchy, Study]:
    """The tree with its data; only the tasks that the model has."""
    data = scenario.data
    assert not isinstance(scenario.model, FootprintModel)
    if isinstance(data, StarData):
        from models.data.star import star_study

        path = find_file(data.file, Path())
        rosters, study = star_study(
            path, grades=data.grades, minimum=data.minimum, holdout=data.holdout, seed=scenario.seed
        )
        return hierarchy(scenario, rosters), _restricted(study, scenario.model.tasks)
    tree = hierarchy(scenario, None)
    if isinstance(data, VqaData):
        return tree, vqa(data, scenario.model, tuple(tree.lowest), scenario.seed)
    if isinstance(data, DigitsData):
        return tree, _restricted(_digits(data, tree, scenario.seed), scenario.model.tasks)
    assert isinstance(data, CampusData)
    from models.data.campus import campus_study

    study = campus_study(
        {leaf: _place(tree, leaf) for leaf in tree.lowest},
        seed=scenario.seed,
        alpha=data.partition.alpha or 1.0,
        partition=data.partition.kind,
        missing_modality=data.missing_modality,
        missing_task=data.missing_task,
        public=data.public,
        test=data.test,
    )
    return tree, _restricted(study, scenario.model.tasks)


def _digits(data: DigitsData, tree: Hierarchy, seed: int) -> Study:
    from models.data.digits import digits_study

    return digits_study(
        tuple(tree.lowest),
        seed=seed,
        alpha=data.partition.alpha or 1.0,
        partition=data.partition.kind,
        copies=data.copies,
        test=data.test,
    )


def _place(tree: Hierarchy, leaf: str) -> tuple[str, str]:
    """The campus and the classroom of a device; where there is none, the nearest node above stands for both."""
    group = tree.group_of(leaf)
    above = tree.path_up(group.parent) if group else tree.path_up(leaf)[1:]
    room = above[0] if above else leaf
    if len(above) == 1 and not group:  # in a star, whoever would share a server shares a classroom
        room = str(tree.attributes(leaf).get("cluster", room))
    campus = next((node for node in above if tree.tier(node) == "campus"), above[-1] if above else leaf)
    return campus, room


def _restricted(study: Study, tasks: Sequence[str]) -> Study:
    def only(samples: Samples) -> Samples:
        return replace(samples, targets={t: samples.targets[t] for t in tasks if t in samples.targets})

    clients = {n: replace(c, train=only(c.train), test=only(c.test)) for n, c in study.clients.items()}
    idle = [node for node, client in clients.items() if not client.train.targets]
    if idle:
        raise ValueError(f"data: {idle[0]} lacks every task of the model; give the model more, or lower missing_task")
    return replace(study, clients=clients, test=only(study.test), tasks={t: study.tasks[t] for t in tasks})


def model_of(scenario: Scenario, study: Study) -> Model:
    """The scenario's model for the study's modalities and tasks."""
    spec = scenario.model
    assert not isinstance(spec, FootprintModel)
    if isinstance(spec, LinearSpec):
        return LinearModel(study.modalities, study.tasks, spec.offsets)
    if isinstance(spec, HfModel):
        return foundation(spec, study, scenario.seed)
    if isinstance(spec, ModuleModel):
        return own_module(spec, study, scenario.seed)
    if isinstance(spec, MlpModel):
        return MLP(study.modalities, study.tasks, spec.hidden)
    return M3T(
        study.modalities,
        study.tasks,
        width=spec.width,
        layers=spec.trunk.layers,
        heads=spec.trunk.heads,
        hidden=spec.width,
        adapters=_adaptation(spec.adapters) if spec.adapters else None,
        prompt=Prompt(spec.prompt.tokens, spec.prompt.last) if spec.prompt else None,
        offsets=spec.offsets,
    )


def _adaptation(spec: Adapters) -> Adaptation:
    if isinstance(spec, LoraAdapters):
        return LoRA(spec.rank, spec.last, spec.alpha, spec.maps)
    if isinstance(spec, ExpertAdapters):
        return Experts(spec.count, spec.rank, spec.last, spec.alpha, spec.maps, spec.top)
    return Bottleneck(spec.width, spec.last)


def learner_of(
    scenario: Scenario, tree: Hierarchy, study: Study, stages: Sequence[Stage], engine: Engine | None = None
) -> Learner:
    """The learner of the whole federation."""
    model = model_of(scenario, study)
    recipes = {
        spec.name: replace(_recipe(scenario.learning, spec, study), trainable=frozenset(stage.trainable))
        for spec, stage in zip(scenario.stages, stages, strict=True)
    }
    holds = holdings(tree, model, study, stages, {name for name, recipe in recipes.items() if recipe.public})
    found = {spec.name: algorithm_of(_algorithms(scenario.learning, spec)) for spec in scenario.stages}
    weighting = scenario.learning.weighting.items()
    uniform = resolve([pattern for pattern, how in weighting if how == "uniform"], tuple(model.modules))
    return Learner(
        model,
        study,
        holds,
        recipes,
        seed=scenario.seed,
        algorithms=found,
        depths=depths(tree),
        uniform=frozenset(uniform),
        start=_start(scenario.learning),
        engine=engine,
    )


def _algorithms(learning: Learning, spec: StageSpec) -> tuple[AlgorithmSpec, ...]:
    if spec.algorithm is not None:
        return spec.algorithm
    return FEDAVG if spec.data == "public" else learning.algorithm


def depths(tree: Hierarchy) -> dict[str, int]:
    """How many links every node and member of a group is below the root."""
    out = {tree.root: 0}
    for node in tree.nodes():
        parent = tree.parent(node)
        if parent is not None:
            out[node] = out[parent] + 1
    return out | {member: out[group.parent] + 1 for group in tree.groups() for member in tree.members(group)}


def _start(learning: Learning) -> dict[str, Tensor] | None:
    """The weights to begin with, if the scenario names a file of them. Raises ValueError."""
    if learning.start is None:
        return None
    path = find_file(learning.start, Path())
    try:
        found = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        raise ValueError(f"learning.start: {path} is no file of weights as torch.save writes it") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"learning.start: {path} must hold a dictionary of tensors by module/parameter")
    for key, value in found.items():
        if value.dtype != torch.float32 or not bool(value.isfinite().all()):
            raise ValueError(f"learning.start: {key} must hold finite numbers of type float32, got {value.dtype}")
    return found


def _recipe(learning: Learning, spec: StageSpec, study: Study) -> Recipe:
    o = spec.optimizer or learning.optimizer
    optimizer: Optimizer = AdamW(o.lr, o.weight_decay) if o.name == "adamw" else SGD(o.lr, o.momentum, o.weight_decay)
    objective: Objective = Masked() if spec.objective == "masked" else Supervised()
    largest = max((len(client.train) for client in study.clients.values()), default=2)
    batch_size = max(largest, 2) if learning.batch_size == "full" else int(learning.batch_size)
    epochs = spec.epochs or learning.local_epochs
    tasks = None if spec.tasks is None else frozenset(spec.tasks)
    return Recipe(objective, optimizer, epochs, batch_size, public=spec.data == "public", clip=o.clip, tasks=tasks)


def holdings(
    tree: Hierarchy, model: Model, study: Study, stages: Sequence[Stage], public: set[str]
) -> Mapping[str, frozenset[str]]:
    """Which "module/parameter" names every node that takes part has.

    A client has what its modalities and tasks need. A node above has what reaches it: what it gathers, what it trains
    or is sent from above, and what nobody ever trains (it comes with the software), as far as anybody below has a use
    for it. A node that trains on public data has all of the model that is not somebody's offset.
    """
    keys = tuple(keys_of(model))
    out: dict[str, frozenset[str]] = {}

    @cache
    def held(inputs: tuple[str, ...], targets: tuple[str, ...]) -> frozenset[str]:
        return frozenset(model.held(inputs, targets))

    for node, tier in _from_below(tree):
        if not any(tier == stage.at or tier in stage.plan for stage in stages):
            continue
        if any(tier == stage.at and stage.name in public for stage in stages):
            out[node] = frozenset(key for key in keys if not key.startswith("offset."))
        elif node in study.clients:
            samples = study.clients[node].train
            out[node] = held(tuple(samples.inputs), tuple(samples.targets))
        else:
            reaching = _reaching(tree, tier, stages, {module(key) for key in keys})
            below = frozenset().union(*{out[child] for child in _nearest(tree, node, out)})
            out[node] = frozenset(key for key in below if module(key) in reaching)
    return out


def _from_below(tree: Hierarchy) -> Iterator[tuple[str, str]]:
    """Every node and member of a group, with its tier: children before parents."""
    for group in tree.groups():
        yield from ((member, group.tier) for member in tree.members(group))
    for node in reversed(tree.nodes()):
        yield node, tree.tier(node)


def _reaching(tree: Hierarchy, tier: str, stages: Sequence[Stage], modules: set[str]) -> set[str]:
    ranks = tree.tiers
    reaching = modules - {name for stage in stages for name in stage.trainable}
    for stage in stages:
        reaching |= set(stage.plan[tier].modules if tier in stage.plan else ())
        reaching |= set(stage.trainable if ranks.index(stage.at) <= ranks.index(tier) else ())
    return reaching


def _nearest(tree: Hierarchy, node: str, known: Mapping[str, object]) -> Iterator[str]:
    for child in tree.below(node):
        if not isinstance(child, str):
            yield from (member for member in tree.members(child) if member in known)
        elif child in known:
            yield child
        else:
            yield from _nearest(tree, child, known)
