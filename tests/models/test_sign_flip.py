"""Sign flipping against steps by hand, and with merge rules."""

import pytest
import quadratics
from quadratics import RATE, bias, learner, step

from models.algorithms.median import median
from models.algorithms.sign_flip import sign_flip
from models.federation.algorithm import composed
from models.states import State

CLIENTS = {"a": [1.0], "b": [2.0], "c": [4.0]}
WEIGHTS = RATE * 2  # an honest client goes this share of its way from 0 to its target


def flipped(**knobs):
    return bias(sign_flip(**knobs), CLIENTS, 1)


def test_a_flipper_goes_back_by_its_update():
    assert step(0.0, 4.0) == WEIGHTS * 4.0
    for scale in (1.0, 5.0):
        assert flipped(clients=["c"], scale=scale) == pytest.approx(WEIGHTS * (1 + 2 - scale * 4) / 3, abs=1e-12)


def test_a_pattern_names_several():
    rule = sign_flip(["room0/*", "room1/b"]).local
    assert [rule.flips(node, 1) for node in ("room0/a", "room0/b", "room1/a", "room1/b")] == [True, True, False, True]


def test_the_update_is_of_what_came_down():
    first = WEIGHTS * (1 + 2 - 4) / 3
    steps = [step(first, target) - first for target in (1.0, 2.0, 4.0)]
    expected = first + (steps[0] + steps[1] - steps[2]) / 3
    assert bias(sign_flip(["c"]), CLIENTS, 2) == pytest.approx(expected, abs=1e-12)


def test_nobody_and_everybody():
    honest = WEIGHTS * 7 / 3
    assert flipped(clients=0) == flipped(clients=[]) == pytest.approx(honest, abs=1e-12)
    assert flipped(clients=1) == pytest.approx(-honest, abs=1e-12)


def test_the_median_does_not_follow_one_of_three():
    both = composed({"median": median(), "sign_flip": sign_flip(["c"], scale=100.0)})
    assert bias(both, CLIENTS, 1) == pytest.approx(WEIGHTS * 1.0, abs=1e-12)  # of 1, 2 and -400


def test_a_share_is_drawn_from_the_seed_node_by_node():
    rule = sign_flip(0.25).local
    drawn = {(seed, i): rule.flips(f"n{i}", seed) for seed in range(10) for i in range(100)}
    assert 0.2 < sum(drawn.values()) / len(drawn) < 0.3
    assert drawn == {(seed, i): rule.flips(f"n{i}", seed) for seed, i in drawn}
    assert [drawn[0, i] for i in range(100)] != [drawn[1, i] for i in range(100)]


def test_what_is_not_trained_stays():
    whole = learner(sign_flip(1), CLIENTS)
    whole.enter(quadratics.stage(school=1))
    begun = whole.start("a")
    after = whole.train("a", State(begun.tensors, begun.samples), 0).tensors
    assert after[quadratics.BIAS].item() == -step(0.0, 1.0)
    assert after.keys() == begun.tensors.keys()


@pytest.mark.parametrize(
    ("knobs", "wrong"),
    [
        ({"clients": -0.1}, "clients must be >= 0"),
        ({"clients": 1.5}, "clients must be at most 1"),
        ({"clients": "a"}, "a share or a list of names"),
        ({"clients": [1]}, "a share or a list of names"),
        ({"scale": 0.0}, "scale must be > 0"),
    ],
)
def test_knobs_out_of_range(knobs, wrong):
    with pytest.raises(ValueError, match=wrong):
        sign_flip(**knobs)
