"""What a flow can run on: bad figures are refused where they are given, with the place and the rule."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import Protocol, TypeVar


class Shared(Protocol):
    """A resource as these checks see it."""

    name: str
    capacity: float


R = TypeVar("R", bound=Shared)


def coefficients(uses: Mapping[R, float] | Sequence[R]) -> dict[R, float]:
    """Units of each resource per unit of flow; of a sequence, as often as each is named."""
    if not isinstance(uses, list | tuple) and isinstance(uses, Mapping):  # the second takes longer to ask
        return dict(uses)
    if len(uses) == 1:
        return {uses[0]: 1}
    counts: dict[R, float] = {}
    for resource in uses:
        counts[resource] = counts.get(resource, 0) + 1
    return counts


def check_resource(name: str, capacity: float, slots: int | None = None) -> None:
    """Refuse a capacity that is negative or not finite, and slots that are not a whole number from 1."""
    if not 0 <= capacity < math.inf:
        raise ValueError(f"resource {name!r}: capacity must be >= 0 and finite, got {capacity}")
    if slots is not None and not (isinstance(slots, int) and slots >= 1):
        raise ValueError(f"resource {name!r}: slots must be a whole number >= 1, got {slots}")


def check_amount(amount: float, weight: float) -> None:
    """Refuse an amount or a weight that is negative or not finite."""
    if not 0 <= amount < math.inf:
        raise ValueError(f"flow: amount must be >= 0 and finite, got {amount}")
    if not 0 <= weight < math.inf:
        raise ValueError(f"flow: weight must be >= 0 and finite, got {weight}")


def check_path(uses: Mapping[R, float], rate_cap: float, known: Container[R] = ()) -> None:
    """Refuse what a flow cannot run on; an outage of a resource that it *knows* is only waited out."""
    if not rate_cap > 0:
        raise ValueError(f"flow: rate_cap must be > 0, got {rate_cap}")
    if not uses and rate_cap == math.inf:
        raise ValueError("flow: uses no resource and has no rate_cap, so nothing would limit it")
    for resource, units in uses.items():
        if not 0 < units < math.inf:
            raise ValueError(f"flow: use of resource {resource.name!r} must be > 0 and finite, got {units}")
        if resource.capacity == 0 and resource not in known:
            raise ValueError(f"flow: resource {resource.name!r} has capacity 0")
