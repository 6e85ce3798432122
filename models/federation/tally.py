"""What a merge rule sees when the values are known, and how its result becomes a state."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor

from models.means import weighted_sum
from models.model import Tensors, ballot, module
from models.promises import lazily, plain
from models.states import Direction, State, Vote

Result = tuple[Mapping[str, Tensor], Mapping[str, Tensors]]  # new weights, and by name the new extra
VALUE = "value"  # the key of a single number


@dataclass(frozen=True)
class Tally:
    """Copies that arrived at a node, and the *keys* that are merged; *registered* children could have reported.

    A copy has a say in a key that it holds and has votes on. Keys in which none has are left out.
    """

    own: State
    votes: Sequence[Vote]
    registered: int
    wanted: Sequence[str]

    @cached_property
    def keys(self) -> list[str]:
        """Those in which somebody has a say, in the node's own order."""
        return [key for key in self.wanted if self.voters(key)]

    def voters(self, key: str) -> list[Vote]:
        """Who has a say in *key*, in child order."""
        return [vote for vote in self.votes if self.speaks(vote, key)]

    @staticmethod
    def speaks(vote: Vote, key: str) -> bool:
        """Whether a copy has a say in *key*."""
        return vote.weigh(ballot(key)) > 0 and key in vote.state.tensors

    def shares(self, key: str) -> list[float]:
        """How much each of the voters' says is of all; 1 together."""
        weights = [vote.weigh(ballot(key)) for vote in self.voters(key)]
        return [weight / sum(weights) for weight in weights]

    def copies(self, key: str) -> list[Tensor]:
        """The voters' weights."""
        return [plain(vote.state.tensors)[key] for vote in self.voters(key)]

    def updates(self, key: str) -> list[Tensor]:
        """How far each voter has come from the model that it was sent (the node's own, if it was sent none)."""
        return [self.update(vote, key) for vote in self.voters(key)]

    def update(self, vote: Vote, key: str) -> Tensor:
        """How far one voter has come."""
        base = {} if vote.state.base is None else vote.state.base.tensors
        return plain(vote.state.tensors)[key] - (base[key] if key in base else self.own.tensors[key])

    def mean(self, key: str) -> Tensor:
        """The mean of the voters' weights by their shares, in child order."""
        return weighted_sum(self.copies(key), self.shares(key))

    def mean_update(self, key: str) -> Tensor:
        """How far the voters have come on average: the "pseudo-gradient" of Reddi et al. 2021, negated."""
        copies = [self.arrived(vote, key) for vote in self.voters(key)]
        return weighted_sum(copies, self.shares(key)) - self.own.tensors[key]

    def arrived(self, vote: Vote, key: str) -> Tensor:
        """A voter's weights; of one whose model was old, the node's own with the voter's update added."""
        return self.own.tensors[key] + self.update(vote, key) if vote.staleness else plain(vote.state.tensors)[key]

    def moved(self, key: str, says: Sequence[float], total: float) -> Tensor:
        """The node's own weights, moved by *says* / *total* of each voter's update.

        Where the says are all of the total, these are the bits of a mean.
        """
        copies = [self.arrived(vote, key) for vote in self.voters(key)]
        shares, rest = [say / total for say in says], (total - sum(says)) / total
        return weighted_sum([*copies, self.own.tensors[key]], [*shares, rest]) if rest else weighted_sum(copies, shares)

    def square(self, vote: Vote) -> float:
        """The squared 2-norm of a voter's update, over all keys in which it has a say."""
        steps = (self.update(vote, key) for key in self.keys if self.speaks(vote, key))
        return math.fsum(float((step * step).sum()) for step in steps)

    def figure(self, vote: Vote, name: str, default: float = 0.0) -> float:
        """The single number that a report has under *name*."""
        sent = vote.state.extra.get(name)
        return default if sent is None else float(sent[VALUE])

    def mean_figure(self, name: str) -> float:
        """The mean of such a number over all reports that have it, by samples: a report's largest say in any module."""
        modules = set(map(ballot, self.wanted))
        there = [vote for vote in self.votes if name in vote.state.extra]
        weights = [max((vote.weigh(name) for name in modules), default=0.0) for vote in there]
        figures = [self.figure(vote, name) for vote in there]
        return sum(w * f for w, f in zip(weights, figures, strict=True)) / sum(weights) if sum(weights) else 0.0


def tallied(
    own: State,
    received: Sequence[Vote],
    modules: Sequence[str],
    registered: int,
    compute: Callable[[Tally], Result],
    extra: Mapping[str, Collection[str]] | None = None,
) -> State:
    """*own* with what *compute* makes of the copies once their values are known; *extra* are the keys of new extra.

    Keys that *compute* does not give stay as they are.
    """
    some = set(modules)
    tally = Tally(own, received, registered, [key for key in own.tensors if module(key) in some])
    states = [own, *(vote.state for vote in received)]
    needs = [state.tensors for state in states]
    needs += [values for state in states for values in state.extra.values()]
    needs += [state.base.tensors for state in states if state.base is not None]
    both = cache(lambda: _two(compute(tally)))
    tensors = lazily(own.tensors, needs, lambda: {**{key: own.tensors[key] for key in own.tensors}, **both()[0]})
    new = {name: lazily(tuple(keys), needs, _named(both, name)) for name, keys in (extra or {}).items()}
    return replace(own, tensors=tensors, extra={**own.extra, **new} if new else own.extra)


def _two(result: Any) -> Result:
    if isinstance(result, tuple) and len(result) == 2:
        return result
    raise ValueError("a merge rule must give two mappings, weights and extra ({}, if it has none)")


def _named(both: Callable[[], Result], name: str) -> Callable[[], Tensors]:
    return lambda: both()[1][name]


def single(value: float) -> dict[str, Tensor]:
    """A number as extra that is sent."""
    return {VALUE: torch.tensor(value, dtype=torch.float64)}


def one(vote: Vote) -> float:
    """The say of a copy where all count alike: 1, if none is given."""
    return 1.0 if vote.weight is None else vote.weight


@dataclass(frozen=True, slots=True)
class Reports:
    """A merge rule by what *compute* makes of the copies; *figures* are single numbers that the node sends in turn."""

    compute: Callable[[Tally], Result]
    figures: tuple[str, ...] = ()

    def __call__(
        self, own: State, received: Sequence[Vote], modules: Sequence[str], direction: Direction, registered: int
    ) -> State:
        """What has been received, merged."""
        extra = dict.fromkeys(self.figures, (VALUE,))
        return tallied(own, received, modules, registered, self.compute, extra)
