"""A million: one round of 1,000,000 devices in 33,334 classrooms and 400 campuses, costs only, and of 10,000 beside it.

Every device has rates of its own, so that each completes at a time of its own; the devices of a classroom are a group,
and the run keeps a row per classroom. Each size runs in a process of its own, which reports its peak memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import numpy as np

from simulator import CostOnly, Plan, Size, Stage, TierPlan, simulate
from topologies import Hierarchy, device, link

GOALS = {"seconds": 60.0, "peak_gib": 4.0, "per_device_ratio": 2.0}

DEVICES, CLASSROOMS, CAMPUSES = 1_000_000, 33_334, 400
SMALL = 10_000
MODULES = ("encoder", "adapter", "head")
SIZES = {"encoder": Size(1_200_000, 6e9), "adapter": Size(80_000, 1e9), "head": Size(40_000, 1e8)}
KINDS = ("chromebook_n4500", "chromebook_n100", "android_tablet_budget", "laptop_i5u")
GOODPUTS = 0.65 * np.array([17.2, 34.4, 51.6, 68.8, 103.2, 137.6, 154.9, 172.1, 206.5, 229.4, 258.1, 286.8]) * 1e6


def tree_of(devices: int) -> Hierarchy:
    """So many devices in classrooms of 30, the last of fewer, spread evenly over the campuses; rates are drawn."""
    random = np.random.default_rng(7)
    classrooms = round(devices * CLASSROOMS / DEVICES)
    campuses = max(round(devices * CAMPUSES / DEVICES), 1)
    tree = Hierarchy("cloud", "cloud", "cloud_h100")
    for campus in range(campuses):
        tree.add(f"campus{campus}", "cloud", "campus", "campus_l4", "wan_cloud_near")
    edge, wire, wifi = device("classroom_edge_box"), link("campus_10g"), link("wifi6_40mhz_2x2")
    kinds = [device(name) for name in KINDS]
    for number, kind in enumerate(random.integers(len(kinds), size=classrooms)):
        room = f"campus{number % campuses}/room{number}"
        tree.add(room, f"campus{number % campuses}", "classroom", edge, wire)
        count = min(30, devices - 30 * number) if number < classrooms - 1 else devices - 30 * (classrooms - 1)
        tree.add_group(room, count, "device", kinds[kind], wifi, up_bits_per_s=random.choice(GOODPUTS, count),
                       down_bits_per_s=random.choice(GOODPUTS, count))  # fmt: skip
    return tree


def measure(devices: int) -> dict[str, float]:
    """Seconds of building and of one round, of the processor, and the peak of memory until then."""
    began = time.process_time()
    tree = tree_of(devices)
    built = time.process_time()
    plan = Plan({tier: TierPlan(MODULES) for tier in ("cloud", "campus", "classroom")})
    stage = Stage("federate", plan, trainable=MODULES)
    log = simulate(tree, CostOnly(SIZES), [stage], final_broadcast=False)
    ran = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    reports = sum(s.nbytes for s in log.spans if s.activity == "up" and s.kind == "transmit" and s.tier == "device")
    return {
        "devices": tree.population - len(tree),
        "reports": reports // sum(size.nbytes for size in SIZES.values()),
        "sim_seconds": log.end_s,
        "spans": len(log.spans),
        "build_seconds": built - began,
        "seconds": ran - built,
        "peak_bytes": peak,
    }


def figures() -> dict[str, float]:
    """Those of a million, the best of two, and how much dearer a device is there than among 10,000."""
    large = min((_alone(DEVICES) for _ in range(2)), key=lambda run: run["seconds"])
    small = min((_alone(SMALL) for _ in range(3)), key=lambda run: run["seconds"])
    return {
        "devices": large["devices"],
        "reports": large["reports"],
        "spans": large["spans"],
        "sim_seconds": round(large["sim_seconds"], 3),
        "build_seconds": round(large["build_seconds"], 2),
        "seconds": round(large["seconds"], 2),
        "peak_gib": round(large["peak_bytes"] / 2**30, 3),
        "microseconds_per_device": round(large["seconds"] / large["devices"] * 1e6, 2),
        "per_device_ratio": round(large["seconds"] / large["devices"] / (small["seconds"] / small["devices"]), 3),
    }


def _alone(devices: int) -> dict[str, float]:
    command = [sys.executable, "-m", __name__, str(devices)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
