"""What ``edufog list`` prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table


def scenarios(gallery: Path) -> None:
    """The scenarios of the gallery with their titles."""
    from experiments.schema.documents import read

    table = _table("name", "title")
    for path in sorted(gallery.glob("*.yaml")):
        table.add_row(path.stem, str(read(path).data.get("title", "")))
    _print(table)


def devices(gallery: Path) -> None:
    """The device profiles, with the certainty of what they compute and draw."""
    from topologies.profiles import devices, figures

    sure = {(f.profile, f.figure): f"{f.certainty} ±{f.uncertainty:.0%}" for f in figures()}
    table = _table("device", "kind", "GFLOP/s", "busy W", "idle W", "of FLOP/s", "of busy W")
    for p in devices().values():
        watts = (f"{p.flops_per_s * p.utilisation / 1e9:.4g}", f"{p.busy_watts:g}", f"{p.idle_watts:g}")
        table.add_row(p.name, p.kind, *watts, sure[p.name, "flops_per_s"], sure[p.name, "busy_watts"])
    _print(table)


def links(gallery: Path) -> None:
    """The link profiles."""
    from topologies.profiles import links

    table = _table("link", "kind", "up Mbit/s", "down Mbit/s", "latency ms", "shared")
    for p in links().values():
        rates = (f"{p.up_bits_per_s / 1e6:g}", f"{p.down_bits_per_s / 1e6:g}", f"{p.latency_seconds * 1e3:g}")
        table.add_row(p.name, p.kind, *rates, "yes" if p.shared else "no")
    _print(table)


def algorithms(gallery: Path) -> None:
    """What ``learning.algorithm`` can name: each with its paper and its knobs at their defaults."""
    from inspect import Parameter

    from models.federation.library import find, knobs, names, paper

    table = _table("algorithm", "what it is", "knobs")
    for name in names():
        make = find(name)
        known = (knob if value is Parameter.empty else f"{knob}: {value}" for knob, value in knobs(make).items())
        table.add_row(name, paper(make), ", ".join(known))
    _print(table)


def _table(name: str, *headers: str) -> Table:
    """Narrow, but names are never cut: they are there to be copied."""
    return Table(Column(name, no_wrap=True), *headers, box=None, pad_edge=False, collapse_padding=True)


def _print(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(table)


LISTS: dict[str, Callable[[Path], None]] = {
    "scenarios": scenarios,
    "devices": devices,
    "links": links,
    "algorithms": algorithms,
}
