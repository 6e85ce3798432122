"""What a run prints at its end: how good, after how long, at what cost, and what to try next."""

from __future__ import annotations

import math
import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from experiments.wall import told as told_wall

if TYPE_CHECKING:
    from experiments.run import Result
    from simulator.records import Log

Cell = tuple[str, str, str]  # model, tier, moment


def final_figures(log: Log) -> dict[Cell, dict[str, float]]:
    """The last figure of each model, tier and moment by "task name": the mean over the nodes of that tier."""
    last: dict[tuple[Cell, str], int] = {}
    for m in log.metrics:
        key = ((m.model, m.tier, m.moment), f"{m.task} {m.name}")
        last[key] = max(last.get(key, 0), m.round)
    values: dict[Cell, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for m in log.metrics:
        cell, figure = (m.model, m.tier, m.moment), f"{m.task} {m.name}"
        if m.round == last[cell, figure]:
            values[cell][figure].append(m.value)
    return {cell: {f: math.fsum(v) / len(v) for f, v in figures.items()} for cell, figures in values.items()}


def show(result: Result, scenario: str) -> None:
    """Print the result table, the costs, the run folder and three commands."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 160
    figures = final_figures(result.log)
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    if names:
        title = Text(result.scenario.title)  # what stands in brackets is no markup
        table = Table("model", "tier", "moment", *map(escape, names), title=title, title_justify="left", box=None)
        for (model, tier, moment), row in figures.items():
            cells = [f"{row[name]:.3f}" if name in row else "-" for name in names]
            table.add_row(Text(model), Text(tier), moment.replace("_", " "), *cells)
        console.print(table)
    for note in result.notes:
        console.print(note, soft_wrap=True)
    m = result.manifest
    for kind, what in (("died", "ran out of battery"), ("left", "left on the way")):
        gone = {h.node for h in result.log.happenings if h.kind == kind}
        if gone:
            console.print(f"{len(gone)} nodes {what} (events.csv)")
    if empty := [h.node for h in result.log.happenings if h.kind == "no_arrivals"]:
        console.print(
            f"{len(empty)} rounds of {len(set(empty))} nodes had no arrivals: nobody was there, or in time (events.csv)"
        )
    late = [h.node for h in result.log.happenings if h.kind == "late"]
    if late:
        console.print(f"{len(late)} reports came too late and were dropped, of {len(set(late))} nodes (events.csv)")
    if result.built.learner and not m["client_updates"]:
        console.print("nothing was learned: no training was finished in time")
    active = result.log.joules()
    sent = result.log.nbytes(kind="transmit")
    updates = f"{m['client_updates']} client updates, " if result.built.learner else ""
    console.print(
        f"{m['sim_seconds']:.4g} simulated seconds, {m['joules']:.4g} J ({active:.4g} J of it computing, sending and "
        f"receiving), "
        f"{sent / 1e6:.4g} MB sent, {updates}{m['wall_seconds']:.1f} s of wall time",
        soft_wrap=True,
    )
    if result.built.learner and (line := cached(m)):
        console.print(line, soft_wrap=True)
    if result.perturbed is not None:
        from experiments.intervals import told

        for line in told(result.perturbed, m):
            console.print(line, soft_wrap=True)
    console.print(f"run folder: {result.folder}", soft_wrap=True)
    if not shutil.which("edufog"):
        activate = Path(sys.executable).parent / "activate"
        console.print(f"edufog is not on the PATH; first: source {activate}", soft_wrap=True)
    console.print("try next:")
    for command in (f"edufog run {scenario} --seed {m['seed'] + 1}", f"edufog check {scenario}", "edufog list devices"):
        console.print(f"  {command}", soft_wrap=True)


def cached(manifest: Mapping[str, Any]) -> str:
    """What keeping the outputs of frozen fronts did, in one line, or why it did nothing."""
    asked = manifest.get("cache_hits", 0) + manifest.get("cache_misses", 0)
    if not asked:
        why = dict.fromkeys(manifest.get("cache", "").split("; "))  # every process says its own
        return f"frozen fronts: {'; '.join(why)}" if "cache" in manifest else ""
    spilled = manifest.get("cache_spilled_bytes", 0)
    disk = f", {spilled / 1e6:.4g} MB on disk" if spilled else ""
    return (
        f"frozen fronts: {manifest['cache_hits']} of {asked} look-ups found what was computed before "
        f"({manifest['cache_bytes'] / 1e6:.4g} MB in memory{disk})"
    )


def end(result: Result, scenario: str, *, quiet: bool, profile: bool) -> None:
    """Print what a run came to, unless *quiet*; and with *profile* where its wall time went."""
    if not quiet:
        show(result, scenario)
    for line in told_wall(result.manifest["wall_seconds_by_part"]) if profile else ():
        print(line)
