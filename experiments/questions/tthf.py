"""How many uplinks does consensus in clusters save?

TT-HF (Lin et al., arXiv 2103.10481): twenty tablets in four classrooms learn real digits, dealt unevenly (Dirichlet
0.5), by one local epoch of plain SGD a turn. Every tenth turn is a global synchronisation. In the turns between, the
tablets of a classroom run Gamma rounds of consensus, as many as bring their error below the step size times phi, over
direct links of which each is there with probability 0.7, others every turn. At a synchronisation one tablet of each
classroom, drawn by lot, reports for all. Beside it: FedAvg with everyone reporting in every turn, and in every tenth;
and one sampled tablet without any consensus. Accuracy at the campus on all classes.
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

QUESTION = "How many uplinks does consensus in clusters save?"
ROOMS, TABLETS, PERIOD, RATE, PHI = 4, 5, 10, 0.05, 2.0
LAW = {"law": "two_timescale", "phi": PHI, "rate": 1000 * RATE, "shift": 1000.0}  # eta_t is the step size, nearly
FLICKERING = {"kind": "flickering", "probability": 0.7}
OFTEN, SELDOM, SAMPLED, TTHF = "FedAvg, every turn", "FedAvg, every 10th", "one of 5, no consensus", "TT-HF"
WAYS: Mapping[str, int | Mapping[str, Any] | None] = {
    OFTEN: None,
    SELDOM: None,
    SAMPLED: 0,
    TTHF: LAW,
}  # rounds of mixing


def answer(quick: bool) -> Sequence[Row]:
    """A row per way: accuracy, the paired difference to FedAvg of every turn, uplinks of tablets, rounds of mixing."""
    found = {way: [result(way, *each) for each in runs(quick)] for way in WAYS}
    best = [final(one) for one in found[OFTEN]]
    rows = []
    for way, results in found.items():
        own = [final(one) for one in results]
        row = {
            "way": way,
            "accuracy": float(np.mean(own)),
            "minus FedAvg [95 %]": "" if way == OFTEN else str(paired(own, best)),
        }
        row |= {"uplinks": uplinks(results[0]), "clock s": float(np.mean([r.manifest["sim_seconds"] for r in results]))}
        row |= {"energy J": float(np.mean([r.manifest["joules"] for r in results]))}
        if way == TTHF:
            gammas = np.mean([rounds(one) for one in results], axis=0)
            row |= {"Gamma, turn 1": float(gammas[0]), "last turn": float(gammas[-1])}
        rows.append(row)
    return rows


def runs(quick: bool) -> list[tuple[int, int]]:
    """The seeds, and for each how many global synchronisations its run has."""
    return [(seed, 3) for seed in (1, 2)] if quick else [(seed, 10) for seed in (1, 2, 3, 4)]


@cache
def result(way: str, seed: int, syncs: int) -> Result:
    """Of the run."""
    return run(scenario(way, seed, syncs))


def scenario(way: str, seed: int, syncs: int) -> Scenario:
    """Four classrooms this way, for so many global synchronisations of ten turns."""
    classroom: dict[str, Any] = {"modules": ["*"], "rounds": 1 if way == OFTEN else PERIOD}
    campus: dict[str, Any] = {"modules": ["*"], "rounds": syncs * (PERIOD if way == OFTEN else 1)}
    if way != OFTEN:
        classroom["every"] = {"*": PERIOD}
    if WAYS[way] is not None:
        mixing = {"kind": "consensus", "rounds": WAYS[way], "mixed": "models", "report": "sampled"}
        classroom["peers"] = mixing | {"varying": FLICKERING}
    return Scenario.model_validate(
        {
            "title": QUESTION,
            "seed": seed,
            "topology": {
                "kind": "campus", "classrooms": ROOMS, "devices": TABLETS, "device": "android_tablet_budget",
            },
            "d2d": {"link": "wifi_direct", "neighbours": "everyone"},
            "data": {"source": "digits", "partition": {"kind": "dirichlet", "alpha": 0.5}},
            "model": {"kind": "mlp", "hidden": [32]},
            "plan": {"classroom": classroom, "campus": campus},
            "learning": {"optimizer": {"name": "sgd", "lr": RATE}, "batch_size": 16},
            "evaluate": {"every": PERIOD if way == OFTEN else 1, "tiers": ["campus"], "moments": ["after_merge"]},
            "final_broadcast": False,
        }
    )  # fmt: skip


def final(one: Result) -> float:
    """Accuracy of the campus after its last merge."""
    return float(one.metrics["value"].iloc[-1])


def uplinks(one: Result) -> int:
    """Reports that tablets sent to their classroom."""
    spans = one.spans
    return int(((spans["activity"] == "up") & (spans["kind"] == "transmit") & (spans["tier"] == "device")).sum())


def rounds(one: Result) -> np.ndarray:
    """Of mixing, the mean over the classrooms, turn by turn."""
    spans = one.spans
    sent = spans[(spans["activity"] == "sideways") & (spans["kind"] == "transmit")]
    room = sent["node"].str.rpartition("/")[0].rename("room")
    moments = sent.groupby([sent["round"], sent["turn"].astype(int), room])["start_s"].nunique()
    syncs = range(1, int(spans["round"].max()) + 1)
    every = pd.MultiIndex.from_product([syncs, range(PERIOD)])
    return moments.groupby(level=["round", "turn"]).sum().reindex(every, fill_value=0).to_numpy() / ROOMS


def draw(folder: Path, rows: Sequence[Row], quick: bool) -> None:
    """Accuracy over simulated time."""
    curves = {way: [result(way, *each).metrics for each in runs(quick)] for way in WAYS}
    draw_races(folder, "tthf", curves, "accuracy at the campus")


if __name__ == "__main__":
    ask(QUESTION, answer, draw)
