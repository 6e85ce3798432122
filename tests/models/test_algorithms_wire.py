"""What algorithms send: what an update is made of on its way up, how large it is, and what never travels."""

from dataclasses import replace
from math import ceil, log2
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from quadratics import Noting

from models import MLP, SGD, Client, Recipe, Samples, Study, Supervised, Task, Vote, initial
from models.algorithms.dfl import dfl
from models.algorithms.ditto import ditto
from models.algorithms.fedavg import fedavg
from models.algorithms.fednova import fednova
from models.algorithms.fedper import fedper
from models.algorithms.fedrep import fedrep
from models.algorithms.int8 import int8
from models.algorithms.qffl import qffl
from models.algorithms.qsgd import qsgd
from models.algorithms.scaffold import scaffold
from models.algorithms.topk import topk
from models.federate import Federation, Node
from models.federation.algorithm import composed
from models.training import Job, train

TASKS = {"y": Task("y", 3)}
MODEL = MLP({"x": (5,)}, TASKS, (4,))
MODULES, BODY, HEAD = tuple(MODEL.modules), "encoder.x", "head.y"
START = initial(MODEL, 0, torch.float64)
RECIPE = Recipe(Supervised(), SGD(0.1), 2, 4, trainable=frozenset(MODULES))
NUMBERS = sum(value.numel() for value in START.values())


def samples(rng, n):
    return Samples({"x": torch.tensor(rng.normal(size=(n, 5)))}, {"y": torch.tensor(rng.integers(0, 3, n))})


def clients(names):
    rng = np.random.default_rng(0)
    return {name: Client(samples(rng, 9 + 4 * i), samples(rng, 4)) for i, name in enumerate(names)}


def federation(algorithm, names="abc", rounds=3):
    study = Study({"x": (5,)}, TASKS, clients(names), samples(np.random.default_rng(1), 8))
    depths = {"cloud": 0, **dict.fromkeys(names, 1)}
    how = {"algorithms": {"f": algorithm}, "depths": depths, "start": START}
    learner = Noting(MODEL, study, dict.fromkeys(depths, tuple(START)), {"f": RECIPE}, **how)
    tree = Node("cloud", "cloud", tuple(Node(name, "device") for name in names))
    return Federation(tree, learner, [stage(rounds)]).run(), learner


def stage(rounds):
    plan = {"cloud": SimpleNamespace(modules=MODULES, rounds=rounds)}
    return SimpleNamespace(name="f", at="device", trainable=MODULES, plan=plan)


def size(*modules):
    return sum(v.numel() * v.element_size() for k, v in START.items() if k.startswith(modules))


def sent(learner, *, up):
    """The sizes of all reports, or of all models that came down."""
    return {nbytes for node, to, nbytes, _ in learner.sent if (to == "cloud") == up}


ALL = size(BODY, HEAD)


@pytest.mark.parametrize(
    ("algorithm", "up", "down"),
    [
        (fedavg(), ALL, ALL),
        (scaffold(), 2 * ALL, 2 * ALL),
        (fednova(), ALL + 4, ALL),
        (qffl(), ALL + 4, ALL),
        (ditto(), ALL, ALL),
        (fedper(), size(BODY), size(BODY)),
        (fedrep(), size(BODY), size(BODY)),
        (fedper(["encoder.*"]), size(HEAD), size(HEAD)),
        (int8(), NUMBERS + 4 * 4, ALL),
        (qsgd(levels=15), 4 + ceil(NUMBERS * (1 + 4) / 8), ALL),
        (qsgd(levels=1), 4 + ceil(NUMBERS * 2 / 8), ALL),
        (topk(0.1), ceil(round(0.1 * NUMBERS) * (32 + ceil(log2(NUMBERS))) / 8), ALL),
    ],
)
def test_bytes_of_every_report_and_every_model(algorithm, up, down):
    _, learner = federation(algorithm)
    assert sent(learner, up=True) == {up}
    assert sent(learner, up=False) == {down}


def test_heads_never_travel_and_the_body_is_averaged():
    """FedPer: the first round's body is that of plain averaging; heads are everybody's own."""
    found, learner = federation(fedper(), rounds=1)
    plain, _ = federation(fedavg(), rounds=1)
    assert all(not key.startswith("head") for *_, keys in learner.sent for key in keys)
    for key, value in START.items():
        if key.startswith("head"):
            assert found["cloud"].tensors[key] is value
            assert not any(torch.equal(found[a].tensors[key], found[b].tensors[key]) for a, b in ("ab", "bc", "ca"))
        else:
            assert torch.equal(found["cloud"].tensors[key], plain["cloud"].tensors[key])


def test_fedrep_by_hand():
    """Head steps on the received body, then body steps on the new head; the mean of bodies by samples."""
    data = {name: client.train for name, client in clients("abc").items()}
    body, heads = dict(START), {name: dict(START) for name in data}
    for t in range(2):
        ends = {}
        for name, own in data.items():
            begun = {key: (heads[name] if key.startswith("head") else body)[key] for key in START}
            job = Job(name, begun, own, 0, t, frozenset([HEAD]))
            heads[name] = train(MODEL, job, replace(RECIPE, epochs=3))
            job = replace(job, tensors=heads[name], trainable=frozenset([BODY]))
            ends[name] = train(MODEL, job, replace(RECIPE, purpose="batches 1"))
        total = sum(map(len, data.values()))
        body = {key: sum(ends[name][key] * (len(own) / total) for name, own in data.items()) for key in START}
    found, _ = federation(fedrep(head_epochs=3), rounds=2)
    for key in START:
        if key.startswith("head"):
            assert all(torch.allclose(found[n].tensors[key], heads[n][key], rtol=1e-10, atol=1e-13) for n in data)
        else:
            assert torch.allclose(found["cloud"].tensors[key], body[key], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("algorithm", [topk(0.1), qsgd(64, feedback=True), int8(feedback=True), int8(True, True)])
def test_error_feedback_telescopes(algorithm):
    """What was decoded in all rounds, and what is left, is what the client has learned in all rounds."""
    learned = {key: torch.zeros_like(value) for key, value in START.items()}

    class Watching(Noting):
        def pack(self, node, to, state, modules):
            if to == "cloud":
                for key in learned:
                    learned[key] += state.tensors[key] - state.base.tensors[key]
            return super().pack(node, to, state, modules)

    study = Study({"x": (5,)}, TASKS, clients("a"), samples(np.random.default_rng(1), 8))
    how = {"algorithms": {"f": algorithm}, "depths": {"cloud": 0, "a": 1}, "start": START}
    learner = Watching(MODEL, study, dict.fromkeys(("cloud", "a"), tuple(START)), {"f": RECIPE}, **how)
    found = Federation(Node("cloud", "cloud", (Node("a", "device"),)), learner, [stage(5)]).run()
    for key, value in START.items():
        decoded, left = found["cloud"].tensors[key] - value, found["a"].extra["residual"][key]
        assert torch.allclose(decoded + left, learned[key], rtol=1e-12, atol=1e-14)
        assert left.abs().max() > 0


def test_what_two_reports_leave_out_of_one_update_counts_once():
    """Where no model comes down between, the second says anew what the first said: only its own loss is owed."""
    study = Study({"x": (5,)}, TASKS, clients("a"), samples(np.random.default_rng(1), 8))
    how = {"algorithms": {"f": topk(0.1)}, "depths": {"cloud": 0, "a": 1}, "start": START}
    learner = Noting(MODEL, study, dict.fromkeys(("cloud", "a"), tuple(START)), {"f": RECIPE}, **how)
    learner.enter(stage(1))
    state, model, learned, step = learner.start("a"), dict(START), dict.fromkeys(START, 0.0), 0
    for reports in (1, 3, 2):
        down = replace(learner.start("cloud"), tensors=dict(model))
        state = learner.merge("a", state, [Vote("cloud", down)], MODULES, "down")
        for _ in range(reports):
            state, step = learner.train("a", state, step), step + 1
            update = {key: state.tensors[key] - model[key] for key in START}
            packed = learner.pack("a", "cloud", state, MODULES)
            state = packed.kept
        learned = {key: learned[key] + value for key, value in update.items()}
        model = dict(packed.wire.tensors)  # the cloud takes the last over
    state = learner.merge("a", state, [Vote("cloud", replace(down, tensors=model))], MODULES, "down")
    left = state.extra["residual"]
    for key, value in START.items():
        assert torch.allclose(model[key] - value + left[key], learned[key], rtol=1e-12, atol=1e-14)
        assert left[key].abs().max() > 0


@pytest.mark.parametrize("mix", [1.0, 0.5, 0.25])
def test_what_was_left_out_counts_once_however_much_of_a_model_is_taken_over(mix):
    """Mixing leaves 1 - mix of it in the own weights; of modules that do not come down all waits."""
    study = Study({"x": (5,)}, TASKS, clients("a"), samples(np.random.default_rng(1), 8))
    algorithm = composed({"topk": topk(0.1), "dfl": dfl(mix)})
    how = {"algorithms": {"f": algorithm}, "depths": {"cloud": 0, "a": 1}, "start": START}
    learner = Noting(MODEL, study, dict.fromkeys(("cloud", "a"), tuple(START)), {"f": RECIPE}, **how)
    learner.enter(stage(1))
    whole = learner.start("cloud")
    state = learner.train("a", learner.merge("a", learner.start("a"), [Vote("cloud", whole)], MODULES, "down"), 0)
    packed = learner.pack("a", "cloud", state, MODULES)
    lost = {key: state.tensors[key] - packed.wire.tensors[key] for key in START}
    down = replace(whole, tensors={key: packed.wire.tensors[key] for key in START if key.startswith(BODY)})
    state = learner.merge("a", packed.kept, [Vote("cloud", down)], MODULES, "down")
    for key in START:
        if key.startswith(BODY):
            still = state.tensors[key] - packed.wire.tensors[key]
            assert torch.allclose(still + state.extra["residual"][key], lost[key], rtol=1e-12, atol=1e-15)
        else:
            assert key not in state.extra["residual"]
            assert torch.equal(state.extra["unsent"][key], lost[key])


@pytest.mark.parametrize("said", [(), (BODY,), (HEAD,)])
def test_what_has_no_votes_goes_up_as_it_is(said):
    """Nobody counts it: what an earlier report left out of it waits, and its numbers are none of the update's."""
    study = Study({"x": (5,)}, TASKS, clients("a"), samples(np.random.default_rng(1), 8))
    how = {"algorithms": {"f": topk(0.1)}, "depths": {"cloud": 0, "a": 1}, "start": START}
    learner = Noting(MODEL, study, dict.fromkeys(("cloud", "a"), tuple(START)), {"f": RECIPE}, **how)
    learner.enter(stage(1))
    down = [Vote("cloud", learner.start("cloud"))]
    state = learner.pack("a", "cloud", learner.train("a", learner.start("a"), 0), MODULES).kept
    state = learner.merge("a", state, down, MODULES, "down")
    owed, trained = state.extra["residual"], learner.train("a", state, 1).tensors
    ends = {key: trained[key] if key.startswith(said) else START[key] for key in START}
    packed = learner.pack("a", "cloud", replace(state, tensors=ends, samples=dict.fromkeys(said, 9)), MODULES)
    update = {key: ends[key] - START[key] + owed[key] for key in START if key.startswith(said)}
    decoded = topk(0.1).uplink(update, np.random.default_rng(0)) if update else {}
    left = learner.merge("a", packed.kept, down, MODULES, "down").extra["residual"]
    for key, value in START.items():
        assert torch.equal(packed.wire.tensors[key], value + decoded.get(key, 0.0))
        assert torch.equal(left[key], update[key] - decoded[key] if key in update else owed[key])
        assert owed[key].abs().max() > 0


@pytest.mark.parametrize("levels", [1, 4, 16])
def test_qsgd_is_right_on_average_and_bounded(levels):
    """E Q = x and E ||Q - x||^2 <= min(d / s^2, sqrt(d) / s) ||x||^2; 3,000 draws."""
    rng, count = np.random.default_rng(5), 3000
    x = {"a/w": torch.tensor(rng.normal(size=(6, 5))), "b/w": torch.tensor(rng.normal(size=20))}
    flat, d = torch.cat([value.flatten() for value in x.values()]), 50
    uplink = qsgd(levels).uplink
    draws = torch.stack([torch.cat([v.flatten() for v in uplink(x, rng).values()]) for _ in range(count)])
    norm = flat.norm()
    steps = draws.abs() * levels / norm
    assert torch.allclose(steps, steps.round(), atol=1e-9)
    assert steps.max() <= levels + 1e-9
    assert float((draws.mean(0) - flat).abs().max()) <= 5 * float(norm) / levels / 2 / count**0.5
    error = ((draws - flat) ** 2).sum(1).mean() / norm**2
    assert 0 < float(error) <= min(d / levels**2, d**0.5 / levels)
    assert {key: value.shape for key, value in uplink(x, rng).items()} == {k: v.shape for k, v in x.items()}
    zero = {"a/w": torch.zeros(3)}
    assert torch.equal(uplink(zero, rng)["a/w"], zero["a/w"])


@pytest.mark.parametrize("stochastic", [False, True])
def test_int8_is_within_its_scale(stochastic):
    rng, count = np.random.default_rng(6), 3000
    x = {"a/w": torch.tensor(rng.normal(size=(6, 5))), "b/w": 1e-6 * torch.tensor(rng.normal(size=20))}
    uplink = int8(stochastic).uplink
    for key, value in x.items():
        scale = float(value.abs().max()) / 127
        draws = torch.stack([uplink({key: value}, rng)[key] for _ in range(count if stochastic else 1)])
        codes = draws / scale
        assert torch.allclose(codes, codes.round(), atol=1e-9)
        assert float((draws - value).abs().max()) <= scale * (1 if stochastic else 0.5) * (1 + 1e-9)
        if stochastic:
            assert float((draws.mean(0) - value).abs().max()) <= 5 * scale / 2 / count**0.5
    zero = {"a/w": torch.zeros(3), "b/w": torch.zeros(0)}
    assert torch.equal(uplink(zero, rng)["a/w"], zero["a/w"])


def test_top_k_keeps_the_largest():
    x = {"a/w": torch.tensor([0.1, -5.0, 0.2]), "b/w": torch.tensor([[4.0, 0.0]])}
    decoded = topk(0.4).uplink(x, np.random.default_rng(0))
    assert decoded["a/w"].tolist() == [0.0, -5.0, 0.0]
    assert decoded["b/w"].tolist() == [[4.0, 0.0]]
