"""What each set of modalities is good for: a pooled model's held-out scores on all subsets of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from models.data.samples import Samples, Study, Task

HIDDEN, EPOCHS, WEIGHT_DECAY = 64, 60, 1.0


def accuracies(study: Study, *, seed: int = 0) -> pd.DataFrame:
    """One row per non-empty subset of modalities, one column per task: accuracy, or R^2 where the task is a number.

    The model is scikit-learn's multilayer perceptron with one hidden layer of 64, on all clients' training samples
    pooled (students who lack a part of the subset have its mean; those who lack all of it are left out), scored on
    ``study.test``.
    """
    names = list(study.modalities)
    subsets = [s for size in range(1, len(names) + 1) for s in combinations(names, size)]
    scores = {"+".join(s): {t: _score(study, s, task, seed) for t, task in study.tasks.items()} for s in subsets}
    return pd.DataFrame.from_dict(scores, orient="index").rename_axis("modalities")


def _score(study: Study, subset: Sequence[str], task: Task, seed: int) -> float:
    parts = [c.train for c in study.clients.values() if task.name in c.train.targets]
    parts = [p for p in parts if any(m in p.inputs for m in subset)]
    table = np.concatenate([_table(p, subset, study.modalities) for p in parts])
    table = np.where(np.isnan(table), np.nanmean(table, axis=0), table)
    targets = np.concatenate([p.targets[task.name].numpy() for p in parts])
    kind = MLPClassifier if task.classes else MLPRegressor
    model = make_pipeline(StandardScaler(), kind(hidden_layer_sizes=(HIDDEN,), alpha=WEIGHT_DECAY, max_iter=EPOCHS,
                                                 learning_rate_init=3e-3, random_state=seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is the regulariser
        model.fit(table, targets)
    return float(model.score(_table(study.test, subset, study.modalities), study.test.targets[task.name].numpy()))


def _table(samples: Samples, subset: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> NDArray[np.float64]:
    """The subset's modalities side by side, one row per sample; NaN where a modality is missing."""
    blank = {m: np.full((len(samples), int(np.prod(shapes[m]))), np.nan) for m in subset if m not in samples.inputs}
    held = {m: _rows(samples.inputs[m]) for m in subset if m in samples.inputs}
    return np.concatenate([held[m] if m in held else blank[m] for m in subset], axis=1)


def _rows(values: Tensor) -> NDArray[np.float64]:
    return values.reshape(len(values), -1).numpy().astype(np.float64)
