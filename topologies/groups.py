"""Many like devices under one parent as one entry of arrays: nodes that nobody looks at one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from numbers import Integral
from typing import Any

import numpy as np

from .profiles import DeviceProfile, LinkProfile

Rates = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """*count* devices of one profile on one link, named `name0`, `name1`, ...

    Rates are an array with one per member, or None where all have the link's. An attribute that is a numpy array holds
    one value per member; any other belongs to all of them. Arrays cannot be written to. Raises ValueError, naming the
    group and the member, for a rate that is not positive and finite, or an array of another length.
    """

    name: str
    parent: str
    count: int
    tier: str
    profile: DeviceProfile
    link: LinkProfile
    up_bits_per_s: Rates | None = None
    down_bits_per_s: Rates | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or self.name[-1].isdigit():
            raise ValueError(f"{self.name}: a group's name must be a text that ends in no digit, as its members' do")
        if isinstance(self.count, bool) or not isinstance(self.count, Integral) or self.count < 1:
            raise ValueError(f"{self.name}: count must be a whole number >= 1, got {self.count!r}")
        for figure in ("up_bits_per_s", "down_bits_per_s"):
            if getattr(self, figure) is not None:
                object.__setattr__(self, figure, self._rates(figure))
        values = {key: self._held(key, value) for key, value in self.attributes.items()}
        object.__setattr__(self, "attributes", values)
        object.__setattr__(self, "count", int(self.count))

    def name_of(self, index: int) -> str:
        """What a member is called."""
        return f"{self.name}{index}"

    def index_of(self, node: str) -> int | None:
        """Which member *node* is, counted from 0; None if it is none of them."""
        digits = node[len(self.name) :] if node.startswith(self.name) else ""
        found = digits.isascii() and digits.isdigit() and str(int(digits)) == digits and int(digits) < self.count
        return int(digits) if found else None

    def link_of(self, index: int) -> LinkProfile:
        """The link of a member at its own rates; its name is the group's, so one cell stays one."""
        if self.up_bits_per_s is None and self.down_bits_per_s is None:
            return self.link
        up, down = self.up_bits_per_s, self.down_bits_per_s
        return replace(
            self.link,
            up_bits_per_s=self.link.up_bits_per_s if up is None else float(up[index]),
            down_bits_per_s=self.link.down_bits_per_s if down is None else float(down[index]),
        )

    def attributes_of(self, index: int) -> dict[str, Any]:
        """A member's own values, as plain Python ones."""
        given = self.attributes.items()
        return {k: v[index : index + 1].tolist()[0] if isinstance(v, np.ndarray) else v for k, v in given}

    def _rates(self, figure: str) -> Rates:
        try:
            rates = np.array(np.broadcast_to(np.asarray(getattr(self, figure), float), (self.count,)))
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{self.name}: {figure} must be a number or {self.count} of them") from None
        bad = np.flatnonzero(~((rates > 0) & np.isfinite(rates)))
        if bad.size:
            raise ValueError(f"{self.name}{bad[0]}: {figure} must be > 0 and finite, got {rates[bad[0]]}")
        rates.flags.writeable = False
        return rates

    def _held(self, key: str, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        if value.shape != (self.count,):
            raise ValueError(f"{self.name}: attribute {key!r} must hold {self.count} values, got {value.shape}")
        held = value.copy()
        held.flags.writeable = False
        return held


class Groups:
    """The groups of a hierarchy, by name, by parent, and where they stand among its nodes."""

    def __init__(self) -> None:
        self._named: dict[str, Group] = {}
        self._under: dict[str, list[Group]] = {}
        self._places: list[int] = []  # how many nodes there were before each
        self._elder: dict[str, int] = {}  # how many of these were children of the same parent

    def __contains__(self, name: object) -> bool:
        return name in self._named

    def add(self, group: Group, after: int, elder: int) -> None:
        """Put a group behind so many nodes, of which some are *elder* children of its parent."""
        self._named[group.name] = group
        self._under.setdefault(group.parent, []).append(group)
        self._places.append(after)
        self._elder[group.name] = elder

    def of(self, parent: str | None) -> tuple[Group, ...]:
        """Those under *parent*, or all, in the order they were added."""
        return tuple(self._named.values() if parent is None else self._under.get(parent, ()))

    def holding(self, node: str) -> Group | None:
        """The group that a node of this name would be a member of."""
        group = self._named.get(node.rstrip("0123456789"))
        return None if group is None or group.index_of(node) is None else group

    def beside(self, parent: str, children: Iterable[str]) -> Iterator[str | Group]:
        """The *children* of a parent and its groups in the order they were added."""
        return _woven(children, [(self._elder[group.name], group) for group in self._under.get(parent, ())])

    def among(self, nodes: Iterable[str]) -> Iterator[str | Group]:
        """*nodes* and groups in the order they were added."""
        return _woven(nodes, zip(self._places, self._named.values(), strict=True))


def _woven(nodes: Iterable[str], groups: Iterable[tuple[int, Group]]) -> Iterator[str | Group]:
    """*nodes* with every group behind so many of them."""
    rest, done = iter(nodes), 0
    for place, group in groups:
        yield from islice(rest, place - done)
        yield group
        done = place
    yield from rest


def word_of(profile: DeviceProfile) -> str:
    """What a student would call it: the chromebook of `chromebook_n100`, else device."""
    words = re.split(r"[\W\d_]+", profile.name.lower())
    return next((word for word in ("chromebook", "tablet", "phone", "laptop", "pi") if word in words), "device")
