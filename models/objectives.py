"""What a client minimises."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from models.blocks import Linear
from models.data.samples import Samples, Task
from models.m3t import M3T
from models.model import Model, Nested, Stack, Tensors


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step sees. Stacked, every tensor leads with the client axis (of those who hold it).

    *weight* is 1 for a sample and 0 for padding, ``[clients, batch]``; None when nothing is padded.
    *hidden* says which token of which sample a masked objective hides: ``[..., batch, tokens]`` by modality.
    """

    inputs: Tensors
    targets: Tensors
    hidden: Tensors
    weight: Tensor | None = None


class Objective(Protocol):
    """A loss over one client's batch, or over many clients' at once: the sum of their own mean losses."""

    @property
    def random(self) -> bool:
        """Whether it hides something by lot, so that a sample is not the same each time."""
        ...

    def reach(self, model: Model, samples: Samples) -> Collection[str]:
        """The "module/parameter" names that a loss on such *samples* depends on, if a node holds them."""
        ...

    def hide(self, model: Model, samples: Samples, rows: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Random masks for *rows* samples, drawn from the client's own stream; empty if there are none."""
        ...

    def loss(self, model: Model, params: Nested, batch: Batch, stack: Stack | None = None) -> Tensor:
        """A scalar whose gradient is each client's own gradient, side by side."""
        ...


@dataclass(frozen=True, slots=True)
class Supervised:
    """The sum over tasks of the mean cross-entropy (classes) or mean squared error (numbers)."""

    random: ClassVar = False

    def reach(self, model: Model, samples: Samples) -> Collection[str]:
        """What the model has a use for on these modalities and tasks."""
        return model.held(samples.inputs, samples.targets)

    def hide(self, model: Model, samples: Samples, rows: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Nothing is hidden."""
        return {}

    def loss(self, model: Model, params: Nested, batch: Batch, stack: Stack | None = None) -> Tensor:
        """Summed over clients, each the mean over its own samples."""
        outputs = model.forward(params, batch.inputs, tuple(batch.targets), stack)
        losses = [
            average(per_sample(model.tasks[t], outputs[t], batch.targets[t], stack), batch.weight, f"head.{t}", stack)
            for t in batch.targets
        ]
        return torch.stack(losses).sum()


@dataclass(frozen=True, slots=True)
class Masked:
    """Masked reconstruction (after He et al. 2022): hide some tokens of each sample and predict what was in them.

    A hidden token's content becomes zero before it is encoded; its place stays. A decoder per modality reads what the
    trunk makes of the tokens that are there, as a head would, so that these have to tell of the others. The loss is the
    squared error per number of the hidden parts. Targets are never looked at.
    """

    ratio: float = 0.5
    random: ClassVar = True

    def reach(self, model: Model, samples: Samples) -> Collection[str]:
        """What the model has a use for on these modalities without any task, and their decoders."""
        decoders = [f"decoder.{m}/{name}" for m in samples.inputs for name in ("weight", "bias")]
        return (*model.held(samples.inputs, ()), *decoders)

    def hide(self, model: Model, samples: Samples, rows: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """At least one token of each sample hidden and one kept, about *ratio* of them."""
        assert isinstance(model, M3T)
        sizes = {m: model.encoders[m].tokens for m in samples.inputs}
        total = sum(sizes.values())
        if total < 2:
            raise ValueError("masked pre-training needs samples of two tokens or more: give it another modality")
        count = min(max(round(self.ratio * total), 1), total - 1)
        order = rng.permuted(np.tile(np.arange(total), (rows, 1)), axis=1)
        hidden = torch.from_numpy(order < count)
        return dict(zip(sizes, hidden.split(list(sizes.values()), -1), strict=True))

    def loss(self, model: Model, params: Nested, batch: Batch, stack: Stack | None = None) -> Tensor:
        """Summed over clients and modalities."""
        assert isinstance(model, M3T)
        parts = model.parts(batch.inputs, stack)
        left = {m: part.masked_fill(batch.hidden[m].unsqueeze(-1), 0.0) for m, part in parts.items()}
        tokens, total = model.features(params, left, stack), next(iter(parts.values())).new_zeros(())
        hidden = {m: h if stack is None else stack.spread(f"encoder.{m}", h) for m, h in batch.hidden.items()}
        there = {m: t.masked_fill(hidden[m].unsqueeze(-1), 0.0) if m in hidden else t for m, t in tokens.items()}
        z = model.side_by_side(there)
        for m, part in parts.items():
            own = z if stack is None else stack.take(f"encoder.{m}", z)
            decoder = model.modules[f"decoder.{m}"]
            assert isinstance(decoder, Linear)
            guess = decoder(params[f"decoder.{m}"], own).unflatten(-1, part.shape[-2:])
            error = ((guess - part) ** 2).mean(-1) * batch.hidden[m]
            total = total + average(error.sum(-1), batch.weight, f"encoder.{m}", stack)
        return total


def per_sample(task: Task, output: Tensor, target: Tensor, stack: Stack | None = None) -> Tensor:
    """The loss of each sample: ``[..., batch]``."""
    if not task.classes:
        return (output.squeeze(-1) - target) ** 2
    if stack is not None:  # torch's own is slow on many rows of few classes
        logits = output - output.detach().amax(-1, keepdim=True)
        return logits.exp().sum(-1).log() - logits.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    losses = F.cross_entropy(output.flatten(0, -2), target.flatten(), reduction="none")
    return losses.view_as(target)


def average(losses: Tensor, weight: Tensor | None, name: str, stack: Stack | None) -> Tensor:
    """The mean over one client's samples, or the sum of the means of the clients that hold *name*."""
    if stack is None or weight is None:
        return losses.mean()
    own = stack.take(name, weight)
    return ((losses * own).sum(-1) / own.sum(-1)).sum()


def scores(task: Task, output: Tensor, target: Tensor) -> Mapping[str, float]:
    """How good *output* ``[n, outputs]`` is: accuracy for classes, squared error for numbers (infinite if diverged)."""
    if task.classes:
        return {"accuracy": float((output.argmax(-1) == target).double().mean())}
    error = float(((output.squeeze(-1) - target).double() ** 2).mean())
    return {"mse": error if math.isfinite(error) else math.inf}
