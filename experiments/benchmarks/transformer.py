"""A frozen transformer at 40 clients, and what its kept front saves, beside the plain loop of `models/training.py`.

Width 256, 4 layers, 64 tokens, adapters of 32 units, a head of 4 classes, plain SGD; 16 samples a client in 2 batches
of 8; 20 local trainings of every client, each from the weights of the one before. Encoder and trunk are frozen. Trained
are the head and adapters in all layers, the head and the last layer's adapter, or the head alone. What is kept is
computed in the first training, which counts in full. Trainings of one kind are alike: of the plain loop one of the 20
is run, and with adapters in all layers one more after the first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from models.adapters import Bottleneck
from models.data.samples import Samples, Task
from models.engines import Engine, Inline, Plain
from models.m3t import M3T
from models.model import initial
from models.objectives import Supervised
from models.optimizers import SGD
from models.training import Job, Recipe

CLIENTS, WIDTH, LAYERS, TOKENS, UNITS, CLASSES = 40, 256, 4, 64, 32, 4
SAMPLES, BATCH, PASSES, FEATURES = 16, 8, 20, 48
KINDS: dict[str, tuple[int, tuple[str, ...]]] = {  # adapted layers, and what trains
    "all_layers": (LAYERS, ("adapter", "head.answer")),
    "last_layer": (1, ("adapter", "head.answer")),
    "heads": (1, ("head.answer",)),
}
LONG = {"all_layers": 2}  # trainings that stand for all 20
GOALS = {"all_layers_ratio": 1 / 1.1, "last_layer_ratio": 1 / 10, "heads_ratio": 1 / 15}  # of the plain loop's time


def model(adapted_layers: int) -> M3T:
    """The transformer; its encoder makes a token of each of 64 parts of a sample."""
    return M3T(
        {"image": (TOKENS, FEATURES)},
        {"answer": Task("answer", CLASSES)},
        width=WIDTH,
        layers=LAYERS,
        hidden=WIDTH,
        adapters=Bottleneck(UNITS, adapted_layers),
        tokens={"image": TOKENS},
    )


def jobs(net: M3T) -> list[Job]:
    """Clients with the same weights and data of their own."""
    rng, start = torch.Generator().manual_seed(0), initial(net, 0)
    tensors = {key: start[key] for key in net.held(["image"], ["answer"])}
    out = []
    for i in range(CLIENTS):
        x = torch.randn(SAMPLES, TOKENS, FEATURES, generator=rng)
        y = torch.randint(0, CLASSES, (SAMPLES,), generator=rng)
        out.append(Job(f"client{i}", tensors, Samples({"image": x}, {"answer": y}), 0, 0))
    return out


def seconds(engine: Engine, net: M3T, work: Sequence[Job], recipe: Recipe, passes: int) -> list[float]:
    """Of the processor, for each of so many local trainings of all clients."""
    out = []
    for step in range(passes):
        began = time.process_time()
        results = engine.train_all(net, work, recipe)
        out.append(time.process_time() - began)
        work = [replace(job, tensors=own, step=step + 1) for job, own in zip(work, results, strict=True)]
    return out


def ratio(kind: str, times: int) -> tuple[float, float]:
    """Seconds of 20 trainings with the front cut off and kept, and of the plain loop; the best of so many *times*."""
    layers, trainable = KINDS[kind]
    net = model(layers)
    work, recipe = jobs(net), Recipe(Supervised(), SGD(0.01), 1, BATCH, frozenset(trainable))
    plain, kept = [], []
    for _ in range(times):
        plain += seconds(Plain(), net, work, recipe, 1)
        first, *later = seconds(Inline(), net, work, recipe, LONG.get(kind, PASSES))
        kept.append(first + sum(later) * (PASSES - 1) / len(later))
    return min(kept), PASSES * min(plain)


def figures() -> dict[str, float]:
    """Seconds of both, and how many times as fast the cut model is."""
    torch.set_num_threads(1)
    out: dict[str, float] = {}
    for kind in KINDS:
        kept, plain = ratio(kind, 2 if kind in LONG else 3)
        out |= {
            f"{kind}_seconds": round(kept, 2),
            f"{kind}_plain_seconds": round(plain, 1),
            f"{kind}_ratio": round(kept / plain, 4),
            f"{kind}_times_as_fast": round(plain / kept, 2),
        }
    return out
