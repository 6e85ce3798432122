"""Independent random streams: one per seed, purpose, name and step."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence

WORD = 2**32


def stream(seed: int, purpose: str, name: str = "", step: int = 0) -> np.random.Generator:
    """A generator that nothing else shares: the same four values give the same numbers, any other four give others."""
    words: list[int] | np.ndarray = [seed, zlib.crc32(purpose.encode()), zlib.crc32(name.encode()), step]
    if 0 <= seed < WORD and 0 <= step < WORD:
        words = np.array(words, np.uint32)  # the same numbers as of the list, sooner
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def streams(purpose: str, keys: Sequence[tuple[int, str, int]]) -> Iterator[np.random.Generator]:
    """The :func:`stream` of each (seed, name, step), its seed worked out beside the others': sooner where many are."""
    if any(not (0 <= seed < WORD and 0 <= step < WORD) for seed, _, step in keys):
        yield from (stream(seed, purpose, name, step) for seed, name, step in keys)
        return
    same = zlib.crc32(purpose.encode())
    words = [(seed, same, zlib.crc32(name.encode()), step) for seed, name, step in keys]
    for row in _seeds(np.array(words, np.uint32).reshape(-1, 4)):
        yield np.random.Generator(np.random.PCG64(_Seed(row)))  # type: ignore[arg-type]


class _Seed(ISeedSequence):
    """What numpy's SeedSequence would give a PCG64, already worked out."""

    def __init__(self, row: np.ndarray) -> None:
        self.row = row

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        return self.row


def _seeds(words: np.ndarray) -> np.ndarray:
    """Of each row ``[n, 4]`` of uint32, what ``SeedSequence(row).generate_state(4, np.uint64)`` gives: ``[n, 4]``.

    O'Neill's seed_seq_fe as numpy fixes it for good (numpy NEP 19; numpy/random/bit_generator.pyx).
    """
    start, times = 0x43B0D7E5, 0x931E8875

    def hashed(value: np.ndarray) -> np.ndarray:
        nonlocal start
        value = value ^ np.uint32(start)
        start = start * times % WORD
        value *= np.uint32(start)
        return value ^ value >> np.uint32(16)

    pool = [hashed(column) for column in words.T]
    for source in range(4):
        for to in range(4):
            if source != to:
                mixed: np.ndarray = pool[to] * np.uint32(0xCA01F9DD) - hashed(pool[source]) * np.uint32(0x4973F715)
                pool[to] = mixed ^ mixed >> np.uint32(16)
    start, times = 0x8B51F9DD, 0x58F38DED
    halves = np.stack([hashed(pool[i % 4]) for i in range(8)], 1).astype(np.uint64)
    return np.bitwise_or(halves[:, ::2], halves[:, 1::2] << np.uint64(32))
