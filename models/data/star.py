"""Project STAR: real pupils in their real classes and schools, with reading and mathematics as two tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from models.data.samples import Client, Samples, Study, Task
from models.data.star_table import CODES, GRADES, read_star
from models.data.streams import stream

SCORES = ("read", "math")
NUMERIC = ("exp", "age")
INDICATORS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cltype", CODES["cltype"]),
    ("hdeg", (*CODES["hdeg"], "")),
    ("clad", (*CODES["clad"], "")),
    ("trace", ("W", "B")),
    ("ses", ("F", "")),
    ("schtype", CODES["schtype"]),
    ("sx", ("F",)),
    ("eth", ("B",)),
)
"""Which values of which columns become a 0/1 feature; "" is missing."""


def star_study(
    path: str | Path,
    *,
    grades: Sequence[str] = ("K", "1"),
    minimum: int = 8,
    holdout: float = 0.25,
    seed: int,
) -> tuple[pd.DataFrame, Study]:
    """The rosters (student, class, school) of these grades, and the study whose clients are the classes.

    The class of a roster's row is the client ``f"{school}/{class}"``, such as ``school28/class478``. Pupils count
    with both scores, in classes of at least *minimum* such pupils; *holdout* of each class is its test. Scores are
    z-scored within grade and numeric features standardised, both by the training pupils' means and deviations;
    0/1 features stay as they are. ``study.test`` is all held-out pupils. ValueError and FileNotFoundError name file,
    line and column.
    """
    _check(grades, minimum, holdout)
    pupils = _pupils(read_star(path), grades, minimum)
    if pupils.empty:
        raise ValueError(
            f"{path}: no class of grades {', '.join(grades)} has {minimum} pupils with both scores; "
            f"lower minimum or give other grades"
        )
    held_out = _held_out(pupils, holdout, seed)
    record, scores = _features(pupils, ~held_out), _scores(pupils, ~held_out)
    clients = {}
    for node, rows in _groups(pupils["node"]).items():
        train, test = rows[~held_out[rows]], rows[held_out[rows]]
        clients[node] = Client(train=_samples(record, scores, train), test=_samples(record, scores, test))
    rosters = pd.DataFrame(
        {
            "student": "pupil" + pupils["id"].astype(str),
            "class": "class" + pupils["tch"].astype(str),
            "school": "school" + pupils["sch"].astype(str),
        }
    )
    tasks = {t: Task(t) for t in SCORES}
    exam = _samples(record, scores, np.flatnonzero(held_out))
    return rosters, Study({"record": (record.shape[1],)}, tasks, clients, exam)


def _check(grades: Sequence[str], minimum: int, holdout: float) -> None:
    unknown = [g for g in grades if g not in GRADES]
    if unknown or not grades or isinstance(grades, str):
        raise ValueError(f"star: grades must be some of {', '.join(GRADES)}, got {grades!r}")
    if minimum < 2:
        raise ValueError(f"star: minimum must be >= 2 (one to train on, one to test), got {minimum}")
    if not 0 < holdout < 1:
        raise ValueError(f"star: holdout must be between 0 and 1, got {holdout}")


def _pupils(table: pd.DataFrame, grades: Sequence[str], minimum: int) -> pd.DataFrame:
    """Who takes part, school by school and class by class, with the node's name."""
    pupils = table[table["gr"].isin(list(grades)) & table[list(SCORES)].notna().all(axis=1)]
    pupils = pupils[pupils.groupby(["sch", "tch"])["id"].transform("size") >= minimum]
    pupils = pupils.sort_values(["sch", "tch", "id"], kind="stable").reset_index(drop=True)
    node = "school" + pupils["sch"].astype(str) + "/class" + pupils["tch"].astype(str)
    return pupils.assign(node=node)


def _held_out(pupils: pd.DataFrame, holdout: float, seed: int) -> NDArray[np.bool_]:
    """Which pupils test: this fraction of each class, rounded, at least one, never all."""
    mask = np.zeros(len(pupils), bool)
    for node, rows in _groups(pupils["node"]).items():
        count = min(max(1, round(holdout * len(rows))), len(rows) - 1)
        mask[stream(seed, "star.holdout", node).permutation(rows)[:count]] = True
    return mask


def feature_names() -> tuple[str, ...]:
    """The 31 columns of the modality ``record``, in order; ``grade`` is years after kindergarten."""
    flags = [f"{column}:{value or 'missing'}" for column, values in INDICATORS for value in values]
    return (*NUMERIC, "grade", *flags, "eth:other")


def _features(pupils: pd.DataFrame, train: NDArray[np.bool_]) -> NDArray[np.float32]:
    """``[pupils, 31]``, columns as in `feature_names`; a missing number counts as the training mean."""
    columns = []
    for name in NUMERIC:
        values = pupils[name].to_numpy(float)
        known = values[train & ~np.isnan(values)]
        mean, deviation = (known.mean(), known.std() or 1.0) if len(known) else (0.0, 1.0)
        columns.append(np.nan_to_num((values - mean) / deviation))
    columns.append(pupils["gr"].map(GRADES.index).to_numpy(float))
    columns += [(pupils[column] == value).to_numpy(float) for column, values in INDICATORS for value in values]
    columns.append((~pupils["eth"].isin(["W", "B"])).to_numpy(float))
    return np.stack(columns, 1).astype(np.float32)


def _scores(pupils: pd.DataFrame, train: NDArray[np.bool_]) -> NDArray[np.float32]:
    """``[pupils, 2]``: each score in deviations from its grade's mean, both of the training pupils."""
    raw = pupils[list(SCORES)].to_numpy(float)
    scores = np.empty_like(raw)
    for rows in _groups(pupils["gr"]).values():
        known = raw[rows[train[rows]]]
        deviation = known.std(axis=0)
        scores[rows] = (raw[rows] - known.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return scores.astype(np.float32)


def _groups(names: pd.Series) -> dict[str, NDArray[np.int64]]:
    """Row numbers by name, in the order of first appearance."""
    codes, found = pd.factorize(names)
    order = np.argsort(codes, kind="stable")
    return dict(zip(map(str, found), np.split(order, np.cumsum(np.bincount(codes))[:-1]), strict=True))


def _samples(record: NDArray[np.float32], scores: NDArray[np.float32], rows: NDArray[np.int64]) -> Samples:
    targets = {t: torch.from_numpy(scores[rows, i]) for i, t in enumerate(SCORES)}
    return Samples({"record": torch.from_numpy(record[rows])}, targets)
