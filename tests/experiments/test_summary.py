"""What a run says at its end of the outputs of frozen fronts that it kept."""

import pytest

from experiments.summary import beforehand, cached

KEPT = {"cache_hits": 30, "cache_misses": 10, "cache_bytes": 2_500_000, "cache_spilled_bytes": 0}


@pytest.mark.parametrize(
    ("manifest", "line"),
    [
        ({}, ""),
        (KEPT, "frozen fronts: 30 of 40 look-ups found what was computed before (2.5 MB in memory)"),
        (
            KEPT | {"cache_spilled_bytes": 1e6},
            "frozen fronts: 30 of 40 look-ups found what was computed before (2.5 MB in memory, 1 MB on disk)",
        ),
        (
            dict.fromkeys(KEPT, 0) | {"cache": "encoders train: nothing is kept; encoders train: nothing is kept"},
            "frozen fronts: encoders train: nothing is kept",
        ),
    ],
)
def test_one_line_says_what_was_kept_or_why_nothing_was(manifest, line):
    assert cached(manifest) == line


def test_what_is_known_beforehand_is_told_once_for_each_kind():
    told = [("a", "liar", "lies"), ("b", "liar", "lies, too"), ("room", "few_reports", "3; krum takes 4")]
    assert list(beforehand(told)) == ["liar: a: lies (and 1 more)", "few reports: room: 3; krum takes 4"]
    assert not list(beforehand([]))
