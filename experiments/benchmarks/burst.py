"""Bursts: 100 uploads at once on each of ten fair-share links, ten rounds of them, beside the bare loop of the same.

The yardstick is all there is to equal sharing in virtual time: a heap of marks. It simulates no clock that anything
else could happen on, and makes no events.
"""

from __future__ import annotations

import random
from heapq import heappop, heappush

import simpy

from experiments.benchmarks import best_seconds
from simulator.fluid import Fluid

GOALS = {"ratio": 40.0}

DEVICES, PER_LINK, ROUNDS = 1_000, 100, 10
SECONDS = 0.6  # of an upload of the mean size alone


def sizes() -> list[list[float]]:
    """The uploads of each link in each round, in seconds alone."""
    rng = random.Random(3)
    return [[SECONDS * rng.uniform(0.5, 1.5) for _ in range(PER_LINK)] for _ in range(ROUNDS * DEVICES // PER_LINK)]


def bare() -> float:
    """The mean time of an upload: a flow ends when the work done for each reaches its size."""
    rng, total = random.Random(3), 0.0
    for _ in range(ROUNDS * DEVICES // PER_LINK):
        marks: list[float] = []
        for _ in range(PER_LINK):
            heappush(marks, SECONDS * rng.uniform(0.5, 1.5))
        now = done = 0.0
        while marks:
            sharing, mark = len(marks), heappop(marks)
            now += (mark - done) * sharing
            done = mark
            total += now
    return total / (ROUNDS * DEVICES)


def fluid() -> float:
    """The same mean, each upload a flow; all links at once, one round after the other."""
    uploads, env = iter(sizes()), simpy.Environment()
    water, total = Fluid(env), 0.0
    links = [water.resource(f"link{n}", 1.0) for n in range(DEVICES // PER_LINK)]
    for _ in range(ROUNDS):
        began = env.now
        flows = [water.flow(amount, [link]) for link in links for amount in next(uploads)]
        env.run()
        total += sum(float(flow.value or 0.0) - began for flow in flows)
    return total / (ROUNDS * DEVICES)


def figures() -> dict[str, float]:
    """Seconds of both, their ratio, and how far apart their means are."""
    theirs, ours = best_seconds([bare, fluid], times=10)  # the loop takes milliseconds
    return {
        "bare_seconds": round(theirs, 5),
        "fluid_seconds": round(ours, 4),
        "ratio": round(ours / theirs, 1),
        "microseconds_per_upload": round(ours / (ROUNDS * DEVICES) * 1e6, 2),
        "mean_off": abs(fluid() / bare() - 1),
    }
