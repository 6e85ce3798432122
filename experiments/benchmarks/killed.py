"""Twenty runs killed with SIGKILL at random moments, some again while they are resumed: how many end otherwise.

The study mixes modalities, tasks, numbers of batches and optimizers, and is saved after every round. What has to be the
same is one hash of all tables, one of all final weights, and the number of client updates.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments.benchmarks._mixing import mixing

GOALS = {"different": 0.0}

KILLS, SEED = 20, 4
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # threads survive no fork


def killed(scenario: dict[str, Any], kills: int, seed: int) -> dict[str, int]:
    """How many runs were killed, how many of them again, and how many in the end were the same as one left alone."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "scenario.json").write_text(json.dumps(scenario))
        words = [str(place / "scenario.json"), str(place / "runs"), str(kills), str(seed)]
        command = [sys.executable, "-m", "experiments.benchmarks._killing", *words]
        done = subprocess.run(command, env=os.environ | ALONE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def figures() -> dict[str, float]:
    """The counts."""
    found = killed(mixing(checkpoints={"seconds": 0}), KILLS, SEED)
    return {**found, "different": float(KILLS - found["same"])}
