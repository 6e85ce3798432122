"""What the stored tables of time and of attacks must show; that they are what the scripts give, test_golden holds."""

import json
from pathlib import Path

import pytest

from experiments.questions.async_stragglers import TABLETS, fleet


def rows(script, label):
    stored = json.loads((Path(__file__).parent / f"{script}.json").read_text())["rows"]
    return {row[label]: row for row in stored}


def test_fedbuff_is_at_least_twice_as_soon_as_waiting_for_all():
    found = rows("async_stragglers", "waits for")
    everyone, buffered = found["all (FedAvg)"], found["FedBuff, 5 of 20"]
    assert everyone["seconds to 0.75"] > 2 * buffered["seconds to 0.75"]
    assert everyone["joules to 0.75"] > 2 * buffered["joules to 0.75"]
    assert found["FedAsync"]["seconds to 0.75"] < everyone["seconds to 0.75"] / 2


def test_the_fleet_is_a_pareto_distribution():
    """Its quantiles at the middles of twentieths: (1 - (i + 1/2) / 20)^(-1 / 1.2)."""
    slow = [profile["launch_seconds"] / 2e-5 for profile in fleet().values()]
    assert slow[0] == pytest.approx((39 / 40) ** (-1 / 1.2))
    assert slow[-1] == pytest.approx(40 ** (1 / 1.2))
    assert slow == sorted(slow)
    assert len(slow) == TABLETS
    for profile, slower in zip(fleet().values(), slow, strict=True):
        assert 1.66e11 / profile["flops_per_s"] == pytest.approx(slower)
        assert 1.7e10 / profile["memory_bytes_per_s"] == pytest.approx(slower)


def test_mixing_is_sooner_than_waiting_and_than_overwriting():
    found = rows("delay_aware", "way")
    mixing = found["go on, mix half in (DFL)"]["seconds to 0.85"]
    assert mixing < 0.8 * found["wait"]["seconds to 0.85"]
    assert mixing < 0.8 * found["go on, overwrite"]["seconds to 0.85"]


def test_robust_rules_stand_where_the_mean_collapses():
    found = rows("sign_flippers", "merges by")
    mean = found.pop("mean (FedAvg)")
    assert mean["5 times reversed"] < 0.2 < 0.9 < mean["nobody lies"]
    for rule in ("median", "trimmed mean", "multi-Krum"):
        assert found[rule]["5 times reversed"] > mean["nobody lies"] - 0.05, rule
    assert min(row["5 times reversed"] for row in found.values()) > 0.6
