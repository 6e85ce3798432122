import pytest
import torch
from federations import FEDERATED, MODEL, SHAPES, TASKS, samples

from models import LinearModel, Masked, Supervised, initial
from models.footprint import forward_flops, module_costs, training_flops
from models.model import nest

COSTS = {cost.module: cost for cost in module_costs(MODEL)}
WIDTH, HIDDEN, TOKENS = 16, 16, 6


def some(modalities=tuple(SHAPES), tasks=tuple(TASKS)):
    import numpy as np

    return samples(np.random.default_rng(0), 4, modalities, tasks)


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
