"""Profiles whose figures are somewhat off, as far as a device or a link can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from .profiles import DEVICE_ORDER, DEVICE_RULES, LINK_ORDER, LINK_RULES, DeviceProfile, LinkProfile, Rule

P = TypeVar("P", DeviceProfile, LinkProfile)


def perturbed(profile: P, factors: Mapping[str, float]) -> P:
    """*profile* with each figure in *factors*, by name, multiplied by its factor.

    A figure goes towards its product as far as its rule allows, so a share stops at 1. Of two figures in order (watts
    idle and busy) the smaller is lowered to the larger; one that has no factor stays, and the other stops there. Raises
    ValueError for an unknown figure.
    """
    device = isinstance(profile, DeviceProfile)
    rules, order = (DEVICE_RULES, DEVICE_ORDER) if device else (LINK_RULES, LINK_ORDER)
    if unknown := [figure for figure in factors if figure not in rules]:
        raise ValueError(f"{profile.name}: there is no figure {unknown[0]!r} to perturb")
    values = {figure: getattr(profile, figure) for pair in order for figure in pair}
    least = {figure: 0.0 if figure in factors else value for figure, value in values.items()}
    values |= {figure: _towards(getattr(profile, figure), factor, rules[figure]) for figure, factor in factors.items()}
    changes: dict[str, Any] = _in_order(values, least, order)
    return replace(profile, **changes)


def _towards(value: float, factor: float, rule: Rule) -> float:
    """The number nearest to *value* times *factor* that *rule* allows on the way there, found by bisection."""
    allowed, wanted = value, value * factor
    if rule.holds(wanted):
        return wanted
    while (middle := (allowed + wanted) / 2) not in (allowed, wanted):
        allowed, wanted = (middle, wanted) if rule.holds(middle) else (allowed, middle)
    return allowed


def _in_order(
    values: Mapping[str, float], least: Mapping[str, float], order: Sequence[tuple[str, str]]
) -> dict[str, float]:
    """*values* with no pair of *order* the wrong way round, none below what is *least* for it or for one under it."""
    floors = dict(least)
    for larger, smaller in reversed(order):
        floors[larger] = max(floors[larger], floors[smaller])
    kept = {figure: max(value, floors.get(figure, value)) for figure, value in values.items()}
    for larger, smaller in order:
        kept[smaller] = min(kept[smaller], kept[larger])
    return kept
