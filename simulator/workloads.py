"""Costs without learning: states are nothing, sizes and amounts are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar

from simulator.interfaces import Activity, Arrival, Direction, Packet, Score, Work
from simulator.plan import Stage


@dataclass(frozen=True, slots=True)
class Size:
    """A module's *nbytes* on the wire, and what one local training spends on it.

    FLOPs, bytes moved through memory, memory held at the peak (bytes), operations started. Merging takes *merge_flops*
    for each copy; if that is more than 0, all copies pass through memory, too, and the result. Raises ValueError.
    """

    nbytes: int
    flops: float = 0.0
    memory_bytes: float = 0.0
    bytes_moved: float = 0.0
    launches: int = 0
    merge_flops: float = 0.0

    def __post_init__(self) -> None:
        for name in ("nbytes", "flops", "memory_bytes", "bytes_moved", "launches", "merge_flops"):
            value = getattr(self, name)
            if not 0 <= value < inf:
                raise ValueError(f"a module's {name} must be >= 0 and finite, got {value}")


@dataclass(slots=True)
class CostOnly:
    """A workload of given sizes: training costs what its trainable modules cost, and learns nothing.

    *allowed* gives, by stage and node, the modules that a node can train where it cannot train all: in that stage it
    pays for those and does not send the others.
    """

    # All nodes of a tier work alike, so groups of them can run as arrays. Not inherited: a subclass must say so itself.
    alike: ClassVar[bool] = True
    signals: ClassVar[frozenset[str]] = frozenset()

    sizes: Mapping[str, Size]
    allowed: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    _trainable: tuple[str, ...] = field(default=(), init=False)
    _stage: str = field(default="", init=False)

    def start(self, node: str) -> None:
        """Nothing to know."""

    def enter(self, stage: Stage) -> None:
        """From now on these modules are trained."""
        unknown = [name for name in stage.trainable if name not in self.sizes]
        if unknown:
            raise ValueError(f"stage {stage.name}: no size is given for {', '.join(unknown)}")
        self._trainable, self._stage = stage.trainable, stage.name

    def work(self, node: str, activity: Activity, step: int, modules: Sequence[str] = (), count: int = 1) -> Work:
        """Training costs what its modules cost, merging so much for each of *count* copies; nothing else is given."""
        if activity == "merge":
            merged = [self.sizes[m] for m in modules if self.sizes[m].merge_flops]
            moved = sum(size.nbytes for size in merged) * (count + 1)
            return Work(count * sum(size.merge_flops for size in merged), moved, launches=count * len(merged))
        if activity != "train":
            return Work(0.0)
        allowed = self.allowed.get((self._stage, node))
        own = [self.sizes[m] for m in self._trainable if allowed is None or m in allowed]
        return Work(
            sum(size.flops for size in own),
            sum(size.bytes_moved for size in own),
            sum(size.memory_bytes for size in own),
            sum(size.launches for size in own),
        )

    def train(self, node: str, state: None, step: int) -> None:
        """Nothing is learned."""

    def pack(self, node: str, to: str, state: None, modules: Sequence[str]) -> Packet[None]:
        """The sum of the modules' sizes."""
        allowed = self.allowed.get((self._stage, node))
        if allowed is not None:
            modules = [m for m in modules if m in allowed or m not in self._trainable]
        return Packet(None, sum(self.sizes[m].nbytes for m in modules), None, tuple(modules))

    def merge(
        self,
        node: str,
        own: None,
        received: Sequence[Arrival[None]],
        modules: Sequence[str],
        direction: Direction,
        count: int,
    ) -> None:
        """Nothing to merge."""

    def evaluate(self, states: Mapping[str, None]) -> Iterable[Score]:
        """No model, no score."""
        return ()

    def signal(self, name: str, states: Mapping[str, None], modules: Sequence[str]) -> Mapping[str, float]:
        """No model, no signal; a plan that needs one is refused before the run."""
        return {}
