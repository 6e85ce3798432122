"""What every single customer of a queue must see, by recursion and without the simulator; and states to start from."""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush, heapreplace

import numpy as np

from experiments.validation.estimates import Floats
from experiments.validation.sizes import Sizes


def first_come_first_served(gaps: Floats, sizes: Floats, servers: int = 1) -> Floats:
    """The sojourns with so many servers: Kiefer and Wolfowitz's recursion, with one server Lindley's."""
    free, now, out = [0.0] * servers, 0.0, []
    heapify(free)
    for gap, size in zip(gaps.tolist(), sizes.tolist(), strict=True):
        now += gap
        end = max(free[0], now) + size
        heapreplace(free, end)
        out.append(end - now)
    return np.array(out)


def processor_sharing(gaps: Floats, sizes: Floats, rate: float = 1.0, each: float = math.inf) -> Floats:
    """The sojourns where n customers get min(*each*, *rate* / n) each.

    In virtual time, which passes by what a customer gets, each is served from where it came until its size later.
    """
    came = np.cumsum(gaps)
    now, virtual, left = 0.0, 0.0, np.empty(len(gaps))
    present: list[tuple[float, int]] = []

    def serve(until: float) -> None:
        nonlocal now, virtual
        while present:
            pace = min(each, rate / len(present))
            due = now + (present[0][0] - virtual) / pace
            if due > until:
                virtual += (until - now) * pace
                break
            virtual, customer = heappop(present)
            now = left[customer] = due
        if not present:  # so that rounding does not pile up
            virtual = 0.0
        now = until

    for customer, (start, size) in enumerate(zip(came.tolist(), sizes.tolist(), strict=True)):
        serve(start)
        heappush(present, (virtual + size, customer))
    serve(math.inf)
    return left - came


def equilibrium(rng: np.random.Generator, rate: float, cores: int, sizes: Sizes) -> Floats:
    """What customers that are there at a random time have still to do, in a queue that has been open for ever.

    Their number is that of M/M/c with arrival *rate*; with what is left of each this is the state of M/G/c-PS (Kelly,
    1979) and of M/M/c, and in sum the backlog of M/G/1 (Pollaczek and Khinchine; Benes, 1957).
    """
    odds = [1.0]
    while len(odds) <= cores or odds[-1] > 1e-12 * max(odds):
        odds.append(odds[-1] * rate / min(len(odds), cores))
    return sizes.rests(rng, int(rng.choice(len(odds), p=np.array(odds) / sum(odds))))
