"""Project STAR's ``star.csv`` read and checked: a mistake is named by file, line and column, with its remedy."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

REMEDY = "take star.csv of the R package mlmRev as Rdatasets publishes it (comma separated, with a header line)"
GRADES = ("K", "1", "2", "3")
CODES: Mapping[str, tuple[str, ...]] = {
    "gr": GRADES,
    "cltype": ("small", "reg", "reg+A"),
    "hdeg": ("BS/BA", "MS/MA/MEd", "MA+", "Ed.S", "Ed.D/Ph.D"),
    "clad": ("NOT", "APPR", "PROB", "PEND", "1", "2", "3"),
    "trace": ("W", "B", "A"),
    "ses": ("F", "N"),
    "schtype": ("inner", "suburb", "rural", "urban"),
    "sx": ("F", "M"),
    "eth": ("W", "B", "A", "H", "I", "O"),
}
NUMBERS, IDENTITIES, BIRTH = ("exp", "read", "math"), ("id", "sch", "tch"), "birthq"
COLUMNS = (*IDENTITIES, *CODES, *NUMBERS, BIRTH)
NEVER_MISSING = (*IDENTITIES, "gr", "cltype", "schtype")
MISSING = ("", "NA")


def read_star(path: str | Path) -> pd.DataFrame:
    """One row per pupil and year, the columns that are used, typed; what is missing is NaN, or "" in a code.

    ``age`` is the year of birth with its quarter, turned round: younger is smaller. FileNotFoundError where there is
    no such file; ValueError for a missing column or a malformed line, naming line and column.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {REMEDY}, and give its path")
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as text:
        lines = csv.reader(text)
        header = next(lines, [])
        absent = [c for c in COLUMNS if c not in header]
        if absent:
            raise ValueError(f"{path}:1: missing column{'s' * (len(absent) > 1)} {', '.join(absent)}; {REMEDY}")
        try:
            records = list(_records(path, header, ((lines.line_num, cells) for cells in lines if cells)))
        except csv.Error as error:
            raise ValueError(f"{path}:{lines.line_num}: {error} (a quote left open?); mend this line") from None
    if not records:
        raise ValueError(f"{path}:2: there are no pupils after the header; {REMEDY}")
    return pd.DataFrame.from_records(records)


def _records(path: Path, header: Sequence[str], lines: Iterable[tuple[int, list[str]]]) -> Iterator[dict[str, object]]:
    where = {c: header.index(c) for c in COLUMNS}
    for number, cells in lines:
        if len(cells) != len(header):
            raise ValueError(f"{path}:{number}: {len(cells)} cells where the header has {len(header)}; mend this line")
        record: dict[str, object] = {}
        for column, place in where.items():
            try:
                record["age" if column == BIRTH else column] = _value(column, cells[place].strip())
            except ValueError as error:
                raise ValueError(f"{path}:{number}: column {column}: {error}; mend this value") from None
        yield record


def _value(column: str, cell: str) -> object:
    """A cell as what its column holds; ValueError says what was expected."""
    if column == BIRTH:
        return _age(cell)
    if cell in MISSING:
        if column in NEVER_MISSING:
            raise ValueError("the value is missing, and this column needs one")
        return float("nan") if column in NUMBERS else ""
    if column in CODES:
        if cell not in CODES[column]:
            raise ValueError(f"{cell!r} is none of {', '.join(CODES[column])}")
        return cell
    try:
        value = int(cell) if column in IDENTITIES else float(cell)
    except ValueError:
        value = -1
    if not 0 <= value < 1e9:
        raise ValueError(f"expected a number >= 0, got {cell!r}")
    return value


def _age(cell: str) -> float:
    """``year:quarter`` as years before 1981; a missing quarter counts as mid-year, a missing year as missing."""
    parts = cell.split(":") if cell not in MISSING else ["NA", "NA"]
    if len(parts) != 2 or not all(p == "NA" or p.isdigit() for p in parts):
        raise ValueError(f"expected year:quarter such as 1980:2, got {cell!r}")
    year, quarter = parts
    if quarter != "NA" and not 1 <= int(quarter) <= 4:
        raise ValueError(f"the quarter must be from 1 to 4, got {cell!r}")
    if year == "NA":
        return float("nan")
    return 1981 - int(year) - (0.5 if quarter == "NA" else (int(quarter) - 0.5) / 4)
