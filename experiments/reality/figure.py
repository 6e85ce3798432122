"""Measured against simulated round times, one point per configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from experiments.figures import style

SIDE = 62.0  # mm
BAND = 0.05  # of the measured time, either way
TICKS = (0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15)


def against(measured: Sequence[float], simulated: Sequence[float], predicted: Sequence[bool]) -> Figure:
    """Seconds against seconds, on logarithmic axes; calibrating configurations are hollow."""
    marks: dict[bool, Any] = {True: {"mfc": style.BLUE, "marker": "o"}, False: {"mfc": "white", "marker": "s"}}
    names = {True: "predicted", False: "used to calibrate"}
    handles: list[Any] = [Line2D([], [], ls="", mec=style.BLUE, **marks[kind]) for kind in names]
    legend = style.Legend([*handles, Patch(color="#DDDDDD")], [*names.values(), f"within {BAND:.0%}"])
    figure = style.sheet(legend.height + SIDE + 11)
    legend.draw(figure)
    ax = style.place(figure, (style.WIDTH - SIDE) / 2, legend.height + 1, SIDE, SIDE)
    every = np.array([*measured, *simulated])
    ends = np.array([every.min() / 1.15, every.max() * 1.15])
    ax.fill_between(ends, ends * (1 - BAND), ends * (1 + BAND), color="#DDDDDD", lw=0)
    ax.plot(ends, ends, color=style.GREY, lw=0.5)
    for real, twin, kind in zip(measured, simulated, predicted, strict=True):
        ax.plot([real], [twin], ls="", mec=style.BLUE, **marks[kind])
    ax.set(xscale="log", yscale="log", xlim=tuple(ends), ylim=tuple(ends))
    ax.set(xlabel="measured seconds of a round", ylabel="simulated seconds of a round")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator(TICKS))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    return figure


def draw(folder: Path, measured: Sequence[float], simulated: Sequence[float], predicted: Sequence[bool]) -> list[Path]:
    """The figure as PNG and PDF in *folder*."""
    with matplotlib.rc_context(style.RC):
        return style.save(against(measured, simulated, predicted), folder, "against_reality")
