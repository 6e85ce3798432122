"""Random streams: one of its own for each seed, purpose, name and step, so that no two draws ever share one."""

from __future__ import annotations

from zlib import crc32

import numpy as np


def stream(seed: int, purpose: str, name: str, step: int = 0) -> np.random.Generator:
    """The same four values give the same numbers, any other four give others."""
    key = [seed, crc32(purpose.encode()), crc32(name.encode()), step]
    return np.random.default_rng(np.random.SeedSequence(key))
