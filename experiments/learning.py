"""The learning side of a scenario: its data on the tree, its model, who holds which modules, and its learner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from experiments.scenario import Scenario
from experiments.schema.documents import find_file
from experiments.schema.sections import Learning, StageSpec
from experiments.schema.subjects import CampusData, FootprintModel, StarData
from experiments.schema.subjects import LinearModel as LinearSpec
from models.data.samples import Samples, Study
from models.engines import Engine
from models.learner import Learner
from models.linear import LinearModel
from models.m3t import M3T
from models.model import Model, initial, module
from models.objectives import Masked, Objective, Supervised
from models.optimizers import SGD, AdamW, Optimizer
from models.training import Recipe
from simulator.plan import Stage
from topologies.hierarchy import Hierarchy


def study_of(scenario: Scenario) -> tuple[Hierarchy, Study]:
    """The tree with its data; only the tasks that the model has."""
    from experiments.build import hierarchy

    data = scenario.data
    assert not isinstance(scenario.model, FootprintModel)
    if isinstance(data, StarData):
        from models.data.star import star_study

        path = find_file(data.file, Path())
        rosters, study = star_study(
            path, grades=data.grades, minimum=data.minimum, holdout=data.holdout, seed=scenario.seed
        )
        return hierarchy(scenario, rosters), _restricted(study, scenario.model.tasks)
    assert isinstance(data, CampusData)
    from models.data.campus import campus_study

    tree = hierarchy(scenario, None).unfolded()  # students have names
    study = campus_study(
        {leaf: _place(tree, leaf) for leaf in tree.leaves},
        seed=scenario.seed,
        alpha=data.partition.alpha or 1.0,
        partition=data.partition.kind,
        missing_modality=data.missing_modality,
        missing_task=data.missing_task,
        public=data.public,
        test=data.test,
    )
    return tree, _restricted(study, scenario.model.tasks)


def _place(tree: Hierarchy, leaf: str) -> tuple[str, str]:
    """The campus and the classroom of a device; where there is none, the nearest node above stands for both."""
    above = tree.path_up(leaf)[1:]
    room = above[0] if above else leaf
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
    adapters = spec.adapters
    return M3T(
        study.modalities,
        study.tasks,
        width=spec.width,
        layers=spec.trunk.layers,
        heads=spec.trunk.heads,
        hidden=spec.width,
        adapter_width=adapters.width if adapters else 0,
        adapted_layers=adapters.last if adapters else 0,
        offsets=spec.offsets,
    )


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
    return Learner(model, study, holds, recipes, seed=scenario.seed, engine=engine)


def _recipe(learning: Learning, spec: StageSpec, study: Study) -> Recipe:
    o = spec.optimizer or learning.optimizer
    optimizer: Optimizer = AdamW(o.lr, o.weight_decay) if o.name == "adamw" else SGD(o.lr, o.momentum, o.weight_decay)
    objective: Objective = Masked() if spec.objective == "masked" else Supervised()
    largest = max((len(client.train) for client in study.clients.values()), default=2)
    batch_size = max(largest, 2) if learning.batch_size == "full" else int(learning.batch_size)
    return Recipe(objective, optimizer, spec.epochs or learning.local_epochs, batch_size, public=spec.data == "public")


def holdings(
    tree: Hierarchy, model: Model, study: Study, stages: Sequence[Stage], public: set[str]
) -> Mapping[str, frozenset[str]]:
    """Which "module/parameter" names every node that takes part has.

    A client has what its modalities and tasks need. A node above has what reaches it: what it gathers, what it trains
    or is sent from above, and what nobody ever trains (it comes with the software), as far as anybody below has a use
    for it. A node that trains on public data has all of the model that is not somebody's offset.
    """
    keys = tuple(initial(model, 0))
    out: dict[str, frozenset[str]] = {}
    for node in reversed(tree.nodes()):
        tier = tree.tier(node)
        if not any(tier == stage.at or tier in stage.plan for stage in stages):
            continue
        if any(tier == stage.at and stage.name in public for stage in stages):
            out[node] = frozenset(key for key in keys if not key.startswith("offset."))
        elif node in study.clients:
            samples = study.clients[node].train
            out[node] = frozenset(model.held(samples.inputs, samples.targets))
        else:
            reaching = _reaching(tree, tier, stages, {module(key) for key in keys})
            below = frozenset().union(*(out[child] for child in _nearest(tree, node, out)))
            out[node] = frozenset(key for key in below if module(key) in reaching)
    return out


def _reaching(tree: Hierarchy, tier: str, stages: Sequence[Stage], modules: set[str]) -> set[str]:
    ranks = tree.tiers
    reaching = modules - {name for stage in stages for name in stage.trainable}
    for stage in stages:
        reaching |= set(stage.plan[tier].modules if tier in stage.plan else ())
        reaching |= set(stage.trainable if ranks.index(stage.at) <= ranks.index(tier) else ())
    return reaching


def _nearest(tree: Hierarchy, node: str, known: Mapping[str, object]) -> Iterator[str]:
    for child in tree.children(node):
        if child in known:
            yield child
        else:
            yield from _nearest(tree, child, known)
