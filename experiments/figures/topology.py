"""The tree as a radial map: the root in the centre, the leaves around it in tree order, siblings side by side.

A marker says the tier; its colour, and whether it is full, the device profile. Where leaves are many they take turns
on several rings, so that each stays visible.
"""

from __future__ import annotations

from math import ceil, pi

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.figures import style
from experiments.figures.files import RunFiles

ROOT, MARKERS = "*", "osD^vPX"  # by tier, from the leaves up
SIZES = {"*": 1.6, "D": 0.85, "s": 0.9, "X": 1.1, "P": 1.1}  # so that they look alike
FILLS = ((style.BLUE, True), (style.ORANGE, True), (style.GREEN, False), (style.BLACK, True), (style.PURPLE, True),
         (style.SKY, True), (style.YELLOW, True), (style.GREY, True))  # fmt: skip
RADIUS, SMALLEST, LARGEST = 36.0, 1.1, 3.0  # mm
GAP = 0.7  # between leaves of different parents, in leaves; twice that where the grandparents differ
NAMED = 12  # nodes below the root at most, to be named
Entry = tuple[str, str]  # tier and profile


def topology(files: RunFiles) -> Figure:
    """The map of a run's nodes."""
    places = layout(files)
    leaves = sum(not below for below in files.children.values())
    radius = min(RADIUS, max(12.0 * len(files.tiers) ** 0.5, 0.8 * leaves))
    looks = _looks(files)
    counts = files.nodes.groupby(["tier", "profile"]).size()
    labels = [f"{tier}: {profile.replace('_', ' ') or 'no cost'} ({counts[tier, profile]})" for tier, profile in looks]
    legend = style.Legend(list(looks.values()), labels, handle=2.5)
    edge = radius * float(places.radius.max()) + 2.5
    figure = style.sheet(legend.height + 2 * edge)
    legend.draw(figure)
    ax = style.place(figure, 0, legend.height, style.WIDTH, 2 * edge)
    ax.set_xlim(-style.WIDTH / 2, style.WIDTH / 2)
    ax.set_ylim(-edge, edge)
    ax.set_axis_off()
    places = places.assign(
        x=radius * places.radius * np.sin(places.angle), y=radius * places.radius * np.cos(places.angle)
    )
    _draw_links(ax, files, places)
    _draw_nodes(ax, files, places, looks)
    _draw_names(ax, files, places)
    return figure


def layout(files: RunFiles) -> pd.DataFrame:
    """Where each node is, as angle (clockwise from the top) and radius (1: the leaves), and its room (2 pi: all).

    Angles follow the order of the tree; a node is in the middle of what is below it.
    """
    deepest = max(files.depth.values()) or 1
    order, slots = _leaves(files)
    total = slots[-1] + 1 + GAP * (deepest > 1)
    angle = {leaf: 2 * pi * slot / total for leaf, slot in zip(order, slots, strict=True)}
    rings = min(4, ceil(SMALLEST * total / (2 * pi * RADIUS)))
    radius = {node: (depth / deepest) ** 0.8 for node, depth in files.depth.items()}
    for place, leaf in enumerate(order):
        radius[leaf] += place % rings * SMALLEST / RADIUS
    for node in reversed(list(files.depth)):
        if below := files.children[node]:
            angle[node] = (angle[below[0]] + angle[below[-1]]) / 2
    room = {node: 2 * pi / total * (rings if not files.children[node] else 1) for node in files.depth}
    for tier, number in files.tiers.items():
        room |= {node: 2 * pi / number for node in room if files.children[node] and files.tier_of[node] == tier}
    return pd.DataFrame({"angle": angle, "radius": radius, "room": room})


def _leaves(files: RunFiles) -> tuple[list[str], list[float]]:
    """The leaves in tree order, and how far along the circle each is, in leaves."""
    order, slots = list[str](), list[float]()
    waiting, parted = [files.root], 0
    while waiting:
        node = waiting.pop()
        below = files.children[node]
        waiting += reversed(below)
        if below:
            parted += 1  # levels gone down since the last leaf
            continue
        slots.append(slots[-1] + 1 + GAP * parted if slots else 0.0)
        order.append(node)
        parted = 0
    return order, slots


def _looks(files: RunFiles) -> dict[Entry, Line2D]:
    """A marker for every tier and profile, from the root down; the fillings are dealt out from the leaves up."""
    tiers = list(files.tiers)
    entries = sorted(files.nodes.groupby(["tier", "profile"], sort=False).groups, key=lambda e: tiers.index(e[0]))
    dealt = {e: n for n, e in enumerate(sorted(entries, key=lambda e: -tiers.index(e[0])))}
    looks = {}
    for tier, profile in entries:
        up = len(tiers) - 1 - tiers.index(tier)
        root = tier == tiers[0]
        again, fill = divmod(
            dealt[tier, profile], len(FILLS)
        )  # where fillings run out, markers go on behind the tiers'
        colour, full = (style.RED, True) if root else FILLS[fill]
        marker = ROOT if root else MARKERS[(up + again * (len(tiers) - 1)) % len(MARKERS)]
        looks[tier, profile] = Line2D(
            [], [], linestyle="", marker=marker, color=colour, markerfacecolor=colour if full else "white",
            markersize=5 * SIZES.get(marker, 1.0), markeredgewidth=0.8,
        )  # fmt: skip
    return looks


def _draw_links(ax: Axes, files: RunFiles, places: pd.DataFrame) -> None:
    below = [node for node, parent in files.parents.items() if parent]
    above = [files.parents[node] for node in below]
    width = min(0.4, 80 / len(below)) if below else 0.4
    ends = np.stack([places.loc[above, ["x", "y"]].to_numpy(), places.loc[below, ["x", "y"]].to_numpy()], axis=1)
    ax.add_collection(LineCollection(list(ends), colors=style.GREY, linewidths=width, zorder=1), autolim=False)


def _draw_nodes(ax: Axes, files: RunFiles, places: pd.DataFrame, looks: dict[Entry, Line2D]) -> None:
    around = np.hypot(places.x, places.y).where(places.radius > 0, LARGEST)
    size = (0.75 * places.room * around).clip(SMALLEST, LARGEST) * style.POINT  # pt
    size[files.root] = 1.3 * LARGEST * style.POINT
    for (tier, profile), look in looks.items():
        here = files.nodes.node[(files.nodes.tier == tier) & (files.nodes.profile == profile)]
        marker = str(look.get_marker())
        ax.scatter(
            places.x[here], places.y[here], (size[here] * SIZES.get(marker, 1.0)) ** 2, marker=marker, zorder=2,
            facecolor=look.get_markerfacecolor(), edgecolor=look.get_color(), linewidth=0.8,
        )  # fmt: skip


def _draw_names(ax: Axes, files: RunFiles, places: pd.DataFrame) -> None:
    """Whose branch is whose: the inner nodes right below the root, where they are few."""
    inner = [node for node in files.children[files.root] if files.children[node]]
    for node in inner if len(inner) <= NAMED else []:
        at = (float(places.x[node]), float(places.y[node]))
        name = node.rsplit("/", 1)[-1]
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
        ax.annotate(name, at, (0, -8.5), textcoords="offset points", ha="center", va="center", bbox=box, zorder=1.5)
