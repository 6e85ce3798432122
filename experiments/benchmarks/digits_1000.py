"""1,000 devices on a star, 100 drawn for every round, beside the 100 of `digits_100`: time and memory of what is asked.

Memory is the most that a run ever holds, in a process of its own, with a perceptron so wide (0.6 MB) that nobody could
overlook 900 copies of it.
"""

from __future__ import annotations

import subprocess
import sys

from experiments.benchmarks import best_seconds
from experiments.benchmarks._digits import ROUNDS, SAMPLED, built, simulation
from experiments.benchmarks.long import peak_of_this_process

GOALS = {"update_ratio": 1.2, "memory_ratio": 1.2}

REGISTERED, WIDE = 1000, 2048


def figures() -> dict[str, float]:
    """Client updates per second among 1,000 and among 100, and the peaks of memory."""
    many, few = ([built(clients) for _ in range(3)] for clients in (REGISTERED, SAMPLED))
    seconds = best_seconds([lambda: simulation(few.pop()), lambda: simulation(many.pop())])
    small, large = (_peak_bytes_apart(clients) for clients in (SAMPLED, REGISTERED))
    return {
        "updates_per_s_of_100": round(SAMPLED * ROUNDS / seconds[0]),
        "updates_per_s_of_1000": round(SAMPLED * ROUNDS / seconds[1]),
        "update_ratio": round(seconds[1] / seconds[0], 3),
        "peak_bytes_of_100": small,
        "peak_bytes_of_1000": large,
        "memory_ratio": round(large / small, 3),
    }


def _peak_bytes_apart(clients: int) -> int:
    command = [sys.executable, "-m", __name__, str(clients)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    simulation(built(int(sys.argv[1]), WIDE))
    print(peak_of_this_process())
