"""What should stay in the class, what in the school, and what should be shared by all?

Project STAR, kindergarten, every class a client of its school. One linear model with additive offsets of the school and
of the class, and only the plan differs: everything travels to the cloud; each module has its own scope (the head to the
cloud, the school's offset to the school, the class's offset nowhere); nothing leaves the school; nothing leaves the
class. Test mean squared error over all held-out pupils (z scores, mean of read and math), at the class's node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.compare import paired
from experiments.figures.bars import draw_bars
from experiments.questions.asking import Row, ask
from experiments.questions.hierarchy_vs_star import FEW, SCENARIO
from experiments.run import Result, run
from experiments.scenario import Scenario

QUESTION = "What should stay in the class, what in the school, and what should be shared by all?"
EVERYTHING = '{modules: ["*"], rounds: ROUNDS}'
PLANS: Mapping[str, str] = {
    "all shared": f"{{campus: {{modules: ['*']}}, cloud: {EVERYTHING}}}",
    "each module its scope": "{campus: {modules: ['head.*', offset.campus]}, "
    "cloud: {modules: ['head.*'], rounds: ROUNDS}}",
    "nothing leaves the school": f"{{campus: {EVERYTHING}}}",
}
OWN, LOCAL = "each module its scope", "nothing leaves the class"
DIFFERENCE = "minus own scopes [95 %]"
SENT = {"from classes MB": "classroom", "from schools MB": "campus"}


def answer(quick: bool) -> Sequence[Row]:
    """A row per plan: its error, the paired difference to each module having its scope, and what it sent."""
    seeds, rounds, few = ((1, 2), 3, FEW) if quick else ((1, 2, 3, 4), 15, {"data.grades": "[K]"})
    found: dict[str, list[dict[str, float]]] = {}
    for seed in seeds:
        for name, plan in PLANS.items():
            result = run(Scenario.load(SCENARIO, _lines(plan, rounds, local=name == OWN) | few, seed))
            found.setdefault(name, []).append({"mse": error(result), **_costs(result)})
            if name == OWN:
                found.setdefault(LOCAL, []).append({"mse": error(result, "local"), **dict.fromkeys(SENT, 0.0)})
    own = [row["mse"] for row in found[OWN]]
    return [_row(name, rows, own) for name, rows in found.items()]


def _lines(plan: str, rounds: int, *, local: bool) -> dict[str, str]:
    return {
        "plan": plan.replace("ROUNDS", str(rounds)),
        "baselines": "[local]" if local else "[]",
        "evaluate.every": str(rounds),
        "plots": "false",
    }


def error(result: Result, model: str = "federated") -> float:
    """Over all held-out pupils and both tasks, at the end."""
    study, table = result.built.study, result.metrics
    assert study is not None
    table = table[table["model"] == model]
    if model == "federated":
        table = table[table["time_s"] == table.groupby("node")["time_s"].transform("max")]
    pupils = table["node"].map({node: len(client.test) for node, client in study.clients.items()})
    return float(np.average(table["value"][pupils.notna()], weights=pupils.dropna()))


def _costs(result: Result) -> dict[str, float]:
    sent = result.spans
    sent = sent[(sent["kind"] == "transmit") & (sent["activity"] == "up")]
    by_tier = sent.groupby("tier")["nbytes"].sum() / 1e6
    return {name: float(by_tier.get(tier, 0)) for name, tier in SENT.items()}


def _row(name: str, rows: Sequence[Mapping[str, float]], own: Sequence[float]) -> Row:
    errors = [row["mse"] for row in rows]
    against = "" if name == OWN else str(paired(errors, own))
    means = pd.DataFrame(list(rows)).mean().to_dict()
    return {"plan": name, "test MSE": means.pop("mse"), DIFFERENCE: against, **means}


def draw(folder: Path, rows: Sequence[Row], quick: bool) -> None:
    """Errors as bars, with the intervals of their differences to each module having its scope."""
    axis = "test mean squared error (z scores),\n95 % of the paired difference to own scopes"
    draw_bars(folder, "what_stays_local", rows, "plan", ["test MSE"], axis, DIFFERENCE)


if __name__ == "__main__":
    ask(QUESTION, answer, draw)
