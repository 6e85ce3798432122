"""Tables with a row per node, short: one row for all devices of a classroom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simulator.summaries import summary_name
from topologies.hierarchy import Hierarchy


def condensed(
    rows: Iterable[Mapping[str, Any]], tree: Hierarchy, by: Sequence[str] = ("node",)
) -> list[dict[str, Any]]:
    """*rows* with those of leaves that agree in *by* made one, named `parent/*` as in the summaries of spans.

    Joules and grams are sums, the time present is the longest, and of whatever else differs nothing is said; `members`
    counts the nodes that became one.
    """
    name = summary_name(tree)
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        own = {**row, "node": name(row["node"])}
        found.setdefault(tuple(own[key] for key in by), []).append(own)
    return [_one(some) | {"members": sum(row.get("members") or 1 for row in some)} for some in found.values()]


def _one(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    columns = dict.fromkeys(column for row in rows for column in row)
    return {column: _value(column, [row.get(column, "") for row in rows]) for column in columns}


def _value(column: str, values: Sequence[Any]) -> Any:
    if column.endswith(("joules", "grams")) and all(isinstance(value, int | float) or value == "" for value in values):
        return math.fsum(value or 0.0 for value in values)
    if column == "present_s":
        return max(values)
    return values[0] if all(value == values[0] for value in values) else ""
