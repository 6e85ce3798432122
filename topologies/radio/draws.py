"""Random draws of a radio: each is a pure function of a seed, a name and, where it changes with time, a step."""

from __future__ import annotations

from math import inf, sqrt

from ..streams import stream


def in_sight(seed: int, name: str, probability: float) -> bool:
    """Whether the link of that name is in line of sight."""
    return bool(stream(seed, "sight", name).random() < probability)


def shadowing_db(seed: int, name: str, sigma_db: float) -> float:
    """The loss that the surroundings of that link add to the median, of either sign."""
    return sigma_db * float(stream(seed, "shadowing", name).standard_normal())


def gain(seed: int, name: str, block: int, k: float) -> float:
    """The power gain of a link in one block of fading: mean 1, Rician with factor *k*, a ratio."""
    if k == inf:
        return 1.0
    steady = sqrt(k / (1 + k))
    x, y = stream(seed, "fading", name, block).standard_normal(2) / sqrt(2 * (1 + k))
    return float((steady + x) ** 2 + y**2)
