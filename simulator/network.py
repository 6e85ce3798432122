"""A transfer: the hops it takes, the resources it uses on them, and its energy at both ends of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from simulator.costs import receive_joules, transmit_joules
from simulator.fluid import Flow, Fluid, Resource
from topologies.hierarchy import Hierarchy
from topologies.profiles import LinkProfile


@dataclass(frozen=True, slots=True)
class Hop:
    """One link in one direction; a bit takes *per_bit* units of *resource*: 1 of a wired one, 1/rate of a cell."""

    sender: str
    receiver: str
    link: LinkProfile
    bits_per_s: float
    resource: Resource
    per_bit: float

    def airtime(self, flow: Flow) -> float:
        """How long the flow's bits have occupied this hop."""
        return flow.passed / self.bits_per_s

    def transmit_joules(self, flow: Flow) -> float:
        """What the sender has drawn for it above its radio's idle."""
        return transmit_joules(self.link, self.airtime(flow))

    def receive_joules(self, flow: Flow) -> float:
        """What the receiver has drawn for it above its radio's idle."""
        return receive_joules(self.link, self.airtime(flow))


class Network:
    """The links of a hierarchy as resources. Uplink and downlink of a cell share its airtime; a wired link has both."""

    def __init__(self, fluid: Fluid, hierarchy: Hierarchy) -> None:
        self._fluid, self._hierarchy = fluid, hierarchy
        self._resources: dict[str, Resource] = {}
        self._routes: dict[tuple[str, str], tuple[Hop, ...]] = {}

    def route(self, sender: str, receiver: str) -> tuple[Hop, ...]:
        """The hops along the tree from *sender* up or down to *receiver*."""
        key = (sender, receiver)
        if key not in self._routes:
            tree = self._hierarchy
            up = tree.depth(sender) > tree.depth(receiver)
            path = tree.path_up(sender, receiver) if up else tree.path_up(receiver, sender)[::-1]
            self._routes[key] = tuple(self._hop(a, b, up) for a, b in pairwise(path))
        return self._routes[key]

    def _hop(self, sender: str, receiver: str, up: bool) -> Hop:
        child = sender if up else receiver
        link = self._hierarchy.link(sender, receiver)
        rate = link.up_bits_per_s if up else link.down_bits_per_s
        cell = self._hierarchy.cell(child)
        if cell is not None:
            return Hop(sender, receiver, link, rate, self._resource(cell, 1.0), 1 / rate)
        return Hop(sender, receiver, link, rate, self._resource(f"{sender} -> {receiver}", rate), 1.0)

    def _resource(self, name: str, capacity: float) -> Resource:
        if name not in self._resources:
            self._resources[name] = self._fluid.resource(name, capacity)
        return self._resources[name]

    @staticmethod
    def latency_seconds(hops: tuple[Hop, ...]) -> float:
        """Of all hops, one after the other."""
        return sum(hop.link.latency_seconds for hop in hops)

    def flow(self, hops: tuple[Hop, ...], nbytes: int) -> Flow:
        """Let bytes flow over all *hops* at once; the slowest sets the pace."""
        return self._fluid.flow(8 * nbytes, _uses(hops))


def _uses(hops: tuple[Hop, ...]) -> Mapping[Resource, float]:
    uses: Counter[Resource] = Counter()
    for hop in hops:
        uses[hop.resource] += hop.per_bit  # type: ignore[assignment]
    return uses
