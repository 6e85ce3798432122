"""How much of a value's variance lies between schools, between the classes of a school, and within classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class VarianceShares:
    """Parts of the variance that add up to 1: between schools, between a school's classes, and the rest."""

    school: float
    classroom: float
    rest: float


def variance_shares(values: ArrayLike, schools: Sequence[object], classes: Sequence[object]) -> VarianceShares:
    """The nested analysis of variance (random effects, unequal sizes; Searle, Casella and McCulloch, 1992, ch. 3).

    A class is known by its school and its own name. Components that come out negative count as 0. ValueError with
    fewer than two schools, or no school of several classes, or no class of several values: the shares are undefined.
    """
    frame = pd.DataFrame({"value": np.asarray(values, float), "school": list(schools), "class": list(classes)})
    rooms = frame.groupby(["school", "class"], sort=True).value.agg(["size", "mean"]).reset_index()
    sizes, means, n = rooms["size"].to_numpy(float), rooms["mean"].to_numpy(), len(frame)
    school, names = pd.factorize(rooms["school"])
    n_school = np.bincount(school, sizes)
    mean_school = np.bincount(school, sizes * means) / n_school
    free = (len(names) - 1, len(rooms) - len(names), n - len(rooms))
    if min(free) < 1:
        raise ValueError(
            f"variance_shares: needs several schools, classes of a school and values of a class, "
            f"got {len(names)} schools, {len(rooms)} classes, {n} values"
        )
    total = float(np.sum((frame.value - frame.value.mean()) ** 2))
    between_schools = float(np.sum(n_school * (mean_school - frame.value.mean()) ** 2))
    between_classes = float(np.sum(sizes * (means - mean_school[school]) ** 2))
    # the expected mean squares: of classes  rest + a*class;  of schools  rest + b*class + c*school
    squares_in_school = np.bincount(school, sizes**2) / n_school
    a = (n - squares_in_school.sum()) / free[1]
    b = (squares_in_school.sum() - np.sum(sizes**2) / n) / free[0]
    c = (n - np.sum(n_school**2) / n) / free[0]
    rest = (total - between_schools - between_classes) / free[2]
    classroom = max(0.0, (between_classes / free[1] - rest) / a)
    top = max(0.0, (between_schools / free[0] - rest - b * classroom) / c)
    whole = top + classroom + rest
    return VarianceShares(float(top / whole), float(classroom / whole), float(rest / whole))
