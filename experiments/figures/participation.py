"""Which devices can train a model: their memory beside what it needs, and the time of a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from experiments.figures import style

ROW = 3.6  # mm
SHADES = (style.RED, style.ORANGE, style.BLUE)
MARKS = ("o", "s", "^")


def participation(
    rows: Sequence[Mapping[str, Any]], needed: Mapping[str, tuple[int, int]], reserved: float, batch: int
) -> Figure:
    """Left: memory of each device less what its system keeps, and lines where training needs it, at *batch*.

    Right: seconds of a sample at the largest batch that fits; hollow where that is smaller than *batch*.
    """
    handles: list[Any] = [
        Line2D([], [], color=shade, marker=mark, lw=0.8) for shade, mark in zip(SHADES, MARKS, strict=True)
    ]
    legend = style.Legend(handles, [f"trains {trains}" for trains in needed])
    names = [str(row["device"]) for row in rows]
    left, height, gap = style.widest(names) + 3, ROW * len(rows), 6.0
    width = (style.WIDTH - left - gap - 2) / 2
    above = legend.height + style.LINE + 1  # and the titles
    figure = style.sheet(above + height + 9)
    legend.draw(figure)
    memory = style.place(figure, left, above, width, height)
    pace = style.place(figure, left + width + gap, above, width, height)
    places = range(len(rows))
    memory.barh(places, [row["memory GB"] - reserved / 1e9 for row in rows], 0.68, color="#DDDDDD")
    for (trains, (_, most)), shade, mark in zip(needed.items(), SHADES, MARKS, strict=True):
        memory.axvline(most / 1e9, color=shade, lw=0.8)
        for y, row in zip(places, rows, strict=True):
            if size := row[f"{trains} batch"]:
                face = shade if size == batch else "white"
                pace.plot([row[f"{trains} s"] / size], [y], ls="", marker=mark, mec=shade, mfc=face, mew=0.6)
    memory.set(xscale="log", xlabel="memory (GB)", xlim=(0.4, None))
    pace.set(xscale="log", xlabel="seconds per sample")
    memory.set_title(f"(a) free, needed at {batch}", loc="left", pad=3)
    pace.set_title(f"(b) hollow: < {batch}", loc="left", pad=3)
    memory.set_yticks(places, names)
    pace.set_yticks([])
    for ax in (memory, pace):
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
    return figure


def draw(
    folder: Path, rows: Sequence[Mapping[str, Any]], needed: Mapping[str, tuple[int, int]], reserved: float, batch: int
) -> list[Path]:
    """The figure as PNG and PDF in *folder*."""
    with matplotlib.rc_context(style.RC):
        return style.save(participation(rows, needed, reserved, batch), folder, "who_can_take_part")
