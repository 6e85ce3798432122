"""One figure or several per row of an answer, as bars."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes

from experiments.figures.style import BLACK, LINE, LOOKS, RC, Legend, Look, place, save, sheet, widest

BAR = 2.7  # mm


def draw_bars(
    folder: Path,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    label: str,
    values: Sequence[str],
    axis: str,
    against: str | None = None,
) -> list[Path]:
    """Horizontal bars of each of *values*, side by side, a group per row named by *label*; PNG and PDF.

    *against*: the column of paired differences to one of the rows, drawn as intervals around the last bar's end.
    """
    names, across = [str(row[label]) for row in rows], 1 / (len(values) + 0.6)
    with rc_context(RC):
        legend = Legend([look.patch() for look in LOOKS[: len(values)]], list(values))
        above = legend.height + 1 if len(values) > 1 else 2.0
        left, height = widest(names) + 4, BAR / across * len(rows)
        figure = sheet(above + height + 9 + LINE * axis.count("\n"))
        if len(values) > 1:
            legend.draw(figure)
        ax = place(figure, left, above, 86 - left, height)
        furthest = 0.0
        for i, value in enumerate(values):
            places = [y + (i - (len(values) - 1) / 2) * across for y in range(len(rows))]
            ends = [(float(row[value]), *reach(row, against if value == values[-1] else None)) for row in rows]
            _draw(ax, places, ends, across, LOOKS[i])
            furthest = max(furthest, *(length + over for length, _, over in ends))
        ax.set_xlim(0, 1.15 * furthest)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_yticks(range(len(rows)), names)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
        ax.set_xlabel(axis)
        return save(figure, folder, name)


def _draw(
    ax: Axes, places: Sequence[float], ends: Sequence[tuple[float, float, float]], across: float, look: Look
) -> None:
    """Bars of one look; their *ends*: the length, and how far its interval reaches below and above."""
    lengths = [length for length, _, _ in ends]
    ax.barh(places, lengths, across, color=look.colour, hatch=look.hatch, edgecolor=BLACK, linewidth=0.4)
    for y, (length, below, over) in zip(places, ends, strict=True):
        if over:
            ax.errorbar(length, y, xerr=[[below], [over]], color=BLACK, lw=0.8, capsize=1.5, capthick=0.8)
        ax.annotate(f"{length:#.3g}", (length + over, y), (2, 0), textcoords="offset points", va="center")


def reach(row: Mapping[str, Any], against: str | None) -> tuple[float, float]:
    """How far an interval as it is printed, "mean [low, high]", reaches below and above its mean; 0 without one."""
    if not (found := re.fullmatch(r"(\S+) \[(\S+), (\S+)\]", row[against] if against else "")):
        return 0.0, 0.0
    mean, low, high = map(float, found.groups())
    return mean - low, high - mean
