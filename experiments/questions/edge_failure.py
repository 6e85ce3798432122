"""What happens when an edge node dies at half time?

Twenty tablets learn real digits, dealt unevenly (Dirichlet 0.5), one local epoch a round: under a single edge; under
four edges that a campus merges; and with no server at all, by gossip over a ring of direct links (D-PSGD): the root
only keeps time. The first edge is gone from the middle of the time that the undisturbed run takes. Accuracy of the
tablets on their own held-out mix, the mean over all twenty, each as it was scored last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.compare import paired
from experiments.figures.races import draw_races
from experiments.questions.asking import Row, ask
from experiments.run import Result, run
from experiments.scenario import Scenario

QUESTION = "What happens when an edge node dies at half time?"
TABLETS, DEAD = 20, "campus0/room0"
STAR, TREE, PEERS = "one edge (star)", "four edges", "gossip, no server"
WAYS: Mapping[str, Mapping[str, Any]] = {
    STAR: {"classrooms": 1, "plan": {"classroom": {"modules": ["*"]}, "campus": {"modules": ["*"]}}},
    TREE: {"classrooms": 4, "plan": {"classroom": {"modules": ["*"]}, "campus": {"modules": ["*"]}}},
    PEERS: {
        "classrooms": 1,
        "plan": {"campus": {"modules": [], "peers": {"kind": "gossip", "modules": ["*"]}}},
        "d2d": {"link": "wifi_direct", "neighbours": "ring"},
    },
}


def answer(quick: bool) -> Sequence[Row]:
    """A row per way: accuracy when the edge dies and at the end, how much came after, and the last scores' time."""
    rows = []
    for way in WAYS:
        found = [_one(way, *each) for each in runs(quick)]
        before, after = ([each[key] for each in found] for key in ("then", "end"))
        means = {key: float(np.mean([each[key] for each in found])) for key in ("dies at s", "last score at s")}
        gained = str(paired(after, before))
        row = {"way": way, "accuracy then": float(np.mean(before)), "at the end": float(np.mean(after))}
        rows.append({**row, "gained since [95 %]": gained, **means})
    return rows


def runs(quick: bool) -> list[tuple[int, int]]:
    """The seeds, and for each how many rounds its run has."""
    return [(seed, 8) for seed in (1, 2)] if quick else [(seed, 30) for seed in (1, 2, 3, 4, 5)]


def _one(way: str, seed: int, rounds: int) -> dict[str, float]:
    half, result = failing(way, seed, rounds)
    curve = accuracy(result)
    last = float(scored(result)["time_s"].max())
    then = curve[curve["time_s"] <= half]["value"].iloc[-1]
    return {"then": then, "end": curve["value"].iloc[-1], "dies at s": half, "last score at s": last}


@cache
def failing(way: str, seed: int, rounds: int) -> tuple[float, Result]:
    """When the edge dies, and what happened."""
    half = run(scenario(way, seed, rounds)).manifest["sim_seconds"] / 2
    return half, run(scenario(way, seed, rounds, half))


def scenario(way: str, seed: int, rounds: int, dies: float | None = None) -> Scenario:
    """Twenty tablets this way; the first edge *dies* at a time."""
    kind = WAYS[way]
    plan = {tier: dict(spec) for tier, spec in kind["plan"].items()}
    plan["campus"]["rounds"] = rounds
    rooms = kind["classrooms"]
    sections: dict[str, Any] = {
        "title": QUESTION,
        "seed": seed,
        "topology": {
            "kind": "campus", "classrooms": rooms, "devices": TABLETS // rooms, "device": "android_tablet_budget",
        },
        "data": {"source": "digits", "partition": {"kind": "dirichlet", "alpha": 0.5}},
        "model": {"kind": "mlp", "hidden": [32]},
        "plan": plan,
        "learning": {"optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 16},
        "evaluate": {"tiers": ["device"], "moments": ["after_merge" if way == PEERS else "after_broadcast"]},
        "final_broadcast": False,
    }  # fmt: skip
    if "d2d" in kind:
        sections["d2d"] = kind["d2d"]
    if dies is not None:
        sections["presence"] = {"kind": "timetable", "present": [[0.0, dies]], "nodes": [DEAD]}
    return Scenario.model_validate(sections)


def scored(result: Result) -> pd.DataFrame:
    """Scores of the tablets."""
    return result.metrics[result.metrics["tier"] == "device"]


def accuracy(result: Result) -> pd.DataFrame:
    """At every time at which somebody was scored, the mean over the tablets of their last scores until then."""
    table = scored(result).pivot_table(index="time_s", columns="node", values="value").ffill()
    return table.dropna().mean(axis=1).rename("value").reset_index()


def _shared(half: float, result: Result) -> pd.DataFrame:
    """The curve of a run over the share of the time that the undisturbed run takes, to its end."""
    curve = accuracy(result)
    end = pd.DataFrame({"time_s": [2 * half], "value": [curve["value"].iloc[-1]]})
    whole = pd.concat([curve, end])
    return whole.assign(time_s=whole["time_s"] / (2 * half))


def draw(folder: Path, rows: Sequence[Row], quick: bool) -> None:
    """Accuracy over the share of the time that the undisturbed run takes."""
    curves = {way: [_shared(*failing(way, *each)) for each in runs(quick)] for way in WAYS}
    time, marked = "share of the time of the undisturbed run", (0.5, "the edge dies")
    draw_races(folder, "edge_failure", curves, "accuracy at the tablets", log=False, time=time, marked=marked)


if __name__ == "__main__":
    ask(QUESTION, answer, draw)
