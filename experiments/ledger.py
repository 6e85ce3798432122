"""Who used how much energy: one row per node, summed from the spans and the time that each node was there."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from simulator.records import Log
from topologies.hierarchy import Hierarchy


def node_rows(hierarchy: Hierarchy, log: Log) -> list[dict[str, Any]]:
    """One row per node: idle watts over the time present, and what its spans add above idle."""
    joules: dict[tuple[str, str], list[float]] = defaultdict(list)
    for span in log.spans:
        joules[span.node, span.kind].append(span.joules)
    rows = []
    for node in hierarchy.nodes():
        profile, attributes = hierarchy.profile(node), dict(hierarchy.attributes(node))
        energy = {
            "idle_joules": profile.idle_watts * log.end_s if profile else 0.0,
            **{f"{kind}_joules": math.fsum(joules[node, kind]) for kind in ("compute", "transmit", "receive")},
            "other_joules": 0.0,
        }
        rows.append(
            {
                "node": node,
                "tier": hierarchy.tier(node),
                "parent": hierarchy.parent(node) or "",
                "institution": attributes.pop("institution", ""),
                "profile": profile.name if profile else "",
                "present_s": log.end_s,
                **energy,
                "total_joules": math.fsum(energy.values()),
                **attributes,
            }
        )
    return rows


def total_joules(rows: list[dict[str, Any]]) -> float:
    """Of all nodes."""
    return math.fsum(row["total_joules"] for row in rows)
