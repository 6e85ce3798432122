"""What each node of a federation knows, and how it trains, sends, merges and is scored. No clock, no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TypeVar

from torch import Tensor

from models.curriculum import Curriculum, Routine, StageLike
from models.data.samples import Samples, Study
from models.data.streams import stream
from models.engines import Engine, Idle
from models.evaluation import Score, mean_loss
from models.federation.algorithm import Algorithm, Setting
from models.federation.asked import Asked
from models.federation.local import Trainer, paired
from models.federation.tally import VALUE
from models.federation.wire import RESIDUAL, Packed, Parcel, compressed, owed, parcel, sizes
from models.followed import Followed
from models.model import Model, Tensors, ballot, fitting, initial, module
from models.objectives import Supervised
from models.promises import Ghost
from models.recall import Trained
from models.scoring import Scorer
from models.signals import SIGNALS, figure, gradient
from models.states import Direction, State, Vote, merge
from models.training import Job, Recipe
from models.trainings import Trainings

T = TypeVar("T")


def _learn(recipe: Recipe, task: str) -> bool:
    """Whether clients that train by *recipe* learn a task."""
    return isinstance(recipe.objective, Supervised) and (recipe.tasks is None or task in recipe.tasks)


class Learner(Followed):
    """The learning of a whole federation, by node name.

    *holds* gives each node its "module/parameter" names; *recipes* says, by stage name, how clients train. What a stage
    itself lists as ``trainable`` counts; a recipe's own list says beforehand what is going to be trained, so that it is
    not scored before. *algorithms* says by stage name how they learn together, by default by plain averaging; *depths*
    how many links each node is below the root, so that an algorithm can tell a report from a model that comes down.
    Who trains what is the ``curriculum``'s to know. ``train`` returns a promise: what is pending runs together when a
    value is needed, on *engine*, by default stacked in this process. All begin with the weights *start*, of any type,
    by default drawn from *seed*. Raises ValueError where *start* has other names or shapes than the model.
    """

    def __init__(
        self,
        model: Model,
        study: Study,
        holds: Mapping[str, Collection[str]],
        recipes: Mapping[str, Recipe],
        *,
        seed: int = 0,
        algorithms: Mapping[str, Algorithm] | None = None,
        depths: Mapping[str, int] | None = None,
        uniform: frozenset[str] = frozenset(),
        start: Tensors | None = None,
        engine: Engine | None = None,
    ) -> None:
        super().__init__()
        self.model, self.study, self.holds, self.seed = model, study, holds, seed
        self.curriculum, self._depths = Curriculum(study, recipes, algorithms), depths or {}
        self.uniform = uniform  # modules on which every node below has one vote, however many samples it has
        self.trainings = Trainings(model, engine)
        self.initial = initial(model, seed) if start is None else fitting(start, initial(model, seed))
        trained = {name for recipe in recipes.values() for name in recipe.trainable}
        if start is None:  # the head of a task that nobody learns says nothing
            trained |= {f"head.{task}" for task in study.tasks if not any(_learn(r, task) for r in recipes.values())}
        self.scorer = Scorer(model, study, holds, self.initial, trained)
        self._packs: Counter[str] = Counter()  # of reports that were made smaller, by node
        self._parcels: dict[tuple[str, str, tuple[str, ...]], Parcel] = {}  # by sender, receiver and modules wanted
        self._alike: dict[tuple[tuple[str, ...], bool, bool], Parcel] = {}  # by names, and the way
        self._change: tuple[State, State] | None = None  # the root's last merge in this stage: its model before, after

    def start(self, node: str) -> State:
        """What *node* knows before any training: the same for all."""
        return self.giving(State({key: self.initial[key] for key in self.initial if key in self.holds[node]}, {}))

    @property
    def engine(self) -> Engine:
        """Who does its computing."""
        return self.trainings.engine

    @property
    def updates(self) -> int:
        """How many local trainings there were."""
        return self.trainings.count

    @property
    def seconds(self) -> float:
        """Wall time spent on training and scoring."""
        return self.trainings.seconds + self.scorer.seconds

    def replay(self, scores: Iterator[list[Score]] | None, signals: Iterable[Mapping[str, float]] = ()) -> None:
        """From now on train nothing, as well."""
        super().replay(scores, signals)
        self.trainings.replayed = self.replayed

    @property
    def recipe(self) -> Recipe:
        """How clients train in this stage."""
        return self.curriculum.recipe

    @property
    def algorithm(self) -> Algorithm:
        """How they learn together in this stage."""
        return self.curriculum.algorithm

    def enter(self, stage: StageLike) -> None:
        """From now on clients train as *stage* says."""
        self.settle()
        self.curriculum.enter(stage)
        self.algorithm.check(Setting(self.recipe, self.model, self.study.clients))
        self._parcels.clear()
        self._alike.clear()
        self._change = None
        self.scorer.trained |= set(stage.trainable)

    def train(self, node: str, state: State, step: int) -> State:
        """*state* after *node*'s training number *step*, as a promise; votes count its samples, module by module."""
        trainable = self.curriculum.trains(node)
        if not trainable:
            return self.giving(state)
        routine = self.curriculum.routines.get(node) or self._routine(node, state, trainable)
        votes = {**state.samples}
        for name in routine.ballots:
            votes[name] = votes.get(name, 0) + routine.votes
        job = Job(node, state.tensors, routine.samples, self.seed, step, trainable)
        tensors, extra = paired(self.algorithm.local(state, self._trainer(job, self.trainings)))
        return self.giving(State(tensors, votes, state.base, extra))

    def _trainer(self, job: Job, trainings: Trainings) -> Trainer:
        """Whom *job*'s local rule asks."""
        stage = self.curriculum.stage
        return Trainer(job, self.recipe, lambda job, part, how: trainings.promise(job, stage, part, how), self._loss)

    def _loss(self, tensors: Tensors, samples: Samples) -> Tensors:
        """The mean over all samples of the loss that clients minimise, once it is asked for."""

        trainable = self.recipe.trainable

        def compute() -> dict[str, Tensor]:
            return {VALUE: mean_loss(self.model, tensors, samples, self.engine.predict, trainable)}

        return self.trainings.later((VALUE,), tensors, compute)

    def asks(self, node: str, recipe: Recipe, algorithm: Algorithm) -> Asked:
        """What a training of *node* by *recipe* consists of, run by nobody."""
        asked = Asked()
        _, asked.kept = paired(self._asking(node, recipe, algorithm.local, asked))
        if algorithm.uplink and algorithm.uplink.feedback:
            asked.kept = {**asked.kept, RESIDUAL: Ghost(self.holds[node])}
        return asked

    def asks_to_be_scored(self, node: str) -> Asked:
        """What *node* does in this stage to have the weights by which it is scored, run by nobody."""
        asked, personal = Asked(), self.algorithm.personal
        if personal is not None and self.curriculum.personal(node):
            self._asking(node, self.curriculum.recipe_of(node), personal, asked)
        return asked

    def _asking(self, node: str, recipe: Recipe, rule: Callable[[State, Trainer], T], asked: Asked) -> T:
        unknown = Ghost(self.holds[node])
        job = Job(node, unknown, self.curriculum.samples(node, recipe), self.seed, 0, recipe.trainable)
        return rule(State(unknown, {}, State(unknown, {})), Trainer(job, recipe, asked.promise, asked.loss))

    def _routine(self, node: str, state: State, trainable: frozenset[str]) -> Routine:
        """What is the same in every training of *node* in this stage."""
        samples = self.curriculum.samples(node)
        reach = set(self.recipe.objective.reach(self.model, samples))
        own = (key for key in state.tensors if module(key) in trainable and key in reach)
        names = tuple(dict.fromkeys(map(ballot, own)))
        self.scorer.taught.update(map(module, names))
        self.curriculum.routines[node] = routine = Routine(samples, len(samples), names)
        return routine

    def without_training(self) -> Learner:
        """The same nodes before any training, in which none is ever run: for asking what would be trained and sent."""
        twin = copy(self)
        twin.fresh()
        twin.curriculum, twin.scorer = self.curriculum.apart(), self.scorer.fresh()
        twin.trainings = Trainings(self.model, Idle())
        twin._parcels, twin._alike, twin._packs, twin._change = {}, {}, Counter(), None
        return twin

    def settle(self) -> None:
        """Run the trainings that are pending."""
        self.trainings.settle()

    def pack(self, node: str, to: str, state: State, modules: Sequence[str]) -> Packed:
        """What of *modules* both *node* and *to* hold and *node* has a say in, and what its algorithm sends beside it.

        Bytes are those of the tensors themselves, or what the algorithm's uplink makes of them.
        """
        route, up = (node, to, tuple(modules)), self._depths.get(to, 0) < self._depths.get(node, 0)
        if route not in self._parcels:
            wanted = set(modules) - self.curriculum.untrained(node)
            keys = dict.fromkeys(k for k in state.tensors if module(k) in wanted and k in self.holds[to])
            down = self._depths.get(to, 0) > self._depths.get(node, 0)
            alike = (*keys,), up, down
            if alike not in self._alike:
                this = parcel(self.algorithm, keys, self.initial, self.recipe.trainable, up=up, down=down)
                self._alike[alike] = this
            self._parcels[route] = self._alike[alike]
        this = self._parcels[route]
        own = state.tensors
        if isinstance(own, Trained):
            own = own.delivered(this.keys, self.trainings.again)
        elif isinstance(own, Ghost) and self.replayed:  # what it was need not be what is kept
            own = Ghost(own)
        wire, kept = this.sent(state), state.reported(this.modules, own, this.beside if up else ())
        if up and self.algorithm.uplink and this.trained:
            random = stream(self.seed, "uplink", node, self._packs[node])
            self._packs[node] += 1
            wire, kept = compressed(self.algorithm.uplink, this, state, wire, kept, self.initial, random)
        charge = self.algorithm.charge if this.beside else None
        nbytes = this.nbytes + (charge(wire, sizes(this.trained, self.initial)) if charge else 0)
        return Packed(self.giving(wire), nbytes, self.giving(kept), this.modules)

    def merge(
        self,
        node: str,
        own: State,
        received: Sequence[Vote],
        modules: Sequence[str],
        direction: Direction,
        registered: int | None = None,
    ) -> State:
        """*node*'s copy with *modules* replaced by what the rule makes of what it received."""
        algorithm = self.algorithm
        if self.uniform:
            received = [replace(vote, uniform=self.uniform) for vote in received]
        out = merge(own, received, modules, direction, algorithm.rule, registered, algorithm.mix, algorithm.carries)
        if direction == "down" and algorithm.figures:  # what has been since is counted anew
            out = replace(out, extra={k: values for k, values in out.extra.items() if k not in algorithm.figures})
        if direction == "down" and algorithm.uplink and algorithm.uplink.feedback:
            out = owed(out, {key for key in received[0].state.tensors if module(key) in modules}, algorithm.mix)
        if direction == "down" and algorithm.arrives:
            out = algorithm.arrives(own, out)
        if direction == "up" and self._depths.get(node) == 0:
            self._change = own, out
        return self.giving(out)

    def evaluate(self, states: Mapping[str, State]) -> Iterable[Score]:
        """Scores on held-out samples: a client's own mix for a client, all of them for the nodes above."""
        return self.scoring(lambda: self._evaluate(states))

    def _evaluate(self, states: Mapping[str, State]) -> list[Score]:
        self.settle()
        return self.scorer.scores(states, self._personal(states), self.engine.predict, self.recipe.trainable)

    def _personal(self, states: Mapping[str, State]) -> dict[str, Tensors]:
        """By which weights nodes that train are scored, where these are not simply theirs; trained apart if need be."""
        personal, curriculum, apart = self.algorithm.personal, self.curriculum, Trainings(self.model, self.engine)
        if personal is None:
            return {}
        out: dict[str, Tensors] = {}
        for node, state in states.items():
            if curriculum.personal(node):
                job = Job(node, state.tensors, curriculum.samples(node), self.seed, 0, curriculum.trains(node))
                out[node] = personal(state, self._trainer(job, apart))
        apart.settle()
        return out

    signals = SIGNALS

    def signal(self, name: str, states: Mapping[str, State], modules: Sequence[str]) -> dict[str, float]:
        """A figure that a schedule goes by: see :func:`models.signals.figure`."""
        return self.answering(lambda: self._signal(name, states, modules))

    def _signal(self, name: str, states: Mapping[str, State], modules: Sequence[str]) -> dict[str, float]:
        self.settle()
        if name == "gradient":
            return gradient(states, modules, self._way(), self._change)
        taught = {node: state for node, state in states.items() if self.curriculum.taught(node)}
        jobs = {n: Job(n, state.tensors, self.curriculum.samples(n), self.seed, 0) for n, state in taught.items()}
        return figure(name, states, modules, {n: self._trainer(job, self.trainings) for n, job in jobs.items()})

    def _way(self) -> float:
        """Steps x step size of a training of this stage: of the node that was the first to train."""
        node = next(iter(self.curriculum.routines))
        job = Job(node, self.initial, self.curriculum.samples(node), self.seed, 0)
        return self._trainer(job, self.trainings).steps * float(getattr(self.recipe.optimizer, "lr", 1.0))
