"""Who reports to whom: the tree that updates climb, over the networkx graph that carries them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from graphlib import TopologicalSorter
from typing import Any, TypeVar

import networkx as nx

from .profiles import DeviceProfile, LinkProfile
from .profiles import device as find_device
from .profiles import link as find_link

P = TypeVar("P")
RESERVED = frozenset({"self", "root", "node", "parent", "tier", "profile", "link"})
"""Names that an attribute cannot have, because `add` means something else by them."""


class Hierarchy:
    """A tree of nodes in tiers, and the links beside it.

    Node names are opaque and unique. `graph` is for reading: nodes hold `tier`, `profile` and `attributes`, edges hold
    `link`, `medium` and `sideways`; it grows by `add` and `connect`, which keep the tree in step. Profiles are objects
    or names in the catalogue. A root without a profile costs nothing (gossip, or a server outside the study). Every
    mistake is a ValueError that names the node, and leaves the hierarchy as it was.
    """

    graph: nx.Graph
    root: str

    def __init__(self, root: str, tier: str, profile: DeviceProfile | str | None = None, **attributes: Any) -> None:
        self.graph = nx.Graph()
        self.root = root
        self._parents: dict[str, str | None] = {}
        self._children: dict[str, list[str]] = {}
        self._peers: dict[str, list[str]] = {}
        self._sideways: list[tuple[str, str]] = []
        self._tiers: dict[str, dict[str, None]] = {}  # each tier, and those seen directly above it, in order
        self._insert(root, None, tier, None if profile is None else _find(str(root), find_device, profile), attributes)

    def add(
        self,
        node: str,
        parent: str,
        tier: str,
        profile: DeviceProfile | str,
        link: LinkProfile | str,
        **attributes: Any,
    ) -> None:
        """Put *node* under *parent*; children of one parent on one shared link share one cell."""
        if parent not in self:
            raise ValueError(f"{node}: its parent {parent!r} is unknown")
        found_link = _find(str(node), find_link, link)
        self._insert(node, parent, tier, _find(str(node), find_device, profile), attributes)
        cell = f"{parent}|{found_link.name}" if found_link.shared else None
        self.graph.add_edge(parent, node, link=found_link, medium=cell, sideways=False)

    def connect(self, a: str, b: str, link: LinkProfile | str, medium: str | None = None) -> None:
        """Join *a* and *b* beside the tree.

        All links on one *medium* share its airtime; without one, a shared link has its own: `a|b|link`.
        """
        self._known(a)
        self._known(b)
        if a == b:
            raise ValueError(f"{a}: a link needs two ends")
        if self.graph.get_edge_data(a, b) is not None:
            raise ValueError(f"{a} and {b} are already linked")
        if medium is not None and (not isinstance(medium, str) or not medium):
            raise ValueError(f"{a} - {b}: medium must be a text, got {medium!r}")
        found = _find(f"{a} - {b}", find_link, link)
        if medium is None and found.shared:
            medium = f"{a}|{b}|{found.name}"
        self.graph.add_edge(a, b, link=found, medium=medium, sideways=True)
        self._sideways.append((a, b))
        self._peers.setdefault(a, []).append(b)
        self._peers.setdefault(b, []).append(a)

    def parent(self, node: str) -> str | None:
        """The node that *node* reports to; None for the root."""
        return self._parents[self._known(node)]

    def children(self, node: str) -> tuple[str, ...]:
        """The nodes that report to *node*, in the order they were added."""
        return tuple(self._children.get(self._known(node), ()))

    def peers(self, node: str) -> tuple[str, ...]:
        """The nodes that *node* is connected to beside the tree, in the order they were connected."""
        return tuple(self._peers.get(self._known(node), ()))

    def tier(self, node: str) -> str:
        """The tier that *node* belongs to."""
        tier: str = self.graph.nodes[self._known(node)]["tier"]
        return tier

    def profile(self, node: str) -> DeviceProfile | None:
        """What *node* can do; None for a root that costs nothing."""
        profile: DeviceProfile | None = self.graph.nodes[self._known(node)]["profile"]
        return profile

    def attributes(self, node: str) -> Mapping[str, Any]:
        """What else is known of *node*, such as its institution."""
        attributes: Mapping[str, Any] = self.graph.nodes[self._known(node)]["attributes"]
        return attributes

    def link(self, a: str, b: str) -> LinkProfile:
        """The link between two neighbours, named in either order."""
        link: LinkProfile = self._edge(a, b)["link"]
        return link

    def medium(self, a: str, b: str) -> str | None:
        """The medium whose airtime the link between two neighbours uses; None for one that shares nothing."""
        medium: str | None = self._edge(a, b)["medium"]
        return medium

    def cell(self, node: str) -> str | None:
        """The cell that the uplink of *node* shares with its siblings: `parent|link`; None if it shares nothing."""
        parent = self.parent(node)
        return None if parent is None else self.medium(node, parent)

    @property
    def tiers(self) -> tuple[str, ...]:
        """Every tier, above before below; otherwise in the order they were first used."""
        return tuple(TopologicalSorter(self._tiers).static_order())

    @property
    def sideways(self) -> tuple[tuple[str, str], ...]:
        """The pairs of nodes connected beside the tree, in the order they were connected."""
        return tuple(self._sideways)

    @property
    def leaves(self) -> tuple[str, ...]:
        """The nodes without children, in the order they were added."""
        return tuple(node for node in self._parents if node not in self._children)

    def nodes(self, tier: str | None = None) -> tuple[str, ...]:
        """All nodes, or those of one *tier*, in the order they were added: a parent comes before its children."""
        if tier is None:
            return tuple(self._parents)
        return tuple(node for node, values in self.graph.nodes.items() if values["tier"] == tier)

    def path_up(self, node: str, ancestor: str | None = None) -> list[str]:
        """The nodes that a report passes from *node* to *ancestor* (the root if not named), both included."""
        end = self.root if ancestor is None else self._known(ancestor)
        path = [self._known(node)]
        while path[-1] != end:
            above = self._parents[path[-1]]
            if above is None:
                raise ValueError(f"{end} is not above {node}")
            path.append(above)
        return path

    def depth(self, node: str) -> int:
        """How many links a report of *node* climbs to the root."""
        return len(self.path_up(node)) - 1

    def descendants(self, node: str) -> list[str]:
        """Every node below *node*, each followed by its own descendants."""
        found, waiting = [], list(reversed(self.children(node)))
        while waiting:
            found.append(waiting.pop())
            waiting.extend(reversed(self._children.get(found[-1], ())))
        return found

    def __len__(self) -> int:
        return len(self._parents)

    def __contains__(self, node: object) -> bool:
        return isinstance(node, str) and node in self._parents

    def __repr__(self) -> str:
        return f"<Hierarchy {self.root}: {len(self)} nodes in {' > '.join(self.tiers)}>"

    def _insert(self, node: str, parent: str | None, tier: str, profile: DeviceProfile | None, attributes: Any) -> None:
        if not isinstance(node, str) or not node:
            raise ValueError(f"a node's name must be a text, got {node!r}")
        if node in self:
            raise ValueError(f"{node}: there are two nodes of this name")
        if not isinstance(tier, str) or not tier:
            raise ValueError(f"{node}: tier must be a text, got {tier!r}")
        if clash := RESERVED & attributes.keys():
            raise ValueError(f"{node}: an attribute cannot be called {min(clash)!r}")
        if parent is not None:
            above = self.tier(parent)
            self._check_tier(node, tier, above)
            self._tiers.setdefault(tier, {})[above] = None
            self._children.setdefault(parent, []).append(node)
        self._tiers.setdefault(tier, {})
        self._parents[node] = parent
        self.graph.add_node(node, tier=tier, profile=profile, attributes=attributes)

    def _check_tier(self, node: str, tier: str, above: str) -> None:
        """Refuse a tier that would be its own ancestor, here or by way of another branch."""
        if tier == above:
            raise ValueError(f"{node}: tier {tier!r} cannot be below itself")
        if tier not in self._tiers or above in self._tiers[tier]:
            return
        higher = dict(self._tiers[above])
        waiting = list(higher)
        while waiting:
            found = [tier for tier in self._tiers[waiting.pop()] if tier not in higher]
            higher.update(dict.fromkeys(found))
            waiting.extend(found)
        if tier in higher:
            raise ValueError(f"{node}: tier {tier!r} cannot be below {above!r}, which is below {tier!r} elsewhere")

    def _known(self, node: str) -> str:
        if node not in self:
            raise ValueError(f"there is no node {node!r}")
        return node

    def _edge(self, a: str, b: str) -> Mapping[str, Any]:
        edge: Mapping[str, Any] | None = self.graph.get_edge_data(self._known(a), self._known(b))
        if edge is None:
            raise ValueError(f"there is no link between {a} and {b}")
        return edge


def _find(where: str, find: Callable[[str | P], P], profile: str | P) -> P:
    try:
        return find(profile)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
