"""What each set of modalities is good for: a pooled model's held-out scores on all subsets of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from models.data.samples import Samples, Study, Task


def accuracies(study: Study) -> pd.DataFrame:
    """One row per non-empty subset of modalities, one column per task: accuracy, or R^2 where the task is a number.

    The model is a support vector machine (radial kernel, standardised features) on all clients' training samples
    pooled, scored on ``study.test``. A missing modality counts as its mean; who lacks the whole subset is left out.
    """
    names = list(study.modalities)
    subsets = [s for size in range(1, len(names) + 1) for s in combinations(names, size)]
    scores = {"+".join(s): {t: _score(study, s, task) for t, task in study.tasks.items()} for s in subsets}
    return pd.DataFrame.from_dict(scores, orient="index").rename_axis("modalities")


def _score(study: Study, subset: Sequence[str], task: Task) -> float:
    parts = [c.train for c in study.clients.values() if task.name in c.train.targets]
    parts = [p for p in parts if any(m in p.inputs for m in subset)]
    table = np.concatenate([_table(p, subset, study.modalities) for p in parts])
    table = np.where(np.isnan(table), np.nanmean(table, axis=0), table)
    width = table.shape[1]
    machine = SVC(C=10.0, gamma=0.3 / width) if task.classes else SVR(C=3.0, gamma=0.1 / width)
    model = make_pipeline(StandardScaler(), machine)
    model.fit(table, np.concatenate([p.targets[task.name].numpy() for p in parts]))
    return float(model.score(_table(study.test, subset, study.modalities), study.test.targets[task.name].numpy()))


def _table(samples: Samples, subset: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> NDArray[np.float64]:
    """The subset's modalities side by side, one row per sample; NaN where a modality is missing."""
    n = len(samples)
    parts = [
        samples.inputs[m].reshape(n, -1).numpy().astype(np.float64)
        if m in samples.inputs
        else np.full((n, int(np.prod(shapes[m]))), np.nan)
        for m in subset
    ]
    return np.concatenate(parts, axis=1)
