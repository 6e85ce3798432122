"""The students of the generated study: what their campus, their class and they themselves bring to an exercise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data.partition import Places
from models.data.streams import stream

CAMPUS_SHARE, CLASSROOM_SHARE, STUDENT_SHARE = 0.20, 0.115, 0.08
"""Parts of the variance of ``outcome``; the first two as in Project STAR's kindergarten mathematics."""

LENIENCY = 0.35
"""Standard deviation, in levels of engagement, of how kindly a teacher rates."""

FLAG_RATES = (0.45, 0.15, 0.10, 0.20)
"""How many have free lunch, another language at home, a support plan, a tutor."""


@dataclass(frozen=True, slots=True)
class Student:
    """What stays the same in all exercises of one student; effects are in standard deviations of ``outcome``."""

    campus: float
    classroom: float
    own: float
    leniency: float
    ability: float
    diligence: float
    age: float
    flags: tuple[float, ...]


def spread(rng: np.random.Generator, count: int, deviation: float) -> NDArray[np.float64]:
    """*count* normal draws moved and scaled to mean 0 and exactly this sample deviation; a single one is 0.

    A deck rather than dice: with three campuses, plain draws would miss the intended share in most seeds.
    """
    if count < 2:
        return np.zeros(count)
    draws = rng.standard_normal(count)
    return deviation * (draws - draws.mean()) / draws.std(ddof=1)


def enrol(places: Places, seed: int) -> dict[str, Student]:
    """Every student of the federation, by node name; the same for the same seed and names, in whatever order."""
    campuses = sorted({campus for campus, _ in places.values()})
    # classes are centred in their campus, so the campus carries what the mean of its classes would have varied by
    rooms_each = len(set(places.values())) / len(campuses)
    deviation = math.sqrt(CAMPUS_SHARE + CLASSROOM_SHARE / rooms_each)
    campus_effects = spread(stream(seed, "effect.campus"), len(campuses), deviation)
    people: dict[str, Student] = {}
    for campus, campus_effect in zip(campuses, campus_effects, strict=True):
        rooms = sorted({room for c, room in places.values() if c == campus})
        room_effects = spread(stream(seed, "effect.classroom", campus), len(rooms), math.sqrt(CLASSROOM_SHARE))
        leniency = spread(stream(seed, "leniency", campus), len(rooms), LENIENCY)
        for room, room_effect, kind in zip(rooms, room_effects, leniency, strict=True):
            names = sorted(s for s, place in places.items() if place == (campus, room))
            group = _group(names, seed, f"{campus}/{room}", (float(campus_effect), float(room_effect), float(kind)))
            people.update(zip(names, group, strict=True))
    return people


def strangers(count: int, seed: int) -> list[Student]:
    """Students of no school, for open data: no campus, class or teacher bears on them."""
    names = [f"stranger{i}" for i in range(count)]
    return _group(names, seed, "public", (0.0, 0.0, 0.0))


def _group(names: Sequence[str], seed: int, room: str, effects: tuple[float, float, float]) -> list[Student]:
    """A room's students; what differs among them averages to 0 in the room, so that it adds nothing to the class."""
    own = spread(stream(seed, "effect.student", room), len(names), math.sqrt(STUDENT_SHARE))
    ability = spread(stream(seed, "ability", room), len(names), 1.0)
    diligence = spread(stream(seed, "diligence", room), len(names), 1.0)
    age = spread(stream(seed, "age", room), len(names), 1.0)
    flags = [tuple((stream(seed, "flags", s).random(len(FLAG_RATES)) < FLAG_RATES).astype(float)) for s in names]
    campus, classroom, leniency = effects
    return [
        Student(
            campus, classroom, float(own[i]), leniency, float(ability[i]), float(diligence[i]), float(age[i]), flags[i]
        )
        for i in range(len(names))
    ]
