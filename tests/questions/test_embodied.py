"""The embodied-AI prototype's figures, simulated, in its own accounting and in a full one."""

import pytest

from experiments.questions.embodied_table import as_the_prototype, figures

LOCAL, FFM = (18.0, 112.5), (115.08944079950759, 172.9611910843915)
RELAY = (33.50281019410848, 34.29795770639169), (93.4029927503216, 94.75616061017726)  # of 20,000 draws of the heads


def test_learning_alone():
    assert tuple(figures("local").values()) == pytest.approx(LOCAL, rel=1e-12)


def test_users_of_a_cluster_one_after_the_other():
    assert tuple(figures("ffm, one user after the other").values()) == pytest.approx(FFM, rel=1e-9)


def test_all_at_once_takes_the_slowest_of_a_cluster_and_the_same_energy():
    at_once = figures("ffm, all at once")
    assert at_once["clock s"] == pytest.approx(34.28, abs=0.005)
    assert at_once["energy kJ"] == pytest.approx(FFM[1], rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_relays_are_among_the_prototypes_draws_and_computing_of_all_costs_72_kj_more(seed):
    relay = figures("relay", seed)
    assert RELAY[0][0] - 1e-9 <= relay["clock s"] <= RELAY[0][1] + 1e-9
    assert RELAY[1][0] - 1e-9 <= as_the_prototype(relay) <= RELAY[1][1] + 1e-9
    assert relay["energy kJ"] == pytest.approx(as_the_prototype(relay) + 90 - 18)
