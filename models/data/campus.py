"""The embedded study: real handwritten digits, with generated clicks and records of the students who wrote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.digits import DIGITS, Digits, all_digits, own_mix
from models.data.exercises import CLICK_FEATURES, EVENTS, LEVELS, RECORD_FEATURES, Exercises, exercises
from models.data.partition import Places, stratified_order
from models.data.partition import partition as shared_out
from models.data.people import Student, enrol, strangers
from models.data.samples import Client, Samples, Study, Task
from models.data.streams import stream

Indices = NDArray[np.int64]

MODALITIES = {"handwriting": (8, 8), "clickstream": (EVENTS, len(CLICK_FEATURES)), "record": (len(RECORD_FEATURES),)}
TASKS = {"answer": Task("answer", 10), "engagement": Task("engagement", LEVELS), "outcome": Task("outcome")}
STRANGER_EXERCISES = 8


def campus_study(
    places: Places,
    *,
    seed: int,
    alpha: float = 0.5,
    partition: str = "dirichlet",
    missing_modality: float = 0.2,
    missing_task: float = 0.0,
    public: int = 300,
    test: int = 360,
    own_test: int = 9,
    minimum: int = 2,
) -> Study:
    """A study over any tree of campuses and classrooms; a sample is one exercise by one student.

    *places* says where each device's node sits, as (campus, classroom). Of the 1,797 digits *test* are held out and
    *public* are open, both of all classes in proportion, and the rest is split over the students by *partition*
    (``dirichlet`` with *alpha*, or ``iid``). A client is tested on *own_test* exercises with held-out digits in its
    own mix. *missing_modality* and *missing_task* are the fractions of students who lack exactly one. Everything
    follows from *seed* and the names. ValueError where the digits do not go round.
    """
    _check(places, missing_modality, missing_task, public, test, own_test, minimum)
    digits = all_digits()
    order = stratified_order(digits.answers, seed, "digits.split")
    pool, opened, rest = np.split(order, [test, test + public])
    shares = shared_out(digits.answers[rest], places, seed=seed, kind=partition, alpha=alpha, minimum=minimum)
    held = {s: rest[shares[s]] for s in sorted(places)}
    people = enrol(places, seed)
    train = {s: _solve(digits, held[s], people[s], stream(seed, "exercises.train", s)) for s in held}
    scores = np.concatenate([done.outcome for done in train.values()])
    scale = float(scores.mean()), float(scores.std())
    lacks = _lacking(list(held), seed, missing_modality, missing_task)
    clients = {}
    for s in places:
        own = own_mix(digits.answers, held[s], pool, own_test, stream(seed, "digits.test", s))
        tried = _solve(digits, own, people[s], stream(seed, "exercises.test", s))
        clients[s] = Client(
            train=_samples(digits, held[s], train[s], scale, lacks.get(s, ())),
            test=_samples(digits, own, tried, scale, lacks.get(s, ())),
        )
    exam = _samples(digits, pool, _exam(digits, pool, [people[s] for s in held], seed), scale)
    return Study(MODALITIES, TASKS, clients, exam, _open_data(digits, opened, seed) if public else None)


def _check(
    places: Places, missing_modality: float, missing_task: float, public: int, test: int, own_test: int, minimum: int
) -> None:
    for name, fraction in (("missing_modality", missing_modality), ("missing_task", missing_task)):
        if not 0 <= fraction <= 1:
            raise ValueError(f"campus study: {name} must be from 0 to 1, got {fraction}")
    for name, count, least in (("public", public, 0), ("test", test, 20), ("own_test", own_test, 1)):
        if count < least:
            raise ValueError(f"campus study: {name} must be >= {least}, got {count}")
    if not places:
        raise ValueError("campus study: there are no devices to give the exercises to")
    left = max(0, DIGITS - test - public)
    if left < minimum * len(places):
        raise ValueError(
            f"campus study: {left} of the {DIGITS} digits are left for {len(places)} devices, too few for {minimum} "
            f"each; use at most {left // minimum} devices, or a smaller public or test split"
        )


def _solve(digits: Digits, indices: Indices, student: Student, rng: np.random.Generator) -> Exercises:
    return exercises(digits.answers[indices], [student] * len(indices), rng)


def _exam(digits: Digits, pool: Indices, people: Sequence[Student], seed: int) -> Exercises:
    """The held-out pool, worked by the federation's students in turn, in an order drawn by lot."""
    turns = stream(seed, "digits.pool").permutation(np.resize(np.arange(len(people)), len(pool)))
    return exercises(digits.answers[pool], [people[i] for i in turns], stream(seed, "exercises.pool"))


def _open_data(digits: Digits, indices: Indices, seed: int) -> Samples:
    """Exercises by students of no school, without any target."""
    people = strangers(-(-len(indices) // STRANGER_EXERCISES), seed)
    workers = [people[i // STRANGER_EXERCISES] for i in range(len(indices))]
    done = exercises(digits.answers[indices], workers, stream(seed, "exercises.public"))
    return Samples(_samples(digits, indices, done, (0.0, 1.0)).inputs, {})


def _samples(
    digits: Digits, indices: Indices, done: Exercises, scale: tuple[float, float], lacks: Sequence[str] = ()
) -> Samples:
    """Exercises as tensors without the modalities and tasks in *lacks*; *scale*: mean and deviation of the outcome."""
    mean, deviation = scale
    rows = torch.from_numpy(indices)
    inputs = {"handwriting": digits.images[rows], "clickstream": _float(done.clicks), "record": _float(done.record)}
    targets = {
        "answer": torch.from_numpy(digits.answers[indices]),
        "engagement": torch.from_numpy(done.engagement),
        "outcome": _float((done.outcome - mean) / deviation),
    }
    return Samples(
        {m: x for m, x in inputs.items() if m not in lacks}, {t: y for t, y in targets.items() if t not in lacks}
    )


def _float(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _lacking(students: Sequence[str], seed: int, modality: float, task: float) -> Mapping[str, tuple[str, ...]]:
    """Who lacks what: just these fractions (rounded), by lot, every modality and every task about equally often."""
    lacks: dict[str, tuple[str, ...]] = {}
    for purpose, fraction, names in (("modality", modality, list(MODALITIES)), ("task", task, list(TASKS))):
        rng = stream(seed, f"missing.{purpose}")
        unlucky = rng.permutation(len(students))[: round(fraction * len(students))]
        names = list(rng.permutation(names))
        for turn, i in enumerate(unlucky):
            lacks[students[i]] = (*lacks.get(students[i], ()), str(names[turn % len(names)]))
    return lacks
