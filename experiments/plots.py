"""Plots and tables of a run, such as a paper would take, from the files of its run folder alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from experiments.figures import style
from experiments.figures.accuracy import AXES, accuracy
from experiments.figures.energy import energy
from experiments.figures.files import RunFiles, read
from experiments.figures.latency import round_latency
from experiments.figures.learning import final
from experiments.figures.timeline import timeline
from experiments.figures.topology import topology
from experiments.figures.traffic import bytes_modules

Figures = dict[str, Callable[[RunFiles], Figure | None]]

LEARNED: Figures = {name: partial(accuracy, name=name) for name in AXES}
COSTS: Figures = {
    "round_latency": round_latency,
    "energy": energy,
    "bytes_modules": bytes_modules,
    "topology": topology,
    "timeline": timeline,
}
FIGURES = COSTS | LEARNED
ONE_BY_ONE = ("round_latency", "timeline")  # these follow single devices


def draw(folder: Path) -> list[Path]:
    """Every figure that the run in *folder* gives, as PNG and PDF under `plots`, and its results under `tables`.

    Figures that would be empty are left out: accuracy where nothing was learned, rounds where the root had none, and
    those that follow single devices where rows stand for a classroom.
    """
    return [*draw_costs(folder), *draw_learned(folder)]


def draw_costs(folder: Path) -> list[Path]:
    """The figures that need no scores."""
    return _drawn(COSTS, read(folder), folder / "plots")


def draw_learned(folder: Path) -> list[Path]:
    """The figures of scores, and the table of results."""
    files, tables = read(folder), folder / "tables"
    paths = _drawn(LEARNED, files, folder / "plots")
    tables.mkdir(exist_ok=True)
    results = final(files)
    texts = {"results.csv": results.to_csv(index=False, lineterminator="\n"), "results.tex": latex(results)}
    for name, text in texts.items():
        (tables / name).write_text(text, encoding="utf-8")
        paths.append(tables / name)
    return paths


def _drawn(figures: Figures, files: RunFiles, plots: Path) -> list[Path]:
    paths: list[Path] = []
    plots.mkdir(exist_ok=True)
    with matplotlib.rc_context(style.RC):
        for name, make in figures.items():
            figure = None if name in ONE_BY_ONE and files.condensed else make(files)
            if figure is not None:
                paths += style.save(figure, plots, name)
    return paths


def latex(results: pd.DataFrame) -> str:
    """*results* as a LaTeX table in the manner of booktabs, and needing no other package."""
    rows = [
        (*(_escaped(str(cell)) for cell in row[:-1]), _figure(float(row[-1])))
        for row in results.itertuples(index=False, name=None)
    ]
    head = [_escaped(name) for name in results.columns]
    lines = [" & ".join(map(str, row)) + r" \\" for row in rows]
    columns = "l" * (len(head) - 2) + "rr"
    parts = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(head) + r" \\", r"\midrule", *lines]
    return "\n".join([*parts, r"\bottomrule", r"\end{tabular}", ""])


def _figure(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _escaped(text: str) -> str:
    text = text.replace("_", " ")
    for character in "&%$#{}":
        text = text.replace(character, "\\" + character)
    return text
