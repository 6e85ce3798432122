"""Queues: 100,000 tasks through FIFO links and one-core servers, beside bare SimPy processes that do nothing else.

10,000 devices, 100 to an edge server, 10 tasks each at random times: 0.6 s on the server's link, then 0.9 s of its
only core. Here each of the two is a flow, with its energy and its span; the yardstick keeps neither.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import simpy

from experiments.benchmarks import best_seconds
from simulator.fluid import Flow, Fluid
from simulator.records import Log

GOALS = {"ratio": 1.0}

DEVICES, PER_SERVER, TASKS = 10_000, 100, 10
TRANSFER_SECONDS, SERVICE_SECONDS, GAP_SECONDS = 0.6, 0.9, 400.0
NBYTES, FLOPS = 600_000, 9e9
TRANSMIT_WATTS, BUSY_WATTS = 0.8, 65.0


def gaps() -> list[list[float]]:
    """Seconds between the tasks of each device."""
    rng = random.Random(7)
    return [[rng.uniform(0, GAP_SECONDS) for _ in range(TASKS)] for _ in range(DEVICES)]


def bare(between: Sequence[Sequence[float]]) -> float:
    """The mean response in seconds, from SimPy's own resources and one process per task."""
    env = simpy.Environment()
    servers = range(DEVICES // PER_SERVER)
    stations = [(simpy.Resource(env), simpy.Resource(env)) for _ in servers]
    responses: list[float] = []

    def task(device: int, born: float):  # type: ignore[no-untyped-def]
        link, core = stations[device // PER_SERVER]
        for resource, seconds in ((link, TRANSFER_SECONDS), (core, SERVICE_SECONDS)):
            with resource.request() as turn:
                yield turn
                yield env.timeout(seconds)
        responses.append(env.now - born)

    def device(number: int):  # type: ignore[no-untyped-def]
        for seconds in between[number]:
            yield env.timeout(seconds)
            env.process(task(number, env.now))

    for number in range(DEVICES):
        env.process(device(number))
    env.run()
    return sum(responses) / len(responses)


class Campus:
    """The same tasks as flows: every transfer and every computation leaves a span with its joules."""

    def __init__(self, between: Sequence[Sequence[float]]) -> None:
        self.env, self.log, self.between = simpy.Environment(), Log(), between
        self.fluid = Fluid(self.env)
        rate, speed = 8 * NBYTES / TRANSFER_SECONDS, FLOPS / SERVICE_SECONDS
        self.links, self.cores = (
            [self.fluid.resource(f"{kind}{n}", capacity, slots=1) for n in range(DEVICES // PER_SERVER)]
            for kind, capacity in (("link", rate), ("core", speed))
        )
        self.devices = [f"device{n}" for n in range(DEVICES)]
        self.edges = [f"edge{n}" for n in range(DEVICES // PER_SERVER)]
        self.responses: list[float] = []

    def run(self) -> float:
        """The mean response in seconds."""
        for number in range(DEVICES):
            self.next_task(number, 0)
        self.env.run()
        return sum(self.responses) / len(self.responses)

    def next_task(self, device: int, task: int) -> None:
        """After its gap, begin a task of a device."""
        if task < TASKS:
            gap = self.env.timeout(self.between[device][task], (device, task))
            gap.callbacks.append(self.send)

    def send(self, gap: simpy.Event) -> None:
        """Upload what is to be computed on."""
        device, task = gap.value or (0, 0)
        edge, born = device // PER_SERVER, self.env.now
        flow = self.fluid.flow(8 * NBYTES, [self.links[edge]])
        flow.callbacks.append(lambda flow: self.compute(flow, device, edge, born))
        self.next_task(device, task + 1)

    def compute(self, upload: Flow, device: int, edge: int, born: float) -> None:
        """Note the transfer, then compute."""
        now, airtime = self.env.now, upload.amount / self.links[edge].capacity
        row = ("transmit", self.devices[device], "device", self.edges[edge], 1, "1", "encoder", born, now)
        self.log.spans.append((*row, TRANSMIT_WATTS * airtime, NBYTES, 0.0, "done", "up"))
        flow = self.fluid.flow(FLOPS, [self.cores[edge]])
        flow.callbacks.append(lambda flow: self.finish(flow, edge, born, now))

    def finish(self, job: Flow, edge: int, born: float, start: float) -> None:
        """Note the computation."""
        now, busy = self.env.now, job.amount / self.cores[edge].capacity
        row = ("compute", self.edges[edge], "edge", "", 1, "1", "encoder", start, now)
        self.log.spans.append((*row, BUSY_WATTS * busy, 0, FLOPS, "done", "train"))
        self.responses.append(now - born)


def figures() -> dict[str, float]:
    """Seconds of both, their ratio, and how far apart their mean responses are."""
    between, means = gaps(), {}

    def plain() -> None:
        means["bare"] = bare(between)

    def flows() -> None:
        campus = Campus(between)
        means["fluid"] = campus.run()
        assert len(campus.log.spans) == 2 * DEVICES * TASKS

    theirs, ours = best_seconds([plain, flows])
    return {
        "bare_seconds": round(theirs, 3),
        "fluid_seconds": round(ours, 3),
        "ratio": round(ours / theirs, 3),
        "mean_response_seconds": round(means["fluid"], 6),
        "mean_response_off": abs(means["fluid"] / means["bare"] - 1),
    }
