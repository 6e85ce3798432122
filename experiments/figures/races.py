"""Several ways to learn, accuracy over simulated time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments.figures import style

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)))
SHADES = (style.BLACK, style.SKY, style.ORANGE, style.RED, style.BLUE)


def draw_races(
    folder: Path,
    name: str,
    curves: Mapping[str, pd.DataFrame],
    axis: str,
    *,
    log: bool = True,
    time: str = "simulated time (s)",
    marked: tuple[float, str] | None = None,
) -> list[Path]:
    """Each curve a table of metrics (`time_s`, `value`), by default on a logarithmic axis of time; PNG and PDF.

    *marked*: a moment, and what it is.
    """
    with matplotlib.rc_context(style.RC):
        colours = [SHADES[i % len(SHADES)] for i in range(len(curves))]
        dashes = [DASHES[i % len(DASHES)] for i in range(len(curves))]
        lines = [Line2D([], [], color=c, ls=d) for c, d in zip(colours, dashes, strict=True)]
        legend = style.Legend(lines, list(curves), handle=7.0)
        figure = style.sheet(legend.height + 55)
        legend.draw(figure)
        ax = style.place(figure, 11, legend.height + 1, style.WIDTH - 14, 45)
        for table, colour, dash in zip(curves.values(), colours, dashes, strict=True):
            ax.plot(table["time_s"], table["value"], color=colour, ls=dash)
        ax.set(xlabel=time, ylabel=axis, ylim=(0, 1))
        if log:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if marked:
            ax.axvline(marked[0], color=style.GREY, lw=0.8)
            ax.annotate(marked[1], (marked[0], 0.02), (3, 0), textcoords="offset points")
        ax.grid()
        return style.save(figure, folder, name)
