"""What happened: spans of activity, metrics of models, happenings. The only counters there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from simulator.account import Account, Sum
from simulator.tables import Table

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["compute", "transmit", "receive"]
Status = Literal["done", "interrupted"]
Moment = Literal["before_merge", "after_merge", "after_broadcast"]


@dataclass(frozen=True, slots=True)
class At:
    """Where a run is: the root's round (from 1; 0 is before the first) and the turn of each tier below."""

    round: int
    turns: tuple[int, ...] = ()
    turn: str = field(init=False, compare=False)  # as it is written: "1.0"

    def __post_init__(self) -> None:
        object.__setattr__(self, "turn", ".".join(map(str, self.turns)))

    def __str__(self) -> str:
        return f"round {self.round} turn {self.turn or '-'}"


class Span(NamedTuple):
    """One node busy with one thing. *joules* is what it adds above idle; *nbytes* are whole bytes passed.

    *activity* says what it was for: train, evaluate, pack, merge, up, down, sideways.
    """

    kind: Kind
    node: str
    tier: str
    peer: str
    round: int
    turn: str
    modules: str
    start_s: float
    end_s: float
    joules: float
    nbytes: int
    flops: float
    status: Status
    activity: str


class Metric(NamedTuple):
    """One figure of one node's model at one moment."""

    time_s: float
    round: int
    turn: str
    node: str
    tier: str
    moment: str
    model: str
    split: str
    group: str
    task: str
    modality: str
    name: str
    value: float


class Happening(NamedTuple):
    """Something that is neither a span nor a figure: a drop, a refusal, a death."""

    time_s: float
    node: str
    kind: str
    detail: str


@dataclass(slots=True)
class Total:
    """What the spans of one node and kind add up to."""

    energy: Sum = field(default_factory=Sum)
    nbytes: int = 0
    flops: float = 0.0

    def add(self, joules: float, nbytes: int, flops: float) -> None:
        """Add one span's."""
        self.energy.add(joules)
        self.nbytes += nbytes
        self.flops += flops

    @property
    def joules(self) -> float:
        """Their sum."""
        return self.energy.value


class Spans(Table[Span]):
    """The table of spans, and what it adds up to: true also of rows that were released."""

    def __init__(self) -> None:
        super().__init__(Span)
        self._totals: dict[tuple[str, str], Total] = {}
        self._summed = 0  # rows that are in the totals
        self._last_round, self._end_s = 0, 0.0

    def release(self, read: Callable[[], Iterable[tuple[Any, ...]]], count: int | None = None) -> None:
        """As of any table; what the rows add up to is kept."""
        self._sum()
        super().release(read, count)
        self._summed = len(self)

    def totals(self, node: str | None = None, kind: str | None = None) -> Iterator[Total]:
        """Those of one node and kind, or of all nodes, or of all kinds."""
        self._sum()
        if node is not None and kind is not None:
            return iter([self._totals[node, kind]] if (node, kind) in self._totals else [])
        return (total for (n, k), total in self._totals.items() if node in (None, n) and kind in (None, k))

    @property
    def last_round(self) -> int:
        """The highest round of all spans; 0 without any."""
        self._sum()
        return self._last_round

    @property
    def end_s(self) -> float:
        """When the last of them ended; 0 without any."""
        self._sum()
        return self._end_s

    def _sum(self) -> None:
        """Take in the rows since the last time: summing when asked costs a run nothing per span."""
        if self._summed == len(self):
            return
        for kind, node, _, _, round_, _, _, _, end_s, joules, nbytes, flops, _, _ in self._from(self._summed):
            key = (node, kind)
            if key not in self._totals:
                self._totals[key] = Total()
            self._totals[key].add(joules, nbytes, flops)
            self._last_round = max(self._last_round, round_)
            self._end_s = max(self._end_s, end_s)
        self._summed = len(self)


@dataclass(slots=True)
class Log:
    """Three append-only tables, and when the run ended."""

    spans: Spans = field(default_factory=Spans)
    metrics: Table[Metric] = field(default_factory=lambda: Table(Metric))
    happenings: Table[Happening] = field(default_factory=lambda: Table(Happening))
    accounts: dict[str, Account] = field(default_factory=dict)  # of each node, once the run has ended
    charges: dict[str, float] = field(default_factory=dict)  # joules left in each battery that is followed
    end_s: float = 0.0

    def joules(self, node: str | None = None, kind: str | None = None) -> float:
        """Joules above idle, of one node and kind or of all."""
        return math.fsum(total.joules for total in self.spans.totals(node, kind))

    def nbytes(self, node: str | None = None, kind: str | None = None) -> int:
        """Bytes passed, of one node and kind or of all; a byte sent is a byte received."""
        return sum(total.nbytes for total in self.spans.totals(node, kind))

    def flops(self, node: str | None = None) -> float:
        """Computing done, by one node or by all."""
        return math.fsum(total.flops for total in self.spans.totals(node, None if node is None else "compute"))

    def frame(self, table: Literal["spans", "metrics", "happenings"]) -> pd.DataFrame:
        """One of the tables for pandas."""
        return frame(getattr(self, table), {"spans": Span, "metrics": Metric, "happenings": Happening}[table])


def columns(row: type[NamedTuple]) -> list[str]:
    """The column names of a kind of row."""
    return list(row._fields)


def frame(rows: Iterable[tuple[Any, ...]], row: type[NamedTuple]) -> pd.DataFrame:
    """Rows as a data frame; an empty one has the columns too."""
    import pandas as pd

    return pd.DataFrame.from_records(list(rows), columns=columns(row))
