"""Low-rank adapters: FLoRA's fold is the mean of products exactly, FedIT's is not, FFA-LoRA's A stays."""

from dataclasses import replace
from types import SimpleNamespace

import federations
import numpy as np
import pytest
import torch
from quadratics import Noting

from models import SGD, Client, Node, Recipe, Study, Supervised, initial
from models.adapters import Bottleneck, LoRA
from models.algorithms.fedit import fedit
from models.algorithms.ffa_lora import ffa_lora
from models.algorithms.flora import flora
from models.federate import Federation
from models.federation.algorithm import Setting
from models.model import nest

ALPHA, RANK = 3.0, 2
MODEL = replace(federations.MODEL, adapters=LoRA(RANK, last=1, alpha=ALPHA), offsets=())
START = initial(MODEL, 0, torch.float64)
DEVICES = ("a", "b", "c", "pool/d")
LAYER = MODEL.layers - 1
PAIRS = [(f"adapter/{LAYER}.{m}.a", f"adapter/{LAYER}.{m}.b", f"trunk/{LAYER}.{m}.weight") for m in ("qkv", "proj")]
ADAPTER = ("adapter",)
STAR = Node("cloud", "cloud", tuple(Node(name, "device") for name in DEVICES))
ROOMS = {"room/0": DEVICES[:3], "room/1": DEVICES[3:]}
TREE = Node("cloud", "cloud", tuple(Node(r, "room", tuple(Node(n, "device") for n in ns)) for r, ns in ROOMS.items()))


def data():
    rng = np.random.default_rng(2)
    counts = dict(zip(DEVICES, (5, 9, 14, 7), strict=True))
    draw = federations.samples
    return {n: Client(draw(rng, k, dtype=torch.float64), draw(rng, 3, dtype=torch.float64)) for n, k in counts.items()}


class Reporting(Noting):
    """Keeps what devices have sent, too."""

    def pack(self, node, to, state, modules):
        out = super().pack(node, to, state, modules)
        if node in DEVICES:
            self.reports = {**getattr(self, "reports", {}), node: out.wire}
        return out


def run(algorithm, tree=STAR, **rounds):
    study = Study(federations.SHAPES, federations.TASKS, data(), data()["a"].test)
    depths = {"cloud": 0, **dict.fromkeys(ROOMS, 1), **dict.fromkeys(DEVICES, 2)}
    recipe = Recipe(Supervised(), SGD(0.5), 3, 4, trainable=frozenset(ADAPTER))
    how = {"algorithms": {"f": algorithm}, "depths": depths, "start": START}
    learner = Reporting(MODEL, study, dict.fromkeys(depths, tuple(START)), {"f": recipe}, **how)
    plan = {tier: SimpleNamespace(modules=ADAPTER, rounds=count) for tier, count in (rounds or {"cloud": 1}).items()}
    stage = SimpleNamespace(name="f", at="device", trainable=ADAPTER, plan=plan)
    return Federation(tree, learner, [stage]).run(), learner


def products(reports, a, b):
    """The mean of products by samples."""
    counts = {name: len(client.train) for name, client in data().items()}
    total = sum(counts.values())
    return sum(wire.tensors[a] @ wire.tensors[b] * (counts[n] / total) for n, wire in reports.items()) * ALPHA / RANK


def outputs(tensors):
    x = federations.samples(np.random.default_rng(8), 6, dtype=torch.float64)
    out = MODEL.forward(nest(tensors), x.inputs, tuple(federations.TASKS))
    return torch.cat([value.flatten() for value in out.values()])


def folded(reports):
    """Weights that compute what the mean of products says, without any adapter."""
    out = dict(START)
    for a, b, weight in PAIRS:
        out |= {weight: START[weight] + products(reports, a, b), b: torch.zeros_like(START[b])}
    return out


@pytest.mark.parametrize(("tree", "rounds"), [(STAR, {"cloud": 1}), (TREE, {"cloud": 1, "room": 1})])
def test_a_merge_is_the_mean_of_products_exactly(tree, rounds):
    found, learner = run(flora(ALPHA), tree, **rounds)
    expected = folded(learner.reports)
    root = found["cloud"].tensors
    for a, b, weight in PAIRS:
        assert torch.allclose(root[weight], expected[weight], rtol=0, atol=1e-12)
        assert not torch.equal(root[weight], START[weight])
        assert root[a] is START[a]  # anew
        assert root[b] is START[b]
    assert torch.allclose(outputs(root), outputs(expected), rtol=0, atol=1e-12)
    assert all(root[key] is START[key] for key in START if key not in {pair[2] for pair in PAIRS})


def test_means_of_factors_are_something_else():
    found, learner = run(fedit())
    gap = outputs(found["cloud"].tensors) - outputs(folded(learner.reports))
    moved = outputs(folded(learner.reports)) - outputs(START)
    assert gap.abs().max() > 1e-3 * moved.abs().max() > 0


def test_the_second_round_goes_on_from_the_folded_maps():
    """A device computes with what came down; its own factors come on top."""
    found, learner = run(flora(ALPHA), cloud=2)
    first, _ = run(flora(ALPHA), cloud=1)
    for a, b, weight in PAIRS:
        expected = first["cloud"].tensors[weight] + products(learner.reports, a, b)
        assert torch.allclose(found["cloud"].tensors[weight], expected, rtol=0, atol=1e-12)
        assert all(found[n].tensors[weight] is found["cloud"].tensors[weight] for n in DEVICES)  # the broadcast
        assert learner.reports["a"].tensors[b].abs().max() > 0


def size(*keys):
    return sum(START[key].numel() * START[key].element_size() for key in keys)


FACTORS = size(*(key for pair in PAIRS for key in pair[:2]))


def test_flora_is_charged_by_stacked_factors():
    """Down, those of all who have reported; up, a device's own, and an edge's stack."""
    _, learner = run(flora(ALPHA), TREE, cloud=2, room=2)
    sizes = {}
    for node, to, nbytes, _ in learner.sent:
        sizes.setdefault((node, to), []).append(nbytes)
    one = FACTORS
    assert sizes["a", "room/0"] == [one] * 4
    assert sizes["room/0", "cloud"] == [3 * one] * 2
    assert sizes["room/1", "cloud"] == [one] * 2
    assert sizes["cloud", "room/0"] == [one, 4 * one, 4 * one]  # two rounds, a broadcast
    assert sizes["room/0", "a"] == [one, 3 * one, 4 * one, 3 * one, 4 * one]


@pytest.mark.parametrize(
    ("algorithm", "model", "trainable", "wrong"),
    [
        (flora(ALPHA), replace(MODEL, adapters=Bottleneck(4)), ADAPTER, "flora needs low-rank maps"),
        (flora(ALPHA), MODEL, (*ADAPTER, "trunk"), "the trunk, which must be frozen"),
        (flora(), MODEL, ADAPTER, "alpha must be that of the model's adapters, 3.0"),
        (flora(2.0), replace(MODEL, adapters=LoRA(RANK)), ADAPTER, None),  # alpha / rank is 1 either way
        (flora(3.0), replace(MODEL, adapters=LoRA(RANK)), ADAPTER, "the model's adapters, none"),
        (ffa_lora(), replace(MODEL, adapters=Bottleneck(4)), ADAPTER, "ffa_lora needs low-rank maps"),
        (ffa_lora(), MODEL, (*ADAPTER, "trunk"), None),
    ],
)
def test_models_that_do_not_suit_are_refused(algorithm, model, trainable, wrong):
    setting = Setting(Recipe(Supervised(), SGD(0.5), 3, 4, trainable=frozenset(trainable)), model, DEVICES)
    if wrong is None:
        algorithm.check(setting)
        return
    with pytest.raises(ValueError, match=wrong):
        algorithm.check(setting)


def test_ffa_keeps_a_as_drawn_and_sends_only_b():
    found, learner = run(ffa_lora(), cloud=2)
    for a, b, _ in PAIRS:
        assert all(found[node].tensors[a] is START[a] for node in ("cloud", *DEVICES))
        assert not torch.equal(found["cloud"].tensors[b], START[b])
    assert {nbytes for _, _, nbytes, _ in learner.sent} == {size(*(b for _, b, _ in PAIRS))}
    assert all(keys == {b for _, b, _ in PAIRS} for *_, keys in learner.sent)


def test_ffa_has_no_bias():
    """With one A for all, the mean of B is the mean of products."""
    found, learner = run(ffa_lora())
    reports = {n: replace(wire, tensors={**START, **wire.tensors}) for n, wire in learner.reports.items()}
    assert torch.allclose(outputs(found["cloud"].tensors), outputs(folded(reports)), rtol=0, atol=1e-12)
