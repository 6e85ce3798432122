"""Who gets how much of what is shared: weighted max-min fairness, with no notion of time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.sharing.reference import Flow, Resource


def solve(flows: Sequence[Flow]) -> dict[Flow, float]:
    """The weighted max-min fair rate of each flow; those of weight 0 share, equally, what the others leave."""
    rates = _fill([flow for flow in flows if flow.weight > 0], {})
    return _fill([flow for flow in flows if flow.weight == 0], rates)


def _fill(flows: Sequence[Flow], before: Mapping[Flow, float]) -> dict[Flow, float]:
    """Progressive filling of what is left *before*; returns all rates.

    One level rises for all; a flow runs at weight times level until its cap or a full resource holds it there. A
    resource r is full when the sum of uses[r] * rate over its flows is its capacity. (Bertsekas and Gallager, Data
    Networks, 6.5.2, with weights and coefficients.) Pure: it reads `uses`, `weight`, `rate_cap` and `capacity` only.
    """
    if not flows:
        return dict(before)
    crossing: dict[Resource, list[Flow]] = {}
    for flow in (*before, *flows):
        for resource in flow.uses:
            crossing.setdefault(resource, []).append(flow)
    rates = dict(before)
    order = count()  # breaks ties, so that the limits themselves are never compared
    limits: list[tuple[float, int, Flow | None, Resource | None]] = [
        *((flow.rate_cap / _weight(flow), next(order), flow, None) for flow in flows if flow.rate_cap < math.inf),
        *((_full_at(resource, crossing[resource], rates), next(order), None, resource) for resource in crossing),
    ]
    heapify(limits)
    level = 0.0
    while len(rates) < len(before) + len(flows):
        believed, number, capped, full = heappop(limits)
        if capped is not None:
            rates.setdefault(capped, capped.rate_cap)
        if full is None:
            continue
        reached = _full_at(full, crossing[full], rates)
        if believed < reached < math.inf:  # flows held elsewhere have left some room since: its time comes later
            heappush(limits, (reached, number, None, full))
            continue
        level = max(level, min(believed, reached))  # the level never falls, whatever rounding says
        for flow in crossing[full]:
            rates.setdefault(flow, min(flow.rate_cap, _weight(flow) * level))
    return rates


def _full_at(resource: Resource, flows: Iterable[Flow], rates: Mapping[Flow, float]) -> float:
    """The level at which a resource is full, where some of its flows have their rates already."""
    left, load = resource.capacity, 0.0
    for flow in flows:
        if flow in rates:
            left -= flow.uses[resource] * rates[flow]
        else:
            load += flow.uses[resource] * _weight(flow)
    return max(left, 0.0) / load if load else math.inf


def _weight(flow: Flow) -> float:
    return flow.weight or 1.0
