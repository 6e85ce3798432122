"""Who used how much energy: one row per node, and one per node and cause, read from the accounts of the run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from simulator.account import Account
from simulator.records import Log
from topologies.hierarchy import Hierarchy

COLUMNS = ("idle", "compute", "transmit", "receive")  # causes with a column of their own; the rest is "other"


def node_rows(hierarchy: Hierarchy, log: Log) -> list[dict[str, Any]]:
    """One row per node: idle watts over the time present, what its spans add above idle, and all else."""
    rows = []
    for node, tier, parent, profile, attributes in _entries(hierarchy, log):
        account = log.accounts.get(node, Account())
        causes = account.causes
        energy = {f"{cause}_joules": causes.pop(cause, 0.0) for cause in COLUMNS}
        energy["other_joules"] = math.fsum(causes.values())
        if account.carbon:
            attributes["carbon_grams"] = account.grams
        if node in log.charges:
            attributes["battery_joules"] = log.charges[node]
        rows.append(
            {
                "node": node,
                "tier": tier,
                "parent": parent,
                "institution": attributes.pop("institution", ""),
                "profile": profile,
                "present_s": account.present_s,
                **energy,
                "total_joules": math.fsum(energy.values()),
            }
        )
        rows[-1] |= {name: value for name, value in attributes.items() if name not in rows[-1]}
    return rows


def _entries(hierarchy: Hierarchy, log: Log) -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
    """Name, tier, parent, profile and attributes of every node, and of all groups of a parent as one: `parent/*`.

    Groups that had to run as nodes have a row per member.
    """
    for entry in hierarchy.entries():
        if isinstance(entry, str):
            profile, parent = hierarchy.profile(entry), hierarchy.parent(entry) or ""
            attributes = dict(hierarchy.attributes(entry))
            yield entry, hierarchy.tier(entry), parent, profile.name if profile else "", attributes
            continue
        groups = [group for group in hierarchy.groups(entry.parent) if group.name_of(0) not in log.accounts]
        if entry not in groups:  # it ran as nodes
            for i, node in enumerate(hierarchy.members(entry)):
                yield node, entry.tier, entry.parent, entry.profile.name, entry.attributes_of(i)
        elif entry is groups[0]:
            institution = {key: entry.attributes[key] for key in ("institution",) if key in entry.attributes}
            members = {"members": sum(group.count for group in groups)}
            names = "+".join(sorted({group.profile.name for group in groups}))
            yield f"{entry.parent}/*", entry.tier, entry.parent, names, institution | members


def cause_rows(hierarchy: Hierarchy, log: Log) -> list[dict[str, Any]]:
    """One row per node and cause of energy: what the columns of `nodes.csv` are made of."""
    return [
        {"node": node, "tier": tier, "cause": cause, "joules": joules, **({"members": members} if members else {})}
        for node, tier, _, _, attributes in _entries(hierarchy, log)
        for members in [attributes.get("members") if node not in hierarchy else None]
        for cause, joules in log.accounts.get(node, Account()).causes.items()
    ]


def total_joules(rows: list[dict[str, Any]]) -> float:
    """Of all nodes."""
    return math.fsum(row["total_joules"] for row in rows)
