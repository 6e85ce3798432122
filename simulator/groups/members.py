"""What members of groups are asked before a trip, and what they know after it: by name, as if they were nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

from simulator.groups.cohorts import Cohort
from simulator.groups.folding import alike
from simulator.groups.trips import Done, Task, Who
from simulator.interfaces import Arrival, Packet, Workload

S = TypeVar("S")


class Members(Generic[S]):
    """The members of all cohorts; *states* and *steps* are those of the whole federation, by name.

    Where all do alike and have no states, nobody is asked by name: a group is asked for all of its members.
    """

    def __init__(self, workload: Workload[S], states: dict[str, S], steps: Counter[str]) -> None:
        self.workload, self.states, self.steps, self.alike = workload, states, steps, alike(workload)

    def start(self, cohort: Cohort) -> None:
        """Give every member what it knows before any training."""
        if not self.alike:
            self.states.update((name, self.workload.start(name)) for name in cohort.names)

    def task(self, cohort: Cohort, who: Who, modules: Sequence[str], trainable: Sequence[str]) -> Task:
        """Load the parent's copy, train, report."""
        parent, first = cohort.parent, cohort.groups[0].name if self.alike else next(_names(cohort, who))
        down = self.workload.pack(parent, first, self.states[parent], modules)
        up = self.workload.pack(first, parent, self.states[parent if self.alike else first], modules)
        if self.alike:
            kinds = [self.workload.work(group.name, "train", cohort.steps, trainable) for group in cohort.groups]
            cohort.steps += 1
            seconds = cohort.each([cohort.seconds(kind, work) for kind, work in enumerate(kinds)])[who]
            return Task(down, seconds, cohort.each([work.flops for work in kinds])[who], up, trainable)
        works = [self.workload.work(name, "train", self.steps[name], trainable) for name in _names(cohort, who)]
        seconds = cohort.each_seconds(_numbers(cohort, who), works)
        return Task(down, seconds, np.array([work.flops for work in works], float), up, trainable)

    def trained(self, cohort: Cohort, who: Who, task: Task, done: Done, modules: Sequence[str]) -> list[Arrival[S]]:
        """The effects of a task, as far as each came with it, member after member; what arrived, in their order."""
        if self.alike:
            return [Arrival(cohort.name, task.up.wire)] * int(done.arrived.sum()) if task.up else []
        workload, states, parent, arrivals = self.workload, self.states, cohort.parent, list[Arrival[S]]()
        came = self._came(cohort, task.down)
        for name, *so_far in zip(_names(cohort, who), *(mask.tolist() for mask in done), strict=True):
            loaded, computed, arrived = so_far
            own = states[name]
            if loaded and came:
                own = workload.merge(name, own, came, modules, "down", 1)
            if computed:
                own = workload.train(name, own, self.steps[name])
                self.steps[name] += 1
            if arrived:
                packet = workload.pack(name, parent, own, modules)
                own = packet.kept
                arrivals.append(Arrival(name, packet.wire))
            states[name] = own
        return arrivals

    def informed(self, cohort: Cohort, down: Packet[S], modules: Sequence[str]) -> None:
        """All have received what their parent sent."""
        came = [] if self.alike else self._came(cohort, down)
        for name in cohort.names if came else ():
            self.states[name] = self.workload.merge(name, self.states[name], came, modules, "down", 1)

    def news(self, cohort: Cohort, modules: Sequence[str]) -> Packet[S]:
        """What their parent sends to each of them."""
        first = cohort.groups[0].name if self.alike else cohort.names[0]
        return self.workload.pack(cohort.parent, first, self.states[cohort.parent], modules)

    def _came(self, cohort: Cohort, down: Packet[S] | None) -> list[Arrival[S]]:
        return [Arrival(cohort.parent, down.wire)] if down and down.nbytes else []


def _numbers(cohort: Cohort, who: Who) -> Sequence[int]:
    return range(cohort.count) if isinstance(who, slice) else who.tolist()


def _names(cohort: Cohort, who: Who) -> Iterator[str]:
    return map(cohort.names.__getitem__, _numbers(cohort, who))
