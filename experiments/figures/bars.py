"""One figure per row of an answer, as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context

from experiments.figures.style import BLACK, LOOKS, RC, place, save, sheet, widest


def draw_bars(
    folder: Path, name: str, rows: Sequence[Mapping[str, Any]], label: str, value: str, axis: str
) -> list[Path]:
    """Horizontal bars of *value*, named by *label*, the number at the end of each; PNG and PDF."""
    names, values = [str(row[label]) for row in rows], [float(row[value]) for row in rows]
    with rc_context(RC):
        left, height = widest(names) + 4, 4.5 * len(rows)
        figure = sheet(height + 11)
        ax = place(figure, left, 2, 86 - left, height)
        for y, each in enumerate(values):
            look = LOOKS[y % len(LOOKS)]
            ax.barh(y, each, 0.68, color=look.colour, hatch=look.hatch, edgecolor=BLACK, linewidth=0.4)
            ax.annotate(f"{each:.3g}", (each, y), (2, 0), textcoords="offset points", va="center")
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlim(0, 1.15 * max(values))
        ax.set_yticks(range(len(rows)), names)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
        ax.set_xlabel(axis)
        return save(figure, folder, name)
