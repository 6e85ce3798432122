"""What the models reached, against simulated time, energy and traffic, and at the end.

A line is one tier at one moment: the mean over its nodes, at the mean of their times. Energy is that of all nodes, idle
included; bytes are those transmitted, each hop counted; both are of the spans that had ended by then.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.figures.files import RunFiles

LINE = ["model", "tier", "moment", "task", "name"]
FEDERATED = "federated"


def headline(metrics: pd.DataFrame) -> pd.DataFrame:
    """The rows that speak of everything: all groups, all modalities, and of the splits the one for testing."""
    for column, whole in (("group", "all"), ("modality", "all"), ("split", "test")):
        if (metrics[column] == whole).any():
            metrics = metrics[metrics[column] == whole]
    return metrics


def curves(files: RunFiles) -> pd.DataFrame:
    """The mean over nodes of every federated figure: a row per tier, moment, task, name and turn, in order of time."""
    rows = headline(files.metrics[files.metrics.model == FEDERATED])
    keys = [*LINE, "round", "turn"]
    means = {"time_s": ("time_s", "mean"), "nodes": ("node", "nunique"), "value": ("value", "mean")}
    rows = rows.groupby(keys, sort=False).agg(**means).reset_index()
    rows = _in_order(files, rows)
    return rows.assign(joules=joules_until(files, rows.time_s), nbytes=bytes_until(files, rows.time_s))


def joules_until(files: RunFiles, seconds: pd.Series) -> np.ndarray:
    """Joules of all nodes until each of *seconds*: idle, and the spans that have ended."""
    nodes = files.nodes[files.nodes.present_s > 0]
    present = nodes.present_s.to_numpy()
    steady = (nodes.idle_joules + nodes.other_joules).to_numpy() / present
    idle = np.minimum(seconds.to_numpy()[:, None], present) @ steady
    return np.asarray(idle + _ended(files.spans, "joules", seconds))


def bytes_until(files: RunFiles, seconds: pd.Series) -> np.ndarray:
    """Bytes that all nodes have transmitted in the spans that had ended at each of *seconds*."""
    return _ended(files.spans[files.spans.kind == "transmit"], "nbytes", seconds)


def _ended(spans: pd.DataFrame, amount: str, seconds: pd.Series) -> np.ndarray:
    spans = spans.sort_values("end_s", kind="stable")
    total = np.concatenate([[0.0], np.cumsum(spans[amount])])
    return np.asarray(total[np.searchsorted(spans.end_s, seconds, side="right")])


def references(files: RunFiles) -> pd.DataFrame:
    """The mean over nodes of every baseline: a row per model, tier, task and name."""
    rows = headline(files.metrics[files.metrics.model != FEDERATED])
    rows = rows.groupby(LINE, sort=False).agg(nodes=("node", "nunique"), value=("value", "mean"))
    return _in_order(files, rows.reset_index())


def _in_order(files: RunFiles, rows: pd.DataFrame) -> pd.DataFrame:
    """Tiers from the root down, everything else as it first occurs in the metrics; then by time."""
    names = dict.fromkeys([*files.tiers, *(name for column in LINE for name in files.metrics[column].unique())])
    rank = {name: place for place, name in enumerate(names)}
    by = [*LINE, *(column for column in ("time_s",) if column in rows)]
    key = {column: rows[column].map(rank) for column in LINE}
    return rows.loc[rows.assign(**key).sort_values(by, kind="stable").index].reset_index(drop=True)


def final(files: RunFiles) -> pd.DataFrame:
    """The last figure of each model, tier, moment and task, then what the whole run took."""
    lines = curves(files).groupby(LINE, sort=False).tail(1)
    costs = {
        "seconds": float(max(files.nodes.present_s.max(), files.spans.end_s.max())),
        "joules": float(files.nodes.total_joules.sum()),
        "bytes": int(files.spans.nbytes[files.spans.kind == "transmit"].sum()),
    }
    columns, nodes = [*LINE, "nodes", "value"], len(files.nodes)
    run = pd.DataFrame([(FEDERATED, "all", "end", "", n, nodes, v) for n, v in costs.items()], columns=columns)
    parts = [part[columns] for part in (lines, references(files), run) if len(part)]
    return pd.concat(parts, ignore_index=True)
