"""How accurate are the rows of H-FedFM's table, beside their seconds and joules, when the learning is real?

A small M3T model learns two tasks with classes in the prototype's network (40 users, 10 edges, a cloud), 20 rounds of
the edges, its heads given. Time and energy are in the prototype's accounting, every message counted as its 6 MB; beside
it the same with the bytes of the model that is trained. Figures are means per round over whole cycles.

Relays gather all models of a cluster at its head, which merges them by votes: what an edge would do. So a row with D2D
shares the learning of the row without (``tests/questions/test_hfedfm_learned.py`` holds the weights equal); it is
trained for one seed, for its costs, which no seed changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pandas as pd

from experiments.build import build
from experiments.compare import paired
from experiments.costs_only import costs_alone
from experiments.figures.learned_rows import draw_rows
from experiments.questions.asking import Row, ask
from experiments.questions.hfedfm_table import SCENARIO
from experiments.run import Result, run
from experiments.scenario import Scenario
from experiments.simulation import simulated
from simulator.records import Log

QUESTION = "How accurate are the rows of H-FedFM's table when the learning is real?"
HEADS = (1, 5, 11, 14, 17, 23, 27, 29, 33, 38)
NEVER = 1000  # turns between two reports: the cloud never hears of it
ROWS: Mapping[str, tuple[int, bool]] = {  # rounds between merges in the cloud, and whether users relay among themselves
    "star": (1, False),
    "edge_only": (NEVER, False),
    "edge_only_d2d": (NEVER, True),
    "hfedfm_2": (2, False),
    "hfedfm_8": (8, False),
    "hfedfm_d2d_2": (2, True),
    "hfedfm_d2d_8": (8, True),
}
TASKS = ("answer", "engagement")
LINES = {
    "model": f"{{width: 32, trunk: {{layers: 1}}, adapters: {{width: 8}}, tasks: [{', '.join(TASKS)}]}}",
    "data": "{source: campus, public: 0}",
    "learning": "{optimizer: {name: adamw, lr: 5e-3}, local_epochs: 2, payload: 6 MB}",
}
SMALL = {"model.width": "8", "learning.local_epochs": "1", "data.test": "100"}
ALL = "['encoder.*', trunk, adapter, 'head.*']"


@dataclass(frozen=True)
class Learned:
    """A row of the table for one seed: accuracy after the last round by (who, task), and what each round took."""

    scores: Mapping[tuple[str, str], float]
    costs: pd.DataFrame  # by round: the clock at its end, joules until then


def scenario(row: str, seed: int, rounds: int, lines: Mapping[str, str] | None = None) -> Scenario:
    """A row of the table with a model that learns."""
    every, d2d = ROWS[row]
    edge, cloud = f"modules: {ALL}", f"modules: {ALL}, rounds: {rounds}, every: {{'*': {every}}}"
    own = LINES | {"evaluate.every": str(rounds)}
    if row == "star":
        own |= {"topology.star": "true", "plan": f"{{cloud: {{{cloud}}}}}"}
        own |= {"evaluate.tiers": "[device, cloud]", "evaluate.moments": "[before_merge, after_merge]"}
    else:
        if d2d:
            heads = ", ".join(f"user{head}" for head in HEADS)
            edge += f", every: {{'*': {every}}}, peers: {{kind: relay, head: {{given: [{heads}]}}, broadcast: between}}"
            own["topology.uplinks"] = "cluster_mean"
        own |= {"plan": f"{{cloud: {{{cloud}}}, edge: {{{edge}}}}}"}
        own |= {"evaluate.tiers": "[device, edge]", "evaluate.moments": "[before_merge]"}
    return Scenario.load(SCENARIO, own | dict(lines or {}), seed)


@cache
def result(row: str, seed: int, rounds: int, quick: bool) -> Result:
    """Of the run."""
    return run(scenario(row, seed, rounds, SMALL if quick else {}))


def learned(row: str, seed: int, rounds: int, quick: bool) -> Learned:
    """One run: users scored on their own mix before they report, their servers, having merged, on all classes."""
    done = result(row, seed, rounds, quick)
    table = done.metrics[done.metrics["round"] == rounds]
    who = table["tier"].map(lambda tier: "users" if tier == "device" else "servers")
    return Learned(table.groupby([who, table["task"]])["value"].mean().to_dict(), by_round(done.spans))


def by_round(spans: pd.DataFrame) -> pd.DataFrame:
    """What a run took until the end of each round: seconds and joules."""
    by_round = spans.groupby("round")
    return pd.DataFrame({"seconds": by_round["end_s"].max(), "joules": by_round["joules"].sum().cumsum()})


def per_round(row: str, costs: pd.DataFrame) -> tuple[float, float]:
    """Seconds and joules of a round, the mean over the whole cycles of a run."""
    every, rounds = ROWS[row][0], int(costs.index.max())
    last = rounds if every > rounds else rounds // every * every
    return float(costs["seconds"][last]) / last, float(costs["joules"][last]) / last


def with_own_bytes(row: str, rounds: int, lines: Mapping[str, str]) -> tuple[float, float]:
    """Seconds and joules of a round if messages count as the bytes of what is in them."""
    built = build(scenario(row, 1, rounds, {**lines, "learning.payload": "null"}))
    log = Log()
    simulated(replace(built, workload=costs_alone(built)), log)
    return per_round(row, by_round(log.frame("spans")))


def answer(quick: bool) -> Sequence[Row]:
    """A row per row of the table: what a round costs, and how accurate users and servers are after the last."""
    seeds, rounds = ((1, 2), 8) if quick else ((1, 2, 3, 4, 5), 20)
    found: dict[str, list[Learned]] = {}
    for row, (_, d2d) in ROWS.items():
        found[row] = [learned(row, seed, rounds, quick) for seed in (seeds[:1] if d2d else seeds)]
    return [_row(row, found, rounds, SMALL if quick else {}) for row in ROWS]


def _row(row: str, found: Mapping[str, Sequence[Learned]], rounds: int, lines: Mapping[str, str]) -> Row:
    alike = row.replace("_d2d", "")
    seconds, joules = per_round(row, found[row][0].costs)
    own_seconds, own_joules = with_own_bytes(row, rounds, lines)
    out: dict[str, object] = {"row": row, "s a round": seconds, "J a round": joules}
    out |= {"own bytes, s": own_seconds, "own bytes, J": own_joules}
    for who in ("users", "servers"):
        for task in TASKS:
            ours, star = ([one.scores[who, task] for one in found[name]] for name in (alike, "star"))
            out[f"{who} {task}"] = math.fsum(ours) / len(ours)
            if who == "servers":
                own, against = paired(ours, [0.0] * len(ours)), paired(ours, star)
                out[f"{task} - star"] = f"[{own.low:.3f}, {own.high:.3f}]" if row == "star" else str(against)
    return out


def draw(folder: Path, rows: Sequence[Row], quick: bool) -> None:
    """What the servers know, beside what a round costs."""
    draw_rows(folder, "hfedfm_learned", rows, {"s a round": "seconds a round", "J a round": "joules a round"}, TASKS)


if __name__ == "__main__":
    ask(QUESTION, answer, draw)
