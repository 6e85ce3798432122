"""Classical models that see all clients' data in one place, tuned by cross-validation once per study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from models.data.samples import Samples, Study, Task
from models.evaluation import Score
from topologies.hierarchy import Hierarchy

FOLDS = 3
SCALES = (1.0, 3.0)  # of a group indicator, against a feature of variance 1
POOLED = ("pooled_linear", "pooled_mixed", "pooled_trees")
Matrix = NDArray[np.float64]
Grid = Mapping[str, Sequence[Any]]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Table:
    """Samples of many clients as a matrix of features (NaN: a modality is lacking), targets, and whose they are."""

    features: Matrix
    target: NDArray[Any]
    owners: NDArray[np.str_]

    @classmethod
    def of(cls, task: str, parts: Mapping[str, Samples], study: Study) -> Table:
        """Those of *parts* (by client) that have the *task*."""
        held = {node: samples for node, samples in parts.items() if task in samples.targets}
        return cls(
            np.concatenate([flat(samples, study.modalities) for samples in held.values()]),
            np.concatenate([samples.targets[task].numpy() for samples in held.values()]),
            np.repeat(list(held), [len(samples) for samples in held.values()]),
        )


def flat(samples: Samples, modalities: Mapping[str, tuple[int, ...]]) -> Matrix:
    """All modalities side by side, ``[n, features]``; NaN where one is lacking."""
    n = len(samples)
    parts = [
        samples.inputs[m].reshape(n, -1).numpy().astype(float)
        if m in samples.inputs
        else np.full((n, int(np.prod(shape))), np.nan)
        for m, shape in modalities.items()
    ]
    return np.concatenate(parts, axis=1)


def one_thread(work: F) -> F:
    """*work* on one thread: several are many times slower on small problems, and sums depend on how many there are."""
    return cast(F, threadpool_limits.wrap(limits=1)(work))


def pooled_scores(hierarchy: Hierarchy, study: Study, name: str, seed: int) -> tuple[list[Score], list[str]]:
    """Scores of one pooled model on every client's held-out samples and on the root's, and how it was tuned."""
    out, picks = [], []
    root = hierarchy.root
    for task in study.tasks.values():
        train = Table.of(task.name, {n: c.train for n, c in study.clients.items()}, study)
        model = Pooled.fitted(name, task, train, hierarchy, seed)
        picks.append(f"{name} {task.name}: {model.grid}, {FOLDS} folds -> {model.pick}")
        test = Table.of(task.name, {**{n: c.test for n, c in study.clients.items()}, root: study.test}, study)
        guess = model.predict(test)
        for node in dict.fromkeys(test.owners):
            own = test.owners == node
            value = _figure(task, guess[own], test.target[own])
            out.append(Score(str(node), task.name, "all", "test", "all", *value))
    return out, picks


def _figure(task: Task, guess: NDArray[Any], target: NDArray[Any]) -> tuple[str, float]:
    if task.classes:
        return "accuracy", float((guess == target).mean())
    return "mse", float(((guess - target) ** 2).mean())


@dataclass(frozen=True)
class Pooled:
    """A tuned model and how it looks at a table."""

    model: Any
    view: Callable[[Table], Matrix]
    grid: dict[str, Any]
    pick: dict[str, Any]

    @classmethod
    @one_thread
    def fitted(
        cls, name: str, task: Task, train: Table, hierarchy: Hierarchy, seed: int, pick: Mapping[str, Any] | None = None
    ) -> Pooled:
        """The best of a small grid, by cross-validation on the pooled training samples, then fitted to all of them.

        With *pick*, what was found best before is taken, and nothing is tuned.

        ``pooled_mixed`` is ridge (classes: logistic regression with the same penalty) on the features and on an
        indicator of each school and each class; how much more freely than a feature these may move is in the grid.
        """
        model, grid = _model(name, task, seed)
        scales = SCALES if name == "pooled_mixed" else (0.0,)
        tried = {**grid, **({"group_scale": list(scales)} if len(scales) > 1 else {})}
        if pick is not None:
            own = dict(pick)
            view = _view(name, train, hierarchy, own.pop("group_scale", 0.0))
            return cls(model.set_params(**own).fit(view(train), train.target), view, tried, dict(pick))
        folds = KFold(FOLDS, shuffle=True, random_state=seed)
        scoring = "accuracy" if task.classes else "neg_mean_squared_error"
        best: tuple[float, Pooled] | None = None
        for scale in scales:
            view = _view(name, train, hierarchy, scale)
            search = GridSearchCV(model, dict(grid), cv=folds, scoring=scoring).fit(view(train), train.target)
            found = {**search.best_params_, **({"group_scale": scale} if len(scales) > 1 else {})}
            if best is None or search.best_score_ > best[0]:
                best = float(search.best_score_), cls(search.best_estimator_, view, tried, found)
        assert best is not None
        return best[1]

    @one_thread
    def predict(self, table: Table) -> NDArray[Any]:
        """A class or a number per row."""
        return np.asarray(self.model.predict(self.view(table)))


def _model(name: str, task: Task, seed: int) -> tuple[Any, Grid]:
    if name == "pooled_trees":
        kind = HistGradientBoostingClassifier if task.classes else HistGradientBoostingRegressor
        return kind(max_iter=60, early_stopping=False, random_state=seed), {"max_leaf_nodes": [4, 12]}
    if task.classes:
        return LogisticRegression(max_iter=500), {"C": [0.01, 0.1, 1.0]}
    return Ridge(solver="cholesky"), {"alpha": [1.0, 10.0, 100.0]}


def _view(name: str, train: Table, hierarchy: Hierarchy, scale: float) -> Callable[[Table], Matrix]:
    if name == "pooled_trees":
        return lambda table: table.features
    scaler = make_pipeline(StandardScaler()).fit(np.nan_to_num(train.features))
    memberships = {owner: _groups(hierarchy, owner) for owner in dict.fromkeys(train.owners)}
    columns = {group: i for i, group in enumerate(dict.fromkeys(g for own in memberships.values() for g in own))}

    def view(table: Table) -> Matrix:
        lacking = np.isnan(table.features)
        features = np.where(lacking, 0.0, scaler.transform(np.nan_to_num(table.features)))
        starts = np.flatnonzero(np.any(np.diff(lacking.astype(int), axis=1, prepend=-1), axis=0))
        blocks = [features, lacking[:, starts].astype(float)]
        if name == "pooled_mixed":
            indicators = np.zeros((len(table.owners), len(columns)))
            for row, owner in enumerate(table.owners):
                indicators[row, [columns[group] for group in memberships.get(owner, ())]] = scale
            blocks.append(indicators)
        return np.concatenate(blocks, axis=1)

    return view


def _groups(hierarchy: Hierarchy, owner: str) -> list[str]:
    """The class and the school of a client, itself included where it is a class; nothing for the root."""
    path = hierarchy.path_up(owner)[:-1]
    return [node for node in path if hierarchy.tier(node) in ("classroom", "campus")]
