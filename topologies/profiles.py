"""What a device or a link can do: checked, immutable profiles, and a catalogue that says where each figure comes from.

The catalogue is `data/devices.csv` and `data/links.csv`, one row per figure, all SI. `certainty` is *cited* (someone
measured or published it), *derived* (arithmetic on cited figures) or *typical* (usual for its class); `uncertainty` is
relative. Change a figure with `dataclasses.replace(device("raspberry_pi5"), idle_watts=2.5)`, which checks again.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from math import inf, isfinite
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

P = TypeVar("P")


class Rule(NamedTuple):
    """What a figure must fulfil, in words and as a test."""

    words: str
    holds: Callable[[float], bool]


POSITIVE = Rule("> 0", lambda value: value > 1e-12)  # less is a slip, and its inverse no time that a clock can show
SECONDS = Rule(">= 0 and <= 1e9", lambda value: 0 <= value <= 1e9)
NOT_NEGATIVE = Rule(">= 0", lambda value: value >= 0)
SHARE = Rule("> 0 and <= 1", lambda value: 0 < value <= 1)
AT_LEAST_ONE = Rule(">= 1", lambda value: value >= 1)
PROBABILITY = Rule(">= 0 and < 1", lambda value: 0 <= value < 1)

DEVICE_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "flops_per_s": POSITIVE,
        "utilisation": SHARE,
        "memory_bytes": POSITIVE,
        "memory_bytes_per_s": POSITIVE,
        "idle_watts": NOT_NEGATIVE,
        "busy_watts": NOT_NEGATIVE,
        "battery_joules": NOT_NEGATIVE,
        "half_flops_per_s": NOT_NEGATIVE,
        "launch_seconds": SECONDS,
        "pue": AT_LEAST_ONE,
    }
)
LINK_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "up_bits_per_s": POSITIVE,
        "down_bits_per_s": POSITIVE,
        "latency_seconds": SECONDS,
        "jitter_seconds": SECONDS,
        "loss": PROBABILITY,
        "range_metres": NOT_NEGATIVE,
        "carrier_hertz": NOT_NEGATIVE,
        "transmit_watts": NOT_NEGATIVE,
        "receive_watts": NOT_NEGATIVE,
        "idle_watts": NOT_NEGATIVE,
        "sleep_watts": NOT_NEGATIVE,
        "tail_seconds": SECONDS,
        "tail_watts": NOT_NEGATIVE,
        "infrastructure_joules_per_byte": NOT_NEGATIVE,
        "infrastructure_watts": NOT_NEGATIVE,
        "payload_bytes": NOT_NEGATIVE,
        "header_bytes": NOT_NEGATIVE,
    }
)
# Pairs of which the first must not be below the second, the highest first.
DEVICE_ORDER = (("busy_watts", "idle_watts"),)
LINK_ORDER = (("transmit_watts", "idle_watts"), ("receive_watts", "idle_watts"), ("idle_watts", "sleep_watts"))


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """What a device can do and what it draws; `kind` is the tier it is made for.

    `flops_per_s` is the fp32 peak, of which training reaches `utilisation`; starting one operation takes
    `launch_seconds`. `half_flops_per_s` 0 means no faster than fp32, `battery_joules` 0 means mains. Watts are of the
    whole device; its building draws `pue` times as much (power usage effectiveness, ISO/IEC 30134-2; 1: nothing on
    top). Raises ValueError, naming profile and figure.
    """

    name: str
    kind: str
    flops_per_s: float
    utilisation: float
    cores: int
    memory_bytes: float
    memory_bytes_per_s: float
    idle_watts: float
    busy_watts: float
    battery_joules: float = 0.0
    half_flops_per_s: float = 0.0
    launch_seconds: float = 0.0
    pue: float = 1.0
    radios: tuple[str, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        _check(self, DEVICE_RULES)
        if isinstance(self.cores, bool) or not isinstance(self.cores, Integral) or self.cores < 1:
            raise ValueError(f"{self.name}: cores must be a whole number >= 1, got {self.cores!r}")
        if not isinstance(self.radios, tuple | list) or not all(isinstance(radio, str) for radio in self.radios):
            raise ValueError(f"{self.name}: radios must be a list of names, got {self.radios!r}")
        for larger, smaller in DEVICE_ORDER:
            _at_least(self, larger, smaller)
        object.__setattr__(self, "cores", int(self.cores))
        object.__setattr__(self, "radios", tuple(self.radios))

    @property
    def sustained_flops_per_s(self) -> float:
        """The fp32 rate that training reaches."""
        return self.flops_per_s * self.utilisation


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """What a link can carry and what each end draws; up is towards the root.

    A `shared` link is one medium for all stations on it, both ways (a Wi-Fi cell); an unshared one gives each
    direction its own rate, one at a time if it is `half_duplex`. `range_metres` 0 means not limited by distance,
    `carrier_hertz` 0 a wire. After a transfer the radio draws `tail_watts` for `tail_seconds`. The access point or
    switch port behind it draws `infrastructure_watts` all the time, the network beyond
    `infrastructure_joules_per_byte`. Every `payload_bytes` carry `header_bytes` on top (0: the rates are of payload
    already). Raises ValueError, naming profile and figure.
    """

    name: str
    kind: str
    up_bits_per_s: float
    down_bits_per_s: float
    shared: bool = False
    latency_seconds: float = 0.0
    jitter_seconds: float = 0.0
    loss: float = 0.0
    range_metres: float = 0.0
    carrier_hertz: float = 0.0
    transmit_watts: float = 0.0
    receive_watts: float = 0.0
    idle_watts: float = 0.0
    sleep_watts: float = 0.0
    tail_seconds: float = 0.0
    tail_watts: float = 0.0
    infrastructure_joules_per_byte: float = 0.0
    infrastructure_watts: float = 0.0
    payload_bytes: float = 0.0
    header_bytes: float = 0.0
    half_duplex: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        _check(self, LINK_RULES)
        for word in ("shared", "half_duplex"):
            if not isinstance(getattr(self, word), bool):
                raise ValueError(f"{self.name}: {word} must be true or false, got {getattr(self, word)!r}")
        # A span holds what a transfer adds above idle, which must not be negative.
        for larger, smaller in LINK_ORDER:
            _at_least(self, larger, smaller)
        if self.header_bytes and not self.payload_bytes:
            raise ValueError(f"{self.name}: header_bytes needs payload_bytes: how many bytes does a header go with?")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the catalogue and where it comes from; `uncertainty` is relative."""

    profile: str
    figure: str
    value: float
    certainty: str
    uncertainty: float
    source: str


def devices() -> Mapping[str, DeviceProfile]:
    """Every device of the catalogue, by name."""
    return _devices()


def links() -> Mapping[str, LinkProfile]:
    """Every link of the catalogue, by name."""
    return _links()


def device(profile: str | DeviceProfile) -> DeviceProfile:
    """The device of that name in the catalogue; a profile made elsewhere passes through."""
    return profile if isinstance(profile, DeviceProfile) else _find(profile, _devices(), "device")


def link(profile: str | LinkProfile) -> LinkProfile:
    """The link of that name in the catalogue; a profile made elsewhere passes through."""
    return profile if isinstance(profile, LinkProfile) else _find(profile, _links(), "link")


@cache
def figures() -> tuple[Figure, ...]:
    """Every number of the catalogue with its source, certainty and relative uncertainty, devices first."""
    rows = [row for file in ("devices.csv", "links.csv") for row in _rows(file) if row["certainty"]]
    numbers = ({key: float(row[key]) for key in ("value", "uncertainty")} for row in rows)
    return tuple(Figure(**(row | number)) for row, number in zip(rows, numbers, strict=True))


@cache
def _devices() -> Mapping[str, DeviceProfile]:
    return MappingProxyType({name: DeviceProfile(name=name, **values) for name, values in _values("devices.csv")})


@cache
def _links() -> Mapping[str, LinkProfile]:
    return MappingProxyType({name: LinkProfile(name=name, **values) for name, values in _values("links.csv")})


def _values(file: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each profile of *file* with what its constructor takes."""
    words: Mapping[str, Callable[[str], Any]] = {
        "description": str,
        "kind": str,
        "cores": int,
        "radios": lambda text: text.split(";"),
        "shared": lambda text: text == "yes",
        "half_duplex": lambda text: text == "yes",
    }
    grouped: dict[str, dict[str, Any]] = {}
    for row in _rows(file):
        grouped.setdefault(row["profile"], {})[row["figure"]] = words.get(row["figure"], float)(row["value"])
    yield from grouped.items()


def _rows(file: str) -> list[dict[str, Any]]:
    text = (resources.files(__package__) / "data" / file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _find(name: str, catalogue: Mapping[str, P], what: str) -> P:
    if isinstance(name, str) and name in catalogue:
        return catalogue[name]
    nearest = get_close_matches(str(name), catalogue, n=1)
    raise ValueError(f"unknown {what} profile {name!r}" + (f"; did you mean {nearest[0]!r}?" if nearest else ""))


def _check(profile: DeviceProfile | LinkProfile, rules: Mapping[str, Rule]) -> None:
    """Refuse a figure that breaks its rule, and store the others as plain floats."""
    for field in ("name", "kind", "description"):
        text = getattr(profile, field)
        if not isinstance(text, str) or not (text or field == "description"):
            raise ValueError(f"{profile.name}: {field} must be a text, got {text!r}")
    for figure, rule in rules.items():
        given = getattr(profile, figure)
        if isinstance(given, bool) or not isinstance(given, Real):
            raise ValueError(f"{profile.name}: {figure} must be a number, got {given!r}")
        value = as_float(given)
        if not isfinite(value):
            raise ValueError(f"{profile.name}: {figure} must be finite, got {value}")
        if not rule.holds(value):
            raise ValueError(f"{profile.name}: {figure} must be {rule.words}, got {given}")
        object.__setattr__(profile, figure, value)


def as_float(number: Real) -> float:
    """Infinite where a whole number is beyond all floats."""
    try:
        return float(number)
    except OverflowError:
        return inf


def _at_least(profile: DeviceProfile | LinkProfile, larger: str, smaller: str) -> None:
    high, low = getattr(profile, larger), getattr(profile, smaller)
    if high < low:
        raise ValueError(f"{profile.name}: {larger} must be >= {smaller} ({low:g}), got {high:g}")
