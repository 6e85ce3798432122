"""Digits and the perceptron from a scenario; the collector; benchmarks that cannot be run here."""

import gc

import pytest

from experiments import benchmarks
from experiments.build import build
from experiments.collector import SELDOM, seldom_collecting
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError
from models.mlp import MLP
from models.training import Recipe

STAR = {"kind": "star", "clients": 12}
TREES = [STAR, {"kind": "classroom", "devices": 12}, {"kind": "campus", "classrooms": 3, "devices": 4}]


def scenario(path, **change):
    given = {
        "title": "Digits",
        "topology": STAR,
        "data": {"source": "digits", "test": 300},
        "model": {"kind": "mlp", "hidden": [8, 4]},
        "plan": {"cloud": {"modules": ["*"], "rounds": 2}},
        "learning": {"optimizer": {"name": "sgd", "lr": 0.1, "clip": 1.0}},
        "plots": False,
        **change,
    }
    path.write_text(Scenario.model_validate(given).to_yaml())
    return Scenario.load(path)


@pytest.mark.parametrize("topology", TREES)
@pytest.mark.parametrize("model", [{"kind": "mlp", "hidden": [8, 4]}, {"kind": "linear", "tasks": ["digit"]}])
def test_digits_are_dealt_to_the_leaves_of_any_tree(topology, model, tmp_path):
    tiers = {"star": ["cloud"], "classroom": ["classroom"], "campus": ["classroom", "campus"]}[topology["kind"]]
    plan = {tier: {"modules": ["*"]} for tier in tiers}
    built = build(scenario(tmp_path / "a.yaml", topology=topology, model=model, plan=plan))
    assert len(built.study.clients) == 12
    assert sum(len(client.train) for client in built.study.clients.values()) == 1497
    assert len(built.study.test) == 300
    recipe = built.learner.curriculum.recipe_in(built.stages[0])
    assert isinstance(recipe, Recipe)
    assert recipe.clip == 1.0


def test_it_runs_and_learns_and_the_names_are_those_of_the_model(tmp_path):
    given = scenario(tmp_path / "a.yaml", plan={"cloud": {"modules": ["encoder.*", "head.*"], "rounds": 4}})
    built = build(given)
    assert given.model.modules == tuple(built.learner.model.modules) == ("encoder.image", "head.digit")
    assert isinstance(built.learner.model, MLP)
    metrics = run(given, tmp_path / "out").metrics
    cloud = metrics[(metrics.tier == "cloud") & (metrics.moment == "after_merge")]
    assert cloud.value.iloc[-1] > cloud.value.iloc[0]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model": {"kind": "m3t", "tasks": ["answer"]}}, "data source digits needs a model of kind mlp or linear"),
        ({"data": {"source": "campus"}, "model": {"kind": "mlp"}}, "data source campus needs a model of kind m3t"),
        ({"model": {"kind": "mlp", "tasks": ["digits"]}}, "no task 'digits'; did you mean 'digit'"),
        ({"model": {"kind": "mlp", "hidden": []}}, "hidden"),
        ({"model": {"kind": "mlp", "hidden": [0]}}, "hidden"),
        ({"model": {"kind": "mlp", "hidden": 64}}, r"hidden: expected a list, such as \[128\], got 64"),
        ({"data": {"source": "digits", "copies": 0}}, "copies"),
        ({"data": {"source": "digits", "test": 1797}}, "test"),
        ({"learning": {"optimizer": {"clip": 0}}}, "clip"),
        ({"stages": [{"name": "a", "at": "device", "trainable": ["*"], "data": "public"}]}, "public data"),
    ],
)
def test_mistakes_are_told(change, what, tmp_path):
    from ruamel.yaml import YAML

    good = scenario(tmp_path / "a.yaml").dump()
    with (tmp_path / "b.yaml").open("w") as file:
        YAML(typ="safe").dump({**good, "stages": [], "evaluate": None, **change}, file)
    with pytest.raises(ScenarioError, match=what):
        Scenario.load(tmp_path / "b.yaml")


def test_too_many_clients_are_refused_with_the_remedy(tmp_path):
    many = {**STAR, "clients": 800}
    with pytest.raises(ScenarioError, match="at most 748 clients, a smaller test split, or more copies"):
        build(scenario(tmp_path / "a.yaml", topology=many))
    assert build(scenario(tmp_path / "b.yaml", topology=many, data={"source": "digits", "copies": 2})).study


def test_the_collector_is_as_before_after_a_run_and_after_a_mistake():
    before = gc.get_threshold()
    inside = []

    def mistaken():
        with seldom_collecting():
            inside.append(gc.get_threshold())
            raise KeyError

    with pytest.raises(KeyError):
        mistaken()
    assert inside == [SELDOM]
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_a_benchmark_without_its_data_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("EDUFOG_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    line = benchmarks.report("star")
    assert line["met"]
    assert "set EDUFOG_DATA to its folder" in line["skipped"]
