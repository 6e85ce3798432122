"""Hierarchies that are another one but for something: its groups unfolded, or its profiles changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from .groups import Group, Rates
from .profiles import DeviceProfile, LinkProfile

if TYPE_CHECKING:
    from .hierarchy import Hierarchy


def unfolded(tree: Hierarchy, groups: Iterable[Group | str] | None) -> Hierarchy:
    """*tree* with the members of *groups* (None: of all) as nodes in their place."""
    known = [group.name for group in tree.groups()]
    names = known if groups is None else [g.name if isinstance(g, Group) else g for g in groups]
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"there is no group {unknown[0]!r}")
    return _rebuilt(tree, set(names), lambda profile: profile, lambda link: link)


def with_profiles(
    tree: Hierarchy, device: Callable[[DeviceProfile], DeviceProfile], link: Callable[[LinkProfile], LinkProfile]
) -> Hierarchy:
    """*tree* in which every profile is what *device* or *link* makes of it, each asked once for equal ones."""
    return _rebuilt(tree, set(), cache(device), cache(link))


def _rebuilt(
    tree: Hierarchy,
    unfold: set[str],
    device: Callable[[DeviceProfile], DeviceProfile],
    link: Callable[[LinkProfile], LinkProfile],
) -> Hierarchy:
    own = tree.profile(tree.root)
    twin = type(tree)(tree.root, tree.tier(tree.root), own and device(own), **tree.attributes(tree.root))
    for entry in islice(tree.entries(), 1, None):
        if isinstance(entry, Group):
            _regroup(twin, entry, entry.name in unfold, device, link)
            continue
        parent, profile = tree.parent(entry), tree.profile(entry)
        assert parent is not None
        assert profile is not None
        wire = link(tree.link(parent, entry))
        twin.add(entry, parent, tree.tier(entry), device(profile), wire, **tree.attributes(entry))
        twin.graph.edges[parent, entry].update(tree.graph.edges[parent, entry] | {"link": wire})
    for a, b in tree.sideways:
        wire = link(tree.link(a, b))
        twin.connect(a, b, wire, tree.medium(a, b))
        twin.graph.edges[a, b].update(tree.graph.edges[a, b] | {"link": wire})
    return twin


def _regroup(
    twin: Hierarchy,
    group: Group,
    unfold: bool,
    device: Callable[[DeviceProfile], DeviceProfile],
    link: Callable[[LinkProfile], LinkProfile],
) -> None:
    profile, wire = device(group.profile), link(group.link)
    if unfold:
        for i, node in enumerate(twin.members(group)):
            twin.add(node, group.parent, group.tier, profile, link(group.link_of(i)), **group.attributes_of(i))
    else:
        # A link that got faster by some factor is faster by it for every member.
        up = group.up_bits_per_s, wire.up_bits_per_s / group.link.up_bits_per_s
        down = group.down_bits_per_s, wire.down_bits_per_s / group.link.down_bits_per_s
        twin.add_group(
            group.parent, group.count, group.tier, profile, wire, group.name,
            up_bits_per_s=_scaled(*up), down_bits_per_s=_scaled(*down), **group.attributes,
        )  # fmt: skip


def _scaled(rates: Rates | None, factor: float) -> Rates | None:
    return None if rates is None else rates * factor
