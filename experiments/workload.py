"""Learning as a workload: the thin adapter between what a learner knows and what the simulator asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from models.data.samples import Samples
from models.footprint import forward_flops, training_flops
from models.learner import Learner
from models.states import State, Vote
from simulator.interfaces import Activity, Arrival, Direction, Packet, Score, Work
from simulator.plan import Stage


class LearningWorkload:
    """A learner's work counted in FLOPs, its states passed through unseen."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self._per_sample: dict[tuple[object, ...], int] = {}
        self._work: dict[tuple[str, str, str], float] = {}
        self._stage = ""

    def start(self, node: str) -> State:
        """What *node* knows before any training."""
        return self.learner.start(node)

    def enter(self, stage: Stage) -> None:
        """A stage begins."""
        self.learner.enter(stage)
        self._stage = stage.name

    def work(self, node: str, activity: Activity, step: int, modules: Sequence[str] = (), count: int = 1) -> Work:
        """Training and scoring cost the FLOPs of their samples; packing and merging are elementwise and cost none."""
        if activity not in ("train", "evaluate"):
            return Work(0.0)
        if activity == "evaluate" and not self.learner.worth_scoring(node):
            return Work(0.0)
        key = (self._stage, node, activity)
        if key not in self._work:
            self._work[key] = self._train(node) if activity == "train" else self._evaluate(node)
        return Work(self._work[key])

    def _train(self, node: str) -> float:
        samples, recipe = self.learner.samples(node), self.learner.recipe
        held = frozenset(self.learner.holds[node])
        key = ("train", held, *_kind(samples), recipe.objective, recipe.trainable)
        if key not in self._per_sample:
            flops = training_flops(self.learner.model, held, samples, recipe.objective, recipe.trainable)
            self._per_sample[key] = flops
        return float(self._per_sample[key] * len(samples) * recipe.epochs)

    def _evaluate(self, node: str) -> float:
        samples, held = self.learner.held_out(node), frozenset(self.learner.holds[node])
        key = ("evaluate", held, *_kind(samples))
        if key not in self._per_sample:
            self._per_sample[key] = forward_flops(self.learner.model, held, samples)
        return float(self._per_sample[key] * len(samples))

    def train(self, node: str, state: State, step: int) -> State:
        """A promise of *state* after training."""
        return self.learner.train(node, state, step)

    def pack(self, node: str, to: str, state: State, modules: Sequence[str]) -> Packet[State]:
        """What of *modules* both hold."""
        packed = self.learner.pack(node, to, state, modules)
        return Packet(packed.wire, packed.nbytes, packed.kept, packed.modules)

    def merge(
        self,
        node: str,
        own: State,
        received: Sequence[Arrival[State]],
        modules: Sequence[str],
        direction: Direction,
        count: int,
    ) -> State:
        """*own* with *modules* replaced by what the rule makes of what arrived."""
        votes = [Vote(a.sender, a.state, a.staleness, a.weight) for a in received]
        return self.learner.merge(node, own, votes, modules, direction, count)

    def evaluate(self, states: Mapping[str, State]) -> Iterable[Score]:
        """Scores on held-out samples."""
        return self.learner.evaluate(states)


def _kind(samples: Samples) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(samples.inputs), tuple(samples.targets)
