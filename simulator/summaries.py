"""Spans of many devices as one row per classroom: what a run of a million devices keeps of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from simulator.records import Span
from topologies.hierarchy import Hierarchy


def summary_name(tree: Hierarchy) -> Callable[[str], str]:
    """What a node is called in summaries: `parent/*` for a leaf or a member of a group, else its own name."""
    leaves = frozenset(tree.leaves)

    @cache
    def name(node: str) -> str:
        group = tree.group_of(node)
        parent = group.parent if group else tree.parent(node) if node in leaves else None
        return node if parent is None else f"{parent}/*"

    return name


def summarised(rows: Iterable[Span], tree: Hierarchy) -> list[Span]:
    """*rows* with those of leaves added up: one per parent, tier, kind, activity, peer, round and status.

    Such a row lasts from the first start to the last end; joules, bytes and FLOPs are sums, so every ledger holds as
    before. Modules are all that occurred, the turn is empty where there were several. Rows whose peer is a leaf are
    added up likewise, so that what is sent still arrives. Others stay as they are; the order is that of first
    appearance. Summaries of summaries are summaries: a round may come in parts.
    """
    name = summary_name(tree)
    found: dict[object, list[Span]] = {}
    for row in rows:
        node, peer = name(row.node), name(row.peer) if row.peer else ""
        several = node.endswith("/*") or peer.endswith("/*")
        key = (row.kind, node, row.tier, peer, row.round, row.status, row.activity)
        found.setdefault(key if several else len(found), []).append(row._replace(node=node, peer=peer))
    return [rows[0] if len(rows) == 1 else _sum(rows) for rows in found.values()]


def _sum(rows: Sequence[Span]) -> Span:
    turns = {row.turn for row in rows}
    modules = dict.fromkeys(module for row in rows for module in row.modules.split("+"))
    return rows[0]._replace(
        turn=rows[0].turn if len(turns) == 1 else "",
        modules="+".join(modules),
        start_s=min(row.start_s for row in rows),
        end_s=max(row.end_s for row in rows),
        joules=math.fsum(row.joules for row in rows),
        nbytes=sum(row.nbytes for row in rows),
        flops=math.fsum(row.flops for row in rows),
    )
