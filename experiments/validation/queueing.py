"""Open queues beside their closed forms: means within four standard errors, and every single customer at 1e-9.

A queue near saturation, or with sizes of a heavy tail, forgets slowly, and the spread of batch means understates its
error. Those are run as independent replications that each start in equilibrium: no warm-up, honest standard errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from experiments.validation.check import Check, Row, likely, near
from experiments.validation.estimates import Floats, batched, independent, stream
from experiments.validation.paths import equilibrium, first_come_first_served, processor_sharing
from experiments.validation.queues import Server, sojourns
from experiments.validation.sizes import (
    DETERMINISTIC,
    ERLANG2,
    EXPONENTIAL,
    LARGE,
    LOGNORMAL4,
    SHARES,
    SMALL,
    THREE_SIZES,
    Sizes,
)
from experiments.validation.stored import Case, closed_forms

Truths = NDArray[np.bool_]
REPLICATIONS, CUSTOMERS = 200, 200
COUNT, WARM_UP = 40_000, 2_000
SERVICES = {"erlang-2 mean 1": ERLANG2, "lognormal mean 1 scv 4": LOGNORMAL4}


@dataclass(frozen=True, slots=True)
class Replications:
    """Sizes and sojourns, replications by customers, and the seconds that one is off its recursion at most."""

    title: str
    sizes: Floats
    stays: Floats
    off: float

    def mean(self, what: str, exact: float, values: Floats | Truths) -> Row:
        """The row of a mean over customers, which are independent from replication to replication only."""
        return likely(f"{self.title}: {what}", exact, independent(values.mean(axis=1)))

    def path(self) -> Row:
        """The row of all single customers, in seconds where a service takes 1 s on average."""
        return near(f"{self.title}: each of {self.stays.size:,} sojourns by recursion", 0.0, self.off, 1e-9, "s")


def replicate(title: str, rate: float, sizes: Sizes, cores: int, slots: int | None, count: int) -> Replications:
    """Poisson arrivals to *cores* servers of rate 1, of *count* independent beginnings in equilibrium."""
    rng, server, kept, off = stream(title), Server(float(cores), 1.0, slots), [], 0.0
    for _ in range(count):
        there = equilibrium(rng, rate, cores, sizes)
        # The first to come finds equilibrium, as every arrival does (Wolff, 1982). After the last that is looked at
        # others come, to share with it.
        gaps = np.r_[np.zeros(len(there) + 1), rng.exponential(1 / rate, 3 * CUSTOMERS)]
        brought = np.r_[there, sizes.draw(rng, 3 * CUSTOMERS + 1)]
        wanted = len(there) + CUSTOMERS
        stays = sojourns(gaps, [brought], [server], wanted=wanted)[:, 0]
        if slots:
            path = first_come_first_served(gaps, brought, cores)
        else:
            path = processor_sharing(gaps, brought, float(cores), 1.0)
        off = max(off, float(np.abs(stays - path[:wanted]).max()))
        kept.append((brought[len(there) : wanted], stays[len(there) :]))
    return Replications(title, np.array([it[0] for it in kept]), np.array([it[1] for it in kept]), off)


def first_come(case: Case) -> list[Row]:
    """M/M/1, M/M/c, M/D/1 and M/G/1: mean sojourn, and where a formula is stored, how many wait or stay long."""
    rate, servers, values = case.params["lam"], case.params.get("c", 1), case.values
    sizes = SERVICES.get(case.params.get("service", ""), DETERMINISTIC if case.name == "MD1" else EXPONENTIAL)
    run = replicate(case.title, rate, sizes, servers, servers, REPLICATIONS * (2 if values["rho"] > 0.9 else 1))
    rows = [run.mean("W", values["W"], run.stays)]
    if "P_W_gt_2" in values:
        rows.append(run.mean("P(W > 2)", values["P_W_gt_2"], run.stays > 2))
    if "P_wait" in values:
        rows.append(run.mean("P(wait)", values["P_wait"], run.stays > run.sizes + 1e-9))
    return [*rows, run.path()]


def shared(case: Case) -> list[Row]:
    """M/G/1-PS and M/G/c-PS: the mean sojourn is that of any distribution of sizes; x / (1 - rho) for a size x."""
    rate, cores, rows = case.params["lam"], case.params.get("cores", 1), []
    for sizes in (DETERMINISTIC, THREE_SIZES, LOGNORMAL4) if cores == 1 else (DETERMINISTIC, LOGNORMAL4):
        title = f"{case.name} (lam {rate}, cores {cores}, {sizes.name})"
        run = replicate(title, rate, sizes, cores, None, REPLICATIONS)
        rows.append(run.mean("W", case.values["W"], run.stays))
        if sizes is THREE_SIZES and "W_given_size_3" in case.values:
            for size, share, key in ((SMALL, SHARES[0], "W_given_size_0_1"), (LARGE, SHARES[2], "W_given_size_3")):
                rows.append(run.mean(f"W of size {size:g}", case.values[key], run.stays * (run.sizes == size) / share))
        rows.append(run.path())
    return rows


def tandem(case: Case) -> list[Row]:
    """Mean sojourn at each of three queues in series, first come first served, and in all."""
    rate, speeds, values = case.params["lam"], case.params["mus"], case.values
    title, rng = f"{case.name} (lam {rate}, mu {', '.join(map(str, speeds))})", stream(case.name)
    gaps, sizes = rng.exponential(1 / rate, COUNT), [EXPONENTIAL.draw(rng, COUNT) for _ in speeds]
    stays = sojourns(gaps, sizes, [Server(speed, slots=1) for speed in speeds])[WARM_UP:]
    rows = [
        likely(f"{title}: W at queue {k + 1}", exact, batched(stays[:, k])) for k, exact in enumerate(values["W_each"])
    ]
    return [*rows, likely(f"{title}: W in all", values["W_total"], batched(stays.sum(axis=1)))]


def weighted(weights: tuple[float, float]) -> list[Row]:
    """Two classes of one exponential size that share a server by weight (Fayolle, Mitrani and Iasnogorodski, 1980).

    With loads r1 and r2, W1 = (1 + r2 (w2 - w1) / D) / (1 - r1 - r2) where D = w1 (1 - r1) + w2 (1 - r2), and W2 with
    1 and 2 exchanged. A weight of 0 leaves its class what the other does not use: pre-emptive priority.
    """
    loads, title = (0.3, 0.4), f"M/M/1-PS by weight (lam 0.3 and 0.4, weights {weights[0]:g} and {weights[1]:g})"
    rng, total = stream(title), sum(loads)
    gaps, sizes = rng.exponential(1 / total, COUNT), EXPONENTIAL.draw(rng, COUNT)
    second = rng.random(COUNT) < loads[1] / total
    stays = sojourns(gaps, [sizes], [Server()], weights=np.where(second, *weights[::-1]))[WARM_UP:, 0]
    divisor = weights[0] * (1 - loads[0]) + weights[1] * (1 - loads[1])
    rows = []
    for k, chosen in enumerate((~second[WARM_UP:], second[WARM_UP:])):
        gain = loads[1 - k] * (weights[1 - k] - weights[k]) / divisor
        rows.append(likely(f"{title}: W of class {k + 1}", (1 + gain) / (1 - total), batched(stays[chosen])))
    return rows


RUNNERS: dict[str, Callable[[Case], Sequence[Row]]] = {
    **dict.fromkeys(("MM1", "MMc", "MD1", "MG1_FCFS"), first_come),
    **dict.fromkeys(("MG1_PS", "MGc_PS_multicore"), shared),
    "tandem_MM1": tandem,
}


def checks() -> list[Check]:
    """One check a stored case, and two for weights."""
    stored = [Check(case.title, partial(RUNNERS[case.name], case)) for case in closed_forms(*RUNNERS)]
    by_weight = [Check(f"weights {w[0]:g} and {w[1]:g}", partial(weighted, w)) for w in ((3.0, 1.0), (1.0, 0.0))]
    return [*stored, *by_weight]
