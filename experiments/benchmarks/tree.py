"""A tree that is full at several heights: 10,000 uploads over 334 access points, some saturated, to one saturated link.

Every upload has a size and a cap of its own and ends at its own instant, so nearly every end moves the level of the
link, and with it all others. A smaller tree of the same make is also played by the reference.
"""

from __future__ import annotations

import random

import simpy

from experiments.benchmarks import best_seconds
from simulator.fluid import Fluid
from simulator.sharing.reference import ReferenceFluid

GOALS = {"seconds": 4.0, "worst_deviation": 1e-9}

FLOWS, ACCESS_POINTS = 10_000, 334
SMALL = 600, 20


def ends(kind: type[Fluid] | type[ReferenceFluid], flows: int, access_points: int) -> list[float]:
    """When each upload ends. Caps ask for five times what the link carries; access points are from narrow to roomy."""
    rng, env = random.Random(11), simpy.Environment()
    water = kind(env)
    wan = water.resource("wan", 1.0 * flows)  # Mbit/s
    each = flows / access_points
    cells = [water.resource(f"cell{n}", each * rng.uniform(0.3, 3.0)) for n in range(access_points)]
    uploads = [
        water.flow(rng.uniform(10, 1000), [cells[n % access_points], wan], rate_cap=rng.uniform(0.3, 10))  # type: ignore[list-item]
        for n in range(flows)
    ]
    env.run()
    return [float(upload.value or 0.0) for upload in uploads]


def worst_deviation() -> float:
    """Of any end, from the reference, on the smaller tree: relative."""
    pairs = zip(ends(Fluid, *SMALL), ends(ReferenceFluid, *SMALL), strict=True)
    return max(abs(fast / slow - 1) for fast, slow in pairs)


def figures() -> dict[str, float]:
    """Seconds of the large tree, and how exact the smaller one is."""
    (seconds,) = best_seconds([lambda: ends(Fluid, FLOWS, ACCESS_POINTS)])
    return {"seconds": round(seconds, 3), "worst_deviation": worst_deviation()}
