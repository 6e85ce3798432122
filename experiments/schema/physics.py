"""The sections of a scenario that say what is charged and how, and who is there when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Tag, model_validator

from experiments.schema.quantities import Hertz, Seconds, Watts
from experiments.schema.section import Section
from experiments.schema.sections import File, Names, Share, by
from simulator import costs

SHORTEST, LONGEST = 1e-3, 1e9  # seconds: of what comes and goes over and over
Fraction = Annotated[float, Field(gt=0, le=1)]


def _pairs(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in value):
        raise ValueError(f"expected a list of pairs, such as [[0, 1 h], [8 h, 9 h]], got {value!r}")
    return tuple(tuple(pair) for pair in value)


Pairs = BeforeValidator(_pairs)
Spans = Annotated[tuple[tuple[Seconds, Seconds], ...], Pairs]


class LinearPower(Section):
    """From idle to busy watts in proportion to the use of the processor."""

    kind: Literal["linear"] = "linear"

    def model(self) -> costs.Power:
        """As the simulator takes it."""
        return costs.Linear()


class CubicPower(Section):
    """kappa C f^2 joules for C cycles at clock f: kappa f^3 watts above idle while busy."""

    kind: Literal["cubic"]
    kappa: Annotated[float, Field(gt=0)]
    clock: Hertz

    def model(self) -> costs.Power:
        """As the simulator takes it."""
        return costs.Cubic(self.kappa, self.clock)


def _rising(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    costs.Table(tuple(points))
    return points


class TablePower(Section):
    """Measured: pairs of utilisation and share of the way from idle to busy watts, from [0, 0] to [1, 1]."""

    kind: Literal["table"]
    points: Annotated[tuple[tuple[float, float], ...], Pairs, AfterValidator(_rising)]

    def model(self) -> costs.Power:
        """As the simulator takes it."""
        return costs.Table(self.points)


AnyPower = Annotated[
    Annotated[LinearPower, Tag("=kind:linear")]
    | Annotated[CubicPower, Tag("=kind:cubic")]
    | Annotated[TablePower, Tag("=kind:table")],
    by("kind", "linear"),
]


class CarbonSpec(Section):
    """Grams of CO2-equivalent per kWh: one figure, or a CSV file with a column of this name and a row per hour."""

    grams_per_kwh: Annotated[float, Field(ge=0)] | None = None
    file: File | None = None

    @model_validator(mode="after")
    def _one(self) -> CarbonSpec:
        if (self.grams_per_kwh is None) == (self.file is None):
            raise ValueError("give grams_per_kwh or a file, one of the two")
        return self


def _both(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else (value, value)


class BatterySpec(Section):
    """Batteries are followed: a share at the start, drawn evenly between two, and when they are plugged in."""

    initial: Annotated[tuple[Fraction, Fraction], BeforeValidator(_both)] = (1.0, 1.0)
    charge_watts: Watts = 0.0
    plugged: Spans = ()
    every: Annotated[Seconds, Field(ge=SHORTEST)] | None = None  # None: they do not come again
    revive: Fraction = 0.1

    @model_validator(mode="after")
    def _sound(self) -> BatterySpec:
        self.model()
        return self

    def model(self) -> costs.Battery:
        """As the simulator takes it."""
        return costs.Battery(self.initial, self.charge_watts, self.plugged, self.every or math.inf, self.revive)


class CostsSpec(Section):
    """What is charged, and how; see `simulator.costs.Costs`, whose switches have the same names."""

    compute: bool = True
    crowding: Share = 0.0
    downlink: bool = True
    receive: bool = True
    idle: bool = True
    latency_power: Literal["idle", "transmit"] = "idle"
    wifi: Literal["equal_throughput", "equal_airtime"] = "equal_throughput"
    multicast: bool = False
    half_duplex: bool = False
    queueing: bool = True
    jitter: bool = False
    loss: bool = False
    tail: bool = True
    sleep: bool = False
    infrastructure: bool = True
    pue: bool = True
    power: AnyPower = LinearPower()
    battery: BatterySpec | None = None
    carbon: CarbonSpec | None = None

    @model_validator(mode="after")
    def _agrees(self) -> CostsSpec:
        if self.battery and self.latency_power == "transmit":
            raise ValueError("latency_power: transmit is an accounting of papers that follow no battery; leave one out")
        return self


class ChurnPresence(Section):
    """Nodes of *tiers* come and go: exponential times of these means."""

    kind: Literal["churn"]
    present: Annotated[Seconds, Field(ge=SHORTEST, le=LONGEST)]
    absent: Annotated[Seconds, Field(ge=SHORTEST, le=LONGEST)]
    tiers: Names = ()  # none: the leaves, or *nodes*
    nodes: Names = ()  # by name


class TimetablePresence(Section):
    """Nodes of *tiers* are there from and until these times, again *every* so many seconds."""

    kind: Literal["timetable"]
    present: Annotated[Spans, Field(min_length=1)]
    every: Annotated[Seconds, Field(ge=SHORTEST)] | None = None
    tiers: Names = ()
    nodes: Names = ()

    @model_validator(mode="after")
    def _sound(self) -> TimetablePresence:
        costs.windows("present", self.present, self.every or math.inf)
        return self


AnyPresence = Annotated[
    Annotated[ChurnPresence, Tag("=kind:churn")] | Annotated[TimetablePresence, Tag("=kind:timetable")], by("kind")
]
