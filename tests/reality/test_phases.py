"""From moments to phases, and from phases to causes."""

import pytest

from experiments.reality.phases import Phase, causes, phases

PARENTS = {"edge": "cloud", "a": "edge", "b": "edge"}
MOMENTS = [
    ("edge", "asked", 0.0), ("edge", "received", 1.0), ("a", "asked", 1.5), ("b", "asked", 1.5),
    ("a", "received", 2.0), ("a", "started", 2.25), ("a", "trained", 3.0), ("a", "sent", 3.25), ("a", "arrived", 4.0),
    ("b", "received", 2.0), ("b", "started", 2.5), ("b", "trained", 6.0), ("b", "sent", 6.25), ("b", "arrived", 7.0),
    ("edge", "merged", 7.5), ("edge", "sent", 8.0), ("edge", "arrived", 9.0), ("cloud", "merged", 9.5),
]  # fmt: skip


def test_phases_between_moments():
    assert sorted(phases(MOMENTS, PARENTS)) == sorted([
        Phase("edge", "down", 0.0, 1.0), Phase("a", "down", 1.5, 2.0), Phase("b", "down", 1.5, 2.0),
        Phase("a", "pack", 2.0, 2.25), Phase("a", "train", 2.25, 3.0), Phase("a", "pack", 3.0, 3.25),
        Phase("a", "up", 3.25, 4.0), Phase("b", "pack", 2.0, 2.5), Phase("b", "train", 2.5, 6.0),
        Phase("b", "pack", 6.0, 6.25), Phase("b", "up", 6.25, 7.0), Phase("edge", "merge", 7.0, 7.5),
        Phase("edge", "up", 8.0, 9.0), Phase("cloud", "merge", 9.0, 9.5),
    ])  # fmt: skip


def test_causes_follow_the_last_arrival_and_sum_to_the_round():
    split = causes(phases(MOMENTS, PARENTS), PARENTS, 9.5)
    assert split == {
        "compute": 3.5,
        "transfer": 1.0 + 0.5 + 0.75 + 1.0,
        "merge": 0.5 + 0.25 + 0.5 + 0.5,
        "waiting": 1.0,
    }
    assert sum(split.values()) == pytest.approx(9.5)
