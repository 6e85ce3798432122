"""Models with every kind of adapter and a prompt, and clients for them, for the tests of adapters and of cuts."""

from dataclasses import replace

import federations
import numpy as np
import torch
from federations import MODEL

from models import Recipe, Supervised
from models.adapters import MAPS, Bottleneck, Experts, LoRA, Prompt
from models.model import initial, module

HEADS = ("head.answer", "head.engagement", "head.outcome")
DEEP = replace(MODEL, layers=3, adapters=None)
BOTTLENECKS = replace(DEEP, adapters=Bottleneck(4, last=2))
PROMPTED = replace(DEEP, adapters=Bottleneck(4, last=1), prompt=Prompt(3))
LORA = replace(DEEP, adapters=LoRA(2, last=2, alpha=3.0), prompt=Prompt(2, last=1))
NARROW = replace(DEEP, adapters=LoRA(1, last=1, maps=MAPS))
EXPERTS = replace(DEEP, adapters=Experts(3, 2, last=2, maps=("qkv", "down")))
TOP = replace(DEEP, adapters=Experts(3, 1, last=1, maps=("up",), top=2), prompt=Prompt(1))
ONE = replace(DEEP, adapters=Experts(1, 1, last=1))
MODELS = [BOTTLENECKS, PROMPTED, LORA, NARROW, EXPERTS, TOP, ONE]


def clients(model, count, dtype=torch.float32, seed=0):
    """The jobs of `federations` for *model*, whose weights but the trunk's differ from client to client."""
    rng, start = np.random.default_rng(seed), initial(model, 0, dtype)
    out = []
    for job in federations.jobs(count, dtype=dtype, seed=seed):
        keys = model.held(job.samples.inputs, job.samples.targets)
        noise = {key: 0.1 * torch.tensor(rng.normal(size=start[key].shape), dtype=dtype) for key in keys}
        frozen = ("trunk", "encoder")
        own = {k: start[k] if module(k).startswith(frozen) else start[k] + noise[k] for k in keys}
        out.append(replace(job, tensors=own))
    return out


def recipe(trainable, optimizer, epochs=2):
    return Recipe(Supervised(), optimizer, epochs=epochs, batch_size=8, trainable=frozenset(trainable))


def apart(one, other):
    """The largest difference of any weight, relative to the largest weight of its tensor."""
    return max(
        float((value - other[key]).abs().max() / max(float(value.abs().max()), 1e-3)) for key, value in one.items()
    )
