"""Who gathers which modules, how often, and whom they wait for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

from simpy import Environment, Event, Process
from simpy.events import Condition

from simulator.gathering.selection import Knowing, Select, everyone
from simulator.records import Moment

if TYPE_CHECKING:
    from simulator.sideways.cluster import Sideways

Late = Literal["drop", "keep"]
Meanwhile = Literal["idle", "train"]
Wait = Callable[[Environment, Sequence[Process]], Event]


def arrived(upload: Event) -> bool:
    """Whether an upload is over and brought a report."""
    return upload.triggered and upload.value is not None


def barrier(env: Environment, uploads: Sequence[Process]) -> Event:
    """Wait for every child."""
    return env.all_of(uploads)


@dataclass(frozen=True, slots=True)
class Deadline:
    """Wait for every child, but no longer than *seconds*."""

    seconds: float

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"a deadline must be > 0 s, got {self.seconds}")

    def __call__(self, env: Environment, uploads: Sequence[Process]) -> Event:
        """The event that ends the waiting."""
        return env.all_of(uploads) | env.timeout(self.seconds)


@dataclass(frozen=True, slots=True)
class FirstOf:
    """Wait until *k* children have arrived (those of the same instant count too), or until no more can come."""

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"first: at least 1 child, got {self.k}")

    def __call__(self, env: Environment, uploads: Sequence[Process]) -> Event:
        """The event that ends the waiting."""

        def enough(events: Sequence[Event], over: int) -> bool:
            return over == len(events) or (over >= self.k and sum(e.processed and arrived(e) for e in events) >= self.k)

        return Condition(env, enough, list(uploads))


@dataclass(frozen=True, slots=True)
class TierPlan:
    """How a node of this tier gathers its children: *modules* travel between them, *rounds* times per own report.

    Each time, which is a turn, it asks those that *select* chooses of the children that are there, and waits for them
    as *wait* says. Raises ValueError.

    - *late*: who has not reported by then is interrupted, or goes on undisturbed ("keep"). Who is kept is asked again,
      and sent a model again, only after its report has been merged; that is in the next merge after it has landed. So
      `FirstOf(k)` with "keep" is FedBuff (Nguyen et al., AISTATS 2022), and with k = 1 FedAsync (Xie et al. 2019).
    - *peers*: what the children that were asked do among themselves between computing and reporting.
    - *every*: a module that is named here travels in every so many turns of a node, counted over the whole stage from
      1: up at the end of turns k, 2k, ...; down at the start of the turn after (and of the first). A child that is late
      and kept reports what was due in the turn in which it was asked.
    - *down*: the modules that travel down; None: all of *modules*.
    - *meanwhile*: what a child that trains does from when its report is packed until its parent's next model has come:
      nothing, or it goes on training (delay-aware federated learning, after arXiv 2303.12414). The training under way
      when the model comes is cut.
    """

    modules: tuple[str, ...]
    rounds: int = 1
    wait: Wait = barrier
    select: Select | Knowing = everyone
    late: Late = "drop"
    every: Mapping[str, int] = field(default_factory=dict, hash=False)
    down: tuple[str, ...] | None = None
    meanwhile: Meanwhile = "idle"
    peers: Sideways[Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.rounds, int) or self.rounds < 1:
            raise ValueError(f"rounds: a whole number >= 1, got {self.rounds}")
        for name, known in (("late", get_args(Late)), ("meanwhile", get_args(Meanwhile))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: {' or '.join(known)}, got {getattr(self, name)!r}")
        if self.late == "keep" and self.wait is barrier:
            raise ValueError("late: keep is of no effect where all are waited for; give a deadline or first: k as well")
        if self.meanwhile == "train" and self.peers is not None:
            raise ValueError("meanwhile: train: not with peers, since those that do not report would have to idle")
        if self.peers is not None:
            self._check_peers(self.peers)
        for name, where in ((n, w) for w, names in (("every", self.every), ("down", self.down or ())) for n in names):
            if name not in self.modules:
                raise ValueError(f"{where}: {name} is not among the modules; those are {', '.join(self.modules)}")
        for name, turns in self.every.items():
            if isinstance(turns, bool) or not isinstance(turns, int) or turns < 1:
                raise ValueError(f"every: {name}: a whole number of turns >= 1, got {turns!r}")

    def _check_peers(self, peers: Sideways[Any]) -> None:
        if peers.modules is not None and not peers.modules:
            raise ValueError("peers: modules: name at least one, or leave it out: all of the tier's")
        if getattr(peers, "silent", False) and self.downward:
            raise ValueError(
                "peers: nobody reports, and what comes down would replace what peers have learned; give down: []"
            )
        left_out = [name for name in self.modules if peers.modules is not None and name not in peers.modules]
        if getattr(peers, "for_others", False) and left_out:
            raise ValueError(
                f"peers: one reports for others, who do not send it {', '.join(left_out)}; add that to peers.modules "
                "or take it from the tier's modules"
            )

    def due(self, turn: int) -> tuple[str, ...]:
        """What is reported at the end of a *turn*, the first being 1."""
        if getattr(self.peers, "silent", False):
            return ()
        if not self.every:
            return self.modules
        return tuple(name for name in self.modules if turn % self.every.get(name, 1) == 0)

    def brought(self, turn: int) -> tuple[str, ...]:
        """What is sent down at the start of a *turn*, the first being 1."""
        if not self.every:
            return self.downward
        return tuple(name for name in self.downward if (turn - 1) % self.every.get(name, 1) == 0)

    @property
    def downward(self) -> tuple[str, ...]:
        """What ever travels down."""
        return self.modules if self.down is None else self.down


class Plan(dict[str, TierPlan]):
    """How each tier gathers its children; a tier without an entry only forwards."""

    def check(self, tiers: Sequence[str]) -> None:
        """Refuse a plan of unknown tiers, or whose modules grow on the way up; *tiers* from the root down."""
        for tier in self:
            if tier not in tiers:
                raise ValueError(f"plan: there is no tier {tier!r}; the tiers are {', '.join(tiers)}")
        gathering = [tier for tier in tiers if tier in self]
        for upper, lower in pairwise(gathering):
            extra = [name for name in self[upper].modules if name not in self[lower].modules]
            if extra:
                raise ValueError(
                    f"plan.{upper}: {', '.join(extra)} cannot arrive, since {lower} does not gather it; "
                    f"add it to plan.{lower}.modules or take it from plan.{upper}.modules"
                )


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a run: the nodes of tier *at* train *trainable*, gathered by *plan* (empty: they train once, alone).

    When it ends, what it changed goes down once; if it is *preinstalled*, at no cost and in no time.
    """

    name: str
    plan: Plan = field(default_factory=Plan)
    at: str = "device"
    trainable: tuple[str, ...] = ()
    preinstalled: bool = False

    def check(self, tiers: Sequence[str]) -> None:
        """Refuse a stage that does not fit the *tiers*, from the root down."""
        self.plan.check(tiers)
        if self.at not in tiers:
            raise ValueError(f"stage {self.name}: there is no tier {self.at!r}; the tiers are {', '.join(tiers)}")
        below = [t for t in self.plan if tiers.index(t) >= tiers.index(self.at)]
        if below:
            raise ValueError(f"stage {self.name}: {below[0]} cannot gather what {self.at} trains: it is not above it")
        upper = [t for t in tiers if t in self.plan][:-1]
        helping = [t for t in upper if getattr(self.plan[t].peers, "helped", ())]
        if helping:
            raise ValueError(
                f"plan.{helping[0]}.peers: nobody can be helped there in stage {self.name}: its children gather, they "
                "do not train"
            )
        busy = [t for t in upper if self.plan[t].meanwhile == "train"]
        if busy:
            raise ValueError(
                f"plan.{busy[0]}.meanwhile: train: in stage {self.name} its children gather, they do not train"
            )

    def sends(self, tier: str, came: tuple[str, ...]) -> tuple[str, ...]:
        """What a node passes down when the stage ends: what it gathers, what it trained, or else what *came* to it."""
        if tier in self.plan:
            return self.plan[tier].downward
        return self.trainable if tier == self.at else came


@dataclass(frozen=True, slots=True)
class Evaluate:
    """When models are scored: every so many rounds of the root, at which tiers, at which moments.

    ``after_broadcast`` is the state of a node that has just received the root's new model.
    """

    every: int = 1
    tiers: tuple[str, ...] = ()
    moments: tuple[str, ...] = ("after_merge", "after_broadcast")

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"evaluate: every must be >= 1, got {self.every}")
        unknown = [moment for moment in self.moments if moment not in get_args(Moment)]
        if unknown:
            raise ValueError(f"evaluate: there is no moment {unknown[0]!r}; there are {', '.join(get_args(Moment))}")

    def wants(self, tier: str, moment: str, round_: int, last: int) -> bool:
        """Whether a model of *tier* is scored now; the *last* round always is."""
        return tier in self.tiers and moment in self.moments and (round_ % self.every == 0 or round_ == last)
