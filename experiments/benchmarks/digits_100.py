"""100 identical devices on one star that each really learn, beside the same training with nothing around it.

Digits, Dirichlet(0.5) over 100 clients, a perceptron 64-128-10, one local epoch in batches of 16, SGD, FedAvg over all,
20 rounds: 2,000 client updates. The simulation has its clock, energy and records on; its model is scored once. Beside
it, for comparison, the same devices as nodes, each with processes of its own.
"""

from __future__ import annotations

from experiments.benchmarks import best_seconds
from experiments.benchmarks._digits import ROUNDS, SAMPLED, apart, built, limit, plain, simulation, start

GOALS = {"times_limit": 1 / 0.6, "times_plain": 1 / 5, "apart_from_limit": 1e-3, "apart_from_plain": 1e-3}


def figures() -> dict[str, float]:
    """Client updates per second of all four, how many times longer ours take, and how far the weights are apart."""
    ready, nodes = [built() for _ in range(5)], [built(grouped=False) for _ in range(3)]
    study, weights = ready[0].study, start(ready[0])
    assert study is not None
    seconds = best_seconds(
        [
            lambda: limit(study, weights),
            lambda: plain(study, weights),
            lambda: simulation(ready.pop()),
            lambda: simulation(nodes.pop()),
        ]
    )
    theirs, loop, ours, apiece = seconds
    updates = SAMPLED * ROUNDS
    return {
        "limit_updates_per_s": round(updates / theirs),
        "plain_updates_per_s": round(updates / loop),
        "updates_per_s": round(updates / ours),
        "updates_per_s_as_nodes": round(updates / apiece),
        "times_limit": round(ours / theirs, 3),
        "times_plain": round(ours / loop, 3),
        "apart_from_limit": apart(ready.pop(), limit),
        "apart_from_plain": apart(ready.pop(), plain),
    }
