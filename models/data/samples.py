"""Samples of several modalities with targets of several tasks, and who holds which of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Task:
    """What a head predicts: one of *classes* classes, or a number where *classes* is 0."""

    name: str
    classes: int = 0

    @property
    def outputs(self) -> int:
        """How many numbers a head of this task puts out."""
        return self.classes or 1


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples: per modality ``[n, *shape]`` (float32), per task its targets ``[n]`` (int64 classes or float32)."""

    inputs: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        sizes = {len(t) for t in (*self.inputs.values(), *self.targets.values())}
        if len(sizes) > 1:
            raise ValueError(f"samples: every modality and task needs the same number of rows, got {sorted(sizes)}")

    def __len__(self) -> int:
        for values in (*self.inputs.values(), *self.targets.values()):
            return int(values.shape[0])
        return 0


@dataclass(frozen=True, slots=True)
class Client:
    """One node's own data: only the modalities and tasks that it has."""

    train: Samples
    test: Samples


@dataclass(frozen=True, slots=True)
class Study:
    """A whole federation's data.

    *clients* by node name; *test* is held out and covers everything, for the models above the devices;
    *public* is open data for pre-training, without targets that a federated task uses.
    """

    modalities: Mapping[str, tuple[int, ...]]
    tasks: Mapping[str, Task]
    clients: Mapping[str, Client]
    test: Samples
    public: Samples | None = None
