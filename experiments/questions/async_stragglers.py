"""Whom should a class wait for when a few devices are very slow?

Twenty tablets around one edge box, all different: their speeds are the quantiles of a Pareto distribution of slowdowns
(shape 1.2; the median is 1.8 times slower than the fastest, the slowest 22 times). A perceptron learns real digits,
dealt unevenly (Dirichlet 1). Five plans: wait for all; wait until a deadline, or for the first half, and drop the rest;
FedBuff, which merges every five reports and lets the rest go on; FedAsync, which merges each. Until the edge's model
has the target accuracy at three scorings in a row: simulated seconds, joules of all nodes and bytes sent up, until the
first of them; left out where a seed does not get there. FedAsync is scored at every fifth merge, so that FedBuff and it
are scored after as many reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.compare import paired
from experiments.figures.races import draw_races
from experiments.questions.asking import Row, ask
from experiments.run import run
from experiments.scenario import Scenario

QUESTION = "Whom should a class wait for when a few devices are very slow?"
TABLETS, SHAPE = 20, 1.2
PLANS: Mapping[str, Mapping[str, Any]] = {
    "all (FedAvg)": {"rounds": 20},
    "deadline 25 ms": {"rounds": 60, "wait": {"deadline": "25 ms"}},
    "first 10": {"rounds": 32, "wait": {"first": 10}},
    "FedBuff, 5 of 20": {"rounds": 50, "wait": {"first": 5}, "late": "keep"},
    "FedAsync": {"rounds": 700, "wait": {"first": 1}, "late": "keep"},
}
ALGORITHMS = {"FedBuff, 5 of 20": "fedbuff", "FedAsync": "fedasync"}
FIGURES = ("seconds", "joules", "MB up")


def answer(quick: bool) -> Sequence[Row]:
    """A row per plan: means over the seeds, how many times sooner than waiting for all, and the pace of merges."""
    target = 0.75 if quick else 0.9
    found = {name: [_until(name, *each, target) for each in runs(name, quick)] for name in PLANS}
    (everyone, *_) = found.values()
    return [_row(name, rows, everyone, target) for name, rows in found.items()]


def runs(name: str, quick: bool) -> list[tuple[int, int]]:
    """The seeds of a plan, and for each how many rounds it runs."""
    seeds, share = ((1, 2), 0.4) if quick else ((1, 2, 3, 4, 5), 1.0)
    return [(seed, int(share * PLANS[name]["rounds"])) for seed in seeds]


@cache
def course(name: str, seed: int, rounds: int) -> pd.DataFrame:
    """The scores of the edge's model, in time."""
    return run(scenario(name, seed, rounds)).metrics


def fleet() -> dict[str, dict[str, Any]]:
    """A profile per tablet: the catalogue's budget tablet, so many times slower in all that it does."""
    slowdowns = [(1 - (i + 0.5) / TABLETS) ** (-1 / SHAPE) for i in range(TABLETS)]
    figures = {"flops_per_s": 1.66e11, "memory_bytes_per_s": 1.7e10, "launch_seconds": 1 / 2e-5}
    return {
        f"tablet_{i}": {"based_on": "android_tablet_budget"}
        | {name: value / slow if value > 1e9 else slow / value for name, value in figures.items()}
        for i, slow in enumerate(slowdowns)
    }


def scenario(name: str, seed: int, rounds: int) -> Scenario:
    """The class with this plan, for so many *rounds*."""
    every, devices = 5 if name == "FedAsync" else 1, fleet()
    return Scenario.model_validate(
        {
            "title": QUESTION,
            "seed": seed,
            "profiles": {"devices": devices},
            "topology": {"kind": "classroom", "devices": TABLETS, "device_mix": dict.fromkeys(devices, 1 / TABLETS)},
            "data": {"source": "digits", "partition": {"kind": "dirichlet", "alpha": 1.0}},
            "model": {"kind": "mlp", "hidden": [64]},
            "plan": {"classroom": {"modules": ["*"], **PLANS[name], "rounds": rounds}},
            "learning": {
                "algorithm": ALGORITHMS.get(name, "fedavg"),
                "optimizer": {"name": "sgd", "lr": 0.1},
                "local_epochs": 2,
            },
            "evaluate": {"every": every, "tiers": ["classroom"], "moments": ["after_merge"]},
            "final_broadcast": False,
        }
    )


def reached(table: pd.DataFrame, target: float, in_a_row: int = 1) -> tuple[int, float] | None:
    """Round and time of the first of so many scorings *in a row* with the *target* accuracy or more, if there are."""
    enough = 0
    for place, value in enumerate(table["value"]):
        enough = enough + 1 if value >= target else 0
        if enough == in_a_row:
            first = table.iloc[place - in_a_row + 1]
            return int(first["round"]), float(first["time_s"])
    return None


def _until(name: str, seed: int, rounds: int, target: float) -> dict[str, float]:
    """What it takes to reach the target: the same run again, ended there. Without it, if it is not reached."""
    whole = course(name, seed, rounds)
    last = whole.iloc[-1]
    out = {"in the end": float(last["value"]), "s per merge": float(last["time_s"]) / int(last["round"])}
    if (found := reached(whole, target, 3)) is None:
        return out
    ended = run(scenario(name, seed, found[0]))
    sent = ended.spans[(ended.spans["kind"] == "transmit") & (ended.spans["activity"] == "up")]
    joules = float(ended.manifest["joules"])
    return {"seconds": found[1], "joules": joules, "MB up": float(sent["nbytes"].sum()) / 1e6, **out}


def _row(name: str, rows: Sequence[Mapping[str, float]], everyone: Sequence[Mapping[str, float]], goal: float) -> Row:
    through = sum("seconds" in row for row in rows)
    row: dict[str, Any] = {"waits for": name, "reached": f"{through} of {len(rows)}"}
    if through == len(rows):
        row |= {f"{key} to {goal:g}": float(np.mean([row[key] for row in rows])) for key in FIGURES}
        row[f"joules to {goal:g}"] = round(row[f"joules to {goal:g}"])
        if rows is not everyone:
            ratio = paired([log(row["seconds"]) for row in everyone], [log(row["seconds"]) for row in rows])
            row["times sooner [95 %]"] = f"{exp(ratio.mean):.1f} [{exp(ratio.low):.1f}, {exp(ratio.high):.1f}]"
    return row | {key: float(np.mean([row[key] for row in rows])) for key in ("in the end", "s per merge")}


def draw(folder: Path, rows: Sequence[Row], quick: bool) -> None:
    """Accuracy over time."""
    curves = {name: [course(name, *each) for each in runs(name, quick)] for name in PLANS}
    draw_races(folder, "async_stragglers", curves, "accuracy on held-out digits")


if __name__ == "__main__":
    ask(QUESTION, answer, draw)
