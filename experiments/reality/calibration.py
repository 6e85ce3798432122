"""What this machine takes for a step, a message and a copy, found from measured rounds through the twin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from scipy.optimize import least_squares

from experiments.reality.configurations import Configuration
from experiments.reality.federation import Measured, parents
from experiments.reality.phases import CAUSES, causes
from experiments.reality.twin import Design, Parameters, twin

COPY_START, MESSAGE_START, CROWDING_START = 1e-9, 1e-3, 0.1
CROWDING_MOST = 0.9


@dataclass(frozen=True, slots=True)
class Observed:
    """What was measured of a configuration: the median round, and the median of every cause along the critical path."""

    configuration: Configuration
    seconds: float
    causes: Mapping[str, float]


def observed(measured: Measured) -> Observed:
    """The medians over the rounds that were kept."""
    above = parents(measured.configuration)
    split = [causes(round_.phases, above, round_.seconds) for round_ in measured.kept]
    medians = {cause: median(one[cause] for one in split) for cause in CAUSES}
    return Observed(measured.configuration, median(round_.seconds for round_ in measured.kept), medians)


def calibrate(rounds: Sequence[Observed], cores: int, design: Design = "crowded") -> Parameters:
    """The parameters with which the twin comes closest, by least squares over causes relative to their round.

    What a round waits counts with its transfers: the twin's messages take all the time that is not work. Raises
    ValueError without rounds.
    """
    if not rounds:
        raise ValueError("calibrate: needs at least one measured configuration")
    nets = sorted({one.configuration.net.name for one in rounds})
    crowding = len(nets) if design == "crowded" else 0
    starts = [_step_start(rounds, net, cores) for net in nets]
    scale = np.array([*starts, *[CROWDING_START] * crowding, MESSAGE_START, COPY_START])

    def parameters(x: np.ndarray) -> Parameters:
        steps, lost, (message, copy) = np.split(x * scale, [len(nets), len(nets) + crowding])
        shares = lost if crowding else np.zeros(len(nets))
        return Parameters(
            dict(zip(nets, steps.tolist(), strict=True)),
            dict(zip(nets, shares.tolist(), strict=True)),
            float(message),
            float(copy),
        )

    def residuals(x: np.ndarray) -> np.ndarray:
        now = parameters(x)
        return np.array([value for one in rounds for value in _residuals(one, now, cores, design)])

    most = np.full(len(scale), np.inf)
    most[len(nets) : len(nets) + crowding] = CROWDING_MOST / CROWDING_START
    found = least_squares(residuals, np.ones(len(scale)), bounds=(0.0, most), diff_step=1e-4)
    return parameters(found.x)


def _residuals(one: Observed, now: Parameters, cores: int, design: Design) -> Iterator[float]:
    simulated, measured = twin(one.configuration, now, cores, design).causes, one.causes
    for group in (("compute",), ("transfer", "waiting"), ("merge",)):
        yield sum(simulated[cause] - measured[cause] for cause in group) / one.seconds


def _step_start(rounds: Sequence[Observed], net: str, cores: int) -> float:
    """A first guess: as if all devices had trained all the time."""
    own = [one for one in rounds if one.configuration.net.name == net]
    devices = range(len(list(own[0].configuration.parents())))
    steps = [sum(map(one.configuration.steps_of, devices)) for one in own]
    return median(one.causes["compute"] * cores / of_one for one, of_one in zip(own, steps, strict=True))
