"""All 1,318 classrooms of Project STAR with at least 8 pupils having both scores: 20 rounds of 10 steps each.

Grades K to 3, every class a client below its school, a linear model of both scores with an offset per school and one
per class. The simulation has its clock, energy and records on; the classes are scored once, at the end.
"""

from __future__ import annotations

from pathlib import Path

from experiments.benchmarks import NotHereError, best_seconds

GOALS = {"seconds": 15.0}

ROUNDS, STEPS = 20, 10
SCENARIO = {
    "title": "All classrooms of Project STAR",
    "seed": 1,
    "topology": {"kind": "data", "edge": "raspberry_pi5", "cloud_link": "school_broadband"},
    "data": {"source": "star", "file": "star.csv", "grades": ["K", "1", "2", "3"], "minimum": 8},
    "model": {"kind": "linear", "tasks": ["read", "math"], "offsets": ["campus", "classroom"]},
    "plan": {
        "campus": {"modules": ["head.*", "offset.campus"]},
        "cloud": {"modules": ["head.*"], "rounds": ROUNDS},
    },
    "learning": {"optimizer": {"name": "sgd", "lr": 0.05}, "local_epochs": STEPS, "batch_size": "full"},
    "stages": [{"name": "federate", "at": "classroom", "trainable": ["head.*", "offset.*"]}],
    "evaluate": {"every": ROUNDS, "tiers": ["classroom"], "moments": ["after_broadcast"]},
    "plots": False,
}


def figures() -> dict[str, float]:
    """Processor time of the simulation with its learning, the best of three; client updates per second of it."""
    from experiments.build import build
    from experiments.scenario import Scenario
    from experiments.schema.documents import find_file
    from experiments.simulation import simulated
    from simulator.records import Log

    try:
        find_file("star.csv", Path())
    except ValueError as error:
        raise NotHereError(str(error)) from error
    scenario = Scenario.model_validate(SCENARIO)
    ready = [build(scenario) for _ in range(3)]
    study = ready[0].study
    assert study is not None
    (seconds,) = best_seconds([lambda: simulated(ready.pop(), Log())])
    clients = len(study.clients)
    return {"classrooms": clients, "seconds": round(seconds, 2), "updates_per_s": round(clients * ROUNDS / seconds)}
