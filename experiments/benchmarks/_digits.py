"""Digits on a star of like devices: the scenario, and what else can train the same clients to the same weights.

The limit is stacked training and nothing else: no clock, no network, no records, no names. The plain loop is what one
writes first: a module, an optimizer and a loop over batches for every client.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from experiments.build import Built, build
from experiments.scenario import Scenario
from experiments.simulation import simulated
from models.data.samples import Study
from models.training import batches
from simulator.records import Log

ROUNDS, SAMPLED, BATCH, RATE, SEED = 20, 100, 16, 0.1, 1
NAMES = ("encoder.image/0.weight", "encoder.image/0.bias", "head.digit/weight", "head.digit/bias")


def built(clients: int = SAMPLED, hidden: int = 128, *, grouped: bool = True) -> Built:
    """FedAvg over 20 rounds of one epoch, 100 *clients* a round; each has 14 digits on average, however many there are.

    The cloud's model is scored once, at the end, and all get it in a closing broadcast.
    """
    plan: dict[str, Any] = {"modules": ["*"], "rounds": ROUNDS}
    if clients > SAMPLED:
        plan["select"] = {"random": SAMPLED}
    topology = {"kind": "star", "clients": clients, "device": "android_tablet_budget", "grouped": grouped}
    scenario = {
        "title": f"Digits at {clients} devices on one star",
        "seed": SEED,
        "topology": topology,
        "data": {"source": "digits", "partition": {"kind": "dirichlet", "alpha": 0.5}, "copies": clients // SAMPLED},
        "model": {"kind": "mlp", "hidden": [hidden]},
        "plan": {"cloud": plan},
        "learning": {"optimizer": {"name": "sgd", "lr": RATE}, "local_epochs": 1, "batch_size": BATCH},
        "evaluate": {"every": ROUNDS, "tiers": ["cloud"], "moments": ["after_merge"]},
        "plots": False,
    }
    torch.set_num_threads(1)
    return build(Scenario.model_validate(scenario))


def simulation(ready: Built) -> Log:
    """The run of the scenario, with its clock, energy and records; learned by its end, since it is scored."""
    log = Log()
    simulated(ready, log)
    return log


def limit(study: Study, weights: list[Tensor]) -> list[Tensor]:
    """All clients of every round at once: weights have a client axis, and who has no batch left is at the end."""
    names = list(study.clients)
    data = [study.clients[name].train for name in names]
    x = torch.cat([samples.inputs["image"] for samples in data])
    y = torch.cat([samples.targets["digit"] for samples in data])
    sizes = np.array([len(samples) for samples in data])
    order, first = np.argsort(-sizes, kind="stable"), np.cumsum(sizes) - sizes
    say = torch.from_numpy(sizes[order] / sizes.sum()).to(x.dtype)
    for step in range(ROUNDS):
        index, there = _rows(names, sizes, first, order, step)
        own = [weight.expand(len(names), *weight.shape).clone() for weight in weights]
        for s in range(index.shape[1]):
            active, width = int(there[:, s, 0].sum()), int(there[:, s].sum(1).max())
            some, mask = index[:active, s, :width], there[:active, s, :width]
            leaves = [weight[:active].detach().requires_grad_() for weight in own]
            hidden = torch.relu(torch.baddbmm(leaves[1], x[some], leaves[0]))
            out = torch.baddbmm(leaves[3], hidden, leaves[2])
            losses = functional.cross_entropy(out.flatten(0, 1), y[some].flatten(), reduction="none").view_as(mask)
            grads = torch.autograd.grad((losses * mask / mask.sum(1, keepdim=True)).sum(), leaves)
            with torch.no_grad():
                for weight, grad in zip(own, grads, strict=True):
                    weight[:active].sub_(grad, alpha=RATE)
        weights = [torch.tensordot(say, weight, 1) for weight in own]
    return weights


def _rows(
    names: list[str], sizes: np.ndarray, first: np.ndarray, order: np.ndarray, step: int
) -> tuple[Tensor, Tensor]:
    """Which sample is where in whose batches, ``[clients, steps, batch]``, and where there is one."""
    steps = -(-int(sizes.max()) // BATCH)
    index = np.zeros((len(names), steps * BATCH), np.int64)
    there = np.zeros((len(names), steps * BATCH), np.float32)
    for place, client in enumerate(order):
        seen = np.concatenate(batches(SEED, names[client], step, int(sizes[client]), BATCH, 1))
        index[place, : len(seen)], there[place, : len(seen)] = seen + first[client], 1
    shape = (len(names), steps, BATCH)
    return torch.from_numpy(index.reshape(shape)), torch.from_numpy(there.reshape(shape))


def plain(study: Study, weights: list[Tensor]) -> list[Tensor]:
    """A module, an optimizer and a loop for every client."""
    linear, head = torch.nn.Linear(*weights[0].shape), torch.nn.Linear(*weights[2].shape)
    model = torch.nn.Sequential(linear, torch.nn.ReLU(), head)
    with torch.no_grad():
        for parameter, weight in zip(model.parameters(), weights, strict=True):
            parameter.copy_(weight.T if weight.dim() == 2 and weight.shape[0] > 1 else weight.flatten())
    for step in range(ROUNDS):
        votes, total = 0, [torch.zeros_like(parameter) for parameter in model.parameters()]
        for name, client in study.clients.items():
            own, samples = copy.deepcopy(model), client.train
            optimizer = torch.optim.SGD(own.parameters(), lr=RATE)
            for rows in batches(SEED, name, step, len(samples), BATCH, 1):
                optimizer.zero_grad()
                out = own(samples.inputs["image"][rows])
                functional.cross_entropy(out, samples.targets["digit"][rows]).backward()
                optimizer.step()
            votes += len(samples)
            for part, parameter in zip(total, own.parameters(), strict=True):
                part += len(samples) * parameter.detach()
        with torch.no_grad():
            for parameter, part in zip(model.parameters(), total, strict=True):
                parameter.copy_(part / votes)
    return [p.detach().T if p.dim() == 2 else p.detach()[None] for p in model.parameters()]


def start(ready: Built) -> list[Tensor]:
    """The weights that all begin with; biases as rows."""
    assert ready.learner is not None
    return [w if w.dim() == 2 else w[None] for w in (ready.learner.initial[name] for name in NAMES)]


def apart(ready: Built, others: Callable[[Study, list[Tensor]], list[Tensor]]) -> float:
    """How far the cloud's weights after a run are from those that *others* come to, at most."""
    from experiments.simulation import known_after

    assert ready.study is not None
    ends = others(ready.study, start(ready))
    own = known_after(ready, Log(), lambda round_, log: None)[ready.hierarchy.root].tensors
    return max(float((own[name] - end.view_as(own[name])).abs().max()) for name, end in zip(NAMES, ends, strict=True))
