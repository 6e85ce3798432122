"""Run a scenario: simulate, score the baselines, write the run folder, draw the plots."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.build import Built, build
from experiments.condensed import condensed
from experiments.ledger import cause_rows, total_joules
from experiments.scenario import Problem, Scenario, ScenarioError
from experiments.simulation import simulated
from experiments.store import Store
from simulator.records import Happening, Log
from simulator.summaries import summarised
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
    perturbed: pd.DataFrame | None = None  # a row per draw of the profiles' figures, where any were asked for

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


def run(
    scenario: Scenario,
    out: Path | None = None,
    watch: Watch = lambda built, round_, log, phase: None,
    *,
    perturb_profiles: int = 0,
) -> Result:
    """Run *scenario*; with *out*, leave a run folder there. *watch* is called after every round and before every phase.

    With *perturb_profiles* the costs, not the learning, are rerun over so many draws of the profiles' uncertain figures
    (:mod:`experiments.uncertainty`), for intervals of seconds and joules. Raises ScenarioError where the scenario does
    not fit its data, or the folder cannot take a run; ValueError for a single draw.
    """
    if perturb_profiles < 0 or perturb_profiles == 1:
        raise ValueError(f"perturb_profiles: an interval needs 2 draws or more, got {perturb_profiles}")
    began, started = time.perf_counter(), datetime.now(UTC)
    built = build(scenario)
    keep = partial(summarised, tree=built.hierarchy) if _short(built) else list
    try:
        store = None if out is None else Store(out, keep)
    except ValueError as error:
        raise ScenarioError([Problem("", "", str(error))]) from error
    manifest, log = _manifest(built.scenario, started), Log()
    if store:
        store.text("scenario.yaml", built.scenario.to_yaml())
        store.manifest(manifest)
    try:
        result = _run(built, store, manifest, log, watch, began, perturb_profiles)
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
    built: Built, store: Store | None, manifest: dict[str, Any], log: Log, watch: Watch, began: float, draws: int
) -> Result:
    def on_round(round_: int, log: Log) -> None:
        if store:
            store.append(log)
        watch(built, round_, log, "rounds")

    if built.learner:
        import torch

        torch.set_num_threads(1)  # two are many times slower on small steps
    log.happenings.extend(Happening(0.0, *happening) for happening in built.happenings)
    scenario, notes = built.scenario, list[str]()
    rows, energy = simulated(built, log, on_round), cause_rows(built.hierarchy, log)
    if _short(built):
        rows, energy = (condensed(t, built.hierarchy, by) for t, by in ((rows, ["node"]), (energy, ["node", "cause"])))
    rounds = log.spans.last_round
    if scenario.baselines:
        from experiments.baselines import add_baselines

        watch(built, rounds, log, "baselines")
        notes = add_baselines(built, log)
    manifest |= _figures(built, log, rows, began)
    result = Result(built, log, rows, _footprint(built), manifest, store.folder if store else None, notes)
    if store:
        store.tables(log, nodes=rows, energy=energy, footprint=result.footprint, **_works(built))
        store.manifest(manifest)
    if draws:
        _perturb(result, draws, store, lambda phase: watch(built, rounds, log, phase))
    if store and scenario.plots:
        from experiments.plots import draw

        watch(built, rounds, log, "plots")
        draw(store.folder)
    return result


def _perturb(result: Result, draws: int, store: Store | None, tell: Callable[[str], None]) -> None:
    """Rerun the costs with other figures of the profiles; the spread goes into the result, and the run folder."""
    from experiments.intervals import keep, summary
    from experiments.uncertainty import perturb

    tenth = max(draws // 10, 1)
    result.perturbed = perturb(
        result.built, draws, on_draw=lambda done: tell(f"draw {done} of {draws}") if done % tenth == 0 else None
    )
    result.manifest["perturbed"] = summary(result.perturbed)
    if store:
        keep(store, result.perturbed)


def _short(built: Built) -> bool:
    """Whether the tables hold summaries in place of a row for every device."""
    return built.scenario.records.devices == "summary"


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
        **(learner.engine.report() if learner else {}),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "sim_seconds": log.end_s,
        "joules": total_joules(rows),
        **({"carbon_grams": math.fsum(row["carbon_grams"] for row in rows)} if built.costs.carbon else {}),
        "events": len(log.happenings),
    }


def _footprint(built: Built) -> list[dict[str, Any]]:
    if isinstance(built.workload, CostOnly):
        sizes = built.workload.sizes
        names = {"flops": "training_flops"}
        return [
            {"module": name} | {names.get(key, key): value for key, value in asdict(size).items()}
            for name, size in sizes.items()
        ]
    from models.footprint import module_costs

    assert built.learner is not None
    return [asdict(cost) for cost in module_costs(built.learner.model)]


def _works(built: Built) -> dict[str, list[dict[str, Any]]]:
    """What each node's training, merging and scoring took, where it was counted on the model: `work.csv`."""
    told = getattr(built.workload, "told", {})
    names = ("stage", "node", "activity")
    rows = [dict(zip(names, key, strict=True)) | asdict(work) for key, work in told.items()]
    return {"work": rows} if rows else {}


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
