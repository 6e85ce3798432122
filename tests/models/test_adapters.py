from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from adapting import BOTTLENECKS, DEEP, EXPERTS, HEADS, LORA, MODELS, NARROW, ONE, PROMPTED, TOP, apart, clients, recipe
from federations import SHAPES, TASKS, samples

from models import SGD, AdamW, stacked, training
from models.adapters import MAPS, Bottleneck, Experts, LoRA, Prompt
from models.footprint import module_costs, prediction
from models.model import initial, module, nest

WIDTH, TOKENS = 16, 6


def weights(model, seed=0):
    """Weights of which none is at its start."""
    rng = np.random.default_rng(seed)
    return {
        key: value + 0.3 * torch.tensor(rng.normal(size=value.shape))
        for key, value in initial(model, 0, torch.float64).items()
    }


def by_hand(model, w, inputs):
    """The features of a few samples of all modalities, token after token, written out."""

    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), w[f"trunk/{name}.scale"], w[f"trunk/{name}.bias"])

    def adapted_map(i, name, x):
        out = x @ w[f"trunk/{i}.{name}.weight"] + w[f"trunk/{i}.{name}.bias"]
        ways = model.adapters
        if isinstance(ways, LoRA | Experts) and i >= model.layers - ways.last and name in ways.maps:
            scale = (ways.alpha or ways.rank) / ways.rank
            if isinstance(ways, LoRA):
                return out + scale * x @ w[f"adapter/{i}.{name}.a"] @ w[f"adapter/{i}.{name}.b"]
            logits = x @ w[f"router/{i}.{name}.weight"]
            if ways.top:
                least = logits.sort(-1).values[..., -ways.top, None]
                logits = torch.where(logits >= least, logits, -torch.inf)
            share = logits.exp() / logits.exp().sum(-1, keepdim=True)
            for e in range(ways.count):
                delta = x @ w[f"expert.{e}/{i}.{name}.a"] @ w[f"expert.{e}/{i}.{name}.b"]
                out = out + scale * share[..., e, None] * delta
        return out

    tokens = []
    for m, encoder in model.encoders.items():
        parts = inputs[m].reshape(len(inputs[m]), encoder.tokens, -1)
        p = {key: w[f"encoder.{m}/{key}"] for key in ("in.weight", "in.bias", "out.weight", "out.bias", "place")}
        hidden = (parts @ p["in.weight"] + p["in.bias"]).clamp(min=0)
        tokens.append(hidden @ p["out.weight"] + p["out.bias"] + p["place"])
    x = torch.cat(tokens, 1)
    for i in range(model.layers):
        if model.prompt and i == model.layers - (model.prompt.last or model.layers):
            x = torch.stack([torch.cat([row, w["prompt/tokens"]]) for row in x])
        q, k, v = adapted_map(i, "qkv", norm(x, f"{i}.norm1")).split(WIDTH, -1)
        size, mixed = WIDTH // model.heads, []
        for h in range(model.heads):
            own = slice(h * size, (h + 1) * size)
            look = (q[..., own] @ k[..., own].mT / size**0.5).softmax(-1)
            mixed.append(look @ v[..., own])
        x = x + adapted_map(i, "proj", torch.cat(mixed, -1))
        x = x + adapted_map(i, "down", adapted_map(i, "up", norm(x, f"{i}.norm2")).clamp(min=0))
        if isinstance(model.adapters, Bottleneck) and i >= model.layers - model.adapters.last:
            p = {key: w[f"adapter/{i}.{key}"] for key in ("down.weight", "down.bias", "up.weight", "up.bias")}
            hidden = (x @ p["down.weight"] + p["down.bias"]).clamp(min=0)
            x = x + hidden @ p["up.weight"] + p["up.bias"]
    return norm(x[:, :TOKENS], "norm")


@pytest.mark.parametrize("model", MODELS)
def test_each_equals_the_plain_computation(model):
    w, data = weights(model), samples(np.random.default_rng(1), 3, dtype=torch.float64)
    out = model.forward(nest(w), data.inputs, tuple(TASKS))
    z = by_hand(model, w, data.inputs).flatten(1)
    for task in TASKS:
        shift = sum(w[f"offset.{tier}/{task}"] for tier in model.offsets)
        expected = z @ w[f"head.{task}/weight"].T + w[f"head.{task}/bias"] + shift
        assert torch.allclose(out[task], expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("model", MODELS)
def test_a_fresh_one_changes_nothing_but_a_prompt_does(model):
    data, bare = samples(np.random.default_rng(1), 3), replace(model, adapters=None, prompt=None)
    start = nest(initial(model, 0))
    fresh, plain = (m.forward(start, data.inputs, tuple(TASKS)) for m in (model, bare))
    assert all(torch.equal(fresh[task], plain[task]) == (model.prompt is None) for task in TASKS)


@pytest.mark.parametrize("model", MODELS)
def test_stacked_clients_keep_their_bits(model):
    work, how = clients(model, 7), recipe(model.modules, AdamW(5e-3), epochs=1)
    alone = stacked.train_all(model, work, how, chunk=1)
    for chunk in (3, 7):
        for one, other in zip(alone, stacked.train_all(model, work, how, chunk=chunk), strict=True):
            assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("model", [LORA, NARROW, EXPERTS, TOP, PROMPTED])
def test_a_stack_equals_the_plain_loop_and_everything_moves(model):
    work = clients(model, 6, torch.float64)
    trainable = [name for name in model.modules if not name.startswith(("trunk", "decoder"))]
    how = recipe(trainable, SGD(0.01, momentum=0.9))
    for job, one, twin in zip(
        work, stacked.train_all(model, work, how), training.train_all(model, work, how), strict=True
    ):
        assert apart(one, twin) <= 1e-9
        assert {module(key) for key in one if one[key] is not job.tensors[key]} == {
            module(key) for key in job.tensors if module(key) in trainable
        }


def test_one_expert_is_lora_of_its_rank():
    lora = replace(ONE, adapters=LoRA(1, last=1))
    data, w = samples(np.random.default_rng(1), 5), {k: v.float() for k, v in weights(ONE).items()}
    own = {key.replace("expert.0/", "adapter/"): value for key, value in w.items() if not key.startswith("router")}
    one, other = (m.forward(nest(p), data.inputs, tuple(TASKS)) for m, p in ((ONE, w), (lora, own)))
    assert all(torch.equal(one[task], other[task]) for task in TASKS)


def test_gates_sum_to_one_and_few_experts_count():
    rng = np.random.default_rng(0)
    x, p = torch.tensor(rng.normal(size=(4, 5, 8))), {"0.up.weight": torch.tensor(rng.normal(size=(8, 6)))}
    soft = Experts(6).gates(p, 0, "up", x)
    assert torch.allclose(soft.sum(-1), torch.ones(4, 5, dtype=soft.dtype), rtol=1e-12)
    for top in range(1, 7):
        few = Experts(6, top=top).gates(p, 0, "up", x)
        assert ((few > 0).sum(-1) == top).all()
        kept = torch.where(few > 0, soft, 0.0)
        assert torch.allclose(few, kept / kept.sum(-1, keepdim=True), rtol=1e-12)
    assert torch.equal(few, soft)


def test_sizes_in_closed_form():
    """Bottleneck 2 d b + b + d, low rank r (in + out), router in * count, prompt tokens * d, each layer and map."""
    d, deep = WIDTH, {"layers": 3}
    ins, outs = {"qkv": d, "proj": d, "up": d, "down": 2 * d}, {"qkv": 3 * d, "proj": d, "up": 2 * d, "down": d}

    def parameters(model):
        return {c.module: c.parameters for c in module_costs(replace(model, **deep))}

    assert parameters(BOTTLENECKS)["adapter"] == 2 * (2 * d * 4 + 4 + d)
    assert parameters(NARROW)["adapter"] == sum(ins[m] + outs[m] for m in MAPS)
    assert parameters(LORA)["adapter"] == 2 * 2 * sum(ins[m] + outs[m] for m in ("qkv", "proj"))
    assert parameters(LORA)["prompt"] == 2 * d
    sizes = parameters(EXPERTS)
    assert [sizes[f"expert.{e}"] for e in range(3)] == [2 * 2 * sum(ins[m] + outs[m] for m in ("qkv", "down"))] * 3
    assert sizes["router"] == 2 * 3 * (ins["qkv"] + ins["down"])


@pytest.mark.parametrize("model", MODELS)
def test_a_prediction_costs_the_sum_of_its_modules(model):
    keys = model.held(SHAPES, TASKS)
    costs = {cost.module: cost.forward_flops for cost in module_costs(model)}
    whole = prediction(model, keys, samples(np.random.default_rng(0), 1), 1).flops
    assert whole == sum(flops for name, flops in costs.items() if not name.startswith("decoder"))


def test_what_a_node_holds_and_needs():
    keys = EXPERTS.held(["record"], ["answer"])
    assert {module(key) for key in keys} == {
        *("encoder.record", "trunk", "expert.0", "expert.1", "expert.2", "router", "head.answer"),
        *("offset.campus", "offset.classroom"),
    }
    assert EXPERTS.path("answer", ["record"]) == ("encoder.record", "trunk", "head.answer")
    assert set(EXPERTS.needs("answer", [])) == {"trunk", "head.answer", "expert.0", "expert.1", "expert.2", "router"}
    assert PROMPTED.path("answer", []) == ("trunk", "prompt", "head.answer")  # begins at random, so it is taught first
    assert PROMPTED.needs("answer", []) == ("trunk", "prompt", "head.answer", "adapter")
    assert DEEP.needs("answer", []) == DEEP.path("answer", []) == ("trunk", "head.answer")
    assert set(HEADS) < set(EXPERTS.modules)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Bottleneck(0), "width must be 1 or more, got 0"),
        (lambda: LoRA(4, last=0), "last must be 1 or more, got 0"),
        (lambda: LoRA(4, maps=("key",)), "maps must be some of qkv, proj, up, down, got key"),
        (lambda: Experts(2, top=3), "top must be 1 to 2"),
        (lambda: Experts(2, top=0), "top must be 1 to 2"),
        (lambda: Prompt(2, last=0), "last must be 1 or more, got 0"),
        (lambda: replace(DEEP, adapters=LoRA(1, last=4)).modules, "adapters.last is 4, but the trunk has 3 layers"),
        (lambda: replace(DEEP, prompt=Prompt(1, last=4)).modules, "prompt.last is 4, but the trunk has 3 layers"),
    ],
)
def test_mistakes_are_told(make, what):
    with pytest.raises(ValueError, match=what):
        make()
