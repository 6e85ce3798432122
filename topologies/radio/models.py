"""Path-loss models as things: the loss over a distance, how likely the way is clear, and how much losses scatter.

Distances are along the ground; a model knows how high its ends are. Nearer than 1 m counts as 1 m, where these models
begin. Heights and the scatter of losses (the standard deviation of log-normal shadowing) are those of the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, isfinite
from typing import Literal, Protocol

from . import losses


class PathLoss(Protocol):
    """What a radio loses on its way; *sight* says whether the way is clear."""

    def loss_db(self, ground_metres: float, hertz: float, sight: bool) -> float:
        """The median loss."""

    def sight_probability(self, ground_metres: float) -> float:
        """How likely the way is clear."""

    def sigma_db(self, sight: bool) -> float:
        """The standard deviation of the loss in dB around its median."""


@dataclass(frozen=True, slots=True)
class InH:
    """Indoor office or classroom, *mixed* or *open*; the access point hangs 2 m above the tables: TR 38.901 InH."""

    office: Literal["mixed", "open"] = "mixed"
    rise_metres: float = 2.0

    def __post_init__(self) -> None:
        if self.office not in ("mixed", "open"):
            raise ValueError(f"InH: office must be mixed or open, got {self.office!r}")
        _check("InH", rise_metres=self.rise_metres)

    def loss_db(self, ground_metres: float, hertz: float, sight: bool) -> float:
        """The median loss."""
        return (losses.inh_los_db if sight else losses.inh_nlos_db)(_metres(ground_metres, self.rise_metres), hertz)

    def sight_probability(self, ground_metres: float) -> float:
        """Falls with the distance."""
        return (losses.inh_open_sight if self.office == "open" else losses.inh_mixed_sight)(ground_metres)

    def sigma_db(self, sight: bool) -> float:
        """3 dB in line of sight, else 8.03 dB."""
        return 3.0 if sight else 8.03


@dataclass(frozen=True, slots=True)
class UMi:
    """A street canyon, with a base station below the rooftops: TR 38.901 UMi."""

    base_metres: float = 10.0
    user_metres: float = 1.5

    def __post_init__(self) -> None:
        _check_heights("UMi", self.base_metres, self.user_metres)

    def loss_db(self, ground_metres: float, hertz: float, sight: bool) -> float:
        """The median loss, steeper beyond the breakpoint in line of sight."""
        loss = losses.umi_los_db if sight else losses.umi_nlos_db
        return loss(max(ground_metres, 1.0), hertz, self.base_metres, self.user_metres)

    def sight_probability(self, ground_metres: float) -> float:
        """Falls with the distance."""
        return losses.umi_sight(ground_metres)

    def sigma_db(self, sight: bool) -> float:
        """4 dB in line of sight, else 7.82 dB."""
        return 4.0 if sight else 7.82


@dataclass(frozen=True, slots=True)
class UMa:
    """A city, with a base station above the rooftops: TR 38.901 UMa."""

    base_metres: float = 25.0
    user_metres: float = 1.5

    def __post_init__(self) -> None:
        _check_heights("UMa", self.base_metres, self.user_metres)

    def loss_db(self, ground_metres: float, hertz: float, sight: bool) -> float:
        """The median loss, steeper beyond the breakpoint in line of sight."""
        loss = losses.uma_los_db if sight else losses.uma_nlos_db
        return loss(max(ground_metres, 1.0), hertz, self.base_metres, self.user_metres)

    def sight_probability(self, ground_metres: float) -> float:
        """Falls with the distance."""
        return losses.uma_sight(ground_metres, self.user_metres)

    def sigma_db(self, sight: bool) -> float:
        """4 dB in line of sight, else 6 dB."""
        return 4.0 if sight else 6.0


@dataclass(frozen=True, slots=True)
class TGax:
    """Enterprise Wi-Fi through so many walls, the access point 2 m above the tables: IEEE 802.11-14/0980."""

    walls: int = 0
    rise_metres: float = 2.0

    def __post_init__(self) -> None:
        _check("TGax", walls=self.walls, rise_metres=self.rise_metres)

    def loss_db(self, ground_metres: float, hertz: float, sight: bool) -> float:
        """The median loss; the walls stand for what is not in sight."""
        return losses.tgax_db(_metres(ground_metres, self.rise_metres), hertz, self.walls)

    def sight_probability(self, ground_metres: float) -> float:
        """Always 1: this model does not tell the two apart."""
        return 1.0

    def sigma_db(self, sight: bool) -> float:
        """5 dB."""
        return 5.0


@dataclass(frozen=True, slots=True)
class TGaxResidential:
    """Wi-Fi in a house, through so many walls and floors, both ends at one height: IEEE 802.11-14/0980."""

    walls: int = 0
    floors: int = 0

    def __post_init__(self) -> None:
        _check("TGaxResidential", walls=self.walls, floors=self.floors)

    def loss_db(self, ground_metres: float, hertz: float, sight: bool) -> float:
        """The median loss; walls and floors stand for what is not in sight."""
        return losses.tgax_residential_db(max(ground_metres, 1.0), hertz, self.walls, self.floors)

    def sight_probability(self, ground_metres: float) -> float:
        """Always 1: this model does not tell the two apart."""
        return 1.0

    def sigma_db(self, sight: bool) -> float:
        """5 dB."""
        return 5.0


@dataclass(frozen=True, slots=True)
class WinnerA1:
    """Two devices on tables, for D2D: WINNER II scenario A1, corridor to room."""

    def loss_db(self, ground_metres: float, hertz: float, sight: bool) -> float:
        """The median loss."""
        return (losses.winner_a1_los_db if sight else losses.winner_a1_nlos_db)(max(ground_metres, 1.0), hertz)

    def sight_probability(self, ground_metres: float) -> float:
        """Falls with the distance."""
        return losses.winner_a1_sight(ground_metres)

    def sigma_db(self, sight: bool) -> float:
        """3 dB in line of sight, else 4 dB."""
        return 3.0 if sight else 4.0


@dataclass(frozen=True, slots=True)
class LogDistance:
    """A given loss at a given distance, and a given exponent; the carrier is in the reference."""

    reference_db: float
    exponent: float
    scatter_db: float = 0.0
    reference_metres: float = 1.0

    def __post_init__(self) -> None:
        if not isfinite(self.reference_db):
            raise ValueError(f"LogDistance: reference_db must be finite, got {self.reference_db}")
        _check("LogDistance", exponent=self.exponent, scatter_db=self.scatter_db)
        if not (isfinite(self.reference_metres) and self.reference_metres > 0):
            raise ValueError(f"LogDistance: reference_metres must be > 0, got {self.reference_metres}")

    def loss_db(self, ground_metres: float, hertz: float, sight: bool) -> float:
        """The median loss."""
        return losses.log_distance_db(max(ground_metres, 1.0), self.reference_db, self.exponent, self.reference_metres)

    def sight_probability(self, ground_metres: float) -> float:
        """Always 1: this model does not tell the two apart."""
        return 1.0

    def sigma_db(self, sight: bool) -> float:
        """As given."""
        return self.scatter_db


def _metres(ground_metres: float, rise_metres: float) -> float:
    return max(hypot(ground_metres, rise_metres), 1.0)


def _check(model: str, **figures: float) -> None:
    for name, value in figures.items():
        if not (isfinite(value) and value >= 0):
            raise ValueError(f"{model}: {name} must be >= 0, got {value}")


def _check_heights(model: str, base_metres: float, user_metres: float) -> None:
    if not (isfinite(base_metres) and base_metres > user_metres > losses.GROUND_METRES):
        raise ValueError(f"{model}: base_metres must be > user_metres > 1, got {base_metres} and {user_metres}")
