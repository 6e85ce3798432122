"""What does the hierarchy buy on real schools?

Project STAR, grades K and 1, every class a client. A linear model is federated over a star, and over the tree of
classes, schools and cloud with additive offsets owned by the school and the class. Beside it: ridge regression on
pooled data, per school, per class, and pooled with school and class effects. Test mean squared error over all held-out
pupils (z scores within grade, mean of read and math), federated models at the class's node after the last broadcast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV

from experiments.build import Built
from experiments.compare import paired
from experiments.pooled import FOLDS, Pooled, Table
from experiments.questions.asking import Row, ask
from experiments.run import Result, run
from experiments.scenario import Scenario

SCENARIO = Path(__file__).parents[1] / "scenarios" / "star_schools.yaml"
FEW = {"data.grades": "[K]", "data.minimum": "20"}  # classes: large ones of the kindergarten
ALPHAS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
POOLED_AT = {"tier": "all classes", "moment": "fitted once"}


def answer(quick: bool) -> Sequence[Row]:
    """One row per model: its error over the seeds, the paired difference to the star, what it cost."""
    seeds, keys = ((1, 2), {"plan.cloud.rounds": "3"} | FEW) if quick else ((1, 2, 3, 4), {})
    rows: dict[str, list[Row]] = {}
    picks: dict[str, Mapping[str, Any]] = {}  # tuned once per study, on the first seed
    for seed in seeds:
        for name, row in _one_seed(seed, keys, picks):
            rows.setdefault(name, []).append(row)
    for task, pick in picks.items():
        print(f"pooled mixed effects, {task}: tuned by {FOLDS}-fold cross-validation -> {dict(pick)}", file=sys.stderr)
    star = [float(row["mse"]) for row in rows["FedAvg on a star"]]
    return [_summary(name, some, star) for name, some in rows.items()]


def _summary(name: str, rows: Sequence[Row], star: Sequence[float]) -> Row:
    errors = [float(row["mse"]) for row in rows]
    against = "" if name == "FedAvg on a star" else str(paired(errors, star))
    costs = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key.endswith((" s", " J", " MB"))}
    place = {key: rows[0][key] for key in ("tier", "moment")}
    return {"model": name, **place, "test MSE": float(np.mean(errors)), "minus star [95 %]": against, **costs}


def _one_seed(seed: int, keys: dict[str, str], picks: dict[str, Mapping[str, Any]]) -> Iterable[tuple[str, Row]]:
    rounds = keys.get("plan.cloud.rounds", "15")
    base = {**keys, "baselines": "[]", "plots": "false", "evaluate.every": rounds}
    star = {"topology": "{kind: star, link: school_broadband, device: raspberry_pi5}", "model.offsets": "[]"}
    star |= {"plan": f"{{cloud: {{modules: ['head.*'], rounds: {rounds}}}}}"}
    star |= {"stages": "[{name: federate, at: device, trainable: ['head.*']}]", "evaluate.tiers": "[device]"}
    campus = {"model.offsets": "[campus]"}
    for name, changes in (
        ("FedAvg on a star", {k: v for k, v in base.items() if k != "plan.cloud.rounds"} | star),
        ("tree, offsets of campus", base | campus),
        ("tree, offsets of campus and class", base),
    ):
        result = run(Scenario.load(SCENARIO, changes, seed))
        (tier,) = set(result.metrics["tier"])  # on the star a class is a device of the cloud
        yield name, {"tier": tier, "moment": "after_broadcast", "mse": federated_error(result), **_costs(result)}
    yield from _classical(result.built, seed, picks)


def federated_error(result: Result) -> float:
    """Over all held-out pupils and both tasks, after the last broadcast."""
    study = result.built.study
    assert study is not None
    table = result.metrics
    table = table[(table["round"] == table["round"].max()) & (table["moment"] == "after_broadcast")]
    pupils = table["node"].map({node: len(client.test) for node, client in study.clients.items()})
    return float(np.average(table["value"], weights=pupils))


def _costs(result: Result) -> Row:
    spans = result.spans
    nbytes = spans[(spans["tier"] == "cloud") & (spans["kind"] == "receive")]["nbytes"].sum()
    figures = result.manifest
    return {"clock s": figures["sim_seconds"], "energy J": figures["joules"], "to cloud MB": nbytes / 1e6}


def _classical(built: Built, seed: int, picks: dict[str, Mapping[str, Any]]) -> Iterable[tuple[str, Row]]:
    study, tree = built.study, built.hierarchy
    assert study is not None
    errors: dict[str, list[float]] = {}
    for task in study.tasks.values():
        train = Table.of(task.name, {n: c.train for n, c in study.clients.items()}, study)
        test = Table.of(task.name, {n: c.test for n, c in study.clients.items()}, study)
        mixed = Pooled.fitted("pooled_mixed", task, train, tree, seed, picks.get(task.name))
        picks.setdefault(task.name, mixed.pick)
        guesses = {
            "ridge, pooled": grouped_ridge(train, test, lambda owner: ""),
            "ridge per school": grouped_ridge(train, test, lambda owner: str(tree.parent(owner))),
            "ridge per class": grouped_ridge(train, test, lambda owner: owner),
            "ridge, pooled, school and class effects": mixed.predict(test),
        }
        for name, guess in guesses.items():
            errors.setdefault(name, []).append(float(np.mean((guess - test.target) ** 2)))
    for name, values in errors.items():
        yield name, {**POOLED_AT, "mse": float(np.mean(values))}


def grouped_ridge(train: Table, test: Table, group: Callable[[str], str]) -> np.ndarray:
    """Predictions of one ridge regression per group; one penalty for all, the best in leave-one-out within groups."""
    groups = np.array([group(owner) for owner in train.owners])
    wanted = np.array([group(owner) for owner in test.owners])
    errors = np.zeros(len(ALPHAS))
    for name in np.unique(groups):
        own = groups == name
        errors += RidgeCV(ALPHAS, store_cv_results=True).fit(train.features[own], train.target[own]).cv_results_.sum(0)
    alpha, out = ALPHAS[int(errors.argmin())], np.zeros(len(test.target))
    for name in np.unique(wanted):
        model = Ridge(alpha).fit(train.features[groups == name], train.target[groups == name])
        out[wanted == name] = model.predict(test.features[wanted == name])
    return out


if __name__ == "__main__":
    ask("What does the hierarchy buy on real schools?", answer)
