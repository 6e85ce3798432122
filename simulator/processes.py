"""The SimPy processes of a run: rounds and reports, recursive over the tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from simpy import Environment, Event, Interrupt

from simulator.acts import Acts, GoneError
from simulator.costs import Costs
from simulator.gathering.broadcasts import broadcast
from simulator.gathering.broods import brood
from simulator.gathering.gather import Gathering
from simulator.gathering.meetings import Meeting
from simulator.gathering.turns import Turn
from simulator.groups.cohorts import Cohort
from simulator.groups.trips import Who
from simulator.interfaces import Arrival, Workload
from simulator.knowledge import Knowledge
from simulator.life import begin
from simulator.messages import Steps
from simulator.plan import Evaluate, Stage
from simulator.presence import Presence
from simulator.records import At, Log
from topologies.hierarchy import Hierarchy

S = TypeVar("S")


class Federation(Generic[S]):
    """A federation under way: what each node knows, and the processes that change it."""

    def __init__(
        self,
        env: Environment,
        hierarchy: Hierarchy,
        workload: Workload[S],
        stages: Sequence[Stage],
        evaluate: Evaluate,
        log: Log,
        on_round: Callable[[int, Log], None],
        costs: Costs,
        presence: Presence,
        seed: int,
    ) -> None:
        self.hierarchy, self.workload, self.stages, self.log = hierarchy, workload, stages, log
        self.on_round = on_round
        self.acts = Acts(env, hierarchy, costs, seed, log)
        begin(self.acts, presence)
        self.knowledge = Knowledge(self.acts, workload, stages, evaluate)
        self.states = self.knowledge.states
        self.gathering = Gathering(self.knowledge, seed, self.report, self.report_all)
        self.turns: Counter[str] = Counter()  # that each node has begun in the present stage
        self.round = 0

    def run(self, final_broadcast: bool) -> Steps:
        """All stages in sequence, each closed by a broadcast of what it changed."""
        root = self.hierarchy.root
        for stage in self.stages:
            if stage is not self.stages[0]:
                self.close_round()
            self.workload.enter(stage)
            self.turns.clear()
            self.gathering.asking.times.clear()
            yield from self.rounds(root, stage, At(self.round))
            yield from self.gathering.errands.end(stage)
            yield from self.knowledge.onward.stop()
            if stage.preinstalled or final_broadcast or stage is not self.stages[-1]:
                yield from broadcast(self.knowledge, root, stage, (), At(self.round))
        yield self.knowledge.scoring.done()
        self.close_round()

    def close_round(self) -> None:
        """Score what is waiting, and say that a round is over."""
        self.knowledge.scoring.score()
        self.on_round(self.round, self.log)

    def rounds(self, node: str, stage: Stage, at: At) -> Steps:
        """*node* trains, or gathers its children as often as its plan says."""
        tier = self.hierarchy.tier(node)
        if tier == stage.at:
            yield from self.knowledge.train(node, stage, at)
            return
        children = brood(self.hierarchy, node, stage, self.knowledge.cohorts(node))
        plan = stage.plan.get(tier)
        if plan is None:
            yield from self.gathering.gather(Turn(node, stage, None, at), children)
            return
        root = node == self.hierarchy.root
        for number in range(plan.rounds):
            if root:
                self.round += 1
            here = At(self.round) if root else replace(at, turns=(*at.turns, number))
            self.turns[node] += 1
            turn = Turn(node, stage, plan, here, self.turns[node], number == plan.rounds - 1)
            modules, arrivals = yield from self.gathering.gather(turn, children)
            yield from self.merge(turn, modules, arrivals, len(children))
            del arrivals  # or what came in would be held until the next round is over
            if root:
                self.close_round()

    def merge(self, turn: Turn, modules: tuple[str, ...], arrivals: list[Arrival[S]], count: int) -> Steps:
        """Merge in child order, not in order of arrival: float sums see the order."""
        node, at, k = turn.node, turn.at, self.knowledge
        if arrivals:
            yield from k.compute(node, "merge", modules, at, len(arrivals))
            k.states[node] = self.workload.merge(node, k.states[node], arrivals, modules, "up", count)
            k.versions[node] += 1
        elif not turn.quiet:
            self.acts.happen(node, "no_arrivals", f"keeps its own model in {at}")
        k.examine(node, "after_merge", at)

    def report(
        self, child: str, turn: Turn, meeting: Meeting[S] | None
    ) -> Generator[Event, Any, Arrival[S] | tuple[()] | None]:
        """Down, then whatever the child does, alone and with its peers, then up.

        None if somebody was not there, or it was interrupted, or another reports for it; empty where nothing is due.
        """
        parent, at = turn.node, turn.at
        try:
            if not self.acts.nodes[child].here:
                self.acts.happen(child, "absent", f"not asked by {parent} in {at}")
                return None
            with self.acts.interruptible(child):
                try:
                    return (yield from self._report(child, turn, meeting))
                except GoneError as missing:
                    self.acts.happen(child, "unreachable", f"{missing} is not there, in {at}")
                except Interrupt:
                    self.gathering.errands.dismiss(child)
            return None
        finally:
            if meeting:
                meeting.leave(child)

    def _report(
        self, child: str, turn: Turn, meeting: Meeting[S] | None
    ) -> Generator[Event, Any, Arrival[S] | tuple[()] | None]:
        k, parent, at = self.knowledge, turn.node, turn.at
        yield from k.send_down(parent, child, turn.brought, at, max(at.round - 1, 0))
        yield from k.onward.end(child)
        if turn.plan is None or child not in getattr(turn.plan.peers, "helped", ()):  # then another trains for it
            yield from self.rounds(child, turn.stage, at)
        k.examine(child, "before_merge", at)
        report = None
        if meeting:
            report = yield from meeting.join(child)
            k.examine(child, "after_merge", at)
        if turn.quiet:
            return ()
        if meeting and report is None:
            return None
        yield from k.compute(child, "pack", turn.due, at)
        packet = self.workload.pack(child, parent, report.state if report else k.states[child], turn.due)
        onward = turn.plan is not None and turn.plan.meanwhile == "train"
        if onward:  # from the moment of packing, since what is trained from then on must not be lost at delivery
            k.states[child] = packet.kept
            k.onward.begin(child, turn.stage, at)
        yield from self.acts.send(child, parent, packet, "up", at)
        if not onward:
            k.states[child] = packet.kept
        return Arrival(child, packet.wire, weight=report.weight if report else None)

    def report_all(self, cohort: Cohort, who: Who, turn: Turn) -> Generator[Event, Any, list[Arrival[S]]]:
        """The reports of those members that have arrived when it ends or is interrupted."""
        members, modules = self.knowledge.members, turn.due
        task = members.task(cohort, who, modules, turn.stage.trainable)
        done = yield from cohort.go(task, turn.at, who)
        return members.trained(cohort, who, task, done, modules)
