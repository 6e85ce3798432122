"""What happened: spans of activity, metrics of models, happenings. The only counters there are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

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

    @property
    def turn(self) -> str:
        """As it is written: "1.0"."""
        return ".".join(map(str, self.turns))


@dataclass(frozen=True, slots=True)
class Span:
    """One node busy with one thing. *joules* is what it adds above idle; *nbytes* are whole bytes passed.

    *activity* says what it was for: train, evaluate, pack, merge, up, down.
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


@dataclass(frozen=True, slots=True)
class Metric:
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


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that is neither a span nor a figure: a drop, a refusal, a death."""

    time_s: float
    node: str
    kind: str
    detail: str


@dataclass(slots=True)
class Log:
    """Three append-only tables, and when the run ended."""

    spans: list[Span] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    end_s: float = 0.0

    def joules(self, node: str | None = None, kind: str | None = None) -> float:
        """Joules above idle, of one node and kind or of all."""
        return math.fsum(s.joules for s in self.spans if node in (None, s.node) and kind in (None, s.kind))

    def frame(self, table: Literal["spans", "metrics", "happenings"]) -> pd.DataFrame:
        """One of the tables for pandas."""
        return frame(getattr(self, table), {"spans": Span, "metrics": Metric, "happenings": Happening}[table])


def columns(row: type) -> list[str]:
    """The column names of a kind of row."""
    return [f.name for f in fields(row)]


def frame(rows: Iterable[object], row: type) -> pd.DataFrame:
    """Rows as a data frame; an empty one has the columns too."""
    import pandas as pd

    names = columns(row)
    return pd.DataFrame([[getattr(r, name) for name in names] for r in rows], columns=names)
