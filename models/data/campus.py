"""The embedded study: real handwritten digits, with generated clicks and records of the students who wrote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor

from models.data.exercises import CLICK_FEATURES, EVENTS, LEVELS, RECORD_FEATURES, Exercises, exercises
from models.data.partition import Places, stratified_order
from models.data.partition import partition as shared_out
from models.data.people import Student, enrol, strangers
from models.data.samples import Client, Samples, Study, Task
from models.data.streams import stream

MODALITIES = {"handwriting": (8, 8), "clickstream": (EVENTS, len(CLICK_FEATURES)), "record": (len(RECORD_FEATURES),)}
TASKS = {"answer": Task("answer", 10), "engagement": Task("engagement", LEVELS), "outcome": Task("outcome")}
DIGITS = 1797
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
    images, answers = _digits()
    order = stratified_order(answers, seed, "digits.split")
    pool, rest = order[:test], order[test + public:]
    held = shared_out(answers[rest], places, seed=seed, kind=partition, alpha=alpha, minimum=minimum)
    people = enrol(places, seed)
    train = {s: _solve(rest[held[s]], answers, people[s], stream(seed, "exercises.train", s)) for s in sorted(places)}
    level = np.concatenate([done.outcome for done in train.values()])
    scale = float(level.mean()), float(level.std())
    lacks = _lacking(sorted(places), seed, missing_modality, missing_task)
    clients = {}
    for s in places:
        indices = rest[held[s]]
        drawn = _own_mix(answers[indices], answers, pool, own_test, stream(seed, "digits.test", s))
        tried = _solve(drawn, answers, people[s], stream(seed, "exercises.test", s))
        clients[s] = Client(
            train=_samples(images[indices], answers[indices], train[s], scale, lacks.get(s, ())),
            test=_samples(images[drawn], answers[drawn], tried, scale, lacks.get(s, ())),
        )
    by_lot = stream(seed, "digits.pool").permutation(np.resize(np.arange(len(places)), test))
    sitting = [people[sorted(places)[i]] for i in by_lot]
    exam = exercises(answers[pool], sitting, stream(seed, "exercises.pool"))
    return Study(MODALITIES, TASKS, clients, _samples(images[pool], answers[pool], exam, scale),
                 _open_data(images, answers, order[test:test + public], seed))


def _digits() -> tuple[Tensor, NDArray[np.int64]]:
    """The real images ``[1797, 8, 8]`` of 0..1 and which digit each shows."""
    pixels, answers = load_digits(return_X_y=True)
    return torch.from_numpy((pixels / 16).astype(np.float32).reshape(-1, 8, 8)), answers.astype(np.int64)


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
        raise ValueError("campus study: there are no students")
    left = DIGITS - test - public
    if left < minimum * len(places):
        raise ValueError(
            f"campus study: {left} of the {DIGITS} digits are left for {len(places)} devices, too few for {minimum} "
            f"each; use at most {max(0, left) // minimum} devices, or a smaller public or test split"
        )


def _solve(
    indices: NDArray[np.int64], answers: NDArray[np.int64], student: Student, rng: np.random.Generator
) -> Exercises:
    return exercises(answers[indices], [student] * len(indices), rng)


def _own_mix(
    own: NDArray[np.int64], answers: NDArray[np.int64], pool: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """*count* held-out digits, labels drawn as often as in *own*, no image twice while others are left."""
    wanted = rng.choice(own, size=count)
    drawn = []
    for label in np.unique(wanted):
        deck = rng.permutation(pool[answers[pool] == label])
        drawn.append(np.resize(deck, int((wanted == label).sum())))
    return np.concatenate(drawn)


def _samples(
    images: Tensor, answers: NDArray[np.int64], done: Exercises, scale: tuple[float, float], lacks: Sequence[str] = ()
) -> Samples:
    """Exercises as tensors, without the modalities and tasks in *lacks*; *scale* is the mean and deviation of outcome."""
    mean, deviation = scale
    inputs = {"handwriting": images, "clickstream": _float(done.clicks), "record": _float(done.record)}
    targets = {"answer": torch.from_numpy(answers), "engagement": torch.from_numpy(done.engagement),
               "outcome": _float((done.outcome - mean) / deviation)}
    return Samples({m: x for m, x in inputs.items() if m not in lacks},
                   {t: y for t, y in targets.items() if t not in lacks})


def _float(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _lacking(students: Sequence[str], seed: int, modality: float, task: float) -> Mapping[str, tuple[str, ...]]:
    """Who lacks what: exactly these fractions (rounded) by lot, every modality and task about equally often."""
    lacks: dict[str, tuple[str, ...]] = {}
    for purpose, fraction, names in (("modality", modality, list(MODALITIES)), ("task", task, list(TASKS))):
        rng = stream(seed, f"missing.{purpose}")
        unlucky = rng.permutation(len(students))[: round(fraction * len(students))]
        names = list(rng.permutation(names))
        for i, s in enumerate(unlucky):
            lacks[students[s]] = (*lacks.get(students[s], ()), str(names[i % len(names)]))
    return lacks


def _open_data(images: Tensor, answers: NDArray[np.int64], indices: NDArray[np.int64], seed: int) -> Samples | None:
    """Exercises by students of no school, without any target; None where none was asked for."""
    if not len(indices):
        return None
    people = strangers(-(-len(indices) // STRANGER_EXERCISES), seed)
    done = exercises(answers[indices], [people[i // STRANGER_EXERCISES] for i in range(len(indices))],
                     stream(seed, "exercises.public"))
    whole = _samples(images[indices], answers[indices], done, (0.0, 1.0))
    return Samples(whole.inputs, {})
