"""Independent random streams: one per seed, purpose, name and step."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, purpose: str, name: str = "", step: int = 0) -> np.random.Generator:
    """A generator that nothing else shares: the same four values give the same numbers, any other four give others."""
    words = [seed, zlib.crc32(purpose.encode()), zlib.crc32(name.encode()), step]
    return np.random.default_rng(np.random.SeedSequence(words))
