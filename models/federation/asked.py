"""What a local rule asks of a trainer, noted and not run: for counting what it costs."""

from __future__ import annotations

from collections.abc import Mapping

from models.data.samples import Samples
from models.model import Tensors
from models.promises import Ghost
from models.training import Job, Recipe


class Asked:
    """The recipes of the trainings that were asked for, each with the modules that train, and how many losses.

    *kept* is what the node has beside its weights then, by name.
    """

    def __init__(self) -> None:
        self.kept: Mapping[str, Tensors] = {}
        self.recipes: list[tuple[Recipe, frozenset[str]]] = []
        self.losses = 0

    def promise(self, job: Job, part: int, recipe: Recipe) -> Tensors:
        """Note a training."""
        self.recipes.append((recipe, job.trains(recipe)))
        return Ghost(job.tensors)

    def loss(self, tensors: Tensors, samples: Samples) -> Tensors:
        """Note a loss."""
        self.losses += 1
        return Ghost(("value",))
