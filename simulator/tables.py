"""Tables that only grow: lists of rows to whoever reads them, columns and files inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Generic, TypeVar, get_type_hints, overload

import numpy as np

R = TypeVar("R", bound=tuple[Any, ...])  # a NamedTuple
HOT = 2048  # rows kept as they came; so many at a time become columns
NUMBERS: dict[type, Any] = {float: np.float64, np.float64: np.float64, int: np.int64, np.int64: np.int64}


class Table(Sequence[R], Generic[R]):
    """Rows of one NamedTuple, in the order they were appended; plain tuples are taken for rows too.

    It reads as a list. The latest rows are kept as they came, older ones as numpy columns in which every text is a
    number (less than a third of the memory). Rows that were written elsewhere can be released: from then on they are
    read back from there whenever somebody asks for them.
    """

    def __init__(self, row: type[R]) -> None:
        self.row = row
        self._make: Callable[[Iterable[Any]], R] = row._make  # type: ignore[attr-defined]
        self._kinds = kinds(row)
        self._hot: list[tuple[Any, ...]] = []
        self._chunks: list[list[Any]] = []  # of HOT rows each
        self._codes = _Codes()
        self._gone = 0  # rows that `_read` gives back
        self._read: Callable[[], Iterable[tuple[Any, ...]]] = tuple

    def append(self, row: tuple[Any, ...]) -> None:
        """Add one row."""
        self._hot.append(row)
        if len(self._hot) == HOT:
            self._pack()

    def extend(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add several rows."""
        for row in rows:
            self.append(row)

    def __iadd__(self, rows: Iterable[tuple[Any, ...]]) -> Table[R]:
        self.extend(rows)
        return self

    def kept(self) -> Iterator[R]:
        """The rows that have not been released, each value as it came."""
        return map(self._make, self._from(self._gone))

    def release(self, read: Callable[[], Iterable[tuple[Any, ...]]], count: int | None = None) -> None:
        """Drop the rows that are here; *read* gives them back, and those released before, from the first on.

        *count* is how many there are in place of those that are here, if it is another number (summaries).
        """
        self._gone += len(self) - self._gone if count is None else count
        self._hot.clear()
        self._chunks.clear()
        self._codes = _Codes()
        self._read = read

    def __len__(self) -> int:
        return self._gone + HOT * len(self._chunks) + len(self._hot)

    def __iter__(self) -> Iterator[R]:
        return map(self._make, self._from(0))

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> list[R]: ...
    def __getitem__(self, index: int | slice) -> R | list[R]:
        positions = range(len(self))[index]  # raises IndexError as a list does
        if isinstance(positions, int):
            return self._make(next(self._from(positions)))
        forward = positions if positions.step > 0 else positions[::-1]
        rows = islice(self._from(forward.start), 0, max(forward.stop - forward.start, 0), forward.step)
        return list(map(self._make, rows))[:: 1 if positions.step > 0 else -1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} rows of {self.row.__name__}>"

    def _from(self, start: int) -> Iterator[tuple[Any, ...]]:
        """The rows from a position on."""
        if start < self._gone:
            yield from chain(islice(self._read(), start, None), self._from(self._gone))
            return
        skipped, start = divmod(start - self._gone, HOT)
        for chunk in self._chunks[skipped:]:
            yield from zip(*(self._codes.back(column[start:]) for column in chunk), strict=True)
            start = 0
        yield from self._hot[start + HOT * max(skipped - len(self._chunks), 0) :]

    def _pack(self) -> None:
        columns = zip(self._kinds, zip(*self._hot, strict=True), strict=True)
        self._chunks.append([self._codes.column(v) if kind is str else _numbers(v) for kind, v in columns])
        self._hot.clear()


def kinds(row: type[tuple[Any, ...]]) -> tuple[type, ...]:
    """What each column of a NamedTuple holds: int, float or str."""
    return tuple(hint if hint in (int, float) else str for hint in get_type_hints(row).values())


def _numbers(values: Sequence[Any]) -> np.ndarray[Any, Any] | Sequence[Any]:
    """Values as an array that gives them back as they are: 0 is not 0.0. Mixed ones, and giants, stay as they came."""
    found = {NUMBERS.get(kind) for kind in set(map(type, values))}
    dtype = found.pop()
    try:
        return values if found or dtype is None else np.array(values, dtype)
    except OverflowError:  # a whole number beyond 64 bits
        return values


class _Codes(dict[str, int]):
    """The number of each text, given when it is first met."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def __missing__(self, text: str) -> int:
        self.texts.append(text)
        return self.setdefault(text, len(self.texts) - 1)

    def column(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """Texts as an array of int32, which `back` turns into them."""
        return np.fromiter(map(self.__getitem__, texts), np.int32, len(texts))

    def back(self, column: np.ndarray[Any, Any] | Sequence[Any]) -> Sequence[Any]:
        """What was put into a column."""
        if not isinstance(column, np.ndarray):
            return column
        values: list[Any] = column.tolist()
        return [self.texts[code] for code in values] if column.dtype == np.int32 else values
