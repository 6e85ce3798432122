"""Small federations for the tests of learning: three modalities, three tasks, some missing."""

from types import SimpleNamespace

import numpy as np
import torch

from models import M3T, Client, Samples, Study, Task
from models.adapters import Bottleneck
from models.model import initial, module
from models.training import Job

SHAPES = {"handwriting": (8, 8), "clickstream": (12, 8), "record": (12,)}
TASKS = {"answer": Task("answer", 10), "engagement": Task("engagement", 4), "outcome": Task("outcome")}
MODEL = M3T(SHAPES, TASKS, width=16, hidden=16, heads=2, adapters=Bottleneck(4), offsets=("campus", "classroom"))
FEDERATED = tuple(name for name in MODEL.modules if not name.startswith(("trunk", "decoder")))


def samples(rng, n, modalities=tuple(SHAPES), tasks=tuple(TASKS), dtype=torch.float32):
    inputs = {m: torch.tensor(rng.normal(size=(n, *SHAPES[m])), dtype=dtype) for m in modalities}
    targets = {
        t: torch.tensor(rng.integers(0, TASKS[t].classes, n))
        if TASKS[t].classes
        else torch.tensor(rng.normal(size=n), dtype=dtype)
        for t in tasks
    }
    return Samples(inputs, targets)


def held(i):
    """Who lacks what: every fifth a modality, every seventh a task."""
    modalities = [m for j, m in enumerate(SHAPES) if not (i % 5 == 1 and j == i % 3)]
    tasks = [t for j, t in enumerate(TASKS) if not (i % 7 == 2 and j == i % 3)]
    return modalities, tasks


def jobs(count, *, dtype=torch.float32, decoders=False, seed=0):
    """Local trainings of clients that differ in weights, sizes, modalities and tasks; one trunk is shared by all."""
    rng, start = np.random.default_rng(seed), initial(MODEL, 0, dtype)
    out = []
    for i in range(count):
        modalities, tasks = held(i)
        keys = set(MODEL.held(modalities, tasks))
        if decoders:
            keys |= {f"decoder.{m}/{p}" for m in modalities for p in ("weight", "bias")}
        own = {
            key: value + 0.1 * torch.tensor(rng.normal(size=value.shape), dtype=dtype)
            if module(key) != "trunk"
            else value
            for key, value in start.items()
            if key in keys
        }
        out.append(Job(f"n{i}", own, samples(rng, int(rng.integers(3, 41)), modalities, tasks, dtype), 5, i))
    return out


def study(nodes, seed=0, public=12):
    """Data for these nodes, those of `held` missing."""
    rng = np.random.default_rng(seed)
    clients = {}
    for i, node in enumerate(nodes):
        modalities, tasks = held(i)
        sizes = int(rng.integers(3, 20)), int(rng.integers(2, 9))
        clients[node] = Client(*(samples(rng, n, modalities, tasks) for n in sizes))
    return Study(SHAPES, TASKS, clients, samples(rng, 40), samples(rng, public, tasks=()))


def stage(name, at, trainable, plan):
    return SimpleNamespace(name=name, at=at, trainable=tuple(trainable), plan=plan)
