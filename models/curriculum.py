"""What every node trains: by which recipe, on which samples, which modules, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import NamedTuple, Protocol

from models.data.samples import Samples, Study
from models.federation.algorithm import FEDAVG, Algorithm
from models.training import Recipe


class StageLike(Protocol):
    """What a learner needs to know of a stage."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def trainable(self) -> tuple[str, ...]: ...  # noqa: D102


class Routine(NamedTuple):
    """What a node's trainings of one stage have in common."""

    samples: Samples
    votes: int
    ballots: tuple[str, ...]


class Curriculum:
    """Recipes and algorithms by stage name, and the stage that it is in.

    *allowed* gives, by stage and node, the modules that a node can train where it cannot train all: in that stage it
    has no say in the others and does not send them.
    """

    def __init__(self, study: Study, recipes: Mapping[str, Recipe], algorithms: Mapping[str, Algorithm] | None) -> None:
        self.study, self._recipes, self._algorithms = study, recipes, algorithms or {}
        self.allowed: Mapping[tuple[str, str], frozenset[str]] = {}
        self._parts: dict[tuple[str, frozenset[str]], Samples] = {}  # by node and tasks
        self._leave()

    def _leave(self) -> None:
        self.stage, self.algorithm = "", FEDAVG
        self._recipe: Recipe | None = None
        self.routines: dict[str, Routine] = {}  # of those that have trained in this stage

    def enter(self, stage: StageLike) -> None:
        """From now on it is *stage*."""
        self._leave()
        self.stage, self.algorithm, self._recipe = stage.name, self.algorithm_in(stage), self.recipe_in(stage)

    def apart(self) -> Curriculum:
        """The same before any stage."""
        twin = copy(self)
        twin._leave()
        return twin

    @property
    def recipe(self) -> Recipe:
        """How clients train in this stage."""
        if self._recipe is None:
            raise ValueError("the learner has not entered a stage yet")
        return self._recipe

    def recipe_in(self, stage: StageLike) -> Recipe:
        """How clients train in *stage*."""
        return replace(self._recipes[stage.name], trainable=frozenset(stage.trainable))

    def algorithm_in(self, stage: StageLike) -> Algorithm:
        """How they learn together in *stage*."""
        return self._algorithms.get(stage.name, FEDAVG)

    def recipe_of(self, node: str) -> Recipe:
        """How *node* trains in this stage."""
        trainable = self.trains(node)
        return self.recipe if trainable is self.recipe.trainable else replace(self.recipe, trainable=trainable)

    def trains(self, node: str) -> frozenset[str]:
        """The modules that *node* trains in this stage, if it trains at all: none without a task of the stage's."""
        if self.recipe.tasks is not None and node in self.study.clients and not self.samples(node).targets:
            return frozenset()
        allowed = self.allowed.get((self.stage, node))
        return self.recipe.trainable if allowed is None else self.recipe.trainable & allowed

    def untrained(self, node: str) -> frozenset[str]:
        """What this stage trains, but not at *node*, which could."""
        limited = (self.stage, node) in self.allowed or node in self.study.clients
        return self.recipe.trainable - self.trains(node) if limited else frozenset()

    def samples(self, node: str, recipe: Recipe | None = None) -> Samples:
        """What *node* trains on in this stage, or by another *recipe*. Raises ValueError without public samples."""
        recipe = recipe or self.recipe
        data = self.study.public if recipe.public else self.study.clients[node].train
        if data is None:
            raise ValueError(f"stage data: public, but the study has no public samples for {node}")
        if recipe.tasks is None or recipe.tasks >= data.targets.keys():
            return data
        key = (node, recipe.tasks)
        if key not in self._parts:  # one object for all trainings, by which others know it again
            targets = {task: values for task, values in data.targets.items() if task in recipe.tasks}
            self._parts[key] = Samples(data.inputs, targets)
        return self._parts[key]

    def taught(self, node: str) -> bool:
        """Whether it has samples in this stage, of its own or public ones."""
        return self.recipe.public or node in self.study.clients

    def personal(self, node: str) -> bool:
        """Whether it may have weights of its own to be scored by: it has trained, or could on its own samples."""
        own = node in self.study.clients and not self.recipe.public
        return node in self.routines or (own and bool(self.trains(node)))
