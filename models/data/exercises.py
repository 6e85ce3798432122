"""Generated traces of exercises: clicks, record, rated engagement and later outcome. Nothing here is real data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data.people import CAMPUS_SHARE, CLASSROOM_SHARE, STUDENT_SHARE, Student

EVENTS = 12
CLICK_FEATURES = ("hint", "retry", "key_789", "key_456", "key_123", "key_0", "log_dwell", "log_elapsed")
RECORD_FEATURES = (
    "prior_score",
    "recent_score",
    "attendance",
    "homework",
    "log_days_away",
    "log_attempts",
    "age",
    "free_lunch",
    "other_language",
    "support_plan",
    "tutored",
    "new_topic",
)
LEVELS = 4

READ, HINT, RETRY, KEY = range(4)
HABITS = (1.0, 1.5, 1.5, 3.0)
"""Dirichlet weights of the four kinds of event: an exercise's own habits."""

ROW_OF_DIGIT = np.array([3, 2, 2, 2, 1, 1, 1, 0, 0, 0])
"""The row of the keypad, from the top, on which a digit lies."""

DIFFICULTY = np.array([-1.9, -1.1, 0.1, 0.7, -0.2, 0.5, -0.6, -0.1, 2.0, 0.6])
"""How hard a digit is to write and read, in standard units: the only way in which handwriting bears on the outcome."""

PACE_OF_READINESS = 0.9
DWELL_OF_PACE, DWELL_NOISE = 0.8, 0.3
DWELL_OF_KIND = np.array([0.3, 0.2, 0.0, -0.2])
RATING_NOISE = 0.1

RECORD_PART, CLICK_PART, STATE_PART, HELP_PART, DIFFICULTY_PART = 0.13, 0.12, 0.15, 0.05, 0.02
"""Parts of the variance of the outcome that an exercise explains; with the people's, what is left is noise."""


@dataclass(frozen=True, slots=True)
class Exercises:
    """Some exercises: ``clicks [n, 12, 8]``, ``record [n, 12]``, ``engagement [n]`` of 0..3, ``outcome [n]``, raw."""

    clicks: NDArray[np.float64]
    record: NDArray[np.float64]
    engagement: NDArray[np.int64]
    outcome: NDArray[np.float64]


def exercises(answers: NDArray[np.int64], students: Sequence[Student], rng: np.random.Generator) -> Exercises:
    """One exercise per right answer (a digit), done by the student at the same place of *students*.

    The pace of the clicks is what the record leads one to expect plus the student's state, so the state, on which
    engagement and outcome rest, shows in neither alone. The equations are in docs/data.md.
    """
    state = rng.integers(LEVELS, size=len(answers))
    vigour = (state - 1.5) / np.sqrt(1.25)
    record = _record(students, rng)
    readiness = (record[:, 0] + record[:, 1]) / np.sqrt(2.8)
    kinds = _kinds(len(answers), rng)
    clicks = _clicks(kinds, answers, PACE_OF_READINESS * readiness + vigour, rng)
    leniency = np.array([s.leniency for s in students])
    rating = state + leniency + RATING_NOISE * rng.standard_normal(len(answers))
    return Exercises(
        clicks=clicks,
        record=record,
        engagement=np.clip(np.rint(rating), 0, LEVELS - 1).astype(np.int64),
        outcome=_outcome(students, answers, record, kinds, readiness, vigour, rng),
    )


def _record(students: Sequence[Student], rng: np.random.Generator) -> NDArray[np.float64]:
    """Twelve columns in standard units or 0/1; those that follow a trait also move from exercise to exercise."""
    n = len(students)
    ability, diligence, age = (np.array([getattr(s, t) for s in students]) for t in ("ability", "diligence", "age"))
    followed = np.stack([ability, ability, diligence, diligence, np.zeros(n), np.zeros(n), age], 1)
    pull = np.array([0.8, 0.5, 0.5, 0.5, 0.0, 0.0, 0.8])
    numbers = pull * followed + np.sqrt(1 - pull**2) * rng.standard_normal((n, len(pull)))
    flags = np.array([s.flags for s in students]).reshape(n, -1)
    new_topic = (rng.random((n, 1)) < 0.3).astype(float)
    return np.concatenate([numbers, flags, new_topic], 1)


def _kinds(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """What the events ``[n, 12]`` are: it begins with reading and ends with the key that enters the answer."""
    habits = np.cumsum(rng.dirichlet(HABITS, size=n), axis=1)
    kinds = (rng.random((n, EVENTS, 1)) > habits[:, None, :-1]).sum(2)
    kinds[:, 0], kinds[:, -1] = READ, KEY
    return kinds.astype(np.int64)


def _clicks(
    kinds: NDArray[np.int64], answers: NDArray[np.int64], pace: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The eight features of every event; a key tells only its row, and not always the right one."""
    surely = np.full(EVENTS, 0.7)
    surely[-1] = 0.95
    right = rng.random(kinds.shape) < surely
    rows = np.where(right, ROW_OF_DIGIT[answers][:, None], rng.integers(4, size=kinds.shape))
    noise = DWELL_NOISE * rng.standard_normal(kinds.shape)
    log_dwell = DWELL_OF_KIND[kinds] - DWELL_OF_PACE * pace[:, None] + noise
    log_elapsed = np.log(np.cumsum(np.exp(log_dwell), axis=1) / EVENTS)
    keys = [(kinds == KEY) & (rows == row) for row in range(4)]
    return np.stack([kinds == HINT, kinds == RETRY, *keys, log_dwell, log_elapsed], 2).astype(float)


def _outcome(
    students: Sequence[Student],
    answers: NDArray[np.int64],
    record: NDArray[np.float64],
    kinds: NDArray[np.int64],
    readiness: NDArray[np.float64],
    vigour: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """The score of a later test: effects of place and person, effort in both traces, and noise; variance about 1."""
    inner, total = EVENTS - 2, sum(HABITS)
    likely = np.array(HABITS) / total
    swell = inner * (inner + total) / (1 + total)  # the counts are Dirichlet-multinomial
    hints, retries = (kinds == HINT).sum(1), (kinds == RETRY).sum(1)
    persistence = (retries - hints) / np.sqrt(2 * swell * likely[HINT])
    help_sought = (hints - inner * likely[HINT]) / np.sqrt(swell * likely[HINT] * (1 - likely[HINT]))
    effort = (record[:, 2] + record[:, 3]) / np.sqrt(2.5)
    parts = (
        (RECORD_PART, effort),
        (CLICK_PART, persistence),
        (STATE_PART, vigour),
        (HELP_PART, -readiness * help_sought),
        (DIFFICULTY_PART, -DIFFICULTY[answers]),
    )
    noise = 1 - CAMPUS_SHARE - CLASSROOM_SHARE - STUDENT_SHARE - sum(share for share, _ in parts)
    place = np.array([s.campus + s.classroom + s.own for s in students])
    explained = sum((np.sqrt(share) * part for share, part in parts), start=place)
    return np.asarray(explained + np.sqrt(noise) * rng.standard_normal(len(answers)))
