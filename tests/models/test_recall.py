"""What a client has delivered need not be kept: asked for later, it is trained again, bit for bit."""

import gc
from weakref import ref

import pytest
import torch
from federations import FEDERATED, MODEL, SHAPES, TASKS, stage, study

from models import AdamW, Learner, Recipe, Supervised, Vote
from models.model import module
from models.recall import Recall, Training

NODES = [f"pupil{i}" for i in range(4)]


@pytest.fixture
def one():
    data = study(NODES)
    holds = {node: frozenset(MODEL.held(c.train.inputs, c.train.targets)) for node, c in data.clients.items()}
    holds["cloud"] = frozenset(MODEL.held(SHAPES, TASKS))
    out = Learner(MODEL, data, holds, {"federate": Recipe(Supervised(), AdamW(), 1, 8)}, seed=1)
    out.enter(stage("federate", "device", FEDERATED, {}))
    return out


def report(one, state, modules=FEDERATED):
    """The trained state, what of it travels, and what the sender keeps."""
    trained = one.train("pupil0", state, 0)
    packed = one.pack("pupil0", "cloud", trained, modules)
    return trained, packed.wire, packed.kept


def test_what_was_delivered_is_given_back_while_somebody_holds_it(one):
    trained, _, kept = report(one, one.start("pupil0"))
    assert all(kept.tensors[key] is trained.tensors[key] for key in trained.tensors)
    assert (one.updates, one.trainings.repeated) == (1, 0)


def test_what_nobody_holds_is_trained_again_once_and_not_counted(one):
    trained, wire, kept = report(one, one.start("pupil0"))
    before = {key: value.clone() for key, value in trained.tensors.items()}
    own, other = (next(key for key in before if module(key) == name) for name in ("adapter", "trunk"))
    memory = ref(trained.tensors[own])
    assert wire.tensors[own] is memory()
    del trained, wire
    assert memory() is None
    assert kept.tensors[other] is one.initial[other]  # what it did not train is at hand
    assert one.trainings.repeated == 0
    assert all(torch.equal(kept.tensors[key], value) for key, value in before.items())
    assert (one.updates, one.trainings.repeated) == (1, 1)


def test_what_is_not_trained_stays_the_very_tensor_at_all_who_train(one):
    """Scores, checkpoints and stacks know by it what nobody has trained, and what all share."""
    stays = one.train("pupil1", one.start("pupil1"), 0)
    trained, _, kept = report(one, one.start("pupil0"))
    one.settle()
    for state in (stays, trained, kept):
        same = {module(key) for key in state.tensors if state.tensors[key] is one.initial[key]}
        assert same == {module(key) for key in state.tensors} - set(FEDERATED)


def test_what_the_report_did_not_carry_is_kept(one):
    trained, _, kept = report(one, one.start("pupil0"), [name for name in FEDERATED if name != "adapter"])
    assert kept.tensors is trained.tensors


def test_a_part_of_it_is_trained_again_only_if_somebody_looks_at_it(one):
    """Whoever asks how many bytes a report will have packs what the sender has, and throws it away."""
    trained, wire, kept = report(one, one.start("pupil0"))
    own = next(key for key in wire.tensors if module(key) == "adapter")
    before = trained.tensors[own].clone()
    del trained, wire
    packed = one.pack("pupil0", "cloud", kept, ["adapter"])
    assert (packed.nbytes > 0, one.trainings.repeated) == (True, 0)
    assert torch.equal(packed.wire.tensors[own], before)
    assert one.trainings.repeated == 1


def test_the_next_model_from_above_needs_none_of_it(one):
    trained, wire, kept = report(one, one.start("pupil0"))
    above = one.merge("cloud", one.start("cloud"), [Vote("pupil0", wire)], FEDERATED, "up")
    down = one.pack("cloud", "pupil0", above, FEDERATED).wire
    memory = ref(trained.tensors[next(iter(wire.tensors))])
    above.tensors[next(iter(wire.tensors))]  # merged, so that the wire is not needed
    del trained, wire
    assert memory() is None
    after = one.merge("pupil0", kept, [Vote("cloud", down)], FEDERATED, "down")
    assert all(torch.equal(after.tensors[key], above.tensors[key]) for key in down.tensors)
    assert (one.updates, one.trainings.repeated) == (1, 0)


@pytest.mark.parametrize("merged", [True, False])
def test_no_chain_of_trainings_is_held(one, merged):
    """However often a client trains and reports, with or without a new model in between."""
    state = one.start("pupil0")
    for _ in range(12):
        _, wire, state = report(one, state)
        if merged:
            down = one.pack("cloud", "pupil0", one.start("cloud"), FEDERATED).wire
            state = one.merge("pupil0", state, [Vote("cloud", down)], FEDERATED, "down")
        del wire
    one.settle()
    gc.collect()
    held = [thing for thing in gc.get_objects() if type(thing) in (Training, Recall)]
    assert len(held) <= 4
    assert one.updates == 12
