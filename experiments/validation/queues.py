"""Queues made of the simulator's own parts: customers are flows, servers are resources with slots, caps and weights."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from experiments.validation.estimates import Floats
from simulator.fluid import Fluid


@dataclass(frozen=True, slots=True)
class Server:
    """A resource of *rate* units a second in all, at most *each* a customer; *slots* at a time, or all at once."""

    rate: float = 1.0
    each: float = math.inf
    slots: int | None = None


def sojourns(
    gaps: Floats,
    sizes: Sequence[Floats],
    servers: Sequence[Server],
    *,
    weights: Floats | None = None,
    wanted: int | None = None,
) -> Floats:
    """How long the first *wanted* customers (or all) are at each of *servers* in series: customers by servers.

    Customer n comes gaps[n] after the one before, and brings sizes[k][n] to the k-th server. Those after the
    wanted ones are there to share with them.
    """
    env = simpy.Environment()
    fluid = Fluid(env)
    resources = [fluid.resource(f"server {k}", server.rate, slots=server.slots) for k, server in enumerate(servers)]
    wanted = len(gaps) if wanted is None else wanted
    reached = np.empty((len(gaps), len(servers) + 1))
    missing, over = wanted, env.event()

    def go(customer: int, stage: int) -> None:
        nonlocal missing
        reached[customer, stage] = env.now
        if stage < len(servers):
            weight = 1.0 if weights is None else float(weights[customer])
            size, cap = float(sizes[stage][customer]), servers[stage].each
            flow = fluid.flow(size, [resources[stage]], weight=weight, rate_cap=cap)
            flow.callbacks.append(lambda _: go(customer, stage + 1))
        elif customer < wanted:
            missing -= 1
            if not missing:
                over.succeed()

    def source() -> Generator[simpy.Event, Any, None]:
        for customer, gap in enumerate(gaps.tolist()):
            if gap:
                yield env.timeout(gap)
            go(customer, 0)

    env.process(source())
    env.run(over)
    return np.diff(reached[:wanted], axis=1)
