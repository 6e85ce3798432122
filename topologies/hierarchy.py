"""Who reports to whom: the tree that updates climb, over the networkx graph that carries them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, TypeVar

import networkx as nx

from .groups import Group, Groups, word_of
from .profiles import DeviceProfile, LinkProfile
from .profiles import device as find_device
from .profiles import link as find_link
from .tiers import check_tier
from .twins import unfolded, with_profiles

if TYPE_CHECKING:
    from .radio.channel import Channel

P = TypeVar("P")
RESERVED = frozenset({"self", "root", "node", "parent", "tier", "profile", "link"})
"""Names that an attribute cannot have, because `add` means something else by them."""


class Hierarchy:
    """A tree of nodes in tiers, and the links beside it.

    Node names are opaque and unique. `graph` is for reading: nodes hold `tier`, `profile` and `attributes`, edges hold
    `link`, `medium` and `sideways`; it grows by `add` and `connect`, which keep the tree in step. Profiles are objects
    or names in the catalogue. A root without a profile costs nothing (gossip, or a server outside the study). A group's
    members are no nodes: `graph`, `nodes`, `children` and `len` know nothing of them until `unfolded` makes them nodes.
    Every mistake is a ValueError that names the node, and leaves the hierarchy as it was.
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
        self._groups = Groups()
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

    def add_group(
        self,
        parent: str,
        count: int,
        tier: str,
        profile: DeviceProfile | str,
        link: LinkProfile | str,
        name: str | None = None,
        *,
        up_bits_per_s: Any = None,
        down_bits_per_s: Any = None,
        **attributes: Any,
    ) -> None:
        """Put *count* like devices under *parent* as one entry; they are called *name*0, *name*1, ...

        Without a name they are called after their kind: `room0/tablet0`. Rates are one number or one per member;
        without them all have the link's. An attribute that is a numpy array holds one value per member.
        """
        device = _find(str(parent), find_device, profile)
        name = f"{parent}/{word_of(device)}" if name is None else name
        if parent not in self:
            raise ValueError(f"{name}: its parent {parent!r} is unknown")
        wire = _find(str(name), find_link, link)
        self._check(name, parent, tier, attributes)
        group = Group(name, parent, count, tier, device, wire, up_bits_per_s, down_bits_per_s, attributes)
        if name in self._groups or any(member in self._parents for member in self.members(group)):
            raise ValueError(f"{name}: there are members of this name; give the group another name")
        self._tiers.setdefault(tier, {})[self.tier(parent)] = None
        self._groups.add(group, after=len(self._parents), elder=len(self._children.get(parent, ())))

    def connect(self, a: str, b: str, link: LinkProfile | str, medium: str | None = None) -> None:
        """Join *a* and *b* beside the tree; up is from *a* to *b*.

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
        self.graph.add_edge(a, b, link=found, medium=medium, sideways=True, origin=a)
        self._sideways.append((a, b))
        self._peers.setdefault(a, []).append(b)
        self._peers.setdefault(b, []).append(a)

    def with_profiles(
        self, device: Callable[[DeviceProfile], DeviceProfile], link: Callable[[LinkProfile], LinkProfile]
    ) -> Hierarchy:
        """The same tree in which every profile is what *device* or *link* makes of it; cells keep their names."""
        return with_profiles(self, device, link)

    def groups(self, parent: str | None = None) -> tuple[Group, ...]:
        """All groups, or those of one *parent*, in the order they were added."""
        return self._groups.of(None if parent is None else self._known(parent))

    def group_of(self, node: str) -> Group | None:
        """The group that a *node* of this name would be a member of."""
        return self._groups.holding(node)

    @staticmethod
    def members(group: Group) -> Iterator[str]:
        """The names of a group's members, one by one."""
        return map(group.name_of, range(group.count))

    @property
    def population(self) -> int:
        """How many there are: all nodes, and all members of groups."""
        return len(self) + sum(group.count for group in self._groups.of(None))

    def entries(self) -> Iterator[str | Group]:
        """All nodes and groups, in the order they were added."""
        return self._groups.among(self._parents)

    def unfolded(self, groups: Iterable[Group | str] | None = None) -> Hierarchy:
        """The same tree in which the members of these groups (all of them if none are named) are nodes.

        They stand where they would stand had they been added one by one in place of the group.
        """
        return unfolded(self, groups)

    def parent(self, node: str) -> str | None:
        """The node that *node* reports to; None for the root."""
        return self._parents[self._known(node)]

    def children(self, node: str) -> tuple[str, ...]:
        """The nodes that report to *node*, in the order they were added."""
        return tuple(self._children.get(self._known(node), ()))

    def below(self, node: str) -> tuple[str | Group, ...]:
        """The nodes and groups that report to *node*, in the order they were added."""
        return tuple(self._groups.beside(self._known(node), self._children.get(node, ())))

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

    def channel(self, a: str, b: str) -> Channel | None:
        """The radio channel of the link between two neighbours, where rates come from positions; else None."""
        channel: Channel | None = self._edge(a, b).get("channel")
        return channel

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
        return tuple(n for n in self._parents if n not in self._children and not self._groups.of(n))

    @property
    def lowest(self) -> Iterator[str]:
        """The nodes without children and the members of groups, in the order they were added."""
        leaves = set(self.leaves)
        for entry in self.entries():
            if isinstance(entry, Group):
                yield from self.members(entry)
            elif entry in leaves:
                yield entry

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
        return f"<Hierarchy {self.root}: {self.population} nodes in {' > '.join(self.tiers)}>"

    def _insert(self, node: str, parent: str | None, tier: str, profile: DeviceProfile | None, attributes: Any) -> None:
        self._check(node, parent, tier, attributes)
        if parent is not None:
            self._tiers.setdefault(tier, {})[self.tier(parent)] = None
            self._children.setdefault(parent, []).append(node)
        self._tiers.setdefault(tier, {})
        self._parents[node] = parent
        self.graph.add_node(node, tier=tier, profile=profile, attributes=attributes)

    def _check(self, node: str, parent: str | None, tier: str, attributes: Any) -> None:
        """Refuse what cannot be put under *parent*."""
        if not isinstance(node, str) or not node:
            raise ValueError(f"a node's name must be a text, got {node!r}")
        if node in self or self.group_of(node):
            raise ValueError(f"{node}: there are two nodes of this name")
        if not isinstance(tier, str) or not tier:
            raise ValueError(f"{node}: tier must be a text, got {tier!r}")
        if clash := RESERVED & attributes.keys():
            raise ValueError(f"{node}: an attribute cannot be called {min(clash)!r}")
        if parent is not None:
            check_tier(self._tiers, node, tier, self.tier(parent))

    def _known(self, node: str) -> str:
        if node not in self:
            group = self.group_of(node) if isinstance(node, str) else None
            hint = f"; it is a member of the group {group.name!r}, which can be unfolded" if group else ""
            raise ValueError(f"there is no node {node!r}{hint}")
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
