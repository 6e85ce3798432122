"""The SimPy processes of a run: rounds, reports, computing and sending, recursive over the tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar
from zlib import crc32

import numpy as np
from simpy import Environment, Event, Interrupt

from simulator.acts import Acts, GoneError
from simulator.broods import Brood, brood
from simulator.cohorts import Cohort
from simulator.costs import Costs
from simulator.interfaces import Activity, Arrival, Workload
from simulator.life import begin
from simulator.members import Members
from simulator.messages import Steps
from simulator.plan import Evaluate, Stage, TierPlan
from simulator.presence import Presence
from simulator.records import At, Log, Moment
from simulator.scoring import Scoring
from simulator.selection import chosen, everyone
from simulator.trips import Task, Who
from topologies.hierarchy import Hierarchy
from topologies.streams import stream

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
        self.env, self.hierarchy, self.workload, self.stages, self.log = env, hierarchy, workload, stages, log
        self.on_round, self.seed = on_round, seed
        self.acts = Acts(env, hierarchy, costs, seed, log)
        begin(self.acts, presence)
        self.tiers = {tier for stage in stages for tier in (stage.at, *stage.plan)}  # that take part
        self.states = {n: workload.start(n) for n in hierarchy.nodes() if hierarchy.tier(n) in self.tiers}
        self.steps: Counter[str] = Counter()
        self.members = Members(workload, self.states, self.steps)
        for cohort in self.cohorts():
            self.members.start(cohort)
        self.round = 0
        root = hierarchy.tier(hierarchy.root)
        last_round = sum(stage.plan[root].rounds for stage in stages if root in stage.plan)
        self.scoring = Scoring(self.acts, workload, evaluate, last_round, self.steps)
        self._informed: dict[str, int] = {}  # the rounds in the root's model that each node received last

    def run(self, final_broadcast: bool) -> Steps:
        """All stages in sequence, each closed by a broadcast of what it changed."""
        root = self.hierarchy.root
        for stage in self.stages:
            if stage is not self.stages[0]:
                self.close_round()
            self.workload.enter(stage)
            yield from self.rounds(root, stage, At(self.round))
            if stage.preinstalled or final_broadcast or stage is not self.stages[-1]:
                yield from self.broadcast(root, stage, (), At(self.round))
        yield self.scoring.done()
        self.close_round()

    def close_round(self) -> None:
        """Score what is waiting, and say that a round is over."""
        self.scoring.score()
        self.on_round(self.round, self.log)

    def cohorts(self, *parents: str) -> Sequence[Cohort]:
        """Those that take part, of some parents or of all."""
        groups = self.acts.cohorts
        return [c for parent in parents or groups for c in groups.get(parent, ()) if c.tier in self.tiers]

    def rounds(self, node: str, stage: Stage, at: At) -> Steps:
        """*node* trains, or gathers its children as often as its plan says."""
        tier = self.hierarchy.tier(node)
        if tier == stage.at:
            yield from self.train(node, stage, at)
            return
        children = brood(self.hierarchy, node, stage, self.cohorts(node))
        if tier not in stage.plan:
            yield from self.gather(node, children, stage, at)
            return
        root = node == self.hierarchy.root
        for turn in range(stage.plan[tier].rounds):
            if root:
                self.round += 1
            here = At(self.round) if root else replace(at, turns=(*at.turns, turn))
            arrivals = yield from self.gather(node, children, stage, here)
            yield from self.merge(node, arrivals, stage, here, len(children))
            del arrivals  # or what came in would be held until the next round is over
            if root:
                self.close_round()

    def gather(self, node: str, children: Brood, stage: Stage, at: At) -> Generator[Event, Any, list[Arrival[S]]]:
        """Ask children for a report and wait as the plan says; who is late by then is interrupted."""
        plan = stage.plan.get(self.hierarchy.tier(node))
        modules = plan.modules if plan else ()
        nodes, cohorts = self.asked(node, children, plan, stage, at)
        uploads = [self.env.process(self.report(child, node, modules, stage, at)) for child in nodes]
        uploads += [self.env.process(self._report_all(c, who, modules, stage, at)) for c, who in cohorts.items()]
        try:
            yield plan.wait(self.env, uploads) if plan else self.env.all_of(uploads)
            late = [upload for upload in uploads if upload.is_alive]
            for upload in late:
                upload.interrupt("late")
            yield self.env.all_of(late)  # takes no time: they end at once, with what they have
        except Interrupt:
            for upload in uploads:
                if upload.is_alive:
                    upload.interrupt("late")
            raise
        for child, upload in zip(nodes, uploads, strict=False):
            if upload in late:
                self.acts.happen(child, "late", f"dropped by {node} in {at}")
        for (cohort, who), upload in zip(cohorts.items(), uploads[len(nodes) :], strict=True):
            asked = cohort.count if isinstance(who, slice) else len(who)
            if missing := asked - len(_reports(upload.value)):
                self.acts.happen(cohort.name, "late", f"{missing} of {asked} dropped by {node} in {at}")
        arrivals = [report for upload in uploads for report in _reports(upload.value)]
        return arrivals if self.members.alike else children.in_order(arrivals)

    def asked(
        self, node: str, children: Brood, plan: TierPlan | None, stage: Stage, at: At
    ) -> tuple[Sequence[str], Mapping[Cohort, Who]]:
        """The children that are to report: those that the plan selects of the present ones."""
        if plan is None or plan.select is everyone:
            return children.all()
        random = stream(self.seed, "select", node, crc32(f"{stage.name}|{at}".encode()))
        if all(self.acts.nodes[child].here for child in children.nodes):
            return children.some(chosen(plan.select, children, random))
        there = [n for n, child in enumerate(children) if child not in self.acts.nodes or self.acts.nodes[child].here]
        places = chosen(plan.select, [children[n] for n in there], random)
        return children.some(np.array(there, np.int64)[places])

    def merge(self, node: str, arrivals: list[Arrival[S]], stage: Stage, at: At, count: int) -> Steps:
        """Merge in child order, not in order of arrival: float sums see the order."""
        modules = stage.plan[self.hierarchy.tier(node)].modules
        if arrivals:
            yield from self.compute(node, "merge", modules, at, len(arrivals))
            self.states[node] = self.workload.merge(node, self.states[node], arrivals, modules, "up", count)
        else:
            self.acts.happen(node, "no_arrivals", f"keeps its own model in {at}")
        self.examine(node, "after_merge", at)

    def report(
        self, child: str, parent: str, modules: tuple[str, ...], stage: Stage, at: At
    ) -> Generator[Event, Any, Arrival[S] | None]:
        """Down, then whatever the child does, then up. None if somebody was not there, or it was interrupted."""
        if not self.acts.nodes[child].here:
            self.acts.happen(child, "absent", f"not asked by {parent} in {at}")
            return None
        with self.acts.interruptible(child):
            try:
                arrival = yield from self._report(child, parent, modules, stage, at)
            except GoneError as missing:
                self.acts.happen(child, "unreachable", f"{missing} is not there, in {at}")
                return None
            except Interrupt:
                return None
        return arrival

    def _report(
        self, child: str, parent: str, modules: tuple[str, ...], stage: Stage, at: At
    ) -> Generator[Event, Any, Arrival[S]]:
        yield from self.send_down(parent, child, modules, at, max(at.round - 1, 0))
        yield from self.rounds(child, stage, at)
        self.examine(child, "before_merge", at)
        yield from self.compute(child, "pack", modules, at)
        packet = self.workload.pack(child, parent, self.states[child], modules)
        yield from self.acts.send(child, parent, packet, "up", at)
        self.states[child] = packet.kept
        return Arrival(child, packet.wire)

    def _report_all(
        self, cohort: Cohort, who: Who, modules: tuple[str, ...], stage: Stage, at: At
    ) -> Generator[Event, Any, list[Arrival[S]]]:
        """The reports of those members that have arrived when it ends or is interrupted."""
        task = self.members.task(cohort, who, modules, stage.trainable)
        done = yield from cohort.go(task, at, who)
        return self.members.trained(cohort, who, task, done, modules)

    def send_down(
        self, parent: str, child: str, modules: tuple[str, ...], at: At, version: int, *, preinstalled: bool = False
    ) -> Steps:
        """The child takes over its parent's copy of *modules*; *version* rounds of the root are in it."""
        if parent not in self.states:  # it only forwards, and has no copy
            return
        packet = self.workload.pack(parent, child, self.states[parent], modules)
        if packet.nbytes == 0:
            return
        if not preinstalled:
            yield from self.acts.send(parent, child, packet, "down", at)
        arrival = [Arrival(parent, packet.wire)]
        self.states[child] = self.workload.merge(child, self.states[child], arrival, modules, "down", 1)
        # In the first turn of every tier what comes is the root's model; new, unless it came when a stage ended.
        if not any(at.turns) and self._informed.get(child) != version:
            self._informed[child] = version
            self.examine(child, "after_broadcast", At(version))

    def broadcast(self, node: str, stage: Stage, came: tuple[str, ...], at: At) -> Steps:
        """Send down what the stage changed, each node passing on what it has received, and wait until all have it."""
        modules = stage.sends(self.hierarchy.tier(node), came)

        def inform(child: str) -> Steps:
            if not (stage.preinstalled or self.acts.nodes[child].here):
                self.acts.happen(child, "absent", f"not informed by {node} in {at}")
                return
            with self.acts.interruptible(child):
                try:
                    yield from self.send_down(node, child, modules, at, at.round, preinstalled=stage.preinstalled)
                except (GoneError, Interrupt):
                    self.acts.happen(child, "uninformed", f"did not get the model of {node} in {at}")
                    return
            # Not interruptible by its leaving now: it has the model, and those below that miss it say so themselves.
            yield from self.broadcast(child, stage, modules, at)

        def inform_all(cohort: Cohort) -> Steps:
            down, nothing = self.members.news(cohort, modules), np.zeros(cohort.count)
            if not stage.preinstalled:
                yield from cohort.go(Task(down, nothing, nothing, None), at)
            self.members.informed(cohort, down, modules)

        informed = [inform(child) for child in self.informed(node)]
        informed += [inform_all(cohort) for cohort in self.cohorts(node)]
        yield self.env.all_of([self.env.process(each) for each in informed])

    def informed(self, node: str) -> Iterator[str]:
        """The nearest nodes below that know anything; those between only forward."""
        for child in self.hierarchy.children(node):
            if child in self.states:
                yield child
            else:
                yield from self.informed(child)

    def train(self, node: str, stage: Stage, at: At) -> Steps:
        """Let the work of one local training flow, then apply its effect. Interrupted, nothing is learned."""
        yield from self.compute(node, "train", stage.trainable, at)
        self._informed.pop(node, None)
        self.states[node] = self.workload.train(node, self.states[node], self.steps[node])
        self.steps[node] += 1

    def compute(self, node: str, activity: Activity, modules: Sequence[str], at: At, count: int = 1) -> Steps:
        """Let an activity's work flow through the node's processor."""
        work = self.workload.work(node, activity, self.steps[node], modules, count)
        yield from self.acts.compute(node, activity, work, modules, at)

    def examine(self, node: str, moment: Moment, at: At) -> None:
        """Have a node's model scored if the scenario wants it."""
        self.scoring.examine(node, moment, at, self.states[node])


def _reports(value: Any) -> Sequence[Any]:
    """What an upload brought: one report or none, or those of a cohort."""
    return value if isinstance(value, list) else () if value is None else (value,)
