"""What siblings do among themselves between computing and reporting: the protocol, and the steps that all share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Generator, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from zlib import crc32

import networkx as nx
import numpy as np
from simpy import Event, Interrupt

from simulator.acts import Acts, GoneError
from simulator.interfaces import Activity, Arrival, Packet, Workload
from simulator.records import At
from topologies.sideways import neighbours
from topologies.streams import stream
from topologies.varying import Varying

if TYPE_CHECKING:
    from topologies.hierarchy import Hierarchy

S = TypeVar("S")
T = TypeVar("T")
OVER = "late"  # why an exchange is interrupted whose time is over; other causes are of one node


@dataclass(frozen=True, slots=True)
class Report(Generic[S]):
    """What one member of a cluster reports upwards. *weight* None: it counts by its votes; else it is used as given."""

    sender: str
    state: S
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Cluster(Generic[S]):
    """Siblings that have computed, in child order, at a place of the run.

    *modules* are what travels between them, *due* those of them that are to be reported in this turn; *last*: nothing
    comes after this turn before the parent itself reports. *staying*: who has not left since (all, if not given);
    *steps*: how often each node has trained; *stage*: the name of the stage.
    """

    acts: Acts
    workload: Workload[S]
    parent: str
    members: tuple[str, ...]
    modules: tuple[str, ...]
    at: At
    due: tuple[str, ...]
    seed: int
    last: bool
    staying: Collection[str] | None = None
    steps: Counter[str] = field(default_factory=Counter)
    stage: str = ""

    @property
    def name(self) -> str:
        """The same in every turn, whoever is there."""
        attributes = self.acts.hierarchy.attributes(self.members[0])
        return f"{self.parent}|{attributes.get('cluster', '')}"

    def here(self) -> list[str]:
        """The members that have not gone since, not even for a while."""
        staying = self.members if self.staying is None else self.staying
        return [member for member in self.members if member in staying and self.acts.nodes[member].here]

    def merged(self, node: str, own: S, received: Sequence[Arrival[S]]) -> S:
        """*own* merged with what a member received; of what it will report it takes over the votes, too."""
        mine, count = self.reported(node, own), len(self.members)
        rest = [name for name in self.modules if name not in mine]
        out = self.workload.merge(node, own, received, rest, "sideways", count) if rest else own
        return self.workload.merge(node, out, received, mine, "pool", count) if mine else out

    def reported(self, node: str, state: S) -> tuple[str, ...]:
        """What of that which is due a member reports: not what it lacks, or has no say in itself."""
        return self.workload.pack(node, node, state, self.due).modules if self.due else ()

    def without_votes(self, node: str, to: str, state: S, modules: Sequence[str]) -> S:
        """What a member holds whose report of these *modules* another one makes."""
        return self.workload.pack(node, to, state, modules).kept if modules else state

    def random(self, purpose: str) -> np.random.Generator:
        """The stream of a purpose in this turn."""
        return stream(self.seed, purpose, self.name, crc32(str(self.at).encode()))

    def graph(self, varying: Varying) -> nx.DiGraph:
        """Who of those here can send to whom in this turn."""
        return varying(neighbours(self.acts.hierarchy, self.here()), self.seed, str(self.at), self.acts.env.now)


class Sideways(Protocol[S]):
    """A policy of what siblings do among themselves before they report."""

    @property
    def modules(self) -> tuple[str, ...] | None:
        """What travels between siblings; None: what travels between them and their parent."""
        ...

    def check(self, tree: Hierarchy, children: Sequence[str]) -> None:
        """Raise ValueError, before the run, where these siblings cannot do it."""
        ...

    def __call__(
        self, cluster: Cluster[S], states: MutableMapping[str, S]
    ) -> Generator[Event, Any, Sequence[Report[S]]]:
        """Change the members' states at the right times; who reports what."""
        ...


def together(cluster: Cluster[S], steps: Iterable[Generator[Event, Any, T]]) -> Generator[Event, Any, list[T | None]]:
    """Go through several *steps* at the same time, until all are through; what each returned.

    Interrupted, it interrupts them all; None for who was.
    """
    env = cluster.acts.env
    running = [env.process(_quietly(each)) for each in steps]
    try:
        yield env.all_of(running)
    except Interrupt:
        for process in running:
            if process.is_alive:
                process.interrupt(OVER)
        raise
    return [process.value for process in running]


def _quietly(steps: Generator[Event, Any, T]) -> Generator[Event, Any, T | None]:
    try:
        return (yield from steps)
    except Interrupt:
        return None


def deliver(
    cluster: Cluster[S], sender: str, receiver: str, packet: Packet[S], *, cast: bool = False
) -> Generator[Event, Any, bool]:
    """Send something to a neighbour. False, and a happening, where one of them is not there or goes on the way."""
    acts, at = cluster.acts, cluster.at
    try:
        yield from acts.send(sender, receiver, packet, "sideways", at, cast=cast)
    except GoneError as missing:
        acts.happen(sender, "unreachable", f"{missing} is not there for its peers, in {at}")
        return False
    except Interrupt as why:
        if why.cause == OVER:
            raise
        acts.happen(sender, "undelivered", f"did not get through to {receiver}, in {at}")
        return False
    return True


def computing(
    cluster: Cluster[S], node: str, activity: Activity, count: int = 1, *, of: str | None = None
) -> Generator[Event, Any, bool]:
    """Let an activity's work flow at a member, its own or that *of* another; whether it was there until the end."""
    acts = cluster.acts
    if not acts.nodes[node].here:
        return False
    whose = node if of is None else of
    work = cluster.workload.work(whose, activity, cluster.steps[whose], cluster.modules, count)
    with acts.interruptible(node):
        try:
            yield from acts.compute(node, activity, work, cluster.modules, cluster.at)
        except Interrupt as why:
            if why.cause == OVER:
                raise
            return False
    return True
