"""The part of a scenario that says how few weights teach a frozen trunk: adapters and prompts of kind m3t."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Tag, model_validator

from experiments.schema.section import Section
from experiments.schema.sections import Count, Listed, by

Map = Literal["qkv", "proj", "up", "down"]
ALL_MAPS: tuple[Map, ...] = ("qkv", "proj", "up", "down")


def _maps(value: Any) -> Any:
    return list(ALL_MAPS) if value == "all" else value


Maps = Annotated[Listed[Map], BeforeValidator(_maps), Field(min_length=1)]
Scale = Annotated[float, Field(gt=0)]


class BottleneckAdapters(Section):
    """Bottlenecks of so many units, one per layer after its feed-forward part, in the last so many layers."""

    kind: Literal["bottleneck"] = "bottleneck"
    width: Count = 8
    last: Count = 1

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules, in the order of ``models.M3T``."""
        return ("adapter",)


class LoraAdapters(Section):
    """Low-rank maps beside linear maps of the last so many layers, scaled by alpha / rank (1 unless given)."""

    kind: Literal["lora"] = "lora"
    rank: Count = 4
    last: Count = 1
    alpha: Scale | None = None
    maps: Maps = ("qkv", "proj")

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules, in the order of ``models.M3T``."""
        return ("adapter",)


class ExpertAdapters(Section):
    """So many low-rank maps instead of one, mixed token by token by a router; *top*: only the best so many count."""

    kind: Literal["experts"] = "experts"
    count: Annotated[int, Field(ge=1, le=1000)] = 4
    rank: Count = 4
    last: Count = 1
    alpha: Scale | None = None
    maps: Maps = ("qkv", "proj")
    top: Count | None = None

    @model_validator(mode="after")
    def _few(self) -> ExpertAdapters:
        if self.top is not None and self.top > self.count:
            raise ValueError(f"top is {self.top}, but count is {self.count}")
        return self

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules, in the order of ``models.M3T``."""
        return (*(f"expert.{e}" for e in range(self.count)), "router")


Adapters = Annotated[
    Annotated[BottleneckAdapters, Tag("=kind:bottleneck")]
    | Annotated[LoraAdapters, Tag("=kind:lora")]
    | Annotated[ExpertAdapters, Tag("=kind:experts")],
    by("kind", "bottleneck"),
]


class Prompt(Section):
    """So many learned tokens beside a sample's own, in the last so many layers (in all, unless given)."""

    tokens: Count = 4
    last: Count | None = None
