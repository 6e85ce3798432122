"""Who can hear whom beside the tree: clusters of siblings, their device-to-device graph, and who to connect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from math import dist

import networkx as nx

from .hierarchy import Hierarchy
from .profiles import LinkProfile
from .streams import stream

Pairs = tuple[tuple[str, str], ...]
TRIES = 100  # of drawing a connected graph


def upward(tree: Hierarchy, sender: str, receiver: str) -> bool:
    """Whether a link is used in its direction up: towards the parent; between peers as they were connected."""
    origin = tree.graph.edges[sender, receiver].get("origin")
    return tree.parent(sender) == receiver if origin is None else bool(origin == sender)


def clusters(tree: Hierarchy, children: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Siblings by their attribute `cluster`, in child order; those without one are a cluster of their own."""
    found: dict[str | None, list[str]] = {}
    for child in children:
        name = tree.attributes(child).get("cluster")
        found.setdefault(None if name is None else str(name), []).append(child)
    return tuple(map(tuple, found.values()))


def neighbours(tree: Hierarchy, members: Sequence[str]) -> nx.DiGraph:
    """Who of these can send to whom: nodes in the order given, edges both ways with `link` and `bits_per_s`."""
    graph = nx.DiGraph()
    graph.add_nodes_from(members)
    for a in members:
        for b in tree.peers(a):
            if b in graph:
                link = tree.link(a, b)
                rate = link.up_bits_per_s if upward(tree, a, b) else link.down_bits_per_s
                graph.add_edge(a, b, link=link, bits_per_s=rate)
    return graph


def check_connected(tree: Hierarchy, members: Sequence[str]) -> None:
    """Refuse siblings who cannot all reach each other over their sideways links."""
    graph = neighbours(tree, members)
    if len(members) < 2 or nx.is_strongly_connected(graph):  # type: ignore[no-untyped-call]
        return
    if not graph.number_of_edges():
        raise ValueError(f"{members[0]} and its siblings have no sideways links; make some (d2d)")
    parts = [set(part) for part in nx.strongly_connected_components(graph)]
    far = next(m for m in members if not any({m, members[0]} <= part for part in parts))
    raise ValueError(
        f"{members[0]} cannot reach {far} over the sideways links of their cluster; connect them (d2d: among links "
        "nodes of different parents), or put them into different clusters"
    )


def join(tree: Hierarchy, pairs: Pairs, link: LinkProfile | str, medium: str | None = None) -> None:
    """Connect pairs beside the tree by one kind of *link*; who is connected already stays so."""
    for a, b in pairs:
        if b not in tree.peers(a):
            tree.connect(a, b, link, medium)


def everyone(members: Sequence[str]) -> Pairs:
    """Each with each."""
    return tuple(combinations(members, 2))


def ring(members: Sequence[str]) -> Pairs:
    """Each with the next, the last with the first."""
    last = ((members[0], members[-1]),) if len(members) > 2 else ()
    return (*pairwise(members), *last)


def metres(tree: Hierarchy) -> Callable[[str, str], float]:
    """The distance between two nodes, from their `x_metres` and `y_metres`; ValueError for who has none."""

    def place(node: str) -> tuple[float, float]:
        try:
            return float(tree.attributes(node)["x_metres"]), float(tree.attributes(node)["y_metres"])
        except KeyError:
            raise ValueError(
                f"{node}: nobody knows where it is; give it x_metres and y_metres, or the scenario a radio with a room"
            ) from None

    return lambda a, b: dist(place(a), place(b))


def within(tree: Hierarchy, members: Sequence[str], range_metres: float) -> Pairs:
    """Those at most so far from each other."""
    length = metres(tree)
    return tuple((a, b) for a, b in combinations(members, 2) if length(a, b) <= range_metres)


def spanning(members: Sequence[str], length: Callable[[str, str], float]) -> Pairs:
    """A minimum spanning tree: the fewest links that connect all, the sum of their *length* as small as possible.

    Length may be metres, or the seconds of a link. Of equals, those named first.
    """
    graph = nx.Graph()
    graph.add_nodes_from(members)
    graph.add_weighted_edges_from((a, b, length(a, b)) for a, b in combinations(members, 2))
    kept = {frozenset(edge) for edge in nx.minimum_spanning_edges(graph, data=False)}
    return tuple(pair for pair in combinations(members, 2) if frozenset(pair) in kept)


def at_random(
    members: Sequence[str], seed: int, *, degree: int | None = None, probability: float | None = None
) -> Pairs:
    """A connected graph drawn at random: each has *degree* neighbours, or each pair a link with a *probability*.

    It is drawn anew until it is connected. Raises ValueError if that does not come about, or for impossible figures.
    """
    n, name = len(members), members[0]
    if (degree is None) == (probability is None):
        raise ValueError("random links: give either degree or probability")
    if degree is not None and not (0 < degree < n and degree * n % 2 == 0):
        raise ValueError(f"random links: {n} nodes cannot have {degree} neighbours each; degree x nodes must be even")
    if probability is not None and not 0 < probability <= 1:
        raise ValueError(f"random links: probability must be > 0 and <= 1, got {probability}")
    for attempt in range(TRIES):
        draw = int(stream(seed, "sideways", name, attempt).integers(2**31))
        graph = (
            nx.gnp_random_graph(n, probability, draw) if degree is None else nx.random_regular_graph(degree, n, draw)
        )
        if nx.is_connected(graph):  # type: ignore[no-untyped-call]
            return tuple((members[a], members[b]) for a, b in sorted(map(sorted, graph.edges)))
    raise ValueError(f"random links: no connected graph of {n} nodes in {TRIES} draws; raise degree or probability")
