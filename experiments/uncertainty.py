"""How sure the simulated seconds and joules are, given how sure the figures of the devices and links are.

A draw multiplies every uncertain figure of every profile in use by a factor of its own, one per profile and figure: if
the catalogue is wrong about a tablet's watts, it is wrong about all such tablets alike. The factor is lognormal, its
median 1 and the deviation of its logarithm the figure's relative uncertainty, so that a figure is as likely too high
as too low, and a rate is as uncertain as the time it stands for. :func:`topologies.perturbation.perturbed` says what
happens where a profile cannot be so. The costs are simulated anew for every draw, the learning is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

import numpy as np

from experiments.build import Built, build
from experiments.costs_only import costs_alone
from experiments.schema.catalogue import device_profiles, link_profiles, uncertainties
from experiments.simulation import simulated
from experiments.store import ENERGY
from simulator.records import Log
from topologies.perturbation import perturbed
from topologies.profiles import DeviceProfile, LinkProfile

if TYPE_CHECKING:
    import pandas as pd

    from experiments.scenario import Scenario

P = TypeVar("P", DeviceProfile, LinkProfile)
ByFigure = Mapping[str, Mapping[str, float]]  # a number by profile and figure
COSTS = ("sim_seconds", "joules", *ENERGY[:-1])


def perturb(
    subject: Built | Scenario,
    draws: int,
    seed: int | None = None,
    on_draw: Callable[[int], None] = lambda draw: None,
) -> pd.DataFrame:
    """What *subject* costs in each of *draws*: a row with `draw`, seconds, joules, joules by cause, and the factors.

    The columns of factors are named `profile/figure`. *seed* is the scenario's if not given; *on_draw* is called after
    each draw with how many are done. Raises ValueError for fewer than two draws.
    """
    import pandas as pd

    if draws < 2:
        raise ValueError(f"an interval needs 2 draws or more, got {draws}")
    built = subject if isinstance(subject, Built) else build(subject)
    unsure = uncertain(built)
    rows = []
    for draw in range(draws):
        factors = draw_factors(unsure, built.scenario.seed if seed is None else seed, draw)
        columns = {f"{name}/{figure}": factor for name, row in factors.items() for figure, factor in row.items()}
        rows.append({"draw": draw, **costs(built, factors), **columns})
        on_draw(draw + 1)
    return pd.DataFrame(rows)


def uncertain(built: Built) -> dict[str, dict[str, float]]:
    """The relative uncertainty of every uncertain figure in use, by profile and figure; a figure of 0 has none."""
    known, stated = uncertainties(built.scenario.profiles), _as_stated(built.scenario)
    out: dict[str, dict[str, float]] = {}

    def note(profile: P) -> P:
        for figure, relative in known.get(profile.name, {}).items():
            if stated(profile, figure) and getattr(profile, figure):
                out.setdefault(profile.name, {})[figure] = relative
        return profile

    built.hierarchy.with_profiles(note, note)
    return out


def _as_stated(scenario: Scenario) -> Callable[[DeviceProfile | LinkProfile, str], bool]:
    """Whether a figure in use is the one of that profile in the catalogue, with the scenario's own profiles.

    Others come from elsewhere and are taken as they are: those of a topology file's own profiles, and rates that follow
    from positions.
    """
    stated: dict[type, Mapping[str, Any]] = {
        DeviceProfile: device_profiles(scenario.profiles),
        LinkProfile: link_profiles(scenario.profiles),
    }
    return lambda profile, figure: (
        hasattr(profile, figure)
        and getattr(profile, figure) == getattr(stated[type(profile)].get(profile.name), figure, None)
    )


def draw_factors(unsure: ByFigure, seed: int, draw: int) -> dict[str, dict[str, float]]:
    """One factor for every figure of *unsure*: lognormal, of median 1, its logarithm's deviation the uncertainty."""

    def factor(name: str, figure: str, relative: float) -> float:
        place = [seed, crc32(b"perturb"), crc32(f"{name}/{figure}".encode()), draw]
        return math.exp(relative * np.random.default_rng(np.random.SeedSequence(place)).standard_normal())

    return {name: {f: factor(name, f, relative) for f, relative in row.items()} for name, row in unsure.items()}


def costs(built: Built, factors: ByFigure) -> dict[str, float]:
    """Seconds, joules, and joules by cause, with the figures of the profiles multiplied by *factors*."""
    log = Log()
    rows = rerun(built, factors, log)
    causes = {cause: math.fsum(row[cause] for row in rows) for cause in ENERGY[:-1]}
    return {"sim_seconds": log.end_s, "joules": math.fsum(causes.values()), **causes}


def rerun(built: Built, factors: ByFigure, log: Log) -> list[dict[str, Any]]:
    """Simulate the costs of *built* into *log*, figures multiplied by *factors*; a row per node with its energy."""
    stated = _as_stated(built.scenario)

    def altered(profile: P) -> P:
        own = factors.get(profile.name, {})
        return perturbed(profile, {figure: own[figure] for figure in own if stated(profile, figure)})

    hierarchy = built.hierarchy.with_profiles(altered, altered)
    return simulated(replace(built, hierarchy=hierarchy, workload=costs_alone(built)), log)
