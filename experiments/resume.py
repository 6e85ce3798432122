"""``edufog run --resume DIR``: go on with a run that was killed, from where it was saved last.

Everything is built again from the scenario in the folder, and the very same simulation is replayed without any
training, up to the round at which the run was saved. The tables are compared with what is in the folder on the way.
Then the weights are put in place, and an ordinary run goes on. What is written in the folder changes only then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.build import Built, build
from experiments.keeper import found
from experiments.manifest import files, versions
from experiments.run import Course, Result, Watch, closing_engine, condensing
from experiments.scenario import Problem, Scenario, ScenarioError
from experiments.store import MANIFEST, SCENARIO, Store, UnusableError, check, locked
from experiments.wall import Wall

if TYPE_CHECKING:
    from experiments.checkpoints import Saved


def resume(
    folder: Path,
    watch: Watch = lambda built, round_, log, phase: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Result | None:
    """Go on with the run in *folder* to its end; None if it had come there. *tell* gets what is worth knowing.

    Raises ScenarioError where the folder holds no run, its scenario is another than the run's, its run is still going
    on, or the packages that numbers depend on are other versions.
    """
    if _manifest(folder)["status"] == "done":
        return None
    try:
        with locked(folder):
            manifest = _manifest(folder)  # as it is now that nobody else writes it
            return None if manifest["status"] == "done" else _resumed(folder, manifest, watch, tell)
    except ScenarioError:
        raise
    except ValueError as error:
        raise _mistake(str(error)) from error


def _resumed(folder: Path, manifest: dict[str, Any], watch: Watch, tell: Callable[[str], None]) -> Result:
    scenario = _scenario(folder, manifest)
    again = {name: value for name, value in manifest.items() if name != "ended"}
    again |= {"status": "running", "resumed": manifest.get("resumed", 0) + 1}
    for path in (*folder.glob("*.part"), *folder.glob("*/*.part")):
        path.unlink()
    for checkpoint in (*found(folder), None):
        wall = Wall()
        with wall.part("start-up"):
            built = build(scenario)
        with closing_engine(built):
            try:
                at = _read(checkpoint, built, manifest["scenario_hash"]) if checkpoint else None
                return _course(folder, built, dict(again), wall, watch, at).run()
            except UnusableError as error:
                tell(f"{error}; going back to the one before, or to the beginning")
    raise AssertionError("a run from its beginning has no replay")


def _course(folder: Path, built: Built, manifest: dict[str, Any], wall: Wall, watch: Watch, at: Saved | None) -> Course:
    wall.goes_on_from(at.wall if at else {})
    store = Store(folder, condensing(built), fresh=False, replayed=at.tables if at else None)
    if at is None:
        store.manifest(manifest)
    return Course(built, manifest, wall, watch, store, at)


def _read(path: Path, built: Built, scenario: str) -> Saved:
    from experiments.checkpoints import read

    if built.learner is None:
        raise UnusableError(f"{path} is of a run that learned")
    moment = read(path, built.learner, scenario)
    check(path.parents[1], moment.tables)
    return moment


def _manifest(folder: Path) -> dict[str, Any]:
    """What the folder says of its run."""
    path = folder / MANIFEST
    content = _content(path)
    try:
        manifest = json.loads(content)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or not all(_fitting(manifest)):
        raise _mistake(f"{path}: not the manifest of a run")
    return manifest


def _fitting(manifest: dict[str, Any]) -> Iterator[bool]:
    yield manifest.get("status") in ("running", "failed", "done")
    yield isinstance(manifest.get("scenario_hash"), str)
    yield isinstance(manifest.get("versions"), dict)
    for name, least in (("resumed", 0), ("perturb_profiles", 2)):
        yield type(manifest.get(name, least)) is int and manifest.get(name, least) >= least


def _scenario(folder: Path, manifest: dict[str, Any]) -> Scenario:
    """The scenario of the run, as it was when the run began, with the packages that it began with."""
    path = folder / SCENARIO
    if sha256(_content(path)).hexdigest() != manifest["scenario_hash"]:
        raise _mistake(f"{path}: changed since its run began; run it anew, with another --out")
    here = versions()
    other = [f"{name} {was}" for name, was in manifest["versions"].items() if here.get(name, was) != was]
    if other:
        raise _mistake(f"{folder}: begun with {', '.join(other)}; install these to go on, or run its scenario anew")
    scenario = Scenario.load(path)
    changed = [
        name for name, digest in files(scenario).items() if manifest.get("files", {}).get(name, digest) != digest
    ]
    if changed:
        raise _mistake(f"{changed[0]}: changed since the run in {folder} began; put it back, or run its scenario anew")
    return scenario


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        missing = f"no run to go on with ({path.name} is not there); run its scenario anew"
        raise _mistake(f"{path.parent}: {missing}") from None


def _mistake(text: str) -> ScenarioError:
    return ScenarioError([Problem("", "", text)])
