"""One turn of a node that gathers: whom it asks, how long it waits, what becomes of those that are late."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from simpy import Event, Interrupt, Process

from simulator.gathering.asking import Asking
from simulator.gathering.broods import Brood
from simulator.gathering.errands import Errand, Errands
from simulator.gathering.meetings import Meeting, meetings
from simulator.gathering.turns import Turn
from simulator.groups.cohorts import Cohort
from simulator.groups.trips import Who
from simulator.interfaces import Arrival
from simulator.knowledge import Knowledge

S = TypeVar("S")
Outcome = Generator[Event, Any, Any]  # an arrival, several, or none; None if it did not get that far
Report = Callable[[str, Turn, Meeting[S] | None], Outcome]
ReportAll = Callable[[Cohort, Who, Turn], Outcome]


class Gathering(Generic[S]):
    """How nodes gather; *report* and *report_all* are what a child and a cohort do when they are asked."""

    def __init__(self, knowledge: Knowledge[S], seed: int, report: Report[S], report_all: ReportAll) -> None:
        self.knowledge, self.acts, self.seed = knowledge, knowledge.acts, seed
        self.report, self.report_all = report, report_all
        self.errands = Errands(self.acts)
        self.asking = Asking(knowledge, self.errands, seed)

    def gather(self, turn: Turn, children: Brood) -> Generator[Event, Any, tuple[tuple[str, ...], list[Arrival[S]]]]:
        """Ask children for a report and wait as the plan says; who is late by then is interrupted, or kept.

        Gives the modules that were to be reported, and the reports in child order.
        """
        env, plan = self.acts.env, turn.plan
        nodes, cohorts = self.asking.asked(turn, children)
        together = meetings(self.knowledge, turn, nodes, self.seed) if plan and plan.peers else {}
        uploads = [env.process(self.report(child, turn, together.get(child))) for child in nodes]
        uploads += [env.process(self.report_all(cohort, who, turn)) for cohort, who in cohorts.items()]
        if turn.keeps:
            uploads = self._with_those_out(turn, nodes, uploads)
        try:
            yield plan.wait(env, uploads) if plan else env.all_of(uploads)
            late = [] if turn.keeps else [upload for upload in uploads if upload.is_alive]
            for upload in late:
                upload.interrupt("late")
            yield env.all_of(late)  # takes no time: they end at once, with what they have
        except Interrupt:
            for upload in uploads:
                if upload.is_alive:
                    upload.interrupt("late")
            raise
        if turn.keeps:
            return self._landed(turn, children)
        self._tell(turn, nodes, cohorts, uploads, late)
        arrivals = [report for upload in uploads for report in _reports(upload)]
        return turn.due, arrivals if self.knowledge.members.alike else children.in_order(arrivals)

    def _with_those_out(self, turn: Turn, nodes: Sequence[str], uploads: Sequence[Process]) -> list[Process]:
        """The uploads of all that are out, those of former turns first."""
        version = self.knowledge.versions[turn.node]
        new = [Errand(child, turn, version, upload) for child, upload in zip(nodes, uploads, strict=True)]
        self.errands.add(turn.node, new)
        return [errand.process for errand in self.errands.out(turn.node)]

    def _landed(self, turn: Turn, children: Brood) -> tuple[tuple[str, ...], list[Arrival[S]]]:
        """What has come since the last merge, in child order, each report with its staleness."""
        node, k = turn.node, self.knowledge
        landed = sorted(self.errands.landed(node), key=lambda errand: children.place(errand.child))
        due, arrivals = set(turn.due), list[Arrival[S]]()
        for errand in landed:
            for arrival in _reports(errand.process):
                due.update(errand.turn.due)
                staleness = k.versions[node] - k.bases.get((node, errand.child), errand.version)
                arrivals.append(replace(arrival, staleness=staleness))
                if staleness:
                    self.acts.happen(errand.child, "stale", f"staleness {staleness} at {node}, in {turn.at}")
        return tuple(name for name in turn.plan.modules if name in due) if turn.plan else (), arrivals

    def _tell(
        self, turn: Turn, nodes: Sequence[str], cohorts: Mapping[Cohort, Who], uploads: Sequence[Process],
        late: Sequence[Process],
    ) -> None:  # fmt: skip
        """Say who was dropped."""
        for child, upload in zip(nodes, uploads, strict=False):
            if upload in late:
                self.acts.happen(child, "late", f"dropped by {turn.node} in {turn.at}")
        for (cohort, who), upload in zip(cohorts.items(), uploads[len(nodes) :], strict=True):
            asked = cohort.count if isinstance(who, slice) else len(who)
            if missing := asked - len(list(_reports(upload))):
                self.acts.happen(cohort.name, "late", f"{missing} of {asked} dropped by {turn.node} in {turn.at}")


def _reports(upload: Process) -> Iterator[Any]:
    """What an upload brought: one report or none, or those of a cohort."""
    value = upload.value
    return iter(value if isinstance(value, list | tuple) else () if value is None else (value,))
