"""Tiny foundation models of every family, saved as the real ones are."""

import json

import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2Model,
    SiglipConfig,
    SiglipModel,
    ViltConfig,
    ViltModel,
)

from models.nets.hub import quiet

WIDTH, VOCABULARY, SIDE = 16, 64, 16
SIZES = {"hidden_size": WIDTH, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = SIZES | {"vocab_size": VOCABULARY, "max_position_embeddings": 16}
IMAGE = SIZES | {"image_size": SIDE, "patch_size": 8}
TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
END = {"eos_token_id": 63}
GPT2 = {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 16, "vocab_size": VOCABULARY}
MAKERS = {
    "vilt": lambda: ViltModel(ViltConfig(**TEXT, image_size=SIDE, patch_size=8)),
    "clip": lambda: CLIPModel(CLIPConfig(text_config=TEXT | TOKENS | END, vision_config=IMAGE, projection_dim=12)),
    "siglip": lambda: SiglipModel(SiglipConfig(text_config=TEXT | TOKENS, vision_config=IMAGE)),
    "gpt2": lambda: GPT2Model(GPT2Config(**GPT2, **TOKENS)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**TEXT, **TOKENS)),
    "qwen2": lambda: Qwen2Model(Qwen2Config(**TEXT, **TOKENS, num_key_value_heads=1)),
}  # fmt: skip


def save(kind, folder):
    """A tiny model of this family in *folder*."""
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(7)
        model = MAKERS[kind]()
        for value in model.parameters():  # some begin at zero, and would hide that nobody uses them
            value.data += 0.1 * torch.randn_like(value)
        model.save_pretrained(folder)
    return str(folder)


WORDS = "[PAD] [UNK] [CLS] [SEP] what which colour shape is it this thing the a there ?".split()  # noqa: SIM905
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 220)}


def save_processor(folder, *, image=True):
    """A tokenizer that knows some words, and an image processor that makes pictures of 16 pixels."""
    words = models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")
    tokens.save_pretrained(folder)
    if image:
        with quiet():
            CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIDE).save_pretrained(folder)
    return folder


def save_questions(folder, students=3, each=12):
    """Pictures of one colour and questions about it, asked of so many students in turn."""
    folder.mkdir(exist_ok=True)
    for name, colour in COLOURS.items():
        Image.new("RGB", (20, 24), colour).save(folder / f"{name}.png")
    lines = []
    for i in range(students * each):
        colour = list(COLOURS)[(i * i + i // 3) % 3]
        question = ("what colour is it ?", "which colour is this thing ?")[i % 2]
        line = {"image": f"{colour}.png", "question": question, "answer": colour, "student": f"s{i % students}"}
        lines.append(json.dumps(line))
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
