"""The sections of a scenario that say what siblings do among themselves, over their links beside the tree."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from experiments.schema.quantities import Bytes, Metres
from experiments.schema.section import Section
from experiments.schema.sections import Count, Names, by

Positive = Annotated[float, Field(gt=0)]


class FlickeringSpec(Section):
    """Each link is there in a turn with this probability."""

    kind: Literal["flickering"]
    probability: Annotated[float, Field(gt=0, le=1)]


class WanderingSpec(Section):
    """Nodes walk from place to place in a rectangle; links are there where they are near enough."""

    kind: Literal["wandering"]
    width: Annotated[Metres, Field(gt=0)]
    height: Annotated[Metres, Field(gt=0)]
    metres_per_second: Positive
    range: Annotated[Metres, Field(gt=0)]


Varying = Annotated[
    Annotated[FlickeringSpec, Tag("=kind:flickering")] | Annotated[WanderingSpec, Tag("=kind:wandering")], by("kind")
]


class GivenSpec(Section):
    """Heads by name, one of each cluster."""

    given: Annotated[Names, Field(min_length=1)]


def _head(value: Any) -> Any:
    if value not in ("first", "random", "best"):
        raise ValueError(f"expected first, random, best or {{given: [tablet0, ...]}}, got {value!r}")
    return value


Head = Annotated[
    Annotated[Literal["first", "random", "best"], BeforeValidator(_head), Tag("=named")]
    | Annotated[GivenSpec, Tag("=given")],
    Discriminator(lambda value: "=given" if isinstance(value, (dict, GivenSpec)) else "=named"),
]


class RelaySpec(Section):
    """Every cluster gathers at a head, which reports; see `simulator.sideways.relay.Relay`."""

    kind: Literal["relay"]
    head: Head = "first"
    merge_at_relays: bool = False
    half_duplex: bool = False
    broadcast: Literal["always", "between", "never"] = "always"
    varying: Varying | None = None
    modules: Names | None = None  # None: the tier's


class TaperSpec(Section):
    """MH-FL's rounds, fewer as the divergence shrinks."""

    law: Literal["taper"]
    share: Annotated[float, Field(gt=0, lt=1)]
    estimate: Literal["max", "spread"] = "max"


class LayersSpec(Section):
    """What MH-FL's bounds know of the tree and the loss."""

    samples: Positive
    phi: Positive
    dimension: Positive
    nodes_above: Count
    layers: Count
    estimate: Literal["max", "spread"] = "max"


class FiniteGapSpec(LayersSpec):
    """MH-FL's rounds for an optimality gap that stays below a constant."""

    law: Literal["finite_gap"]
    gap: Positive


class LinearRateSpec(LayersSpec):
    """MH-FL's rounds for a linear rate of convergence."""

    law: Literal["linear_rate"]
    delta: Positive
    mu: Positive
    eta: Positive

    @model_validator(mode="after")
    def _converges(self) -> LinearRateSpec:
        if self.delta > self.mu / self.eta:
            raise ValueError(f"delta must be <= mu / eta = {self.mu / self.eta:g}, got {self.delta}")
        return self


class TwoTimescaleSpec(Section):
    """TT-HF's rounds, for an error below phi times the step size rate / (t + shift)."""

    law: Literal["two_timescale"]
    phi: Positive
    rate: Positive
    shift: Positive
    steps: Count = 1


Law = TaperSpec | FiniteGapSpec | LinearRateSpec | TwoTimescaleSpec


def _rounds_tag(value: Any) -> str | None:
    if isinstance(value, dict):
        return f"=law:{value['law']}" if "law" in value else None
    return f"=law:{value.law}" if isinstance(value, Law) else "=number"


Rounds = Annotated[
    Annotated[Annotated[int, Field(ge=0)], Tag("=number")]
    | Annotated[TaperSpec, Tag("=law:taper")]
    | Annotated[FiniteGapSpec, Tag("=law:finite_gap")]
    | Annotated[LinearRateSpec, Tag("=law:linear_rate")]
    | Annotated[TwoTimescaleSpec, Tag("=law:two_timescale")],
    Discriminator(_rounds_tag),
]


class ConsensusSpec(Section):
    """Rounds of mixing among neighbours; see `simulator.sideways.consensus.Consensus`."""

    kind: Literal["consensus"]
    rounds: Rounds = 1
    weights: Literal["laplacian", "metropolis"] = "laplacian"
    c: Annotated[float, Field(gt=1)] = 2.0
    mixed: Literal["sums", "models"] = "sums"
    energy: Literal["link", "broadcast"] = "link"
    report: Literal["sampled", "everyone", "nobody"] = "sampled"
    varying: Varying | None = None
    modules: Names | None = None


class GossipSpec(Section):
    """D-PSGD: one exchange with neighbours a turn, and nobody reports."""

    kind: Literal["gossip"]
    weights: Literal["laplacian", "metropolis"] = "metropolis"
    energy: Literal["link", "broadcast"] = "link"
    varying: Varying | None = None
    modules: Names | None = None


class CooperateSpec(Section):
    """Neighbours train for those who cannot; see `simulator.sideways.cooperate.Cooperate`."""

    kind: Literal["cooperate"]
    helped: Annotated[Names, Field(min_length=1)]
    samples: Bytes  # of each of them, sent once
    result: Literal["back", "pooled"] = "back"
    varying: Varying | None = None
    modules: Names | None = None


Peers = Annotated[
    Annotated[RelaySpec, Tag("=kind:relay")]
    | Annotated[ConsensusSpec, Tag("=kind:consensus")]
    | Annotated[GossipSpec, Tag("=kind:gossip")]
    | Annotated[CooperateSpec, Tag("=kind:cooperate")],
    by("kind"),
]
