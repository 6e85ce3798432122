"""Several ways to learn, accuracy over simulated time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments.figures import style

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)))
SHADES = (style.BLACK, style.SKY, style.ORANGE, style.RED, style.BLUE)


def draw_races(
    folder: Path,
    name: str,
    curves: Mapping[str, Sequence[pd.DataFrame]],
    axis: str,
    *,
    log: bool = True,
    time: str = "simulated time (s)",
    marked: tuple[float, str] | None = None,
) -> list[Path]:
    """Each curve the mean of its runs in a band from the lowest to the highest of them; PNG and PDF.

    A run is a table of metrics (`time_s`, `value`), see :func:`together`. The axis of time is
    logarithmic by default. *marked*: a moment, and what it is.
    """
    with matplotlib.rc_context(style.RC):
        colours = [SHADES[i % len(SHADES)] for i in range(len(curves))]
        dashes = [DASHES[i % len(DASHES)] for i in range(len(curves))]
        lines = [Line2D([], [], color=c, ls=d) for c, d in zip(colours, dashes, strict=True)]
        legend = style.Legend(lines, list(curves), handle=7.0)
        figure = style.sheet(legend.height + 55)
        legend.draw(figure)
        ax = style.place(figure, 14, legend.height + 1, style.WIDTH - 17, 45)
        for runs, colour, dash in zip(curves.values(), colours, dashes, strict=True):
            times, values = together(runs)
            ax.fill_between(times, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, lw=0)
            ax.plot(times, values.mean(axis=0), color=colour, ls=dash)
        ax.set(xlabel=time, ylabel=f"{axis}\n(mean; shaded: lowest to highest seed)", ylim=(0, 1))
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


def together(runs: Sequence[pd.DataFrame]) -> tuple[np.ndarray, np.ndarray]:
    """Times from when all *runs* have begun until all have ended, and the value of each run then: (runs, times).

    Between two scorings a value goes straight from one to the other; a run that has ended keeps its last.
    """
    every = [(run["time_s"].to_numpy(), run["value"].to_numpy()) for run in runs]
    moments = np.unique(np.concatenate([times for times, _ in every]))
    moments = moments[moments >= max(times[0] for times, _ in every)]
    return moments, np.array([np.interp(moments, times, values) for times, values in every])
