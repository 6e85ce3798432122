"""The foundation models that can be federated: which of their parameters belong to which module.

One line per family of transformers (``model_type`` in its config.json). Only names; nothing heavy is imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EXTRA = "foundation models need the extra hf: pip install 'edufog[hf]'"
IMAGE, TEXT, TRUNK = "encoder.image", "encoder.text", "trunk"


@dataclass(frozen=True, slots=True)
class Family:
    """How a family is built: *modules* by prefix of a parameter's name (the first that fits), layers, LoRA's place.

    *shape*: image and text in one transformer (fused), one for each (dual), or text alone (language).
    *prompts*: whether soft tokens can stand among its word embeddings.
    """

    shape: Literal["fused", "dual", "language"]
    modules: Mapping[str, str]
    layers: tuple[str, ...]
    lora: tuple[str, ...]  # the projections that LoRA adapts: queries and values
    prompts: bool = True

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it looks at."""
        return ("text",) if self.shape == "language" else ("image", "text")

    def names(self, *, adapters: bool, prompt: bool, tasks: tuple[str, ...]) -> tuple[str, ...]:
        """The modules of a model, in order."""
        own = [name for name in (IMAGE, TEXT, TRUNK) if name in self.modules.values()]
        extra = [name for name, there in (("adapter", adapters), ("prompt", prompt)) if there]
        return (*own, *extra, *(f"head.{task}" for task in tasks))

    def module(self, parameter: str) -> str:
        """The module of a parameter of the backbone."""
        return next(name for prefix, name in self.modules.items() if parameter.startswith(prefix))


_VILT = {
    "embeddings.text_embeddings.": TEXT,
    "embeddings.token_type_embeddings.": TRUNK,
    "embeddings.": IMAGE,
    "": TRUNK,
}
_DUAL = {"vision_model.": IMAGE, "visual_projection.": IMAGE, "text_model.": TEXT, "text_projection.": TEXT}
_TOWERS = ("vision_model.encoder.layers", "text_model.encoder.layers")
_LLAMA = Family("language", {"embed_tokens.": TEXT, "": TRUNK}, ("layers",), ("q_proj", "v_proj"))

FAMILIES: Mapping[str, Family] = {
    "vilt": Family("fused", _VILT, ("encoder.layer",), ("query", "value")),
    "clip": Family("dual", _DUAL, _TOWERS, ("q_proj", "v_proj"), prompts=False),
    "siglip": Family("dual", _DUAL, _TOWERS, ("q_proj", "v_proj"), prompts=False),
    "gpt2": Family("language", {"wte.": TEXT, "wpe.": TEXT, "": TRUNK}, ("h",), ("c_attn",)),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
}


def family(model_type: str, backbone: str) -> Family:
    """The family of that name; ValueError with what is supported."""
    if model_type not in FAMILIES:
        raise ValueError(f"backbone {backbone} is a {model_type!r}; supported are {', '.join(FAMILIES)}")
    return FAMILIES[model_type]


def model_type(backbone: str, revision: str = "main") -> str:
    """The family that the backbone's config.json names; ValueError where there is none or it cannot be had."""
    path = Path(backbone) / "config.json"
    if not path.is_file():
        path = Path(_fetched(backbone, revision))
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"backbone {backbone}: its config.json names no model_type ({error})") from None
    return str(kind)


def _fetched(name: str, revision: str) -> str:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise ValueError(EXTRA) from None
    try:
        return str(hf_hub_download(name, "config.json", revision=revision))
    except Exception as error:
        raise ValueError(unreachable(name, error)) from None


def unreachable(name: str, error: Exception) -> str:
    """Why a backbone cannot be had, and what to do."""
    why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return (
        f"backbone {name}: no such folder with a config.json, and the hub did not give it ({why}); "
        f"download it once with a network, or give the folder in which it lies"
    )
