"""The sections of a scenario that say what happens: plan, learning, stages, evaluation; and what all sections share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    ValidationInfo,
    model_validator,
)

from experiments.schema.algorithms import FEDAVG, Algorithms
from experiments.schema.documents import find_file
from experiments.schema.quantities import Bytes
from experiments.schema.section import Section

Item = TypeVar("Item")
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Moment = Literal["before_merge", "after_merge", "after_broadcast"]
Baseline = Literal["zero", "local", "pooled_linear", "pooled_mixed", "pooled_trees"]


def _distinct(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        such = f", such as [{value}]" if isinstance(value, str) else ""
        raise ValueError(f"expected a list{such}, got {value!r}")
    twice = next((item for place, item in enumerate(value) if item in value[:place]), None)
    if twice is not None:
        what = twice.get("name", "the same") if isinstance(twice, dict) else twice
        raise ValueError(f"{what!r} is listed twice")
    return tuple(value)


def _found(name: str, info: ValidationInfo) -> str:
    """Beside the scenario: a full path, so that the resolved scenario runs from anywhere. Under $EDUFOG_DATA: as is."""
    beside = (info.context or {}).get("beside", Path.cwd())
    path = find_file(name, beside)
    return str(path) if path == (beside / name).resolve() else name


Listed = Annotated[tuple[Item, ...], BeforeValidator(_distinct)]
Names = Listed[str]
File = Annotated[str, AfterValidator(_found)]


def refuse_several(value: Any, forms: Iterable[str]) -> None:
    """Raise ValueError where a mapping has the keys of several forms of which one may be given."""
    given = [key for key in forms if isinstance(value, dict) and key in value]
    if len(given) > 1:
        raise ValueError(f"give exactly one of {', '.join(given)}, not {len(given)}")


def by(key: str, default: str | None = None) -> Discriminator:
    """Tells the members of a union apart by *key*; their tags are ``=key:value``, which no key of a user looks like."""

    def tag(value: Any) -> str | None:
        kind = value.get(key, default) if isinstance(value, dict) else getattr(value, key, None)
        return None if kind is None else f"={key}:{kind}"

    return Discriminator(tag)


class Optimizer(Section):
    """What turns gradients into steps."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 5e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Share = 0.0
    clip: Annotated[float, Field(gt=0)] | None = None  # the longest that a client's gradient may be in a step

    @model_validator(mode="after")
    def _used(self) -> Optimizer:
        if self.name == "adamw" and self.momentum:
            raise ValueError("momentum belongs to sgd; adamw has its own")
        return self


def _batch(value: Any) -> Any:
    if value != "full" and (type(value) is not int or value < 2):
        raise ValueError(f"expected a whole number >= 2, or full, got {value!r}")
    return value


class Learning(Section):
    """What a node does when it trains."""

    algorithm: Algorithms = FEDAVG
    optimizer: Optimizer = Optimizer()
    local_epochs: Count = 1
    batch_size: Annotated[int | Literal["full"], BeforeValidator(_batch)] = 16
    device_cache: bool = False  # devices keep what the frozen front makes of their samples
    weighting: dict[str, Literal["samples", "uniform"]] = Field(default_factory=dict)  # of modules (patterns)
    start: File | None = None  # weights to begin with, a file of torch.save; None: drawn from the seed
    payload: Annotated[Bytes, Field(ge=1, le=1e18)] | None = None  # what every message counts as; None: what is in it


class Evaluation(Section):
    """Which tiers are scored, after every how many rounds, and at which moments; no tiers: the leaves and the root."""

    every: Count = 1
    tiers: Names = ()
    moments: Annotated[Listed[Moment], Field(min_length=1)] = ("after_merge", "after_broadcast")


class Records(Section):
    """What the tables keep of the leaves: a row each, or a summary of those of one parent, for very many devices."""

    devices: Literal["rows", "summary"] = "rows"


class Profiles(Section):
    """New device and link profiles, or figures changed in those of the package.

    Name to figures, ``based_on``, and ``uncertainty`` (figure to relative uncertainty; none for a figure given here).
    """

    devices: dict[str, dict[str, Any]] = Field(default_factory=dict)
    links: dict[str, dict[str, Any]] = Field(default_factory=dict)
