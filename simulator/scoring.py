"""Models that are to be scored: noted when somebody has them, charged in the background, scored together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Generic, TypeVar

from simpy import Event, Interrupt, Process

from simulator.acts import Acts
from simulator.interfaces import Workload
from simulator.messages import Steps
from simulator.nodes import BACKGROUND
from simulator.plan import Evaluate
from simulator.records import At, Metric, Moment

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Sitting(Generic[S]):
    """A model to be scored: whose, when, and at which moment."""

    time_s: float
    at: At
    node: str
    moment: Moment
    state: S


class Scoring(Generic[S]):
    """What waits for a score, and what scoring takes of the nodes; *last* is the last round of the root."""

    def __init__(self, acts: Acts, workload: Workload[S], evaluate: Evaluate, last: int, steps: Counter[str]) -> None:
        self.acts, self.workload, self.evaluate, self.last, self.steps = acts, workload, evaluate, last, steps
        self._sittings: list[Sitting[S]] = []
        self._working: list[Process] = []

    def examine(self, node: str, moment: Moment, at: At, state: S) -> None:
        """Have a node's model scored if the scenario wants it; the work goes on in the background."""
        acts = self.acts
        if self.evaluate.wants(acts.nodes[node].tier, moment, at.round, self.last):
            self._sittings.append(Sitting(acts.env.now, at, node, moment, state))
            self._working.append(acts.env.process(self._work(node, at)))

    def done(self) -> Event:
        """When all nodes are through with their scoring."""
        return self.acts.env.all_of(self._working)

    def _work(self, node: str, at: At) -> Steps:
        if not self.acts.nodes[node].here:  # what it was given came preinstalled
            return
        work = self.workload.work(node, "evaluate", self.steps[node])
        with self.acts.interruptible(node):
            try:
                yield from self.acts.compute(node, "evaluate", work, (), at, weight=BACKGROUND)
            except Interrupt:  # the score stands: it is of the model that the node had
                return

    def score(self) -> None:
        """Score together what is waiting, every node once at a time."""
        self._working = [process for process in self._working if process.is_alive]
        waiting, self._sittings = self._sittings, []
        model = getattr(self.workload, "label", "federated")
        while waiting:
            now: dict[str, Sitting[S]] = {}
            waiting = [sitting for sitting in waiting if now.setdefault(sitting.node, sitting) is not sitting]
            for score in self.workload.evaluate({node: sitting.state for node, sitting in now.items()}):
                s = now[score.node]
                tier = self.acts.nodes[s.node].tier
                place = (s.time_s, s.at.round, s.at.turn, s.node, tier, s.moment, model)
                what = (score.split, score.group, score.task, score.modality, score.name, score.value)
                self.acts.log.metrics.append(Metric(*place, *what))
