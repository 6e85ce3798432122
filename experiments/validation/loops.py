"""Closed loops: devices that think and send, again and again, as in an asynchronous federation."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import simpy

from experiments.validation.check import Check, Row, likely
from experiments.validation.estimates import BATCHES, Floats, independent, stream
from experiments.validation.sizes import EXPONENTIAL, LOGNORMAL4, Draw
from experiments.validation.stored import Case, closed_forms
from simulator.fluid import Flow, Fluid

SECONDS = 40_000.0
PAIRS: dict[str, tuple[Draw, Draw]] = {
    "exponential": (EXPONENTIAL.draw, EXPONENTIAL.draw),
    "uniform and lognormal": (lambda rng, n: rng.uniform(0, 2, n), LOGNORMAL4.draw),
}


@dataclass(frozen=True, slots=True)
class Loop:
    """A closed loop, one figure for each stretch of time."""

    throughput: Floats  # customers a second
    response: Floats  # mean seconds at the link, of those who left it
    utilisation: Floats  # share of the link's capacity


def closed_loop(customers: int, think: Callable[[], float], size: Callable[[], float], ends: Floats) -> Loop:
    """*customers* think, then send over one link of capacity 1, for ever; the first of *ends* closes the warm-up."""
    env = simpy.Environment()
    fluid = Fluid(env)
    link = fluid.resource("link", 1.0)
    stays: list[list[float]] = [[]]
    sending: dict[int, Flow] = {}
    sent = 0.0

    def customer(number: int) -> Generator[simpy.Event, Any, None]:
        nonlocal sent
        while True:
            yield env.timeout(think())
            start, flow = env.now, fluid.flow(size(), [link])
            sending[number] = flow
            yield flow
            sent += sending.pop(number).amount
            stays[-1].append(env.now - start)

    for number in range(customers):
        env.process(customer(number))
    passed = []
    for end in ends.tolist():
        env.run(until=end)
        passed.append(sent + math.fsum(flow.passed for flow in sending.values()))
        stays.append([])
    lengths, stretches = np.diff(ends), stays[1:-1]
    throughput = np.array([len(stretch) for stretch in stretches]) / lengths
    return Loop(throughput, np.array([np.mean(stretch) for stretch in stretches]), np.diff(passed) / lengths)


def closed(case: Case) -> list[Row]:
    """Throughput, response time and utilisation, under two pairs of distributions: only their means count."""
    think, values, rows = float(case.params["think_mean"]), case.values, []
    for kind, (thinking, sending) in PAIRS.items():
        title, ends = f"{case.title}, {kind}", np.linspace(0, SECONDS, BATCHES + 2)[1:]
        rng = stream(title)
        run = closed_loop(case.params["N"], partial(_one, thinking, rng, think), partial(_one, sending, rng, 1.0), ends)
        rows.append(likely(f"{title}: throughput", values["throughput"], independent(run.throughput)))
        rows.append(likely(f"{title}: response", values["response"], independent(run.response)))
        if values["utilisation"] < 0.999:  # else it is never seen idle, and there is no standard error
            rows.append(likely(f"{title}: utilisation", values["utilisation"], independent(run.utilisation)))
    return rows


def _one(draw: Draw, rng: np.random.Generator, mean: float) -> float:
    return mean * float(draw(rng, 1)[0])


def checks() -> list[Check]:
    """One check a stored case."""
    return [Check(case.title, partial(closed, case)) for case in closed_forms("closed_think_PS")]
