"""Accuracies that somebody else recorded, told beside simulated costs: nothing is learned here."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from simulator.interfaces import Activity, Arrival, Direction, Packet, Work
from simulator.plan import Stage
from simulator.workloads import CostOnly, Size

TAKEN = {False: "acc_mean", True: "acc_mean_if_offgrid_shifted_back"}


@dataclass(frozen=True, slots=True)
class Taken:
    """A recorded figure of a node; its split says that it was not measured here."""

    node: str
    task: str
    value: float
    modality: str = ""
    split: str = "recorded"
    group: str = ""
    name: str = "accuracy"


def read_accuracies(path: Path, run: str, *, mended: bool = False) -> dict[int, dict[str, float]]:
    """The accuracies (0 to 1) of a *run* by epoch and task, of a table with percents.

    Columns `run`, `epoch`, `task` and `acc_mean`, or with *mended* `acc_mean_if_offgrid_shifted_back`. ValueError
    naming the file and the line, or the runs that there are.
    """
    out: dict[int, dict[str, float]] = {}
    runs: dict[str, None] = {}
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        wanted = ("run", "epoch", "task", TAKEN[mended])
        lacking = [name for name in wanted if name not in (rows.fieldnames or ())]
        if lacking:
            raise ValueError(f"{path.name}:1 has no column {lacking[0]!r}")
        for row in rows:
            runs[row["run"]] = None
            if row["run"] != run:
                continue
            try:
                out.setdefault(int(row["epoch"]), {})[row["task"]] = float(row[TAKEN[mended]]) / 100
            except (TypeError, ValueError):
                raise ValueError(f"{path.name}:{rows.line_num}: epoch and {TAKEN[mended]} must be numbers") from None
    if not out:
        raise ValueError(f"{path.name} has no run {run!r}; it has {', '.join(runs) or 'none'}")
    return out


@dataclass(frozen=True)
class Recorded:
    """Given costs, and the recorded accuracies of the epoch that a node has trained for.

    A state is a number of trainings; a merge takes the most of what it receives.
    """

    label: ClassVar[str] = "recorded"  # the `model` of its metrics
    signals: ClassVar[frozenset[str]] = frozenset()

    costs: CostOnly
    accuracies: Mapping[int, Mapping[str, float]]

    @property
    def sizes(self) -> Mapping[str, Size]:
        """Of the modules."""
        return self.costs.sizes

    def start(self, node: str) -> int:
        """Not trained."""
        return 0

    def enter(self, stage: Stage) -> None:
        """From now on these modules are trained."""
        self.costs.enter(stage)

    def work(self, node: str, activity: Activity, step: int, modules: Sequence[str] = (), count: int = 1) -> Work:
        """As given."""
        return self.costs.work(node, activity, step, modules, count)

    def train(self, node: str, state: int, step: int) -> int:
        """One more epoch."""
        return state + 1

    def pack(self, node: str, to: str, state: int, modules: Sequence[str]) -> Packet[int]:
        """As large as given."""
        packet = self.costs.pack(node, to, None, modules)
        return Packet(state, packet.nbytes, state, packet.modules)

    def merge(
        self, node: str, own: int, received: Sequence[Arrival[int]], modules: Sequence[str], direction: Direction,
        count: int,
    ) -> int:  # fmt: skip
        """As many epochs as whoever had most."""
        return max([own, *(arrival.state for arrival in received)])

    def evaluate(self, states: Mapping[str, int]) -> Iterable[Taken]:
        """What was recorded in the epoch of each; nothing for epochs that were not."""
        return [
            Taken(node, task, value)
            for node, epoch in states.items()
            for task, value in self.accuracies.get(epoch, {}).items()
        ]

    def signal(self, name: str, states: Mapping[str, int], modules: Sequence[str]) -> Mapping[str, float]:
        """No model, no signal; a plan that needs one is refused before the run."""
        return {}
