"""A mean and how far it may be off: from independent values, or from a correlated series by batch means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
BATCHES = 25
SEED = 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """A sample mean and its standard error."""

    mean: float
    standard_error: float


def independent(values: ArrayLike) -> Estimate:
    """Of independent values, such as the lengths of independent rounds."""
    sample = np.asarray(values, dtype=np.float64)
    return Estimate(float(sample.mean()), float(sample.std(ddof=1)) / math.sqrt(len(sample)))


def batched(values: ArrayLike, warm_up: int = 0, batches: int = BATCHES) -> Estimate:
    """Of a correlated, stationary series, less its first *warm_up* values, by the means of *batches* equal stretches.

    Honest where a stretch is many relaxation times of the queue long, so that its mean depends little on the one before
    (Law and Kelton, Simulation Modeling and Analysis, chapter 9). The rest of an uneven division is left out.
    """
    series = np.asarray(values, dtype=np.float64)[warm_up:]
    return independent(series[: len(series) // batches * batches].reshape(batches, -1).mean(axis=1))


def stream(purpose: str) -> np.random.Generator:
    """The random numbers of one check: the same at every run, and shared with no other."""
    return np.random.default_rng(np.random.SeedSequence([SEED, crc32(b"validation"), crc32(purpose.encode())]))
