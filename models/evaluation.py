"""Scores of many models on held-out samples, stacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.data.samples import Samples
from models.model import Model, Tensors, nest
from models.objectives import scores
from models.stacked import Weights, fitting
from models.training import Job

WIDTH, FLOATS = 32, 4_000_000  # samples per batch; weights stacked at a time


@dataclass(frozen=True, slots=True)
class Score:
    """One figure of one node: *value* of *name* (accuracy, mse) on *task*."""

    node: str
    task: str
    modality: str
    split: str
    group: str
    name: str
    value: float


Predict = Callable[[Model, Sequence[tuple[Tensors, Samples]], frozenset[str]], list[dict[str, Tensor]]]


def evaluate(
    model: Model,
    jobs: Sequence[tuple[str, Tensors, Samples, tuple[str, ...]]],
    predict: Predict,
    trainable: frozenset[str],
) -> list[Score]:
    """The scores of each (node, weights, samples, tasks) by what *predict* puts out; its own modalities only."""
    outputs = predict(model, [(tensors, samples) for _, tensors, samples, _ in jobs], trainable)
    return [
        Score(node, task, "all", "test", "all", name, value)
        for (node, _, samples, tasks), output in zip(jobs, outputs, strict=True)
        for task in tasks
        for name, value in scores(model.tasks[task], output[task], samples.targets[task]).items()
    ]


def predict(model: Model, jobs: Sequence[tuple[Tensors, Samples]], chunk: int | None = None) -> list[dict[str, Tensor]]:
    """Outputs ``[n, outputs]`` by task of each (weights, samples), *chunk* batches stacked at a time."""
    pieces = [(i, start) for i, (_, samples) in enumerate(jobs) for start in range(0, len(samples), WIDTH)]
    out: list[dict[str, list[Tensor]]] = [{} for _ in jobs]
    chunk = chunk or fitting(max((sum(t.numel() for t in tensors.values()) for tensors, _ in jobs), default=1), FLOATS)
    for first in range(0, len(pieces), chunk):
        some = pieces[first : first + chunk]
        for (i, start), output in zip(some, _chunk(model, jobs, some), strict=True):
            rows = min(WIDTH, len(jobs[i][1]) - start)
            for task, values in output.items():
                out[i].setdefault(task, []).append(values[:rows])
    return [{task: torch.cat(parts) for task, parts in output.items()} for output in out]


def _chunk(
    model: Model, jobs: Sequence[tuple[Tensors, Samples]], pieces: Sequence[tuple[int, int]]
) -> list[dict[str, Tensor]]:
    """The outputs of some batches, each padded to one width with copies of its first sample."""
    inputs: list[dict[str, Tensor]] = []
    for i, start in pieces:
        rows = torch.arange(start, start + WIDTH)
        rows[rows >= len(jobs[i][1])] = start
        inputs.append({m: x[rows] for m, x in jobs[i][1].inputs.items()})
    own = [Job("", jobs[i][0], jobs[i][1], 0, 0) for i, _ in pieces]
    values, stack = Weights.of(own, frozenset()).first(len(own))
    there = {m: [x[m] for x in inputs if m in x] for m in model.shapes}
    stackeds = {m: torch.stack(x) for m, x in there.items() if x}
    with torch.no_grad():
        tasks = [t for t in model.tasks if f"head.{t}/weight" in values]
        outputs = model.forward(nest(values), stackeds, tasks, stack)
    held = {t: [k for k, (i, _) in enumerate(pieces) if f"head.{t}/weight" in jobs[i][0]] for t in tasks}
    out: list[dict[str, Tensor]] = [{} for _ in pieces]
    for task in tasks:
        for row, k in enumerate(held[task]):
            out[k][task] = outputs[task][row]
    return out
