"""What all question scripts share: their options, and how an answer is printed and kept."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

Row = Mapping[str, Any]


def ask(
    question: str,
    answer: Callable[[bool], Sequence[Row]],
    draw: Callable[[Path, Sequence[Row], bool], object] = lambda folder, rows, quick: None,
) -> None:
    """Run a question script: ``[--quick] [--json] [--out DIR]``; a user's mistake is one message and exit status 2.

    *answer* is told whether to be quick; *draw*, which puts pictures of its rows into the folder, too.
    """
    from experiments.schema.mistakes import ScenarioError

    options = parsed(question)
    if options.out:
        _made(options.out)
    try:
        rows = list(answer(options.quick))
    except ScenarioError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    with suppress(BrokenPipeError):  # whoever reads has seen enough
        keep(rows, options)
        if not options.json:
            show(question, rows)
        sys.stdout.flush()
    if options.out:
        draw(options.out, rows, options.quick)


def _made(folder: Path) -> None:
    """The folder of ``--out``, before anything is computed for it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"--out {folder}: cannot write there ({error.strerror}); choose another", file=sys.stderr)
        raise SystemExit(2) from None


def parsed(question: str) -> argparse.Namespace:
    """The options of a question script, from the command line."""
    return options_of(question).parse_args()


def options_of(question: str) -> argparse.ArgumentParser:
    """What every question script can be told."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--quick", action="store_true", help="a small version, in seconds")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write answer.json there, and pictures if it has any")
    return parser


def keep(answer: Any, options: argparse.Namespace) -> None:
    """Write and print *answer* as JSON where the options ask for it."""
    text = json.dumps(answer, indent=1)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "answer.json").write_text(text + "\n", encoding="utf-8")
    if options.json:
        print(text)


def show(title: str, rows: Sequence[Row]) -> None:
    """The rows as a table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(Column(names[0], no_wrap=True), *names[1:], title=title, title_justify="left", box=None)
    for row in rows:
        table.add_row(*(_cell(row.get(name, "")) for name in names))
    console = Console()
    Console(width=max(120, console.width) if console.is_terminal else 200).print(table)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
