"""What the draws of an uncertain run say: intervals of its costs, and which figures to measure first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.store import Store
from experiments.uncertainty import COSTS

if TYPE_CHECKING:
    import pandas as pd

EDGES = (0.05, 0.5, 0.95)  # quantiles: low, median, high
LEVEL = 0.9  # of the draws lie between the first and the last
TOTALS = COSTS[:2]
CHANCE = 0.05  # that any figure without effect is said to be beyond chance


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """How many draws, and low, median and high of seconds and joules, as the manifest keeps them."""
    intervals = {cost: [float(table[cost].quantile(edge)) for edge in EDGES] for cost in TOTALS}
    return {"draws": len(table), **intervals, "level": LEVEL}


def what_to_measure(table: pd.DataFrame, most: int = 10) -> pd.DataFrame:
    """The figures that the costs follow most closely, by Spearman's rank correlation with seconds and with joules.

    Columns `profile`, `figure`, `beyond_chance`, `sim_seconds`, `joules`. *beyond_chance* is "yes" where a correlation
    is larger than the largest of so many figures without effect would be in 19 of 20 runs (Bonferroni's bound); with
    few draws, hardly any is.
    """
    import pandas as pd

    ranks = {str(name): _standard(table[name]) for name in table.columns}
    names = [name for name in ranks if name not in ("draw", *COSTS)]
    bound = NormalDist().inv_cdf(1 - CHANCE / (4 * max(len(names), 1))) / math.sqrt(len(table) - 1)
    rows = []
    for name in names:
        found = [float(ranks[name] @ ranks[cost]) / len(table) for cost in TOTALS]
        closest = max(map(abs, found))
        rows.append((closest, (*name.rsplit("/", 1), "yes" if closest > bound else "no", *found)))
    rows.sort(key=lambda row: -row[0])
    return pd.DataFrame([row for _, row in rows[:most]], columns=["profile", "figure", "beyond_chance", *TOTALS])


def _standard(values: pd.Series) -> np.ndarray:
    """The ranks with mean 0 and deviation 1; all 0 where there is nothing to rank."""
    ranks = values.rank().to_numpy(float)
    spread = ranks.std()
    return (ranks - ranks.mean()) / spread if spread else np.zeros(len(ranks))


def keep(store: Store, table: pd.DataFrame) -> None:
    """Leave the draws and what to measure in a run folder: `perturbed.csv`, `tables/uncertainty.csv` and `.tex`."""
    from experiments.plots import latex

    first = what_to_measure(table)
    (store.folder / "tables").mkdir(exist_ok=True)
    shown = first.assign(sim_seconds=[f"{value:.3f}" for value in first["sim_seconds"]])
    for name, text in {
        "perturbed.csv": table.to_csv(index=False, lineterminator="\n"),
        "tables/uncertainty.csv": first.to_csv(index=False, lineterminator="\n"),
        "tables/uncertainty.tex": latex(shown),
    }.items():
        store.text(name, text)


def told(table: pd.DataFrame, manifest: Mapping[str, Any]) -> list[str]:
    """Two lines for the end of a run: the intervals around what it gave, and what to measure first."""
    found = manifest["perturbed"]
    if len(table.columns) == len(COSTS) + 1:
        return ["seconds and joules have no intervals: no figure of the profiles in use is uncertain"]
    parts = []
    for cost, words in zip(TOTALS, ("simulated seconds", "joules"), strict=True):
        low, _, high = found[cost]
        parts.append(f"{words} {manifest[cost]:.4g} [{low:.4g}, {high:.4g}]")
    first = what_to_measure(table, 3)
    names = [f"{row.figure} of {row.profile}" for row in first.itertuples() if row.beyond_chance == "yes"]
    share = f"({found['level']:.0%} of {found['draws']} draws of the profiles' figures)".replace("%", " %")
    measure = ", ".join(names) or "too few draws to say"
    return [f"{', '.join(parts)} {share}", f"to narrow them, measure first: {measure} (tables/uncertainty.csv)"]
