"""What schedules are told of weights, by hand."""

import pytest
from quadratics import HEAD, learner, stage
from test_states import state

from models import Vote
from models.federation.algorithm import FEDAVG
from models.signals import divergence, gradient


def test_divergence_of_votes_times_weights():
    told = divergence({"a": state(3.0, 1.0), "b": state(1.0, 2.0)}, ["head"])  # z = (3, 6) and (2, 4)
    assert told == {"max": pytest.approx(5**0.5), "spread": pytest.approx(45**0.5 - 20**0.5), "inf": 4.0}


def test_the_gradient_is_that_of_the_last_change_of_the_global_model():
    one = {"a": state(3.0)}
    assert gradient(one, ["head"], 0.5, (state(5.0), state(2.0)))["norm"] == pytest.approx(3 * 5**0.5 / 0.5)
    assert gradient(one, ["head"], 0.5)["norm"] == 0.0  # nothing has come from above, so nothing has moved


def test_a_learner_tells_it_at_every_tier_whoever_trains():
    """Clients step to b - rate 2 (b - target); their mean has the gradient 2 (b - mean target)."""
    clients = {"a": [1.0], "b": [5.0]}
    whole = learner(FEDAVG, clients)
    whole.enter(stage(school=1))
    started = {node: whole.start(node) for node in ("school", "room0", *clients)}
    trained = {node: whole.train(node, started[node], 0) for node in clients}
    room = whole.merge("room0", started["room0"], [Vote(n, s) for n, s in trained.items()], [HEAD], "up")
    whole.merge("school", started["school"], [Vote("room0", room)], [HEAD], "up")
    for states in ({"a": trained["a"]}, {"room0": room}):
        assert whole.signal("gradient", states, [HEAD])["norm"] == pytest.approx(2 * 3.0)
