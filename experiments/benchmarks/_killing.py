"""Kills runs at chosen moments with SIGKILL, has them gone on with, and compares what they leave.

``python -m experiments.benchmarks._killing SCENARIO.json FOLDER KILLS SEED`` prints one line of JSON. One process
builds the scenario and forks for every run, before torch has started any thread. A run kills itself after so many calls
and returns, in Python and of C functions, within the chosen entry of a function: so no clock decides, and a file may be
half written. Every second one is killed again while it is being resumed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

ANYWHERE = "experiments.run.Course.run"
BEGUN = "experiments.store.Store.manifest"  # before the first one is written, there is nothing to go on with
SAVING = (
    "experiments.checkpoints.write",
    "experiments.keeper.Keeper._save",
    "experiments.store.Store.append",
    "experiments.store.Store.tables",
    BEGUN,
)
RESUMING = (
    ANYWHERE,
    "experiments.resume._resumed",
    "experiments.keeper.Keeper._put_in_place",
    "experiments.store.Store.go_on",
    "experiments.checkpoints.write",
)


class Moment(NamedTuple):
    """So many *events* (calls and returns) after the entry number *entry* into the function *where*."""

    where: str
    entry: int
    events: int


def place(frame: FrameType) -> str:
    """Of the function that a frame runs."""
    return f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"


def killer(moment: Moment) -> Callable[[FrameType, str, Any], None]:
    """For ``sys.setprofile``: ends this process at that moment, without any farewell."""
    entries, left = 0, -1

    def count(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal entries, left
        if left < 0:
            if event == "call" and place(frame) == moment.where:
                entries += 1
                left = moment.events if entries == moment.entry else -1
        elif left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            left -= 1

    return count


def census(found: dict[str, list[int]]) -> Callable[[FrameType, str, Any], None]:
    """For ``sys.setprofile``: how many events there are in each entry into the functions of a run that matter."""
    total, inside = 0, dict[FrameType, int]()

    def count(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal total
        total += 1
        if event == "call" and (where := place(frame)) in (ANYWHERE, *SAVING):
            found.setdefault(where, [])
            inside[frame] = total
        elif event == "return" and frame in inside:
            found[place(frame)].append(total - inside.pop(frame))

    return count


def moments(found: dict[str, list[int]], kills: int, seed: int) -> Iterator[tuple[Moment, Moment | None]]:
    """When to kill a run, every second time while something is written; and when its resume, if at all."""
    draw = random.Random(seed)
    for n in range(kills):
        where = ANYWHERE if n % 2 else SAVING[n // 2 % len(SAVING)]
        entry = draw.randrange(where == BEGUN, len(found[where]))
        last = 5 if where == BEGUN else found[where][entry]  # after the last one is written, it has come to its end
        first = Moment(where, entry + 1, draw.randrange(1, last))
        again = RESUMING[n // 2 % len(RESUMING)]
        most = found[ANYWHERE][0] if again == ANYWHERE else 60
        yield first, Moment(again, 1, draw.randrange(1, most)) if n % 4 in (1, 2) else None


def child(work: Callable[[], None], hook: Callable[[FrameType, str, Any], None] | None) -> bool:
    """Do *work* in a process of its own; whether it came to its end, and was not killed."""
    process = os.fork()
    if process == 0:
        sys.setprofile(hook)
        try:
            work()
            sys.setprofile(None)
        except BaseException as error:
            sys.setprofile(None)
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise RuntimeError(f"a run ended with status {status}")
    return status == 0


def main(scenario: Path, folder: Path, kills: int, seed: int) -> None:
    """Run, kill, resume, compare."""
    import torch

    from experiments.benchmarks._mixing import tables_hash, weights_hash
    from experiments.scenario import Scenario

    torch.set_num_threads(1)
    for name in ("baselines", "checkpoints"):  # what a run imports on its way, once for all children
        import_module(f"experiments.{name}")
    running, resuming = import_module("experiments.run"), import_module("experiments.resume")
    study = Scenario.model_validate_json(scenario.read_text())
    built = running.build(study)
    for module in (running, resuming):  # a child has a copy of its own of what it finds here
        vars(module)["build"] = lambda scenario: built
    assert len(os.listdir("/proc/self/task")) == 1, "threads do not survive a fork"
    folder.mkdir()

    to_its_end = running.Course._run

    def leaving_weights(course: Any) -> Any:
        """Before the manifest says that the run is done: from then on a resume has nothing to do."""
        result, hook = to_its_end(course), sys.getprofile()
        sys.setprofile(None)
        course.store.folder.with_suffix(".weights").write_text(weights_hash(result.states))
        sys.setprofile(hook)
        return result

    running.Course._run = leaving_weights

    def begin(out: Path) -> None:
        running.run(study, out)

    def go_on(out: Path) -> None:
        resuming.resume(out, tell=lambda line: print(line, file=sys.stderr))

    def hashes(out: Path) -> tuple[str, str, int]:
        manifest = json.loads((out / "manifest.json").read_text())
        return tables_hash(out), out.with_suffix(".weights").read_text(), manifest["client_updates"]

    counts = folder / "events.json"

    def counted() -> None:
        found: dict[str, list[int]] = {}
        sys.setprofile(census(found))
        running.run(study, folder / "counted")
        sys.setprofile(None)
        counts.write_text(json.dumps(found))

    child(counted, None)
    child(lambda: begin(folder / "whole"), None)
    whole, same, twice = hashes(folder / "whole"), 0, 0
    for n, (first, second) in enumerate(moments(json.loads(counts.read_text()), kills, seed)):
        out = folder / f"killed{n}"
        if child(lambda out=out: begin(out), killer(first)):  # type: ignore[misc]
            raise RuntimeError(f"run {n} was not killed at {first}")
        if second:
            twice += not child(lambda out=out: go_on(out), killer(second))  # type: ignore[misc]
        child(lambda out=out: go_on(out), None)  # type: ignore[misc]
        same += hashes(out) == whole
    print(json.dumps({"killed": kills, "killed_again": twice, "same": same}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
