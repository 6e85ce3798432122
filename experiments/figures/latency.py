"""Latency of a root round by cause and tier, and one round as a timeline.

Above, the critical path: the chain of computations and transfers, one waiting for the other, from which the duration
of the round follows; the bars of all tiers together are the mean round. Below, the mean node of each tier during that
same round; each bar is the mean round. A transfer counts from its latency on, and is of the tier at its lower end.
"""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.figures import style
from experiments.figures.files import RunFiles
from experiments.figures.rounds import CAUSES, Rounds, Step, critical_path, median_round, node_seconds, path_seconds
from experiments.figures.rounds import rounds as rounds_of
from experiments.figures.style import Look

LOOKS = {
    "compute": Look(style.BLUE), "uplink": Look(style.ORANGE, "/////"), "downlink": Look(style.SKY, "\\\\\\\\\\"),
    "waiting": Look("white"),
}  # fmt: skip
LANES = {"compute": (-0.36, 0.36), "uplink": (-0.36, 0.0), "downlink": (0.0, 0.36), "evaluation": (-0.1, 0.1)}
DEVICES = 10  # in a timeline


def round_latency(files: RunFiles) -> Figure | None:
    """Seconds of the mean root round: along its critical path, and of the mean node. None without a root round."""
    found = rounds_of(files)
    if found.times.empty:
        return None
    tables = {"critical path": path_seconds(files, found), "mean node": node_seconds(files, found)}
    legend = style.Legend([look.patch() for look in LOOKS.values()], list(LOOKS))
    names = [f"{tier} ({count})" for tier, count in files.tiers.items()]
    left, height = style.widest(names) + 2.5, 4.5 * len(names)
    figure = style.sheet(legend.height + 2 * (height + 12) + 1)
    legend.draw(figure)
    for place, (title, table) in enumerate(tables.items()):
        top = legend.height + 4 + place * (height + 12)
        ax = style.place(figure, left, top, style.WIDTH - left - 2, height)
        style.stacked(ax, table.set_axis(names), LOOKS, "s")
        ax.set_title(f"({'ab'[place]}) {title}", loc="left", pad=2)
        ax.set_xlabel(f"time of a root round ({ax.get_xlabel()}), mean of {len(found.times)}")
    return figure


def timeline(files: RunFiles) -> Figure | None:
    """The root round of median duration: the nodes of its critical path, and their fellows in the last tier."""
    found = rounds_of(files)
    if found.times.empty:
        return None
    round_ = median_round(found)
    path = critical_path(files, found, round_)
    rows = {node: y for y, node in enumerate(timeline_nodes(files, path))}
    start, seconds = (float(found.times[name][round_]) for name in ("start_s", "seconds"))
    factor, unit = style.scale(seconds, "s")
    bars = _bars(files, found, round_, rows)
    looks = {**{cause: LOOKS[cause] for cause in LANES if cause in LOOKS}, "evaluation": Look(style.BLACK)}
    looks = {cause: look for cause, look in looks.items() if cause in set(bars.cause)}
    line = Line2D([], [], color=style.RED, linewidth=1.2)
    legend = style.Legend([*(look.patch() for look in looks.values()), line], [*looks, "critical path"])
    names = [_short(node) for node in rows]
    left, height = style.widest(names) + 2.5, 3.6 * len(rows)
    figure = style.sheet(legend.height + height + 8)
    legend.draw(figure)
    ax = style.place(figure, left, legend.height, style.WIDTH - left - 2.5, height)
    for cause, look in looks.items():
        part = bars[bars.cause == cause]
        low, high = LANES[cause]
        boxes = [
            [(a, y + low), (b, y + low), (b, y + high), (a, y + high)]
            for a, b, y in zip((part.start_s - start) * factor, (part.end_s - start) * factor, part.y, strict=True)
        ]
        ax.add_collection(
            PolyCollection(boxes, facecolor=look.colour, hatch=look.hatch, edgecolor=style.BLACK, linewidth=0.3),
            autolim=False,
        )
    _draw_path(ax, path, rows, start, factor)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, seconds * factor)
    ax.set_yticks(range(len(rows)), names)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_xlabel(f"time since the start of round {round_} ({unit})")
    return figure


def timeline_nodes(files: RunFiles, path: list[Step]) -> list[str]:
    """The root, the nodes above the deepest one of *path*, and that one among its siblings (10 at most)."""
    ends = [node for step in path for node in (step.node, step.sender)]
    deepest = max(ends, key=lambda node: files.depth[node], default=files.root)
    if deepest == files.root:
        deepest = files.children[deepest][0]
    above, node = list[str](), deepest
    while node := files.parents[node]:
        above.insert(0, node)
    fellows = files.children[above[-1]]
    shown = {deepest, *(node for node in ends if node in fellows)}
    step = max(1, -(-len(fellows) // DEVICES))
    spare = [node for node in (*fellows[::step], *fellows) if node not in shown]
    chosen = {*list(shown)[:0], *sorted(shown, key=fellows.index)[:DEVICES]}
    chosen |= set(dict.fromkeys(spare)) if len(fellows) <= DEVICES else set(spare[: DEVICES - len(chosen)])
    return [*above, *(node for node in fellows if node in chosen)]
