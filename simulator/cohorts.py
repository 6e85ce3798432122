"""Groups at run time: all devices of a cell as arrays, one event a round, one row per activity of a classroom."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from simpy import Event, Interrupt

from simulator.account import Account
from simulator.costs import Costs, compute_seconds, receive_joules, rest_watts, transmit_joules, wire_bytes
from simulator.groups import CellRound, Floats, cell_round, over
from simulator.interfaces import Packet, Work
from simulator.plan import Deadline, Evaluate, Stage, barrier
from simulator.presence import Presence, always
from simulator.records import At, Kind, Span, Status
from topologies.groups import Group
from topologies.hierarchy import Hierarchy

if TYPE_CHECKING:
    from simulator.acts import Acts

OTHERS = "others are in its cell"

Masks = np.ndarray[Any, np.dtype[np.bool_]]


class Cohort:
    """The groups of one parent that share a cell: who they are, when their radios came to rest, and their account."""

    def __init__(self, acts: Acts, groups: Sequence[Group], account: Account) -> None:
        self.acts, self.groups = acts, groups
        self.parent, self.tier, self.link = groups[0].parent, groups[0].tier, groups[0].link
        self.name = f"{self.parent}/*"
        self.counts = [group.count for group in groups]
        self.count = sum(self.counts)
        self.up = np.concatenate([_rates(g, g.up_bits_per_s, g.link.up_bits_per_s) for g in groups])
        self.down = np.concatenate([_rates(g, g.down_bits_per_s, g.link.down_bits_per_s) for g in groups])
        self.watts = self._each([acts.costs.power.above_idle(g.profile, 1.0) for g in groups])
        self.account = account  # of all cohorts of the parent
        self.rested, self.used = np.zeros(self.count), np.zeros(self.count, bool)
        self.steps = 0

    def _each(self, figures: Sequence[float]) -> Floats:
        return np.repeat(np.array(figures, float), self.counts)

    def go(
        self, down: Packet[Any] | None, works: Sequence[Work], up: Packet[Any] | None, at: At,
        trained: Sequence[str] = (),
    ) -> Generator[Event, Any, int]:  # fmt: skip
        """Load *down*, do the works (one per group), report *up*; how many reports have arrived.

        Interrupted, it ends at once with those that have arrived by then.
        """
        acts, costs = self.acts, self.acts.costs
        trip = _Trip(self, down if down and costs.downlink else None, works, up, at, trained)
        if trip.end > acts.env.now:
            try:
                yield acts.env.timeout(trip.end - acts.env.now)
            except Interrupt:
                return trip.book(acts.env.now)
        return trip.book(trip.end)

    def rest(self, mask: Masks, until: Floats) -> None:
        """Charge the radios of some members for their rest until they are needed again."""
        watts = rest_watts(self.link, sleep=self.acts.costs.sleep)
        if not self.link.carrier_hertz or not any(watts) or not mask.any():
            return
        seconds = (until - self.rested)[mask]
        tails = np.where(self.used[mask], np.minimum(seconds, self.link.tail_seconds), 0.0)
        times = float(self.rested[mask].min()), float(until[mask].max())
        self.account.add("tail", watts[0] * float(tails.sum()), *times)
        self.account.add("sleep", watts[1] * float((seconds - tails).sum()), *times)

    def came_to_rest(self, mask: Masks, times: Floats) -> None:
        """These have just ended a transfer."""
        self.rested[mask] = times[mask]
        self.used[mask] = self.acts.costs.tail

    def close(self) -> None:
        """Charge idle and rest until now."""
        now = self.acts.env.now
        idle = math.fsum(group.profile.idle_watts * group.count for group in self.groups)
        self.account.present_s = now
        self.account.add("idle", idle * now if self.acts.costs.idle else 0.0, 0.0, now)
        self.rest(np.ones(self.count, bool), np.full(self.count, now))


class _Trip:
    """One round of a cohort: when each member does what, and the rows of what was done by some time."""

    def __init__(
        self, cohort: Cohort, down: Packet[Any] | None, works: Sequence[Work], up: Packet[Any] | None, at: At,
        trained: Sequence[str],
    ) -> None:  # fmt: skip
        self.cohort, self.down, self.up, self.at, self.trained = cohort, down, up, at, trained
        costs, link, groups = cohort.acts.costs, cohort.link, cohort.groups
        self.start = cohort.acts.env.now
        self.flops = cohort._each([work.flops for work in works])
        seconds = [compute_seconds(g.profile, w) if costs.compute else 0.0 for g, w in zip(groups, works, strict=True)]
        self.seconds = cohort._each(seconds)
        self.wire = [wire_bytes(link, p.nbytes, loss=costs.loss) if p else 0.0 for p in (down, up)]
        self.round: CellRound = cell_round(
            cohort.up, cohort.down, down_bits=8 * self.wire[0], up_bits=8 * self.wire[1], compute_seconds=self.seconds,
            up_latency=link.latency_seconds, down_latency=link.latency_seconds, start=self.start,
            sharing="airtime" if costs.wifi == "equal_airtime" else "throughput",
        )  # fmt: skip
        self.end = float(self.round.up_end.max())

    def book(self, time: float) -> int:
        """Write and charge what was done by *time*; how many reports have arrived."""
        r, passed, started = self.round, self.round.at(time), np.full(self.cohort.count, self.start)
        loaded, computed = over(r.down_end, time), over(r.compute_end, time)
        if self.down and self.down.nbytes:
            self.cohort.rest(np.ones(self.cohort.count, bool), started)
            self._move("down", self.down, passed.down_bits, passed.down_airtime, started, r.down_end, time)
        self._compute(loaded, passed.computed_seconds, time)
        if self.up and self.up.nbytes:
            starts = np.minimum(r.compute_end, time)
            self.cohort.rest(computed, starts)
            self._move("up", self.up, passed.up_bits, passed.up_airtime, starts, r.up_end, time, computed)
        return int(over(r.up_end, time).sum()) if self.up else 0

    def _compute(self, begun: Masks, seconds: Floats, time: float) -> None:
        r, c = self.round, self.cohort
        for status, mask in _by_status(begun & (self.seconds > 0), r.compute_end, time):
            share = seconds[mask] / self.seconds[mask]
            joules, flops = float(c.watts[mask] @ seconds[mask]), float(self.flops[mask] @ share)
            times = min(float(r.down_end[mask].min()), time), min(float(r.compute_end[mask].max()), time)
            self._row("compute", c.name, c.tier, "", "+".join(self.trained), times, joules, 0, flops, status, "train")
            c.account.add("compute", joules, *times)

    def _move(
        self, activity: str, packet: Packet[Any], bits: Floats, airtime: Floats, starts: Floats, ends: Floats,
        time: float, begun: Masks | None = None,
    ) -> None:  # fmt: skip
        c, tree, wire = self.cohort, self.cohort.acts.hierarchy, self.wire[activity == "up"]
        here, there = (c.name, c.parent) if activity == "up" else (c.parent, c.name)
        tiers = {c.name: c.tier, c.parent: tree.tier(c.parent)}
        for status, mask in _by_status(np.ones(c.count, bool) if begun is None else begun, ends, time):
            payload = bits[mask] / 8 * (packet.nbytes / wire)
            nbytes = packet.nbytes * int(mask.sum()) if status == "done" else int(np.floor(payload).sum())
            times = float(starts[mask].min()), min(float(ends[mask].max()), time)
            air = float(airtime[mask].sum())
            received = receive_joules(c.link, air) if c.acts.costs.receive else 0.0
            sides: tuple[tuple[Kind, str, str, float], ...] = (
                ("transmit", here, there, transmit_joules(c.link, air)), ("receive", there, here, received),
            )  # fmt: skip
            for kind, node, peer, joules in sides:
                drawn = self._charge(node, kind, joules, times)
                self._row(
                    kind, node, tiers[node], peer, "+".join(packet.modules), times, drawn, nbytes, 0.0, status, activity
                )
            self._charge_network(float(bits[mask].sum()) / 8, times)
            c.came_to_rest(mask, np.minimum(ends, time))

    def _charge(self, node: str, kind: Kind, joules: float, times: tuple[float, float]) -> float:
        if node == self.cohort.name:
            self.cohort.account.add(kind, joules, *times)
            return joules
        parent = self.cohort.acts.nodes[node]
        if parent.profile is None:
            return 0.0
        parent.account.add(kind, joules, *times)
        return joules

    def _charge_network(self, wire: float, times: tuple[float, float]) -> None:
        cohort = self.cohort
        if cohort.acts.costs.infrastructure and cohort.link.infrastructure_joules_per_byte:
            payer = cohort.acts.nodes[cohort.parent]
            account = payer.account if payer.profile else cohort.account
            account.add("infrastructure", cohort.link.infrastructure_joules_per_byte * wire, *times)

    def _row(self, kind: Kind, node: str, tier: str, peer: str, names: str, times: tuple[float, float],
             joules: float, nbytes: int, flops: float, status: Status, activity: str) -> None:  # fmt: skip
        row = (kind, node, tier, peer, self.at.round, self.at.turn, names, *times)
        self.cohort.acts.log.spans.append(Span(*row, joules, nbytes, flops, status, activity))


def _rates(group: Group, own: Floats | None, link: float) -> Floats:
    return np.full(group.count, link) if own is None else own


def _by_status(begun: Masks, ends: Floats, time: float) -> Iterator[tuple[Status, Masks]]:
    for status, mask in (("done", begun & over(ends, time)), ("interrupted", begun & ~over(ends, time))):
        if mask.any():
            yield status, mask  # type: ignore[misc]


def cohorts_of(acts: Acts) -> Mapping[str, tuple[Cohort, ...]]:
    """The cohorts of every parent of groups, one per cell."""
    out: dict[str, tuple[Cohort, ...]] = {}
    for parent in dict.fromkeys(group.parent for group in acts.hierarchy.groups()):
        account, cells = Account(acts.costs.carbon), dict[str, list[Group]]()
        for group in acts.hierarchy.groups(parent):
            cells.setdefault(group.link.name, []).append(group)
        out[parent] = tuple(Cohort(acts, cell, account) for cell in cells.values())
    return out


def _alike(group: Group, other: Group) -> bool:
    """Whether two groups of a parent are not in one cell, or do the same there over links that differ in rates only."""
    mine, theirs = group.link, other.link
    if theirs.name != mine.name:
        return True
    if theirs != mine:
        theirs = replace(theirs, up_bits_per_s=mine.up_bits_per_s, down_bits_per_s=mine.down_bits_per_s)
    return other.tier == group.tier and theirs == mine


def hindrance(
    tree: Hierarchy, group: Group, workload: object, stages: Sequence[Stage], evaluate: Evaluate, costs: Costs,
    presence: Presence,
) -> str | None:  # fmt: skip
    """Why a group cannot run as arrays; None if it can."""
    plans = [stage.plan.get(tree.tier(group.parent)) for stage in stages if stage.at == group.tier]
    neighbours = (*tree.children(group.parent), *tree.peers(group.parent))
    media = {tree.medium(node, group.parent) for node in neighbours}
    above = tree.profile(group.parent)
    reasons = {
        "its members learn one by one": not vars(type(workload)).get("alike", False),
        "its parent only forwards": None in plans,
        "the parent waits otherwise than for all or until a deadline": any(
            plan is not None and plan.wait is not barrier and not isinstance(plan.wait, Deadline) for plan in plans
        ),
        "its members are scored": group.tier in evaluate.tiers,
        "its members come and go": presence is not always,
        "its batteries are followed": bool(costs.battery and group.profile.battery_joules),
        "the battery of its parent is followed": bool(
            costs.battery and above and above.battery_joules and group.parent != tree.root
        ),
        "its members share a processor": "host" in group.attributes,
        "its link is not shared": not group.link.shared,
        OTHERS: f"{group.parent}|{group.link.name}" in media
        or not all(_alike(group, other) for other in tree.groups(group.parent)),
        "its members stand in buildings that count": group.profile.pue > 1 and costs.pue,
        "carbon changes by the hour": bool(costs.carbon and len(costs.carbon.grams_per_joule) > 1),
        "costs ask for it": costs.multicast or costs.half_duplex or costs.jitter or costs.latency_power == "transmit",
    }
    return next((reason for reason, holds in reasons.items() if holds), None)
