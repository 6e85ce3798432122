"""Every algorithm of the folder on a federation in which modalities and tasks are missing, and one of a user's own."""

import re
from dataclasses import replace
from functools import cache

import federations
import pytest
import torch

from models import SGD, Learner, Node, Recipe, Samples, Supervised, initial
from models.adapters import LoRA
from models.engines import Inline, Plain
from models.federate import Federation
from models.federation import library
from models.federation.algorithm import Algorithm
from models.model import module

MODEL = replace(federations.MODEL, adapters=LoRA(2, last=1), offsets=())
TRAINED = tuple(name for name in MODEL.modules if not name.startswith(("trunk", "decoder")))
DEVICES = tuple(f"n{i}" for i in range(7))
ROOMS = {"room0": DEVICES[:4], "room1": DEVICES[4:]}
TREE = Node("cloud", "cloud", tuple(Node(r, "room", tuple(Node(n, "device") for n in ns)) for r, ns in ROOMS.items()))
DEPTHS = {"cloud": 0, **dict.fromkeys(ROOMS, 1), **dict.fromkeys(DEVICES, 2)}
SHARED = tuple(name for name in TRAINED if name != "head.outcome")  # which stays in its room


class Tier:
    def __init__(self, modules, rounds):
        self.modules, self.rounds = modules, rounds


def doubled(samples):
    def wide(tensors):
        return {k: v.double() if v.is_floating_point() else v for k, v in tensors.items()}

    return Samples(wide(samples.inputs), wide(samples.targets))


@cache
def study(dtype):
    data = federations.study(DEVICES, seed=4)
    if dtype == torch.float32:
        return data
    clients = {n: replace(c, train=doubled(c.train), test=doubled(c.test)) for n, c in data.clients.items()}
    return replace(data, clients=clients, test=doubled(data.test))


def run(name, engine, dtype=torch.float32):
    """What every node knows in the end, and its scores."""
    data, keys = study(dtype), tuple(initial(MODEL, 0))
    holds = dict.fromkeys(DEPTHS, keys)
    holds |= {n: MODEL.held(c.train.inputs, c.train.targets) for n, c in data.clients.items()}
    recipe = Recipe(Supervised(), SGD(0.003), 2, 6, trainable=frozenset(TRAINED))
    learner = Learner(
        MODEL,
        data,
        holds,
        {"f": recipe},
        seed=3,
        algorithms={"f": library.made(name, {})},
        depths=DEPTHS,
        start=initial(MODEL, 0, dtype),
        engine=engine,
    )
    plan = {"cloud": Tier(SHARED, 2), "room": Tier(TRAINED, 2)}
    states = Federation(TREE, learner, [federations.stage("f", "device", TRAINED, plan)]).run()
    return states, list(learner.evaluate(states))


def values(state):
    yield from state.tensors.items()
    for name, own in state.extra.items():
        yield from ((f"{name}: {key}", own[key]) for key in own)


def test_the_folder_is_whole():
    some = "afl ditto fedadagrad fedadam fedasync fedavg fedbuff fednova fedper fedprox fedrep fedyogi ffa_lora flora"
    more = "int8 krum median mlpfl norm_clip qffl qsgd scaffold topk trimmed_mean fedit dfl"
    assert {*some.split(), *more.split()} <= set(library.names())
    for name in library.names():
        assert re.search(r"\(.*\d{4}\.\d{5}.*\)\.$", library.paper(library.find(name))), name
        assert isinstance(library.made(name, {}), Algorithm)


@pytest.mark.parametrize("name", library.names())
def test_the_same_bits_however_stacked(name):
    """In float32, where a sum in another order shows; the plain twin at 1e-9 in float64."""
    expected, scores = run(name, Inline(3))
    for chunk in (1, None):
        found, again = run(name, Inline(chunk))
        assert again == scores
        for node, state in expected.items():
            assert found[node].samples == state.samples
            other = dict(values(found[node]))
            assert other.keys() == dict(values(state)).keys()
            assert all(torch.equal(value, other[key]) for key, value in values(state)), (node, chunk)
    start = initial(MODEL, 0)
    moved = {module(key) for key in start if not torch.equal(expected["n0"].tensors.get(key, start[key]), start[key])}
    assert {"encoder.record", "head.answer"} <= moved


@pytest.mark.parametrize("name", library.names())
def test_equal_to_the_plain_twin(name):
    stacked, _ = run(name, Inline(3), torch.float64)
    plain, _ = run(name, Plain(), torch.float64)
    for node, state in stacked.items():
        other = plain[node].tensors
        for key, value in state.tensors.items():
            assert value.dtype == torch.float64
            assert torch.allclose(value, other[key], rtol=1e-9, atol=1e-9 * max(1e-3, float(value.abs().max()))), key


MINE = '''
"""Half of the mean update."""

from dataclasses import dataclass

from models.federation.algorithm import Algorithm
from models.federation.tally import Reports


@dataclass(frozen=True, slots=True)
class Part:
    share: float

    def __call__(self, tally):
        return {key: tally.own.tensors[key] + tally.mean_update(key) * self.share for key in tally.keys}, {}


def Mine(share: float = 0.5):
    """Mine: a part of the way (nobody, arXiv 0000.00000)."""
    if not 0 < share <= 1:
        raise ValueError(f"mine: share must be above 0 and at most 1, got {share}")
    return Algorithm(rule=Reports(Part(share)))
'''


def test_an_algorithm_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    make = library.find("mine:Mine")
    assert library.knobs(make) == {"share": 0.5}
    assert "a part of the way" in library.paper(make)
    with pytest.raises(ValueError, match="at most 1, got 2"):
        library.made("mine:Mine", {"share": 2})
    whole, _ = run("mine:Mine", Inline())
    assert not torch.equal(whole["cloud"].tensors["head.answer/bias"], initial(MODEL, 0)["head.answer/bias"])


@pytest.mark.parametrize(
    ("name", "knobs", "wrong"),
    [
        ("fedadam", {"beta1": 1.0}, "beta1 must be >= 0 and < 1"),
        ("fedadagrad", {"lr": 0.0}, "lr must be > 0"),
        ("fedyogi", {"tau": -1.0}, "tau must be > 0"),
        ("fedprox", {"mu": float("nan")}, "mu: input should be a finite number"),
        ("scaffold", {"server_lr": 0.0}, "server_lr must be > 0"),
        ("qffl", {"q": -1.0}, "q must be >= 0"),
        ("qffl", {"lipschitz": 0.0}, "lipschitz must be > 0"),
        ("afl", {"rate": 0.0}, "rate must be > 0"),
        ("fedper", {"stay": "head.*"}, "stay: must be a list, such as"),
        ("fedrep", {"stay": []}, "stay must be a list of modules"),
        ("fedrep", {"head_epochs": 0}, "head_epochs must be a whole number, 1 or more"),
        ("ditto", {"lambda_": -0.1}, "lambda_ must be >= 0"),
        ("mlpfl", {"inner_lr": 0.0}, "inner_lr must be > 0"),
        ("trimmed_mean", {"share": 0.5}, "share must be >= 0 and < 0.5"),
        ("trimmed_mean", {"share": 0.0}, "share must be > 0"),
        ("krum", {"faults": -1}, "faults must be a whole number, 0 or more"),
        ("krum", {"keep": 1.5}, "keep: input should be a valid integer"),
        ("norm_clip", {"norm": 0.0}, "norm must be > 0"),
        ("flora", {"alpha": 0.0}, "alpha must be > 0"),
        ("qsgd", {"levels": 0}, "levels must be a whole number, 1 or more"),
        ("topk", {"share": 0.0}, "share must be > 0 and <= 1"),
        ("fedasync", {"rate": 1.5}, "rate must be > 0 and <= 1"),
        ("fedasync", {"power": -0.5}, "power must be >= 0"),
        ("fedbuff", {"server_lr": 0.0}, "server_lr must be > 0"),
        ("dfl", {"mix": 0.0}, "mix must be > 0 and <= 1"),
        ("median", {"share": 0.1}, "has no knob 'share'"),
    ],
)
def test_knobs_out_of_range(name, knobs, wrong):
    with pytest.raises(ValueError, match=f"{name}.*{wrong}"):
        library.made(name, knobs)
