"""Consensus and gossip: neighbours exchange their models and mix them, round by round, with nobody in the middle."""

from __future__ import annotations

from collections.abc import Generator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_args

import numpy as np
from simpy import Event

from simulator.interfaces import Arrival
from simulator.sideways.cluster import Cluster, Report, computing, deliver, together
from simulator.sideways.laws import Case, Law
from topologies.hierarchy import Hierarchy
from topologies.mixing import Matrix, laplacian, metropolis, spectral_radius
from topologies.sideways import check_connected, clusters
from topologies.varying import Varying, steady

S = TypeVar("S")
Weights = Literal["laplacian", "metropolis"]
Mixed = Literal["sums", "models"]
Energy = Literal["link", "broadcast"]
Reporting = Literal["sampled", "everyone", "nobody"]


@dataclass(frozen=True, slots=True)
class Consensus(Generic[S]):
    """So many *rounds* in which every node sends to its neighbours, and then mixes what it got with its own.

    A round ends when all have mixed. With matrix V the mixing is Z <- V Z, exactly, whatever the votes.

    - *rounds*: a number, or a law that finds it for each cluster and turn.
    - *weights*: V = I - L / (c max degree), c > 1, or Metropolis weights.
    - *mixed*: "sums", z = votes x weights (MH-FL, arXiv 2007.09511): a model is first scaled by its votes over the
      cluster's mean and all then have the mean's votes; or "models" as they are (TT-HF, arXiv 2103.10481).
    - *energy*: a transfer for each link and direction, or one "broadcast" by each node, at the rate of its slowest
      neighbour. It decides whether consensus saves energy.
    - *report*: one "sampled" node, all equally likely, for all: with all their votes (sums) or with the cluster's size
      as its weight (models); everyone for itself; or nobody.

    A module is mixed by those that hold it, over the links between them: the weight of who lacks it, like that of who
    goes on the way, falls to its neighbours' own copies. The few numbers that they tell each other, votes and what a
    law goes by, are not charged.
    """

    rounds: int | Law = 1
    weights: Weights = "laplacian"
    c: float = 2.0
    mixed: Mixed = "sums"
    energy: Energy = "link"
    report: Reporting = "sampled"
    varying: Varying = steady
    modules: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name, known in (("weights", Weights), ("mixed", Mixed), ("energy", Energy), ("report", Reporting)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(f"consensus: {name} must be {', '.join(get_args(known))}, got {getattr(self, name)!r}")
        fixed = isinstance(self.rounds, int) and not isinstance(self.rounds, bool) and self.rounds >= 0
        if not fixed and not callable(self.rounds):
            raise ValueError(f"consensus: rounds must be a whole number >= 0 or a law, got {self.rounds!r}")
        if not self.c > 1:
            raise ValueError(f"consensus: c must be > 1, got {self.c}")

    @property
    def for_others(self) -> bool:
        """Whether one reports for all."""
        return self.report == "sampled"

    @property
    def connected(self) -> bool:
        """Whether it takes a way from each to each among those that are asked."""
        return self.report == "sampled"

    def reports(self, members: Sequence[str]) -> int:
        """How many there are at most of a cluster."""
        return {"sampled": min(1, len(members)), "everyone": len(members), "nobody": 0}[self.report]

    @property
    def silent(self) -> bool:
        """Whether nobody ever reports."""
        return self.report == "nobody"

    @property
    def signals(self) -> frozenset[str]:
        """Those that the workload must answer."""
        return frozenset() if isinstance(self.rounds, int) else frozenset(self.rounds.signals)

    def check(self, tree: Hierarchy, children: Sequence[str]) -> None:
        """Refuse a cluster whose links do not connect it."""
        for members in clusters(tree, children):
            check_connected(tree, members)

    def __call__(
        self, cluster: Cluster[S], states: MutableMapping[str, S]
    ) -> Generator[Event, Any, Sequence[Report[S]]]:
        """Mix, and say who reports, if a report is due."""
        graph = cluster.graph(self.varying)
        members: list[str] = list(graph)
        if self.mixed == "sums" and len(members) > 1:
            _level(cluster, states, members)
        matrix = laplacian(graph, self.c) if self.weights == "laplacian" else metropolis(graph)
        pairs = [(members[i], members[j]) for i, j in np.argwhere(matrix) if i != j]
        mixing = _Mixing(cluster, states, members, matrix, pairs, self.energy == "broadcast")
        for _ in range(self._count(cluster, states, members, matrix)):
            yield from mixing.round()
        return self._reports(cluster, states) if cluster.due else ()

    def _count(
        self, cluster: Cluster[S], states: MutableMapping[str, S], members: Sequence[str], matrix: Matrix
    ) -> int:
        if len(members) < 2:
            return 0
        if isinstance(self.rounds, int):
            return self.rounds
        copies = {member: states[member] for member in members}
        answers = [cluster.workload.signal(name, copies, cluster.modules) for name in self.rounds.signals]
        signals = {key: value for answer in answers for key, value in answer.items()}
        key = (self, cluster.name, cluster.stage)
        turn, first = cluster.acts.notes.get(key, (0, signals))
        cluster.acts.notes[key] = (turn + 1, first)
        return self.rounds(Case(len(members), spectral_radius(matrix), turn + 1, signals, first))

    def _reports(self, cluster: Cluster[S], states: MutableMapping[str, S]) -> Sequence[Report[S]]:
        here = cluster.here()
        if self.report == "nobody" or not here:
            return ()
        if self.report == "everyone":
            return [Report(member, states[member]) for member in here]
        chosen = here[int(cluster.random("sampled").integers(len(here)))]
        _pool(cluster, states, chosen, here)
        return (Report(chosen, states[chosen], None if self.mixed == "sums" else float(len(here))),)


def gossip(
    weights: Weights = "metropolis",
    energy: Energy = "link",
    varying: Varying = steady,
    modules: tuple[str, ...] | None = None,
) -> Consensus[Any]:
    """D-PSGD (Lian et al., NeurIPS 2017) adapt-then-combine: one exchange a turn after the local steps, and no server.

    x_i <- sum_j W_ij (x_j - step_j); the paper's x_i <- sum_j W_ij x_j - step_i mixes before the step is added.
    """
    return Consensus(1, weights, mixed="models", energy=energy, report="nobody", varying=varying, modules=modules)


@dataclass(frozen=True, slots=True)
class _Mixing(Generic[S]):
    """Rounds of mixing among *members* with a *matrix* in their order; *pairs* are who sends to whom."""

    cluster: Cluster[S]
    states: MutableMapping[str, S]
    members: Sequence[str]
    matrix: Matrix
    pairs: Sequence[tuple[str, str]]
    cast: bool

    def round(self) -> Generator[Event, Any, None]:
        """Everyone sends to its neighbours; when all is there, everyone mixes."""
        here = {m for m in self.members if self.cluster.acts.nodes[m].here}
        arrived: dict[str, dict[str, S]] = {member: {} for member in self.members}

        def tell(a: str, b: str) -> Generator[Event, Any, None]:
            packet = self.cluster.workload.pack(a, b, self.states[a], self.cluster.modules)
            if (yield from deliver(self.cluster, a, b, packet, cast=self.cast)):
                arrived[b][a] = packet.wire

        yield from together(self.cluster, [tell(a, b) for a, b in self.pairs if {a, b} <= here])
        yield from together(self.cluster, [self._mix(member, arrived[member]) for member in self.members])

    def _mix(self, node: str, arrived: dict[str, S]) -> Generator[Event, Any, None]:
        """The weights of what did not arrive fall to the own copy."""
        if not arrived:
            return
        own = self.states[node]
        weights = dict(zip(self.members, self.matrix[self.members.index(node)].tolist(), strict=True))
        missing = sum(weights[m] for m in self.members if m != node and m not in arrived)
        weights[node] += missing
        copies = {**arrived, node: own}
        received = [Arrival(m, copies[m], weight=weights[m]) for m in self.members if m in copies]
        if (yield from computing(self.cluster, node, "merge", len(received))):
            count, modules = len(self.cluster.members), self.cluster.modules
            self.states[node] = self.cluster.workload.merge(node, own, received, modules, "sideways", count)


def _level(cluster: Cluster[S], states: MutableMapping[str, S], members: Sequence[str]) -> None:
    """Give all that will send a module the same votes, and scale it so that votes x module stays what it was."""
    pack, merge, count = cluster.workload.pack, cluster.workload.merge, len(cluster.members)
    told = {member: pack(member, member, states[member], cluster.modules) for member in members}
    received = [Arrival(member, told[member].wire) for member in members]
    for member in members:
        states[member] = merge(member, states[member], received, told[member].modules, "level", count)


def _pool(cluster: Cluster[S], states: MutableMapping[str, S], chosen: str, members: Sequence[str]) -> None:
    """Give the votes of all on what it will report to one, whose model stays as it is."""
    due = cluster.reported(chosen, states[chosen]) if len(members) > 1 else ()
    if not due:
        return
    told = {m: cluster.workload.pack(m, chosen, states[m], due) for m in members if m != chosen}
    received = [Arrival(m, told[m].wire if m in told else states[m], weight=float(m == chosen)) for m in members]
    states[chosen] = cluster.workload.merge(chosen, states[chosen], received, due, "pool", len(cluster.members))
    states.update({m: packet.kept for m, packet in told.items()})
