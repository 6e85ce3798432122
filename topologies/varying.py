"""Device-to-device graphs that change: links that come and go, and nodes that walk about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import dist, inf

import networkx as nx

from .streams import stream

Varying = Callable[[nx.DiGraph, int, str, float], nx.DiGraph]
"""The part of a graph that is there now. It depends on the seed, the name of the turn, the seconds, on nothing else."""


def steady(graph: nx.DiGraph, seed: int, turn: str, now_s: float) -> nx.DiGraph:
    """All links, all the time."""
    return graph


@dataclass(frozen=True, slots=True)
class Flickering:
    """Each link, both ways at once, is there in a turn with a *probability*, independent of all others."""

    probability: float

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise ValueError(f"varying links: probability must be > 0 and <= 1, got {self.probability}")

    def __call__(self, graph: nx.DiGraph, seed: int, turn: str, now_s: float) -> nx.DiGraph:
        """What is there in this turn."""

        def there(a: str, b: str) -> bool:
            return bool(stream(seed, f"link in {turn}", "|".join(sorted((a, b)))).random() < self.probability)

        return _part(graph, there)


@dataclass(frozen=True, slots=True)
class Wandering:
    """Random waypoints (Johnson and Maltz 1996, without pauses): who is near enough hears each other.

    Each node walks at *metres_per_s* straight from one place to the next, each drawn evenly from a rectangle. Links are
    there while their ends are at most *range_metres* apart.
    """

    width_metres: float
    height_metres: float
    metres_per_s: float
    range_metres: float

    def __post_init__(self) -> None:
        for name in ("width_metres", "height_metres", "metres_per_s", "range_metres"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"wandering: {name} must be > 0 and finite, got {getattr(self, name)}")

    def __call__(self, graph: nx.DiGraph, seed: int, turn: str, now_s: float) -> nx.DiGraph:
        """What is there at this time."""
        places = {node: self.place(seed, node, now_s) for node in graph}
        return _part(graph, lambda a, b: dist(places[a], places[b]) <= self.range_metres)

    def place(self, seed: int, node: str, now_s: float) -> tuple[float, float]:
        """Where a node is, in metres from a corner."""
        left, leg = self.metres_per_s * now_s, 0
        here, there = self._waypoint(seed, node, 0), self._waypoint(seed, node, 1)
        while left > dist(here, there):
            left, leg = left - dist(here, there), leg + 1
            here, there = there, self._waypoint(seed, node, leg + 1)
        share = left / dist(here, there) if left else 0.0
        return here[0] + share * (there[0] - here[0]), here[1] + share * (there[1] - here[1])

    def _waypoint(self, seed: int, node: str, leg: int) -> tuple[float, float]:
        x, y = stream(seed, "waypoint", node, leg).random(2)
        return float(x) * self.width_metres, float(y) * self.height_metres


def _part(graph: nx.DiGraph, there: Callable[[str, str], bool]) -> nx.DiGraph:
    out = nx.DiGraph()
    out.add_nodes_from(graph)
    out.add_edges_from((a, b, data) for a, b, data in graph.edges(data=True) if there(a, b))
    return out
