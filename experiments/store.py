"""The run folder: tables written as a run goes on, byte for byte the same for the same scenario and seed."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from simulator.records import Happening, Log, Metric, Span, columns

ENERGY = ("idle_joules", "compute_joules", "transmit_joules", "receive_joules", "other_joules", "total_joules")


class Store:
    """A run folder under way. Raises ValueError where it cannot be written, or holds a run already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._spans = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise ValueError(f"{folder}: not empty; choose another --out, or move what is there away")
            (folder / "spans.csv.gz").write_bytes(_member([columns(Span)]))
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

    def spans(self, log: Log) -> None:
        """Append what has happened since the last call, as one gzip member."""
        new = log.spans[self._spans :]
        if new:
            with (self.folder / "spans.csv.gz").open("ab") as out:
                out.write(_member(astuple(span) for span in new))
            self._spans = len(log.spans)

    def rows(self, log: Log) -> None:
        """What has happened so far, also where a run breaks off."""
        self.spans(log)
        self.text("metrics.csv", _csv([columns(Metric), *map(astuple, log.metrics)]))
        self.text("events.csv", _csv([columns(Happening), *map(astuple, log.happenings)]))

    def tables(self, log: Log, nodes: Sequence[Mapping[str, Any]], footprint: Sequence[Mapping[str, Any]]) -> None:
        """Everything that is known only at the end."""
        self.rows(log)
        self.text("nodes.csv", _records(nodes))
        self.text("footprint.csv", _records(footprint))


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
