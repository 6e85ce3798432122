"""How many clients to stack: as many as pay, by the time that they took, and as memory allows. It changes no result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

MEMORY = 2 * 2**30  # bytes that a stack may take unless it is said otherwise
CACHE = 2**21  # bytes of varied weights with which a search begins: few, for from below no better size is passed over
LARGEST = 4096  # clients: beyond, nothing is gained
WORTH = 0.97  # twice as many clients must take this part of the time each, or less
TRIES = 2  # of each size; the better one counts, since the other may have been disturbed


@dataclass(frozen=True, slots=True)
class Load:
    """A kind of work: what it is, the bytes that one client takes, and with how many clients to begin."""

    name: str
    kind: tuple[object, ...]
    nbytes: int = field(compare=False)
    start: int = field(compare=False)
    kept: int | None = field(default=None, compare=False)  # bytes kept for the gradient; None: seen at the first loss

    @classmethod
    def of(cls, name: str, kind: tuple[object, ...], nbytes: int, varied: int, kept: int | None = None) -> Load:
        """*varied*: the bytes of a client's weights that change or differ; loads within a factor of two are alike."""
        alike = (*kind, nbytes.bit_length(), varied.bit_length())
        return cls(name, alike, nbytes, _power(min(CACHE // max(varied, 1), LARGEST)), kept)


@dataclass
class _Known:
    """What has been seen of a load."""

    activations: int | None  # bytes per client
    seconds: dict[int, list[float]] = field(default_factory=dict)  # per client and step, by number of clients


class Chooser:
    """Finds the best size of a stack of each load while the work is done, and remembers it.

    It begins with few, doubles while that pays, and halves where less is better: sizes are powers of two.
    *memory_bytes* is never exceeded by weights, gradients, optimizer state and what is kept for the gradient, as far
    as these are known: of the last, from the first stack on. *clock*: seconds, by default of the processor.
    """

    def __init__(self, memory_bytes: int = MEMORY, clock: Callable[[], float] = time.process_time) -> None:
        if memory_bytes < 1:
            raise ValueError(f"memory_bytes must be >= 1, got {memory_bytes}")
        self.memory_bytes, self._clock = memory_bytes, clock
        self._known: dict[Load, _Known] = {}
        self._used: dict[str, set[int]] = {}

    def size(self, load: Load, left: int) -> int:
        """How many of the *left* clients to stack next."""
        known = self._known.setdefault(load, _Known(load.kept))
        most = self._most(load, known)
        if known.activations is None:
            most = min(most, load.start)
        return min(self._wanted(load, known, min(most, _power(left)), left), most, left)

    def _most(self, load: Load, known: _Known) -> int:
        return max(min(self.memory_bytes // max(load.nbytes + (known.activations or 0), 1), LARGEST), 1)

    def _wanted(self, load: Load, known: _Known, room: int, left: int) -> int:
        """The best size, or one beside it that has not been tried often enough; *room*: what can be tried now."""
        if not known.seconds:
            return min(load.start, room)
        best = self.best(known)
        for beside in (best, 2 * best, best // 2):
            if 1 <= beside <= room and len(known.seconds.get(beside, ())) < TRIES:
                return beside
        return left if left < 2 * best else best  # no small rest

    @staticmethod
    def best(known: _Known) -> int:
        """The smallest size from which doubling does not pay."""
        sizes = sorted(known.seconds)
        at = sizes[0]
        for size in sizes[1:]:
            if min(known.seconds[size]) <= WORTH * min(known.seconds[at]):
                at = size
        return at

    @contextmanager
    def running(self, load: Load, clients: int, steps: int) -> Iterator[Callable[[Tensor], None] | None]:
        """Around the work on a stack of so many clients with *steps* steps in all; yields what wants to see a loss."""
        known = self._known.setdefault(load, _Known(load.kept))
        self._used.setdefault(load.name, set()).add(clients)

        def watch(loss: Tensor) -> None:
            known.activations = -(-saved_bytes(loss) // clients)

        began = self._clock()
        yield watch if known.activations is None else None
        seconds = (self._clock() - began) / max(steps, 1)
        if clients == _power(clients):
            known.seconds.setdefault(clients, []).append(seconds)

    def report(self) -> dict[str, Any]:
        """The sizes that have been used, from the smallest to the largest, by what was done."""
        return {"chunks": {name: sorted(sizes) for name, sizes in sorted(self._used.items())}}


def saved_bytes(loss: Tensor) -> int:
    """The bytes that the graph behind *loss* keeps until its gradient is known, weights included."""
    kept: dict[int, int] = {}
    nodes, seen = [loss.grad_fn], set[Any]()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [before for before, _ in node.next_functions]
        for name in dir(node):
            if name.startswith("_saved_") and isinstance(value := getattr(node, name), Tensor):
                storage = value.untyped_storage()
                kept[storage.data_ptr()] = storage.nbytes()
    return sum(kept.values())


def _power(n: int) -> int:
    """The largest power of two up to *n*; 1 at least."""
    return 1 << max(n.bit_length() - 1, 0)
