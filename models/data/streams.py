"""Independent random streams: one per seed, purpose, name and step."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, purpose: str, name: str = "", step: int = 0) -> np.random.Generator:
    """A generator that nothing else shares: the same four values give the same numbers, any other four give others."""
    words: list[int] | np.ndarray = [seed, zlib.crc32(purpose.encode()), zlib.crc32(name.encode()), step]
    if 0 <= seed < 2**32 and 0 <= step < 2**32:
        words = np.array(words, np.uint32)  # the same numbers as of the list, sooner
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
