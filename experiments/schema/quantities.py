"""Quantities as people write them, "20 Mbit/s" or "3.7 Wh", read into SI floats; bare numbers are SI already."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_NUMBER = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")
_SMALL = {"n": "1e-9", "u": "1e-6", "µ": "1e-6", "m": "1e-3"}
_LARGE = {"k": "1e3", "M": "1e6", "G": "1e9", "T": "1e12", "P": "1e15", "E": "1e18"}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def _units() -> dict[str, tuple[str, Decimal]]:
    """Every unit that may be written: its dimension, and its size in the dimension's base unit."""
    plain: Mapping[str, tuple[str, Any, Mapping[str, Any]]] = {
        "s": ("time", 1, _SMALL),
        "min": ("time", 60, {}),
        "h": ("time", 3600, {}),
        "d": ("time", 86400, {}),
        "bit": ("amount of data", 1, _LARGE | _BINARY),
        "B": ("amount of data", 8, _LARGE | _BINARY),
        "FLOP": ("amount of work", 1, _LARGE),
        "W": ("power", 1, _SMALL | _LARGE),
        "J": ("energy", 1, _SMALL | _LARGE),
        "Wh": ("energy", 3600, _SMALL | _LARGE),
        "Hz": ("frequency", 1, _LARGE),
        "m": ("length", 1, _SMALL | {"c": "1e-2", "k": "1e3"}),
        "dB": ("ratio of powers", 1, {}),
        "dBm": ("power over 1 mW", 1, {}),
    }
    units = {
        prefix + symbol: (dimension, Decimal(size) * Decimal(times))
        for symbol, (dimension, size, prefixes) in plain.items()
        for prefix, times in {"": 1, **prefixes}.items()
    }
    rates = {
        f"{symbol}/s": (dimension.replace("amount of ", "") + " rate", size)
        for symbol, (dimension, size) in units.items()
        if dimension.startswith("amount")
    }
    return units | rates


_UNITS = _units()
_ALSO = {"bps": "bit/s", "FLOPS": "FLOP/s", "FLOPs": "FLOP"}  # how else units end in common use


@dataclass(frozen=True, slots=True)
class Kind:
    """What a number measures: its unit (SI, where there is one) by name, an example, and whether 0 makes sense.

    *bare* says whether a number without a unit is clear.
    """

    noun: str
    unit: str
    example: str
    zero: bool = True
    bare: bool = True

    def parse(self, value: Any) -> float:
        """*value*, a number or a text with a unit, in SI and of the right sign; raises ValueError."""
        amount = self.convert(value)
        if amount < 0 or (amount == 0 and not self.zero):
            raise ValueError(f"must be {'>=' if self.zero else '>'} 0, got {value}")
        return amount

    def convert(self, value: Any) -> float:
        """*value* in SI, whatever its sign; raises ValueError that says what was expected, with an example."""
        if isinstance(value, bool) or not isinstance(value, (int, float, str) if self.bare else str):
            raise ValueError(f"{self._wanted()}, got {value!r}")
        try:
            amount = self._read(value) if isinstance(value, str) else float(value)
        except ArithmeticError:  # a number beyond all floats
            amount = math.inf
        if not math.isfinite(amount):
            raise ValueError(f"must be finite, got {str(value)[:40]}")
        return amount

    def _wanted(self) -> str:
        return f"expected {self.noun}, such as {self.example}"

    def _read(self, text: str) -> float:
        match = _NUMBER.fullmatch(text)
        if match is None:
            if text.strip().lower().lstrip("+-.") in ("nan", "inf", "infinity"):
                raise ValueError(f"must be finite, got {text}")
            raise ValueError(f"{self._wanted()}, got {text!r}")
        number, symbol = Decimal(match[1]), match[2]
        if not symbol and self.bare:
            return float(number)
        if not symbol:
            raise ValueError(f"{self._wanted()}, got {text!r}")
        found = _find(symbol)
        if found is None:
            raise ValueError(f"unknown unit {symbol!r} in {text!r}{_near_unit(symbol)}; {self._wanted()}")
        dimension, size = found
        wanted, base = _UNITS[self.unit]
        if dimension != wanted:
            raise ValueError(f"{text!r} is {_article(dimension)}; {self._wanted()}")
        return float(number * size / base)  # in decimals, so that "5 ms" is 0.005 to the last bit


def _find(symbol: str) -> tuple[str, Decimal] | None:
    for end, usual in _ALSO.items():
        if symbol.endswith(end):
            symbol = symbol.removesuffix(end) + usual
    return _UNITS.get(symbol.replace("μ", "µ"))


def _near_unit(symbol: str) -> str:
    near = [u for u in _UNITS if u.casefold() == symbol.casefold()] or difflib.get_close_matches(symbol, _UNITS, 1)
    return "; did you mean " + " or ".join(map(repr, near)) + "?" if near else ""


def _article(dimension: str) -> str:
    return f"{'an' if dimension[0] in 'aeiou' else 'a'} {dimension}"


SECONDS = Kind("seconds", "s", "5 ms")
BITS_PER_S = Kind("bits per second", "bit/s", "20 Mbit/s", zero=False)
BYTES_PER_S = Kind("bytes per second", "B/s", "17 GB/s", zero=False)
BYTES = Kind("bytes", "B", "1 kB or 8 GiB")
FLOPS = Kind("floating-point operations", "FLOP", "2 GFLOP")
FLOPS_PER_S = Kind("operations per second", "FLOP/s", "166 GFLOP/s", zero=False)
WATTS = Kind("watts", "W", "250 mW")
JOULES = Kind("joules", "J", "3.7 Wh")
HERTZ = Kind("hertz", "Hz", "2.4 GHz", zero=False)
METRES = Kind("metres", "m", "25 m")
DECIBELS = Kind("decibels", "dB", "7 dB")
DBM = Kind("a power in dBm", "dBm", "20 dBm", bare=False)  # a bare number would be watts

Seconds = Annotated[float, BeforeValidator(SECONDS.parse)]
BitsPerSecond = Annotated[float, BeforeValidator(BITS_PER_S.parse)]
BytesPerSecond = Annotated[float, BeforeValidator(BYTES_PER_S.parse)]
Bytes = Annotated[float, BeforeValidator(BYTES.parse)]
Flops = Annotated[float, BeforeValidator(FLOPS.parse)]
FlopsPerSecond = Annotated[float, BeforeValidator(FLOPS_PER_S.parse)]
Watts = Annotated[float, BeforeValidator(WATTS.parse)]
Joules = Annotated[float, BeforeValidator(JOULES.parse)]
Hertz = Annotated[float, BeforeValidator(HERTZ.parse)]
Metres = Annotated[float, BeforeValidator(METRES.parse)]
Decibels = Annotated[float, BeforeValidator(DECIBELS.convert)]
Dbm = Annotated[float, BeforeValidator(DBM.convert), PlainSerializer(lambda dbm: f"{dbm!r} dBm", return_type=str)]

_ENDINGS = {
    "bits_per_s": BITS_PER_S,
    "bytes_per_s": BYTES_PER_S,
    "flops_per_s": FLOPS_PER_S,
    "bytes": BYTES,
    "flops": FLOPS,
    "seconds": SECONDS,
    "watts": WATTS,
    "joules": JOULES,
    "hertz": HERTZ,
    "metres": METRES,
}


def kind_of(field: str) -> Kind | None:
    """What a field measures, told by the end of its name (``idle_watts``); None for a plain number."""
    return next((kind for ending, kind in _ENDINGS.items() if re.search(rf"(^|_){ending}$", field)), None)
