"""The radio of a study: from the distance of two ends to what their link knows."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

from ..profiles import LinkProfile
from . import draws
from .channel import Channel
from .decibels import noise_dbm, snr_db
from .models import PathLoss
from .rates import Mcs, Shannon
from .rooms import Room


@dataclass(frozen=True, slots=True)
class Radio:
    """The radio of a study: how signals are lost, what both ends send and hear, and what rates that gives.

    *sight* draws line of sight by the model's probability, or says that it is there or not; *carrier_hertz* None takes
    the link's. *k*, *over* and *retry_seconds* are those of `Channel`; *links* names the links that this radio is, by
    default every shared one with a carrier. Transmit power changes SNRs only: the watts drawn are the link profile's.
    """

    model: PathLoss
    rates: Mcs | Shannon
    device_dbm: float
    access_point_dbm: float
    noise_figure_db: float = 7.0
    mac_efficiency: float = 1.0
    carrier_hertz: float | None = None
    sight: Literal["draw", "yes", "no"] = "draw"
    shadowing: bool = True
    k: float = inf
    over: Literal["average", "outage"] = "average"
    retry_seconds: float = 0.05
    room: Room | None = None
    links: tuple[str, ...] = ()
    out_of_range: Literal["refuse", "exclude"] = "refuse"

    def __post_init__(self) -> None:
        for name in ("device_dbm", "access_point_dbm", "noise_figure_db"):
            if not isfinite(getattr(self, name)):
                raise ValueError(f"radio: {name} must be finite, got {getattr(self, name)}")
        if self.carrier_hertz is not None and not (isfinite(self.carrier_hertz) and self.carrier_hertz > 0):
            raise ValueError(f"radio: carrier_hertz must be > 0, got {self.carrier_hertz}")
        for name, known in (("sight", ("draw", "yes", "no")), ("out_of_range", ("refuse", "exclude"))):
            if getattr(self, name) not in known:
                raise ValueError(f"radio: {name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")

    def carries(self, link: LinkProfile) -> bool:
        """Whether the link is one of this radio."""
        return link.name in self.links if self.links else link.shared and link.carrier_hertz > 0

    def channel(self, node: str, link: LinkProfile, metres: float, seed: int) -> Channel:
        """What the link of *node* to an access point *metres* away knows; both directions share its surroundings."""
        carrier = self.carrier_hertz or link.carrier_hertz
        if not carrier:
            raise ValueError(f"{node}: link {link.name} has no carrier; give the radio one")
        drawn = self.sight == "draw" and draws.in_sight(seed, node, self.model.sight_probability(metres))
        sight = drawn or self.sight == "yes"
        loss = self.model.loss_db(metres, carrier, sight)
        if self.shadowing:
            loss += draws.shadowing_db(seed, node, self.model.sigma_db(sight))
        noise = noise_dbm(self.rates.bandwidth_hertz, self.noise_figure_db)
        return Channel(
            up_snr_db=snr_db(self.device_dbm, loss, noise),
            down_snr_db=snr_db(self.access_point_dbm, loss, noise),
            rates=self.rates,
            mac_efficiency=self.mac_efficiency,
            k=self.k,
            over=self.over,
            retry_seconds=self.retry_seconds,
            metres=metres,
            sight=sight,
        )
