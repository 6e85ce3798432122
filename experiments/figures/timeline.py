"""One root round as a timeline: a row for each of a few nodes, from the root down to the devices of one classroom.

The round is the one of median duration. Shown are the nodes on its critical path and, beside the last one, some of its
siblings. A row has two lanes, downlink below and uplink above, whichever end the node is; computing fills both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.figures import style
from experiments.figures.files import RunFiles
from experiments.figures.latency import LOOKS as CAUSES
from experiments.figures.rounds import CAUSES as CAUSE_OF
from experiments.figures.rounds import Rounds, Step, critical_path, rounds
from experiments.figures.style import Look

LOOKS = {**{name: look for name, look in CAUSES.items() if name != "waiting"}, "evaluation": Look(style.BLACK)}
LANES = {"compute": (-0.38, 0.38), "uplink": (-0.38, 0.0), "downlink": (0.0, 0.38), "evaluation": (-0.12, 0.12)}
SIBLINGS, NAME = 10, 18  # nodes in the last tier; characters of a name


def timeline(files: RunFiles) -> Figure | None:
    """Who did what when in the median root round. None without a root round."""
    found = rounds(files)
    if found.times.empty:
        return None
    round_ = median_round(found)
    path = critical_path(files, found, round_)
    rows = shown(files, path)
    bars = busy(files, found, round_, rows)
    looks = {name: look for name, look in LOOKS.items() if name in set(bars.cause)}
    line = Line2D([], [], color=style.RED, linewidth=1.2)
    legend = style.Legend([*(look.patch() for look in looks.values()), line], [*looks, "critical path"])
    names = [_short(node) for node in rows]
    left, height = style.widest(names) + 2.5, 3.6 * len(rows)
    figure = style.sheet(legend.height + height + 8)
    legend.draw(figure)
    ax = style.place(figure, left, legend.height, style.WIDTH - left - 3.5, height)
    seconds = float(found.times.seconds[round_])
    factor, unit = style.scale(seconds, "s")
    _draw_bars(ax, bars, looks, factor)
    _draw_path(ax, path, {node: y for y, node in enumerate(rows)}, float(found.times.start_s[round_]), factor)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, seconds * factor)
    style.few_ticks(ax, x=6)
    ax.set_yticks(range(len(rows)), names)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    every = len(files.nodes)
    some = f"; {len(rows)} of {every} nodes" if len(rows) < every else ""
    ax.set_xlabel(f"time since the start of root round {round_} ({unit}){some}")
    return figure


def median_round(found: Rounds) -> int:
    """The round of median duration; of those that differ by rounding only, the middle one."""
    lasted = found.times.seconds.map(lambda seconds: float(f"{seconds:.9g}"))
    order = lasted.sort_values(kind="stable").index
    return int(order[(len(order) - 1) // 2])


def shown(files: RunFiles, path: list[Step]) -> list[str]:
    """The deepest node of *path*, all nodes above it, and of its siblings those of the path and some others."""
    ends = [node for step in path for node in (step.node, step.sender)]
    deepest = max(ends, key=lambda node: files.depth[node])
    if deepest == files.root:
        deepest = files.children[deepest][0]
    above, node = list[str](), files.parents[deepest]
    while node:
        above.insert(0, node)
        node = files.parents[node]
    siblings = files.children[above[-1]]
    chosen = [node for node in siblings if node in {deepest, *ends}][:SIBLINGS]
    others = [node for node in siblings if node not in chosen]
    room = SIBLINGS - len(chosen)
    chosen += others[:: max(1, -(-len(others) // max(1, room)))][:room]
    return [*above, *(node for node in siblings if node in chosen)]


def busy(files: RunFiles, found: Rounds, round_: int, rows: list[str]) -> pd.DataFrame:
    """When the nodes in *rows* did what, in seconds of the round: y, cause, start_s, end_s; overlaps are joined."""
    start, end = (float(found.times[name][round_]) for name in ("start_s", "end_s"))
    spans = files.spans
    spans = spans[spans.node.isin(rows) & (spans.start_s < end) & (spans.end_s > start)]
    cause = spans.activity.map({**CAUSE_OF, "evaluate": "evaluation"})
    joined: list[list[float | str]] = []
    bars = spans.assign(cause=cause).dropna(subset="cause").sort_values(["node", "cause", "start_s"], kind="stable")
    for node, name, began, ended in zip(bars.node, bars.cause, bars.start_s, bars.end_s, strict=True):
        y, began, ended = rows.index(node), max(began, start) - start, min(ended, end) - start
        if joined and joined[-1][:2] == [y, name] and began <= joined[-1][3]:
            joined[-1][3] = max(joined[-1][3], ended)
        else:
            joined.append([y, name, began, ended])
    return pd.DataFrame(joined, columns=["y", "cause", "start_s", "end_s"])


def _draw_bars(ax: Axes, bars: pd.DataFrame, looks: Mapping[str, Look], factor: float) -> None:
    for cause, look in looks.items():
        part, (low, high) = bars[bars.cause == cause], LANES[cause]
        boxes = [
            [(a, y + low), (b, y + low), (b, y + high), (a, y + high)]
            for a, b, y in zip(part.start_s * factor, part.end_s * factor, part.y, strict=True)
        ]
        filling: dict[str, Any] = {"facecolor": look.colour, "edgecolor": style.BLACK, "linewidth": 0.3}
        ax.add_collection(PolyCollection(boxes, hatch=look.hatch, **filling), autolim=False)


def _draw_path(ax: Axes, path: list[Step], rows: Mapping[str, int], start: float, factor: float) -> None:
    """A line through what the round waited for: along the row of who worked, and over to the next with a transfer."""
    points: list[tuple[float, int]] = []
    for step in path:
        points.append(((step.start_s - start) * factor, rows.get(step.sender, len(rows))))
        points.append(((step.end_s - start) * factor, rows.get(step.node, len(rows))))
    for colour, width in (("white", 2.4), (style.RED, 1.2)):
        ax.plot(*zip(*points, strict=True), color=colour, linewidth=width, solid_joinstyle="round")


def _short(node: str) -> str:
    """The last part of a path, shortened where it is long."""
    name = node.rsplit("/", 1)[-1]
    return name if len(name) <= NAME else f"{name[: NAME - 1]}…"
