"""Schools as hierarchies: a classroom, a campus, a district, a star, and the schools of a roster.

Node names are paths such as `campus0/room1/tablet3`. Profiles are names in the catalogue or objects. A mix of devices,
`{"chromebook_n100": 0.6, "laptop_i5u": 0.4}`, is met exactly over the whole hierarchy (largest remainders, ties to the
first named), then dealt out in an order that depends on the seed alone. *grouped* devices are no nodes of their own:
each room holds one group of every profile in it, for trees of a million devices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import floor, fsum
from numbers import Integral, Real
from typing import Any
from zlib import crc32

import numpy as np

from .groups import word_of
from .hierarchy import Hierarchy
from .profiles import DeviceProfile, LinkProfile
from .profiles import device as find_device

Device = str | DeviceProfile
Link = str | LinkProfile
Mix = Device | Mapping[Device, float]


def classroom(
    devices: int = 8,
    device: Mix = "chromebook_n100",
    *,
    access: Link = "wifi6_40mhz_2x2",
    edge: Device = "classroom_edge_box",
    name: str = "room0",
    seed: int = 0,
    grouped: bool = False,
) -> Hierarchy:
    """One classroom: student devices around an edge node, which is the root."""
    room = Hierarchy(name, "classroom", edge)
    _add_devices(room, name, _deal(device, _count("devices", devices), seed), access, grouped)
    return room


def campus(
    classrooms: int = 4,
    devices: int = 10,
    device_mix: Mix = "chromebook_n100",
    *,
    access: Link = "wifi6_40mhz_2x2",
    campus_link: Link = "campus_10g",
    edge: Device = "classroom_edge_box",
    campus: Device = "campus_l4",
    name: str = "campus0",
    seed: int = 0,
    grouped: bool = False,
) -> Hierarchy:
    """One campus: classrooms of so many *devices* each, wired to the campus server, which is the root."""
    school = Hierarchy(name, "campus", campus, institution=name)
    dealt = _deal(device_mix, _count("classrooms", classrooms) * _count("devices", devices), seed)
    _add_rooms(school, name, classrooms, devices, dealt, access, campus_link, edge, grouped)
    return school


def district(
    campuses: int = 3,
    classrooms: int = 4,
    devices: int = 10,
    device_mix: Mix = "chromebook_n100",
    *,
    access: Link = "wifi6_40mhz_2x2",
    campus_link: Link = "campus_10g",
    cloud_link: Link = "wan_cloud_near",
    edge: Device = "classroom_edge_box",
    campus: Device = "campus_l4",
    cloud: Device | None = "cloud_h100",
    seed: int = 0,
    grouped: bool = False,
) -> Hierarchy:
    """A district: campuses of so many *classrooms* of so many *devices*, under one cloud."""
    tree = Hierarchy("cloud", "cloud", cloud)
    total = _count("campuses", campuses) * _count("classrooms", classrooms) * _count("devices", devices)
    dealt = _deal(device_mix, total, seed)
    for index in range(campuses):
        name = f"campus{index}"
        tree.add(name, "cloud", "campus", campus, cloud_link, institution=name)
        _add_rooms(tree, name, classrooms, devices, dealt, access, campus_link, edge, grouped)
    return tree


def star(
    clients: int | Sequence[str] = 10,
    device: Mix = "chromebook_n100",
    link: Link = "home_broadband",
    *,
    cloud: Device | None = "cloud_h100",
    tier: str = "device",
    seed: int = 0,
    grouped: bool = False,
) -> Hierarchy:
    """Every client straight under the cloud; *clients* is how many, or their names, which are for nodes alone."""
    tree = Hierarchy("cloud", "cloud", cloud)
    names = list(clients) if isinstance(clients, Sequence) and not isinstance(clients, str) else None
    dealt = _deal(device, _count("clients", clients if names is None else len(names)), seed)
    if grouped:
        if names is not None:
            raise ValueError("star: clients with names of their own cannot be grouped; give their number")
        _add_groups(tree, "cloud", "", tier, dealt, link)
        return tree
    for index, profile in enumerate(dealt):
        name = f"{word_of(profile)}{index}" if names is None else names[index]
        tree.add(name, "cloud", tier, profile, link)
    return tree


def schools_from_rosters(
    table: Any,
    *,
    student: str = "student",
    classroom: str = "class",
    school: str = "school",
    device: Mix | None = None,
    access: Link = "wifi6_40mhz_2x2",
    campus_link: Link = "campus_10g",
    cloud_link: Link = "wan_cloud_near",
    edge: Device = "classroom_edge_box",
    campus: Device = "campus_l4",
    cloud: Device | None = "cloud_h100",
    seed: int = 0,
) -> Hierarchy:
    """The schools of a roster: *table* has a column each for school, class and student, one row per student.

    Names are `school`, `school/class` and `school/class/student`, in the order of the table; rows that repeat are one.
    Without a *device* the class's edge node is the leaf and the students' column is not read. Raises ValueError, naming
    the row (the first is 1), where a value is missing or a student is in two classes. Two schools may each have a class
    of one name.
    """
    columns = [school, classroom] if device is None else [school, classroom, student]
    places = _places(table, columns)
    tree = Hierarchy("cloud", "cloud", cloud)
    dealt = None if device is None else _deal(device, len(places[-1]), seed)
    for name in places[0]:
        tree.add(name, "cloud", "campus", campus, cloud_link, institution=name)
    for room, (home,) in places[1].items():
        tree.add(room, home, "classroom", edge, campus_link, institution=home)
    if dealt is not None:
        for (name, above), profile in zip(places[2].items(), dealt, strict=True):
            room = "/".join(above)
            tree.add(f"{room}/{name}", room, "device", profile, access, institution=above[0])
    return tree


def _places(table: Any, columns: Sequence[str]) -> list[dict[str, tuple[str, ...]]]:
    """Schools, classes by their path, and students, each with where they are: {student: (school, class)}."""
    values = [_column(table, column) for column in columns]
    if len({len(column) for column in values}) > 1:
        raise ValueError(f"roster: the columns {', '.join(columns)} differ in length")
    places: list[dict[str, tuple[str, ...]]] = [{} for _ in columns]
    for number, row in enumerate(zip(*values, strict=True), start=1):
        names = tuple(_name(value, column, number) for value, column in zip(row, columns, strict=True))
        for level, name in enumerate(names):
            first = places[level].setdefault("/".join(names[:2]) if level == 1 else name, names[:level])
            if first != names[:level]:
                here, there = "/".join(names[:level]), "/".join(first)
                raise ValueError(f"roster, row {number}: {columns[level]} {name!r} is in {here!r}, before in {there!r}")
    if not places[0]:
        raise ValueError("roster: there are no rows")
    return places


def _column(table: Any, column: str) -> list[Any]:
    try:
        return list(table[column])
    except (KeyError, IndexError, TypeError, ValueError):
        raise ValueError(f"roster: there is no column {column!r}") from None


def _name(value: Any, column: str, row: int) -> str:
    name = str(value)
    # None, NaN, NaT and pandas' NA, without asking for pandas
    missing = not isinstance(value, str) and name in {"None", "nan", "NaT", "<NA>"}
    if missing or not name.strip():
        raise ValueError(f"roster, row {row}: {column} is empty")
    return name


def _add_rooms(
    tree: Hierarchy,
    school: str,
    rooms: int,
    devices: int,
    dealt: Iterator[DeviceProfile],
    access: Link,
    wire: Link,
    edge: Device,
    grouped: bool,
) -> None:
    for index in range(rooms):
        room = f"{school}/room{index}"
        tree.add(room, school, "classroom", edge, wire, institution=school)
        _add_devices(tree, room, islice(dealt, devices), access, grouped, institution=school)


def _add_devices(
    tree: Hierarchy, room: str, dealt: Iterator[DeviceProfile], access: Link, grouped: bool, **attributes: Any
) -> None:
    if grouped:
        _add_groups(tree, room, f"{room}/", "device", dealt, access, **attributes)
        return
    for index, profile in enumerate(dealt):
        tree.add(f"{room}/{word_of(profile)}{index}", room, "device", profile, access, **attributes)


def _add_groups(
    tree: Hierarchy, parent: str, path: str, tier: str, dealt: Iterator[DeviceProfile], link: Link, **attributes: Any
) -> None:
    """One group of every profile; where all are of one, its members are called as nodes would be."""
    for profile, count in Counter(dealt).items():
        taken = [group.name for group in tree.groups(parent)]
        name = f"{path}{word_of(profile)}"
        name = f"{path}{profile.name}-" if name in taken else name  # two sorts of chromebook
        tree.add_group(parent, count, tier, profile, link, name, **attributes)


def _deal(mix: Mix, count: int, seed: int) -> Iterator[DeviceProfile]:
    """The profiles of *count* devices in the proportions of *mix*, shuffled by *seed*."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed must be a whole number >= 0, got {seed!r}")
    if not isinstance(mix, Mapping):
        return iter([find_device(mix)] * count)
    profiles = [find_device(name) for name in mix]
    numbers = _apportion({profile.name: share for profile, share in zip(profiles, mix.values(), strict=True)}, count)
    ranks = np.repeat(np.arange(len(numbers)), numbers)
    random = np.random.default_rng(np.random.SeedSequence([seed, crc32(b"device_mix")]))
    return iter([profiles[rank] for rank in random.permutation(ranks)])


def _apportion(shares: Mapping[str, float], count: int) -> list[int]:
    """How many of *count* each share gets: the whole part of its quota, then one each by the largest remainders."""
    for name, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, Real) or not share > 0:
            raise ValueError(f"device mix: {name} must be > 0, got {share!r}")
    total = fsum(shares.values())
    if not abs(total - 1) <= 1e-9:
        raise ValueError(f"device mix: shares must sum to 1, got {total:g}")
    # Shares are decimal in the user's eyes: 0.29 of 100 is 29, not 28 and a remainder of 0.99...
    quotas = [round(share * count, 9) for share in shares.values()]
    numbers = [floor(quota) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda index: numbers[index] - quotas[index])
    for index in by_remainder[: count - sum(numbers)]:
        numbers[index] += 1
    return numbers


def _count(what: str, number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 1:
        raise ValueError(f"{what} must be a whole number >= 1, got {number!r}")
    return int(number)
