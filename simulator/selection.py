"""Who is asked: which of a node's children take part in one round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Select = Callable[[Sequence[str], np.random.Generator], Iterable[int]]
"""Of the children that are there, in child order, the places of those who are asked.

It is called before every round of a node, and must follow from its arguments alone. The generator is that round's own:
it depends on the run's seed, the node, the stage, the round and the turn, and on nothing else. Names are made only when
the policy looks at them.
"""

Indices = np.ndarray[Any, np.dtype[np.int64]]


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


def chosen(select: Select, children: Sequence[str], random: np.random.Generator) -> Indices:
    """The places that *select* gives, in child order.

    ValueError where it gives one twice, one that is not there, or something other than whole numbers, such as a mask.
    """
    asked = select(children, random)
    found = np.asarray(asked if isinstance(asked, np.ndarray | range) else list(asked))
    if found.size and found.dtype.kind not in "iu":
        raise ValueError(f"select: places must be whole numbers, got {found.tolist()}")
    places = np.sort(found.astype(np.int64))
    if len(places) and (places[0] < 0 or places[-1] >= len(children) or (np.diff(places) == 0).any()):
        raise ValueError(f"select: places must be distinct and from 0 to {len(children) - 1}, got {places.tolist()}")
    return places
