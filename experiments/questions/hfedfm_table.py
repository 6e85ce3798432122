"""What do seconds and joules of H-FedFM's table become when they are counted in full?

The seven rows of the public prototype, simulated from its placement and channel: first with its own conventions, where
they are its own figures, then with each convention set right alone, and with all of them. Every convention is one
line of ``experiments/scenarios/hfedfm.yaml``. Figures are per round of the edges: those of a cycle over its rounds.

``--heads 1,5,11,...`` gives the relays' heads, one user of each cluster; without it they are drawn anew every round.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from experiments.build import build
from experiments.ledger import total_joules
from experiments.questions.asking import keep, options_of, show
from experiments.scenario import Scenario, ScenarioError
from experiments.simulation import simulated
from simulator.records import Log

SCENARIO = Path(__file__).parents[1] / "scenarios" / "hfedfm.yaml"
D2D = {"plan.edge.every": "{model: ROUNDS}", "plan.edge.peers": "{kind: relay, head: HEAD, broadcast: between}"}
D2D |= {"topology.uplinks": "cluster_mean"}
FREE = {"topology.cloud_power": "0 W"}  # the prototype drops this energy from the rows that never reach the cloud
ROWS: Mapping[str, tuple[int, Mapping[str, str]]] = {  # rounds of the edges in a cycle, and lines of the scenario
    "star": (1, {"topology.star": "true", "plan": "{cloud: {modules: [model]}}"}),
    "edge_only": (200, FREE),
    "edge_only_d2d": (200, FREE | D2D),
    "hfedfm_2": (2, {}),
    "hfedfm_8": (8, {}),
    "hfedfm_d2d_2": (2, D2D),
    "hfedfm_d2d_8": (8, D2D),
}
PROTOTYPE = "as the prototype counts"
IN_FULL: Mapping[str, Mapping[str, str]] = {
    "a head's own uplink": {"topology.uplinks": "own"},
    "local training counts": {"costs.compute": "true"},
    "what comes down counts": {"costs.downlink": "true"},
    "receivers draw power": {"costs.receive": "true"},
    "half duplex": {"costs.half_duplex": "true", "costs.queueing": "true"},
    "one cloud link for all": {"topology.cloud_link": "shared"},
    "noise per Hz": {"topology.noise": "per_hz"},
    "fading of mean one": {"topology.fading": "mean_one"},
}


def scenario(row: str, heads: Sequence[str], counted: Mapping[str, str]) -> Scenario:
    """A row of the table, some of its conventions set right."""
    rounds, lines = ROWS[row]
    head = f"{{given: [{', '.join(heads)}]}}" if heads else "random"
    own = {key: text.replace("ROUNDS", str(rounds)).replace("HEAD", head) for key, text in lines.items()}
    if row != "star":
        own["plan.edge.rounds"] = str(rounds)
    return Scenario.load(SCENARIO, own | dict(counted))


def figures(row: str, heads: Sequence[str], counted: Mapping[str, str]) -> dict[str, float]:
    """Seconds and joules of one round of the edges, from one simulated cycle."""
    built, log = build(scenario(row, heads, counted)), Log()
    joules, rounds = total_joules(simulated(built, log)), ROWS[row][0]
    return {"latency_s": log.end_s / rounds, "energy_j": joules / rounds}


def table(heads: Sequence[str], counted: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """All rows."""
    return {row: figures(row, heads, counted) for row in ROWS}


@cache
def prototypes(heads: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """All rows as the prototype counts."""
    return table(heads, {})


def accountings(heads: tuple[str, ...]) -> dict[str, dict[str, dict[str, float]]]:
    """The prototype's table, that with each convention set right alone, and with all."""
    every = {key: value for lines in IN_FULL.values() for key, value in lines.items()}
    cases = {**IN_FULL, "all of these": every}
    return {PROTOTYPE: prototypes(heads)} | {name: table(heads, lines) for name, lines in cases.items()}


def main() -> None:
    """Print the tables; with ``--json`` the prototype's alone."""
    parser = options_of("What do seconds and joules of H-FedFM's table become when they are counted in full?")
    parser.add_argument("--heads", type=_heads, default=(), metavar="1,5,...", help="one user of each cluster")
    options = parser.parse_args()
    try:
        if options.json or options.quick:
            shown = {PROTOTYPE: prototypes(options.heads)}
            keep(shown[PROTOTYPE], options)
        else:
            shown = accountings(options.heads)
            keep(shown, options)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    if not options.json:
        for key, title in (("latency_s", "seconds a round"), ("energy_j", "joules a round")):
            show(title, [{"": name} | {r: figures[key] for r, figures in rows.items()} for name, rows in shown.items()])


def _heads(text: str) -> tuple[str, ...]:
    numbers = text.split(",")
    if not all(number.strip().isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"expected numbers of users such as 1,5,11, got {text!r}")
    return tuple(f"user{int(number)}" for number in numbers)


if __name__ == "__main__":
    main()
