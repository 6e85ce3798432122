"""What a scenario charges, and who is there when, as the simulator takes it."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from experiments.scenario import Scenario
from experiments.schema.documents import find_file
from experiments.schema.physics import CarbonSpec, ChurnPresence
from simulator.costs import Carbon, Costs
from simulator.presence import Churn, Presence, Timetable, Windows, always
from topologies.hierarchy import Hierarchy

JOULES_PER_KWH = 3.6e6


def costs_of(scenario: Scenario) -> Costs:
    """The costs of *scenario*; raises ValueError for a carbon trace that holds no figures."""
    spec = scenario.costs
    models = {
        "power": spec.power.model(),
        "battery": spec.battery.model() if spec.battery else None,
        "carbon": _carbon(spec.carbon) if spec.carbon else None,
    }
    return Costs(**{name: value for name, value in spec if name not in models}, **models)  # type: ignore[arg-type]


def presence_of(scenario: Scenario, tree: Hierarchy) -> Presence:
    """Who of *tree* is there when; raises ValueError for a tier that the tree lacks, or the root's."""
    spec = scenario.presence
    if spec is None:
        return always
    tiers = spec.tiers or (() if spec.nodes else (tree.tiers[-1],))
    for tier in tiers:
        if tier not in tree.tiers[1:]:
            raise ValueError(f"presence: {tier!r} is no tier below the root; those are {', '.join(tree.tiers[1:])}")
    for node in spec.nodes:
        if node not in tree or node == tree.root:
            raise ValueError(f"presence: there is no node {node!r} below the root")
    nodes = frozenset(node for tier in tiers for node in tree.nodes(tier)) | frozenset(spec.nodes)
    if isinstance(spec, ChurnPresence):
        return Churn(scenario.seed, spec.present, spec.absent, nodes)
    return Timetable(Windows(spec.present, spec.every or math.inf), nodes)


def _carbon(spec: CarbonSpec) -> Carbon:
    if spec.file is None:
        return Carbon(((spec.grams_per_kwh or 0.0) / JOULES_PER_KWH,))
    try:
        text = find_file(spec.file, Path()).read_text(encoding="utf-8-sig")
        figures = [float(row["grams_per_kwh"]) for row in csv.DictReader(text.splitlines())]
        return Carbon(tuple(figure / JOULES_PER_KWH for figure in figures))
    except KeyError:
        raise ValueError(f"{spec.file}: has no column 'grams_per_kwh'") from None
    except (OSError, UnicodeError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{spec.file}: {error}") from error
