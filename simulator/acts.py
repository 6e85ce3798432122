"""What nodes do that takes time: computing and sending, each with its span and its charges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from simpy import Environment, Event

from simulator.costs import Costs
from simulator.fluid import Fluid
from simulator.groups.cohorts import cohorts_of
from simulator.interfaces import Activity, Packet, Work
from simulator.messages import BOTH, Cast, Message, Steps, closed
from simulator.network import Hop, Network
from simulator.nodes import nodes_of
from simulator.records import At, Happening, Log, Span, Status
from topologies.hierarchy import Hierarchy


class GoneError(Exception):
    """Somebody whom this needs is not there."""


def _one(event: Event) -> Steps:
    yield event


class Acts:
    """The nodes of a hierarchy and the air and wires between them, at work."""

    def __init__(self, env: Environment, hierarchy: Hierarchy, costs: Costs, seed: int, log: Log) -> None:
        self.env, self.hierarchy, self.costs, self.log = env, hierarchy, costs, log
        self.fluid = Fluid(env)
        self.nodes = nodes_of(self.fluid, hierarchy, costs, seed)
        self.network = Network(self.fluid, hierarchy, costs, seed)
        self.cohorts = cohorts_of(self)
        self.casts: dict[object, Cast] = {}  # that still wait for others who want the same
        self.notes: dict[object, Any] = {}  # what policies remember in this run

    def happen(self, node: str, kind: str, detail: str) -> None:
        """Note a happening."""
        self.log.happenings.append(Happening(self.env.now, node, kind, detail))

    @contextmanager
    def interruptible(self, node: str) -> Iterator[None]:
        """What the active process does in here ends when *node* leaves or dies."""
        me = self.env.active_process
        assert me is not None
        self.nodes[node].doing[me] = None
        try:
            yield
        finally:
            self.nodes[node].doing.pop(me, None)

    def compute(
        self, node: str, activity: Activity, work: Work, modules: Sequence[str], at: At, *, weight: float = 1.0
    ) -> Steps:
        """Let an activity's work flow through the node's processor."""
        start, there = self.env.now, self.nodes[node]
        job = there.start(self.fluid, work, weight)
        if job is None:
            return

        def close(status: Status) -> None:
            job.flow.cancel()
            flops, joules = work.flops if status == "done" else job.flops, there.finish(job, "compute", start)
            row = (node, there.tier, "", at.round, at.turn, "+".join(modules), start, self.env.now)
            self.log.spans.append(Span("compute", *row, joules, 0, flops, status, activity))

        yield from closed(_one(job.flow), close)

    def send(
        self, sender: str, receiver: str, packet: Packet[Any], activity: str, at: At, *, cast: bool = False
    ) -> Steps:
        """Wait out the latency, let the bytes flow over all hops, and charge both ends of each.

        *cast*: what goes to several peers in this instant is sent once, at the rate of the slowest, unless links fade.
        Raises GoneError if a node on the way is not there; one that leaves interrupts it.
        """
        if packet.nbytes == 0 or (activity == "down" and not self.costs.downlink):
            return
        hops = self.network.route(sender, receiver)
        with_us = self._occupy(hops)
        message = Message(self, hops, packet, activity, at)
        wanted = cast or (self.costs.multicast and activity == "down" and hops[0].shared)
        once = self._cast(message) if wanted and len(hops) == 1 and not hops[0].fades else None

        def close(status: Status) -> None:
            message.record(status, BOTH if once is None else ("receive",))
            self._release(hops, with_us)

        yield from closed(message.travel() if once is None else once.follow(message), close)

    def _cast(self, message: Message) -> Cast:
        """The multicast of this instant that brings the same to others of the cell, or to other peers."""
        hop, packet = message.hops[0], message.packet
        air = hop.resource if message.activity == "down" else message.activity
        key = (hop.sender, air, packet.modules, packet.nbytes, message.at)
        if key not in self.casts:
            self.casts[key] = Cast(self, key)
        return self.casts[key]

    def _occupy(self, hops: tuple[Hop, ...]) -> list[str]:
        """Be interrupted when a node on the way leaves; wake the radios."""
        on_the_way = dict.fromkeys(end for hop in hops for end in (hop.sender, hop.receiver))
        missing = next((node for node in on_the_way if not self.nodes[node].here), None)
        if missing is not None:
            raise GoneError(missing)
        me = self.env.active_process
        assert me is not None
        new = [node for node in on_the_way if me not in self.nodes[node].doing]
        for node in new:
            self.nodes[node].doing[me] = None
        for hop in hops:
            for end in hop.stations:
                self.nodes[end].radios[hop.link.name].begin()
        return new

    def _release(self, hops: tuple[Hop, ...], new: list[str]) -> None:
        me = self.env.active_process
        assert me is not None
        for node in new:
            self.nodes[node].doing.pop(me, None)
        for hop in hops:
            for end in hop.stations:
                self.nodes[end].radios[hop.link.name].end()
