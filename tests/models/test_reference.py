"""The simulator under a barrier learns what `federate` learns with no clock, to the bit."""

from collections import Counter
from dataclasses import replace
from itertools import count

import pytest
import torch
from federations import FEDERATED, MODEL, study

from experiments.workload import LearningWorkload
from models import AdamW, Learner, Masked, Node, Recipe, Supervised, initial
from models.engines import Inline
from models.federate import Federation
from models.states import Vote
from simulator import Evaluate, Plan, Stage, TierPlan
from simulator.run import federation
from topologies import Hierarchy, LinkProfile, district
from topologies.profiles import device

TREE = district(campuses=2, classrooms=2, devices=3, device_mix={"chromebook_n100": 0.5, "laptop_i5u": 0.5}, seed=1)
HEADS = tuple(name for name in FEDERATED if not name.startswith("offset"))
PLAN = Plan(
    classroom=TierPlan(FEDERATED, rounds=2),
    campus=TierPlan((*HEADS, "offset.campus")),
    cloud=TierPlan(HEADS, rounds=2),
)
STAGES = (
    Stage("pretrain", Plan(), "cloud", ("trunk", *(name for name in MODEL.modules if name.startswith("decoder")))),
    Stage("federate", PLAN, "device", FEDERATED),
)


def names(node):
    return Node(node, TREE.tier(node), tuple(names(child) for child in TREE.children(node)))


def learner(chunk, allowed=None):
    data = study(TREE.leaves)
    everything = frozenset(initial(MODEL, 0))
    holds = dict.fromkeys(TREE.nodes(), everything)
    holds |= {leaf: frozenset(MODEL.held(c.train.inputs, c.train.targets)) for leaf, c in data.clients.items()}
    recipes = {
        "pretrain": Recipe(Masked(), AdamW(2e-3), 2, 8, public=True),
        "federate": Recipe(Supervised(), AdamW(5e-3), 2, 8),
    }
    out = Learner(MODEL, data, holds, recipes, seed=3, engine=Inline(chunk))
    out.curriculum.allowed = allowed or {}
    return out


def test_some_clients_lack_a_modality_and_some_a_task():
    clients = study(TREE.leaves).clients.values()
    assert {len(c.train.inputs) for c in clients} == {2, 3}
    assert {len(c.train.targets) for c in clients} == {2, 3}


@pytest.fixture(scope="module")
def simulated():
    """With evaluations on, which force promises at other moments than `federate` does."""
    moments = ("before_merge", "after_merge", "after_broadcast")
    evaluate = Evaluate(tiers=("device", "classroom", "cloud"), moments=moments)
    log, states = federation(TREE, LearningWorkload(learner(chunk=40)), STAGES, evaluate)
    assert log.metrics
    return states


def test_also_where_some_train_only_a_part_and_one_nothing():
    """The nodes of a stage differ in what they train: votes, packets and stacks follow."""
    some = [frozenset({"head.answer", "head.outcome"}), frozenset(), frozenset({"adapter", "offset.campus"})]
    allowed = {("federate", TREE.leaves[i]): modules for i, modules in enumerate(some)}
    _, found = federation(TREE, LearningWorkload(learner(7, allowed)), STAGES, Evaluate())
    expected = Federation(names("cloud"), learner(1000, allowed), STAGES).run()
    assert found.keys() == expected.keys()
    for node, state in expected.items():
        assert state.samples == found[node].samples
        assert all(torch.equal(value, found[node].tensors[key]) for key, value in state.tensors.items()), node
    everybody = Federation(names("cloud"), learner(7), STAGES).run()["cloud"]
    assert any(everybody.samples[m] > expected["cloud"].samples[m] for m in everybody.samples)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_simulate_equals_federate_to_the_bit(simulated, chunk):
    expected = Federation(names("cloud"), learner(chunk), STAGES).run()
    assert simulated.keys() == expected.keys()
    for node, state in expected.items():
        assert state.samples == simulated[node].samples
        assert state.tensors.keys() == simulated[node].tensors.keys()
        assert all(torch.equal(value, simulated[node].tensors[key]) for key, value in state.tensors.items()), node


def test_all_moved_and_offsets_differ_between_owners(simulated):
    start = learner(1).initial
    assert all(not torch.equal(simulated["cloud"].tensors[key], start[key]) for key in start if "head." in key)
    rooms = [simulated[room].tensors["offset.classroom/engagement"] for room in TREE.nodes("classroom")]
    assert len({tuple(room.tolist()) for room in rooms}) == len(rooms)
    campuses = [simulated[campus].tensors["offset.campus/engagement"] for campus in TREE.nodes("campus")]
    assert not torch.equal(*campuses)


def test_modules_that_travel_at_times_of_their_own():
    """Heads every second turn of a classroom, an encoder every third, and nothing but heads down from the campus."""
    encoder = next(name for name in HEADS if name.startswith("encoder"))
    often = {name: 2 for name in HEADS if name.startswith("head")} | {encoder: 3}
    plan = Plan(
        classroom=TierPlan(FEDERATED, rounds=2, every=often),
        campus=TierPlan((*HEADS, "offset.campus"), down=tuple(name for name in HEADS if name.startswith("head"))),
        cloud=TierPlan(HEADS, rounds=2, every=dict.fromkeys(HEADS, 2)),  # nothing is due in its first round
    )
    stages = (STAGES[0], Stage("federate", plan, "device", FEDERATED))
    _, found = federation(TREE, LearningWorkload(learner(40)), stages)
    expected = Federation(names("cloud"), learner(7), stages).run()
    for node, state in expected.items():
        assert state.samples == found[node].samples
        assert all(torch.equal(value, found[node].tensors[key]) for key, value in state.tensors.items()), node
    plain = Federation(names("cloud"), learner(7), STAGES).run()["cloud"].tensors
    assert any(not torch.equal(value, plain[key]) for key, value in expected["cloud"].tensors.items())


def test_what_is_trained_while_models_fly_is_as_if_trained_by_hand():
    """One device, slow links: what does not come down goes on from what was trained after the report was packed."""
    slow = LinkProfile("slow", "wire", 3e5, 3e5)
    tree = Hierarchy("cloud", "cloud")
    tree.add("phone", "cloud", "device", device("chromebook_n100"), slow)
    heads = tuple(name for name in HEADS if name.startswith("head"))
    plan = TierPlan(HEADS, 3, down=heads, meanwhile="train")
    stage = Stage("federate", Plan(cloud=plan), "device", FEDERATED)

    def fresh(chunk):
        holds = dict.fromkeys(tree.nodes(), frozenset(initial(MODEL, 0)))
        recipes = {"federate": Recipe(Supervised(), AdamW(5e-3), 2, 8)}
        return Learner(MODEL, study(["phone"]), holds, recipes, seed=3, engine=Inline(chunk))

    log, found = federation(tree, LearningWorkload(fresh(40)), [stage], final_broadcast=False)
    trained = Counter(s.round for s in log.spans if s.activity == "train" and s.status == "done")
    assert min(trained.values()) > 1

    hand, step = fresh(1), count()
    hand.enter(stage)
    cloud, phone = hand.start("cloud"), hand.start("phone")
    for number in sorted(trained):
        model = hand.pack("cloud", "phone", cloud, heads).wire
        if number > 1:  # what was learned meanwhile and is now replaced has no vote
            phone = replace(phone, samples=phone.samples | {key: 0 for key in phone.samples if key.startswith("head")})
        phone = hand.merge("phone", phone, [Vote("cloud", model)], heads, "down")
        phone = hand.train("phone", phone, next(step))
        packed = hand.pack("phone", "cloud", phone, HEADS)
        phone = packed.kept
        for _ in range(trained[number] - 1):
            phone = hand.train("phone", phone, next(step))
        cloud = hand.merge("cloud", cloud, [Vote("phone", packed.wire)], HEADS, "up", 1)
    for node, state in (("cloud", cloud), ("phone", phone)):
        assert state.samples == found[node].samples
        assert all(torch.equal(value, found[node].tensors[key]) for key, value in state.tensors.items()), node
