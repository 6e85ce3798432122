"""The real federation under way: its processes, wired anew for every configuration, and its rounds, timed."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

from experiments.reality.configurations import DEVICES, Configuration
from experiments.reality.learner import shards
from experiments.reality.node import Report, Role, serve
from experiments.reality.noise import others_share, read, wait_for_quiet
from experiments.reality.phases import CLOUD, Phase, phases
from experiments.reality.wire import Throttle

LIMIT = 0.04  # of the processor: a round during which others used more is repeated
SLOWER = 0.03  # of the round: what its work took longer than in the best round of the configuration; repeated too
REPEATS = 3  # at most so many rounds are repeated for each that is wanted
PATIENCE_SECONDS = 2.0
GONE_SECONDS = 60.0  # a process that says nothing for so long has failed
TRUNK_CELL = 0  # and the edges' own media follow


@dataclass(frozen=True, slots=True)
class Round:
    """One round as it was: its phases, the share of the processor that others used, and the processor seconds it took.

    *loss* is the mean of the devices' training losses.
    """

    phases: Sequence[Phase]
    seconds: float
    others: float | None
    own_s: float
    loss: float

    @property
    def clean(self) -> bool:
        """Whether nobody disturbed it, as far as this system can tell."""
        return self.others is None or self.others <= LIMIT


@dataclass(slots=True)
class Measured:
    """The rounds of a configuration, the disturbed ones too; first rounds after wiring are not among them."""

    configuration: Configuration
    rounds: list[Round] = field(default_factory=list)

    @property
    def fit(self) -> Sequence[Round]:
        """The clean rounds during which the machine itself was not slowed down.

        A virtual machine shares cores, caches and clock with neighbours that it cannot see. They show in the processor
        time of the same work. What it takes beyond the least of the configuration, spread over the cores, may be up to
        `SLOWER` of the round.
        """
        clean = [round_ for round_ in self.rounds if round_.clean]
        least, cores = min((round_.own_s for round_ in clean), default=0.0), os.cpu_count() or 1
        return [round_ for round_ in clean if round_.own_s - least <= SLOWER * cores * round_.seconds]

    @property
    def kept(self) -> Sequence[Round]:
        """What is evaluated: the fit rounds; if there is none, the least disturbed."""
        return self.fit or [min(self.rounds, key=lambda round_: round_.others or 0.0)]


def parents(configuration: Configuration) -> dict[str, str]:
    """Who reports to whom."""
    return {**dict.fromkeys(configuration.edges, CLOUD), **dict(configuration.parents())}


class Federation:
    """The processes, one of each name, and the pipes to them."""

    def __init__(self, edges: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._cells = context.Array("d", edges + 1)
        self._pipes: dict[str, Connection] = {}
        self._processes: list[Any] = []
        data = list(shards())
        names = [CLOUD, *(f"edge{i}" for i in range(edges)), *(f"device{i}" for i in range(DEVICES))]
        for name in names:
            here, there = context.Pipe()
            shard = data[int(name.removeprefix("device"))] if name.startswith("device") else None
            process = context.Process(target=serve, args=(there, self._cells, shard), daemon=True)
            process.start()
            there.close()
            self._pipes[name] = here
            self._processes.append(process)
        for name in names:
            self._hear(name)

    def close(self) -> None:
        """End all processes."""
        for pipe in self._pipes.values():
            pipe.send(None)
        for process in self._processes:
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()

    @contextmanager
    def wired(self, configuration: Configuration) -> Iterator[Mapping[str, str]]:
        """Connect the nodes as *configuration* says, and give the parent of each."""
        above = parents(configuration)
        children: dict[str, list[str]] = {}
        for node, parent in above.items():
            children.setdefault(parent, []).append(node)
        addresses: dict[str, tuple[str, int]] = {}
        links = {node: _throttles(configuration, node, above) for node in above}
        for node in (CLOUD, *above):
            below = {child: links[child][1] for child in children[node]} if node in children else None
            steps = 0 if below else configuration.steps_of(int(node.removeprefix("device")))
            role = Role(node, configuration.net, children=below, steps=steps)
            if node in above:
                index = children[above[node]].index(node)
                role = replace(role, parent=addresses[above[node]], index=index, up=links[node][0])
            self._pipes[node].send(role)
            if below:
                addresses[node] = self._hear(node)
        for node in (CLOUD, *above):
            self._hear(node)
        try:
            yield above
        finally:
            self._pipes[CLOUD].send("stop")

    def round(self, above: Mapping[str, str]) -> Round:
        """Run one round."""
        before = read()
        self._pipes[CLOUD].send("round")
        reports: list[Report] = [self._hear(CLOUD)]
        after = read()
        reports += [self._hear(node) for node in above]
        moments = [moment for report in reports for moment in report.moments]
        start = next(when for _, what, when in moments if what == "begun")
        found = phases(moments, above)
        own = sum(report.cpu_s for report in reports)
        losses = [report.loss for report in reports if report.loss is not None]
        (end,) = (phase.end_s for phase in found if (phase.node, phase.kind) == (CLOUD, "merge"))
        others = others_share(before, after, own, os.cpu_count() or 1)
        return Round(found, end - start, others, own, sum(losses) / len(losses))

    def _hear(self, name: str) -> Any:
        if not self._pipes[name].poll(GONE_SECONDS):
            raise RuntimeError(f"{name} has said nothing for {GONE_SECONDS:g} s")
        return self._pipes[name].recv()


def measure(
    configurations: Sequence[Configuration], passes: int, rounds: int, budget_seconds: float = math.inf
) -> list[Measured]:
    """Visit every configuration *passes* times, in turn, for so many *rounds* each, so that slow drifts reach all.

    Unfit rounds are repeated as often as `REPEATS` allows. Once the budget is spent none is, and no pass begins.
    """
    out = [Measured(configuration) for configuration in configurations]
    federation = Federation(max(len(configuration.tree) for configuration in configurations))
    end = time.monotonic() + budget_seconds
    try:
        for number in range(passes):
            if number and time.monotonic() > end:
                break
            for measured in out:
                with federation.wired(measured.configuration) as above:
                    federation.round(above)  # the first warms up
                    _visit(federation, above, measured, rounds, end)
    finally:
        federation.close()
    return out


def _visit(federation: Federation, above: Mapping[str, str], measured: Measured, wanted: int, end: float) -> None:
    """Add rounds until so many more are fit, too many were not, or the budget is spent and as many were run."""
    before, had = len(measured.rounds), len(measured.fit)
    while len(measured.fit) < had + wanted and (done := len(measured.rounds) - before) < wanted * (1 + REPEATS):
        late = time.monotonic() > end
        if late and done >= wanted:
            break
        if done and not measured.rounds[-1].clean and not late:
            wait_for_quiet(LIMIT, PATIENCE_SECONDS)
        measured.rounds.append(federation.round(above))


def _throttles(configuration: Configuration, node: str, above: Mapping[str, str]) -> tuple[Throttle, Throttle]:
    """A node's link, up and down."""
    if node.startswith("edge"):
        rates, cell = configuration.trunk_bits_per_s, TRUNK_CELL if configuration.shared_trunk else None
    else:
        rates = configuration.access_of(int(node.removeprefix("device")))
        cell = 1 + configuration.edges.index(above[node]) if configuration.shared_access else None
    return Throttle(rates[0], cell), Throttle(rates[1], cell)
