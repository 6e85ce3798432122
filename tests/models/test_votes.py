"""Votes by hand: a classroom gathers twice, and loses one of its two children in the first turn."""

from dataclasses import replace

import pytest
import torch

from experiments.workload import LearningWorkload
from models import SGD, Client, Learner, LinearModel, Recipe, Samples, Study, Supervised, Task
from simulator import Plan, Stage, TierPlan
from simulator.run import federation
from topologies import Hierarchy, device, link

MODEL = LinearModel({"record": (1,)}, {"score": Task("score")})
HEAD, RATE = ("head.score",), 0.25
FAST, WIRE = 1e9, 1e9


def samples(*targets):
    """Their only feature is 0, so that only the bias moves."""
    return Samples({"record": torch.zeros(len(targets), 1)}, {"score": torch.tensor(targets, dtype=torch.float32)})


def step(bias, target):
    """One step of SGD on (bias - target)²."""
    return bias - RATE * 2 * (bias - target)


def tree(flops_per_s, bits_per_s):
    """Student a is fast; b computes and sends at the given rates."""
    wire = replace(link("campus_10g"), up_bits_per_s=WIRE, down_bits_per_s=WIRE, latency_seconds=0.0)
    fast = replace(device("laptop_i5u"), flops_per_s=FAST, utilisation=1.0)
    out = Hierarchy("school", "campus", fast)
    out.add("room", "school", "classroom", fast, wire)
    out.add("a", "room", "device", fast, wire)
    out.add("b", "room", "device", replace(fast, flops_per_s=flops_per_s), replace(wire, up_bits_per_s=bits_per_s))
    return out


def impatient_once(seconds):
    """A policy that waits so long in its first turn, and for everybody after that."""
    patience = iter([seconds])

    def wait(env, uploads):
        first = next(patience, None)
        return env.all_of(uploads) | env.timeout(first) if first else env.all_of(uploads)

    return wait


def run(flops_per_s=FAST, bits_per_s=WIRE, patience=None):
    data = {"a": Client(samples(1.0), samples(1.0)), "b": Client(samples(4.0, 4.0, 4.0), samples(4.0))}
    study = Study({"record": (1,)}, MODEL.tasks, data, samples(1.0))
    keys = frozenset(MODEL.held(["record"], ["score"]))
    recipes = {"federate": Recipe(Supervised(), SGD(RATE), epochs=1, batch_size=4)}
    learner = Learner(MODEL, study, dict.fromkeys(("school", "room", "a", "b"), keys), recipes)
    plan = Plan(classroom=TierPlan(HEAD, rounds=2, wait=impatient_once(patience)), campus=TierPlan(HEAD))
    workload = LearningWorkload(learner)
    log, states = federation(
        tree(flops_per_s, bits_per_s), workload, [Stage("federate", plan, "device", HEAD)], final_broadcast=False
    )
    bias = states["school"].tensors["head.score/bias"].item()
    return log, {node: dict(state.samples) for node, state in states.items()}, bias


def test_both_children_in_both_turns():
    log, votes, bias = run()
    first = (1 * step(0, 1) + 3 * step(0, 4)) / 4
    assert bias == (1 * step(first, 1) + 3 * step(first, 4)) / 4
    assert votes == {"school": {"head.score": 8}, "room": {}, "a": {}, "b": {}}  # 1 + 3 samples, twice; all delivered
    assert not log.happenings


def test_lost_while_computing():
    """What b had begun counts nowhere: nothing learned, no votes."""
    log, votes, bias = run(flops_per_s=1.0, patience=1.0)
    first = step(0, 1)  # a alone
    assert bias == (1 * step(first, 1) + 3 * step(first, 4)) / 4
    assert votes == {"school": {"head.score": 1 + 1 + 3}, "room": {}, "a": {}, "b": {}}
    assert [(h.kind, h.node) for h in log.happenings] == [("late", "b")]


def test_lost_while_sending():
    """b's first training was not delivered, so its votes wait for the next report: a merge down changes none."""
    log, votes, bias = run(bits_per_s=8.0, patience=1.0)
    first = step(0, 1)
    assert bias == pytest.approx((1 * step(first, 1) + 6 * step(first, 4)) / 7, rel=1e-6)
    assert votes == {"school": {"head.score": 1 + 1 + 6}, "room": {}, "a": {}, "b": {}}
    assert [(h.kind, h.node) for h in log.happenings] == [("late", "b")]
