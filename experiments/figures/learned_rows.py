"""What is learned beside what it costs: a panel per task and kind of cost, a marker per row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.lines import Line2D

from experiments.figures import style
from experiments.figures.bars import reach

Row = Mapping[str, Any]
MARKS = (("s", style.BLACK), ("o", style.BLUE), ("^", style.ORANGE), ("D", style.GREEN))
PANEL, LEFT, GAP = 26.0, 11.0, 3.5  # mm


@rc_context(style.RC)
def draw_rows(folder: Path, name: str, rows: Sequence[Row], costs: Mapping[str, str], tasks: Sequence[str]) -> None:
    """Accuracy of the servers over each of *costs* (column to label); rows with D2D are hollow, beside their like.

    Bars are the intervals of the paired differences to the star, which has none.
    """
    looks = dict(zip(dict.fromkeys(map(_alike, rows)), MARKS, strict=False))
    handles = [_mark(looks[_alike(row)], row) for row in rows]
    legend = style.Legend(handles, list(map(_label, rows)), handle=3)
    above, width = legend.height + 3, (style.WIDTH - LEFT - GAP - 2) / len(costs)
    figure = style.sheet(above + len(tasks) * (PANEL + GAP) + 6)
    legend.draw(figure)
    for line, task in enumerate(tasks):
        for column, (cost, label) in enumerate(costs.items()):
            ax = style.place(figure, LEFT + column * (width + GAP), above + line * (PANEL + GAP), width - 2, PANEL)
            for row in rows:
                mark = _mark(looks[_alike(row)], row)
                mark.set_data([row[cost]], [row[f"servers {task}"]])
                ax.add_line(mark)
                below, over = reach(row, f"{task} - star")
                if over:
                    x, y, colour = row[cost], row[f"servers {task}"], looks[_alike(row)][1]
                    ax.errorbar(x, y, yerr=[[below], [over]], color=colour, lw=0.8, capsize=1.5, capthick=0.8)
            ax.margins(0.12)
            ax.autoscale_view()
            ax.set_xlim(left=0)
            style.few_ticks(ax)
            ax.grid(True)
            ax.tick_params(labelbottom=line == len(tasks) - 1, labelleft=column == 0)
            if line == len(tasks) - 1:
                ax.set_xlabel(label)
            if column == 0:
                ax.set_ylabel(f"{task}, accuracy")
    style.save(figure, folder, name)


def _alike(row: Row) -> str:
    """The row with the same learning."""
    return str(row["row"]).replace("_d2d", "")


def _label(row: Row) -> str:
    alike = _alike(row).replace("hfedfm_", "E = ").replace("_", " ")
    return alike if row["row"] == _alike(row) else f"{alike} + D2D"


def _mark(look: tuple[str, str], row: Row) -> Line2D:
    marker, colour = look
    face = colour if row["row"] == _alike(row) else "white"
    return Line2D([], [], color=colour, marker=marker, linestyle="", markersize=4, markerfacecolor=face)
