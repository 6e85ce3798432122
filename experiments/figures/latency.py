"""Latency of a root round by cause and tier, seen in two ways.

Above, the critical path: the chain of computations and transfers, one waiting for the other, from which the duration
of the round follows; the bars of all tiers together are the mean round. Below, the mean node of each tier during that
same round; each bar is the mean round. A transfer counts from its latency on; on the critical path it is of the tier
at its lower end, below it is of both ends.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.figures import style
from experiments.figures.files import RunFiles
from experiments.figures.rounds import node_seconds, path_seconds, rounds
from experiments.figures.style import Look

LOOKS = {
    "compute": Look(style.BLUE),
    "uplink": Look(style.ORANGE, "/////"),
    "downlink": Look(style.SKY, "\\\\\\\\\\"),
    "waiting": Look("white"),
}


def round_latency(files: RunFiles) -> Figure | None:
    """Seconds of the mean root round: along its critical path, and of the mean node. None without a root round."""
    found = rounds(files)
    if found.times.empty:
        return None
    mean = float(found.times.seconds.mean())
    factor, unit = style.scale(mean, "s")
    path = f"critical path, {mean * factor:.3g} {unit} in all"
    tables = {path: path_seconds(files, found), "mean node": node_seconds(files, found)}
    legend = style.Legend([look.patch() for look in LOOKS.values()], list(LOOKS))
    names = style.tier_names(files.tiers)
    left, height = style.widest(names) + 2.5, 4.5 * len(names)
    figure = style.sheet(legend.height + 2 * (height + 12))
    legend.draw(figure)
    for place, (title, table) in enumerate(tables.items()):
        top = legend.height + 4 + place * (height + 12)
        ax = style.place(figure, left, top, style.WIDTH - left - 2, height)
        style.stacked(ax, table.set_axis(names), LOOKS, "s", mean)
        ax.set_title(f"({'ab'[place]}) {title}", loc="left", pad=2)
        ax.set_xlabel(f"time of a root round ({unit}), mean of {len(found.times)}")
    return figure
