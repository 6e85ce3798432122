"""Costs without learning: states are nothing, sizes and amounts are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from simulator.interfaces import Activity, Arrival, Direction, Packet, Score, Work
from simulator.plan import Stage


@dataclass(frozen=True, slots=True)
class Size:
    """A module's *nbytes* on the wire and the *flops* that one local training spends on it."""

    nbytes: int
    flops: float = 0.0

    def __post_init__(self) -> None:
        if self.nbytes < 0 or not self.flops >= 0:
            raise ValueError(f"a module needs nbytes >= 0 and flops >= 0, got {self.nbytes} and {self.flops}")


@dataclass(slots=True)
class CostOnly:
    """A workload of given sizes: training costs what its trainable modules cost, and learns nothing."""

    sizes: Mapping[str, Size]
    _trainable: tuple[str, ...] = field(default=(), init=False)

    def start(self, node: str) -> None:
        """Nothing to know."""

    def enter(self, stage: Stage) -> None:
        """From now on these modules are trained."""
        unknown = [name for name in stage.trainable if name not in self.sizes]
        if unknown:
            raise ValueError(f"stage {stage.name}: no size is given for {', '.join(unknown)}")
        self._trainable = stage.trainable

    def work(self, node: str, activity: Activity, step: int, modules: Sequence[str] = (), count: int = 1) -> Work:
        """Training costs FLOPs; nothing else does."""
        return Work(sum(self.sizes[m].flops for m in self._trainable) if activity == "train" else 0.0)

    def train(self, node: str, state: None, step: int) -> None:
        """Nothing is learned."""

    def pack(self, node: str, to: str, state: None, modules: Sequence[str]) -> Packet[None]:
        """The sum of the modules' sizes."""
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
