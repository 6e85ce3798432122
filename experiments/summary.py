"""What a run prints at its end: how good, after how long, at what cost, and what to try next."""

from __future__ import annotations

import math
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
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
    if (table := _scores(result)) is not None:
        console.print(table)
    for note in result.notes:
        console.print(note, soft_wrap=True)
    for remark in _remarks(result):
        console.print(remark)
    m, lines = result.manifest, [_costs(result)]
    if result.built.learner and (line := cached(m)):
        lines.append(line)
    if result.perturbed is not None:
        from experiments.intervals import told

        lines += told(result.perturbed, m)
    lines.append(f"run folder: {result.folder}")
    if not shutil.which("edufog"):
        lines.append(f"edufog is not on the PATH; first: source {Path(sys.executable).parent / 'activate'}")
    commands = (f"edufog run {scenario} --seed {m['seed'] + 1}", f"edufog check {scenario}", "edufog list devices")
    for line in (*lines, "try next:", *(f"  {command}" for command in commands)):
        console.print(line, soft_wrap=True)


def _scores(result: Result) -> Table | None:
    """The last figures of every model, if there are any."""
    figures = final_figures(result.log)
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    if not names:
        return None
    title = Text(result.scenario.title)  # what stands in brackets is no markup
    table = Table("model", "tier", "moment", *map(escape, names), title=title, title_justify="left", box=None)
    for (model, tier, moment), row in figures.items():
        cells = [f"{row[name]:.3f}" if name in row else "-" for name in names]
        table.add_row(Text(model), Text(tier), moment.replace("_", " "), *cells)
    return table


def beforehand(happenings: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """What is known before a run, a line for each kind: its first node, and how many more there are."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for node, kind, detail in happenings:
        by_kind[kind].append(f"{node}: {detail}")
    for kind, told in by_kind.items():
        more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
        yield f"{kind.replace('_', ' ')}: {told[0]}{more}"


def _remarks(result: Result) -> Iterator[str]:
    """What did not go as planned, a line each."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for happening in result.log.happenings:
        by_kind[happening.kind].append(happening.node)
    for kind, what in (("died", "ran out of battery"), ("left", "left on the way")):
        if gone := set(by_kind[kind]):
            yield f"{len(gone)} nodes {what} (events.csv)"
    if empty := by_kind["no_arrivals"]:
        rounds = f"{len(empty)} rounds of {len(set(empty))} nodes"
        yield f"{rounds} had no arrivals: nobody was there, or in time (events.csv)"
    if late := by_kind["late"]:
        yield f"{len(late)} reports came too late to be merged, of {len(set(late))} nodes (events.csv)"
    if lost := by_kind["not_finite"]:
        yield f"the learning diverged: weights of {len(lost)} nodes are not finite (events.csv); lower the step size"
    if few := set(by_kind["few_reports"]):
        yield f"{len(few)} nodes merge fewer reports than their algorithm takes (events.csv)"
    if lacking := set(by_kind["lacks"]):
        yield f"{len(lacking)} heads lack modules of their clusters, which nobody reports then (events.csv)"
    if unlinked := by_kind["unlinked"]:
        yield f"{len(unlinked)} times modules are held by parts of a cluster with no link between (events.csv)"
    if stale := by_kind["stale"]:
        yield f"{len(stale)} reports were of an old model when they were merged (events.csv)"
    if result.built.learner and not result.manifest["client_updates"]:
        yield "nothing was learned: no training was finished in time"


def _costs(result: Result) -> str:
    """Simulated seconds, joules and bytes, and the wall time, in one line."""
    m, log = result.manifest, result.log
    updates = f"{m['client_updates']} client updates, " if result.built.learner else ""
    return (
        f"{m['sim_seconds']:.4g} simulated seconds, {m['joules']:.4g} J ({log.joules():.4g} J of it computing, sending "
        f"and receiving), {log.nbytes(kind='transmit') / 1e6:.4g} MB sent, {updates}"
        f"{m['wall_seconds']:.1f} s of wall time"
    )


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
