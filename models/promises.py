"""Tensors whose names are known before their values: what trainings and merges give until somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from models.model import Tensors

LONGEST = 50  # promises made of promises: they are kept in as many calls, one within another


@dataclass(slots=True)
class Wave:
    """Trainings that wait to be run together; *over* once they have been."""

    over: bool = False


class Promise(Mapping[str, Tensor]):
    """Tensors whose names are known now and whose values are computed when one is needed.

    *depth* counts the trainings of its wave that stand one behind another before the values can be computed.
    """

    shared = True  # whether another node's state may hold the very mapping
    costly = False  # whether it takes a training to know the values although nothing is pending
    links = 0  # promises made of others, one behind another, down to what is not

    def __init__(self, keys: Collection[str], depth: int, wave: Wave, settle: Callable[[], Tensors]) -> None:
        self._keys: Mapping[str, object] = keys._keys if isinstance(keys, Promise) else dict.fromkeys(keys)
        self._depth, self.wave, self._settle = depth, wave, settle
        self._values: Tensors | None = None

    @property
    def depth(self) -> int:
        """0 once its wave is over: the values are known, or at hand."""
        return 0 if self.wave.over else self._depth

    @property
    def known(self) -> Tensors | None:
        """The values, if they have been computed."""
        return self._values

    def fill(self, values: Tensors) -> None:
        """The values are known."""
        self._values, self._depth, self._settle = values, 0, dict

    def __getitem__(self, key: str) -> Tensor:
        if self._values is None:
            values = self._settle()
            if self._values is None:  # settling a training fills this promise itself
                self.fill(values)
        assert self._values is not None
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys


class Ghost(Promise):
    """Tensors of which only the names are known, while a run is replayed; filled from a checkpoint, or never asked."""

    def __init__(self, keys: Collection[str]) -> None:
        super().__init__(keys, 0, Wave(over=True), _unknown)


class UnknownError(RuntimeError):
    """Somebody has asked for weights of which only the names are known."""


def _unknown() -> Tensors:
    raise UnknownError("a replay has asked for weights that no checkpoint has given it")


def plain(tensors: Tensors) -> Tensors:
    """The mapping in which a promise that has been kept holds its values."""
    if type(tensors) is dict:  # to ask an abstract class takes longer
        return tensors
    while isinstance(tensors, Promise) and tensors.known is not None:
        tensors = tensors.known
    return tensors


def depth(tensors: Tensors) -> int:
    """How many trainings stand one behind another before *tensors* are known."""
    return tensors.depth if isinstance(tensors, Promise) else 0


def lazily(keys: Collection[str], needs: Sequence[Tensors], compute: Callable[[], Tensors]) -> Tensors:
    """What *compute* makes of *needs*: now if they are known, else a promise; of a ghost, a ghost."""
    if any(isinstance(t, Ghost) and t.known is None for t in needs):
        return Ghost(keys)
    waiting = [t for t in needs if isinstance(t, Promise) and t.depth]
    if not waiting:
        return compute()
    made = Promise(keys, max(t.depth for t in waiting), waiting[0].wave, compute)
    made.links = 1 + max(t.links for t in needs if isinstance(t, Promise) and t.known is None)
    if made.links >= LONGEST:
        made.fill(compute())
    return made
