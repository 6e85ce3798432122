"""The SimPy processes of a run: rounds, reports, computing and sending, recursive over the tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from simpy import Environment, Event, Interrupt, Process

from simulator.acts import Acts, GoneError
from simulator.cohorts import Cohort
from simulator.costs import Costs
from simulator.interfaces import Activity, Arrival, Work, Workload
from simulator.life import begin
from simulator.messages import Steps
from simulator.nodes import BACKGROUND
from simulator.plan import Evaluate, Stage
from simulator.presence import Presence
from simulator.records import At, Log, Metric, Moment
from topologies.hierarchy import Hierarchy

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Sitting(Generic[S]):
    """A model to be scored: whose, when, and at which moment."""

    time_s: float
    at: At
    node: str
    moment: Moment
    state: S


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
        self.evaluate, self.on_round = evaluate, on_round
        self.acts = Acts(env, hierarchy, costs, seed, log)
        begin(self.acts, presence)
        self.tiers = {tier for stage in stages for tier in (stage.at, *stage.plan)}  # that take part
        self.states = {n: workload.start(n) for n in hierarchy.nodes() if hierarchy.tier(n) in self.tiers}
        self.steps: Counter[str] = Counter()
        self.round = 0
        root = hierarchy.tier(hierarchy.root)
        self.last_round = sum(stage.plan[root].rounds for stage in stages if root in stage.plan)
        self._informed: dict[str, int] = {}  # the rounds in the root's model that each node received last
        self._sittings: list[Sitting[S]] = []
        self._scoring: list[Process] = []

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
        yield self.env.all_of(self._scoring)
        self.close_round()

    def close_round(self) -> None:
        """Score what is waiting, and say that a round is over."""
        self._scoring = [process for process in self._scoring if process.is_alive]
        self._score()
        self.on_round(self.round, self.log)

    def active(self, node: str, stage: Stage) -> Iterator[str]:
        """The nearest nodes below that train or gather; those between only forward."""
        for child in self.hierarchy.children(node):
            tier = self.hierarchy.tier(child)
            if tier == stage.at or tier in stage.plan:
                yield child
            else:
                yield from self.active(child, stage)

    def rounds(self, node: str, stage: Stage, at: At) -> Steps:
        """*node* trains, or gathers its children as often as its plan says."""
        tier = self.hierarchy.tier(node)
        if tier == stage.at:
            yield from self.train(node, stage, at)
            return
        children = tuple(self.active(node, stage))
        if tier not in stage.plan:
            yield from self.gather(node, children, stage, at)
            return
        root = node == self.hierarchy.root
        for turn in range(stage.plan[tier].rounds):
            if root:
                self.round += 1
            here = At(self.round) if root else replace(at, turns=(*at.turns, turn))
            arrivals = yield from self.gather(node, children, stage, here)
            count = len(children) + sum(c.count for c in self.acts.cohorts.get(node, ()) if c.tier == stage.at)
            yield from self.merge(node, arrivals, stage, here, count)
            if root:
                self.close_round()

    def gather(
        self, node: str, children: Sequence[str], stage: Stage, at: At
    ) -> Generator[Event, Any, list[Arrival[S]]]:
        """Ask every child for a report and wait as the plan says; who is late by then is interrupted."""
        plan = stage.plan.get(self.hierarchy.tier(node))
        modules = plan.modules if plan else ()
        cohorts = [cohort for cohort in self.acts.cohorts.get(node, ()) if cohort.tier == stage.at]
        uploads = [self.env.process(self.report(child, node, modules, stage, at)) for child in children]
        uploads += [self.env.process(self._report_all(cohort, modules, stage, at)) for cohort in cohorts]
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
        for child, upload in zip(children, uploads, strict=False):
            if upload in late:
                self.acts.happen(child, "late", f"dropped by {node} in {at}")
        for cohort, upload in zip(cohorts, uploads[len(children) :], strict=True):
            if missing := cohort.count - len(_reports(upload.value)):
                self.acts.happen(cohort.name, "late", f"{missing} of {cohort.count} dropped by {node} in {at}")
        return [report for upload in uploads for report in _reports(upload.value)]

    def merge(self, node: str, arrivals: list[Arrival[S]], stage: Stage, at: At, count: int) -> Steps:
        """Merge in child order, not in order of arrival: float sums see the order."""
        modules = stage.plan[self.hierarchy.tier(node)].modules
        if arrivals:
            yield from self.compute(node, "merge", modules, at, count=len(arrivals))
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
        self, cohort: Cohort, modules: tuple[str, ...], stage: Stage, at: At
    ) -> Generator[Event, Any, list[Arrival[S]]]:
        """The reports of all members that have arrived when it ends or is interrupted."""
        names = [group.name for group in cohort.groups]
        down = self.workload.pack(cohort.parent, names[0], self.states[cohort.parent], modules)
        works = [self.workload.work(name, "train", cohort.steps, stage.trainable) for name in names]
        up = self.workload.pack(names[0], cohort.parent, self.states[cohort.parent], modules)
        cohort.steps += 1
        arrived = yield from cohort.go(down, works, up, at, stage.trainable)
        return [Arrival(cohort.name, up.wire)] * arrived

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
            down = self.workload.pack(node, cohort.groups[0].name, self.states[node], modules)
            if not stage.preinstalled:
                yield from cohort.go(down, [Work(0.0)] * len(cohort.groups), None, at)

        informed = [inform(child) for child in self.informed(node)]
        informed += [inform_all(cohort) for cohort in self.acts.cohorts.get(node, ()) if cohort.tier in self.tiers]
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

    def compute(
        self, node: str, activity: Activity, modules: Sequence[str], at: At, *, count: int = 1, weight: float = 1.0
    ) -> Steps:
        """Let an activity's work flow through the node's processor."""
        work = self.workload.work(node, activity, self.steps[node], modules, count)
        yield from self.acts.compute(node, activity, work, modules, at, weight=weight)

    def examine(self, node: str, moment: Moment, at: At) -> None:
        """Have a node's model scored if the scenario wants it; the work goes on in the background."""
        if self.evaluate.wants(self.hierarchy.tier(node), moment, at.round, self.last_round):
            self._sittings.append(Sitting(self.env.now, at, node, moment, self.states[node]))
            self._scoring.append(self.env.process(self._evaluate(node, at)))

    def _evaluate(self, node: str, at: At) -> Steps:
        if not self.acts.nodes[node].here:  # what it was given came preinstalled
            return
        with self.acts.interruptible(node):
            try:
                yield from self.compute(node, "evaluate", (), at, weight=BACKGROUND)
            except Interrupt:  # the score stands: it is of the model that the node had
                return

    def _score(self) -> None:
        """Score together what is waiting, every node once at a time."""
        waiting, self._sittings = self._sittings, []
        while waiting:
            now: dict[str, Sitting[S]] = {}
            waiting = [sitting for sitting in waiting if now.setdefault(sitting.node, sitting) is not sitting]
            for score in self.workload.evaluate({node: sitting.state for node, sitting in now.items()}):
                s = now[score.node]
                place = (s.time_s, s.at.round, s.at.turn, s.node, self.hierarchy.tier(s.node), s.moment, "federated")
                what = (score.split, score.group, score.task, score.modality, score.name, score.value)
                self.log.metrics.append(Metric(*place, *what))


def _reports(value: Any) -> Sequence[Any]:
    """What an upload brought: one report or none, or those of a cohort."""
    return value if isinstance(value, list) else () if value is None else (value,)
