"""A run folder as tables: all that the figures ever see of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

NUMBERS = ("round", "time_s", "value", "start_s", "end_s", "joules", "nbytes", "flops", "present_s")
WHERE = ["node", "tier", "parent", "profile"]


@dataclass(frozen=True)
class RunFiles:
    """The tables of a run folder. Nodes keep the order of `nodes.csv`, which lists a parent before its children."""

    spans: pd.DataFrame
    metrics: pd.DataFrame
    nodes: pd.DataFrame
    footprint: Mapping[str, int]
    energy: pd.DataFrame

    @cached_property
    def root(self) -> str:
        """The node without a parent."""
        return str(self.nodes.node[self.nodes.parent == ""].iloc[0])

    @cached_property
    def parents(self) -> dict[str, str]:
        """The parent of every node; the root's is empty."""
        return dict(zip(self.nodes.node, self.nodes.parent, strict=True))

    @cached_property
    def tier_of(self) -> dict[str, str]:
        """The tier of every node."""
        return dict(zip(self.nodes.node, self.nodes.tier, strict=True))

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """Who is directly below every node."""
        below: dict[str, list[str]] = {node: [] for node in self.parents}
        for node, parent in self.parents.items():
            if parent:
                below[parent].append(node)
        return below

    @cached_property
    def members(self) -> pd.Series:
        """How many devices each row of the nodes stands for: 1, or those of a classroom."""
        if "members" not in self.nodes:
            return pd.Series(1, index=self.nodes.index)
        return pd.to_numeric(self.nodes["members"], errors="coerce").fillna(1).astype(int)

    @property
    def condensed(self) -> bool:
        """Whether rows stand for several devices, so that nobody can say what each of them did when."""
        return bool((self.members > 1).any())

    @cached_property
    def depth(self) -> dict[str, int]:
        """How far every node is from the root."""
        depth = {self.root: 0}
        for node, parent in self.parents.items():
            if parent:
                depth[node] = depth[parent] + 1
        return depth

    @cached_property
    def tiers(self) -> dict[str, int]:
        """How many nodes each tier has, from the root down."""
        first: dict[str, int] = {}
        for node, depth in self.depth.items():
            tier = self.tier_of[node]
            first[tier] = min(depth, first.get(tier, depth))
        counts = self.members.groupby(self.nodes.tier).sum()
        return {tier: int(counts[tier]) for tier in sorted(first, key=lambda tier: first[tier])}


def read(folder: Path) -> RunFiles:
    """The tables of the run in *folder*; footprints are read where the run left them."""
    footprint = folder / "footprint.csv"
    sizes = _table(footprint) if footprint.exists() else pd.DataFrame({"module": [], "nbytes": []})
    return RunFiles(
        _table(folder / "spans.csv.gz"),
        _table(folder / "metrics.csv"),
        _table(folder / "nodes.csv"),
        {str(module): int(nbytes) for module, nbytes in zip(sizes["module"], sizes["nbytes"], strict=True)},
        _table(folder / "energy.csv"),
    )


def _table(path: Path) -> pd.DataFrame:
    """Names stay the texts that they are, whatever they look like; figures are numbers."""
    names = pd.read_csv(path, nrows=0).columns
    numbers = [name for name in names if name in NUMBERS or name.endswith("_joules")]
    texts = {name: str for name in names if name not in numbers}
    return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values={name: ["", "nan"] for name in numbers})
