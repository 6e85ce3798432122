"""Tiers stand above one another in the same order everywhere in a tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def check_tier(tiers: Mapping[str, Iterable[str]], node: str, tier: str, above: str) -> None:
    """Refuse a *node* whose tier would be its own ancestor, here or by way of another branch.

    *tiers* gives each tier that there is, with those seen directly above it. Raises ValueError.
    """
    if tier == above:
        raise ValueError(f"{node}: tier {tier!r} cannot be below itself")
    if tier not in tiers or above in tiers[tier]:
        return
    higher = dict.fromkeys(tiers[above])
    waiting = list(higher)
    while waiting:
        found = [tier for tier in tiers[waiting.pop()] if tier not in higher]
        higher.update(dict.fromkeys(found))
        waiting.extend(found)
    if tier in higher:
        raise ValueError(f"{node}: tier {tier!r} cannot be below {above!r}, which is below {tier!r} elsewhere")
