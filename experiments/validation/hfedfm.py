"""The rounds of H-FedFM without D2D, simulated as scenarios, beside the figures of its public prototype.

Forty users, ten edges, one cloud. In a cycle the users report E times to their edge, then every edge once to the cloud;
the prototype tells seconds and joules of a cycle divided by E. It counts neither computing nor anything that goes down,
and charges the sender alone, latency included. In its star the users report to the cloud over links like the edges'.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from experiments.run import run
from experiments.scenario import Scenario
from experiments.validation.check import Check, Row, close
from experiments.validation.stored import read
from topologies.files import write_json
from topologies.hierarchy import Hierarchy
from topologies.profiles import DeviceProfile, LinkProfile

SWITCHES: dict[str, Any] = {
    "compute": False,
    "downlink": False,
    "receive": False,
    "idle": False,
    "latency_power": "transmit",
}
MACHINE = DeviceProfile(
    name="machine", kind="device", flops_per_s=1e9, utilisation=1.0, cores=1, memory_bytes=1e9, memory_bytes_per_s=1e9,
    idle_watts=1.0, busy_watts=10.0,
)  # fmt: skip


def topology(star: bool) -> Hierarchy:
    """The users on the edges that they have in the prototype, or all on the cloud."""
    figures, tree = read("hfedfm"), Hierarchy("cloud", "cloud", MACHINE)
    up = _link("to the cloud", figures["cloud_bits_per_s"], figures["cloud_watts"], figures["cloud_latency_seconds"])
    for user in figures["users"]:
        name, edge = f"user{user['id']}", f"edge{user['edge']}"
        if star:
            tree.add(name, "cloud", "device", MACHINE, up)
            continue
        if edge not in tree:
            tree.add(edge, "cloud", "edge", MACHINE, up)
        tree.add(name, edge, "device", MACHINE, _link(f"of {name}", user["bits_per_s"], figures["user_watts"], 0.0))
    return tree


def _link(name: str, bits_per_s: float, watts: float, latency_seconds: float) -> LinkProfile:
    """Each station's own: the prototype's links share nothing."""
    return LinkProfile(
        name=name, kind="radio", up_bits_per_s=bits_per_s, down_bits_per_s=bits_per_s, latency_seconds=latency_seconds,
        transmit_watts=watts, receive_watts=watts,
    )  # fmt: skip


def scenario(row: dict[str, Any], folder: Path) -> Scenario:
    """One cycle of a row, on a topology file in *folder*; training would take FLOPs if computing counted."""
    star, path = row["row"] == "star", folder / "topology.json"
    write_json(topology(star), path)
    plan = {"cloud": {"modules": ["model"]}}
    if not star:
        plan["edge"] = {"modules": ["model"], "rounds": row["rounds"]}
    return Scenario.model_validate({
        "title": f"H-FedFM, {row['row']}",
        "topology": {"kind": "file", "file": str(path)},
        "model": {"footprint": {"model": {"bytes": read("hfedfm")["model_bytes"], "flops": 1e9}}},
        "plan": plan,
        "costs": SWITCHES,
        "final_broadcast": False,
        "plots": False,
    })  # fmt: skip


def rows(row: dict[str, Any]) -> list[Row]:
    """Seconds and joules per round of the edge, from one simulated cycle."""
    with tempfile.TemporaryDirectory() as folder:
        figures = run(scenario(row, Path(folder))).manifest
    title = "star" if row["row"] == "star" else f"H-FedFM, E = {row['rounds']}"
    return [
        close(f"{title}: seconds a round", row["seconds"], figures["sim_seconds"] / row["rounds"]),
        close(f"{title}: joules a round", row["joules"], figures["joules"] / row["rounds"]),
    ]


def checks() -> list[Check]:
    """One check a row of the prototype's table."""
    return [Check(row["row"], partial(rows, row)) for row in read("hfedfm")["expected"]]
