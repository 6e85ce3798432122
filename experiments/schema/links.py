"""The section of a scenario that connects nodes beside the tree: who with whom, by which link, at which rates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from experiments.schema.mistakes import Keys
from experiments.schema.places import LinkName
from experiments.schema.quantities import Metres
from experiments.schema.radio import RadioSpec
from experiments.schema.section import Section
from experiments.schema.sections import Count, Listed, refuse_several


class WithinSpec(Section):
    """Those at most so far from each other."""

    within: Annotated[Metres, Field(gt=0)]


class DegreeSpec(Section):
    """A random connected graph in which each has so many neighbours."""

    degree: Count


class ProbabilitySpec(Section):
    """A random connected graph in which each pair has a link with this probability."""

    probability: Annotated[float, Field(gt=0, le=1)]


GRAPHS = ("within", "degree", "probability")


def _graph_tag(value: Any) -> str:
    given = value if isinstance(value, dict) else [type(value).__name__.removesuffix("Spec").lower()]
    keys = [key for key in GRAPHS if key in given]
    return f"={keys[0]}" if len(keys) == 1 else "=named"


def _graph(value: Any) -> Any:
    refuse_several(value, GRAPHS)
    if value not in ("everyone", "ring", "spanning"):
        forms = "everyone, ring, spanning, {within: 30 m}, {degree: 3} or {probability: 0.5}"
        raise ValueError(f"expected {forms}, got {value!r}")
    return value


Neighbours = Annotated[
    Annotated[Literal["everyone", "ring", "spanning"], BeforeValidator(_graph), Tag("=named")]
    | Annotated[WithinSpec, Tag("=within")]
    | Annotated[DegreeSpec, Tag("=degree")]
    | Annotated[ProbabilitySpec, Tag("=probability")],
    Discriminator(_graph_tag),
]


class BesideRadio(RadioSpec):
    """Rates by the distance of two ends that send alike; they sit where the topology or the tree's radio put them."""

    @model_validator(mode="before")
    @classmethod
    def _alike(cls, data: Any) -> Any:
        alike = isinstance(data, dict) and "transmit_power" in data
        return {"ap_power": data["transmit_power"]} | data if alike else data

    @model_validator(mode="after")
    def _of_peers(self) -> BesideRadio:
        if self.ap_power != self.transmit_power:
            raise ValueError("ap_power: peers have no access point; leave it out")
        for key in ("room", "links"):
            if getattr(self, key):
                raise ValueError(f"{key}: belongs to the radio of the tree; leave it out")
        return self


class BesideSpec(Section):
    """Links beside the tree between nodes of a *tier* that have the same ancestor at the tier *among*."""

    link: LinkName = "wifi_direct"
    neighbours: Neighbours = "everyone"
    tier: str | None = None  # None: the leaves
    among: str | None = None  # None: siblings, divided by their attribute `cluster` if they have it
    radio: BesideRadio | None = None  # None: the rates of the link's profile


def _one_or_several(value: Any) -> str:
    return "=several" if isinstance(value, (list, tuple)) else "=one"


Beside = Annotated[
    Annotated[BesideSpec, Tag("=one")] | Annotated[Listed[BesideSpec], Tag("=several")],
    Discriminator(_one_or_several),
]


def each(beside: BesideSpec | tuple[BesideSpec, ...] | None) -> Iterator[tuple[Keys, BesideSpec]]:
    """Every kind of links beside the tree, and the keys that lead to it."""
    if isinstance(beside, BesideSpec):
        yield ("d2d",), beside
    for place, spec in enumerate(beside if isinstance(beside, tuple) else ()):
        yield ("d2d", place), spec
