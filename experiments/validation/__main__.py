"""Run the checks: ``python -m experiments.validation [GROUP ...] [--markdown | --json | --into PAGE]``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.validation import page
from experiments.validation.check import Row
from experiments.validation.groups import GROUPS


def run(group: str) -> list[Row]:
    """The rows of a group."""
    return [row for check in GROUPS[group]() for row in check.rows()]


def show(tables: Mapping[str, Sequence[Row]]) -> None:
    """A table for a terminal."""
    for group, rows in tables.items():
        table = Table(*page.HEADINGS, title=group, title_justify="left", box=None)
        for row in rows:
            table.add_row(*page.cells(row))
        Console(width=max(160, Console().width)).print(table)


def main() -> int:
    """Exit status 1 if a check does not hold."""
    parser = argparse.ArgumentParser(prog="python -m experiments.validation", description="Simulator beside theory.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"one or more of {', '.join(GROUPS)}; else all")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print tables of Markdown")
    form.add_argument("--json", action="store_true", help="print one JSON object a line")
    form.add_argument("--into", type=Path, metavar="PAGE", help="put the tables between the markers of a page")
    options = parser.parse_args()
    unknown = [group for group in options.groups if group not in GROUPS]
    if unknown:
        parser.error(f"there is no group {unknown[0]!r}; there are {', '.join(GROUPS)}")
    if options.into and not options.into.is_file():
        parser.error(f"--into {options.into}: there is no such page; it needs the markers of docs/validation.md")
    tables = {group: run(group) for group in options.groups or GROUPS}
    if options.into:
        page.fill(options.into, tables)
    elif options.markdown:
        print("\n\n".join(f"### {group}\n\n{page.markdown(rows)}" for group, rows in tables.items()))
    elif options.json:
        for group, rows in tables.items():
            for row in rows:
                print(json.dumps(page.plain(group, row)))
    else:
        show(tables)
    return int(any(row.holds is False for rows in tables.values() for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
