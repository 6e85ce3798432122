"""How rows are written: as a table of Markdown, and between the markers of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.validation.check import STANDARD_ERRORS, Row

HEADINGS = ("check", "expected", "got", "error", "tolerance", "holds")


def cells(row: Row) -> tuple[str, ...]:
    """A row in words and figures, one for each heading."""
    unit = {STANDARD_ERRORS: " s.e.", "relative": ""}.get(row.measure, f" {row.measure}")
    if row.measure == STANDARD_ERRORS:
        got = f"{row.got:.5g} ± {row.got_standard_error:.2g}"
    else:
        got = f"{row.got:.9g}" if row.expected else f"{row.got:.2g}"  # beside 0 all that can be seen is rounding
    tolerance = "stated only" if row.tolerance is None else f"{row.tolerance:.3g}{unit}"
    holds = {True: "yes", False: "NO", None: ""}[row.holds]
    return row.check, f"{row.expected:.9g}", got, f"{row.error:.2g}{unit}", tolerance, holds


def markdown(rows: Sequence[Row]) -> str:
    """A table."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(group: str, row: Row) -> dict[str, Any]:
    """A row for JSON."""
    return {"group": group, **asdict(row), "holds": row.holds}


def fill(page: Path, tables: Mapping[str, Sequence[Row]]) -> None:
    """Put each group's table between its markers; raises ValueError where the page has none."""
    text = page.read_text(encoding="utf-8")
    for group, rows in tables.items():
        begin, end = (f"<!-- {group}: {word} -->" for word in ("begin", "end"))
        if begin not in text or end not in text:
            raise ValueError(f"{page}: has no {begin} and {end}; put them where the table of {group} belongs")
        head, _, rest = text.partition(begin)
        text = f"{head}{begin}\n{markdown(rows)}\n{end}{rest.partition(end)[2]}"
    page.write_text(text, encoding="utf-8")
