"""The run folder: tables written as a run goes on, byte for byte the same for the same scenario and seed."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from simulator.records import Happening, Log, Metric, Span, columns
from simulator.tables import kinds

SPANS, EVENTS = "spans.csv.gz", "events.csv"
ENERGY = ("idle_joules", "compute_joules", "transmit_joules", "receive_joules", "other_joules", "total_joules")


class Store:
    """A run folder under way; *condense* says what is written of the spans of a round, if not all of them.

    Raises ValueError where it cannot be written, or holds a run already.
    """

    def __init__(self, folder: Path, condense: Callable[[Iterable[Span]], Sequence[Span]] = list) -> None:
        self.folder, self._condense = folder, condense
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise ValueError(f"{folder}: not empty; choose another --out, or move what is there away")
            (folder / SPANS).write_bytes(_member([columns(Span)]))
            self.text(EVENTS, _csv([columns(Happening)]))
        except OSError as error:
            raise ValueError(f"{folder}: cannot write there ({error.strerror}); choose another --out") from None

    def text(self, name: str, content: str) -> None:
        """Write a small file whole or not at all."""
        path = self.folder / name
        partial = path.with_name(path.name + ".part")
        partial.write_text(content, encoding="utf-8")
        partial.replace(path)

    def manifest(self, values: Mapping[str, Any]) -> None:
        """What the run is and how far it is."""
        self.text("manifest.json", json.dumps(values, indent=2, sort_keys=False) + "\n")

    def append(self, log: Log) -> None:
        """Append what has happened since the last call, spans as one gzip member, and take it out of memory.

        Whoever reads *log* later reads it from the files.
        """
        new = self._condense(log.spans.kept())
        if new:
            with (self.folder / SPANS).open("ab") as out:
                out.write(_member(new))
            log.spans.release(lambda: _read(self.folder / SPANS, Span), len(new))
        happenings = list(log.happenings.kept())
        if happenings:
            with (self.folder / EVENTS).open("a", encoding="utf-8", newline="") as out:
                out.write(_csv(happenings))
            log.happenings.release(lambda: _read(self.folder / EVENTS, Happening))

    def rows(self, log: Log) -> None:
        """What has happened so far, also where a run breaks off."""
        self.append(log)
        self.text("metrics.csv", _csv([columns(Metric), *log.metrics]))

    def tables(self, log: Log, **rows: Sequence[Mapping[str, Any]]) -> None:
        """Everything that is known only at the end: tables by their names."""
        self.rows(log)
        for name, records in rows.items():
            self.text(f"{name}.csv", _records(records))


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
