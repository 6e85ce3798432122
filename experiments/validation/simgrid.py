"""The fluid beside SimGrid: twelve stored cases, the last a whole federated round, each finish time at 1e-9.

In a case with dependencies (`after`), `finish` is SimGrid's and `finish_fluid` that of an analytic fluid; both are met.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import Any

import simpy

from experiments.validation.check import Check, Row, close, worst
from experiments.validation.stored import CASES, read
from simulator.fluid import Fluid

NAMES = tuple(sorted(path.stem for path in (CASES / "simgrid").glob("*.json")))


def tasks(case: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Everything in a case that takes time: transfers, computations and what depends on others."""
    for kind in ("flows", "execs", "tasks"):
        yield from case.get(kind, [])


def replay(case: Mapping[str, Any]) -> dict[str, float]:
    """When each task of a case finishes, by its id."""
    env = simpy.Environment()
    fluid = Fluid(env)
    latency = {link["id"]: link["latency"] for link in case["links"]}
    speed = {host["id"]: host["speed"] for host in case["hosts"]}
    links = {link["id"]: fluid.resource(link["id"], link["bandwidth"]) for link in case["links"]}
    hosts = {host["id"]: fluid.resource(host["id"], host["speed"] * host.get("cores", 1)) for host in case["hosts"]}
    done: dict[str, simpy.Process] = {}
    finished: dict[str, float] = {}

    def go(task: Mapping[str, Any]) -> Generator[simpy.Event, Any, None]:
        yield env.timeout(task.get("start", 0))
        yield env.all_of([done[other] for other in task.get("after", [])])
        if "host" in task:
            flow = fluid.flow(task["flops"], [hosts[task["host"]]], rate_cap=speed[task["host"]])
        else:
            yield env.timeout(sum(latency[link] for link in task["route"]))
            cap = task.get("rate_cap", 0) or math.inf
            flow = fluid.flow(task["bytes"], [links[link] for link in task["route"]], rate_cap=cap)
        yield flow
        finished[task["id"]] = env.now

    for task in tasks(case):
        done[task["id"]] = env.process(go(task))
    env.run()
    return finished


def rows(name: str) -> list[Row]:
    """The finish time that differs most from the stored one, of all tasks of a case."""
    case = read(f"simgrid/{name}")
    finished = replay(case)
    pairs = [
        (task[key], finished[task["id"]]) for task in tasks(case) for key in ("finish", "finish_fluid") if key in task
    ]
    if "makespan" in case:
        pairs.append((case["makespan"], max(finished.values())))
    title = f"{name}: the worst of {len(pairs)} finish times"
    return [worst(close(title, *pair) for pair in pairs)]


def checks() -> list[Check]:
    """One check a case."""
    return [Check(name, partial(rows, name)) for name in NAMES]
