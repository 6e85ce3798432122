"""What a learner promises: on which samples, when promises are kept, what travels, who has a say."""

import pytest
import torch
from federations import FEDERATED, MODEL, SHAPES, TASKS, samples, stage, study

from experiments.workload import LearningWorkload
from models import AdamW, Learner, Masked, Recipe, State, Supervised, Vote, initial, merge
from models.counting import Cost
from models.footprint import training_step
from models.model import module, nest
from models.objectives import Batch

NODES = [f"pupil{i}" for i in range(8)]
TRAIN = stage("federate", "device", FEDERATED, {})


def learner(nodes=NODES, epochs=3, start=None, trained=TRAIN, tasks=None):
    data = study(nodes)
    holds = {node: frozenset(MODEL.held(c.train.inputs, c.train.targets)) for node, c in data.clients.items()}
    holds["cloud"] = frozenset(MODEL.held(SHAPES, TASKS))
    out = Learner(
        MODEL, data, holds, {"federate": Recipe(Supervised(), AdamW(), epochs, 8, tasks=tasks)}, seed=1, start=start
    )
    out.enter(trained)
    return out


def test_a_model_is_scored_on_held_out_samples():
    one = learner()
    for node in NODES:
        assert one.scorer.held_out(node).targets == one.study.clients[node].test.targets
    assert one.scorer.held_out("cloud").targets == one.study.test.targets


def test_nothing_is_scored_before_it_is_taught():
    one = learner()
    start = one.start("pupil0")
    assert not one.scorer.worth("pupil0")
    assert one.evaluate({"pupil0": start}) == []
    assert {score.task for score in one.evaluate({"pupil0": one.train("pupil0", start, 0)})} == set(TASKS)


SOME = stage("federate", "device", [name for name in FEDERATED if name != "head.outcome"], {})


def scored(**how):
    one = learner(trained=SOME, **how)
    return {score.task for score in one.evaluate({"pupil0": one.train("pupil0", one.start("pupil0"), 0)})}


def test_a_task_that_nobody_learns_has_no_score_unless_weights_were_given():
    others = frozenset(TASKS) - {"outcome"}
    assert scored(tasks=others) == others
    assert scored(tasks=others, start=initial(MODEL, 5)) == set(TASKS)


def test_a_fixed_head_over_modules_that_learn_its_task_has_a_score():
    assert scored() == set(TASKS)


def test_training_is_charged_batch_by_batch():
    """Epochs of full batches of 8 and a smaller last one, each at its own cost; FLOPs are those of the samples."""
    one = learner(epochs=3)
    own, keys = one.study.clients["pupil3"].train, one.holds["pupil3"]
    assert len(own) > 8
    assert len(own) % 8 > 1
    costs = [training_step(MODEL, keys, own, one.recipe, rows) for rows in (8, len(own) % 8)]
    total = (costs[0] * (len(own) // 8) + costs[1]) * 3
    work = LearningWorkload(one).work("pupil3", "train", 0)
    assert Cost(int(work.flops), int(work.bytes_moved), work.launches, int(work.memory_bytes)) == total
    assert work.flops * 8 == costs[0].flops * len(own) * 3


def test_merging_is_charged_by_what_the_node_holds():
    one = learner()
    work = LearningWorkload(one).work("cloud", "merge", 0, ("head.outcome", "adapter"), 5)
    own = [one.initial[key] for key in one.holds["cloud"] if module(key) in ("head.outcome", "adapter")]
    numbers = sum(value.numel() for value in own)
    assert (work.flops, work.bytes_moved, work.launches) == (5 * numbers, 6 * 4 * numbers, len(own))
    assert LearningWorkload(one).work("cloud", "pack", 0, ("adapter",)).flops == 0


def test_who_cannot_train_a_module_has_no_say_in_it_and_does_not_send_it():
    one = learner()
    one.curriculum.allowed = {("federate", "pupil0"): frozenset({"head.answer"}), ("federate", "pupil3"): frozenset()}
    one.enter(TRAIN)
    start = one.start("pupil0")
    after = one.train("pupil0", start, 0)
    assert after.samples == {"head.answer": len(one.study.clients["pupil0"].train)}
    moved = {module(key) for key in start.tensors if not torch.equal(after.tensors[key], start.tensors[key])}
    assert moved == {"head.answer"}
    assert one.pack("pupil0", "cloud", after, FEDERATED).modules == ("head.answer",)
    assert "adapter" in one.pack("cloud", "pupil0", one.start("cloud"), FEDERATED).modules
    assert one.train("pupil3", start, 0) is start
    assert one.pack("pupil3", "cloud", start, FEDERATED).nbytes == 0
    cheap, dear = (LearningWorkload(one).work(node, "train", 0).flops for node in ("pupil0", "pupil1"))
    assert 0 < cheap < dear
    assert LearningWorkload(one).work("pupil3", "train", 0).flops == 0


def test_a_packet_weighs_what_is_in_it():
    one = learner()
    for node in NODES:
        packed = one.pack(node, "cloud", one.start(node), FEDERATED)
        assert packed.nbytes == sum(t.numel() * t.element_size() for t in packed.wire.tensors.values())
        assert set(packed.modules) == set(nest(packed.wire.tensors))


def test_promises_wait_together_but_no_chain_grows():
    one = learner()
    state = one.start("pupil0")
    for step in range(8):
        state = one.train("pupil0", state, step)
    assert one.updates == 0
    state = one.train("pupil0", state, 8)
    assert one.updates == 8
    assert all(torch.isfinite(value).all() for value in state.tensors.values())
    assert one.updates == 9


def test_who_lacks_a_task_has_no_say_in_its_offset_at_any_level():
    """Room 1: one pupil with the task (offset 1), nine without. Room 2: ten with it (offset 0). Ten samples each."""
    key, other = "offset.campus/answer", "offset.campus/outcome"

    def pupil(value, holds):
        tensors = {other: torch.zeros(1)} | ({key: torch.tensor([value])} if holds else {})
        return State(tensors, dict.fromkeys(tensors, 10.0))

    def room(children):
        start = State({key: torch.zeros(1), other: torch.zeros(1)}, {})
        return merge(start, [Vote(str(i), c) for i, c in enumerate(children)], ["offset.campus"], "up")

    rooms = [room([pupil(1.0, True), *[pupil(0.0, False)] * 9]), room([pupil(0.0, True)] * 10)]
    campus = room(rooms)
    assert campus.tensors[key].item() == pytest.approx(1 / 11)
    assert campus.samples == {key: 110.0, other: 200.0}


def masked_loss(x, hidden, weights):
    return float(Masked().loss(MODEL, nest(weights), Batch(x, {}, hidden)))


@pytest.fixture
def masked():
    import numpy as np

    rng = np.random.default_rng(0)
    some = samples(rng, 5, tasks=(), dtype=torch.float64)
    hidden = Masked().hide(MODEL, some, 5, rng)
    weights = {k: v for k, v in initial(MODEL, 0, torch.float64).items() if not k.startswith(("head", "offset"))}
    return some.inputs, hidden, weights


def test_masking_hides_half_of_the_tokens(masked):
    _, hidden, _ = masked
    assert torch.cat(list(hidden.values()), -1).sum(-1).tolist() == [3] * 5  # of six


def test_with_silent_decoders_the_loss_is_the_mean_square_of_what_is_hidden(masked):
    inputs, hidden, weights = masked
    silent = {key: torch.zeros_like(v) if key.startswith("decoder") else v for key, v in weights.items()}
    parts = MODEL.parts(inputs, None)
    expected = sum(float(((part**2).mean(-1) * hidden[m]).sum(-1).mean()) for m, part in parts.items())
    assert masked_loss(inputs, hidden, silent) == pytest.approx(expected, rel=1e-12)


def test_a_prediction_of_what_is_hidden_does_not_see_it(masked):
    """If the guess g does not depend on the hidden x, (g - x)² has second difference 2 d² in x, whatever g is."""
    inputs, hidden, weights = masked
    move = {
        m: 0.1 * hidden[m].repeat_interleave(x[0].numel() // hidden[m].shape[-1], -1).view_as(x).to(x.dtype)
        for m, x in inputs.items()
    }
    up, down = ({m: x + sign * move[m] for m, x in inputs.items()} for sign in (1, -1))
    above, here, below = (masked_loss(x, hidden, weights) for x in (up, inputs, down))
    second = above + below - 2 * here
    count = sum(float(h.sum(-1).to(torch.float64).mean()) for h in hidden.values())
    assert second == pytest.approx(2 * 0.1**2 * count, rel=1e-9)
