"""How every figure looks: one column of a paper, text of 6 pt or more, colours and hatches that survive grey."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

WIDTH, INCH = 88.0, 25.4  # mm
POINT = 72 / INCH  # pt in a mm
TEXT = 6.5  # pt
LINE = 3.2  # mm from one line of text to the next
BLACK, GREY = "#222222", "#999999"
BLUE, ORANGE, SKY, GREEN, RED, PURPLE, YELLOW = (
    "#0072B2", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#F0E442",
)  # fmt: skip
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": TEXT, "axes.labelsize": TEXT, "axes.titlesize": TEXT,
    "xtick.labelsize": TEXT, "ytick.labelsize": TEXT, "legend.fontsize": TEXT, "text.color": BLACK,
    "axes.linewidth": 0.5, "axes.edgecolor": BLACK, "axes.labelcolor": BLACK, "axes.labelpad": 2.0,
    "axes.spines.top": False, "axes.spines.right": False, "axes.unicode_minus": True, "axes.axisbelow": True,
    "xtick.major.width": 0.5, "ytick.major.width": 0.5, "xtick.major.size": 2.0, "ytick.major.size": 2.0,
    "xtick.major.pad": 1.5, "ytick.major.pad": 1.5, "xtick.color": BLACK, "ytick.color": BLACK,
    "grid.color": "#DDDDDD", "grid.linewidth": 0.4, "hatch.linewidth": 0.5, "lines.linewidth": 1.0,
    "lines.markersize": 3.0, "patch.linewidth": 0.4, "legend.frameon": False,
    "pdf.fonttype": 42, "pdf.compression": 6, "savefig.dpi": 300,
}  # fmt: skip


class Look(NamedTuple):
    """A filling that is told from the others by its colour, and in grey by its hatch."""

    colour: str
    hatch: str = ""

    def patch(self) -> Patch:
        """As it stands in a legend."""
        return Patch(facecolor=self.colour, hatch=self.hatch, edgecolor=BLACK, linewidth=0.4)


LOOKS = (
    Look(BLUE), Look(ORANGE, "/////"), Look(SKY, "\\\\\\\\\\"), Look(YELLOW, "....."),
    Look(GREEN, "xxxxx"), Look(PURPLE, "|||||"), Look(RED, "-----"), Look("#EEEEEE", "+++++"),
)  # fmt: skip


def sheet(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, one column wide if not said otherwise, and *height* mm high."""
    return Figure((width / INCH, height / INCH))


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes so many mm from the left and from the top."""
    across, whole = figure.get_figwidth() * INCH, figure.get_figheight() * INCH
    return figure.add_axes((left / across, 1 - (top + height) / whole, width / across, height / whole))


@cache
def text_width(text: str) -> float:
    """How many mm the longest line of *text* takes."""
    font = FontProperties(family="DejaVu Sans", size=TEXT)
    width = max(text_to_path.get_text_width_height_descent(line, font, False)[0] for line in text.split("\n"))
    return float(width) / POINT


def widest(texts: Iterable[str]) -> float:
    """The mm of the widest of *texts*."""
    return max(map(text_width, texts), default=0.0)


class Legend(NamedTuple):
    """Entries above the axes, in as many columns as fit; *height* is what they take, in mm."""

    handles: Sequence[Artist]
    labels: Sequence[str]
    handle: float = 5.0

    @property
    def columns(self) -> int:
        """As many as fit side by side, or fewer if the rows are as many."""
        number = len(self.labels)
        fit = next((n for n in range(number, 1, -1) if self._width(n) <= WIDTH - 2), 1)
        return -(-number // -(-number // fit))

    @property
    def height(self) -> float:
        """With the space below."""
        return LINE * -(-len(self.labels) // self.columns) + 1.5

    def _width(self, columns: int) -> float:
        rows = -(-len(self.labels) // columns)
        parts = [self.labels[start : start + rows] for start in range(0, len(self.labels), rows)]
        return sum(widest(part) for part in parts) + len(parts) * (self.handle + 1.2) + (len(parts) - 1) * 3

    def draw(self, figure: Figure, top: float = 0.5) -> None:
        """Put it so many mm below the upper edge."""
        em = TEXT / POINT
        figure.legend(
            list(self.handles), list(self.labels), ncols=self.columns, loc="upper center", borderpad=0,
            borderaxespad=0, bbox_to_anchor=(0.5, 1 - top / (figure.get_figheight() * INCH)),
            handlelength=self.handle / em, handletextpad=1.2 / em, columnspacing=3 / em, labelspacing=0.25,
        )  # fmt: skip


def scale(peak: float, unit: str) -> tuple[float, str]:
    """What to multiply by, and the unit, so that *peak* has one to three digits before the point."""
    if unit == "s" and peak >= 600:
        return (1 / 60, "min") if peak < 7200 else (1 / 3600, "h")
    for power, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ")):
        if peak >= power and not (unit == "B" and power < 1) and not (unit == "s" and power > 1):
            return 1 / power, prefix + unit
    return 1.0, unit


def tier_names(tiers: Mapping[str, int]) -> list[str]:
    """Tiers with the number of their nodes."""
    return [f"{tier} ({count})" for tier, count in tiers.items()]


def few_ticks(ax: Axes, x: int = 4, y: int = 4) -> None:
    """No more ticks than can be read."""
    ax.xaxis.set_major_locator(MaxNLocator(x))
    ax.yaxis.set_major_locator(MaxNLocator(y))


def stacked(ax: Axes, table: pd.DataFrame, looks: Mapping[str, Look], unit: str, peak: float | None = None) -> None:
    """One bar per row of *table*, the columns side by side along it, their sum written at its end.

    The axis has room for *peak*, if not given the longest bar, and its unit as label.
    """
    peak = float(table.sum(axis=1).max()) if peak is None else peak
    factor, unit = scale(peak, unit)
    left = pd.Series(0.0, index=table.index)
    places = range(len(table))
    for name, values in (table * factor).items():
        look = looks[str(name)]
        ax.barh(places, values, 0.68, left=left, color=look.colour, hatch=look.hatch, edgecolor=BLACK, linewidth=0.4)
        left += values
    for y, total in zip(places, left, strict=True):
        text = (f"{total:#.3g}".rstrip(".") if total < 999.5 else f"{total:.0f}") if total else "0"
        ax.annotate(text, (total, y), (2, 0), textcoords="offset points", va="center")
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.set_xlim(0, (peak * factor or 1.0) * 1.28)
    ax.set_yticks(places, [str(name) for name in table.index])
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.grid(axis="x")
    ax.set_xlabel(unit)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """The figure as PNG and PDF, of the same bytes whenever it is drawn."""
    metadata: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    }
    paths = [folder / f"{name}.{kind}" for kind in metadata]
    for path in paths:
        figure.savefig(path, metadata=metadata[path.suffix[1:]])
    return paths
