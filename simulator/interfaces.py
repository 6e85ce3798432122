"""What the simulator asks of a workload: sizes and amounts before, effects after. It never looks inside a state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from simulator.plan import Stage

S = TypeVar("S")
Direction = Literal["up", "down", "sideways", "pool", "level"]
Activity = Literal["train", "pack", "merge", "evaluate"]


@dataclass(frozen=True, slots=True)
class Work:
    """An amount of computing: FLOPs, bytes through memory, operations started; and the memory it needs at its peak.

    Alone on a device it takes the longer of FLOPs and bytes at their rates (the roofline of Williams, Waterman and
    Patterson, CACM 2009), and `launches` times what starting an operation takes. Training uses all cores of a device.
    """

    flops: float
    bytes_moved: float = 0.0
    memory_bytes: float = 0.0
    launches: int = 0


@dataclass(frozen=True, slots=True)
class Packet(Generic[S]):
    """What travels, its size (known now), what the sender of a report holds once it is delivered, and which modules."""

    wire: S
    nbytes: int
    kept: S
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arrival(Generic[S]):
    """A report that came in. *weight* None: it counts by its votes; else it is used as given.

    *staleness*: how many merges its receiver has made since the sender was last sent its model, where late children are
    kept; else 0.
    """

    sender: str
    state: S
    staleness: int = 0
    weight: float | None = None


class Score(Protocol):
    """One figure of one node's model."""

    @property
    def node(self) -> str: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def modality(self) -> str: ...  # noqa: D102
    @property
    def split(self) -> str: ...  # noqa: D102
    @property
    def group(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def value(self) -> float: ...  # noqa: D102


class Workload(Protocol[S]):
    """The learning, or its costs alone (:class:`simulator.workloads.CostOnly`).

    A workload may also have ``label``, a text: the model that its metrics are of, "federated" without it. And
    ``overwrites``: whether a model that comes down replaces what was learned, so that it has no vote; False without it.
    """

    def start(self, node: str) -> S:
        """What *node* knows before any training."""
        ...

    def enter(self, stage: Stage) -> None:
        """A stage begins."""
        ...

    def work(self, node: str, activity: Activity, step: int, modules: Sequence[str] = (), count: int = 1) -> Work:
        """How much computing an activity takes; asked before its effect."""
        ...

    def train(self, node: str, state: S, step: int) -> S:
        """*state* after training; *step* is how many trainings of *node* this run has applied."""
        ...

    def pack(self, node: str, to: str, state: S, modules: Sequence[str]) -> Packet[S]:
        """What *node* sends to *to* of *modules*: nothing that either of them lacks. Nothing is sent if it is empty."""
        ...

    def merge(
        self,
        node: str,
        own: S,
        received: Sequence[Arrival[S]],
        modules: Sequence[str],
        direction: Direction,
        count: int,
    ) -> S:
        """*own* with *modules* replaced by what a rule makes of what was received.

        *count* children are registered, whether they were asked in this round or not. Sideways, the own copy is among
        those received, and the own votes stay; "pool" is the same, but *own* takes over the votes of all received.
        "level" gives *own* the mean vote of those who sent a module, and scales it so that votes x model stays.
        """
        ...

    def evaluate(self, states: Mapping[str, S]) -> Iterable[Score]:
        """Figures of several nodes' models."""
        ...

    @property
    def signals(self) -> frozenset[str]:
        """The names that :meth:`signal` answers to."""
        ...

    def signal(self, name: str, states: Mapping[str, S], modules: Sequence[str]) -> Mapping[str, float]:
        """A figure that a schedule goes by, such as each node's loss; the keys depend on *name*. Forces promises."""
        ...


@runtime_checkable
class Groupable(Protocol):
    """What a workload has as well if members of a group, each with a state of its own, can run as arrays.

    Then packing takes no work, and the size of a packet and the modules in it follow from the stage, its two ends and
    the modules asked for: they are asked of one member and hold for all. What a training takes may differ.
    """

    def unlike(self, children: Sequence[str]) -> str | None:
        """Why packets of these siblings, to and from their parent, can differ in some stage; None if they cannot."""
        ...
