"""Cooperation: a member trains a second time, on behalf of one that cannot train itself."""

from __future__ import annotations

from collections.abc import Generator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args

import networkx as nx
from simpy import Event

from simulator.costs import wire_bytes
from simulator.interfaces import Arrival, Packet
from simulator.sideways.cluster import Cluster, Report, computing, deliver, together
from topologies.hierarchy import Hierarchy
from topologies.relays import timed
from topologies.sideways import neighbours
from topologies.varying import Varying, steady

S = TypeVar("S")
Result = Literal["back", "pooled"]


@dataclass(frozen=True, slots=True)
class Cooperate(Generic[S]):
    """Those *helped* do not train: for each, the neighbour that hears it soonest and trains itself does it as well.

    It gets the samples first, *nbytes* (by name, or the same for all), once as long as it stays the same neighbour. It
    starts from the model that both received, with the work and the step that the helped would have had, beside whatever
    else it computes. The *result* goes "back" and the helped reports it; or it is "pooled": the helper merges it with
    its own by votes and reports both. Everyone else reports for itself. Who has no helper in a turn does not train, and
    a happening says so.
    """

    helped: tuple[str, ...]
    nbytes: int | Mapping[str, int]
    result: Result = "back"
    varying: Varying = steady
    modules: tuple[str, ...] | None = None
    connected: ClassVar[bool] = False  # who has nobody to help it does not train

    def __post_init__(self) -> None:
        if self.result not in get_args(Result):
            raise ValueError(f"cooperate: result must be {', '.join(get_args(Result))}, got {self.result!r}")
        for name in self.helped:
            if not self.size(name) >= 0:
                raise ValueError(f"cooperate: nbytes of {name} must be >= 0, got {self.size(name)}")

    @property
    def for_others(self) -> bool:
        """Whether a helper reports for those that it helps."""
        return self.result == "pooled"

    def reports(self, members: Sequence[str]) -> int:
        """How many there are at most of a cluster: helpers report for those whom they help if results are pooled."""
        return sum(self.result == "back" or member not in self.helped for member in members)

    @property
    def names(self) -> tuple[str, ...]:
        """Whom it names."""
        return self.helped

    def size(self, node: str) -> int:
        """Bytes of a helped node's samples. ValueError where nobody said."""
        if isinstance(self.nbytes, int):
            return self.nbytes
        if node not in self.nbytes:
            raise ValueError(f"cooperate: nbytes of {node} is missing")
        return self.nbytes[node]

    def check(self, tree: Hierarchy, children: Sequence[str]) -> None:
        """Refuse who is helped and has no neighbour to do it."""
        graph = neighbours(tree, children)
        for name in self.helped:
            if name in graph and not any(other not in self.helped for other in graph[name]):
                raise ValueError(f"cooperate: {name} has no neighbour that trains; connect it to one")

    def __call__(
        self, cluster: Cluster[S], states: MutableMapping[str, S]
    ) -> Generator[Event, Any, Sequence[Report[S]]]:
        """Train for the helped; everyone's report, if one is due."""
        graph = cluster.graph(self.varying)
        helped = [member for member in graph if member in self.helped]
        done = yield from together(cluster, [self._help(cluster, states, graph, node) for node in helped])
        trained = {node for node, was in zip(helped, done, strict=True) if was}
        if not cluster.due:
            return ()
        silent = set(helped) if self.result == "pooled" else set(helped) - trained
        return [Report(member, states[member]) for member in cluster.here() if member not in silent]

    def _help(
        self, cluster: Cluster[S], states: MutableMapping[str, S], graph: nx.DiGraph, node: str
    ) -> Generator[Event, Any, bool]:
        """Whether *node*'s training has been done and its result is where it belongs."""
        acts, workload, modules = cluster.acts, cluster.workload, cluster.modules
        helper = self._helper(cluster, graph, node)
        if helper is None:
            acts.happen(node, "no_helper", f"does not train in {cluster.at}")
            return False
        if acts.notes.get(("samples", node)) != helper:
            samples: Packet[Any] = Packet(None, self.size(node), None, ("samples",))
            if not (yield from deliver(cluster, node, helper, samples)):
                return False
            acts.notes["samples", node] = helper
        if not (yield from computing(cluster, helper, "train", of=node)):
            acts.happen(node, "no_helper", f"{helper} went while it trained, in {cluster.at}")
            return False
        step = cluster.steps[node]
        trained = workload.train(node, states[node], step)
        cluster.steps[node] += 1
        packet = workload.pack(node, helper, trained, modules)
        if self.result == "back":
            if (yield from deliver(cluster, helper, node, packet)):
                states[node] = trained
                return True
            return False
        if not (yield from computing(cluster, helper, "merge", 2)):
            return False
        received = [Arrival(helper, states[helper]), Arrival(node, packet.wire)]
        states[node] = cluster.without_votes(node, helper, trained, cluster.reported(helper, states[helper]))
        states[helper] = cluster.merged(helper, states[helper], received)
        return True

    def _helper(self, cluster: Cluster[S], graph: nx.DiGraph, node: str) -> str | None:
        """The neighbour that trains and gets the samples soonest; of equals, the first."""
        nbytes, loss = self.size(node), cluster.acts.costs.loss
        seconds = timed(graph, lambda link: wire_bytes(link, nbytes, loss=loss))[node]
        able = [other for other in graph if other in seconds and other not in self.helped]
        return min(able, key=lambda other: float(seconds[other]["seconds"]), default=None)
