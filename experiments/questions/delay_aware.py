"""When models fly for long, should a device wait, or go on training?

Eight slow tablets under a cloud that is near (no latency), on another continent (80 ms), or behind a geostationary
satellite (280 ms one way); the longest local training takes 50 ms. A perceptron learns real digits, dealt unevenly
(Dirichlet 0.5); every client counts alike. Four ways: wait; go on training and let the model that comes down replace
what was learned meanwhile; go on and mix half of it in (DFL, after arXiv 2303.12414); and, for comparison, wait but
train four times as long. Simulated seconds until the cloud's model has the target accuracy. A device goes on by whole
local trainings, and a model that comes cuts the one under way; the report that it sends is what it knew before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.compare import paired
from experiments.figures.races import draw_races
from experiments.questions.asking import Row, ask
from experiments.questions.async_stragglers import reached
from experiments.run import Result, run
from experiments.scenario import Scenario

QUESTION = "When models fly for long, should a device wait, or go on training?"
LATENCIES = {"none": 0.0, "wan_cloud_far": 0.08, "satellite": 0.28}
TARGET = 0.85
BLOCKING, OVERWRITING, MIXING = "wait", "go on, overwrite", "go on, mix half in (DFL)"
WAYS: Mapping[str, Mapping[str, Any]] = {
    BLOCKING: {"rounds": 10},
    OVERWRITING: {"rounds": 10, "meanwhile": "train"},
    MIXING: {"rounds": 8, "meanwhile": "train", "algorithm": {"name": "dfl", "mix": 0.5}},
    "wait, train 4 times as long": {"rounds": 8, "epochs": 4},
}


def answer(quick: bool) -> Sequence[Row]:
    """A row per latency and way: seconds to the target, paired differences, and those of a round."""
    rows: list[Row] = []
    for name in ("wan_cloud_far",) if quick else LATENCIES:
        found = {way: [_one(way, name, seed) for seed in seeds(quick)] for way in WAYS}
        for way, pairs in found.items():
            seconds = [each for each, _ in pairs]
            row: dict[str, Any] = {"latency": name, "way": way, f"seconds to {TARGET:g}": float(np.mean(seconds))}
            for what, other in (("waiting", BLOCKING), ("overwriting", OVERWRITING)):
                against = "" if way == other else str(paired(seconds, [each for each, _ in found[other]]))
                row[f"minus {what} [95 %]"] = against
            rows.append(row | {"s per round": float(np.mean([each for _, each in pairs]))})
    return rows


def seeds(quick: bool) -> tuple[int, ...]:
    """Of the runs."""
    return (1, 2) if quick else (1, 2, 3, 4)


@cache
def result(way: str, latency: str, seed: int) -> Result:
    """Of the run."""
    return run(scenario(way, latency, seed))


def _one(way: str, latency: str, seed: int) -> tuple[float, float]:
    """Seconds to the target, and of a round."""
    whole = result(way, latency, seed)
    found = reached(whole.metrics, TARGET)
    assert found is not None
    return found[1], float(whole.metrics["time_s"].iloc[-1]) / len(whole.metrics)


def scenario(way: str, latency: str, seed: int) -> Scenario:
    """The star with this link, in which clients do so."""
    how = WAYS[way]
    device = {"based_on": "android_tablet_budget", "launch_seconds": 1e-4}
    link = {"based_on": "wan_cloud_far", "latency_seconds": LATENCIES[latency]}
    return Scenario.model_validate(
        {
            "title": QUESTION,
            "seed": seed,
            "profiles": {"devices": {"slow_tablet": device}, "links": {"away": link}},
            "topology": {"kind": "star", "clients": 8, "device": "slow_tablet", "link": "away"},
            "data": {"source": "digits", "partition": {"kind": "dirichlet", "alpha": 0.5}},
            "model": {"kind": "mlp", "hidden": [64]},
            "plan": {"cloud": {"modules": ["*"], "rounds": how["rounds"], "meanwhile": how.get("meanwhile", "idle")}},
            "learning": {
                "algorithm": how.get("algorithm", "fedavg"),
                "optimizer": {"name": "sgd", "lr": 0.2},
                "local_epochs": how.get("epochs", 1),
                "weighting": {"*": "uniform"},
            },
            "evaluate": {"tiers": ["cloud"], "moments": ["after_merge"]},
            "final_broadcast": False,
        }
    )


def draw(folder: Path, rows: Sequence[Row], quick: bool) -> None:
    """Accuracy over time at the longest latency of the *rows*."""
    last = rows[-1]["latency"]
    curves = {way: [result(way, last, seed).metrics for seed in seeds(quick)] for way in WAYS}
    time = f"simulated time (s), one-way latency {LATENCIES[last]:g} s"
    draw_races(folder, "delay_aware", curves, "accuracy on held-out digits", time=time)


if __name__ == "__main__":
    ask(QUESTION, answer, draw)
