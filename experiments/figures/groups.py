"""Several figures per row of an answer, as groups of bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context

from experiments.figures.style import BLACK, LOOKS, RC, Legend, place, save, sheet, widest

BAR = 2.7  # mm


def draw_groups(
    folder: Path, name: str, rows: Sequence[Mapping[str, Any]], label: str, values: Sequence[str], axis: str
) -> list[Path]:
    """Horizontal bars of each of *values*, side by side, a group per row named by *label*; PNG and PDF."""
    names, across = [str(row[label]) for row in rows], 0.84 / len(values)
    with rc_context(RC):
        legend = Legend([look.patch() for look in LOOKS[: len(values)]], list(values))
        left, height = widest(names) + 4, (len(values) + 0.6) * BAR * len(rows)
        figure = sheet(legend.height + height + 10)
        legend.draw(figure)
        ax = place(figure, left, legend.height + 1, 86 - left, height)
        for i, (value, look) in enumerate(zip(values, LOOKS, strict=False)):
            places = [y + (i - (len(values) - 1) / 2) * across for y in range(len(rows))]
            lengths = [float(row[value]) for row in rows]
            ax.barh(places, lengths, across, color=look.colour, hatch=look.hatch, edgecolor=BLACK, linewidth=0.4)
            for y, length in zip(places, lengths, strict=True):
                ax.annotate(f"{length:.2f}", (length, y), (2, 0), textcoords="offset points", va="center")
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlim(0, 1.12 * max(float(row[value]) for row in rows for value in values))
        ax.set_yticks(range(len(rows)), names)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
        ax.set_xlabel(axis)
        return save(figure, folder, name)
