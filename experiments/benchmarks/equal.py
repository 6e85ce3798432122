"""One study under every engine, with 1, 2 and 4 workers and 1, 7 and all clients stacked: one hash of all it leaves.

The hash is over every table and every node's final weights. Engines: this process, loky's processes, a local Dask
cluster. The study (`_mixing`) mixes modalities, tasks, numbers of batches and optimizers.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments.benchmarks._mixing import mixing, tables_hash, weights_hash
from experiments.run import run
from experiments.scenario import Scenario

GOALS = {"hashes": 1}

WORKERS, CHUNKS, ALL = (1, 2, 4), (1, 7, None), 1000


def engines() -> list[dict[str, Any]]:
    """Every engine there is, with every number of workers and every size of a stack, and the one that chooses."""
    kinds: list[dict[str, Any]] = [{"kind": "inline"}]
    kinds += [
        {"kind": "joblib", "backend": backend, "workers": workers}
        for backend in ("loky", "dask")
        for workers in WORKERS
    ]
    return [{"kind": "auto"}, *({**kind, "chunk": chunk or ALL} for kind in kinds for chunk in CHUNKS)]


def hash_of(engine: dict[str, Any]) -> str:
    """Of the tables and weights that the study leaves when this engine computes it."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        result = run(Scenario.model_validate(mixing(engine=engine)), out)
        return tables_hash(out) + weights_hash(result.states)


def figures() -> dict[str, float]:
    """How many runs there were, and how many different hashes they left."""
    found = [hash_of(engine) for engine in engines()]
    return {"runs": len(found), "hashes": len(set(found))}
