"""Groups at run time: all devices of a cell as arrays, one event a round, one row per activity of a classroom."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from simpy import Event, Interrupt

from simulator.account import Account
from simulator.costs import compute_seconds, rest_watts
from simulator.groups.cells import Floats
from simulator.groups.trips import ALL, Done, Task, Trip, Who
from simulator.interfaces import Work
from simulator.records import At
from topologies.groups import Group

if TYPE_CHECKING:
    from simulator.acts import Acts


class Cohort:
    """The groups of one parent in one cell, or alike on links of their own: who they are, how their radios rest.

    Members are numbered through, group after group.
    """

    def __init__(self, acts: Acts, groups: Sequence[Group], account: Account) -> None:
        self.acts, self.groups = acts, groups
        self.parent, self.tier, self.link = groups[0].parent, groups[0].tier, groups[0].link
        self.name = f"{self.parent}/*"
        self.counts = [group.count for group in groups]
        self.count = sum(self.counts)
        self.up = np.concatenate([_rates(g, g.up_bits_per_s, g.link.up_bits_per_s) for g in groups])
        self.down = np.concatenate([_rates(g, g.down_bits_per_s, g.link.down_bits_per_s) for g in groups])
        self.watts = self.each([acts.costs.power.above_idle(g.profile, 1.0) for g in groups])
        self.account = account  # of all cohorts of the parent
        self.rested, self.used = np.zeros(self.count), np.zeros(self.count, bool)
        self.steps = 0
        self._seconds: dict[tuple[int, Work], float] = {}
        self._last: dict[int, tuple[Work, float]] = {}  # of a member, by its number: its work, and what that took

    @cached_property
    def names(self) -> list[str]:
        """Of the members."""
        return [group.name_of(i) for group in self.groups for i in range(group.count)]

    @cached_property
    def kinds(self) -> list[int]:
        """The group of each member."""
        return [kind for kind, count in enumerate(self.counts) for _ in range(count)]

    def each(self, figures: Sequence[float]) -> Floats:
        """A figure per group as one per member."""
        return np.repeat(np.array(figures, float), self.counts)

    def seconds(self, kind: int, work: Work) -> float:
        """What *work* takes a member of a group; worked out once for equal works."""
        if (kind, work) not in self._seconds:
            charged = self.acts.costs.compute
            self._seconds[kind, work] = compute_seconds(self.groups[kind].profile, work) if charged else 0.0
        return self._seconds[kind, work]

    def each_seconds(self, numbers: Sequence[int], works: Sequence[Work]) -> Floats:
        """What works take the members of these numbers, one each."""
        last = self._last
        for number, work in zip(numbers, works, strict=True):
            if number not in last or last[number][0] is not work:  # to see that two works are equal takes longer
                last[number] = work, self.seconds(self.kinds[number], work)
        return np.array([last[number][1] for number in numbers])

    def go(self, task: Task, at: At, who: Who = ALL) -> Generator[Event, Any, Done]:
        """Let those *who* take part do a task; what each has done when all are through.

        Interrupted, it ends at once with what they have done by then.
        """
        env = self.acts.env
        trip = Trip(self, who, task if self.acts.costs.downlink else task._replace(down=None), at)
        if trip.end > env.now:
            try:
                yield env.timeout(trip.end - env.now)
            except Interrupt:
                return trip.book(env.now)
        return trip.book(trip.end)

    def rest(self, members: Any, until: Floats) -> None:
        """Charge the radios of some members for their rest until they are needed again."""
        watts = rest_watts(self.link, sleep=self.acts.costs.sleep)
        if not self.link.carrier_hertz or not any(watts) or not until.size:
            return
        rested = self.rested[members]
        seconds = until - rested
        tails = np.where(self.used[members], np.minimum(seconds, self.link.tail_seconds), 0.0)
        times = float(rested.min()), float(until.max())
        self.account.add("tail", watts[0] * float(tails.sum()), *times)
        self.account.add("sleep", watts[1] * float((seconds - tails).sum()), *times)

    def came_to_rest(self, members: Any, times: Floats) -> None:
        """These have just ended a transfer."""
        self.rested[members] = times
        self.used[members] = self.acts.costs.tail

    def close(self) -> None:
        """Charge idle and rest until now."""
        now = self.acts.env.now
        idle = math.fsum(group.profile.idle_watts * group.count for group in self.groups)
        self.account.present_s = now
        self.account.add("idle", idle * now if self.acts.costs.idle else 0.0, 0.0, now)
        self.rest(ALL, np.full(self.count, now))


def _rates(group: Group, own: Floats | None, link: float) -> Floats:
    return np.full(group.count, link) if own is None else own


def cohorts_of(acts: Acts) -> Mapping[str, tuple[Cohort, ...]]:
    """The cohorts of every parent of groups: one per cell, and one per kind of link that nobody shares."""
    out: dict[str, tuple[Cohort, ...]] = {}
    for parent in dict.fromkeys(group.parent for group in acts.hierarchy.groups()):
        account = Account(acts.costs.carbon)
        out[parent] = tuple(Cohort(acts, cell, account) for cell in cells(acts.hierarchy.groups(parent)))
    return out


def cells(groups: Iterable[Group]) -> list[list[Group]]:
    """The groups of a parent by the cell that they share; without one, by their tier and kind of link."""
    out: dict[object, list[Group]] = {}
    for group in groups:
        key: object = group.link.name
        if not group.link.shared:
            key = group.tier, replace(group.link, up_bits_per_s=1.0, down_bits_per_s=1.0)
        out.setdefault(key, []).append(group)
    return list(out.values())
