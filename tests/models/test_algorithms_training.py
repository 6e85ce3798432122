"""Local rules in closed form, on clients that minimise (b - target)^2 with one bias."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from quadratics import BIAS, RATE, bias, federation, learner, samples, star, step

from models import (
    SGD,
    AdamW,
    Client,
    Learner,
    LinearModel,
    Node,
    Recipe,
    Samples,
    Study,
    Supervised,
    Task,
    Vote,
    initial,
)
from models.algorithms.afl import MIXTURE, afl
from models.algorithms.dfl import dfl
from models.algorithms.ditto import OWN, ditto
from models.algorithms.fedavg import fedavg
from models.algorithms.fednova import STEPS, effective, fednova
from models.algorithms.fedprox import fedprox
from models.algorithms.mlpfl import mlpfl
from models.algorithms.qffl import qffl
from models.algorithms.scaffold import ALL, scaffold
from models.algorithms.scaffold import OWN as VARIATE
from models.federate import Federation

TWO = {"a": [1.0], "b": [4.0] * 3}
UNEQUAL = {"a": [1.0] * 2, "b": [4.0] * 8}  # 1 and 4 steps an epoch at a batch size of 2
PAIRS = Node(
    "school", "school", (Node("room0", "room", (Node("a", "device"),)), Node("room1", "room", (Node("b", "device"),)))
)


def test_fedprox_after_some_steps():
    """The way to (2 t + mu w) / (2 + mu) shrinks by 1 - eta (2 + mu) a step."""
    mu, steps = 0.6, 3

    def trained(w, target):
        best = (2 * target + mu * w) / (2 + mu)
        return best + (1 - RATE * (2 + mu)) ** steps * (w - best)

    w = 0.0
    for _ in range(2):
        w = (trained(w, 1.0) + 3 * trained(w, 4.0)) / 4
    assert bias(fedprox(mu), TWO, 2, epochs=steps) == pytest.approx(w, rel=1e-14)
    assert bias(fedprox(0.0), TWO, 2, epochs=steps) == bias(fedavg(), TWO, 2, epochs=steps)


def test_scaffold_with_one_client_is_sgd_bit_for_bit():
    alone = {"a": [1.0, 3.0, 7.0, 2.0, 5.0]}
    assert bias(scaffold(), alone, 3, batch_size=2, epochs=2) == bias(fedavg(), alone, 3, batch_size=2, epochs=2)


@pytest.mark.parametrize("server_lr", [1.0, 0.5])
def test_scaffold_by_hand(server_lr):
    """y <- y - eta (g - c_i + c); c_i+ = c_i - c + (x - y) / (K eta); every client counts alike."""
    targets, steps, rounds = {"a": 1.0, "b": 4.0}, {"a": 2, "b": 8}, 4
    x, c, own = 0.0, 0.0, {"a": 0.0, "b": 0.0}
    for _ in range(rounds):
        ends, changes = {}, {}
        for name, target in targets.items():
            y = x
            for _ in range(steps[name]):
                y -= RATE * (2 * (y - target) - own[name] + c)
            changes[name] = (x - y) / (steps[name] * RATE) - c
            ends[name] = y
        own = {name: own[name] + changes[name] for name in own}
        x += server_lr * (sum(ends.values()) / 2 - x)
        c += sum(changes.values()) / 2
    states, _ = federation(scaffold(server_lr), UNEQUAL, rounds, batch_size=2, epochs=2)
    assert states["school"].tensors[BIAS].item() == pytest.approx(x, rel=1e-13)
    assert states["school"].extra[ALL][BIAS].item() == pytest.approx(c, rel=1e-12)
    for name in own:
        assert states[name].extra[VARIATE][BIAS].item() == pytest.approx(own[name], rel=1e-13)


def test_scaffold_has_no_variate_where_no_loss_reaches():
    """Only b has the other task: a's c_i of that head, as the gradient that it stands for, is 0, and c half of b's."""
    names, target, steps, rounds = ("score", "more"), 4.0, 2, 3
    model, key = LinearModel({"record": (1,)}, {name: Task(name) for name in names}), "head.more/bias"
    both = Samples(samples(target).inputs, dict.fromkeys(names, samples(target).targets["score"]))
    data, modules = {"a": Client(samples(1.0), samples(1.0)), "b": Client(both, both)}, tuple(model.modules)
    start, depths = initial(model, 0, torch.float64), {"school": 0, "a": 1, "b": 1}
    recipe = Recipe(Supervised(), SGD(RATE), steps, 4, trainable=frozenset(modules))
    how = {"algorithms": {"f": scaffold()}, "depths": depths, "start": start}
    study = Study({"record": (1,)}, model.tasks, data, both)
    whole = Learner(model, study, dict.fromkeys(depths, tuple(start)), {"f": recipe}, **how)
    plan = {"school": SimpleNamespace(modules=modules, rounds=rounds)}
    stage = SimpleNamespace(name="f", at="device", trainable=modules, plan=plan)
    states = Federation(star(data), whole, [stage]).run()
    x = c = own = 0.0
    for _ in range(rounds):
        y = x
        for _ in range(steps):
            y -= RATE * (2 * (y - target) - own + c)
        change = (x - y) / (steps * RATE) - c
        x, c, own = y, c + change / 2, own + change
    assert states["school"].tensors[key].item() == pytest.approx(x, rel=1e-13)
    assert states["school"].extra[ALL][key].item() == pytest.approx(c, rel=1e-12)
    assert states["b"].extra[VARIATE][key].item() == pytest.approx(own, rel=1e-13)
    assert states["a"].extra[VARIATE][key].item() == 0.0


def test_scaffold_ends_where_fedavg_does_not():
    """At the minimum of the mean loss, 2.5, although one client takes four times as many steps."""
    how = {"batch_size": 2, "epochs": 1, "optimizer": SGD(0.02)}
    assert bias(scaffold(), UNEQUAL, 400, **how) == pytest.approx(2.5, abs=1e-6)
    assert bias(fedavg(), {"a": [1.0] * 2, "b": [4.0] * 2}, 400, **how) == pytest.approx(2.5, abs=1e-6)
    assert bias(qffl(0.0), UNEQUAL, 400, **how) > 3  # the uniform mean of unequal steps


def test_a_client_below_an_edge_of_its_own():
    """Scaffold, FedNova: an edge that has one child is not noticed."""
    for algorithm in (scaffold(), fednova()):
        star, tree = (
            bias(algorithm, UNEQUAL, rounds, shape, batch_size=2)
            for rounds, shape in ((3, None), ({"school": 3, "room": 1}, PAIRS))
        )
        assert tree == pytest.approx(star, rel=1e-14)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_fednova_by_hand(momentum):
    w, steps, shares = 0.0, {1.0: 2, 4.0: 8}, {1.0: 0.2, 4.0: 0.8}
    for _ in range(3):
        ends = {}
        for target, count in steps.items():
            y, velocity = w, 0.0
            for _ in range(count):
                velocity = momentum * velocity + 2 * (y - target)
                y -= RATE * velocity
            ends[target] = y
        a = {target: effective(count, momentum) for target, count in steps.items()}
        mean = sum(shares[t] * a[t] for t in steps)
        w -= mean * sum(shares[t] * (w - ends[t]) / a[t] for t in steps)
    found = bias(fednova(), UNEQUAL, 3, batch_size=2, epochs=2, optimizer=SGD(RATE, momentum))
    assert found == pytest.approx(w, rel=1e-13)


@pytest.mark.parametrize(("algorithm", "optimizer"), [(fednova(), AdamW()), (scaffold(), SGD(0.1, momentum=0.9))])
def test_optimizers_that_do_not_go_with_it(algorithm, optimizer):
    with pytest.raises(ValueError, match=r"needs .*SGD.*learning\.optimizer"):
        federation(algorithm, TWO, 1, optimizer=optimizer)


def test_mlpfl_in_closed_form():
    """grad F(w - a grad F(w)) = 2 (1 - 2a) (w - t); scored after one step at a."""
    inner, w = 0.1, 0.0
    for _ in range(3):
        a, b = (w - RATE * 2 * (1 - 2 * inner) * (w - t) for t in (1.0, 4.0))
        w = (a + 3 * b) / 4
    states, whole = federation(mlpfl(inner), TWO, 3)
    assert states["school"].tensors[BIAS].item() == pytest.approx(w, rel=1e-14)
    (score,) = whole.evaluate({"b": states["b"]})
    assert score.value == pytest.approx((step(w, 4.0, inner) - 4.0) ** 2, rel=1e-12)
    (score,) = whole.evaluate({"school": states["school"]})
    assert score.value == pytest.approx(w**2, rel=1e-12)  # a server has nothing to step on


def test_ditto_without_a_pull_is_local_training():
    rounds, steps = 3, 2
    states, whole = federation(ditto(0.0), TWO, rounds, epochs=steps)
    assert states["school"].tensors[BIAS].item() == bias(fedavg(), TWO, rounds, epochs=steps)
    for name, target in (("a", 1.0), ("b", 4.0)):
        alone = target - target * (1 - 2 * RATE) ** (steps * rounds)
        assert states[name].extra[OWN][BIAS].item() == pytest.approx(alone, rel=1e-14)
        (score,) = whole.evaluate({name: states[name]})
        assert score.value == pytest.approx((alone - target) ** 2, rel=1e-10)


def test_ditto_with_a_large_pull_stays_at_the_shared_model():
    """A step of eta (2 + lambda) = 1 lands at (2 t + lambda w) / (2 + lambda), w being what came down last."""
    pull = 998.0
    how = {"optimizer": SGD(1 / (2 + pull)), "epochs": 1}
    states, _ = federation(ditto(pull), TWO, 4, **how)
    w = bias(fedavg(), TWO, 3, **how)
    for name, target in (("a", 1.0), ("b", 4.0)):
        own = states[name].extra[OWN][BIAS].item()
        assert own == pytest.approx((2 * target + pull * w) / (2 + pull), rel=1e-12)
        assert abs(own - w) <= 2 * abs(target - w) / (2 + pull) * (1 + 1e-12)


def test_dfl_mixes_what_comes_down():
    mix = 0.25
    own, w = {1.0: 0.0, 4.0: 0.0}, 0.0
    for _ in range(3):
        own = {target: step((1 - mix) * b + mix * w, target) for target, b in own.items()}
        w = (own[1.0] + 3 * own[4.0]) / 4
    states, _ = federation(dfl(mix), TWO, 3)
    assert states["school"].tensors[BIAS].item() == pytest.approx(w, rel=1e-14)
    assert states["a"].tensors[BIAS].item() == pytest.approx((1 - mix) * own[1.0] + mix * w, rel=1e-14)  # a broadcast
    assert bias(dfl(1.0), TWO, 3) == bias(fedavg(), TWO, 3)


def test_losses_are_those_of_the_model_that_came_down():
    """q-FFL over two rounds, by its equations; F_i = (w - t)^2 before training."""
    q, lipschitz, w = 1.0, 1 / RATE, 0.0
    for _ in range(2):
        losses, d = [(w - t) ** 2 for t in (1.0, 4.0)], [lipschitz * (w - step(w, t)) for t in (1.0, 4.0)]
        h = [q * x**2 + lipschitz * f for f, x in zip(losses, d, strict=True)]
        w -= sum(f * x for f, x in zip(losses, d, strict=True)) / sum(h)
    assert bias(qffl(q, lipschitz), TWO, 2) == pytest.approx(w, rel=1e-6)


def test_afl_looks_for_the_worst_edge_and_its_worst_child():
    """Three clients want 0, one 8: lambda moves there, and the model to the middle."""
    clients = {"a": [0.0], "b": [0.0], "c": [0.0], "d": [8.0]}
    room = {"room0": ("a", "b"), "room1": ("c", "d")}
    tree = Node(
        "school", "school", tuple(Node(r, "room", tuple(Node(n, "device") for n in ns)) for r, ns in room.items())
    )
    states, _ = federation(afl(0.01), clients, {"school": 1, "room": 1}, tree)
    mixture = {name: float(value) for name, value in states["school"].extra[MIXTURE].items()}
    assert mixture == pytest.approx({"room0": 0.5 - 0.01 * 16, "room1": 0.5 + 0.01 * 16})  # losses 0 and (0 + 64) / 2
    assert {k: float(v) for k, v in states["room1"].extra[MIXTURE].items()} == pytest.approx({"c": 0.18, "d": 0.82})
    how = {"optimizer": SGD(0.05)}
    assert bias(afl(0.005), clients, 600, **how) == pytest.approx(4.0, abs=0.05)  # the middle of 0 and 8
    assert bias(fedavg(), clients, 600, **how) == pytest.approx(2.0)


def test_what_a_local_rule_asks_for_is_counted():
    """Two trainings for Ditto, a loss for q-FFL: so a simulator can charge them."""
    asked = {}
    for name, algorithm in (("ditto", ditto()), ("qffl", qffl()), ("mlpfl", mlpfl())):
        whole = learner(algorithm, TWO)
        whole.enter(SimpleNamespace(name="federate", trainable=("head.score",)))
        found = whole.asks("a", whole.recipe, algorithm)
        asked[name] = len(found.recipes), found.losses
    assert asked == {"ditto": (2, 0), "qffl": (1, 1), "mlpfl": (1, 0)}
    assert torch.is_tensor(federation(qffl(), TWO, 1)[0]["school"].extra["loss"]["value"])


def test_to_note_a_loss_runs_no_training():
    """So all clients still train together, when a value is needed."""
    whole = learner(qffl(), TWO)
    whole.enter(SimpleNamespace(name="federate", trainable=("head.score",)))
    trained = [whole.train(name, whole.start(name), 0) for name in TWO]
    assert whole.updates == 0
    assert [float(state.extra["loss"]["value"]) for state in trained] == [1.0, 16.0]
    assert trained[0].tensors[BIAS].item() == step(0.0, 1.0)
    assert whole.updates == 2


@pytest.mark.parametrize(
    ("algorithm", "name", "before", "after"), [(fednova(), STEPS, 2.0, 1.0), (qffl(), "loss", 1.0, 9.0)]
)
def test_figures_are_of_what_has_been_since_a_model_came_down(algorithm, name, before, after):
    """Two trainings, a report that is lost, another model, a training."""
    whole = learner(algorithm, TWO)
    whole.enter(SimpleNamespace(name="federate", trainable=("head.score",)))
    state = whole.train("a", whole.train("a", whole.start("a"), 0), 1)
    assert float(state.extra[name]["value"]) == before
    other = whole.start("school")
    other = replace(other, tensors={**other.tensors, BIAS: other.tensors[BIAS] + 4})
    packed = whole.pack("school", "a", other, ("head.score",))
    state = whole.merge("a", state, [Vote("school", packed.wire)], ("head.score",), "down")
    assert float(whole.train("a", state, 2).extra[name]["value"]) == after
