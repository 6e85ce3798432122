"""Relay: each cluster gathers its members' modules at one head, hop by hop, and sends their mean back.

After H-FedFM (arXiv 2509.03695): along the quickest paths to the head and from it, store and forward.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args

import networkx as nx
from simpy import Event

from simulator.costs import wire_bytes
from simulator.sideways.cluster import Cluster, Report
from simulator.sideways.convoy import Convoy
from simulator.sideways.radios import Radios
from topologies.hierarchy import Hierarchy
from topologies.relays import Head, best, drawn, first, paths_from, paths_to, timed, tree_of
from topologies.sideways import check_connected, clusters
from topologies.varying import Varying, steady

S = TypeVar("S")
Broadcast = Literal["always", "between", "never"]
HEADS: Mapping[str, Head] = {"first": first, "random": drawn, "best": best}


@dataclass(frozen=True, slots=True)
class Relay(Generic[S]):
    """Members send their modules to a *head*, which merges them by votes and sends the mean back; the head reports.

    - *head*: first, random (drawn anew each turn), best (it gathers soonest), or a function such as `Given(names)`.
    - *merge_at_relays*: a relay waits for those behind it, merges what came with its own, and sends one model (of what
      it holds itself); else each model travels by itself.
    - *half_duplex*: a node sends or receives one message at a time, in the order of asking; else links alone limit.
    - *broadcast*: whether the mean goes back always, never, or only in turns without a report ("between").

    The head's report carries the votes of all whose models arrived. Whoever cannot reach the head is left out, and a
    happening says so; if the head itself is gone there is no report. What the head does not hold is not reported, and a
    happening says that, too; votes on it stay with their owners. *varying*: the links of a turn.
    """

    head: Head | Literal["first", "random", "best"] = "first"
    merge_at_relays: bool = False
    half_duplex: bool = False
    broadcast: Broadcast = "always"
    varying: Varying = steady
    modules: tuple[str, ...] | None = None
    for_others: ClassVar[bool] = True
    connected: ClassVar[bool] = True  # it takes a way from each to each

    def __post_init__(self) -> None:
        if isinstance(self.head, str) and self.head not in HEADS:
            raise ValueError(f"relay: head must be {', '.join(HEADS)} or a function, got {self.head!r}")
        if self.broadcast not in get_args(Broadcast):
            raise ValueError(f"relay: broadcast must be {', '.join(get_args(Broadcast))}, got {self.broadcast!r}")

    def reports(self, members: Sequence[str]) -> int:
        """One for all *members* of a cluster."""
        return min(1, len(members))

    @property
    def names(self) -> tuple[str, ...]:
        """The heads that are given."""
        return getattr(self.head, "names", ())

    def check(self, tree: Hierarchy, children: Sequence[str]) -> None:
        """Refuse a cluster whose links do not connect it, and one without its given head."""
        for members in clusters(tree, children):
            if check := getattr(self.head, "check", None):
                check(tree, members)
            check_connected(tree, members)

    def __call__(
        self, cluster: Cluster[S], states: MutableMapping[str, S]
    ) -> Generator[Event, Any, Sequence[Report[S]]]:
        """Gather, merge, send back; the head's report, if one is due."""
        if not cluster.here():
            return ()
        graph = _timed(cluster, states, self.varying)
        choose = HEADS[self.head] if isinstance(self.head, str) else self.head
        head = choose(graph, cluster.random("head"))
        if head is None:
            cluster.acts.happen(cluster.members[0], "no_head", f"its cluster's head is not there, in {cluster.at}")
            return ()
        radios = Radios(cluster.acts.env) if self.half_duplex else None
        convoy = Convoy(cluster, states, head, paths_to(graph, head), radios)
        convoy.miss(graph)
        convoy.lose()
        yield from convoy.merging() if self.merge_at_relays else convoy.forwarding()
        if not (yield from convoy.merge()):
            return ()
        if self.broadcast == "always" or (self.broadcast == "between" and not cluster.due):
            yield from convoy.send_back(tree_of(paths_from(graph, head)))
        return (Report(head, states[head]),) if cluster.due and head in cluster.here() else ()


def _timed(cluster: Cluster[S], states: Mapping[str, S], varying: Varying) -> nx.DiGraph:
    """Who can send to whom, with the seconds of a message of the size of the first that can be sent."""
    graph, nbytes = cluster.graph(varying), 0
    for a, b in graph.edges:
        nbytes = cluster.workload.pack(a, b, states[a], cluster.modules).nbytes
        break
    loss = cluster.acts.costs.loss
    return timed(graph, lambda link: wire_bytes(link, nbytes, loss=loss))
