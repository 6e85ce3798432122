"""Does the federation of the main job beat learning alone, and does its pre-trained trunk beat a random one?

The scenario campus.yaml over five seeds. Paired differences over the seeds, with 95 % intervals: federated against
every student alone from the same pre-trained start with the same steps (local) and against no rounds at all (zero), at
the devices on held-out samples in their own mix; and the pre-trained trunk against a frozen one of random weights:
behind encoders that were pre-trained through it in the same way (so that the trunk is the only difference), and with no
pre-training at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.compare import paired
from experiments.questions.asking import Row, ask
from experiments.run import run
from experiments.scenario import Scenario
from experiments.summary import Cell, final_figures

SCENARIO = Path(__file__).parents[1] / "scenarios" / "campus.yaml"
FEDERATED: tuple[Cell, ...] = (("federated", "cloud", "after_merge"), ("federated", "device", "after_broadcast"))
DEVICES = FEDERATED[1]
FEDERATE = "[{name: federate, at: device, trainable: ['encoder.*', adapter, 'head.*', 'offset.*']}]"
SMALL = {"topology.campuses": "1", "topology.classrooms": "2", "topology.devices": "4", "plan.cloud.rounds": "2"}
SMALL |= {"learning.local_epochs": "1", "stages.0.epochs": "5", "model.trunk.layers": "1", "data.public": "160"}
Figures = dict[Cell, dict[str, float]]


def answer(quick: bool) -> Sequence[Row]:
    """One row per model and task, then one per comparison and task."""
    seeds, keys = ((1, 2), SMALL) if quick else ((1, 2, 3, 4, 5), {})
    keys = {**keys, "plots": "false", "evaluate.every": keys.get("plan.cloud.rounds", "20")}
    pretrained = [_figures(keys | {"baselines": "[zero, local]"}, seed) for seed in seeds]
    frozen = {"baselines": "[]", "stages.0.trainable": "['encoder.*', 'decoder.*']"}
    random = [_figures(keys | frozen, seed) for seed in seeds]
    fresh = {k: v for k, v in keys.items() if not k.startswith("stages")} | {"baselines": "[]", "stages": FEDERATE}
    untaught = [_figures(fresh, seed) for seed in seeds]
    zero, local = (("zero", "device", "baseline"), ("local", "device", "baseline"))
    rows = [_level(pretrained, cell) for cell in (*FEDERATED, zero, local)]
    rows += [{**_level(random, cell), "model": "federated, random trunk"} for cell in FEDERATED]
    rows += [{**_level(untaught, cell), "model": "federated, no pre-training"} for cell in FEDERATED]
    for name, cell in (("local", local), ("zero", zero)):
        rows.append(_difference(f"federated minus {name}", pretrained, DEVICES, pretrained, cell))
    for name, others in (("pre-trained minus random trunk", random), ("pre-training minus none", untaught)):
        rows += [_difference(name, pretrained, cell, others, cell) for cell in FEDERATED]
    return rows


def _figures(keys: dict[str, str], seed: int) -> Figures:
    return final_figures(run(Scenario.load(SCENARIO, keys, seed)).log)


def _level(seeds: Sequence[Figures], cell: Cell) -> Row:
    means = {name: float(np.mean([figures[cell][name] for figures in seeds])) for name in seeds[0].get(cell, {})}
    return {"model": cell[0], "tier": cell[1], "moment": cell[2], **means}


def _difference(name: str, ours: Sequence[Figures], cell: Cell, theirs: Sequence[Figures], other: Cell) -> Row:
    shown = {
        task: str(paired([figures[cell][task] for figures in ours], [figures[other][task] for figures in theirs]))
        for task in ours[0][cell]
        if task in theirs[0].get(other, {})
    }
    return {"model": name, "tier": cell[1], "moment": cell[2], **shown}


if __name__ == "__main__":
    ask("What does a campus learn together?", answer)
