"""The formulas of `topologies.radio` beside stored figures of the standards and of fading theory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any

from experiments.validation.check import Check, Row, close, near, worst
from experiments.validation.stored import Case, closed_forms, read
from topologies.radio import InH, PathLoss, UMa, UMi, losses
from topologies.radio.decibels import ratio
from topologies.radio.fading import (
    ergodic_capacity,
    mean_table_rate,
    outage_capacity,
    outage_probability,
    shadowing_outage,
)

LOSSES: dict[str, Callable[[float, float], float]] = {
    "InH_LOS": losses.inh_los_db,
    "InH_NLOS": losses.inh_nlos_db,
    "TGax_enterprise_0walls": losses.tgax_db,
    "UMi_LOS": losses.umi_los_db,
    "UMa_LOS": losses.uma_los_db,
}
SIGHT: dict[str, PathLoss] = {"InH_mixed": InH("mixed"), "InH_open": InH("open"), "UMi": UMi(), "UMa_hut_le_13": UMa()}


def path_loss(model: str) -> list[Row]:
    """The spot of a model that is most off, in dB."""
    spots = [spot for spot in read("closed_forms")["pathloss_spots"] if spot["model"] == model]
    title, loss = f"path loss {model}: the worst of {len(spots)} spots", LOSSES[model]
    pairs = [(spot["dB"], loss(spot.get("d_m", spot.get("d2d_m")), spot["f_ghz"] * 1e9)) for spot in spots]
    return [worst(near(title, *pair, 1e-9, "dB") for pair in pairs)]


def sight(model: str) -> list[Row]:
    """The distance at which the probability of line of sight is most off."""
    spots = read("closed_forms")["los_probability"]
    title = f"line of sight {model}: the worst of {len(spots)} distances"
    return [worst(close(title, spot[model], SIGHT[model].sight_probability(spot["d_m"])) for spot in spots)]


def rayleigh(case: Case) -> list[Row]:
    """Capacities and outage of Rayleigh fading, and the capacity without fading."""
    mean = ratio(case.params["mean_snr_db"])
    return _rows(case, {
        "ergodic_bps_hz": ergodic_capacity(mean),
        "ergodic_capped_bps_hz": ergodic_capacity(mean, cap=case.params["cap_bps_hz"]),
        "awgn_bps_hz": ergodic_capacity(mean, k=inf),
        "outage_at_0dB": outage_probability(1.0, mean),
        "eps_outage_capacity_10pct": outage_capacity(0.1, mean),
    })  # fmt: skip


def rician(case: Case) -> list[Row]:
    """Capacity and outage of Rician fading."""
    mean, k = ratio(case.params["mean_snr_db"]), ratio(case.params["K_db"])
    return _rows(case, {"ergodic_bps_hz": ergodic_capacity(mean, k), "outage_at_0dB": outage_probability(1.0, mean, k)})


def table(case: Case) -> list[Row]:
    """The mean rate of an MCS table under Rayleigh fading, and how often none of it can be used."""
    thresholds, mean = [ratio(snr) for snr in case.params["thresholds_db"]], ratio(case.params["mean_snr_db"])
    return _rows(case, {
        "mean_rate_mbps": mean_table_rate(thresholds, case.params["rates_mbps"], mean),
        "p_no_service": outage_probability(thresholds[0], mean),
    })  # fmt: skip


def shadowing(case: Case) -> list[Row]:
    """How often log-normal shadowing eats a margin."""
    return _rows(case, {"p_outage": shadowing_outage(case.params["margin_db"], case.params["sigma_db"])})


def _rows(case: Case, got: dict[str, Any]) -> list[Row]:
    return [close(f"{case.title}: {key}", case.values[key], value) for key, value in got.items()]


RUNNERS: dict[str, Callable[[Case], Sequence[Row]]] = {
    "rayleigh_capacity": rayleigh,
    "rician_capacity": rician,
    "mcs_table_over_rayleigh": table,
    "shadowing_outage": shadowing,
}


def checks() -> list[Check]:
    """One check a model of path loss or sight, and one a stored case."""
    models = [Check(f"path loss {model}", partial(path_loss, model)) for model in LOSSES]
    models += [Check(f"line of sight {model}", partial(sight, model)) for model in SIGHT]
    return [*models, *(Check(case.title, partial(RUNNERS[case.name], case)) for case in closed_forms(*RUNNERS))]
