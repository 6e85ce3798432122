"""The device and link profiles that a scenario works with: the package's, with its own added or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from experiments.schema.mistakes import Keys, nearest
from experiments.schema.quantities import kind_of

if TYPE_CHECKING:
    from experiments.schema.sections import Profiles
    from topologies.profiles import DeviceProfile, LinkProfile

P = TypeVar("P", "DeviceProfile", "LinkProfile")
Report = Callable[[Keys, str], None]
NO_FIGURES = ("based_on", "uncertainty")  # keys beside the figures


def device_profiles(changes: Profiles, report: Report | None = None) -> dict[str, DeviceProfile]:
    """Every device profile by name; mistakes go to *report*, or raise ValueError."""
    from topologies.profiles import DEVICE_RULES, DeviceProfile, devices

    return _changed(DeviceProfile, devices(), changes.devices, DEVICE_RULES, report or _refuse)


def link_profiles(changes: Profiles, report: Report | None = None) -> dict[str, LinkProfile]:
    """Every link profile by name; mistakes go to *report*, or raise ValueError."""
    from topologies.profiles import LINK_RULES, LinkProfile, links

    return _changed(LinkProfile, links(), changes.links, LINK_RULES, report or _refuse)


def uncertainties(changes: Profiles) -> dict[str, dict[str, float]]:
    """The relative uncertainty of every figure that has one, by profile and figure.

    A figure given in the scenario has none unless the scenario states it; one taken over keeps what it had.
    """
    from topologies.profiles import figures

    known: dict[str, dict[str, float]] = {}
    for row in figures():
        known.setdefault(row.profile, {})[row.figure] = row.uncertainty
    for name, given in (*changes.devices.items(), *changes.links.items()):
        base = known.get(given.get("based_on", name), {})
        kept = {figure: relative for figure, relative in base.items() if figure not in given}
        known[name] = kept | given.get("uncertainty", {})
    return {name: {f: relative for f, relative in row.items() if relative} for name, row in known.items()}


def _refuse(keys: Keys, what: str) -> None:
    raise ValueError(f"{'.'.join(map(str, keys))}: {what}")


def _changed(
    profile: type[P], known: Mapping[str, P], changes: Mapping[str, Mapping[str, Any]], rules: Any, report: Report
) -> dict[str, P]:
    """*known* with *changes*, in their order: a profile may be based on one above it."""
    out = dict(known)
    for name, given in changes.items():
        based_on = given.get("based_on", name if name in out else None)
        if based_on is not None and not (isinstance(based_on, str) and based_on in out):
            report((name, "based_on"), f"unknown profile {based_on!r}{nearest(str(based_on), out)}")
            continue
        problems = list(_figure_problems(name, profile, given, rules))
        for keys, what in problems:
            report(keys, what)
        if not problems:
            _make(out, name, profile, None if based_on is None else out[based_on], given, report)
    return out


def _figure_problems(name: str, profile: type[P], given: Mapping[str, Any], rules: Any) -> Iterator[tuple[Keys, str]]:
    known: list[str] = [f.name for f in fields(profile) if f.name != "name"]
    for figure, value in given.items():
        if figure not in (*known, *NO_FIGURES):
            yield (name, figure), "unknown figure" + nearest(figure, known)
        elif figure in rules:
            try:
                amount = _figure(figure, value)
            except ValueError as error:
                yield (name, figure), str(error)
                continue
            if not rules[figure].holds(amount):
                yield (name, figure), f"must be {rules[figure].words}, got {value}"
    yield from _uncertainty_problems((name, "uncertainty"), given.get("uncertainty", {}), rules)


def _uncertainty_problems(keys: Keys, given: Any, rules: Mapping[str, Any]) -> Iterator[tuple[Keys, str]]:
    if not isinstance(given, dict):
        yield keys, f"expected relative uncertainties, such as {{idle_watts: 0.1}}, got {given!r}"
        return
    for figure, relative in given.items():
        if figure not in rules:
            yield (*keys, figure), f"no figure that can be uncertain{nearest(str(figure), rules)}"
        elif isinstance(relative, bool) or not isinstance(relative, (int, float)) or not 0 <= relative <= 1:
            yield (*keys, figure), f"must be a number from 0 to 1 (0.1 is 10 %), got {relative!r}"


def _figure(figure: str, value: Any) -> Any:
    """The figure in SI where its name ends in a unit; else as it is given."""
    kind = kind_of(figure)
    if kind is not None:
        return kind.convert(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number, got {value!r}")
    return value


def _make(
    out: dict[str, P], name: str, profile: type[P], base: P | None, given: Mapping[str, Any], report: Report
) -> None:
    figures = {f: _figure(f, v) if kind_of(f) else v for f, v in given.items() if f not in NO_FIGURES}
    missing = [f.name for f in fields(profile) if f.default is MISSING and f.name != "name" and f.name not in figures]
    if base is None and missing:
        remedy = f"give based_on, or {', '.join(missing)}"
        report((name,), f"is a new profile; {remedy}{nearest(name, out)}")
        return
    try:
        out[name] = profile(name=name, **figures) if base is None else replace(base, name=name, **figures)
    except ValueError as error:
        what = str(error).removeprefix(f"{name}: ")
        figure = what.partition(" ")[0]
        if figure in given:
            report((name, figure), what.removeprefix(f"{figure} "))
        else:
            report((name,), what)
