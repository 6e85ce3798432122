"""Scikit-learn's embedded handwritten digits: real images, and who of any number of clients holds which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.partition import KINDS, stratified_order
from models.data.samples import Client, Samples, Study, Task
from models.data.streams import stream

Indices = NDArray[np.int64]

DIGITS = 1797
MODALITIES = {"image": (64,)}
TASKS = {"digit": Task("digit", 10)}


@dataclass(frozen=True, slots=True)
class Digits:
    """Images ``[1797, 8, 8]`` of 0..1, and which digit each shows."""

    images: Tensor
    answers: Indices


def all_digits() -> Digits:
    """The whole set."""
    pixels, answers = _pixels_and_answers()
    images = torch.from_numpy((pixels / 16).astype(np.float32)).reshape(-1, 8, 8)
    return Digits(images, answers.astype(np.int64))


def _pixels_and_answers() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """``[1797, 64]`` of 0..16, and ``[1797]``: from scikit-learn's file where it is: to load the rest takes long."""
    found = find_spec("sklearn")
    path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz" if found and found.origin else None
    if path and path.is_file():
        table = np.loadtxt(path, delimiter=",")
        return table[:, :-1], table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    pixels, answers = load_digits(return_X_y=True)
    return pixels, answers


def digits_study(
    clients: Sequence[str],
    *,
    seed: int,
    alpha: float = 0.5,
    partition: str = "dirichlet",
    copies: int = 1,
    test: int = 360,
    own_test: int = 9,
    minimum: int = 2,
) -> Study:
    """Which digit does an image show? One modality ``image``, one task ``digit``, no public data.

    *test* of the 1,797 digits are held out, all classes in proportion. The others are dealt to the clients, each
    *copies* times (for more clients than there are digits): ``dirichlet`` shares each label out by Dirichlet(*alpha*),
    so that clients differ in labels and in size (Hsu et al., arXiv 1909.06335); ``iid`` deals equal hands at random.
    Nobody has less than *minimum*. A client is tested on *own_test* held-out digits in its own mix. Everything follows
    from *seed* and the number of clients. ValueError where the digits do not go round.
    """
    _check(clients, alpha, partition, copies, test, own_test, minimum)
    source = all_digits()
    pool, rest = np.split(stratified_order(source.answers, seed, "digits.split"), [test])
    deck = np.tile(rest, copies)
    hands = _dealt(source.answers[deck], len(clients), seed, alpha if partition == "dirichlet" else None, minimum)
    out = {}
    for client, hand in zip(clients, hands, strict=True):
        rng = stream(seed, "digits.test", client)
        own = own_mix(source.answers, deck[hand], pool, own_test, rng)
        out[client] = Client(_samples(source, deck[hand]), _samples(source, own))
    return Study(MODALITIES, TASKS, out, _samples(source, pool))


def own_mix(answers: Indices, held: Indices, pool: Indices, count: int, rng: np.random.Generator) -> Indices:
    """*count* digits of *pool*, labelled as often as *held* is; none twice while its label lasts."""
    wanted = rng.choice(answers[held], size=count)
    decks = {label: rng.permutation(pool[answers[pool] == label]) for label in np.unique(wanted)}
    return np.concatenate([np.resize(deck, int((wanted == label).sum())) for label, deck in decks.items()])


def _dealt(labels: Indices, clients: int, seed: int, alpha: float | None, minimum: int) -> list[Indices]:
    """The places in *labels* that each client gets; *alpha* None: equal hands at random."""
    if alpha is None:
        return np.array_split(stream(seed, "partition.iid").permutation(len(labels)), clients)
    hands: list[list[int]] = [[] for _ in range(clients)]
    for label in np.unique(labels):
        rng = stream(seed, "partition.digits", str(label))
        where = rng.permutation(np.flatnonzero(labels == label))
        cuts = (np.cumsum(rng.dirichlet([alpha] * clients)) * len(where)).astype(int)[:-1]
        for hand, some in zip(hands, np.split(where, cuts), strict=True):
            hand.extend(some)
    for hand in hands:  # who has too few is given some by whoever has the most at that moment
        while len(hand) < minimum:
            hand.append(max(hands, key=len).pop())
    return [np.array(hand) for hand in hands]


def _samples(source: Digits, indices: Indices) -> Samples:
    rows = torch.from_numpy(indices)
    return Samples({"image": source.images[rows].flatten(1)}, {"digit": torch.from_numpy(source.answers[indices])})


def _check(
    clients: Sequence[str], alpha: float, partition: str, copies: int, test: int, own_test: int, minimum: int
) -> None:
    if partition not in KINDS:
        raise ValueError(f"digits study: partition must be one of {', '.join(KINDS)}, got {partition!r}")
    if not 0 < alpha < np.inf:
        raise ValueError(f"digits study: alpha must be > 0 and finite, got {alpha}")
    least = {"copies": (copies, 1), "test": (test, 20), "own_test": (own_test, 1), "minimum": (minimum, 1)}
    for name, (value, smallest) in least.items():
        if value < smallest:
            raise ValueError(f"digits study: {name} must be >= {smallest}, got {value}")
    if not clients:
        raise ValueError("digits study: there are no clients to deal the digits to")
    left = max(0, DIGITS - test) * copies
    if left < minimum * len(clients):
        raise ValueError(
            f"digits study: {left} digits are too few for {len(clients)} clients with at least {minimum} each; "
            f"use at most {left // minimum} clients, a smaller test split, or more copies"
        )
