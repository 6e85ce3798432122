"""Who does the learner's computing: one small protocol, so that a learner does not care where its jobs run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from models import evaluation, stacked, training
from models.data.samples import Samples
from models.model import Model, Tensors
from models.training import Job, Recipe


class Engine(Protocol):
    """Runs trainings and predictions. Which engine, and how it divides the work, changes no bit of the results."""

    def train_all(self, model: Model, jobs: Sequence[Job], recipe: Recipe) -> list[dict[str, Tensor]]:
        """The weights after each job."""
        ...

    def predict(
        self, model: Model, jobs: Sequence[tuple[Tensors, Samples]], trainable: frozenset[str]
    ) -> list[dict[str, Tensor]]:
        """Outputs ``[n, outputs]`` by task of each (weights, samples); only modules in *trainable* change at present."""
        ...

    def report(self) -> dict[str, Any]:
        """What a run's manifest says of it: its name, and what it did."""
        ...

    def close(self) -> None:
        """Give back what it holds: processes, files."""
        ...


class Inline:
    """In this process, *chunk* clients stacked at a time (None: as many as fit)."""

    def __init__(self, chunk: int | None = None) -> None:
        self.chunk = chunk

    def train_all(self, model: Model, jobs: Sequence[Job], recipe: Recipe) -> list[dict[str, Tensor]]:
        """The weights after each job."""
        return stacked.train_all(model, jobs, recipe, self.chunk)

    def predict(
        self, model: Model, jobs: Sequence[tuple[Tensors, Samples]], trainable: frozenset[str]
    ) -> list[dict[str, Tensor]]:
        """Outputs by task of each (weights, samples)."""
        return evaluation.predict(model, jobs, self.chunk)

    def report(self) -> dict[str, Any]:
        """Its name."""
        return {"engine": "inline"}

    def close(self) -> None:
        """Nothing to give back."""


class Plain(Inline):
    """One client after the other in plain PyTorch: the twin, equal to 1e-9 in float64, not to the bit."""

    def train_all(self, model: Model, jobs: Sequence[Job], recipe: Recipe) -> list[dict[str, Tensor]]:
        """The weights after each job."""
        return training.train_all(model, jobs, recipe)
