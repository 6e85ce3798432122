"""Who is asked: which of a node's children take part in one round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

Select = Callable[[Sequence[str], np.random.Generator], Iterable[int]]
"""Of the children that are there, in child order, the places of those who are asked.

It is called before every round of a node, and must follow from its arguments alone. The generator is that round's own:
it depends on the run's seed, the node, the stage, the round and the turn, and on nothing else. Names are made only when
the policy looks at them.
"""

Indices = np.ndarray[Any, np.dtype[np.int64]]


class Facts(Protocol):
    """What is known of the children of a node before a turn: estimates and records."""

    def seconds(self, child: str) -> float:
        """What its turn takes, alone on the network and on an idle processor: down, its training, up."""
        ...

    def joules(self, child: str) -> float:
        """What the same adds to its idle draw."""
        ...

    def grams(self, child: str) -> float:
        """CO2-equivalent of the same from now on; joules, where no carbon is followed."""
        ...

    def asked(self, child: str) -> int:
        """How often it has been asked in this stage."""
        ...

    def signal(self, name: str, children: Sequence[str]) -> Mapping[str, float]:
        """What the workload says of their models as they are (:meth:`simulator.interfaces.Workload.signal`)."""
        ...


@runtime_checkable
class Knowing(Protocol):
    """A policy that knows more than names. *signals* are those that it asks the workload for."""

    @property
    def signals(self) -> frozenset[str]: ...  # noqa: D102

    def choose(self, children: Sequence[str], random: np.random.Generator, facts: Facts) -> Iterable[int]:
        """The places of those who are asked, as of :data:`Select`."""
        ...


def everyone(children: Sequence[str], random: np.random.Generator) -> range:
    """Ask all of them."""
    return range(len(children))


@dataclass(frozen=True, slots=True)
class RandomOf:
    """Ask *k* of them, every choice of *k* equally likely; all, where fewer are there."""

    k: int

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise ValueError(f"select: random: a whole number >= 1, got {self.k!r}")

    def __call__(self, children: Sequence[str], random: np.random.Generator) -> Indices:
        """The places of the chosen."""
        return random.choice(len(children), min(self.k, len(children)), replace=False)


def chosen(
    select: Select | Knowing, children: Sequence[str], random: np.random.Generator, facts: Facts | None = None
) -> Indices:
    """The places that *select* gives, in child order.

    ValueError if it needs *facts* and has none, and where it gives a place twice, one that is not there, or something
    other than whole numbers, such as a mask.
    """
    if not isinstance(select, Knowing):
        asked = select(children, random)
    elif facts is None:
        raise ValueError(f"select: {type(select).__name__} needs to know of the children, and nothing is known here")
    else:
        asked = select.choose(children, random, facts)
    found = np.asarray(asked if isinstance(asked, np.ndarray | range) else list(asked))
    if found.size and found.dtype.kind not in "iu":
        raise ValueError(f"select: places must be whole numbers, got {found.tolist()}")
    places = np.sort(found.astype(np.int64))
    if len(places) and (places[0] < 0 or places[-1] >= len(children) or (np.diff(places) == 0).any()):
        raise ValueError(f"select: places must be distinct and from 0 to {len(children) - 1}, got {places.tolist()}")
    return places
