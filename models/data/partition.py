"""Who gets which sample: splits of labelled samples over the students of a tree of campuses and classrooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.data.streams import stream

Places = Mapping[str, tuple[str, str]]
"""Where a student sits: node name to (campus, classroom)."""

KINDS = ("dirichlet", "iid")


def partition(
    labels: NDArray[np.int64],
    places: Places,
    *,
    seed: int,
    kind: str = "dirichlet",
    alpha: float = 0.5,
    campus_alpha: float | None = None,
    minimum: int = 2,
) -> dict[str, NDArray[np.int64]]:
    """The indices of *labels* that each student holds: all of them, each once, sizes equal to within one sample.

    ``dirichlet`` skews labels down the tree (after Hsu et al., arXiv 1909.06335): each label is shared among
    campuses by Dirichlet(*campus_alpha*, by default 4 *alpha*: schools differ less than classes) and inside a campus
    among its rooms by Dirichlet(*alpha*); the table is then fitted to the rooms' sizes, so that the mix is skewed and
    the amount is not, and a room's samples are dealt to its students. ``iid`` deals everything at random.
    ValueError where there is less than *minimum* for each student.
    """
    _check(len(labels), places, kind, alpha, campus_alpha, minimum)
    students = sorted(places)
    if kind == "iid":
        deal = stream(seed, "partition.iid").permutation(len(labels))
        return {s: np.sort(part) for s, part in zip(students, np.array_split(deal, len(students)), strict=True)}
    sizes = _sizes(len(labels), students, seed)
    rooms = sorted(set(places.values()))
    by_room = {room: [s for s in students if places[s] == room] for room in rooms}
    classes, rows = np.unique(labels, return_counts=True)
    shares = np.stack([_label_shares(rooms, seed, int(c), alpha, campus_alpha or 4 * alpha) for c in classes])
    columns = np.array([sum(sizes[s] for s in by_room[room]) for room in rooms])
    counts = round_table(fit_table(shares, rows, columns), rows, columns)
    held = _deal_rooms(labels, classes, counts, seed)
    return {
        s: part
        for room, indices in zip(rooms, held, strict=True)
        for s, part in _deal_students(indices, by_room[room], sizes, seed, room).items()
    }


def stratified_order(labels: NDArray[np.int64], seed: int, purpose: str) -> NDArray[np.int64]:
    """A shuffle of ``range(len(labels))`` in which every stretch has about the mix of the whole."""
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        where = np.flatnonzero(labels == label)
        shuffled = stream(seed, purpose, str(label)).permutation(where)
        rank[shuffled] = (np.arange(len(where)) + 0.5) / len(where)
    return np.argsort(rank, kind="stable")


def fit_table(
    shares: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int64], sweeps: int = 200
) -> NDArray[np.float64]:
    """*shares* scaled to the given row and column sums by iterative proportional fitting (Deming and Stephan, 1940).

    What has not converged after *sweeps* is left below the sums, never above.
    """
    table = np.maximum(shares, 1e-9)
    for _ in range(sweeps):
        table = table * (rows / table.sum(1))[:, None]
        table = table * (columns / table.sum(0))
    return table * np.minimum(1.0, rows / table.sum(1))[:, None]


def round_table(table: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """*table* in whole numbers with exactly these row and column sums; largest remainders first."""
    counts = np.floor(table * (1 - 1e-12)).astype(np.int64)
    row_lack, column_lack = rows - counts.sum(1), columns - counts.sum(0)
    order = np.argsort(counts - table, axis=None, kind="stable")
    while row_lack.any():
        for i, j in zip(*np.unravel_index(order, table.shape), strict=True):
            if row_lack[i] > 0 and column_lack[j] > 0:
                counts[i, j] += 1
                row_lack[i] -= 1
                column_lack[j] -= 1
    return counts


def _check(samples: int, places: Places, kind: str, alpha: float, campus_alpha: float | None, minimum: int) -> None:
    if kind not in KINDS:
        raise ValueError(f"partition: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    for name, value in (("alpha", alpha), ("campus_alpha", alpha if campus_alpha is None else campus_alpha)):
        if not 0 < value < np.inf:
            raise ValueError(f"partition: {name} must be > 0 and finite, got {value}")
    if not places:
        raise ValueError("partition: there are no students to share the samples among")
    if minimum < 1:
        raise ValueError(f"partition: minimum must be >= 1, got {minimum}")
    if samples < minimum * len(places):
        raise ValueError(
            f"partition: {samples} samples are too few for {len(places)} students with at least {minimum} each; "
            f"at most {samples // minimum} students can take part"
        )


def _sizes(samples: int, students: Sequence[str], seed: int) -> dict[str, int]:
    """How many samples each student gets: equal to within one, by lot."""
    each, spare = divmod(samples, len(students))
    lots = stream(seed, "partition.sizes").permutation(len(students))
    return {s: each + int(lot < spare) for s, lot in zip(students, lots, strict=True)}


def _label_shares(
    rooms: Sequence[tuple[str, str]], seed: int, label: int, alpha: float, campus_alpha: float
) -> NDArray[np.float64]:
    """Which part of a label each room would get before sizes are looked at."""
    campuses = sorted({campus for campus, _ in rooms})
    above = stream(seed, "partition.campuses", str(label)).dirichlet([campus_alpha] * len(campuses))
    shares = []
    for campus, share in zip(campuses, above, strict=True):
        count = sum(c == campus for c, _ in rooms)
        shares.append(share * stream(seed, "partition.rooms", f"{campus}:{label}").dirichlet([alpha] * count))
    return np.concatenate(shares)


def _deal_rooms(
    labels: NDArray[np.int64], classes: NDArray[np.int64], counts: NDArray[np.int64], seed: int
) -> list[NDArray[np.int64]]:
    """Each room's indices: of every label, as many as *counts* says."""
    held: list[list[NDArray[np.int64]]] = [[] for _ in range(counts.shape[1])]
    for label, row in zip(classes, counts, strict=True):
        deck = stream(seed, "partition.labels", str(label)).permutation(np.flatnonzero(labels == label))
        for parts, cards in zip(held, np.split(deck, np.cumsum(row)[:-1]), strict=True):
            parts.append(cards)
    return [np.concatenate(parts) for parts in held]


def _deal_students(
    indices: NDArray[np.int64], students: Sequence[str], sizes: Mapping[str, int], seed: int, room: tuple[str, str]
) -> dict[str, NDArray[np.int64]]:
    deck = stream(seed, "partition.students", "/".join(room)).permutation(indices)
    cuts = np.cumsum([sizes[s] for s in students])[:-1]
    return {s: np.sort(cards) for s, cards in zip(students, np.split(deck, cuts), strict=True)}
