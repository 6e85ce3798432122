"""Siblings that wait for each other between computing and reporting, and then do something among themselves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from typing import Any, Generic, TypeVar

from simpy import Event, Interrupt, Process

from simulator.acts import Acts
from simulator.gathering.turns import Turn
from simulator.knowledge import Knowledge
from simulator.sideways.cluster import Cluster, Report
from topologies.sideways import clusters

S = TypeVar("S")
Exchange = Callable[[tuple[str, ...], Collection[str]], Generator[Event, Any, Sequence[Report[S]]]]


class Meeting(Generic[S]):
    """One cluster in one turn. It begins when all *members* that have not left have come, and ends with their reports.

    *exchange* is what they do, in one process, told who begins and who has not left; it is interrupted when the last of
    them has left.
    """

    def __init__(self, acts: Acts, members: Sequence[str], exchange: Exchange[S]) -> None:
        self.acts, self.exchange = acts, exchange
        self.members = dict.fromkeys(members)  # in child order, who has not left
        self._came: set[str] = set()
        self._over = acts.env.event()
        self._process: Process | None = None

    def join(self, child: str) -> Generator[Event, Any, Report[S] | None]:
        """Wait for the others and for what they do; what *child* reports, if it is one of those that report."""
        self._came.add(child)
        self._begin()
        reports: dict[str, Report[S]] = yield self._over
        return reports.get(child)

    def leave(self, child: str) -> None:
        """Do not wait for *child*: it is through, or was interrupted."""
        self.members.pop(child, None)
        if self._over.triggered:
            return
        if self._process is None:
            self._begin()
        elif not self.members and self._process.is_alive:
            self._process.interrupt("late")

    def _begin(self) -> None:
        if self._process is None and self.members and self._came.issuperset(self.members):
            self._process = self.acts.env.process(self._run())

    def _run(self) -> Generator[Event, Any, None]:
        members = tuple(self.members)
        if not members:  # all the others were cut in the instant in which the last had come
            return
        reports: Sequence[Report[S]] = ()
        try:
            reports = yield from self.exchange(members, self.members)
        except Interrupt as cut:
            if self.members:  # else nobody waits any more
                self.acts.happen(members[0], "apart", f"what it did with its peers was cut: {cut.cause}")
        self._over.succeed({report.sender: report for report in reports})


def meetings(knowledge: Knowledge[S], turn: Turn, children: Sequence[str], seed: int) -> dict[str, Meeting[S]]:
    """The meeting of each of the *children* asked in a turn: one for each cluster of siblings."""
    plan, acts = turn.plan, knowledge.acts
    assert plan is not None
    assert plan.peers is not None
    peers, modules = plan.peers, plan.modules if plan.peers.modules is None else plan.peers.modules

    due = tuple(name for name in modules if name in turn.due)

    def exchange(members: tuple[str, ...], staying: Collection[str]) -> Generator[Event, Any, Sequence[Report[S]]]:
        place = (turn.node, members, modules, turn.at)
        more = (staying, knowledge.steps, turn.stage.name)
        cluster = Cluster(acts, knowledge.workload, *place, due, seed, turn.last, *more)
        return peers(cluster, knowledge.states)

    found: dict[str, Meeting[S]] = {}
    for members in clusters(acts.hierarchy, children):
        found |= dict.fromkeys(members, Meeting(acts, members, exchange))
    return found
