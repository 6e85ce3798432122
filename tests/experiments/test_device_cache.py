"""Devices that keep what the frozen front makes of their samples: computed once, read ever after, held in memory."""

from dataclasses import replace

import pytest
import torch

from experiments.build import build
from experiments.device_cache import CachingWorkload, cut_of
from experiments.scenario import Scenario, ScenarioError
from experiments.simulation import simulated
from simulator.records import Log

LEARNING = {"local_epochs": 2, "batch_size": 16, "device_cache": True}
CLIENTS, ROUNDS, EPOCHS, BATCH, INPUTS, HIDDEN, CLASSES = 4, 3, 2, 16, 64, 6, 10


def scenario(cache, **more):
    return Scenario.model_validate(
        {
            "title": "Heads on features that are kept",
            "seed": 1,
            "topology": {"kind": "star", "clients": CLIENTS, "device": "android_tablet_budget"},
            "data": {"source": "digits"},
            "model": {"kind": "mlp", "hidden": [HIDDEN]},
            "plan": {"cloud": {"modules": ["head.*"], "rounds": ROUNDS}},
            "learning": LEARNING | {"device_cache": cache},
            "stages": [{"name": "heads", "at": "device", "trainable": ["head.*"]}],
            "plots": False,
            **more,
        }
    )


def run(cache, **more):
    built, log = build(scenario(cache, **more)), Log()
    simulated(built, log)
    return built, log


def trainings(log, node):
    return [span for span in log.spans if span.node == node and span.activity == "train"]


def test_the_front_is_computed_once_and_the_head_ever_after():
    built, log = run(True)
    for node, client in built.study.clients.items():
        n = len(client.train)
        # per multiply-add 2; a frozen front needs no gradient, a head that of its weights, whose input needs none
        front, head = 2 * INPUTS * HIDDEN * n, EPOCHS * 2 * (2 * HIDDEN * CLASSES * n)
        assert [span.flops for span in trainings(log, node)] == [front + head] + [head] * (ROUNDS - 1)


def test_without_it_every_epoch_computes_the_front_and_learning_is_the_same():
    (built, kept), (_, plain) = run(True), run(False)
    node, client = next(iter(built.study.clients.items()))
    n = len(client.train)
    whole = EPOCHS * n * (2 * INPUTS * HIDDEN + 2 * (2 * HIDDEN * CLASSES))
    assert [span.flops for span in trainings(plain, node)] == [whole] * ROUNDS
    values = [[m.value for m in log.metrics] for log in (kept, plain)]
    assert values[0] == values[1] != []


def test_an_algorithm_of_several_trainings_fills_it_once_and_never_keeps_what_changes():
    """Ditto trains two heads on one front. FedRep's first part trains a head on a second layer that changes later."""
    built, log = run(True, learning=LEARNING | {"algorithm": "ditto"})
    node, n = next((node, len(client.train)) for node, client in built.study.clients.items())
    front, head = 2 * INPUTS * HIDDEN * n, EPOCHS * 2 * (2 * HIDDEN * CLASSES * n)
    assert [span.flops for span in trainings(log, node)] == [front + 2 * head] + [2 * head] * (ROUNDS - 1)
    body = {"stages": [{"name": "all", "at": "device", "trainable": ["*"]}], "plan": {"cloud": {"modules": ["*"]}}}
    learning = LEARNING | {"algorithm": {"name": "fedrep", "head_epochs": 1}, "device_cache": False}
    whole, log = run(False, learning=learning, **body)
    first = 2 * INPUTS * HIDDEN * n + 2 * (2 * HIDDEN * CLASSES * n)  # an epoch of the head, on a fresh front pass
    assert trainings(log, node)[0].flops > first
    head_only = replace(whole.learner.recipe, trainable=frozenset({"head.digit"}))
    assert cut_of(whole.learner.model, head_only) is not None
    kept = CachingWorkload(whole.learner)
    kept.enter(whole.stages[0])
    assert kept.work(node, "train", 0) == whole.workload.work(node, "train", 0)


def test_steps_before_a_score_read_what_is_kept():
    """A score that was asked for before the first training has no front in it afterwards."""
    built = build(scenario(True, learning=LEARNING | {"algorithm": "mlpfl"}))
    workload, stage, node = built.workload, built.stages[0], next(iter(built.study.clients))
    workload.enter(stage)
    other = next(name for name in built.study.clients if name != node)
    workload.train(other, workload.start(other), 0)  # so that somebody can have a score
    before = workload.work(node, "evaluate", 0).flops
    workload.train(node, workload.start(node), 0)
    n = len(built.study.clients[node].train)
    assert before - workload.work(node, "evaluate", 0).flops == 2 * INPUTS * HIDDEN * n


def test_what_is_kept_is_in_memory():
    (kept, _), (plain, _) = (run(cache) for cache in (True, False))
    stage = kept.stages[0]
    node = max(kept.study.clients, key=lambda name: len(kept.study.clients[name].train))
    n = len(kept.study.clients[node].train)
    peaks = [b.workload.peak(stage, node, frozenset({"head.digit"})) for b in (kept, plain)]
    assert peaks[0] > n * HIDDEN * 4
    kept.workload.enter(stage)
    kept.workload.train(node, kept.workload.start(node), 0)
    assert kept.workload.work(node, "train", 1).memory_bytes - n * HIDDEN * 4 < peaks[1]  # no front, no inputs


def test_a_device_that_trains_nothing_keeps_nothing():
    built = build(scenario(True))
    stage, node = built.stages[0], next(iter(built.study.clients))
    built.learner.curriculum.allowed[stage.name, node] = frozenset()
    built.workload.enter(stage)
    work = built.workload.work(node, "train", 0)
    assert (work.flops, work.memory_bytes) == (0, 0)


def test_another_stage_has_another_front():
    two = [{"name": name, "at": "device", "trainable": ["head.*"]} for name in ("first", "second")]
    built, log = run(True, stages=two)
    flops = [span.flops for span in trainings(log, next(iter(built.study.clients)))]
    assert flops[: len(flops) // 2] == flops[len(flops) // 2 :]
    assert flops[0] > flops[1]


def test_it_is_refused_where_encoders_train():
    with pytest.raises(ScenarioError, match=r"learning\.device_cache: in no stage is there anything to keep"):
        build(scenario(True, stages=[{"name": "all", "at": "device", "trainable": ["*"]}]))


def test_a_transformer_whose_last_adapter_trains_saves_its_encoders_and_layers():
    settings = {
        "data": {"source": "campus", "public": 0, "missing_modality": 0.3},
        "model": {"width": 8, "adapters": {"width": 2}},
        "plan": {"cloud": {"modules": ["head.*", "adapter"], "rounds": 2}},
        "stages": [{"name": "late", "at": "device", "trainable": ["head.*", "adapter"]}],
    }
    (_, kept), (_, plain) = run(True, **settings), run(False, **settings)
    for node in {span.node for span in kept.spans if span.activity == "train"}:
        first, later = (span.flops for span in trainings(kept, node))
        assert later < trainings(plain, node)[0].flops / 3
        assert later < first


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
