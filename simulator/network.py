"""A transfer: the hops it takes, the resources it uses on them, and its energy at both ends of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from simulator.costs import Costs, receive_joules, transmit_joules, wire_bytes
from simulator.fluid import Flow, Fluid, Resource
from topologies.hierarchy import Hierarchy
from topologies.profiles import LinkProfile
from topologies.sideways import upward
from topologies.streams import stream

if TYPE_CHECKING:
    from topologies.radio import Channel


@dataclass(frozen=True, slots=True)
class Hop:
    """One link in one direction at a rate; a bit on it takes *per_bit* units of *resource*: 1 of a wire, 1/rate of air.

    *stations* are those of its ends that have a radio which can rest; *radios* the half-duplex resources it occupies.
    """

    sender: str
    receiver: str
    link: LinkProfile
    bits_per_s: float
    resource: Resource
    per_bit: float
    stations: tuple[str, ...] = ()
    radios: tuple[Resource, ...] = ()
    channel: Channel | None = None
    shared: bool = False
    payer: str | None = None  # who is charged for the network behind it: the upper end, or the lower if that is free

    @property
    def fades(self) -> bool:
        """Whether each attempt draws its own rate."""
        return self.channel is not None and self.channel.over == "outage"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes on their way over all hops at once; *factors* are wire bits per bit of payload, hop by hop."""

    hops: tuple[Hop, ...]
    factors: tuple[float, ...]
    flow: Flow

    def airtime(self, index: int) -> float:
        """How long the bits that passed have occupied a hop."""
        return self.flow.passed * self.factors[index] / self.hops[index].bits_per_s

    def transmit_joules(self, index: int) -> float:
        """What the sender of a hop has drawn for it above its radio's idle."""
        return transmit_joules(self.hops[index].link, self.airtime(index))

    def receive_joules(self, index: int) -> float:
        """What the receiver of a hop has drawn for it above its radio's idle."""
        return receive_joules(self.hops[index].link, self.airtime(index))

    def infrastructure_joules(self, index: int) -> float:
        """What the network behind a hop has drawn for it."""
        wire = self.flow.passed / 8 * self.factors[index]
        return self.hops[index].link.infrastructure_joules_per_byte * wire


class Network:
    """The links of a hierarchy as resources. Uplink and downlink of a cell share its airtime; a wired link has both."""

    def __init__(self, fluid: Fluid, hierarchy: Hierarchy, costs: Costs, seed: int) -> None:
        self._fluid, self._hierarchy, self._costs, self._seed = fluid, hierarchy, costs, seed
        self._resources: dict[str, Resource] = {}
        self._routes: dict[tuple[str, str], tuple[Hop, ...]] = {}
        self._fastest: dict[str, float] = {}  # of each cell, the rate of its best station

    def route(self, sender: str, receiver: str) -> tuple[Hop, ...]:
        """The hops along the tree from *sender* up or down to *receiver*; between peers, their link."""
        key = (sender, receiver)
        if key not in self._routes:
            tree = self._hierarchy
            if receiver in tree.peers(sender):
                return self._routes.setdefault(key, (self._hop(sender, receiver, tree.medium(sender, receiver)),))
            up = tree.depth(sender) > tree.depth(receiver)
            path = tree.path_up(sender, receiver) if up else tree.path_up(receiver, sender)[::-1]
            self._routes[key] = tuple(self._hop(a, b, tree.cell(a if up else b)) for a, b in pairwise(path))
        return self._routes[key]

    def _hop(self, sender: str, receiver: str, medium: str | None) -> Hop:
        tree = self._hierarchy
        link, beside = tree.link(sender, receiver), receiver in tree.peers(sender)
        up = upward(tree, sender, receiver)
        rate = link.up_bits_per_s if up else link.down_bits_per_s
        stations = (sender, receiver) if beside else (sender if up else receiver,)
        radios: tuple[Resource, ...] = ()
        if link.carrier_hertz and self._costs.half_duplex:
            radios = tuple(self._resource(f"radio of {end}", 1.0) for end in (sender, receiver))
        channel, shared = tree.channel(sender, receiver), medium is not None
        ends = sorted((sender, receiver), key=tree.depth)
        payer = next((end for end in ends if tree.profile(end)), None)
        rest = (stations if link.carrier_hertz else (), radios, channel, shared, payer)
        one_way = f"{sender} -> {receiver}"
        if shared or link.half_duplex or (channel and channel.over == "outage"):
            air = medium or (" - ".join(sorted((sender, receiver))) if link.half_duplex else one_way)
            return Hop(sender, receiver, link, rate, self._resource(air, 1.0), 1 / rate, *rest)
        return Hop(sender, receiver, link, rate, self._resource(one_way, rate), 1.0, *rest)

    def _resource(self, name: str, capacity: float) -> Resource:
        if name not in self._resources:
            self._resources[name] = self._fluid.resource(name, capacity)
        return self._resources[name]

    def latencies(self, hops: tuple[Hop, ...], now: float) -> tuple[float, ...]:
        """Seconds until the first bit has crossed each hop, one after the other; with jitter if it is charged.

        Jitter adds to a latency an exponential time of mean `jitter_seconds`: delays are skewed to the right.
        """
        if not self._costs.jitter:
            return tuple(hop.link.latency_seconds for hop in hops)
        return tuple(
            hop.link.latency_seconds + self._random("jitter", hop, now).exponential() * hop.link.jitter_seconds
            for hop in hops
        )

    def faded(self, hops: tuple[Hop, ...], now: float) -> tuple[Hop, ...]:
        """The hops at the rates of this moment: 0 where one that fades is in outage."""
        return tuple(self._at(hop, now) if hop.fades else hop for hop in hops)

    def _at(self, hop: Hop, now: float) -> Hop:
        assert hop.channel is not None
        up = upward(self._hierarchy, hop.sender, hop.receiver)
        # The air is the same in both directions, so the name of the link does not depend on who sends.
        gain = hop.channel.gain(self._seed, "|".join(sorted((hop.sender, hop.receiver))), now)
        rate = hop.channel.bits_per_s(gain, "up" if up else "down")
        return replace(hop, bits_per_s=rate, per_bit=1 / rate if rate else 0.0)

    def start(self, hops: tuple[Hop, ...], nbytes: int) -> Transfer:
        """Let bytes flow over all *hops* at once; the slowest sets the pace."""
        factors = tuple(wire_bytes(hop.link, nbytes, loss=self._costs.loss) / nbytes for hop in hops)
        uses: dict[Resource, float] = {}
        cap = inf
        for hop, factor in zip(hops, factors, strict=True):
            if self._costs.queueing or hop.shared or hop.link.half_duplex:
                uses[hop.resource] = uses.get(hop.resource, 0.0) + hop.per_bit * factor
            else:
                cap = min(cap, hop.bits_per_s / factor)
            for radio in hop.radios:
                uses[radio] = uses.get(radio, 0.0) + factor / hop.bits_per_s
        weight = self._weight(hops, factors) if self._costs.wifi == "equal_airtime" else 1.0
        return Transfer(hops, factors, self._fluid.flow(8 * nbytes, uses, weight=weight, rate_cap=cap))

    def _weight(self, hops: tuple[Hop, ...], factors: tuple[float, ...]) -> float:
        """In proportion to the rate, so that stations get equal airtime; 1 for the best of the cell.

        A flow has one weight, so where it also meets others at a full wire it has less than they there.
        """
        if not self._fastest:
            for *_, edge in self._hierarchy.graph.edges(data=True):
                if edge["medium"]:
                    best = max(edge["link"].up_bits_per_s, edge["link"].down_bits_per_s)
                    self._fastest[edge["medium"]] = max(best, self._fastest.get(edge["medium"], 0.0))
        on_air = ((hop, factor) for hop, factor in zip(hops, factors, strict=True) if hop.shared)
        return min((hop.bits_per_s / factor / self._fastest[hop.resource.name] for hop, factor in on_air), default=1.0)

    def infrastructure(self) -> Iterator[tuple[str, float]]:
        """The watts of every access point and switch port in use or not, and the node that they are charged to."""
        tree, seen = self._hierarchy, set[str]()
        for a, b, edge in tree.graph.edges(data=True):
            link, medium = edge["link"], edge["medium"]
            if not link.infrastructure_watts or medium in seen:
                continue
            if medium:
                seen.add(medium)
            ends = sorted((a, b), key=tree.depth)
            node = next((end for end in ends if tree.profile(end)), None)
            if node:
                yield node, link.infrastructure_watts

        for group in tree.groups():
            medium, watts = f"{group.parent}|{group.link.name}", group.link.infrastructure_watts
            if watts and medium not in seen:
                if group.link.shared:
                    seen.add(medium)
                payer = group.parent if tree.profile(group.parent) else f"{group.parent}/*"
                yield payer, watts if group.link.shared else watts * group.count

    def _random(self, purpose: str, hop: Hop, now: float) -> np.random.Generator:
        """A stream of its own for each purpose, hop and moment."""
        return stream(self._seed, purpose, f"{hop.sender} -> {hop.receiver}", crc32(float(now).hex().encode()))
