"""What each node of a federation knows, and how it trains, sends, merges and is scored. No clock, no network."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

from torch import Tensor

from models.data.samples import Samples, Study
from models.data.streams import stream
from models.engines import Engine, Idle
from models.evaluation import Score, evaluate, mean_loss
from models.federation.algorithm import FEDAVG, Algorithm
from models.federation.asked import Asked
from models.federation.local import Trainer
from models.federation.tally import VALUE
from models.federation.wire import Parcel, compressed, parcel, sizes
from models.model import Model, Tensors, ballot, initial, module
from models.recall import Trained
from models.signals import SIGNALS, divergence, gradient
from models.states import Direction, Ghost, State, Vote, merge
from models.training import Job, Recipe
from models.trainings import Trainings


class StageLike(Protocol):
    """What a learner needs to know of a stage."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def trainable(self) -> tuple[str, ...]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Packed:
    """What travels, its size, what the sender holds once it is delivered, and which modules it carries."""

    wire: State
    nbytes: int
    kept: State
    modules: tuple[str, ...]


class _Routine(NamedTuple):
    """What a node's trainings of one stage have in common."""

    samples: Samples
    votes: int
    ballots: tuple[str, ...]


class Learner:
    """The learning of a whole federation, by node name.

    *holds* gives each node its "module/parameter" names; *recipes* says, by stage name, how clients train. What a stage
    itself lists as ``trainable`` counts; a recipe's own list says beforehand what is going to be trained, so that it is
    not scored before. *allowed* gives, by stage and node, the modules that a node can train where it cannot train all:
    in that stage it has no say in the others and does not send them. *algorithms* says by stage name how they learn
    together, by default by plain averaging; *depths* how many links each node is below the root, so that an algorithm
    can tell a report from a model that comes down. ``train`` returns a promise: what is pending runs together when a
    value is needed, on *engine*, by default stacked in this process. All begin with the weights *start*, of any type,
    by default drawn from *seed*. Raises ValueError where *start* has other names or shapes than the model.

    Every state that it gives out has a number, in the order of the calls; *live* finds those that somebody still holds.
    So the same calls can be made again without any training (:meth:`replay`), and what is live then be put in place.
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
        allowed: Mapping[tuple[str, str], frozenset[str]] | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.model, self.study, self.holds, self.seed = model, study, holds, seed
        self._recipes, self._algorithms, self._depths = recipes, algorithms or {}, depths or {}
        self.uniform = uniform  # modules on which every node below has one vote, however many samples it has
        self.trainings = Trainings(model, engine)
        self.allowed = {} if allowed is None else allowed
        self.initial = initial(model, seed) if start is None else _fitting(start, initial(model, seed))
        self.taught: set[str] = set()  # modules that somebody has begun to train
        self.scoring_seconds = 0.0  # wall time
        self.given = 0  # how many states have been given out
        self.live: WeakValueDictionary[int, State] | None = None  # those that somebody holds, where they are followed
        self.scored: list[int] = []  # how many scores each evaluation gave
        self.answered: list[dict[str, float]] = []  # what was signalled
        self._answers: Iterator[Mapping[str, float]] = iter(())
        self._replayed: Iterator[list[Score]] | None = None
        self._recipe: Recipe | None = None
        self.algorithm, self._stage = FEDAVG, ""
        self._stages = {name for recipe in recipes.values() for name in recipe.trainable}  # what some stage trains
        self._routines: dict[str, _Routine] = {}  # by node
        self._parcels: dict[tuple[str, str, tuple[str, ...]], Parcel] = {}  # by sender, receiver and modules wanted

    def start(self, node: str) -> State:
        """What *node* knows before any training: the same for all."""
        return self._given(State({key: self.initial[key] for key in self.initial if key in self.holds[node]}, {}))

    def _given(self, state: State) -> State:
        self.given += 1
        if self.live is not None:
            self.live[self.given] = state
        return state

    def follow(self) -> None:
        """From now on know which states somebody holds, so that a run can be saved."""
        self.live = WeakValueDictionary()

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
        return self.trainings.seconds + self.scoring_seconds

    def replay(self, scores: Iterator[list[Score]] | None, signals: Iterable[Mapping[str, float]] = ()) -> None:
        """From now on train nothing and take *scores* of evaluations and *signals* from there; None: in earnest."""
        self._replayed, self.trainings.replayed = scores, scores is not None
        self._answers = iter(signals)

    def enter(self, stage: StageLike) -> None:
        """From now on clients train as *stage* says."""
        self.settle()
        self._recipe, self._stage = self.recipe_in(stage), stage.name
        self.algorithm = self._algorithms.get(stage.name, FEDAVG)
        self.algorithm.check(self._recipe)
        self._parcels.clear()
        self._routines.clear()
        self._stages |= set(stage.trainable)

    def recipe_in(self, stage: StageLike) -> Recipe:
        """How clients train in *stage*."""
        return replace(self._recipes[stage.name], trainable=frozenset(stage.trainable))

    def trains(self, node: str) -> frozenset[str]:
        """The modules that *node* trains in this stage, if it trains at all."""
        allowed = self.allowed.get((self._stage, node))
        return self.recipe.trainable if allowed is None else self.recipe.trainable & allowed

    @property
    def recipe(self) -> Recipe:
        """How clients train in this stage."""
        if self._recipe is None:
            raise ValueError("the learner has not entered a stage yet")
        return self._recipe

    def samples(self, node: str, recipe: Recipe | None = None) -> Samples:
        """What *node* trains on in this stage, or by another *recipe*."""
        data = self.study.public if (recipe or self.recipe).public else self.study.clients[node].train
        if data is None:
            raise ValueError(f"stage data: public, but the study has no public samples for {node}")
        return data

    def held_out(self, node: str) -> Samples:
        """What *node*'s model is scored on, as far as it can make use of it: a client's own mix, else all classes."""
        client = self.study.clients.get(node)
        samples = self.study.test if client is None else client.test
        seen = self.model.modalities(self.holds[node])
        held = {module(key) for key in self.holds[node]}
        inputs = {m: x for m, x in samples.inputs.items() if m in seen}
        tasks = [t for t in samples.targets if inputs and held >= set(self.model.needs(t, inputs))]
        return Samples(inputs, {t: samples.targets[t] for t in tasks})

    def train(self, node: str, state: State, step: int) -> State:
        """*state* after *node*'s training number *step*, as a promise; votes count its samples, module by module."""
        trainable = self.trains(node)
        if not trainable:
            return self._given(state)
        routine = self._routines.get(node) or self._routine(node, state, trainable)
        votes = {**state.samples}
        for name in routine.ballots:
            votes[name] = votes.get(name, 0) + routine.votes
        job = Job(node, state.tensors, routine.samples, self.seed, step, trainable)
        tensors, extra = self.algorithm.local(state, self._trainer(job, self.trainings))
        return self._given(State(tensors, votes, state.base, extra))

    def _trainer(self, job: Job, trainings: Trainings) -> Trainer:
        """Whom *job*'s local rule asks."""
        stage = self._stage
        return Trainer(job, self.recipe, lambda job, part, how: trainings.promise(job, stage, part, how), self._loss)

    def _loss(self, tensors: Tensors, samples: Samples) -> Tensors:
        """The mean over all samples of the loss that clients minimise, once it is asked for."""

        trainable = self.recipe.trainable

        def compute() -> dict[str, Tensor]:
            return {VALUE: mean_loss(self.model, tensors, samples, self.engine.predict, trainable)}

        return self.trainings.later((VALUE,), tensors, compute)

    def asks(self, node: str) -> Asked:
        """What a training of *node* in this stage consists of, run by nobody."""
        unknown = State(Ghost(self.holds[node]), {})
        job = Job(node, unknown.tensors, self.samples(node), self.seed, 0, self.trains(node))
        asked = Asked()
        known = State(unknown.tensors, {}, unknown)
        self.algorithm.local(known, Trainer(job, self.recipe, asked.promise, asked.loss))
        return asked

    def _routine(self, node: str, state: State, trainable: frozenset[str]) -> _Routine:
        """What is the same in every training of *node* in this stage."""
        samples = self.samples(node)
        names = tuple(dict.fromkeys(ballot(key) for key in state.tensors if module(key) in trainable))
        self.taught.update(map(module, names))
        self._routines[node] = routine = _Routine(samples, len(samples), names)
        return routine

    def _untrained(self, node: str) -> frozenset[str]:
        """What this stage trains, but not at *node*, which could."""
        limited = (self._stage, node) in self.allowed
        return self.recipe.trainable - self.trains(node) if limited else frozenset()

    def without_training(self) -> Learner:
        """The same nodes before any training, in which none is ever run: for asking what would be trained and sent."""
        twin = copy(self)
        twin.taught, twin._recipe, twin.live, twin.scoring_seconds = set(), None, None, 0.0
        twin.scored, twin.answered = [], []
        twin.trainings, twin._stages = Trainings(self.model, Idle()), set(self._stages)
        twin._routines, twin._parcels = {}, {}
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
            wanted = set(modules) - self._untrained(node)
            keys = dict.fromkeys(k for k in state.tensors if module(k) in wanted and k in self.holds[to])
            down = self._depths.get(to, 0) > self._depths.get(node, 0)
            self._parcels[route] = parcel(self.algorithm, keys, self.initial, self.recipe.trainable, up=up, down=down)
        this = self._parcels[route]
        own = state.tensors
        if isinstance(own, Trained):
            own = own.delivered(this.keys, self.trainings.again)
        elif isinstance(own, Ghost) and self._replayed is not None:  # what it was need not be what is kept
            own = Ghost(own)
        wire, kept = this.sent(state), state.reported(this.modules, own, this.beside if up else ())
        if up and self.algorithm.uplink and this.trained:
            random = stream(self.seed, "uplink", node, self.given)
            wire, kept = compressed(self.algorithm.uplink, this, state, wire, kept, self.initial, random)
        charge = self.algorithm.charge if this.beside else None
        nbytes = this.nbytes + (charge(wire, sizes(this.trained, self.initial)) if charge else 0)
        return Packed(self._given(wire), nbytes, self._given(kept), this.modules)

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
        out = merge(own, received, modules, direction, algorithm.rule, registered, algorithm.mix)
        if direction == "down" and algorithm.figures:  # what has been since is counted anew
            out = replace(out, extra={k: values for k, values in out.extra.items() if k not in algorithm.figures})
        if direction == "down" and algorithm.arrives:
            out = algorithm.arrives(own, out)
        return self._given(out)

    def evaluate(self, states: Mapping[str, State]) -> Iterable[Score]:
        """Scores on held-out samples: a client's own mix for a client, all of them for the nodes above."""
        out = self._evaluate(states) if self._replayed is None else next(self._replayed)
        self.scored.append(len(out))
        return out

    def _evaluate(self, states: Mapping[str, State]) -> list[Score]:
        self.settle()
        began = time.perf_counter()
        jobs, own = [], self._personal(states)
        for node, state in states.items():
            samples = self.held_out(node)
            jobs.append((node, own.get(node, state.tensors), samples, self.scorable(state, samples)))
        out = evaluate(self.model, [job for job in jobs if job[3]], self.engine.predict, self.recipe.trainable)
        self.scoring_seconds += time.perf_counter() - began
        return out

    def _personal(self, states: Mapping[str, State]) -> dict[str, Tensors]:
        """By which weights nodes that train are scored, where these are not simply theirs; trained apart if need be."""
        algorithm, apart = self.algorithm, Trainings(self.model, self.engine)
        if algorithm.personal is None:
            return {}
        out: dict[str, Tensors] = {}
        for node, state in states.items():
            if node in self._routines:
                job = Job(node, state.tensors, self.samples(node), self.seed, 0, self.trains(node))
                out[node] = algorithm.personal(state, self._trainer(job, apart))
        apart.settle()
        return out

    signals = SIGNALS

    def signal(self, name: str, states: Mapping[str, State], modules: Sequence[str]) -> dict[str, float]:
        """A figure that a schedule goes by: ``loss`` of each node on its own samples, or see :mod:`models.signals`."""
        answer = self._signal(name, states, modules) if self._replayed is None else dict(next(self._answers))
        self.answered.append(answer)
        return answer

    def _signal(self, name: str, states: Mapping[str, State], modules: Sequence[str]) -> dict[str, float]:
        self.settle()
        if name == "divergence":
            return divergence(states, modules)
        if name == "gradient":
            (node, *_), optimizer = states, self.recipe.optimizer
            job = Job(node, states[node].tensors, self.samples(node), self.seed, 0)
            return gradient(states, modules, self._trainer(job, self.trainings).steps * getattr(optimizer, "lr", 1.0))
        if name != "loss":
            raise ValueError(f"there is no signal {name!r}; there are {', '.join(sorted(SIGNALS))}")
        return {n: float(self._loss(s.tensors, self.samples(n))["value"]) for n, s in states.items()}

    def worth_scoring(self, node: str) -> bool:
        """Whether *node* can have a score on any task yet."""
        samples, untaught = self.held_out(node), self._stages - self.taught
        return any(not untaught.intersection(self.model.path(task, samples.inputs)) for task in samples.targets)

    def scorable(self, state: State, samples: Samples) -> tuple[str, ...]:
        """The tasks on which a state has a score: every module on the way that some stage trains has left its start."""
        fresh = {module(key) for key in state.tensors if state.tensors[key] is self.initial[key]} & self._stages
        return tuple(task for task in samples.targets if not fresh.intersection(self.model.path(task, samples.inputs)))


def _fitting(start: Tensors, drawn: Tensors) -> dict[str, Tensor]:
    """Weights to begin with, in the model's order."""
    for key in (*drawn, *start):
        if key not in start or key not in drawn:
            raise ValueError(f"the weights to start from {'lack' if key in drawn else 'have another weight,'} {key}")
        if start[key].shape != drawn[key].shape:
            shapes = f"{tuple(start[key].shape)}, the model {tuple(drawn[key].shape)}"
            raise ValueError(f"{key}: the weights to start from have the shape {shapes}")
    return {key: start[key] for key in drawn}
