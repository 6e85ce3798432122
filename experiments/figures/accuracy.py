"""Accuracy (or error) against time, energy or traffic: a row of panels per task, a column per tier.

A line is a moment, the mean over the nodes of the tier. What each tier is scored on is its own (the cloud: all classes;
a device: its own mix), so it has the baselines that were scored on the same: thin lines with their names beside them.
More than two tiers take the width of two columns of a paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.figures import style
from experiments.figures.files import RunFiles
from experiments.figures.learning import curves, references

AXES = {
    "accuracy_time": ("time_s", "s", "simulated time"),
    "accuracy_joules": ("joules", "J", "energy of all nodes, idle included"),
    "accuracy_bytes": ("nbytes", "B", "bytes sent over all links"),
}
LINES: dict[str, tuple[str, Any, str]] = {  # by moment: colour, dashes, marker
    "before_merge": (style.GREEN, ":", "^"),
    "after_merge": (style.BLUE, "-", "o"),
    "after_broadcast": (style.RED, "--", "s"),
}
DASHES = ((6, 1.5), (1, 1.2), (4, 1.2, 1, 1.2), (3, 2), (8, 2, 2, 2), (1, 3))
PANEL, GAP, LEFT, WIDE = 23.0, 3.5, 15.5, 180.0  # mm
POOLED = "pooled_"


def accuracy(files: RunFiles, name: str) -> Figure | None:
    """The figure called *name*, a key of AXES. None where nothing was scored."""
    table, baselines = curves(files), references(files)
    if table.empty:
        return None
    column, unit, what = AXES[name]
    factor, unit = style.scale(float(table[column].max()), unit)
    table, baselines = table.assign(x=table[column] * factor), _named(baselines)
    tiers = [tier for tier in files.tiers if tier in set(table.tier)]
    tasks = list(table.groupby(["task", "name"], sort=False).groups)
    legends, whole = _legends(table, baselines), style.WIDTH if len(tiers) < 3 else WIDE
    above, beside = style.LINE * len(legends) + 5.5, max(3.0, style.widest(baselines.label) + 4.0)
    figure = style.sheet(above + len(tasks) * (PANEL + GAP) + 6, whole)
    for place, legend in enumerate(legends):
        legend.draw(figure, 0.5 + place * style.LINE)
    width = (whole - LEFT) / len(tiers) - beside
    for row, task in enumerate(tasks):
        top = above + row * (PANEL + GAP)
        axes = [style.place(figure, LEFT + k * (width + beside), top, width, PANEL) for k in range(len(tiers))]
        _draw_row(axes, tiers, table, baselines, task)
        axes[0].tick_params(labelleft=True)
        axes[0].yaxis.set_label_coords(-8.5 / width, 0.5)
    for ax, tier in zip(figure.axes, tiers, strict=False):
        ax.set_title(tier + _mean(table.nodes[table.tier == tier]), loc="left", pad=3)
    for ax in figure.axes[-len(tiers) :]:
        ax.tick_params(labelbottom=True)
    middle = (LEFT + (whole - beside - LEFT) / 2) / whole
    figure.text(middle, 0.6 / (figure.get_figheight() * style.INCH), f"{what} ({unit})", ha="center", va="bottom")
    return figure


def _draw_row(
    axes: Sequence[Axes], tiers: Sequence[str], table: pd.DataFrame, baselines: pd.DataFrame, task: tuple[str, str]
) -> None:
    """One figure of one *task* in every tier, on the same scale."""
    here = table[(table.task == task[0]) & (table.name == task[1])]
    own = baselines[(baselines.task == task[0]) & (baselines.name == task[1]) & baselines.tier.isin(tiers)]
    values = [*here.value, *own.value]
    space = (max(values) - min(values)) * 0.06 or 0.05
    for ax, tier in zip(axes, tiers, strict=True):
        ax.set_xlim(0, float(table.x.max()) * 1.03)
        ax.set_ylim(min(values) - space, max(values) + space)
        style.few_ticks(ax)
        ax.tick_params(labelbottom=False, labelleft=False)
        _draw_lines(ax, here[here.tier == tier])
        _draw_baselines(ax, own[own.tier == tier])
    name = "MSE" if task[1] == "mse" else task[1].replace("_", " ")
    axes[0].set_ylabel(f"{task[0]}\n{name}")


def spread(values: list[float], gap: float, within: tuple[float, float]) -> list[float]:
    """Ascending *values* moved as little as need be to lie *gap* apart, inside the limits if there is room."""
    places = list(values)
    for _ in range(200):
        for k in range(len(places) - 1):
            short = gap - (places[k + 1] - places[k])
            if short > 0:
                places[k], places[k + 1] = places[k] - short / 2, places[k + 1] + short / 2
        if places:
            places[0] = max(places[0], within[0])
            places[-1] = min(places[-1], within[1])
    return places


def _named(baselines: pd.DataFrame) -> pd.DataFrame:
    """With the name of each, and its place among them."""
    label = baselines.model.str.removeprefix(POOLED).str.replace("_", " ")
    return baselines.assign(label=label, k=pd.factorize(baselines.model)[0])


def _legends(table: pd.DataFrame, baselines: pd.DataFrame) -> list[style.Legend]:
    """The moments, and below them the baselines."""
    moments = [moment for moment in LINES if moment in set(table.moment)]
    handles = [Line2D([], [], color=c, linestyle=s, marker=m) for c, s, m in map(LINES.__getitem__, moments)]
    legends = [style.Legend(handles, [moment.replace("_", " ") for moment in moments], handle=6)]
    if len(baselines):
        pooled = list(dict.fromkeys(baselines.label[baselines.model.str.startswith(POOLED)]))
        line = Line2D([], [], color=style.BLACK, linewidth=0.6, dashes=DASHES[0])
        label = "baselines" + (f" (on pooled data: {', '.join(pooled)})" if pooled else "")
        legends.append(style.Legend([line], [label], handle=6))
    return legends


def _mean(nodes: pd.Series) -> str:
    counts = dict.fromkeys((int(nodes.min()), int(nodes.max())))
    return "" if nodes.max() == 1 else f" (mean of {' to '.join(map(str, counts))})"


def _draw_lines(ax: Axes, table: pd.DataFrame) -> None:
    for moment, (colour, dash, marker) in LINES.items():
        line = table[table.moment == moment]
        every = max(1, len(line) // 6)
        ax.plot(line.x, line.value, dash, color=colour, marker=marker, markevery=every, zorder=3)


def _draw_baselines(ax: Axes, baselines: pd.DataFrame) -> None:
    """Thin lines; their names on the right, moved apart where they would overlap."""
    rows = baselines.sort_values("value", kind="stable")
    low, high = ax.get_ylim()
    gap = style.LINE * 0.85 / PANEL * (high - low)
    places = spread(rows.value.tolist(), gap, (low, high))
    leader = {"arrowstyle": "-", "linewidth": 0.4, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
    for value, label, place, k in zip(rows.value, rows.label, places, rows.k, strict=True):
        ax.axhline(value, color=style.BLACK, linewidth=0.6, dashes=DASHES[k % len(DASHES)], zorder=2)
        ax.annotate(
            label, (1, value), (7, place), xycoords=("axes fraction", "data"), textcoords=("offset points", "data"),
            va="center", arrowprops=leader,
        )  # fmt: skip
