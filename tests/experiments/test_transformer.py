"""The benchmark's two sides learn the same, and the cut one computes its front once."""

import pytest

from experiments.benchmarks import transformer
from models import SGD, Recipe, Supervised
from models.engines import Inline, Plain


@pytest.fixture(autouse=True)
def small(monkeypatch):
    sizes = {"CLIENTS": 3, "WIDTH": 8, "LAYERS": 2, "TOKENS": 4, "UNITS": 3, "FEATURES": 5, "SAMPLES": 10, "BATCH": 4}
    for name, size in sizes.items():
        monkeypatch.setattr(transformer, name, size)


@pytest.mark.parametrize("kind", transformer.KINDS)
def test_both_sides_learn_the_same(kind):
    layers, trainable = transformer.KINDS[kind]
    net = transformer.model(min(layers, 2))
    work = transformer.jobs(net)
    recipe = Recipe(Supervised(), SGD(0.01), 1, 4, frozenset(trainable))
    inline = Inline()
    for one, other in zip(inline.train_all(net, work, recipe), Plain().train_all(net, work, recipe), strict=True):
        for key, value in other.items():
            assert (one[key] - value).abs().max() <= 1e-5 * max(float(value.abs().max()), 1e-2), key
    seconds = transformer.seconds(inline, net, work, recipe, 3)
    assert len(seconds) == 3
    report = inline.report()
    assert (report["cache_hits"], report["cache_misses"]) == (9, 3)  # the weights that train are behind the cut


def test_figures_are_the_goals_and_their_seconds(monkeypatch):
    monkeypatch.setattr(transformer, "PASSES", 3)
    monkeypatch.setitem(transformer.KINDS, "all_layers", (2, transformer.KINDS["all_layers"][1]))
    figures = transformer.figures()
    for kind in transformer.KINDS:
        expected = figures[f"{kind}_seconds"], figures[f"{kind}_plain_seconds"]
        assert all(value >= 0 for value in expected)
    assert set(transformer.GOALS) < set(figures)
