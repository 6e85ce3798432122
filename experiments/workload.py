"""Learning as a workload: the thin adapter between what a learner knows and what the simulator asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from models.counting import Cost
from models.data.samples import Samples
from models.evaluation import WIDTH
from models.federation.asked import Asked
from models.federation.wire import sizes
from models.footprint import merging, parts, prediction, training_step
from models.learner import Learner
from models.model import Model, module
from models.states import State, Vote
from models.training import BATCHES, Recipe
from simulator.interfaces import Activity, Arrival, Direction, Packet, Score, Work
from simulator.plan import Stage


class Seen(NamedTuple):
    """What runs on which samples: a *model*, the "module/parameter" names of it that a node has; whose rest it is."""

    model: Model
    held: frozenset[str]
    samples: Samples
    rest_of: str = ""

    @property
    def kind(self) -> tuple[object, ...]:
        """What a step costs goes by this, and how it is taken."""
        return self.rest_of, self.held, tuple(self.samples.inputs), tuple(self.samples.targets)


class LearningWorkload:
    """A learner's work counted on its model (:mod:`models.footprint`), its states passed through unseen.

    *payload*: the bytes that every message counts as, whatever is in it; None: those of what is in it.
    """

    def __init__(self, learner: Learner, payload: int | None = None) -> None:
        self.learner, self.payload = learner, payload
        self._costs: dict[tuple[object, ...], Cost] = {}  # by what they depend on
        self._work: dict[tuple[object, ...], Work] = {}  # by node, this stage
        self._stage = ""
        self.told: dict[tuple[str, str, str], Work] = {}  # by stage, node and activity: the last answer

    def unlike(self, children: Sequence[str]) -> str | None:
        """In what siblings differ that has a say in their packets: what they hold, or what memory lets them train."""
        holds, allowed = self.learner.holds, self.learner.curriculum.allowed
        first, *others = children
        for other in others:
            if holds[other] != holds[first]:
                names = sorted({module(key) for key in holds[other] ^ holds[first]})  # type: ignore[operator]
                return f"{first} and {other} differ in what they hold ({', '.join(names)})"
        for stage in dict.fromkeys(stage for stage, _ in allowed):
            if len({allowed.get((stage, child)) for child in children}) > 1:
                return f"memory lets its members train different modules in stage {stage}"
        return None

    def start(self, node: str) -> State:
        """What *node* knows before any training."""
        return self.learner.start(node)

    def enter(self, stage: Stage) -> None:
        """A stage begins."""
        self.learner.enter(stage)
        self._work = {}  # a new one: copies of this workload keep theirs
        self._stage = stage.name

    def work(self, node: str, activity: Activity, step: int, modules: Sequence[str] = (), count: int = 1) -> Work:
        """What training, scoring or merging *count* copies of *modules* costs; packing computes nothing."""
        if activity == "pack" or (activity == "evaluate" and not self.learner.scorer.worth(node)):
            return Work(0.0)
        key = (node, activity, *((tuple(modules), count) if activity == "merge" else ()))
        if key not in self._work:
            self._work[key] = _work(self._cost(node, activity, modules, count))
            self.told[self._stage, node, activity] = self._work[key]
        return self._work[key]

    def _cost(self, node: str, activity: Activity, modules: Sequence[str], count: int) -> Cost:
        learner = self.learner
        if activity == "merge":  # as if every copy held all that the node holds of *modules*
            wanted = set(modules)
            held = {key: learner.initial[key] for key in learner.holds[node] if module(key) in wanted}
            more = learner.algorithm.extra_flops
            numbers = sum(value.numel() for value in held.values())
            return merging(held, count) + Cost(round(more(numbers, count)) if more else 0)
        recipe = learner.curriculum.recipe_of(node)
        if activity == "train":
            return self._asked(node, recipe, learner.asks(node, recipe, learner.algorithm))
        before, held_out = learner.asks_to_be_scored(node), learner.scorer.held_out(node)
        own = self._asked(node, recipe, before) if before.recipes else Cost()
        return own + self._scoring(Seen(learner.model, frozenset(learner.holds[node]), held_out))

    def _asked(self, node: str, recipe: Recipe, asked: Asked) -> Cost:
        """All trainings that an algorithm asks of *node*, which trains by *recipe*, and the losses that it wants.

        What it keeps beside the weights is in memory all the time.
        """
        seen, initial = self._seen(node, recipe), self.learner.initial
        out = self._scoring(seen) * asked.losses
        for how, trainable in asked.recipes:
            same = how is recipe and trainable == recipe.trainable
            out += self._training(seen, how if same else replace(how, trainable=trainable, purpose=BATCHES))
        if not asked.kept:
            return out
        own = [key for key in initial if module(key) in recipe.trainable]  # the rest of a copy is that of the model
        kept = (sizes((key for key in own if key in values), initial) for values in asked.kept.values())
        return replace(out, memory_bytes=out.memory_bytes + sum(sum(each.values()) for each in kept))

    def _seen(self, node: str, recipe: Recipe) -> Seen:
        """What *node*'s trainings by *recipe* run on."""
        learner = self.learner
        return Seen(learner.model, frozenset(learner.holds[node]), learner.curriculum.samples(node, recipe))

    def _training(self, seen: Seen, recipe: Recipe) -> Cost:
        """All epochs of one local training, worked out once for clients that are alike."""
        alike = (*seen.kind, len(seen.samples), recipe)
        if alike not in self._costs:
            kind = (*seen.kind, recipe.objective, recipe.optimizer, recipe.trainable, recipe.correction)

            def step(rows: int) -> Cost:
                return training_step(seen.model, seen.held, seen.samples, recipe, rows)

            self._costs[alike] = self._passes(len(seen.samples), recipe.batch_size, kind, step) * recipe.epochs
        return self._costs[alike]

    def _scoring(self, seen: Seen) -> Cost:
        def score(rows: int) -> Cost:
            return prediction(seen.model, seen.held, seen.samples, rows)

        return self._passes(len(seen.samples), WIDTH, (*seen.kind, "evaluate"), score)

    def _passes(self, n: int, batch_size: int, kind: tuple[object, ...], step: Callable[[int], Cost]) -> Cost:
        """One pass over *n* samples, each batch at the cost of its own size."""
        out = Cost()
        for times, rows in parts(n, batch_size):
            if (rows, *kind) not in self._costs:
                self._costs[rows, *kind] = step(rows)
            out += self._costs[rows, *kind] * times
        return out

    def candidates(self, stage: Stage, node: str) -> tuple[str, ...]:
        """The modules that *stage* would have *node* train, as far as it holds them, in the model's order."""
        held, trainable = {module(key) for key in self.learner.holds[node]}, set(stage.trainable)
        return tuple(name for name in self.learner.model.modules if name in held & trainable)

    def peak(self, stage: Stage, node: str, modules: frozenset[str]) -> float:
        """The most memory in bytes that training *modules* takes at *node*."""
        recipe = replace(self.learner.curriculum.recipe_in(stage), trainable=modules)
        samples = self.learner.curriculum.samples(node, recipe)
        if recipe.tasks is not None and not samples.targets:
            return 0.0  # it has none of the stage's tasks
        asked = self.learner.asks(node, recipe, self.learner.curriculum.algorithm_in(stage))
        return self._asked(node, recipe, asked).memory_bytes

    def train(self, node: str, state: State, step: int) -> State:
        """A promise of *state* after training."""
        return self.learner.train(node, state, step)

    def pack(self, node: str, to: str, state: State, modules: Sequence[str]) -> Packet[State]:
        """What of *modules* both hold."""
        packed = self.learner.pack(node, to, state, modules)
        nbytes = packed.nbytes if self.payload is None or not packed.nbytes else self.payload
        return Packet(packed.wire, nbytes, packed.kept, packed.modules)

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

    @property
    def overwrites(self) -> bool:
        """Whether a model that comes down replaces what a node has learned, rather than being mixed in."""
        return self.learner.algorithm.mix == 1

    @property
    def signals(self) -> frozenset[str]:
        """What its learner answers to."""
        return self.learner.signals

    def signal(self, name: str, states: Mapping[str, State], modules: Sequence[str]) -> Mapping[str, float]:
        """A figure that a schedule goes by."""
        return self.learner.signal(name, states, modules)

    def evaluate(self, states: Mapping[str, State]) -> Iterable[Score]:
        """Scores on held-out samples."""
        return self.learner.evaluate(states)


def _work(cost: Cost) -> Work:
    return Work(float(cost.flops), float(cost.bytes_moved), float(cost.memory_bytes), cost.launches)
