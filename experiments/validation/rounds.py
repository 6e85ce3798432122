"""Rounds through `simulate` itself: stragglers of random speed under its barrier and its `FirstOf`, and its retries."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from zlib import crc32

import numpy as np

from experiments.validation.check import Check, Row, likely
from experiments.validation.estimates import SEED, independent
from experiments.validation.stored import Case, closed_forms
from simulator.costs import Costs
from simulator.interfaces import Activity, Work
from simulator.plan import FirstOf, Plan, Stage, TierPlan, Wait, barrier
from simulator.records import Log
from simulator.run import simulate
from simulator.workloads import CostOnly, Size
from topologies.hierarchy import Hierarchy
from topologies.profiles import DeviceProfile, LinkProfile
from topologies.radio import Channel, Shannon
from topologies.radio.decibels import decibels

TRAININGS, LEAST = 8_000, 20  # in each row: rounds times devices, and rounds at least
RETRIED = 5_000  # reports over the fading link
Seconds = Callable[[np.random.Generator], float]
UNIT = DeviceProfile(
    name="one FLOP a second", kind="device", flops_per_s=1.0, utilisation=1.0, cores=1, memory_bytes=1e9,
    memory_bytes_per_s=1e9, idle_watts=0.0, busy_watts=0.0,
)  # fmt: skip
WIRE = LinkProfile(name="wire", kind="wire", up_bits_per_s=1.0, down_bits_per_s=1.0)


@dataclass(slots=True)
class RandomWork(CostOnly):
    """A workload whose trainings take *seconds*, drawn anew for each, on a device of one FLOP a second.

    Anew each time that it is asked, not once for each step: a training that was cut off keeps its step, so a slow
    device would stay slow, and rounds would depend on each other.
    """

    seconds: Seconds = lambda rng: 1.0
    asked: Counter[str] = field(default_factory=Counter)

    def work(self, node: str, activity: Activity, step: int, modules: Sequence[str] = (), count: int = 1) -> Work:
        """The FLOPs of a training; nothing else takes any."""
        if activity != "train":
            return Work(0.0)
        self.asked[node] += 1
        return Work(self.seconds(np.random.default_rng([SEED, crc32(b"work"), crc32(node.encode()), self.asked[node]])))


def star(nodes: int) -> Hierarchy:
    """Devices around a cloud that costs nothing."""
    tree = Hierarchy("cloud", "cloud")
    for number in range(nodes):
        tree.add(f"device{number}", "cloud", "device", UNIT, WIRE)
    return tree


def round_seconds(tree: Hierarchy, wait: Wait, rounds: int, seconds: Seconds, nbytes: int = 0) -> list[float]:
    """How long each round of a star takes whose devices train for random *seconds* and report so many bytes."""
    workload = RandomWork({"m": Size(nbytes, 1.0)}, seconds=seconds)
    stage = Stage("federate", Plan(cloud=TierPlan(("m",), rounds, wait)), trainable=("m",))
    ends = [0.0] * (rounds + 1)

    def ended(round_: int, log: Log) -> None:
        ends[round_] = log.spans[-1].end_s  # of the last to arrive, or of whom that arrival cut off

    simulate(tree, workload, [stage], costs=Costs(downlink=False), final_broadcast=False, on_round=ended)
    return np.diff(ends).tolist()


def stragglers(case: Case) -> list[Row]:
    """Mean round under a barrier and under the first k of n, whose others are interrupted."""
    params, values, nodes = case.params, case.values, case.params["n"]
    if "rate" in params:
        draw = partial(_shifted, params["shift"], 1 / params["rate"])
        waits = {nodes: values["E_max"], values["k80"]: values["E_kth_80pct"]}
    else:
        draw = partial(_uniform, params["lo"], params["hi"])
        waits = dict(zip((1, nodes // 2, nodes), values["E_kth"], strict=True))
    rows, rounds = [], max(LEAST, math.ceil(TRAININGS / nodes))
    for k, exact in waits.items():
        took = round_seconds(star(nodes), barrier if k == nodes else FirstOf(k), rounds, draw)
        rows.append(likely(f"{case.title}: {'all' if k == nodes else f'first {k}'}", exact, independent(took)))
    return rows


def retries(case: Case) -> list[Row]:
    """Reports over Rayleigh fading, that begin anew in the next block as long as they meet an outage.

    A round is a training of one block and a report that takes no time once it gets through: in all, as many blocks as
    attempts.
    """
    block, tree = case.params["slot"], star(1)
    mean_snr = 1.0 / -math.log1p(-case.params["p_outage"])  # so that it is below 1, the lowest that carries, so often
    tree.graph.edges["cloud", "device0"]["channel"] = Channel(
        up_snr_db=decibels(mean_snr), down_snr_db=0.0, rates=Shannon(1e12, lowest_db=0.0), k=0.0, over="outage",
        retry_seconds=block,
    )  # fmt: skip
    took = round_seconds(tree, barrier, RETRIED, lambda rng: block, nbytes=1)
    return [likely(f"{case.title}: mean time", case.values["E_time"], independent(took))]


def _shifted(shift: float, mean: float, rng: np.random.Generator) -> float:
    return shift + float(rng.exponential(mean))


def _uniform(low: float, high: float, rng: np.random.Generator) -> float:
    return float(rng.uniform(low, high))


def checks() -> list[Check]:
    """One check a stored case."""
    cases = closed_forms("sync_barrier_shifted_exp", "sync_barrier_uniform")
    waiting = [Check(case.title, partial(stragglers, case)) for case in cases]
    return [*waiting, *(Check(case.title, partial(retries, case)) for case in closed_forms("retry_until_success"))]
