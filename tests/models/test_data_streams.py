"""Streams drawn side by side are the streams that numpy gives one by one."""

from __future__ import annotations

import numpy as np
import pytest

from models.data.streams import stream, streams

LARGEST = 2**32 - 1


def keys(count: int) -> list[tuple[int, str, int]]:
    """Seeds, names and steps by lot, the extremes among them."""
    rng = np.random.default_rng(5)
    drawn = rng.integers(0, 2**32, (count, 2)).tolist()
    return [(0, "", 0), (LARGEST, "x", LARGEST), *((seed, f"n{i}", step) for i, (seed, step) in enumerate(drawn))]


@pytest.mark.parametrize("beyond", [[], [(2**40, "one", 1)], [(1, "one", 2**33)]])
def test_streams_side_by_side_are_numpys_own(beyond: list[tuple[int, str, int]]) -> None:
    several = keys(300) + beyond
    for (seed, name, step), rng in zip(several, streams("batches", several), strict=True):
        assert rng.bit_generator.state == stream(seed, "batches", name, step).bit_generator.state


def test_no_streams_and_negative_seeds() -> None:
    assert list(streams("batches", [])) == []
    with pytest.raises(ValueError, match="non-negative"):
        list(streams("batches", [(-1, "a", 0)]))
