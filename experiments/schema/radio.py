"""The section of a scenario that turns positions into rates: how signals are lost, what is sent, and how links fade."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from experiments.schema.quantities import METRES, Dbm, Decibels, Hertz, Metres, Seconds
from experiments.schema.section import Section
from experiments.schema.sections import Count, Names

if TYPE_CHECKING:
    from topologies.radio import Mcs, PathLoss, Radio, Room, Shannon

Number = Annotated[int, Field(ge=0)]
Power = Annotated[Dbm, Field(ge=-100, le=100)]
OWN_KEYS = {
    "los": ("inh", "umi", "uma", "d2d"),
    "office": ("inh",),
    "walls": ("tgax", "tgax_residential"),
    "floors": ("tgax_residential",),
    "reference_loss": ("log_distance",),
    "exponent": ("log_distance",),
    "sigma": ("log_distance",),
}
"""Keys that only some models have."""
DEFAULTS = {"los": "draw", "office": "mixed", "walls": 0, "floors": 0}


def _point(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"expected two distances from the corner, such as [4 m, 0 m], got {value!r}")
    return tuple(METRES.parse(item) for item in value)


class RoomSpec(Section):
    """A room in which the students sit anywhere; its access point is in the middle unless said otherwise."""

    width: Annotated[Metres, Field(gt=0)]
    depth: Annotated[Metres, Field(gt=0)]
    access_point: Annotated[tuple[float, float] | None, BeforeValidator(_point)] = None

    @model_validator(mode="after")
    def _fits(self) -> RoomSpec:
        self.room()
        return self

    def room(self) -> Room:
        """The room that this describes."""
        from topologies.radio import Room

        try:
            return Room(self.width, self.depth, self.access_point)
        except ValueError as error:
            raise ValueError(str(error).removeprefix("room: ")) from None


class Fading(Section):
    """How the gain of a link changes from block to block of *retry* seconds, and what a transfer sees of it."""

    kind: Literal["none", "rayleigh", "rician"] = "none"
    k: Annotated[Decibels, Field(ge=-30, le=30)] | None = None  # beyond, it is rayleigh or none
    over: Literal["average", "outage"] | None = None
    retry: Annotated[Seconds, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _retry(cls, data: Any) -> Any:
        return {"retry": 0.05} | data if isinstance(data, dict) and data.get("over") == "outage" else data

    @model_validator(mode="after")
    def _complete(self) -> Fading:
        if (self.kind == "rician") != (self.k is not None):
            raise ValueError("k is missing: give it, such as 3 dB" if self.k is None else "k belongs to kind rician")
        if self.kind == "none" and (self.over or self.retry is not None):
            raise ValueError("over and retry belong to kinds rayleigh and rician; without fading nothing is drawn")
        if self.kind != "none" and self.over is None:
            raise ValueError("over is missing: average (a transfer lasts many blocks) or outage (each draws its block)")
        if self.over == "average" and self.retry is not None:
            raise ValueError("retry belongs to over: outage; an average has no outage to wait out")
        return self

    @property
    def factor(self) -> float:
        """The Rician factor as a ratio: 0 is Rayleigh fading, infinity none."""
        if self.k is not None:
            return float(10 ** (self.k / 10))
        return 0.0 if self.kind == "rayleigh" else inf


class RadioSpec(Section):
    """How positions become rates. Powers are what both ends radiate; what they draw is in the link's profile."""

    model: Literal["tgax", "tgax_residential", "inh", "umi", "uma", "d2d", "log_distance"]
    los: Literal["draw", "yes", "no"] | None = None
    office: Literal["mixed", "open"] | None = None
    walls: Number | None = None
    floors: Number | None = None
    reference_loss: Annotated[Decibels, Field(ge=0, le=500)] | None = None  # at 1 m
    exponent: Annotated[float, Field(gt=0)] | None = None
    sigma: Annotated[Decibels, Field(ge=0, le=100)] | None = None
    carrier: Annotated[Hertz, Field(ge=1e6, le=1e12)] | None = None  # None: the link's
    bandwidth: Hertz
    streams: Count
    transmit_power: Power  # of a device
    ap_power: Power  # of the access point
    noise_figure: Annotated[Decibels, Field(ge=0, le=100)] = 7.0
    mac_efficiency: Annotated[float, Field(gt=0, le=1)] = 0.65
    rates: Literal["mcs", "shannon"] = "mcs"
    cap: Annotated[float, Field(gt=0)] | None = None  # bit/s/Hz of a stream
    minimum_snr: Annotated[Decibels, Field(ge=-100, le=100)] | None = None
    shadowing: bool = True
    fading: Fading = Fading()
    room: RoomSpec | None = None
    links: Names = ()  # none: every shared one with a carrier
    out_of_range: Literal["refuse", "exclude"] = "refuse"

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, data: Any) -> Any:
        """Spelled out, so that a resolved scenario says what was used."""
        if not isinstance(data, dict):
            return data
        own = {key: value for key, value in DEFAULTS.items() if data.get("model") in OWN_KEYS[key]}
        return own | ({"minimum_snr": -10.0} if data.get("rates") == "shannon" else {}) | data

    @model_validator(mode="after")
    def _of_the_model(self) -> RadioSpec:
        for key, models in OWN_KEYS.items():
            if getattr(self, key) is not None and self.model not in models:
                raise ValueError(f"{key} belongs to {_listed(models)}, not to {self.model}")
        if self.model == "log_distance":
            for key, example in (("reference_loss", "40 dB"), ("exponent", "3")):
                if getattr(self, key) is None:
                    raise ValueError(f"{key} is missing: model log_distance needs it, such as {example}")
            if self.shadowing != (self.sigma is not None):
                missing = "sigma is missing: how much shadowing scatters, such as 4 dB; or say shadowing: false"
                raise ValueError(missing if self.shadowing else "sigma belongs to shadowing: true")
        return self

    @model_validator(mode="after")
    def _of_the_rates(self) -> RadioSpec:
        if self.rates == "mcs" and (self.cap is not None or self.minimum_snr is not None):
            raise ValueError("cap and minimum_snr belong to rates: shannon; the MCS table has its own")
        if self.rates == "shannon" and self.minimum_snr is None:
            raise ValueError("minimum_snr is missing: give it, such as -10 dB, or leave it out for that")
        if self.rates == "shannon" and self.cap is None:
            raise ValueError("cap is missing: the bit/s/Hz of the densest modulation, such as 6 for 64-QAM")
        try:
            self.rule()
        except ValueError as error:
            what = str(error).removeprefix("Shannon: ")
            raise ValueError(f"bandwidth: {what} (rates: shannon)" if what.startswith("802.11ax") else what) from None
        return self

    def rule(self) -> Mcs | Shannon:
        """From SNR to rate."""
        from topologies.radio import Mcs, Shannon

        if self.rates == "mcs":
            return Mcs(self.bandwidth, self.streams)
        assert self.minimum_snr is not None
        return Shannon(self.bandwidth, self.streams, self.cap or inf, self.minimum_snr)

    def path_loss(self) -> PathLoss:
        """The model of path loss."""
        from topologies import radio

        match self.model:
            case "tgax":
                return radio.TGax(self.walls or 0)
            case "tgax_residential":
                return radio.TGaxResidential(self.walls or 0, self.floors or 0)
            case "inh":
                return radio.InH(self.office or "mixed")
            case "umi":
                return radio.UMi()
            case "uma":
                return radio.UMa()
            case "d2d":
                return radio.WinnerA1()
        assert self.reference_loss is not None
        assert self.exponent is not None
        return radio.LogDistance(self.reference_loss, self.exponent, self.sigma or 0.0)

    def radio(self) -> Radio:
        """The radio that this describes."""
        from topologies.radio import Radio

        retry = {} if self.fading.retry is None else {"retry_seconds": self.fading.retry}
        return Radio(
            self.path_loss(),
            self.rule(),
            device_dbm=self.transmit_power,
            access_point_dbm=self.ap_power,
            noise_figure_db=self.noise_figure,
            mac_efficiency=self.mac_efficiency,
            carrier_hertz=self.carrier,
            sight=self.los or "draw",
            shadowing=self.shadowing,
            k=self.fading.factor,
            over=self.fading.over or "average",
            room=None if self.room is None else self.room.room(),
            links=self.links,
            out_of_range=self.out_of_range,
            **retry,
        )


def _listed(models: tuple[str, ...]) -> str:
    return f"model {' or '.join(models)}" if len(models) < 3 else f"models {', '.join(models)}"
