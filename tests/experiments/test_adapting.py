"""Adapters, experts and prompts in a scenario: their names, their mistakes, and a study that uses each."""

import pytest

from experiments.build import build
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError, module_names
from models.model import module

STUDY = """\
title: What teaches a frozen trunk
seed: 3
topology: {kind: classroom, devices: 3, device: %(device)s}
data: {source: campus, test: 30, public: 40}
model: {width: 8, trunk: {layers: 2, heads: 2, frozen: %(frozen)s}, tasks: [answer, outcome], %(model)s}
plan: {classroom: {modules: ["head.*", %(shared)s], rounds: 2}}
learning: {batch_size: 8, optimizer: {name: sgd, lr: 0.01}}
stages: [{name: one, at: device, trainable: [%(trainable)s]}]
evaluate: {tiers: [device, classroom], moments: [after_merge, after_broadcast]}
profiles: {devices: {small: {based_on: laptop_i5u, memory_bytes: %(memory)d}}}
memory: {policy: fit}
plots: false
"""
KINDS = {
    "adapters: {last: 2}": ("adapter",),
    "adapters: {kind: lora, rank: 2, maps: all, alpha: 8}": ("adapter",),
    "adapters: {kind: experts, count: 2, rank: 1, top: 1}": ("expert.0", "expert.1", "router"),
    "adapters: null, prompt: {tokens: 2}": ("prompt",),
    "adapters: {kind: lora}, prompt: {tokens: 1, last: 1}": ("prompt", "adapter"),
}


def scenario(folder, model, shared, trainable=None, device="laptop_i5u", memory=10**9, frozen="true"):
    trainable = ["head.*", *shared] if trainable is None else trainable
    names = {key: ", ".join(f'"{n}"' for n in some) for key, some in (("shared", shared), ("trainable", trainable))}
    text = STUDY % {"model": model, "device": device, "memory": memory, "frozen": frozen, **names}
    (folder / "s.yaml").write_text(text)
    return Scenario.load(folder / "s.yaml")


def travelled(result):
    spans = result.spans[result.spans.kind == "transmit"]
    return set("+".join(spans.modules.astype(str)).split("+"))


@pytest.mark.parametrize(("model", "names"), KINDS.items())
def test_names_are_those_of_the_model_and_travel(model, names, tmp_path):
    study = scenario(tmp_path, model, names)
    result = run(study, tmp_path / "out")
    built = build(study)
    assert module_names(study) == tuple(built.learner.model.modules)
    sent = travelled(result)
    assert sent >= {*names, "head.answer", "head.outcome"}
    assert not any(name.startswith(("trunk", "encoder")) for name in sent)
    footprint = (tmp_path / "out/footprint.csv").read_text()
    assert all(f"\n{name}," in footprint for name in names)
    assert set(result.metrics.tier) == {"device", "classroom"}
    assert result.manifest["cache_hits"] > 0  # everything below is frozen


def test_an_expert_may_stay_with_the_student(tmp_path):
    """The classroom merges what it is told to, and cannot be scored without an expert of its own."""
    model = "adapters: {kind: experts, count: 2, rank: 1}"
    result = run(scenario(tmp_path, model, ["expert.0", "router"], ["head.*", "expert.*", "router"]))
    assert travelled(result) == {"expert.0", "router", "head.answer", "head.outcome"}
    assert set(result.metrics.tier) == {"device"}


def test_experts_that_do_not_fit_are_left_out_one_by_one(tmp_path):
    model = "adapters: {kind: experts, count: 3, rank: 4, maps: all}"
    study = scenario(tmp_path, model, ["expert.*", "router"])
    built = build(study)
    workload, stage, node = built.workload, built.stages[0], built.hierarchy.leaves[0]
    workload.enter(stage)
    modules = frozenset(workload.candidates(stage, node))
    assert {"expert.0", "expert.1", "expert.2", "router"} < modules
    need = max(workload.peak(stage, n, modules) for n in built.hierarchy.leaves)
    small = build(scenario(tmp_path, model, ["expert.*", "router"], device="small", memory=int(need) - 1))
    kept = set().union(*small.learner.curriculum.allowed.values())
    assert kept
    assert kept < set(modules)
    held = {module(key) for key in small.learner.holds[small.hierarchy.leaves[0]]}
    assert held >= modules  # all the same


@pytest.mark.parametrize(
    ("model", "what"),
    [
        ("adapters: {kind: lorra}", "5: model.adapters.kind: unknown kind 'lorra'; did you mean 'lora'?"),
        ("adapters: {kind: lora, width: 3}", "5: model.adapters.width: unknown key"),
        ("adapters: {kind: experts, count: 2, top: 3}", "5: model.adapters: top is 3, but count is 2"),
        ("adapters: {kind: experts, count: 9999999999}", "5: model.adapters.count: must be <= 1000"),
        ("adapters: {kind: lora, maps: [qkv, out]}", "5: model.adapters.maps.1: expected qkv, proj, up or down"),
        ("adapters: {kind: lora, maps: []}", "5: model.adapters.maps: must not be empty"),
        ("adapters: {kind: lora, last: 3}", "5: model: adapters.last is 3, but the trunk has 2 layers"),
        ("prompt: {last: 3}", "5: model: prompt.last is 3, but the trunk has 2 layers"),
        ("prompt: {tokens: 0}", "5: model.prompt.tokens: must be >= 1, got 0"),
        ("prompt: 4", "5: model.prompt: expected a mapping, got 4"),
    ],
)
def test_mistakes_are_told(model, what, tmp_path):
    with pytest.raises(ScenarioError) as error:
        scenario(tmp_path, model, [])
    assert what in str(error.value)
