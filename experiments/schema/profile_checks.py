"""Checks of what a scenario names in its catalogue: profiles of devices and links, and what is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from experiments.schema.catalogue import device_profiles, link_profiles
from experiments.schema.links import BesideSpec, each
from experiments.schema.mistakes import Keys, nearest
from experiments.schema.places import DEVICE, LINK, AnyTopology, TopologyFile
from experiments.schema.plan_checks import unknown_tier
from experiments.schema.radio import RadioSpec
from experiments.schema.sections import Profiles

Problems = Iterator[tuple[Keys, str]]


def changed_profiles(profiles: Profiles) -> Problems:
    """Figures that no profile has, or that none can have."""
    found: list[tuple[Keys, str]] = []
    device_profiles(profiles, lambda keys, what: found.append((("profiles", "devices", *keys), what)))
    link_profiles(profiles, lambda keys, what: found.append((("profiles", "links", *keys), what)))
    yield from found
    both = {*device_profiles(profiles, _ignore)} & {*link_profiles(profiles, _ignore)}
    for kind, other in (("links", "device"), ("devices", "link")):
        for name in getattr(profiles, kind):
            if name in both and not (kind == "devices" and name in profiles.links):
                yield ("profiles", kind, name), f"a {other} profile is called so too; give one of them another name"


def links_beside(
    topology: AnyTopology, profiles: Profiles, d2d: BesideSpec | tuple[BesideSpec, ...] | None
) -> Problems:
    """Links beside the tree of a profile or at a tier that is not there."""
    known = {*link_profiles(profiles, _ignore), *profiles.links} if d2d else ()
    for keys, spec in each(d2d):
        if spec.link not in known:
            yield (*keys, "link"), f"unknown {LINK} {spec.link!r}{nearest(spec.link, known)}"
        for key in ("tier", "among"):
            if (tier := getattr(spec, key)) is not None:
                yield from unknown_tier(topology, tier, (*keys, key))


def profiles_of_file(topology: AnyTopology, profiles: Profiles) -> Problems:
    """Changed profiles that would change nothing, since a topology file brings its own."""
    for kind in ("devices", "links"):
        if isinstance(topology, TopologyFile) and getattr(profiles, kind):
            yield ("profiles", kind), "a topology file brings its own profiles; change them in the file"


def profile_names(topology: AnyTopology, profiles: Profiles) -> Problems:
    """Profiles that the topology names and nobody defines."""
    known = {
        DEVICE: {*device_profiles(profiles, _ignore), *profiles.devices},
        LINK: {*link_profiles(profiles, _ignore), *profiles.links},
    }
    for field, what in _profile_fields(type(topology)):
        named = getattr(topology, field)
        for name in named if isinstance(named, dict) else [named]:
            if name is not None and name not in known[what]:
                keys = ("topology", field, name) if isinstance(named, dict) else ("topology", field)
                yield keys, f"unknown {what} {name!r}{nearest(name, known[what])}"


def _ignore(keys: Keys, what: str) -> None:
    """Told elsewhere."""


def _profile_fields(kind: type[Any]) -> Iterator[tuple[str, str]]:
    for name, field in kind.model_fields.items():
        marks = [*field.metadata, *(m for part in get_args(field.annotation) for m in get_args(part)[1:])]
        yield from ((name, mark) for mark in (DEVICE, LINK) if mark in marks)


def radio_links(topology: AnyTopology, profiles: Profiles, radio: RadioSpec | None) -> Problems:
    """A radio that no link of the topology is, or whose devices are nowhere; a topology file may bring positions."""
    if radio is None or isinstance(topology, TopologyFile):
        return
    if radio.room is None:
        yield ("radio", "room"), "is missing: where the students sit, such as {width: 8 m, depth: 10 m}"
    known = link_profiles(profiles, _ignore)
    here = [getattr(topology, field) for field, what in _profile_fields(type(topology)) if what == LINK]
    for place, name in enumerate(radio.links):
        if name not in here:
            yield ("radio", "links", place), f"the topology has no link {name!r}; it has {', '.join(here)}"
        elif name in known and not (radio.carrier or known[name].carrier_hertz):
            yield ("radio", "carrier"), f"is missing, and link {name} has none"
    profiles_here = [known[name] for name in here if name in known]
    if not radio.links and not any(link.shared and link.carrier_hertz for link in profiles_here):
        yield ("radio",), f"none of {', '.join(here)} is shared and has a carrier; give the topology another link"
