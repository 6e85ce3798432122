"""Algorithms of one's own: what is wrong with them is told before the run, with their file and line."""

import pytest

from experiments.build import build
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError

FILE = """\
import torch
from models.federation.algorithm import Algorithm
from models.federation.local import combined
from models.federation.tally import Reports

def local(state, train):
    learned = train(state.tensors)
    return LOCAL

def rule(tally):
    mean = {key: tally.mean(key) for key in tally.keys}
    return RULE

class Uplink:
    feedback = False
    def nbytes(self, shapes):
        return NBYTES
    def __call__(self, update, random):
        return SENT

def Mine():
    return Algorithm(local=local, rule=Reports(rule), uplink=Uplink())
"""
GOOD = {
    "LOCAL": "combined(tuple(learned), (learned,), lambda key: learned[key] * 2), state.extra",
    "RULE": "mean, {}",
    "NBYTES": "4",
    "SENT": "dict(update)",
}


@pytest.fixture
def scenario(tmp_path):
    def of(name, **parts):
        text = FILE
        for part, code in (GOOD | parts).items():
            text = text.replace(part, code)
        (tmp_path / f"{name}.py").write_text(text)
        (tmp_path / "s.yaml").write_text(
            "title: Mine\ntopology: {kind: star, clients: 3, device: laptop_i5u}\ndata: {source: digits}\n"
            'model: {kind: mlp, hidden: [4]}\nplan: {cloud: {modules: ["*"]}}\nplots: false\n'
            f"learning: {{algorithm: '{name}:Mine'}}\n"
        )
        return Scenario.load(tmp_path / "s.yaml")

    return of


def test_a_sound_one_runs(scenario):
    assert run(scenario("sound_one")).manifest["client_updates"] == 3


@pytest.mark.parametrize(
    ("part", "code", "told"),
    [
        ("LOCAL", "{k: v + 1 for k, v in learned.items()}, state.extra",
         r"its local rule .* it looks at weights before they are known; make .*combined .* \(N.py, line 8\)"),
        ("LOCAL", "train(state.tensors, epoch=train.step), {}", r"its local rule .* attribute 'step' \(N.py, line 8\)"),
        ("LOCAL", "learned", r"a local rule must give two mappings, weights and extra .*; got one"),
        ("RULE", "mean", r"its merge rule .* must give two mappings, weights and extra"),
        ("RULE", "{k: v[:1] for k, v in mean.items()}, {}", r"its merge rule .* it must give \(.*\), got \(1"),
        ("RULE", "{key: tally.own.tensor for key in mean}, {}", r"its merge rule .* 'tensor' \(N.py, line 12\)"),
        ("NBYTES", "1.5", "its uplink .* nbytes must give a whole number, 0 or more, got 1.5"),
        ("SENT", "{}", r"its uplink .* of .* it must give \(.*\), got nothing"),
    ],
    ids=["looks", "raises", "one", "weights", "shape", "name", "bytes", "keys"],
)  # fmt: skip
def test_what_is_wrong_is_told_before_the_run(scenario, request, part, code, told):
    name = f"wrong_{request.node.callspec.id}"  # a module is imported once
    with pytest.raises(ScenarioError, match=told.replace("N.py", f"{name}.py")):
        build(scenario(name, **{part: code}))
