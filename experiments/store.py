"""The run folder: tables written as a run goes on, byte for byte the same for the same scenario and seed."""

from __future__ import annotations

import csv
import fcntl
import gzip
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from simulator.records import Happening, Log, Metric, Span, columns
from simulator.tables import kinds

SPANS, METRICS, EVENTS = "spans.csv.gz", "metrics.csv", "events.csv"
SCENARIO, MANIFEST, LOCK = "scenario.yaml", "manifest.json", "running.lock"
ENERGY = ("idle_joules", "compute_joules", "transmit_joules", "receive_joules", "other_joules", "total_joules")


Extents = Mapping[str, tuple[int, str]]  # of tables, by file: bytes and SHA-256


class UnusableError(RuntimeError):
    """What a run left behind does not go together with its replay."""


class Store:
    """A run folder under way; *condense* says what is written of the spans of a round, if not all of them.

    *replayed* says, by file, how long the tables were at some moment of a run that is replayed in its folder, and what
    their SHA-256 was: up to there nothing is written, and what is there has to be the same. Without it the tables begin
    anew. Raises UnusableError where they are not the same, ValueError where the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        condense: Callable[[Iterable[Span]], Sequence[Span]] = list,
        *,
        fresh: bool = True,
        replayed: Extents | None = None,
    ) -> None:
        self.folder, self._condense, self._replayed = folder, condense, replayed
        self._lengths = {SPANS: 0, METRICS: 0, EVENTS: 0}
        self._hashes = {name: sha256() for name in self._lengths}
        self._metrics = 0  # rows written
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if fresh and any(folder.iterdir()):
                raise ValueError(f"{folder}: not empty; choose another --out, or move what is there away")
            if replayed is None:
                for name in self._lengths:
                    (folder / name).write_bytes(b"")
            self._add(SPANS, _member([columns(Span)]))
            self._add(METRICS, _csv([columns(Metric)]).encode())
            self._add(EVENTS, _csv([columns(Happening)]).encode())
        except OSError as error:
            raise ValueError(f"{folder}: cannot write there ({error.strerror}); choose another --out") from None

    @property
    def replaying(self) -> bool:
        """Whether what comes has been written before."""
        return self._replayed is not None

    def extents(self) -> Extents:
        """How long the tables are, and their SHA-256."""
        return {name: (length, self._hashes[name].hexdigest()) for name, length in self._lengths.items()}

    def go_on(self) -> None:
        """The replay is over: cut off what was written after that moment, and write from now on."""
        if self._replayed != self.extents():
            raise UnusableError(f"the tables in {self.folder} are not as they were when the run was saved")
        for name, length in self._lengths.items():
            os.truncate(self.folder / name, length)
        self._replayed = None

    def sync(self) -> None:
        """See to it that the tables are on the disk, also if the machine loses its power."""
        for name in self._lengths:
            with (self.folder / name).open("rb") as table:
                os.fsync(table.fileno())

    def _add(self, name: str, data: bytes) -> None:
        path, begin = self.folder / name, self._lengths[name]
        self._lengths[name] += len(data)
        self._hashes[name].update(data)
        if self._replayed is None:
            with path.open("ab") as out:
                out.write(data)
            return
        if _part(path, begin, len(data)) != data:
            raise UnusableError(f"{path} is not what this run writes")

    def text(self, name: str, content: str) -> None:
        """Write a small file whole or not at all."""
        path = self.folder / name
        partial = path.with_name(path.name + ".part")
        partial.write_text(content, encoding="utf-8")
        partial.replace(path)

    def manifest(self, values: Mapping[str, Any]) -> None:
        """What the run is and how far it is."""
        self.text(MANIFEST, json.dumps(values, indent=2, sort_keys=False) + "\n")

    def append(self, log: Log) -> None:
        """Append what has happened since the last call, spans as one gzip member; take it, but metrics, out of memory.

        Whoever reads *log* later reads it from the files.
        """
        new = self._condense(log.spans.kept())
        if new:
            self._add(SPANS, _member(new))
            log.spans.release(lambda: _read(self.folder / SPANS, Span), len(new))
        happenings = list(log.happenings.kept())
        if happenings:
            self._add(EVENTS, _csv(happenings).encode())
            log.happenings.release(lambda: _read(self.folder / EVENTS, Happening))
        if metrics := log.metrics[self._metrics :]:
            self._add(METRICS, _csv(metrics).encode())
            self._metrics += len(metrics)

    def metrics(self) -> Iterator[Metric]:
        """The rows of metrics that are in the folder, one by one."""
        return (Metric(*row) for row in _read(self.folder / METRICS, Metric))

    def tables(self, log: Log, **rows: Sequence[Mapping[str, Any]]) -> None:
        """Everything that is known only at the end: tables by their names."""
        self.append(log)
        for name, records in rows.items():
            self.text(f"{name}.csv", _records(records))


def check(folder: Path, extents: Extents) -> None:
    """Whether the tables in *folder* begin as they were at some moment. Raises UnusableError where one does not."""
    for name, (length, digest) in extents.items():
        if _digest(folder / name, length) != digest:
            raise UnusableError(f"{folder / name} does not begin as it was when the run was saved")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else goes on with the run in *folder* meanwhile. Raises ValueError where somebody does already."""
    path = folder / LOCK
    with path.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(path.stat(), os.fstat(held.fileno())):
                raise BlockingIOError  # whoever held it has ended since, and somebody else has begun
        except (BlockingIOError, FileNotFoundError):
            raise ValueError(f"{folder}: its run is still going on; wait, or end that process first") from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _digest(path: Path, length: int) -> str:
    """The SHA-256 of so many bytes at the beginning of a file, or of all that there are."""
    hashing = sha256()
    for begin in range(0, length, 1 << 20):
        hashing.update(_part(path, begin, min(1 << 20, length - begin)))
    return hashing.hexdigest()


def _part(path: Path, begin: int, length: int) -> bytes:
    """So many bytes of a file from *begin* on, as far as it has them."""
    try:
        with path.open("rb") as there:
            there.seek(begin)
            return there.read(length)
    except FileNotFoundError:
        return b""


def _read(path: Path, row: type[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The rows of a table, one by one."""
    types = kinds(row)
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as text:
        rows = csv.reader(text)
        next(rows)  # the names of the columns
        for values in rows:
            yield tuple(kind(value) for kind, value in zip(types, values, strict=True))


def _records(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _csv([names, *([row.get(name, "") for name in names] for row in rows)])


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)  # floats are written so that they read back the same
    return out.getvalue()


def _member(rows: Iterable[Sequence[Any]]) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile("", "wb", 1, out, mtime=0) as packed:
        packed.write(_csv(rows).encode())
    return out.getvalue()
