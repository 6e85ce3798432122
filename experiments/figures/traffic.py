"""Bytes per module group and tier, up and down: on the left over all links, on the right over the mean link.

A link is of the tier at its lower end; a transfer over several hops counts on each. A span names the modules that its
packet carried; its bytes are split over them in proportion to their bytes in `footprint.csv`, also those of a packet
that was interrupted or compressed; evenly where no footprint is known.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from experiments.figures import style
from experiments.figures.files import RunFiles

WAYS = ("down", "up")


def bytes_table(files: RunFiles) -> pd.DataFrame:
    """Bytes sent, by (tier, direction) and by module group: what is before the dot in a module's name."""
    sent = files.spans[(files.spans.kind == "transmit") & files.spans.activity.isin(WAYS)]
    lower = sent.node.where(sent.activity == "up", sent.peer).map(files.tier_of)
    keys = [lower.rename("tier"), sent.activity.rename("way"), sent.modules, sent.nbytes]
    counts = sent.groupby(keys).size()
    rows = [
        (tier, way, module.split(".")[0], count * share)
        for (tier, way, modules, nbytes), count in counts.items()
        for module, share in shares(str(modules).split("+"), int(nbytes), files.footprint).items()
    ]
    table = pd.DataFrame(rows, columns=["tier", "way", "group", "nbytes"])
    order = [(tier, way) for tier in files.tiers for way in WAYS]
    groups = list(dict.fromkeys(table.group))
    summed = table.groupby(["tier", "way", "group"]).nbytes.sum().unstack(fill_value=0.0)
    return summed.reindex([key for key in order if key in summed.index]).reindex(columns=groups)


def shares(modules: list[str], nbytes: int, footprint: Mapping[str, int]) -> dict[str, float]:
    """How many of a packet's *nbytes* each of its *modules* has."""
    sizes = {module: footprint.get(module, 0) for module in modules}
    total = sum(sizes.values())
    if total == 0:
        return {module: nbytes / len(modules) for module in modules}
    return {module: nbytes * size / total for module, size in sizes.items()}


def bytes_modules(files: RunFiles) -> Figure | None:
    """Bytes by link tier, direction and module group. None where nothing was sent."""
    table = bytes_table(files)
    if table.empty:
        return None
    looks = dict(zip(table, style.LOOKS * (1 + len(table.columns) // len(style.LOOKS)), strict=False))
    legend = style.Legend([look.patch() for look in looks.values()], list(looks))
    names = [f"{tier}, {way}" for tier, way in table.index]
    left, height = style.widest(names) + 2.5, 4.5 * len(names)
    figure = style.sheet(legend.height + height + 12)
    legend.draw(figure)
    width = (style.WIDTH - left - 6) / 2
    links = pd.Series([files.tiers[tier] for tier, _ in table.index], index=table.index)
    for place, (title, part) in enumerate({"all links": table, "mean link": table.div(links, axis=0)}.items()):
        ax = style.place(figure, left + place * (width + 4), legend.height + 4, width, height)
        style.stacked(ax, part.set_axis(names), looks, "B")
        ax.set_title(f"({'ab'[place]}) {title}", loc="left", pad=2)
        ax.set_xlabel(f"bytes sent ({ax.get_xlabel()})")
        if place:
            ax.tick_params(labelleft=False)
    return figure
