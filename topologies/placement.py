"""Who sits where, and what the radio makes of it: a tree whose links have rates by distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from math import hypot, inf, isfinite
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from .groups import Group
from .hierarchy import Hierarchy
from .profiles import DeviceProfile, LinkProfile, as_float
from .radio.budget import Radio
from .radio.channel import Channel
from .radio.decibels import decibels
from .radio.rooms import Point
from .sideways import Pairs, metres


class Unheard(NamedTuple):
    """A node that was left out of a tree, whose range it is out of, and how far."""

    node: str
    access_point: str
    detail: str


class Seated(NamedTuple):
    """A node in its place, with its link at the rates of its channel."""

    node: str
    parent: str
    place: Point
    link: LinkProfile
    channel: Channel


def with_radio(hierarchy: Hierarchy, radio: Radio, seed: int) -> tuple[Hierarchy, tuple[Unheard, ...]]:
    """The same tree with positions, and with the rates that the radio gives to its links; and who was left out of it.

    A node that has `x_metres` and `y_metres` already stays there, with the access point where its parent is; all others
    sit in the room. Links of one cell keep their name, so they still share it. A node that is out of range of its
    access point is refused with a ValueError or, as the radio says, left out with all below it. A group stays one,
    unless a member is left out or fading is drawn for every transfer.
    """
    if radio.over == "outage" and radio.k != inf:
        hierarchy = hierarchy.unfolded([group for group in hierarchy.groups() if radio.carries(group.link)])
    root = hierarchy.root
    tree = Hierarchy(root, hierarchy.tier(root), hierarchy.profile(root), **hierarchy.attributes(root))
    unheard: list[Unheard] = []
    for entry in hierarchy.entries():
        parent = entry.parent if isinstance(entry, Group) else hierarchy.parent(entry)
        if parent is None or parent not in tree:
            continue
        if isinstance(entry, Group):
            unheard += _add_group(hierarchy, tree, radio, entry, seed)
        else:
            unheard += _add_node(hierarchy, tree, radio, entry, parent, seed)
    _check(hierarchy, tree, radio, unheard)
    for a, b in hierarchy.sideways:
        if a in tree and b in tree:
            tree.connect(a, b, hierarchy.link(a, b), hierarchy.medium(a, b))
    return tree, tuple(unheard)


def join_by_radio(tree: Hierarchy, pairs: Pairs, link: LinkProfile, radio: Radio, seed: int) -> None:
    """Connect pairs beside the tree at the rates of a radio by their distance; both ends send with the device's power.

    Each pair has losses and fading of its own, the same in both directions. Who is connected already stays so. A pair
    out of range is refused with a ValueError, or left unconnected, as the radio says.
    """
    length, radio = metres(tree), replace(radio, access_point_dbm=radio.device_dbm)
    for a, b in pairs:
        if b in tree.peers(a):
            continue
        channel = radio.channel(f"{a}|{b}", link, length(a, b), seed)
        if not channel.in_range and radio.out_of_range == "refuse":
            raise ValueError(
                f"{a} - {b}: {channel.metres:.1f} m are out of range, mean SNR {channel.up_snr_db:.1f} dB; connect "
                "nearer neighbours, send with more power, or leave such links out (out_of_range: exclude)"
            )
        if channel.in_range:
            rate = channel.edge_bits_per_s("up")
            tree.connect(a, b, replace(link, up_bits_per_s=rate, down_bits_per_s=rate))
            tree.graph.edges[a, b]["channel"] = channel


def _add_node(hierarchy: Hierarchy, tree: Hierarchy, radio: Radio, node: str, parent: str, seed: int) -> list[Unheard]:
    link, attributes = hierarchy.link(parent, node), hierarchy.attributes(node)
    tier, profile = hierarchy.tier(node), hierarchy.graph.nodes[node]["profile"]
    if not radio.carries(link):
        tree.add(node, parent, tier, profile, link, **attributes)
        return []
    return _add_seated(tree, _seated(hierarchy, radio, node, attributes, parent, link, seed), tier, profile, attributes)


def _add_group(hierarchy: Hierarchy, tree: Hierarchy, radio: Radio, group: Group, seed: int) -> list[Unheard]:
    g, attributes = group, dict(group.attributes)
    up, down, link = g.up_bits_per_s, g.down_bits_per_s, g.link
    if radio.carries(link):
        seats = [
            _seated(hierarchy, radio, g.name_of(index), g.attributes_of(index), g.parent, g.link, seed)
            for index in range(g.count)
        ]
        if not all(seat.channel.in_range for seat in seats):
            each = [(seat, g.attributes_of(index)) for index, seat in enumerate(seats)]
            return [why for seat, own in each for why in _add_seated(tree, seat, g.tier, g.profile, own)]
        up, down = np.array([(seat.link.up_bits_per_s, seat.link.down_bits_per_s) for seat in seats]).T
        attributes |= _where(np.array([seat.place for seat in seats]).T)
        link = seats[0].link  # so that nobody takes the catalogue's rates for those of the group
    rates = {"up_bits_per_s": up, "down_bits_per_s": down}
    tree.add_group(g.parent, g.count, g.tier, g.profile, link, g.name, **rates, **attributes)
    return []


def _add_seated(
    tree: Hierarchy, seat: Seated, tier: str, profile: DeviceProfile, attributes: Mapping[str, Any]
) -> list[Unheard]:
    if not seat.channel.in_range:
        return [Unheard(seat.node, seat.parent, _shortfall(seat))]
    tree.add(seat.node, seat.parent, tier, profile, seat.link, **{**attributes, **_where(seat.place)})
    tree.graph.edges[seat.parent, seat.node]["channel"] = seat.channel
    return []


def _where(place: Any) -> dict[str, Any]:
    return {"x_metres": place[0], "y_metres": place[1]}


def _seated(
    hierarchy: Hierarchy,
    radio: Radio,
    node: str,
    attributes: Mapping[str, Any],
    parent: str,
    link: LinkProfile,
    seed: int,
) -> Seated:
    """Where *node* is, and what its link knows at that distance from its access point."""
    seat, access_point = _point(attributes, node), None
    if seat is not None:
        access_point = _point(hierarchy.attributes(parent), parent)
    if radio.room is not None:
        seat, access_point = seat or radio.room.seat(seed, node), access_point or radio.room.centre
    if seat is None or access_point is None:
        where = parent if seat else node
        raise ValueError(f"{where}: nobody knows where it is; give the radio a room, or the node x_metres and y_metres")
    metres = hypot(seat[0] - access_point[0], seat[1] - access_point[1])
    channel = radio.channel(node, link, metres, seed)
    if channel.in_range:
        up, down = channel.edge_bits_per_s("up"), channel.edge_bits_per_s("down")
        link = replace(link, up_bits_per_s=up, down_bits_per_s=down)
    return Seated(node, parent, seat, link, channel)


def _point(attributes: Mapping[str, Any], node: str) -> Point | None:
    """The position of *node*, if it has one."""
    given = [attributes.get(name) for name in ("x_metres", "y_metres")]
    if given == [None, None]:
        return None
    for name, value in zip(("x_metres", "y_metres"), given, strict=True):
        if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(as_float(value)):
            raise ValueError(f"{node}: {name} must be a finite number, got {value!r}")
    x, y = map(float, given)  # type: ignore[arg-type]
    return x, y


def _shortfall(seat: Seated) -> str:
    channel = seat.channel
    needed = decibels(channel.rates.lowest_snr)
    snrs = f"mean SNR {channel.up_snr_db:.1f} dB up and {channel.down_snr_db:.1f} dB down, {needed:.1f} dB needed"
    sight = "" if channel.sight else " without line of sight"
    return f"{channel.metres:.1f} m from {seat.parent}{sight}: {snrs}"


def _check(hierarchy: Hierarchy, tree: Hierarchy, radio: Radio, unheard: list[Unheard]) -> None:
    """Refuse a radio that has nothing to do, nodes out of range where they may not be, and a cell without a station."""
    links = [link for _, _, link in hierarchy.graph.edges.data("link")] + [g.link for g in hierarchy.groups()]
    unknown = next((name for name in radio.links if name not in {link.name for link in links}), None)
    if unknown is not None:
        known = ", ".join(sorted({link.name for link in links}))
        raise ValueError(f"radio: no link of the tree is called {unknown!r}; it has {known}")
    if not any(map(radio.carries, links)):
        raise ValueError("radio: no link of the tree is shared and has a carrier; name those it is, or leave it out")
    if unheard and radio.out_of_range == "refuse":
        node, _, detail = unheard[0]
        others = {1: "", 2: ", as is another"}.get(len(unheard), f", as are {len(unheard) - 1} others")
        remedy = "move it nearer, send with more power, or leave it out (out_of_range: exclude)"
        raise ValueError(f"{node}: is out of range{others}, {detail}; {remedy}")
    for node in dict.fromkeys(why.access_point for why in unheard):
        if node in tree and not (tree.children(node) or tree.groups(node)):
            raise ValueError(f"{node}: everybody is out of its range; make the room smaller, or send with more power")


def within_range(hierarchy: Hierarchy, tier: str, metres: float) -> tuple[tuple[str, str], ...]:
    """The pairs of siblings of a tier that are at most so far from each other: who can hear whom in a room."""
    pairs = []
    for parent in hierarchy.nodes():
        here = [node for node in hierarchy.children(parent) if hierarchy.tier(node) == tier]
        places = {node: place for node in here if (place := _point(hierarchy.attributes(node), node))}
        for (a, (x, y)), (b, (u, v)) in combinations(places.items(), 2):
            if hypot(x - u, y - v) <= metres:
                pairs.append((a, b))
    return tuple(pairs)
