"""A packet on its way: what has passed, what each end has drawn for it, and one packet for a whole cell."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from simpy import Event, Interrupt

from simulator.costs import transmit_joules
from simulator.interfaces import Packet
from simulator.network import Hop, Transfer
from simulator.records import At, Kind, Span, Status

if TYPE_CHECKING:
    from simulator.acts import Acts

Steps = Generator[Event, Any, None]
BOTH = ("transmit", "receive")


def closed(steps: Steps, close: Callable[[Status], None]) -> Steps:
    """Go through *steps*, then close them; also when they are interrupted."""
    try:
        yield from steps
    except Interrupt:
        close("interrupted")
        raise
    close("done")


class Message:
    """A packet on its way over hops: what has passed, and what each end has drawn for it so far."""

    def __init__(self, acts: Acts, hops: tuple[Hop, ...], packet: Packet[Any], activity: str, at: At) -> None:
        self.acts, self.hops, self.packet, self.activity, self.at = acts, hops, packet, activity, at
        self.start = acts.env.now
        self.latencies = acts.network.latencies(hops, self.start)
        self.transfer: Transfer | None = None

    def travel(self) -> Steps:
        """The latency, attempts until the air carries, and the flow."""
        acts = self.acts
        yield acts.env.timeout(sum(self.latencies))
        hops = acts.network.faded(self.hops, acts.env.now)
        while any(hop.bits_per_s == 0 for hop in hops):
            out = next(hop for hop in hops if hop.bits_per_s == 0)
            assert out.channel is not None
            acts.happen(out.sender, "retry", f"outage towards {out.receiver}, again in {out.channel.retry_seconds:g} s")
            yield acts.env.timeout(out.channel.retry_seconds)
            hops = acts.network.faded(self.hops, acts.env.now)
        self.hops = hops
        self.transfer = acts.network.start(hops, self.packet.nbytes)
        self.load()
        yield self.transfer.flow

    def load(self, kinds: Sequence[str] = BOTH) -> None:
        """From now on the bits draw on both ends of every hop, or on one end."""
        nodes = self.acts.nodes
        for i, hop in enumerate(self.hops):
            if "transmit" in kinds:
                nodes[hop.sender].running[self, i, "transmit"] = partial(self.transmit, i)
            if "receive" in kinds:
                nodes[hop.receiver].running[self, i, "receive"] = partial(self.receive, i)

    def transmit(self, index: int) -> float:
        """Joules of a hop's sender until now."""
        joules = self.transfer.transmit_joules(index) if self.transfer else 0.0
        if self.acts.costs.latency_power == "transmit":
            before = sum(self.latencies[:index])
            waited = min(max(self.acts.env.now - self.start - before, 0.0), self.latencies[index])
            joules += transmit_joules(self.hops[index].link, waited)
        return joules

    def receive(self, index: int) -> float:
        """Joules of a hop's receiver until now."""
        return self.transfer.receive_joules(index) if self.transfer and self.acts.costs.receive else 0.0

    def record(self, status: Status, kinds: Sequence[str] = BOTH) -> None:
        """Write the spans of both ends of every hop, or of one end, and charge them."""
        acts, nbytes, now = self.acts, self.packet.nbytes, self.acts.env.now
        if status == "interrupted":
            nbytes = int(self.transfer.flow.passed // 8) if self.transfer else 0
        if self.transfer and "transmit" in kinds:
            self.transfer.flow.cancel()
        when = (self.at.round, self.at.turn, "+".join(self.packet.modules), self.start, now)
        for index, hop in enumerate(self.hops):
            ends: tuple[tuple[Kind, str, str, Callable[[int], float]], ...] = (
                ("transmit", hop.sender, hop.receiver, self.transmit),
                ("receive", hop.receiver, hop.sender, self.receive),
            )
            for kind, node, peer, joules in ends:
                if kind in kinds:
                    there = acts.nodes[node]
                    drawn = joules(index) if there.profile else 0.0
                    there.draw((self, index, kind), kind, drawn, self.start)
                    row = (kind, node, there.tier, peer, *when, drawn, nbytes, 0.0, status, self.activity)
                    acts.log.spans.append(Span(*row))
            if "transmit" in kinds:
                self._network(index, hop)

    def _network(self, index: int, hop: Hop) -> None:
        """Charge the network behind a hop."""
        if self.transfer and hop.payer and self.acts.costs.infrastructure and hop.link.infrastructure_joules_per_byte:
            joules, account = self.transfer.infrastructure_joules(index), self.acts.nodes[hop.payer].account
            account.add("infrastructure", joules, self.start, self.acts.env.now)


class Cast:
    """One message for several children of a cell, or several peers: sent once, at the rate of the slowest of them."""

    def __init__(self, acts: Acts, key: object) -> None:
        self.acts, self.key = acts, key
        self.members: list[Message] = []
        self.done = acts.env.event()
        self.process = acts.env.process(self._run())

    def follow(self, message: Message) -> Steps:
        """Receive what is sent; the last who is interrupted ends the sending."""
        self.members.append(message)
        try:
            yield self.done
        except Interrupt:
            self.members.remove(message)
            if not self.members and self.process.is_alive:
                self.process.interrupt()
            raise

    def _run(self) -> Steps:
        try:
            yield self.acts.env.timeout(0)  # whoever wants it asks in this instant
            del self.acts.casts[self.key]
            slowest = min(self.members, key=lambda m: m.hops[0].bits_per_s)
            once = (replace(slowest.hops[0], receiver="*"),)
            sent = Message(self.acts, once, slowest.packet, slowest.activity, slowest.at)
        except Interrupt:
            self.acts.casts.pop(self.key, None)
            return
        try:
            yield from closed(self._send(sent), lambda status: sent.record(status, ("transmit",)))
        except Interrupt:
            return
        self.done.succeed()

    def _send(self, sent: Message) -> Steps:
        yield self.acts.env.timeout(sum(sent.latencies))
        sent.transfer = self.acts.network.start(sent.hops, sent.packet.nbytes)
        sent.load(("transmit",))
        for member in self.members:
            member.transfer = sent.transfer
            member.load(("receive",))
        yield sent.transfer.flow
