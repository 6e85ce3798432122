from dataclasses import replace

import numpy as np
import pytest
import torch
from adapting import MODELS
from federations import FEDERATED, MODEL, SHAPES, TASKS, samples

from models import SGD, AdamW, LinearModel, Masked, Recipe, Supervised, footprint, initial
from models.counting import Cost, count
from models.data.samples import Samples, Task
from models.footprint import merging, module_costs, parts, prediction, shapes, training_step
from models.model import module, nest
from models.objectives import Batch

COSTS = {cost.module: cost for cost in module_costs(MODEL)}
WIDTH, HIDDEN, TOKENS = 16, 16, 6


def some(modalities=tuple(SHAPES), tasks=tuple(TASKS), n=4):
    return samples(np.random.default_rng(0), n, modalities, tasks)


def recipe(trainable, objective=Supervised(), optimizer=AdamW()):  # noqa: B008
    return Recipe(objective, optimizer, 1, 8, frozenset(trainable))


def training_flops(model, keys, batch, objective, trainable):
    """Of a step on one sample."""
    return training_step(model, keys, batch, recipe(trainable, objective), 1).flops


def forward_flops(model, keys, batch):
    """Of a prediction for one sample."""
    return prediction(model, keys, batch, 1).flops


@pytest.mark.parametrize("model", [MODEL, *MODELS])
@pytest.mark.parametrize("objective", [Supervised(), Masked()])
def test_zeros_and_tensors_without_data_cost_the_same(model, objective, monkeypatch):
    def costs():
        out = [module_costs(model)]
        for modalities, tasks in ((SHAPES, TASKS), (list(SHAPES)[:2], list(TASKS)[:1])):
            batch, keys = some(tuple(modalities), tuple(tasks)), frozenset(initial(model, 0))
            steps = [recipe(model.modules, objective), recipe([name for name in model.modules if name[:4] == "head"])]
            out += [training_step(model, keys, batch, step, 5) for step in steps]
            out.append(prediction(model, keys, batch, 5))
        return out

    with_data = costs()
    monkeypatch.setattr(footprint, "SMALL", 0)
    assert costs() == with_data


def test_bytes_and_parameters_are_those_of_the_tensors():
    for name, own in nest(initial(MODEL, 0)).items():
        assert COSTS[name].parameters == sum(t.numel() for t in own.values())
        assert COSTS[name].nbytes == 4 * COSTS[name].parameters


def test_matrix_products_in_closed_form():
    """Two FLOPs per multiply-add; backward: one product for the weights, one for the input."""
    handwriting = 2 * 2 * (32 * HIDDEN + HIDDEN * WIDTH)  # 2 tokens of 32 pixels
    projections = 2 * TOKENS * (WIDTH * 3 * WIDTH + WIDTH * WIDTH + 2 * WIDTH * 2 * WIDTH)
    attention = 2 * 2 * TOKENS * TOKENS * WIDTH  # scores and mixing, over all heads
    head = 2 * TOKENS * WIDTH * 10
    assert COSTS["encoder.handwriting"].forward_flops == handwriting
    assert COSTS["trunk"].forward_flops == 2 * (projections + attention)  # 2 layers
    assert COSTS["head.answer"].forward_flops == head
    for name in ("encoder.handwriting", "trunk", "head.answer"):
        assert COSTS[name].backward_flops == 2 * COSTS[name].forward_flops
    assert COSTS["offset.campus"].forward_flops == COSTS["offset.campus"].backward_flops == 0


def test_a_prediction_costs_the_sum_of_its_modules():
    keys = MODEL.held(SHAPES, TASKS)
    parts = sum(cost.forward_flops for name, cost in COSTS.items() if not name.startswith("decoder"))
    assert forward_flops(MODEL, keys, some()) == parts


def test_backward_costs_only_what_the_trainable_part_needs():
    keys = MODEL.held(SHAPES, TASKS)
    forward = forward_flops(MODEL, keys, some())

    def backward(*trainable):
        return training_flops(MODEL, keys, some(), Supervised(), trainable) - forward

    heads = [f"head.{t}" for t in TASKS]
    assert backward(*heads) == sum(COSTS[h].forward_flops for h in heads)  # gradients of the weights alone
    everything = backward(*MODEL.modules)
    # nobody asks for the gradient of the data: the encoders' first product is spared one of its two
    first = sum(2 * e.tokens * e.features * HIDDEN for e in MODEL.encoders.values())
    assert everything == 2 * forward - first
    trunk = COSTS["trunk"].forward_flops
    attention = 2 * 2 * 2 * TOKENS * TOKENS * WIDTH  # two layers; both factors are activations, so it is never spared
    assert backward(*FEDERATED) == everything - (trunk - attention)  # a frozen trunk passes gradients through


def test_a_client_pays_for_its_own_modalities_only():
    keys = MODEL.held(["record"], ["outcome"])
    few = forward_flops(MODEL, keys, some(("record",), ("outcome",)))
    one = 2 * (2 * (WIDTH * 3 * WIDTH + WIDTH * WIDTH + 4 * WIDTH * WIDTH) + 4 * WIDTH)  # trunk on a single token
    adapter = 2 * 2 * WIDTH * 4
    assert few == COSTS["encoder.record"].forward_flops + one + adapter + COSTS["head.outcome"].forward_flops


def test_masked_pre_training_pays_for_the_decoders_and_not_for_heads():
    keys = tuple(key for key in initial(MODEL, 0) if not key.startswith("offset"))
    trainable = ("trunk", *(f"decoder.{m}" for m in SHAPES))
    flops = training_flops(MODEL, keys, some(tasks=()), Masked(), trainable)
    encoders = sum(COSTS[f"encoder.{m}"].forward_flops for m in SHAPES)
    decoders = sum(COSTS[f"decoder.{m}"].forward_flops for m in SHAPES)
    trunk, adapter = COSTS["trunk"].forward_flops, COSTS["adapter"].forward_flops
    # frozen encoders: forward only; a frozen adapter passes the gradient through
    assert flops == encoders + 3 * trunk + 2 * adapter + 3 * decoders


def test_nothing_trainable_costs_nothing_to_train():
    assert training_flops(MODEL, MODEL.held(SHAPES, TASKS), some(), Supervised(), ()) == 0


def test_activations_are_counted():
    """A linear layer keeps its input for the gradient of its weights."""
    linear = LinearModel({"record": (12,)}, {"outcome": TASKS["outcome"]})
    (cost,) = module_costs(linear)
    assert cost.activation_bytes == 12 * torch.finfo(torch.float32).bits // 8
    assert cost.forward_flops == pytest.approx(24)


KEYS = MODEL.held(SHAPES, TASKS)
FLOAT = 4  # bytes
LINEAR = LinearModel({"record": (12,)}, {"outcome": TASKS["outcome"]})


def numbers(keys):
    return sum(value.numel() for key, value in shapes(MODEL).items() if key in keys)


def test_flops_grow_with_the_batch_and_launches_do_not():
    """But for the products of a batch of one, which torch takes apart otherwise."""
    two, nine = (training_step(MODEL, KEYS, some(), recipe(FEDERATED), rows) for rows in (2, 9))
    assert 9 * two.flops == 2 * nine.flops
    assert two.launches == nine.launches
    assert two.bytes_moved < nine.bytes_moved


def test_shapes_are_those_of_the_weights():
    start = initial(MODEL, 0)
    assert {key: value.shape for key, value in shapes(MODEL).items()} == {k: v.shape for k, v in start.items()}


@pytest.mark.parametrize(("optimizer", "slots"), [(SGD(0.1), 0), (SGD(0.1, momentum=0.9), 1), (AdamW(), 2)])
def test_the_optimizers_state_is_held(optimizer, slots):
    """A velocity, or two moments, per number trained. Of a batch so large that the update is not the peak."""
    trained = [key for key in KEYS if module(key) in FEDERATED]
    plain = training_step(MODEL, KEYS, some(), recipe(FEDERATED, optimizer=SGD(0.1)), 200)
    cost = training_step(MODEL, KEYS, some(), recipe(FEDERATED, optimizer=optimizer), 200)
    assert cost.memory_bytes - plain.memory_bytes == FLOAT * slots * numbers(trained)
    assert cost.flops == plain.flops  # elementwise


def test_an_update_of_sgd_by_hand():
    """Scaling the gradient, and subtracting it: two operations per tensor, five times its numbers read or written.

    With momentum three more: scaling the velocity, adding the gradient to it (two reads, a write each time).
    """
    free, still = recipe(["head.outcome"], optimizer=SGD(0.1)), recipe(["head.outcome"], optimizer=Nothing())
    rolling = replace(free, optimizer=SGD(0.1, momentum=0.9))
    batch, keys = some(("record",), ("outcome",)), LINEAR.held((), ["outcome"])
    without, plain, momentum = (training_step(LINEAR, keys, batch, how, 4) for how in (still, free, rolling))
    weights = 12 + 1
    assert plain.launches - without.launches == 2 * 2
    assert plain.bytes_moved - without.bytes_moved == FLOAT * weights * (2 + 3)
    assert momentum.launches - plain.launches == 2 * 2
    assert momentum.bytes_moved - plain.bytes_moved == FLOAT * weights * (2 + 3)


class Nothing(SGD):
    """An optimizer that leaves all as it is."""

    def update(self, p, grad, state, step):
        pass


def test_memory_grows_with_the_batch_by_the_activations():
    """By the same for every row: what autograd keeps, and at most three layers' worth of what comes and goes."""
    peaks = [training_step(MODEL, KEYS, some(), recipe(FEDERATED), rows).memory_bytes for rows in (300, 301, 303)]
    kept = saved_bytes(301) - saved_bytes(300)
    assert peaks[2] - peaks[1] == 2 * (peaks[1] - peaks[0])
    assert kept < peaks[1] - peaks[0] <= kept + 3 * FLOAT * TOKENS * 3 * WIDTH


def saved_bytes(rows):
    """Of the storages that autograd keeps for the backward pass of one step, weights apart."""
    weights = {key: value.requires_grad_(module(key) in FEDERATED) for key, value in initial(MODEL, 0).items()}
    own = {value.untyped_storage().data_ptr() for value in weights.values()}
    batch, saved = some(n=rows), {}

    def keep(t):
        saved[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes(), t  # keep it, or its place is used again
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        Supervised().loss(MODEL, nest({k: weights[k] for k in KEYS}), Batch(batch.inputs, batch.targets, {}))
    return sum(nbytes for place, (nbytes, _) in saved.items() if place not in own)


def test_who_trains_more_pays_more():
    trained, before = [], Cost()
    for name in reversed(MODEL.modules):
        trained.append(name)
        cost = training_step(MODEL, KEYS, some(), recipe(trained), 8)
        assert cost.flops >= before.flops
        assert cost.bytes_moved >= before.bytes_moved
        assert cost.launches >= before.launches
        assert cost.memory_bytes >= before.memory_bytes
        before = cost
    assert before.memory_bytes > FLOAT * 4 * numbers(KEYS)  # weights, gradients, two moments; and activations


@pytest.mark.parametrize(("objective", "tasks"), [(Supervised(), tuple(TASKS)), (Masked(), ())])
def test_real_tensors_cost_what_shapes_do(objective, tasks):
    """The same step on data: every operation, and every storage alive."""
    how, batch, rows = recipe(MODEL.modules, objective), some(tasks=tasks), 4
    keys = tuple(key for key in initial(MODEL, 0) if not tasks or not key.startswith("decoder"))
    weights = {key: value.requires_grad_() for key, value in initial(MODEL, 0).items() if key in keys}
    hidden = objective.hide(MODEL, batch, rows, np.random.default_rng(1))
    state = {key: [torch.zeros_like(value.detach()) for _ in range(2)] for key, value in weights.items()}

    def step():
        loss = objective.loss(MODEL, nest(weights), Batch(batch.inputs, batch.targets, hidden))
        grads = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        del loss
        with torch.no_grad():
            for key, grad in zip(weights, grads, strict=True):
                if grad is not None:
                    how.optimizer.update(weights[key].detach(), grad, tuple(state[key]), 1)

    held = [*weights.values(), *batch.inputs.values(), *batch.targets.values(), *hidden.values()]
    real = count(step, [*held, *(slot for slots in state.values() for slot in slots)])
    assert training_step(MODEL, keys, batch, how, rows) == real


def test_merging_reads_every_copy_and_writes_one():
    nbytes = 6 * 13 * FLOAT
    assert merging(shapes(LINEAR), 5) == Cost(flops=5 * 13, bytes_moved=nbytes, launches=2, memory_bytes=nbytes)


def test_a_pass_is_full_batches_and_what_is_left():
    for n in range(30):
        found = list(parts(n, 8))
        assert sum(times * rows for times, rows in found) == n
        assert [rows for _, rows in found] == ([8] if n >= 8 else []) + ([n % 8] if n % 8 else [])


def test_samples_in_float64_are_counted_with_weights_in_float64():
    model = LinearModel({"record": (6,)}, {"score": Task("score")})
    recipe, costs = Recipe(Supervised(), SGD(0.1), 1, 4, trainable=frozenset(["head.score"])), []
    for dtype in (torch.float32, torch.float64):
        some = Samples({"record": torch.zeros(4, 6, dtype=dtype)}, {"score": torch.zeros(4, dtype=dtype)})
        costs.append(training_step(model, tuple(shapes(model)), some, recipe, 4))
    single, double = costs
    assert double.flops == single.flops
    assert double.memory_bytes == 2 * single.memory_bytes
    assert prediction(model, tuple(shapes(model)), some, 4).bytes_moved > 0
