"""Which merge rules survive clients that send the reverse of what they have learned?

Twenty tablets under a cloud learn real digits, dealt a little unevenly (Dirichlet 10). Four of them, others for every
seed, send their update reversed: as long as it was, or five times as long, which turns the mean of all around. Accuracy
of the cloud's model after the last round, for plain averaging and for merge rules that are told of the share of liars
(a trimmed mean of 20 % at either end, Krum for four faults, alone or with a mean of ten) or are not (median, clipping).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.compare import paired
from experiments.figures.bars import draw_bars
from experiments.questions.asking import Row, ask
from experiments.run import run
from experiments.scenario import Scenario

QUESTION = "Which merge rules survive clients that send the reverse of what they have learned?"
CLIENTS, LIARS = 20, 4
RULES: Mapping[str, Any] = {
    "mean (FedAvg)": "fedavg",
    "median": "median",
    "trimmed mean": {"name": "trimmed_mean", "share": 0.2},
    "Krum": {"name": "krum", "faults": LIARS},
    "multi-Krum": {"name": "krum", "faults": LIARS, "keep": 10},
    "norm clip": {"name": "norm_clip", "norm": 0.3},
}
HONEST, WORST = "nobody lies", "5 times reversed"
LOST = "5 times minus clean mean [95 %]"
AXIS = "accuracy on held-out digits, 95 % of the paired\ndifference to averaging while nobody lies"
SCALES = {HONEST: 0.0, "reversed": 1.0, WORST: 5.0}


def answer(quick: bool) -> Sequence[Row]:
    """A row per rule: its accuracy under each attack, and under the strongest less that of averaging without any."""
    seeds, rounds = ((1, 2), 10) if quick else ((1, 2, 3, 4), 30)
    attacks = (HONEST, WORST) if quick else tuple(SCALES)
    found = {
        rule: {attack: [accuracy(rule, SCALES[attack], seed, rounds) for seed in seeds] for attack in attacks}
        for rule in RULES
    }
    clean = found["mean (FedAvg)"][HONEST]
    rows = []
    for rule, by_attack in found.items():
        means = {attack: float(np.mean(values)) for attack, values in by_attack.items()}
        lost = str(paired(by_attack[WORST], clean))
        rows.append({"merges by": rule, **means, LOST: lost})
    return rows


def accuracy(rule: str, scale: float, seed: int, rounds: int) -> float:
    """Of the cloud's model after the last round; *scale* 0: nobody lies."""
    return float(run(scenario(rule, scale, seed, rounds)).metrics["value"].iloc[-1])


def scenario(rule: str, scale: float, seed: int, rounds: int) -> Scenario:
    """The star with this rule, and liars that go back *scale* times their update."""
    liars = [f"tablet{i}" for i in range(seed % 5, CLIENTS, CLIENTS // LIARS)]
    attack = [{"name": "sign_flip", "clients": liars, "scale": scale}] if scale else []
    return Scenario.model_validate(
        {
            "title": QUESTION,
            "seed": seed,
            "topology": {"kind": "star", "clients": CLIENTS, "device": "android_tablet_budget"},
            "data": {"source": "digits", "partition": {"kind": "dirichlet", "alpha": 10.0}},
            "model": {"kind": "mlp", "hidden": [64]},
            "plan": {"cloud": {"modules": ["*"], "rounds": rounds}},
            "learning": {
                "algorithm": [RULES[rule], *attack],
                "optimizer": {"name": "sgd", "lr": 0.1},
                "local_epochs": 2,
            },
            "evaluate": {"every": rounds, "tiers": ["cloud"], "moments": ["after_merge"]},
            "final_broadcast": False,
        }
    )


def draw(folder: Path, rows: Sequence[Row], quick: bool) -> None:
    """Accuracy by rule and attack, with the intervals of what the strongest takes from averaging without any."""
    attacks = [name for name in SCALES if name in rows[0]]
    draw_bars(folder, "sign_flippers", rows, "merges by", attacks, AXIS, LOST)


if __name__ == "__main__":
    ask(QUESTION, answer, draw)
