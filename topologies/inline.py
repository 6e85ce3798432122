"""What a document says of profiles and attributes, to and from plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from .profiles import DeviceProfile, LinkProfile
from .profiles import device as find_device
from .profiles import link as find_link

P = TypeVar("P", DeviceProfile, LinkProfile)


@dataclass(frozen=True)
class Sort(Generic[P]):
    """One of the two sorts of profile: what documents call it, how it is made and found."""

    name: str
    make: type[P]
    find: Callable[[str | P], P]


DEVICES = Sort("devices", DeviceProfile, find_device)
LINKS = Sort("links", LinkProfile, find_link)


def profile(sort: Sort[P], where: str, given: Any, table: Mapping[str, P]) -> P:
    """The profile that *given* means: a name in *table* or in the catalogue, or an object."""
    try:
        if isinstance(given, str):
            return table[given] if given in table else sort.find(given)
        known: tuple[Field[Any], ...] = fields(sort.make)
        based = isinstance(given, dict) and "based_on" in given
        needed = [] if based else [field.name for field in known if field.default is MISSING]
        figures = dict(keys("profile", given, needed, ["based_on", *(field.name for field in known)]))
        if not based:
            return sort.make(**figures)
        return replace(profile(sort, "based_on", figures.pop("based_on"), table), **figures)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def table(sort: Sort[P], given: Any) -> dict[str, P]:
    """The document's own profiles by name; each may be based on those before it."""
    if not isinstance(given, dict):
        raise ValueError(f"graph: {sort.name} must be an object, got {given!r:.40}")
    found: dict[str, P] = {}
    for name, value in given.items():
        found[name] = profile(sort, f"graph.{sort.name}: {name!r}", value, found)
    return found


def key_of(profile: P, table: dict[str, P]) -> str:
    """The name of *profile* in *table*, where it is put if it is new: its own, or `name#2` if another has that."""
    key, number = profile.name, 1
    while table.setdefault(key, profile) != profile:
        number += 1
        key = f"{profile.name}#{number}"
    return key


def figures_of(table: Mapping[str, DeviceProfile] | Mapping[str, LinkProfile]) -> dict[str, dict[str, Any]]:
    """Every profile of *table* in plain JSON values."""
    return {key: json.loads(json.dumps(asdict(profile))) for key, profile in table.items()}


def plain(node: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of *node*, refused if JSON would not give them back as they are."""
    for name, value in attributes.items():
        try:
            same = json.loads(json.dumps(value, allow_nan=False)) == value
        except (TypeError, ValueError, RecursionError):
            same = False
        if not same:
            raise ValueError(f"node {node!r}: JSON cannot hold attribute {name!r}, {value!r:.40}")
    return dict(attributes)


def keys(where: str, given: Any, needed: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    """*given*, if it is an object that has all the *needed* keys and none but these and the *optional* ones."""
    if not isinstance(given, dict):
        raise ValueError(f"{where} must be an object, got {given!r:.40}")
    for key in given:
        if key not in (*needed, *optional):
            nearest = get_close_matches(str(key), [*needed, *optional], n=1)
            raise ValueError(f"{where}: unknown key {key!r}" + (f"; did you mean {nearest[0]!r}?" if nearest else ""))
    for key in needed:
        if key not in given:
            raise ValueError(f"{where}: key {key!r} is missing")
    return given


def entries_of(where: str, given: Any) -> list[Any]:
    """*given*, if it is a list."""
    if not isinstance(given, list):
        raise ValueError(f"{where} must be a list, got {given!r:.40}")
    return given
