"""The network of the public H-FedFM prototype (M3T-FFM; paper: arXiv 2509.03695) and of its embodied-AI sibling.

Servers, user clusters and channels are drawn in the order in which the prototype draws them, so that its figures can be
simulated; each of its conventions is a field.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from math import cos, hypot, log2, log10, pi, sin, sqrt
from typing import Literal

import networkx as nx
import numpy as np

from .hierarchy import Hierarchy
from .profiles import DeviceProfile, LinkProfile

Point = tuple[float, float]
AREA, APART, CENTRE, NEAR = 5000.0, 500.0, 1000.0, 30.0  # metres
UP, BESIDE = (1000.0, 1000.0), (200.0, 8000.0)  # mW in the rate, kHz
CARRIER = 2.4e9  # Hz; a radio, so that `half_duplex` can mean something


@dataclass(frozen=True, slots=True)
class Prototype:
    """Ten servers in a square of 5 km, a cluster of *users* near each, and a cloud.

    A rate is B log2(1 + P |h|^2 / n0), with a path loss of 30 dB at 1 m and exponent 3. *noise*: n0 is 10^(-17.4) mW
    times B in kHz, as in the prototype, or in Hz. *fading*: |h|^2 / loss has the mean 2, as there, or 1. *uplinks*: a
    user's own, or as if it took the mean time of its cluster. *cloud*: every sender has a link of 4 Mbit/s and 0.1 s
    to the cloud, or all share one. *star*: users have that link, and there are no servers. *one_generator*: placement
    and channels are drawn by one (the sibling), or by two of one seed. Powers are what sending draws; receiving draws
    *receive_watts*. D2D links within a cluster: between users within 30 m, and a spanning tree of the quickest ones.
    Raises ValueError.
    """

    device: DeviceProfile
    server: DeviceProfile
    cloud_server: DeviceProfile
    seed: int = 49
    users: int = 4  # of a cluster
    within_metres: float = 500.0  # of its centre
    one_generator: bool = False
    noise: Literal["per_khz", "per_hz"] = "per_khz"
    fading: Literal["mean_two", "mean_one"] = "mean_two"
    uplinks: Literal["own", "cluster_mean"] = "own"
    cloud: Literal["each", "shared"] = "each"
    star: bool = False
    user_watts: float = 0.6
    d2d_watts: float = 0.6
    cloud_watts: float = 0.8
    receive_watts: float = 0.6
    model_bits: float = 48e6  # by whose seconds the spanning tree is chosen

    def __post_init__(self) -> None:
        if self.users < 1 or not self.within_metres > 0:
            raise ValueError(f"a cluster needs users and room, got {self.users} within {self.within_metres} m")

    def tree(self) -> Hierarchy:
        """Nodes ``cloud``, ``edge0`` ... and ``user0`` ..., with their positions."""
        placing = np.random.default_rng(self.seed)
        servers = list(_servers(placing))
        places = [place for server in servers for place in self._cluster(placing, server)]
        drawing = placing if self.one_generator else np.random.default_rng(self.seed)
        up = self._uplinks(drawing, servers, places)
        beside = self._beside(drawing, places)
        tree = Hierarchy("cloud", "cloud", self.cloud_server)
        for c, server in enumerate(servers):
            edge = f"edge{c}"
            if not self.star:
                tree.add(edge, "cloud", "edge", self.server, self._to_cloud(), x_metres=server[0], y_metres=server[1])
            for u in self._members(c):
                link = self._to_cloud() if self.star else self._radio(f"uplink of user{u}", up[u], up[u])
                where = {"x_metres": places[u][0], "y_metres": places[u][1], "cluster": edge}
                tree.add(f"user{u}", "cloud" if self.star else edge, "device", self.device, link, **where)
            for a, b in self._connected(places, beside, self._members(c)):
                rates = beside[a, b], beside[b, a]
                tree.connect(f"user{a}", f"user{b}", self._radio(f"user{a} - user{b}", *rates, self.d2d_watts))
        return tree

    def _members(self, cluster: int) -> range:
        return range(cluster * self.users, (cluster + 1) * self.users)

    def _cluster(self, random: np.random.Generator, server: Point) -> Iterator[Point]:
        centre = _around(random, server, CENTRE)
        for _ in range(self.users):
            yield _around(random, centre, self.within_metres)

    def _uplinks(self, random: np.random.Generator, servers: Sequence[Point], places: Sequence[Point]) -> list[float]:
        """Bit/s of every user."""
        rates = [self._rate(random, _far(place, servers[u // self.users]), UP) for u, place in enumerate(places)]
        if self.uplinks == "own":
            return rates
        return [len(some) / sum(1 / r for r in some) for u in range(len(rates)) for some in [self._beside_of(rates, u)]]

    def _beside_of(self, rates: Sequence[float], user: int) -> list[float]:
        return [rates[u] for u in self._members(user // self.users)]

    def _beside(self, random: np.random.Generator, places: Sequence[Point]) -> dict[tuple[int, int], float]:
        """Bit/s of every user to every other of its cluster; the prototype first draws a set that it does not use."""
        clusters = [self._members(c) for c in range(len(places) // self.users)]
        random.standard_normal(2 * sum(1 for some in clusters for _ in combinations(some, 2)))
        pairs = [pair for some in clusters for pair in permutations(some, 2)]
        return {(a, b): self._rate(random, _far(places[a], places[b]), BESIDE) for a, b in pairs}

    def _rate(self, random: np.random.Generator, metres: float, radio: tuple[float, float]) -> float:
        """Bit/s over a distance at a draw of the fading, of a radio of so many mW and kHz."""
        milliwatts, kilohertz = radio
        x, y = random.standard_normal(2)
        gain = 10 ** ((-30 - 30 * log10(metres)) / 10) * (x**2 + y**2)
        noise = 10 ** (-174 / 10) * kilohertz
        if self.fading == "mean_one":
            gain /= 2
        if self.noise == "per_hz":
            noise *= 1000
        return 1000 * kilohertz * log2(1 + milliwatts * gain / noise)

    def _connected(
        self, places: Sequence[Point], rates: dict[tuple[int, int], float], members: range
    ) -> list[tuple[int, int]]:
        """Who has a link to whom in a cluster."""
        near = [(a, b) for a, b in combinations(members, 2) if _far(places[a], places[b]) <= NEAR]
        graph = nx.Graph(near)
        graph.add_nodes_from(members)
        if len(list(nx.connected_components(graph))) == 1:
            return near
        every = nx.Graph()
        for a, b in combinations(members, 2):
            every.add_edge(a, b, weight=min(self.model_bits / rates[a, b], self.model_bits / rates[b, a]))
        spanning = (tuple(sorted(edge)) for edge in nx.minimum_spanning_edges(every, data=False))
        return sorted({*near, *spanning})

    def _to_cloud(self) -> LinkProfile:
        return LinkProfile(
            name="to the cloud", kind="wan", up_bits_per_s=4e6, down_bits_per_s=4e6, latency_seconds=0.1,
            shared=self.cloud == "shared", transmit_watts=self.cloud_watts,
            receive_watts=min(self.receive_watts, self.cloud_watts),
        )  # fmt: skip

    def _radio(self, name: str, up: float, down: float, watts: float | None = None) -> LinkProfile:
        """Each pair's own: nothing is shared."""
        return LinkProfile(
            name=name, kind="radio", up_bits_per_s=up, down_bits_per_s=down, carrier_hertz=CARRIER,
            transmit_watts=self.user_watts if watts is None else watts, receive_watts=self.receive_watts,
        )  # fmt: skip


def _servers(random: np.random.Generator, count: int = 10) -> Iterator[Point]:
    """Evenly in the square, none nearer than 500 m to one before."""
    found: list[Point] = []
    while len(found) < count:
        x, y = random.uniform(0, AREA, 2)
        if all(_far((x, y), other) >= APART for other in found):
            found.append((float(x), float(y)))
            yield found[-1]


def _around(random: np.random.Generator, centre: Point, metres: float) -> Point:
    """Evenly in a disc, drawn again where that is outside of the square."""
    while True:
        radius, angle = metres * sqrt(random.uniform()), 2 * pi * random.uniform()
        x, y = centre[0] + radius * cos(angle), centre[1] + radius * sin(angle)
        if 0 <= x <= AREA and 0 <= y <= AREA:
            return x, y


def _far(a: Point, b: Point) -> float:
    return hypot(a[0] - b[0], a[1] - b[1])
