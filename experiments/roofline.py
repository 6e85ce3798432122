"""How fast a machine computes, told from timings: a roofline with a time per operation, fitted to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls


@dataclass(frozen=True, slots=True)
class Timing:
    """A piece of work and how long it took."""

    name: str
    flops: float
    bytes_moved: float
    launches: float
    seconds: float

    def __post_init__(self) -> None:
        for figure in ("flops", "bytes_moved", "launches"):
            if not 0 <= getattr(self, figure) < math.inf:
                raise ValueError(f"{self.name}: {figure} must be >= 0 and finite, got {getattr(self, figure)}")
        if not 0 < self.seconds < math.inf:
            raise ValueError(f"{self.name}: seconds must be > 0 and finite, got {self.seconds}")


@dataclass(frozen=True, slots=True)
class Roofline:
    """The longer of FLOPs and bytes at their rates, and a time per operation started.

    After Williams, Waterman and Patterson (CACM 2009). A rate is infinite where no timing was bound by it.
    """

    flops_per_s: float
    bytes_per_s: float
    launch_seconds: float

    def seconds(self, work: Timing) -> float:
        """How long *work* takes."""
        roof = max(work.flops / self.flops_per_s, work.bytes_moved / self.bytes_per_s)
        return roof + self.launch_seconds * work.launches


@dataclass(frozen=True, slots=True)
class Fit:
    """A roofline and how well it tells the timings: *r2* of seconds, and each one's relative error."""

    roofline: Roofline
    r2: float
    errors: tuple[float, ...]


def fitted(timings: Sequence[Timing]) -> Fit:
    """The roofline with the least squares of relative errors; raises ValueError for fewer than three timings.

    Which roof binds depends on FLOPs per byte alone, so the ridge between the two lies between two timings in that
    order: every place is tried, each a linear problem with coefficients that are not negative (Lawson and Hanson 1974).
    """
    if len(timings) < 3:
        raise ValueError(f"a roofline has three figures: give three timings or more, got {len(timings)}")
    ordered = sorted(timings, key=lambda t: t.flops / t.bytes_moved if t.bytes_moved else math.inf)
    tried = (_with_ridge(ordered, bound) for bound in range(len(ordered) + 1))
    best = min(tried, key=lambda roofline: float((_errors(roofline, timings) ** 2).sum()))
    seconds = np.array([t.seconds for t in timings])
    errors = _errors(best, timings)
    spread = float(((seconds - seconds.mean()) ** 2).sum())
    left = float(((errors * seconds) ** 2).sum())
    return Fit(best, 1 - left / spread if spread else float(left == 0), tuple(errors.tolist()))


def uncertainty(timings: Sequence[Timing]) -> Mapping[str, float]:
    """The relative standard error of each figure of the fit, by leaving out one timing after the other (jackknife).

    Of `flops_per_s`, `bytes_per_s` and `launch_seconds` those that stay finite and positive in every fit; none for
    fewer than four timings. (Efron and Stein, The jackknife estimate of variance, 1981.)
    """
    if len(timings) < 4:
        return {}
    left_out = [fitted([t for j, t in enumerate(timings) if j != i]).roofline for i in range(len(timings))]
    out = {}
    for name in ("flops_per_s", "bytes_per_s", "launch_seconds"):
        figures = np.array([getattr(roofline, name) for roofline in left_out])
        if np.isfinite(figures).all() and (figures > 0).all():
            out[name] = float(np.sqrt((len(figures) - 1) * figures.var()) / figures.mean())
    return out


def _with_ridge(ordered: Sequence[Timing], bound: int) -> Roofline:
    """The best when the first *bound* timings are bound by memory and the others by arithmetic."""
    rows = [(t.flops * (i >= bound), t.bytes_moved * (i < bound), t.launches) for i, t in enumerate(ordered)]
    matrix = np.array(rows, float) / np.array([[t.seconds] for t in ordered])
    scale = matrix.max(axis=0)
    scale[scale == 0] = 1.0
    found, _ = nnls(matrix / scale, np.ones(len(ordered)))
    per_flop, per_byte, launch = (found / scale).tolist()
    return Roofline(1 / per_flop if per_flop else math.inf, 1 / per_byte if per_byte else math.inf, launch)


def _errors(roofline: Roofline, timings: Sequence[Timing]) -> NDArray[np.float64]:
    return np.array([roofline.seconds(t) / t.seconds - 1 for t in timings])
