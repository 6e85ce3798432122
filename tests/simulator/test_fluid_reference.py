"""The fluid against SimGrid: twelve stored cases, each finish time at 1e-9 relative.

In a case with dependencies (`after`), `finish` is SimGrid's and `finish_fluid` that of an analytic fluid; both are met.
"""

import json
import math
from pathlib import Path

import pytest
import simpy

from simulator.fluid import Fluid

FILES = sorted((Path(__file__).parents[1] / "reference" / "simgrid").glob("*.json"))


def replay(case):
    """Finish time of everything in a case, by id."""
    env = simpy.Environment()
    fluid = Fluid(env)
    latency = {link["id"]: link["latency"] for link in case["links"]}
    speed = {host["id"]: host["speed"] for host in case["hosts"]}
    links = {link["id"]: fluid.resource(link["id"], link["bandwidth"]) for link in case["links"]}
    hosts = {host["id"]: fluid.resource(host["id"], host["speed"] * host.get("cores", 1)) for host in case["hosts"]}
    done = {}

    def go(task):
        yield env.timeout(task.get("start", 0))
        yield env.all_of([done[other] for other in task.get("after", [])])
        if "host" in task:
            return (yield fluid.flow(task["flops"], [hosts[task["host"]]], rate_cap=speed[task["host"]]))
        yield env.timeout(sum(latency[link] for link in task["route"]))
        cap = task.get("rate_cap", 0) or math.inf
        return (yield fluid.flow(task["bytes"], [links[link] for link in task["route"]], rate_cap=cap))

    for task in tasks(case):
        done[task["id"]] = env.process(go(task))
    env.run()
    return {name: process.value for name, process in done.items()}


def tasks(case):
    return [task for kind in ("flows", "execs", "tasks") for task in case.get(kind, [])]


def test_all_twelve_cases_are_here():
    assert len(FILES) == 12


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_finish_times(path):
    case = json.loads(path.read_text())
    finished = replay(case)
    for field in ("finish", "finish_fluid"):
        expected = {task["id"]: task[field] for task in tasks(case) if field in task}
        assert {name: finished[name] for name in expected} == pytest.approx(expected, rel=1e-9, abs=0)
    if "makespan" in case:
        assert max(finished.values()) == pytest.approx(case["makespan"], rel=1e-9, abs=0)
