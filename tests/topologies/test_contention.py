"""Bianchi's model: its fixed point, the cases with a closed form, and the figures of the paper itself."""

from dataclasses import replace
from math import exp, inf, sqrt

import numpy as np
import pytest

from topologies.radio import Contention, bianchi_throughput
from topologies.radio.contention import attempt_probability, attempts, payload_share

# Table II of the paper: FHSS at 1 Mbit/s, frames of 8184 bits of payload, 272 of MAC and 128 of PHY header.
PAPER = Contention(
    slot_seconds=50e-6,
    sifs_seconds=28e-6,
    difs_seconds=128e-6,
    propagation_seconds=1e-6,
    header_seconds=128e-6,
    header_bits=272,
    ack_seconds=240e-6,
    rts_seconds=288e-6,
    cts_seconds=240e-6,
    window=32,
    stages=5,
)
FRAME_SECONDS, PAYLOAD_SECONDS = 8584e-6, 8184e-6


@pytest.mark.parametrize("rts_cts", [False, True])
def test_one_station_only_waits_for_its_backoff(rts_cts):
    """A success takes its own time and (W - 1)/2 slots on average: no collision, no doubling."""
    timing = Contention()
    payload = 8 * 30_000 / 400e6
    success, _ = timing.busy_seconds(timing.header_seconds + 320 / 400e6 + payload, rts_cts)
    expected = 8 * 30_000 / (success + timing.slot_seconds * (timing.window - 1) / 2)
    assert bianchi_throughput(1, 400e6, rts_cts=rts_cts) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("stations", [1, 2, 5, 20, 50, 1000])
@pytest.mark.parametrize(("window", "stages"), [(16, 6), (32, 3), (1, 2), (16, 0)])
def test_both_equations_hold_at_once(stations, window, stages):
    attempt, collision = attempts(stations, window, stages)
    assert collision == pytest.approx(1 - (1 - attempt) ** (stations - 1), abs=1e-12)
    assert attempt == pytest.approx(attempt_probability(collision, window, stages), rel=1e-12)
    p, m = collision, stages
    if p != 0.5:  # the form of the paper, which has a hole there
        numerator = 2 * (1 - 2 * p)
        assert attempt == pytest.approx(numerator / ((1 - 2 * p) * (window + 1) + p * window * (1 - (2 * p) ** m)))


def test_a_window_that_never_doubles_gives_a_fixed_attempt_rate():
    """2/(W + 1) for any number of stations: equation 8 of the paper."""
    assert {attempts(stations, 31, 0)[0] for stations in (1, 2, 50)} == {2 / 32}


@pytest.mark.parametrize(("rts_cts", "published"), [(False, 9.334), (True, 2.042)])
def test_the_best_throughput_is_that_of_the_paper(rts_cts, published):
    """K = sqrt(Tc/2) slots; as n grows, the best share tends to P/(Ts + K slots + Tc (K (e^(1/K) - 1) - 1))."""
    success, collision = PAPER.busy_seconds(FRAME_SECONDS, rts_cts)
    k = sqrt(collision / PAPER.slot_seconds / 2)
    assert k == pytest.approx(published, abs=5e-4)
    limit = PAYLOAD_SECONDS / (success + PAPER.slot_seconds * k + collision * (k * (exp(1 / k) - 1) - 1))
    stations = 10_000
    best = max(
        payload_share(attempt, stations, PAYLOAD_SECONDS, (success, collision), PAPER.slot_seconds)
        for attempt in np.geomspace(0.1, 10, 2001) / (stations * k)
    )
    assert best == pytest.approx(limit, rel=5e-3)  # the paper's approximation, not exact
    for n in (5, 10, 20, 50):
        share = bianchi_throughput(n, 1e6, 1023, PAPER, rts_cts) / 1e6
        of_n = max(
            payload_share(attempt, n, PAYLOAD_SECONDS, (success, collision), PAPER.slot_seconds)
            for attempt in np.geomspace(1e-4, 0.9, 4001)
        )
        assert share <= of_n * (1 + 1e-6)


def test_more_stations_collide_more_and_short_requests_lose_less():
    stations = (5, 10, 20, 30, 40, 50)
    basic = [bianchi_throughput(n, 412.9e6) for n in stations]
    asked = [bianchi_throughput(n, 412.9e6, rts_cts=True) for n in stations]
    assert basic == sorted(basic, reverse=True)
    assert all(a > b for a, b in zip(asked, basic, strict=True))
    collisions = [attempts(n, 16, 6)[1] for n in stations]
    assert collisions == sorted(collisions)
    assert bianchi_throughput(5, 412.9e6, 1e9) / 412.9e6 == pytest.approx(
        payload_share(attempts(5, 16, 6)[0], 5, 1.0, (1.0, 1.0), 0.0), rel=1e-3
    )  # endless frames: overhead vanishes, and what is left is the share of busy slots that succeed


def test_the_model_agrees_with_stations_that_really_back_off():
    """Ten stations, slot by slot; the model takes collisions for independent, which is off by 1 %; noise adds 1 %."""
    random, n, window, stages = np.random.default_rng(5), 10, 16, 6
    backoff, stage = random.integers(0, window, n), np.zeros(n, int)
    tries = collisions = slots = 0
    while tries < 60_000:
        step = backoff.min()
        slots += step + 1
        backoff -= step
        sending = np.flatnonzero(backoff == 0)
        backoff[backoff > 0] -= 1  # a busy slot counts like any other in the model
        tries += len(sending)
        collided = len(sending) > 1
        collisions += len(sending) * collided
        stage[sending] = np.minimum(stage[sending] + 1, stages) if collided else 0
        backoff[sending] = random.integers(0, window * 2 ** stage[sending])
    attempt, collision = attempts(n, window, stages)
    assert tries / slots / n == pytest.approx(attempt, rel=0.03)
    assert collisions / tries == pytest.approx(collision, rel=0.03)


BAD = [
    (lambda: bianchi_throughput(0, 1e6), "stations must be a whole number >= 1, got 0"),
    (lambda: bianchi_throughput(2.0, 1e6), "stations must be a whole number >= 1, got 2.0"),
    (lambda: bianchi_throughput(2, float("nan")), "phy_bits_per_s must be > 0, got nan"),
    (lambda: bianchi_throughput(2, 1e6, 0), "payload_bytes must be > 0, got 0"),
    (lambda: replace(PAPER, sifs_seconds=-1), "sifs_seconds must be >= 0, got -1"),
    (lambda: replace(PAPER, difs_seconds=inf), "difs_seconds must be >= 0, got inf"),
    (lambda: replace(PAPER, window=1.5), "window must be a whole number, got 1.5"),
    (lambda: replace(PAPER, window=0), "a window of 0 slots of 5e-05 s has no length"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_figures_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
