"""On a GPU: clients per second stacked and one at a time, and how near a transformer comes to the card's matrix rate.

The small transformer is that of the benchmark `transformer`, with adapters in all layers; the large one is 1024 wide
and trains as a whole. The card's own rate is that of one large product in bfloat16, measured beside.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from experiments.benchmarks import NotHereError
from experiments.benchmarks.transformer import jobs, model
from models.devices import Device
from models.engines import Inline
from models.m3t import M3T
from models.objectives import Supervised
from models.optimizers import SGD
from models.training import Job, Recipe

GOALS = {"stacked_ratio": 1.0}  # of the time that one client at a time takes

WIDTH, SQUARE, TIMES = 1024, 8192, 10
EVERYTHING = ("trunk", "encoder.image", "head.answer")


def figures() -> dict[str, float]:
    """Rates; NotHereError where torch has no GPU."""
    if not torch.cuda.is_available():
        raise NotHereError("not measured: torch finds no GPU here")
    device = Device("cuda", bf16=True)
    small = model(4)
    recipe = Recipe(Supervised(), SGD(0.05), 1, 8, frozenset(("adapter", "head.answer")))
    clients = jobs(small)
    stacked = len(clients) / _seconds(Inline(None, device), small, clients, recipe)
    single = len(clients) / _seconds(Inline(1, device), small, clients, recipe)
    large = replace(model(4), width=WIDTH, hidden=WIDTH, heads=8)
    whole = replace(recipe, trainable=frozenset(EVERYTHING), batch_size=16)
    some = jobs(large)[:8]
    rate = _flops(large, some, whole) / _seconds(Inline(len(some), device), large, some, whole)
    return {
        "stacked_clients_per_s": round(stacked, 1),
        "single_clients_per_s": round(single, 1),
        "stacked_ratio": round(single / stacked, 3),
        "tflops_per_s": round(rate / 1e12, 1),
        "of_the_matrix_rate": round(rate / _matrix_rate(), 3),
    }


def _seconds(engine: Inline, net: M3T, clients: list[Job], recipe: Recipe) -> float:
    """The best of several trainings of all of them, after one to warm up."""
    return _best(lambda: engine.train_all(net, clients, recipe), 5)


def _best(run: Callable[[], object], times: int) -> float:
    run()
    best = float("inf")
    for _ in range(times):
        torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return best


def _flops(net: M3T, clients: list[Job], recipe: Recipe) -> float:
    """As counted on the model (:mod:`models.footprint`), all clients' together."""
    from models.footprint import training_step

    job = clients[0]
    steps = -(-len(job.samples) // recipe.batch_size) * recipe.epochs
    cost = training_step(net, frozenset(job.tensors), job.samples, recipe, recipe.batch_size)
    return float(cost.flops) * steps * len(clients)


def _matrix_rate() -> float:
    """FLOP/s of one large product in bfloat16."""
    a = torch.randn(SQUARE, SQUARE, device="cuda", dtype=torch.bfloat16)
    return float(2 * SQUARE**3 * TIMES / _best(lambda: [a @ a for _ in range(TIMES)], 3))
