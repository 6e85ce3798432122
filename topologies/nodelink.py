"""A hierarchy as a node-link document, the form that networkx and D3 read too, to and from plain values.

The tree's edges run from parent (`source`) to child (`target`); those with `"sideways": true` lie beside it. A profile
is the name of one in the document's own `graph.devices` or `graph.links`, a name in the catalogue, or an object with
all its figures, or with `based_on` and the figures that differ.

A node with a `count` is a group of so many leaves; `members` holds what differs among them, a list per name: the rates
`up_bits_per_s` and `down_bits_per_s`, and attributes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .groups import Group
from .hierarchy import RESERVED, Hierarchy
from .inline import DEVICES, LINKS, entries_of, figures_of, key_of, keys, plain, profile, table
from .profiles import DeviceProfile, LinkProfile

if TYPE_CHECKING:
    from .radio.channel import Channel


def as_dict(hierarchy: Hierarchy) -> dict[str, Any]:
    """The node-link form of *hierarchy*: plain dicts, lists, texts and numbers."""
    devices: dict[str, DeviceProfile] = {}
    links: dict[str, LinkProfile] = {}
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    for node in hierarchy.entries():
        if isinstance(node, Group):
            nodes.append(_group(node, devices))
            edges.append({"source": node.parent, "target": node.name, "link": key_of(node.link, links)})
            continue
        own, parent = hierarchy.profile(node), hierarchy.parent(node)
        key = None if own is None else key_of(own, devices)
        attributes = plain(node, hierarchy.attributes(node))
        nodes.append({"id": node, "tier": hierarchy.tier(node), "profile": key, "attributes": attributes})
        if parent is not None:
            _check_steady(node, hierarchy.channel(parent, node))
            edges.append({"source": parent, "target": node, "link": key_of(hierarchy.link(parent, node), links)})
    for a, b in hierarchy.sideways:
        _check_steady(f"{a} - {b}", hierarchy.channel(a, b))
        link, medium = key_of(hierarchy.link(a, b), links), hierarchy.medium(a, b)
        edges.append({"source": a, "target": b, "link": link, "sideways": True, "medium": medium})
    graph = {"root": hierarchy.root, "devices": figures_of(devices), "links": figures_of(links)}
    return {"directed": False, "multigraph": False, "graph": graph, "nodes": nodes, "edges": edges}


def from_dict(document: Any) -> Hierarchy:
    """The hierarchy that a node-link *document* describes; raises ValueError naming the node or edge at fault."""
    keys("file", document, ("nodes", "edges"), ("graph", "directed", "multigraph"))
    graph = keys("graph", document.get("graph", {}), (), ("root", "devices", "links"))
    devices, links = table(DEVICES, graph.get("devices", {})), table(LINKS, graph.get("links", {}))
    nodes = _nodes(document["nodes"])
    uplinks, sideways = _edges(document["edges"], nodes)
    root = _root(graph.get("root"), nodes, uplinks)
    if "count" in nodes[root]:
        raise ValueError(f"node {root!r}: a group cannot be the root")
    given = nodes[root].get("profile")
    own = None if given is None else profile(DEVICES, f"node {root!r}", given, devices)
    hierarchy = Hierarchy(root, nodes[root]["tier"], own, **nodes[root].get("attributes", {}))
    for node in _top_down(root, nodes, uplinks)[1:]:
        entry, edge = nodes[node], uplinks[node]
        device = profile(DEVICES, f"node {node!r}", entry.get("profile"), devices)
        link = profile(LINKS, f"edge to {node!r}", edge["link"], links)
        if edge["source"] in nodes and "count" in nodes[edge["source"]]:
            raise ValueError(f"edge to {node!r}: {edge['source']!r} is a group; its members are leaves")
        own = entry.get("attributes", {})
        if "count" in entry:
            own = own | _members(node, entry)
            hierarchy.add_group(edge["source"], entry["count"], entry["tier"], device, link, node, **own)
        else:
            hierarchy.add(node, edge["source"], entry["tier"], device, link, **own)
    for edge in sideways:
        link = profile(LINKS, f"edge {edge['source']!r} - {edge['target']!r}", edge["link"], links)
        hierarchy.connect(edge["source"], edge["target"], link, edge.get("medium"))
    return hierarchy


def _check_steady(node: str, channel: Channel | None) -> None:
    """Refuse fading that each transfer draws anew, which would be lost; other channels are in the rates of the link."""
    if channel is not None and channel.over == "outage" and channel.fades:
        raise ValueError(
            f"node {node!r}: the file cannot hold how its link fades; write the tree as it was before with_radio, "
            f"which gives the same channels again"
        )


def _group(group: Group, devices: dict[str, DeviceProfile]) -> dict[str, Any]:
    """A group's entry; its arrays are lists."""
    rates = {"up_bits_per_s": group.up_bits_per_s, "down_bits_per_s": group.down_bits_per_s}
    arrays = {key: value for key, value in {**rates, **group.attributes}.items() if isinstance(value, np.ndarray)}
    members = plain(group.name, {key: value.tolist() for key, value in arrays.items()})
    shared = plain(group.name, {key: value for key, value in group.attributes.items() if key not in arrays})
    entry = {"id": group.name, "count": group.count, "tier": group.tier, "profile": key_of(group.profile, devices)}
    return {**entry, "attributes": shared, **({"members": members} if members else {})}


def _members(group: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What differs among the members of a group, as arrays."""
    given = entry.get("members", {})
    if not isinstance(given, dict):
        raise ValueError(f"node {group!r}: members must be an object of lists")
    if clash := (RESERVED | {"name", "count"}) & (given.keys() | entry.get("attributes", {}).keys()):
        raise ValueError(f"node {group!r}: an attribute of a group cannot be called {min(clash)!r}")
    arrays = {}
    for name, values in given.items():
        kinds = set(map(type, entries_of(f"node {group!r}: members: {name}", values)))
        arrays[name] = np.array(values, None if len(kinds) == 1 and kinds <= {bool, int, float, str} else object)
    return arrays


def _nodes(entries: Any) -> dict[str, dict[str, Any]]:
    """Each node's entry by its name, checked."""
    nodes: dict[str, dict[str, Any]] = {}
    for index, entry in enumerate(entries_of("nodes", entries)):
        name = entry.get("id") if isinstance(entry, dict) else None
        where = f"node {name!r}" if isinstance(name, str) else f"nodes[{index}]"
        keys(where, entry, ("id", "tier"), ("profile", "attributes", "count", "members"))
        if not isinstance(name, str):
            raise ValueError(f"{where}: id must be a text, got {name!r}")
        if name in nodes:
            raise ValueError(f"{where}: there are two nodes of this name")
        attributes = entry.get("attributes", {})
        if "members" in entry and "count" not in entry:
            raise ValueError(f"{where}: members are of a group, which has a count")
        if not isinstance(attributes, dict) or RESERVED & attributes.keys():
            raise ValueError(f"{where}: attributes must be an object without {', '.join(sorted(RESERVED))}")
        nodes[name] = entry
    return nodes


def _edges(entries: Any, nodes: Collection[str]) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """The edge that leads down to each node, and the sideways ones."""
    uplinks: dict[str, dict[str, Any]] = {}
    sideways = []
    for index, entry in enumerate(entries_of("edges", entries)):
        where = f"edges[{index}]"
        keys(where, entry, ("source", "target", "link"), ("sideways", "medium"))
        for end in ("source", "target"):
            if not isinstance(entry[end], str) or entry[end] not in nodes:
                raise ValueError(f"{where}: {end} is an unknown node, {entry[end]!r}")
        child, beside = entry["target"], entry.get("sideways", False)
        if not isinstance(beside, bool):
            raise ValueError(f"{where}: sideways must be true or false, got {beside!r}")
        if beside:
            sideways.append(entry)
        elif "medium" in entry:
            raise ValueError(f"{where}: medium is for sideways edges; children on one shared link share a cell")
        elif child in uplinks:
            raise ValueError(f"node {child!r} has two parents: {uplinks[child]['source']!r} and {entry['source']!r}")
        else:
            uplinks[child] = entry
    return uplinks, sideways


def _root(stated: Any, nodes: Collection[str], uplinks: Mapping[str, Mapping[str, Any]]) -> str:
    """The one node without a parent; refuses two roots, and orphans, which have neither parent nor children."""
    if stated is not None and (not isinstance(stated, str) or stated not in nodes):
        raise ValueError(f"graph: root is an unknown node, {stated!r}")
    if stated is not None and stated in uplinks:
        raise ValueError(f"graph: root {stated!r} has a parent, {uplinks[stated]['source']!r}")
    parents = {edge["source"] for edge in uplinks.values()}
    tops = [node for node in nodes if node not in uplinks]
    roots = [node for node in tops if node in parents or node == stated] or tops[:1]
    if len(roots) > 1:
        raise ValueError(f"there are two roots: {roots[0]!r} and {roots[1]!r}")
    if orphans := [node for node in tops if node not in roots]:
        raise ValueError(f"node {orphans[0]!r} is an orphan: no edge leads to it")
    if not roots:
        raise ValueError("nodes: there are none" if not nodes else _cycle(next(iter(nodes)), uplinks))
    return roots[0]


def _top_down(root: str, nodes: Collection[str], uplinks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The nodes in the order of the file, save that a parent listed late is taken before its first child."""
    placed = {root: None}
    for node in nodes:
        chain: dict[str, None] = {}
        while node not in placed:
            if node in chain:
                raise ValueError(_cycle(node, uplinks))
            chain[node] = None
            node = uplinks[node]["source"]
        placed.update(dict.fromkeys(reversed(chain)))
    return list(placed)


def _cycle(node: str, uplinks: Mapping[str, Mapping[str, Any]]) -> str:
    path: dict[str, None] = {}
    while node not in path:
        path[node] = None
        node = uplinks[node]["source"]
    names = [*path][[*path].index(node) :]
    return "there is a cycle: " + " -> ".join(repr(name) for name in [*reversed(names), names[-1]])
