"""Models on their way through a cluster: to a head, merged there or on the way, and back from it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, TypeVar

import networkx as nx
from simpy import Event

from simulator.interfaces import Arrival, Packet
from simulator.sideways.cluster import Cluster, computing, deliver, together
from simulator.sideways.radios import Radios
from topologies.relays import tree_of

S = TypeVar("S")


@dataclass(slots=True)
class Convoy(Generic[S]):
    """Models on their way to a *head*: what *arrived* there, and which modules of each sender came *through*.

    *sent* is what each held when it packed: who has left since, and was asked anew, may hold another model by then.
    """

    cluster: Cluster[S]
    states: MutableMapping[str, S]
    head: str
    paths: Mapping[str, Sequence[str]]
    radios: Radios | None
    arrived: dict[str, S] = field(default_factory=dict)
    through: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sent: dict[str, S] = field(default_factory=dict)

    def miss(self, graph: nx.DiGraph) -> None:
        """Say who has no way to the head."""
        for node in graph:
            if node not in self.paths:
                self.cluster.acts.happen(node, "unreachable", f"no way to {self.head}, in {self.cluster.at}")

    def lose(self) -> None:
        """Say, once for each head, what nobody reports of what others have: the head lacks it, or may not send it."""
        cluster, head = self.cluster, self.head
        if (key := ("lacks", cluster.name, cluster.stage, head)) in cluster.acts.notes:
            return
        cluster.acts.notes[key] = True

        def own(node: str) -> set[str]:
            return set(cluster.workload.pack(node, node, self.states[node], cluster.modules).modules)

        lost = set[str]().union(*map(own, self.senders())) - own(head)
        if lost:
            names = ", ".join(name for name in cluster.modules if name in lost)
            cluster.acts.happen(head, "lacks", f"{names}: nobody reports them while it is the head")

    def senders(self) -> list[str]:
        """In child order."""
        return [m for m in self.cluster.members if m in self.paths and m != self.head]

    def send(self, a: str, b: str, packet: Packet[S]) -> Generator[Event, Any, bool]:
        """One hop."""
        steps = deliver(self.cluster, a, b, packet)
        return (yield from (steps if self.radios is None else self.radios.hold((a, b), steps)))

    def forwarding(self) -> Generator[Event, Any, None]:
        """Each model travels by itself."""

        def carry(sender: str) -> Generator[Event, Any, None]:
            if not (yield from computing(self.cluster, sender, "pack")):
                return
            state = self.sent[sender] = self.states[sender]
            packet = self.cluster.workload.pack(sender, self.head, state, self.cluster.modules)
            for a, b in pairwise(self.paths[sender]):
                if not (yield from self.send(a, b, packet)):
                    return
            self.arrived[sender], self.through[sender] = packet.wire, packet.modules

        yield from together(self.cluster, [carry(sender) for sender in self.senders()])

    def merging(self) -> Generator[Event, Any, None]:
        """Each node sends one model, once those behind it have sent theirs."""
        behind = tree_of(self.paths)

        def collect(node: str) -> Generator[Event, Any, tuple[dict[str, S], dict[str, tuple[str, ...]]]]:
            """What came to a node, by sender, and which modules of each of those in it have come so far."""
            came: dict[str, S] = {}
            within: dict[str, tuple[str, ...]] = {}
            for answer in (yield from together(self.cluster, [pass_on(other, node) for other in behind[node]])):
                if answer:
                    sender, wire, theirs = answer
                    came[sender] = wire
                    within |= theirs
            return came, within

        def pass_on(node: str, to: str) -> Generator[Event, Any, tuple[str, S, dict[str, tuple[str, ...]]] | None]:
            workload, modules, state = self.cluster.workload, self.cluster.modules, self.states[node]
            self.sent[node] = state
            came, within = yield from collect(node)
            if came:
                if not (yield from computing(self.cluster, node, "merge", len(came) + 1)):
                    return None
                received = _in_order(self.cluster, {**came, node: state})
                state = workload.merge(node, state, received, modules, "pool", len(received))
            if not (yield from computing(self.cluster, node, "pack")):
                return None
            packet = workload.pack(node, to, state, modules)
            if not (yield from self.send(node, to, packet)):
                return None
            whole = {**within, node: packet.modules}
            return node, packet.wire, {m: tuple(x for x in has if x in packet.modules) for m, has in whole.items()}

        self.arrived, self.through = yield from collect(self.head)

    def merge(self) -> Generator[Event, Any, bool]:
        """The head merges by votes; if a report is due it takes over the votes of all. False: it is gone."""
        cluster, states, head = self.cluster, self.states, self.head
        received = _in_order(cluster, {**self.arrived, head: states[head]})
        if len(received) > 1:
            if not (yield from computing(cluster, head, "merge", len(received))):
                return False
            states[head] = cluster.merged(head, states[head], received)
            due = cluster.reported(head, states[head])
            for member, came in self.through.items():  # votes go where modules went, and stay with what a relay lacks
                if states[member] is self.sent[member]:
                    rest = [name for name in due if name in came]
                    states[member] = cluster.without_votes(member, head, states[member], rest)
        return head in cluster.here()

    def send_back(self, onward: Mapping[str, Sequence[str]]) -> Generator[Event, Any, None]:
        """The head's copy goes out along a tree: each node passes it on to all *onward* as soon as it has it."""
        workload, modules, head = self.cluster.workload, self.cluster.modules, self.head
        state = self.states[head]

        def spread(node: str) -> Generator[Event, Any, None]:
            yield from together(self.cluster, [hand(node, to) for to in onward[node]])

        def hand(node: str, to: str) -> Generator[Event, Any, None]:
            # A relay passes on also what it does not hold itself.
            packet = workload.pack(head, head if onward[to] else to, state, modules)
            if (yield from self.send(node, to, packet)):
                arrival = [Arrival(head, packet.wire, weight=1.0)]
                self.states[to] = workload.merge(to, self.states[to], arrival, modules, "sideways", 1)
                yield from spread(to)

        yield from spread(head)


def _in_order(cluster: Cluster[S], copies: Mapping[str, S]) -> list[Arrival[S]]:
    """In child order: float sums see the order."""
    return [Arrival(member, copies[member]) for member in cluster.members if member in copies]
