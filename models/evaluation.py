"""Scores of many models on held-out samples, stacked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.choosing import Chooser, Load
from models.data.samples import Samples
from models.model import Model, Tensors, predictable
from models.objectives import per_sample, scores
from models.stacks import Weights

WIDTH = 32  # samples per batch
ROOM = 8  # times the bytes of weights and inputs: what a prediction may take


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


def mean_loss(model: Model, tensors: Tensors, samples: Samples, predict: Predict, trainable: frozenset[str]) -> Tensor:
    """The sum over tasks of the mean loss on *samples*, one number."""
    (output,) = predict(model, [(tensors, samples)], trainable)
    losses = [per_sample(model.tasks[task], output[task], samples.targets[task]).mean() for task in output]
    return torch.stack(losses).sum()


def predict(
    model: Model, jobs: Sequence[tuple[Tensors, Samples]], chunk: int | None = None, chooser: Chooser | None = None
) -> list[dict[str, Tensor]]:
    """Outputs ``[n, outputs]`` by task of each (weights, samples), *chunk* batches stacked at a time.

    Without *chunk*, as many as *chooser* finds best. The numbers depend on neither.
    """
    out: list[dict[str, list[Tensor]]] = [{} for _ in jobs]
    chooser, chunk = chooser or Chooser(), chunk if getattr(model, "stackable", True) else 1
    for queue in _alike(model, jobs):
        load = _load(model, *jobs[queue[0][0]])
        while queue:
            count = chunk or chooser.size(load, len(queue))
            some, queue = queue[:count], queue[count:]
            with chooser.running(load, len(some), len(some)):
                outputs = _chunk(model, jobs, some)
            for (i, start), output in zip(some, outputs, strict=True):
                for task, values in output.items():
                    out[i].setdefault(task, []).append(values[: len(jobs[i][1]) - start])
    return [{task: torch.cat(parts) for task, parts in output.items()} for output in out]


def _alike(model: Model, jobs: Sequence[tuple[Tensors, Samples]]) -> Iterable[list[tuple[int, int]]]:
    """The batches (job, first sample) that may share a stack."""
    groups: dict[object, list[tuple[int, int]]] = {}
    for i, (tensors, samples) in enumerate(jobs):
        own = () if getattr(model, "ragged", True) else (tuple(tensors), tuple(samples.inputs))
        groups.setdefault(own, []).extend((i, start) for start in range(0, len(samples), WIDTH))
    return [group for group in groups.values() if group]


def _load(model: Model, tensors: Tensors, samples: Samples) -> Load:
    weights = sum(t.numel() * t.element_size() for t in tensors.values())
    inputs = WIDTH * sum(x[:1].numel() * x.element_size() for x in samples.inputs.values())
    return Load.of("predict", (type(model),), ROOM * (weights + inputs), weights, 0)


def _chunk(
    model: Model, jobs: Sequence[tuple[Tensors, Samples]], pieces: Sequence[tuple[int, int]]
) -> list[dict[str, Tensor]]:
    """The outputs of some batches, each padded to one width with copies of its first sample."""
    inputs: list[dict[str, Tensor]] = []
    for i, start in pieces:
        rows = torch.arange(start, start + WIDTH)
        rows[rows >= len(jobs[i][1])] = start
        inputs.append({m: x[rows] for m, x in jobs[i][1].inputs.items()})
    front = Weights.of([jobs[i][0] for i, _ in pieces]).first(len(pieces))
    there = {m: [x[m] for x in inputs if m in x] for m in model.shapes}
    stackeds = {m: torch.stack(x) for m, x in there.items() if x}
    tasks = [t for t in model.tasks if f"head.{t}" in front.params]
    with torch.no_grad():
        outputs = model.forward(front.params, stackeds, tasks, front.stack)
    own_tasks = [predictable(tasks, jobs[i][0]) for i, _ in pieces]
    out: list[dict[str, Tensor]] = [{} for _ in pieces]
    for task in tasks:
        holders = [k for k, some in enumerate(own_tasks) if task in some]
        for row, k in enumerate(holders):
            out[k][task] = outputs[task][row]
    return out
