"""Ways through a device-to-device graph: latency-shortest paths to a head and from it, and which head to take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np

from .hierarchy import Hierarchy
from .profiles import LinkProfile


def timed(graph: nx.DiGraph, wire: Callable[[LinkProfile], float]) -> nx.DiGraph:
    """The same graph with the `seconds` of one message on each edge: latency, and *wire* bytes at the edge's rate."""
    out: nx.DiGraph = graph.copy()
    for _, _, edge in out.edges(data=True):
        edge["seconds"] = edge["link"].latency_seconds + 8 * wire(edge["link"]) / edge["bits_per_s"]
    return out


def paths_from(graph: nx.DiGraph, head: str) -> Mapping[str, list[str]]:
    """The quickest path from *head* to each node that it can reach, itself included (Dijkstra on `seconds`)."""
    return dict(nx.single_source_dijkstra_path(graph, head, weight="seconds"))


def paths_to(graph: nx.DiGraph, head: str) -> Mapping[str, list[str]]:
    """The quickest path to *head* from each node that can reach it, itself included; they never part once they met."""
    return {node: path[::-1] for node, path in paths_from(graph.reverse(copy=False), head).items()}


def tree_of(paths: Mapping[str, Sequence[str]]) -> Mapping[str, list[str]]:
    """The tree that paths to or from one head make: of each node, those that are one step further from the head."""
    out: dict[str, list[str]] = {node: [] for node in paths}
    for node, path in paths.items():
        if len(path) > 1:
            out[path[1] if path[0] == node else path[-2]].append(node)
    return out


def gather_seconds(graph: nx.DiGraph, head: str) -> float:
    """When the last message of all would be at *head*, had nobody to wait for a link; inf if some cannot reach it."""
    found = nx.single_source_dijkstra_path_length(graph.reverse(copy=False), head, weight="seconds")
    return float(max(found.values())) if len(found) == len(graph) else float("inf")


Head = Callable[[nx.DiGraph, np.random.Generator], str | None]
"""Of a timed graph, the node that gathers the others; None: the one that was to do it is not there."""


def first(graph: nx.DiGraph, random: np.random.Generator) -> str:
    """The first in child order."""
    nodes: list[str] = list(graph)
    return nodes[0]


def drawn(graph: nx.DiGraph, random: np.random.Generator) -> str:
    """Any of them, equally likely, drawn anew each turn."""
    nodes: list[str] = list(graph)
    return nodes[int(random.integers(len(nodes)))]


def best(graph: nx.DiGraph, random: np.random.Generator) -> str:
    """The one that gathers in the shortest time; of equals, the first."""
    nodes: list[str] = list(graph)
    return min(nodes, key=lambda node: gather_seconds(graph, node))


@dataclass(frozen=True, slots=True)
class Given:
    """One of *names* in each cluster."""

    names: tuple[str, ...]

    def __call__(self, graph: nx.DiGraph, random: np.random.Generator) -> str | None:
        """The one of this cluster."""
        return next((node for node in graph if node in self.names), None)

    def check(self, tree: Hierarchy, members: Sequence[str]) -> None:
        """Refuse a cluster that has none of them, or several."""
        heads = [member for member in members if member in self.names]
        if len(heads) != 1:
            found = f"{', '.join(heads)} are {len(heads)}" if heads else f"none of {', '.join(self.names)} is in it"
            raise ValueError(f"heads: the cluster of {', '.join(members)} needs exactly one, but {found}")
