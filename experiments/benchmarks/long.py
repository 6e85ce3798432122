"""A long run: 1,000 devices, costs only, into a run folder; the peak memory of 1,000 rounds beside that of 100.

Each run is a process of its own, and its peak is the most that it ever held, by the kernel's count.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

GOALS = {"memory_ratio": 1.2}

SHORT, LONG = 100, 1000
CLASSROOMS, DEVICES = 40, 25
SCENARIO = {
    "title": "A long run",
    "seed": 1,
    "topology": {"kind": "campus", "classrooms": CLASSROOMS, "devices": DEVICES},
    "model": {"footprint": {"adapter": {"bytes": 200_000, "flops": 8e9}, "head": {"bytes": 40_000, "flops": 1e9}}},
    "plan": {"classroom": {"modules": ["adapter", "head"]}, "campus": {"modules": ["adapter"]}},
    "plots": False,
}


def figures() -> dict[str, float]:
    """Peak bytes of both runs, and their ratio."""
    short, long = (_peak_bytes_apart(rounds) for rounds in (SHORT, LONG))
    return {"short_peak_bytes": short, "long_peak_bytes": long, "memory_ratio": round(long / short, 3)}


def peak_bytes(rounds: int) -> int:
    """Run so many rounds here; the most memory that this process ever held."""
    from experiments.run import run
    from experiments.scenario import Scenario

    plan = {**SCENARIO["plan"], "campus": {"modules": ["adapter"], "rounds": rounds}}  # type: ignore[dict-item]
    with tempfile.TemporaryDirectory() as folder:
        run(Scenario.model_validate({**SCENARIO, "plan": plan}), Path(folder) / "run")
    return peak_of_this_process()


def peak_of_this_process() -> int:
    """The most bytes that it ever held."""
    status = Path("/proc/self/status")
    if status.exists():  # where there is one, it starts at 0 with the program; ru_maxrss may hold its parent's peak
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _peak_bytes_apart(rounds: int) -> int:
    command = [sys.executable, "-m", __name__, str(rounds)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    print(peak_bytes(int(sys.argv[1])))
