"""What a run was: `manifest.json`, from its beginning to its end."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.ledger import total_joules
from experiments.schema.documents import find_file

if TYPE_CHECKING:
    from experiments.build import Built
    from experiments.scenario import Scenario
    from simulator.records import Log

PACKAGES = ("edufog", "simpy", "networkx", "torch", "numpy", "scikit-learn")


def now() -> str:
    """The time of day, as the manifest has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def begun(scenario: Scenario, started: str, draws: int) -> dict[str, Any]:
    """What is known when a run begins; *draws* of the profiles' figures are going to be rerun."""
    return {
        "status": "running",
        "title": scenario.title,
        "seed": scenario.seed,
        "scenario_hash": sha256(scenario.to_yaml().encode()).hexdigest(),
        "git": _git(),
        "versions": versions(),
        "files": files(scenario),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": started,
        **({"perturb_profiles": draws} if draws else {}),
    }


def figures(built: Built, log: Log, rows: list[dict[str, Any]], wall: Mapping[str, float]) -> dict[str, Any]:
    """What is known when a run ends; *wall* is where its wall time went."""
    learner = built.learner
    return {
        "ended": now(),
        "wall_seconds": math.fsum(wall.values()),
        "learning_wall_seconds": wall["training"] + wall["evaluation"],
        "wall_seconds_by_part": dict(wall),
        "client_updates": learner.updates if learner else 0,
        **({"client_updates_repeated": learner.trainings.repeated} if learner and learner.trainings.repeated else {}),
        **(learner.engine.report() if learner else {}),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "sim_seconds": log.end_s,
        "joules": total_joules(rows),
        **({"carbon_grams": math.fsum(row["carbon_grams"] for row in rows)} if built.costs.carbon else {}),
        "events": len(log.happenings),
    }


def versions() -> dict[str, str]:
    """Of what a run's numbers depend on."""
    return {name: _version(name) for name in PACKAGES} | {"python": sys.version.split()[0]}


def files(scenario: Scenario) -> dict[str, str]:
    """The SHA-256 of every file that the scenario names: data, topologies, the module of a network of one's own."""
    named = [Path(name) for name in _texts(scenario.dump())]
    module, folder = getattr(scenario.model, "module", ""), getattr(scenario.model, "folder", "")
    specs = [*scenario.learning.algorithm, *(spec for stage in scenario.stages for spec in stage.algorithm or ())]
    named += [
        Path(spec.folder) / (spec.name.partition(":")[0].replace(".", "/") + ".py") for spec in specs if spec.folder
    ]
    if module:
        named.append(Path(folder) / (module.partition(":")[0].replace(".", "/") + ".py"))
    if isinstance(inside := getattr(scenario.data, "folder", None), str):
        named += [Path(inside) / getattr(scenario.data, "questions", "")]
    found = {}
    for path in named:
        with suppress(ValueError, OSError):  # a text that is no file's name
            found[str(path)] = sha256(find_file(str(path), Path()).read_bytes()).hexdigest()
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


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
