"""Foundation models of every family, tiny and offline: as transformers computes them, and only what trains moves."""

import dataclasses
import shutil
import sys
from pathlib import Path

import pytest
import torch

from models import SGD, Recipe, Samples, Supervised, Task, initial, stacked, training
from models.counting import count
from models.footprint import Step, module_costs, training_step
from models.model import module, nest
from models.nets.families import FAMILIES, family, model_type
from models.nets.foundation import Bottlenecks, Foundation, Lora
from models.nets.frozen import FoundationModel
from models.nets.torch_module import seeded
from models.objectives import Batch
from models.prefix import Prefixes
from models.training import Job

transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

import tiny  # noqa: E402

from models.nets.hub import load  # noqa: E402

TASKS = {"answer": Task("answer", 3)}
SHAPES = {"image": (3, tiny.SIDE, tiny.SIDE), "text": (6,)}
TEXT = torch.tensor([[4, 6, 8, 9, 15, 63], [5, 6, 63, -1, -1, -1], [4, 7, 8, 10, 63, -1], [5, 63, -1, -1, -1, -1]])


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("backbones")
    return {kind: tiny.save(kind, home / kind) for kind in tiny.MAKERS}


def built(folder, adapters=None, prompt=0, seed=0):
    kind = family(model_type(folder), folder)
    network = seeded(lambda: Foundation(load(folder), kind, TASKS, adapters, prompt), seed)
    shapes = {m: SHAPES[m] for m in kind.modalities}
    return FoundationModel(network, shapes, TASKS, network.names(), {"text": torch.int64})


def inputs(model):
    image = torch.randn(4, 3, tiny.SIDE, tiny.SIDE, generator=torch.Generator().manual_seed(2))
    return {m: {"image": image, "text": TEXT}[m] for m in model.shapes}


def job(model, node="a"):
    return Job(node, initial(model, 0), Samples(inputs(model), {"answer": torch.tensor([0, 1, 2, 1])}), 1, 0)


def features(folder, x):
    """By transformers itself, with its own way to take images and to pad."""
    model, there = load(folder), (TEXT >= 0).long()
    ids = TEXT.clamp(min=0)
    kind = model.config.model_type
    with torch.no_grad():
        if kind == "vilt":
            return model(input_ids=ids, attention_mask=there, pixel_values=x["image"]).pooler_output
        if kind in ("clip", "siglip"):
            mask = {"attention_mask": there} if kind == "clip" else {}
            out = model(input_ids=ids, pixel_values=x["image"], **mask)
            raw = [out.vision_model_output.pooler_output, out.text_model_output.pooler_output]
            if kind == "clip" and raw[0].shape[-1] == tiny.WIDTH:  # newer versions have projected them already
                raw = [model.visual_projection(raw[0]), model.text_projection(raw[1])]
            return torch.cat(raw, -1)
        rows = [model(input_ids=row[row >= 0][None]).last_hidden_state[0, -1] for row in TEXT]  # none is padded
        return torch.stack(rows)


@pytest.mark.parametrize("kind", tiny.MAKERS)
def test_features_are_those_of_transformers(folders, kind):
    some = built(folders[kind])
    x, head = inputs(some), some.network.head["answer"]
    out = some.forward(nest(initial(some, 0)), x, ["answer"])["answer"]
    torch.testing.assert_close(out, head(features(folders[kind], x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", tiny.MAKERS)
@pytest.mark.parametrize("adapters", [None, Lora(2), Bottlenecks(3, last=1)], ids=["none", "lora", "bottlenecks"])
def test_only_what_trains_moves(folders, kind, adapters):
    prompt = 2 if FAMILIES[kind].prompts else 0
    some = built(folders[kind], adapters, prompt)
    trained = {"head.answer"} | ({"adapter"} if adapters else set()) | ({"prompt"} if prompt else set())
    assert tuple(some.modules) == tuple(dict.fromkeys(some.owner.values()))
    assert set(some.modules) == set(
        FAMILIES[kind].names(adapters=adapters is not None, prompt=prompt > 0, tasks=("answer",))
    )
    how = Recipe(Supervised(), SGD(0.5), 2, 2, frozenset(trained))
    before = initial(some, 0)
    (after,) = stacked.train_all(some, [job(some)], how)
    assert {module(key) for key in after if not torch.equal(after[key], before[key])} == trained
    assert all(after[key] is before[key] for key in after if module(key) not in trained)  # shared, not copied


def test_a_fresh_adapter_changes_nothing_and_no_head(folders):
    plain, *adapted = (built(folders["vilt"], a) for a in (None, Lora(2), Bottlenecks(3)))
    x = inputs(plain)
    expected = plain.forward(nest(initial(plain, 0)), x, ["answer"])["answer"]
    for some in adapted:
        assert torch.equal(some.forward(nest(initial(some, 0)), x, ["answer"])["answer"], expected)


def test_stack_and_plain_loop_agree_and_chunks_do_not_matter(folders):
    some = built(folders["vilt"], Lora(2), 2)
    how = Recipe(Supervised(), SGD(0.1, momentum=0.9), 2, 2, frozenset({"adapter", "prompt", "head.answer"}))
    jobs = [dataclasses.replace(job(some), node=name) for name in "abc"]
    whole = stacked.train_all(some, jobs, how, 3)
    for one, other in zip(whole, stacked.train_all(some, jobs, how, 1), strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
    doubled = [dataclasses.replace(j, tensors={k: v.double() for k, v in j.tensors.items()},
               samples=Samples({m: x.double() if x.is_floating_point() else x for m, x in j.samples.inputs.items()},
                               j.samples.targets)) for j in jobs]  # fmt: skip
    for one, other in zip(stacked.train_all(some, doubled, how), training.train_all(some, doubled, how), strict=True):
        for key in one:
            torch.testing.assert_close(one[key], other[key], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["vilt", "clip", "llama"])
def test_where_heads_alone_train_features_are_computed_once(folders, kind):
    """The rest of the model trains on the kept features as the whole does, and predicts the same."""
    some = built(folders[kind], Lora(2))
    how = Recipe(Supervised(), SGD(0.1), 3, 2, frozenset({"head.answer"}))
    jobs = [dataclasses.replace(job(some), node=name) for name in "ab"]
    prefixes = Prefixes()
    rest, shorter = prefixes.shorten(some, jobs, how.trainable)
    assert set(rest.shapes) == {"features"}
    assert (prefixes.misses, prefixes.hits) == (1, 1)  # both have the same samples
    for short, whole in zip(stacked.train_all(rest, shorter, how), stacked.train_all(some, jobs, how), strict=True):
        assert set(short) == {"head.answer/head.answer.weight", "head.answer/head.answer.bias"}
        for key, value in short.items():
            torch.testing.assert_close(value, whole[key], rtol=1e-5, atol=1e-6)
    assert some.cut({"head.answer", "adapter"}) is None


@pytest.mark.parametrize(("kind", "first"), [("vilt", 1), ("llama", 0), ("gpt2", 0)])
def test_a_prompt_of_words_is_read_as_these_words(folders, kind, first):
    """Behind ViLT's first token, which is pooled; before all words of a language model."""
    plain, some = built(folders[kind]), built(folders[kind], prompt=2)
    x, words = inputs(plain), torch.tensor([11, 5])
    longer = torch.cat([TEXT[:, :first], words.expand(4, 2), TEXT[:, first:]], 1)
    weights = initial(some, 0)
    weights["prompt/prompt"] = some.network.backbone.get_input_embeddings()(words)
    out = some.forward(nest(weights), x, ["answer"])["answer"]
    said = plain.forward(nest(initial(plain, 0)), x | {"text": longer}, ["answer"])["answer"]
    torch.testing.assert_close(out, said)
    assert not torch.allclose(out, plain.forward(nest(initial(plain, 0)), x, ["answer"])["answer"])


def test_costs_are_attributed_to_the_modules_whose_weights_are_used(folders):
    """ViLT with LoRA of rank 2 in all layers: products of matrices by hand, one sample of 6 words and 5 patches."""
    some = built(folders["vilt"], Lora(2))
    cost = {c.module: c for c in module_costs(some)}
    d, inner, n, layers = tiny.WIDTH, 24, 6 + 5, 2
    per_layer = 4 * n * d * d + 2 * n * d * inner + 2 * n * n * d  # projections, perceptron, attention
    assert cost["trunk"].forward_flops == 2 * (layers * per_layer + d * d)  # and the pooler
    assert cost["encoder.image"].forward_flops == 2 * 4 * (3 * 8 * 8) * d
    assert cost["adapter"].forward_flops == 2 * layers * 2 * (2 * n * d * 2)  # down and up, on queries and values
    assert cost["head.answer"].forward_flops == 2 * d * 3
    assert cost["adapter"].parameters == layers * 2 * (2 * d * 2)
    everything = Recipe(Supervised(), SGD(0.1), 1, 2, frozenset(some.modules))
    flops = training_step(some, some.held(SHAPES, TASKS), job(some).samples, everything, 4).flops
    spared = 4 * cost["encoder.image"].forward_flops  # nobody asks for the gradient of the picture
    assert flops == 4 * sum(c.forward_flops + c.backward_flops for c in cost.values()) - spared


@pytest.mark.parametrize("kind", ["vilt", "clip", "llama"])
def test_real_tensors_cost_what_shapes_do(folders, kind):
    """The same step on data: every product, and every storage alive."""
    some = built(folders[kind], Lora(2))
    work, how = job(some), Recipe(Supervised(), SGD(0.1, momentum=0.9), 1, 4, frozenset({"adapter", "head.answer"}))
    step = Step(some, work.tensors, Batch(work.samples.inputs, work.samples.targets, {}), how)
    real, shapes = count(step, step.held), training_step(some, tuple(work.tensors), work.samples, how, 4)
    assert real.flops == shapes.flops
    assert real.memory_bytes == pytest.approx(shapes.memory_bytes, rel=0.02)  # buffers are copied to where shapes are


def test_the_rank_of_a_module_counts_what_is_sent(folders):
    some = built(folders["llama"], Lora(2, last=1))
    sizes = {c.module: c.nbytes for c in module_costs(some)}
    assert sizes["adapter"] == 4 * 2 * (2 * 2 * tiny.WIDTH)  # queries and values of one layer
    assert sizes["head.answer"] == 4 * 3 * (tiny.WIDTH + 1)


def test_what_cannot_be_had_is_refused_with_the_remedy(folders, tmp_path):
    with pytest.raises(ValueError, match=r"'bert'; supported are vilt, clip, siglip, gpt2"):
        family("bert", "x")
    with pytest.raises(ValueError, match=r"backbone nobody/nothing: no such folder.*download it once"):
        model_type("nobody/nothing")
    with pytest.raises(ValueError, match=r"prompt: CLIPModel takes no embeddings"):
        built(folders["clip"], prompt=2)
    with pytest.raises(ValueError, match=r"adapters.last is 9, but the backbone has 2 layers at encoder.layer"):
        built(folders["vilt"], Bottlenecks(2, last=9))
    config = tmp_path / "pickled"
    config.mkdir()
    shutil.copy(Path(folders["llama"]) / "config.json", config)
    torch.save({}, config / "pytorch_model.bin")
    with pytest.raises(ValueError, match="only weights in safetensors are read"):
        load(str(config))
    (config / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="names no model_type"):
        model_type(str(config))


@pytest.mark.parametrize(("missing", "adapters"), [("transformers", None), ("peft", Lora(2))])
def test_without_the_extra_one_line_names_it(folders, monkeypatch, missing, adapters):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=r"^foundation models need the extra hf: pip install 'edufog\[hf\]'$"):
        built(folders["vilt"], adapters)
