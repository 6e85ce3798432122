"""Benchmarks do what they say that they time; how long they take is for `make bench`."""

import json

import pytest

from experiments import benchmarks
from experiments.benchmarks import __main__ as command
from experiments.benchmarks import _digits, burst, queue, tree


def test_a_report_is_one_json_line_with_goals_that_are_figures(monkeypatch, capsys):
    monkeypatch.setattr(tree, "figures", lambda: {"seconds": 3.0, "worst_deviation": 1e-12})
    assert command.main(["tree"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line == {"name": "tree", "figures": tree.figures(), "goals": tree.GOALS, "met": True}
    monkeypatch.setattr(tree, "figures", lambda: {"seconds": 5.0, "worst_deviation": 1e-12})
    assert command.main(["tree"]) == 1
    assert json.loads(capsys.readouterr().out)["met"] is False


def test_an_unknown_benchmark_is_refused_with_those_there_are(capsys):
    assert command.main(["trie"]) == 2
    assert "no benchmark trie: there are " in capsys.readouterr().err


def test_the_modules_of_the_folder_are_the_benchmarks():
    assert {"queue", "burst", "tree"} <= set(benchmarks.names())
    for name in benchmarks.names():
        module = benchmarks.import_module(f"experiments.benchmarks.{name}")
        assert callable(module.figures)
        assert module.GOALS


def test_a_queue_of_flows_responds_as_simpy_does_and_leaves_its_energy(monkeypatch):
    monkeypatch.setattr(queue, "DEVICES", 200)
    gaps = queue.gaps()
    campus = queue.Campus(gaps)
    assert campus.run() == pytest.approx(queue.bare(gaps), rel=1e-9)
    tasks = 200 * queue.TASKS
    assert len(campus.log.spans) == 2 * tasks
    assert campus.log.joules(kind="transmit") == pytest.approx(tasks * 0.6 * queue.TRANSMIT_WATTS)
    assert campus.log.joules(kind="compute") == pytest.approx(tasks * 0.9 * queue.BUSY_WATTS)


def test_a_burst_of_flows_ends_as_the_bare_loop_says():
    assert burst.fluid() == pytest.approx(burst.bare(), rel=1e-9)


def test_the_smaller_tree_ends_as_the_reference_says():
    assert tree.worst_deviation() <= 1e-9


def test_the_simulated_star_learns_what_the_limit_and_the_plain_loop_learn(monkeypatch):
    """20 devices as arrays, 2 rounds: the same weights but for rounding in float32; drawn from 40, other ones."""
    monkeypatch.setattr(_digits, "ROUNDS", 2)
    monkeypatch.setattr(_digits, "SAMPLED", 20)
    assert _digits.apart(_digits.built(20), _digits.limit) < 1e-5
    assert _digits.apart(_digits.built(20), _digits.plain) < 1e-5
    drawn = _digits.built(40, 8)
    log = _digits.simulation(drawn)
    assert drawn.learner.updates == 2 * 20
    assert [metric.name for metric in log.metrics].count("accuracy") == 1
    assert {span.node for span in log.spans} == {"cloud", "cloud/*"}
