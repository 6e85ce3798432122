"""Foundation models from transformers, frozen, with adapters, a prompt and heads that train beside them.

A text is whole numbers ``[length]``: tokens, and -1 where there is none (behind the last one).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.data.samples import Task
from models.nets.families import EXTRA, Family

FEATURES = "=features"  # no task is called so


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank additions (Hu et al. 2022) to queries and values of the *last* so many layers; None: of all."""

    rank: int
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Bottlenecks:
    """Adapters (Houlsby et al. 2019) of *width* units behind the *last* so many layers; None: behind all."""

    width: int
    last: int | None = None


class Bottleneck(nn.Module):
    """Down, ReLU, up, and added to what came in; at first the identity."""

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, units), nn.Linear(units, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., width]``, adapted."""
        return x + self.up(torch.relu(self.down(x)))

    def behind(self, layer: nn.Module, inputs: Any, output: Any) -> Any:
        """A hook: what leaves *layer*, adapted (some layers return a tuple that begins with it)."""
        return (self(output[0]), *output[1:]) if isinstance(output, tuple) else self(output)


class Foundation(nn.Module):
    """A backbone of a known family; ``forward(image=, text=, tasks=)`` gives each task's head on its features.

    The backbone works as it does for prediction: its own dropout is off.
    """

    def __init__(
        self,
        backbone: Any,
        family: Family,
        tasks: Mapping[str, Task],
        adapters: Lora | Bottlenecks | None = None,
        prompt: int = 0,
    ) -> None:
        super().__init__()
        if prompt and not family.prompts:
            raise ValueError(f"prompt: {type(backbone).__name__} takes no embeddings, so no prompt; leave it out")
        self.backbone: Any = backbone
        self.family, self.adapters = family, adapters
        for spare in ("logit_scale", "logit_bias"):  # of comparing image and text, which no head does
            if hasattr(backbone, spare):
                backbone.register_parameter(spare, None)
        self.head = nn.ModuleDict(
            {name: nn.Linear(_features(backbone, family), t.outputs) for name, t in tasks.items()}
        )
        width = _text_config(backbone).hidden_size
        self.prompt = nn.Parameter(0.02 * torch.randn(prompt, width)) if prompt else None
        layers = [layer for path in family.layers for layer in _last(backbone, path, adapters)]
        if isinstance(adapters, Lora):
            _add_lora(backbone, family, layers, adapters.rank)
        units = adapters.width if isinstance(adapters, Bottlenecks) else 0
        bottlenecks = [Bottleneck(width, units) for _, _, width in layers] if units else []
        self.adapter = nn.ModuleList(bottlenecks)
        for (_, layer, _), bottleneck in zip(layers, bottlenecks, strict=False):
            layer.register_forward_hook(bottleneck.behind)
        self.eval()

    def train(self, mode: bool = True) -> Foundation:
        """The same as ever: what would drop something by lot stays off."""
        return super().train(False)

    def names(self) -> dict[str, str]:
        """The module of every parameter."""
        return {name: self._module(name) for name, _ in self.named_parameters()}

    def _module(self, name: str) -> str:
        first, _, rest = name.partition(".")
        if first == "head":
            return f"head.{rest.partition('.')[0]}"
        if first in ("adapter", "prompt") or ".lora_" in name:
            return "adapter" if first != "prompt" else "prompt"
        return self.family.module(rest)

    def describe(self) -> str:
        """All that shapes its features besides its weights."""
        config = self.backbone.config.to_json_string(use_diff=False)
        return f"{type(self.backbone).__name__} {config} {self.adapters} {self.prompt is not None}"

    def forward(self, tasks: Sequence[str] = (), **inputs: Tensor) -> dict[str, Tensor]:
        """``[batch, outputs]`` by task; asked for FEATURES, what the heads see."""
        x = getattr(self, f"_{self.family.shape}")(**inputs)
        if tuple(tasks) == (FEATURES,):
            return {FEATURES: x}
        return {task: self.head[task](x) for task in tasks or self.head}

    def _words(self, text: Tensor, at: int) -> tuple[Tensor, Tensor]:
        """Embedded tokens with the prompt before token *at*, and 1 where there is something."""
        words, there = self.backbone.get_input_embeddings()(text.clamp(min=0)), (text >= 0).long()
        if self.prompt is None:
            return words, there
        prompt = self.prompt.expand(len(text), *self.prompt.shape)
        ones = there.new_ones(prompt.shape[:2])
        return (torch.cat([a[:, :at], b, a[:, at:]], 1) for a, b in ((words, prompt), (there, ones)))  # type: ignore[return-value]

    def _fused(self, image: Tensor, text: Tensor) -> Tensor:
        """The pooled first token, behind which the prompt stands."""
        words, there = self._words(text, at=1)
        model, parts = self.backbone, self.backbone.embeddings
        kind = parts.token_type_embeddings.weight
        tokens = parts.text_embeddings(inputs_embeds=words) + kind[0]
        patches = _patches(parts, image) + kind[1]
        there = torch.cat([there, there.new_ones(patches.shape[:2])], 1)
        absent = (1 - there[:, None, None].to(words.dtype)) * torch.finfo(words.dtype).min
        x = model.encoder(torch.cat([tokens, patches], 1), attention_mask=absent)[0]
        return model.pooler(model.layernorm(x))

    def _language(self, text: Tensor) -> Tensor:
        """What the last token has become."""
        words, there = self._words(text, at=0)
        x = self.backbone(inputs_embeds=words, attention_mask=there, use_cache=False).last_hidden_state
        last = (there.sum(1) - 1)[:, None, None].expand(-1, 1, x.shape[-1])
        return x.gather(1, last).squeeze(1)

    def _dual(self, image: Tensor, text: Tensor) -> Tensor:
        """The pooled features of both towers, side by side."""
        tower, ids = self.backbone, text.clamp(min=0)
        masked = (
            {} if tower.config.model_type == "siglip" else {"attention_mask": (text >= 0).long()}
        )  # as it was taught
        seen = tower.vision_model(pixel_values=image).pooler_output
        read = tower.text_model(input_ids=ids, **masked).pooler_output
        if hasattr(tower, "visual_projection"):
            seen, read = tower.visual_projection(seen), tower.text_projection(read)
        return torch.cat([seen, read], -1)


def _patches(embeddings: Any, image: Tensor) -> Tensor:
    """ViLT's patches of whole images of one size, in order, each with its place.

    ViLT's own way draws the order of the patches by lot, which changes no result but its last digits.
    """
    x = embeddings.patch_embeddings(image)
    places, side = embeddings.position_embeddings, embeddings.config.image_size // embeddings.config.patch_size
    grid = places[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    if x.shape[2:] != grid.shape[2:]:
        grid = nn.functional.interpolate(grid, size=x.shape[2:], mode="bilinear", align_corners=True)
    first = (embeddings.cls_token + places[:, :1]).expand(len(x), -1, -1)
    return torch.cat([first, (x + grid).flatten(2).transpose(1, 2)], 1)


def _last(backbone: nn.Module, path: str, adapters: Lora | Bottlenecks | None) -> list[tuple[str, nn.Module, int]]:
    """The adapted layers at *path*: name, layer and width."""
    layers: Any = backbone.get_submodule(path)
    count = len(layers) if adapters is None or adapters.last is None else adapters.last
    if count > len(layers):
        raise ValueError(f"adapters.last is {count}, but the backbone has {len(layers)} layers at {path}")
    config: Any = backbone.config
    part = getattr(config, "vision_config" if path.startswith("vision") else "text_config", config)
    places = range(len(layers) - count, len(layers))
    return [(f"{path}.{i}", layers[i], part.hidden_size) for i in places]


def _add_lora(backbone: nn.Module, family: Family, layers: Sequence[tuple[str, nn.Module, int]], rank: int) -> None:
    """LoRA in place; its parameters have ``.lora_`` in their names."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ValueError(EXTRA) from None
    targets = [
        f"{name}.{inner}"
        for name, layer, _ in layers
        for inner, _ in layer.named_modules()
        if inner.rpartition(".")[2] in family.lora
    ]
    transposed = type(backbone.get_submodule(targets[0])).__name__ == "Conv1D"
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, lora_dropout=0.0, fan_in_fan_out=transposed)
    inject_adapter_in_model(config, backbone)


def _text_config(backbone: Any) -> Any:
    return getattr(backbone.config, "text_config", backbone.config)


def _features(backbone: Any, family: Family) -> int:
    """How many numbers the heads see."""
    if family.shape != "dual":
        return int(backbone.config.hidden_size)
    if hasattr(backbone, "visual_projection"):
        return 2 * int(backbone.config.projection_dim)
    text = backbone.config.text_config
    return int(backbone.config.vision_config.hidden_size) + int(getattr(text, "projection_size", text.hidden_size))
