"""The simulator under a barrier learns what `federate` learns with no clock, to the bit."""

import pytest
import torch
from federations import FEDERATED, MODEL, study

from experiments.workload import LearningWorkload
from models import AdamW, Learner, Masked, Node, Recipe, Supervised, initial
from models.engines import Inline
from models.federate import Federation
from simulator import Evaluate, Plan, Stage, TierPlan
from simulator.run import federation
from topologies import district

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
    return Learner(MODEL, data, holds, recipes, seed=3, allowed=allowed, engine=Inline(chunk))


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
