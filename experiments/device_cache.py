"""Devices that keep what the frozen front of a model makes of their samples, and what that costs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from experiments.workload import LearningWorkload, Seen
from models.counting import Cost
from models.evaluation import WIDTH
from models.federation.asked import Asked
from models.footprint import features, front_pass
from models.learner import Learner
from models.model import Cut, Cuttable, Model
from models.states import State
from models.training import Recipe, trainable_keys
from simulator.plan import Stage


class CachingWorkload(LearningWorkload):
    """As its base, but in a stage in which a model's front is frozen, a device runs it once.

    Its first training of the stage takes one pass of all its samples through the front (in batches of 32) on top; what
    comes out stays in its memory, for all later ones, and training reads it in place of the samples. An interrupted
    first training has kept nothing. What is learned is the same to the bit.
    """

    def __init__(self, learner: Learner, payload: int | None = None) -> None:
        super().__init__(learner, payload)
        self._filled: set[str] = set()  # who has its features, this stage

    def enter(self, stage: Stage) -> None:
        """Another front, other features."""
        super().enter(stage)
        self._filled = set()

    def train(self, node: str, state: State, step: int) -> State:
        """From now on its features are there."""
        if node not in self._filled:
            self._filled.add(node)
            for what in ("train", "evaluate"):  # either may have been asked for before
                self._work.pop((node, what), None)
        return super().train(node, state, step)

    def _seen(self, node: str, recipe: Recipe) -> Seen:
        """The rest on what the front gives, cut where the stage cuts, whatever part of it an algorithm trains first."""
        whole, cut = super()._seen(node, recipe), cut_of(self.learner.model, recipe)
        if cut is None or not trainable_keys(whole.held, recipe):  # who trains nothing keeps nothing
            return whole
        return Seen(cut.rest, frozenset(filter(cut.remains, whole.held)), features(cut, whole.samples), cut.name)

    def _asked(self, node: str, recipe: Recipe, asked: Asked) -> Cost:
        cost, seen, whole = super()._asked(node, recipe, asked), self._seen(node, recipe), super()._seen(node, recipe)
        if not seen.rest_of:
            return cost
        if node not in self._filled:
            cost += self._front(whole, recipe)
        nbytes = sum(value.numel() * value.element_size() for value in seen.samples.inputs.values())
        return replace(cost, memory_bytes=cost.memory_bytes + nbytes)

    def _front(self, whole: Seen, recipe: Recipe) -> Cost:
        """One pass of all samples through what comes before the cut."""
        cut = cut_of(whole.model, recipe)
        assert cut is not None

        def front(rows: int) -> Cost:
            return front_pass(cut, whole.model, whole.held, whole.samples, rows)

        return self._passes(len(whole.samples), WIDTH, ("front", cut.name, *whole.kind), front)


def cut_of(model: Model, recipe: Recipe) -> Cut | None:
    """Where *model* is cut when clients train by *recipe*; None where nothing comes out the same every time."""
    if recipe.objective.random or not isinstance(model, Cuttable):
        return None
    return model.cut(recipe.trainable)


def refuse_useless(model: Model, recipes: Sequence[Recipe]) -> None:
    """ValueError where no stage leaves anything to keep."""
    if not any(cut_of(model, recipe) for recipe in recipes):
        raise ValueError(
            "learning.device_cache: in no stage is there anything to keep (encoders train, the objective is random, "
            "or the model cannot be cut); leave it out"
        )
