"""What do the energy and latency figures of the embodied-AI prototype become when they are counted in full?

H-FedFM's sibling (M3T-FFM-EmbodiedAI): ten clusters of five robots, placement and channel from its seed, 18 s of local
training at 125 W, radios of 100 W, servers' links of 400 W; one round. Rows: learning alone; clusters that report to
their servers (ffm); relays to a head (relay, heads drawn with the seed of the scenario).

All seconds are simulated. In ffm the prototype adds up the users of a cluster, as if one worked after the other: here
an edge asks one user at a time. The relays' energy cannot be simulated as the prototype counts it: it has the computing
of one user of a cluster in place of five, and as much time again at a radio's watts. That figure is arithmetic on the
simulated joules, and its row says so. Joules are in thousands, as in the prototype's plots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.build import build
from experiments.ledger import total_joules
from experiments.questions.asking import Row, ask
from experiments.questions.hfedfm_table import SCENARIO
from experiments.scenario import Scenario
from experiments.simulation import simulated
from simulator.records import Log

QUESTION = "What do the embodied-AI prototype's figures become when they are counted in full?"
USERS, CLUSTERS = 5, 10
COMPUTE_SECONDS, COMPUTE_WATTS, RADIO_WATTS = 18.0, 125.0, 100.0
LINES: Mapping[str, str] = {
    "topology.users": str(USERS),
    "topology.within": "800 m",
    "topology.one_generator": "true",
    "topology.user_power": f"{RADIO_WATTS} W",
    "topology.d2d_power": f"{RADIO_WATTS} W",
    "topology.cloud_power": "400 W",
    "topology.device": "robot",
    "profiles.devices": "{robot: {based_on: laptop_i5u, flops_per_s: 1.0e+12, utilisation: 1.0, launch_seconds: 0.0}}",
    "model.footprint.model.flops": f"{COMPUTE_SECONDS} TFLOP",
    "model.footprint.model.merge": "0 FLOP",
    "costs.compute": "true",
    "costs.power": "{kind: cubic, kappa: 1.0e-27, clock: 5 GHz}",  # alpha / 2 f^3 = 125 W
}
NOTHING_TRAVELS = "{edge: {modules: [model], every: {model: 2}}, cloud: {modules: [model], every: {model: 2}}}"
ROWS: Mapping[str, Mapping[str, str]] = {
    "local": {"plan": NOTHING_TRAVELS},
    "ffm, one user after the other": {"plan.edge.rounds": str(USERS), "plan.edge.select": "{fair: 1}"},
    "ffm, all at once": {"plan.edge.rounds": "1"},
    "relay": {
        "plan.edge.rounds": "1",
        "plan.edge.peers": "{kind: relay, head: random, broadcast: never}",
        "topology.uplinks": "cluster_mean",
    },
}


def figures(row: str, seed: int = 0) -> dict[str, float]:
    """Seconds and thousands of joules of one round."""
    built, log = build(Scenario.load(SCENARIO, {**LINES, **ROWS[row]}, seed)), Log()
    joules = total_joules(simulated(built, log))
    return {"clock s": log.end_s, "energy kJ": joules / 1000}


def as_the_prototype(relay: Mapping[str, float]) -> float:
    """Thousands of joules of the relays with the computing of one user a cluster, and as long at a radio's watts."""
    left_out = CLUSTERS * (USERS - 1) * COMPUTE_WATTS * COMPUTE_SECONDS
    added = CLUSTERS * RADIO_WATTS * COMPUTE_SECONDS
    return relay["energy kJ"] + (added - left_out) / 1000


def answer(quick: bool) -> Sequence[Row]:
    """A row per way of counting."""
    rows: list[Row] = [{"row": row, "counted": "simulated", **figures(row)} for row in ROWS]
    relay = figures("relay")
    mixed = {"clock s": relay["clock s"], "energy kJ": as_the_prototype(relay)}
    return [*rows, {"row": "relay, as the prototype counts", "counted": "arithmetic on simulated joules", **mixed}]


if __name__ == "__main__":
    ask(QUESTION, answer)
