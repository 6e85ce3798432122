"""What each node of a federation knows, and the acts that change it: training, and a model that comes from above."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from simulator.acts import Acts
from simulator.gathering.onward import Onward
from simulator.groups.cohorts import Cohort
from simulator.groups.members import Members
from simulator.interfaces import Activity, Arrival, Workload
from simulator.messages import Steps
from simulator.plan import Evaluate, Stage
from simulator.records import At, Moment
from simulator.scoring import Scoring

S = TypeVar("S")


class Knowledge(Generic[S]):
    """The state of every node that takes part, how often it has trained, and whose model it was last sent.

    *versions* count the merges that a node has made; *bases* say, of a node and one below, which of them is in what was
    last sent down between the two.
    """

    def __init__(self, acts: Acts, workload: Workload[S], stages: Sequence[Stage], evaluate: Evaluate) -> None:
        tree = acts.hierarchy
        self.acts, self.hierarchy, self.workload = acts, tree, workload
        self.tiers = {tier for stage in stages for tier in (stage.at, *stage.plan)}  # that take part
        self.states = {n: workload.start(n) for n in tree.nodes() if tree.tier(n) in self.tiers}
        self.steps: Counter[str] = Counter()
        self.members = Members(workload, self.states, self.steps)
        for cohort in self.cohorts():
            self.members.start(cohort)
        root = tree.tier(tree.root)
        last_round = sum(stage.plan[root].rounds for stage in stages if root in stage.plan)
        self.scoring = Scoring(acts, workload, evaluate, last_round, self.steps)
        self.onward = Onward(acts, self.train)
        self.versions: Counter[str] = Counter()
        self.bases: dict[tuple[str, str], int] = {}
        self._informed: dict[str, int] = {}  # the rounds in the root's model that each node received last

    def cohorts(self, *parents: str) -> Sequence[Cohort]:
        """Those that take part, of some parents or of all."""
        groups = self.acts.cohorts
        return [c for parent in parents or groups for c in groups.get(parent, ()) if c.tier in self.tiers]

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

    def send_down(
        self, parent: str, child: str, modules: tuple[str, ...], at: At, version: int, *, preinstalled: bool = False
    ) -> Steps:
        """The child takes over its parent's copy of *modules*; *version* rounds of the root are in it.

        If it went on training meanwhile, that ends; where the model replaces what was learned so, it has no vote.
        """
        if parent not in self.states:  # it only forwards, and has no copy
            return
        packet = self.workload.pack(parent, child, self.states[parent], modules)
        if packet.nbytes == 0:
            return
        merges = self.versions[parent]
        if not preinstalled:
            yield from self.acts.send(parent, child, packet, "down", at)
        learned = yield from self.onward.end(child)
        if learned and getattr(self.workload, "overwrites", False):
            self.states[child] = self.workload.pack(child, child, self.states[child], packet.modules).kept
        arrival = [Arrival(parent, packet.wire)]
        self.states[child] = self.workload.merge(child, self.states[child], arrival, modules, "down", 1)
        self.bases[parent, child] = merges
        # In the first turn of every tier what comes is the root's model; new, unless it came when a stage ended.
        if not any(at.turns) and self._informed.get(child) != version:
            self._informed[child] = version
            self.examine(child, "after_broadcast", At(version))
