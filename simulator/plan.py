"""Who gathers which modules, how often, and whom they wait for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import get_args

from simpy import Environment, Event, Process
from simpy.events import Condition

from simulator.records import Moment
from simulator.selection import Select, everyone

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

    Each time it asks those that *select* chooses of the children that are there, and waits for them as *wait* says.
    """

    modules: tuple[str, ...]
    rounds: int = 1
    wait: Wait = barrier
    select: Select = everyone

    def __post_init__(self) -> None:
        if not isinstance(self.rounds, int) or self.rounds < 1:
            raise ValueError(f"rounds: a whole number >= 1, got {self.rounds}")


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

    def sends(self, tier: str, came: tuple[str, ...]) -> tuple[str, ...]:
        """What a node passes down when the stage ends: what it gathers, what it trained, or else what *came* to it."""
        if tier in self.plan:
            return self.plan[tier].modules
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
