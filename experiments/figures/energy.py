"""Energy by tier and cause: on the left all of it, on the right without idling.

Idle watts over the whole run dwarf the rest, so the right half has a scale of its own. The sums are those of
`energy.csv`, over all nodes of a tier. What sleeping radios save is taken off idle.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from experiments.figures import style
from experiments.figures.files import RunFiles
from experiments.figures.style import Look

SAVED = "idle, less sleep"
LOOKS = {
    "idle": Look("#DDDDDD"),
    SAVED: Look("#DDDDDD"),
    "compute": Look(style.BLUE),
    "transmit": Look(style.ORANGE, "/////"),
    "receive": Look(style.SKY, "\\\\\\\\\\"),
    "radio tail": Look(style.RED, "-----"),
    "infrastructure": Look(style.YELLOW, "....."),
    "cooling": Look(style.GREEN, "xxxxx"),
}


def energy_table(files: RunFiles) -> pd.DataFrame:
    """Joules by tier, from the root down, and cause."""
    table = files.energy.pivot_table(index="tier", columns="cause", values="joules", aggfunc="sum", fill_value=0.0)
    table = table.rename(columns={"tail": "radio tail"}).reindex(
        columns=[*(cause for cause in LOOKS if cause != SAVED), "sleep"], fill_value=0.0
    )
    saved = table.pop("sleep") + table["radio tail"].clip(upper=0)
    table["radio tail"] = table["radio tail"].clip(lower=0)
    table["idle"] += saved
    if saved.any():
        table = table.rename(columns={"idle": SAVED})
    return table.reindex(list(files.tiers), fill_value=0.0)


def energy(files: RunFiles) -> Figure:
    """Joules by tier and cause, with and without idling."""
    table = energy_table(files)
    table = table[[cause for cause in table if table[cause].any()]]
    legend = style.Legend([LOOKS[cause].patch() for cause in table], list(table))
    names = style.tier_names(files.tiers)
    left, height = style.widest(names) + 2.5, 4.5 * len(names)
    figure = style.sheet(legend.height + height + 12)
    legend.draw(figure)
    width = (style.WIDTH - left - 6) / 2
    parts = {"all": table, "without idle": table.drop(columns=["idle", SAVED], errors="ignore")}
    for place, (title, part) in enumerate(parts.items()):
        ax = style.place(figure, left + place * (width + 4), legend.height + 4, width, height)
        style.stacked(ax, part.set_axis(names), LOOKS, "J")
        ax.set_title(f"({'ab'[place]}) {title}", loc="left", pad=2)
        ax.set_xlabel(f"energy ({ax.get_xlabel()})")
        if place:
            ax.tick_params(labelleft=False)
    return figure
