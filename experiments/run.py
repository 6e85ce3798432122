"""Run a scenario: simulate, score the baselines, write the run folder, draw the plots."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.build import Built, build
from experiments.ledger import node_rows, total_joules
from experiments.scenario import Problem, Scenario, ScenarioError
from experiments.store import Store
from simulator.records import Log
from simulator.run import simulate
from simulator.workloads import CostOnly

if TYPE_CHECKING:
    import pandas as pd

Watch = Callable[[Built, int, Log, str], None]  # what runs, the root's round, what happened so far, the phase
PACKAGES = ("edufog", "simpy", "networkx", "torch", "numpy", "scikit-learn")


@dataclass
class Result:
    """What a run left: its log, a row per node, and what the run was."""

    built: Built
    log: Log
    node_rows: list[dict[str, Any]]
    footprint: list[dict[str, Any]]
    manifest: dict[str, Any]
    folder: Path | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def scenario(self) -> Scenario:
        """What was run, as resolved."""
        return self.built.scenario

    @property
    def spans(self) -> pd.DataFrame:
        """Every activity: one row per node and span."""
        return self.log.frame("spans")

    @property
    def metrics(self) -> pd.DataFrame:
        """Every figure of every model that was scored."""
        return self.log.frame("metrics")

    @property
    def nodes(self) -> pd.DataFrame:
        """One row per node, with its energy by cause."""
        import pandas as pd

        return pd.DataFrame(self.node_rows)


def run(scenario: Scenario, out: Path | None = None, watch: Watch = lambda built, round_, log, phase: None) -> Result:
    """Run *scenario*; with *out*, leave a run folder there. *watch* is called after every round and before every phase.

    Raises ScenarioError where the scenario does not fit its data, or the folder cannot take a run.
    """
    began, started = time.perf_counter(), datetime.now(UTC)
    built = build(scenario)
    try:
        store = None if out is None else Store(out)
    except ValueError as error:
        raise ScenarioError([Problem("", "", str(error))]) from error
    manifest, log = _manifest(built.scenario, started), Log()
    if store:
        store.text("scenario.yaml", built.scenario.to_yaml())
        store.manifest(manifest)
    try:
        result = _run(built, store, manifest, log, watch, began)
    except BaseException:
        if store:
            store.rows(log)
            ended = datetime.now(UTC).isoformat(timespec="seconds")
            store.manifest(manifest | {"status": "failed", "ended": ended})
        raise
    if store:
        result.manifest["wall_seconds"] = time.perf_counter() - began
        store.manifest(result.manifest)
    return result


def _run(
    built: Built, store: Store | None, manifest: dict[str, Any], log: Log, watch: Watch, began: float
) -> Result:
    def on_round(round_: int, log: Log) -> None:
        if store:
            store.spans(log)
        watch(built, round_, log, "rounds")

    if built.learner:
        import torch

        torch.set_num_threads(1)  # two are many times slower on small steps
    scenario, notes = built.scenario, list[str]()
    simulate(
        built.hierarchy,
        built.workload,
        built.stages,
        log=log,
        evaluate=built.evaluate,
        final_broadcast=scenario.final_broadcast,
        on_round=on_round,
    )
    rounds = max((span.round for span in log.spans), default=0)
    if scenario.baselines:
        from experiments.baselines import add_baselines

        watch(built, rounds, log, "baselines")
        notes = add_baselines(built, log)
    rows = node_rows(built.hierarchy, log)
    manifest |= _figures(built, log, rows, began)
    result = Result(built, log, rows, _footprint(built), manifest, store.folder if store else None, notes)
    if store:
        store.tables(log, rows, result.footprint)
        store.manifest(manifest)
        if scenario.plots:
            from experiments.plots import draw

            watch(built, rounds, log, "plots")
            draw(store.folder)
    return result


def _manifest(scenario: Scenario, started: datetime) -> dict[str, Any]:
    text = scenario.to_yaml()
    return {
        "status": "running",
        "title": scenario.title,
        "seed": scenario.seed,
        "scenario_hash": sha256(text.encode()).hexdigest(),
        "git": _git(),
        "versions": {name: _version(name) for name in PACKAGES} | {"python": sys.version.split()[0]},
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": started.isoformat(timespec="seconds"),
    }


def _figures(built: Built, log: Log, rows: list[dict[str, Any]], began: float) -> dict[str, Any]:
    learner = built.learner
    return {
        "status": "done",
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": time.perf_counter() - began,
        "learning_wall_seconds": learner.seconds if learner else 0.0,
        "client_updates": learner.updates if learner else 0,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "sim_seconds": log.end_s,
        "joules": total_joules(rows),
        "events": len(log.happenings),
    }


def _footprint(built: Built) -> list[dict[str, Any]]:
    if isinstance(built.workload, CostOnly):
        sizes = built.workload.sizes
        return [{"module": name, "nbytes": size.nbytes, "training_flops": size.flops} for name, size in sizes.items()]
    from models.footprint import module_costs

    assert built.learner is not None
    return [asdict(cost) for cost in module_costs(built.learner.model)]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _git() -> str:
    """The commit of the clone that runs, with + where it was changed; empty outside a clone."""
    folder = Path(__file__).parent

    def ask(*words: str) -> str:
        asked = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
        return asked.stdout.strip()

    try:
        return ask("rev-parse", "HEAD") + ("+" if ask("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""
