"""One round of a cohort: when each member does what, and the rows and charges of what was done by some time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simulator.costs import receive_joules, transmit_joules, wire_bytes
from simulator.gathering.selection import Indices
from simulator.groups.cells import CellRound, Floats, cell_round, over
from simulator.interfaces import Packet
from simulator.records import At, Kind, Span, Status

if TYPE_CHECKING:
    from simulator.groups.cohorts import Cohort

Masks = np.ndarray[Any, np.dtype[np.bool_]]
Who = Indices | slice  # the members that take part, by their numbers in the cohort
ALL = slice(None)


class Done(NamedTuple):
    """Who of those that take part has the model, has computed, and has delivered its report."""

    loaded: Masks
    computed: Masks
    arrived: Masks


class Task(NamedTuple):
    """What the members that take part are to do: load, compute for some seconds, report. None: nothing to load, or up.

    Seconds and FLOPs are one for each of them; *trained* are the modules that the computing is for.
    """

    down: Packet[Any] | None
    seconds: Floats
    flops: Floats
    up: Packet[Any] | None
    trained: Sequence[str] = ()


class Trip:
    """A task under way, begun now by those *who* take part."""

    def __init__(self, cohort: Cohort, who: Who, task: Task, at: At) -> None:
        self.cohort, self.who, self.task, self.at = cohort, who, task, at
        costs, link = cohort.acts.costs, cohort.link
        self.start = cohort.acts.env.now
        self.wire = [wire_bytes(link, p.nbytes, loss=costs.loss) if p else 0.0 for p in (task.down, task.up)]
        sharing = "airtime" if costs.wifi == "equal_airtime" else "throughput"
        self.round: CellRound = cell_round(
            cohort.up[who], cohort.down[who],
            down_bits=8 * self.wire[0], up_bits=8 * self.wire[1], compute_seconds=task.seconds,
            up_latency=link.latency_seconds, down_latency=link.latency_seconds, start=self.start,
            sharing=sharing if link.shared else "none",  # type: ignore[arg-type]
        )  # fmt: skip
        self.end = float(self.round.up_end.max())

    def book(self, time: float) -> Done:
        """Write and charge what was done by *time*."""
        r, task, passed = self.round, self.task, self.round.at(time)
        everyone, started = np.ones(len(r.up_end), bool), np.full(len(r.up_end), self.start)
        loaded, computed = over(r.down_end, time), over(r.compute_end, time)
        if task.down and task.down.nbytes:
            self.cohort.rest(self._numbers(everyone), started)
            self._move("down", task.down, passed.down_bits, passed.down_airtime, started, r.down_end, time, everyone)
        self._compute(loaded, passed.computed_seconds, time)
        if task.up and task.up.nbytes:
            starts = np.minimum(r.compute_end, time)
            self.cohort.rest(self._numbers(computed), starts[computed])
            self._move("up", task.up, passed.up_bits, passed.up_airtime, starts, r.up_end, time, computed)
        return Done(loaded, computed, over(r.up_end, time))

    def _numbers(self, mask: Masks) -> Any:
        """In the cohort."""
        return mask if isinstance(self.who, slice) else self.who[mask]

    def _compute(self, begun: Masks, seconds: Floats, time: float) -> None:
        r, c, task = self.round, self.cohort, self.task
        for status, mask in _by_status(begun & (task.seconds > 0), r.compute_end, time):
            share = seconds[mask] / task.seconds[mask]
            joules = float(c.watts[self._numbers(mask)] @ seconds[mask])
            flops = float(task.flops[mask] @ share)
            times = min(float(r.down_end[mask].min()), time), min(float(r.compute_end[mask].max()), time)
            self._row("compute", c.name, c.tier, "", "+".join(task.trained), times, joules, 0, flops, status, "train")
            c.account.add("compute", joules, *times)

    def _move(
        self, activity: str, packet: Packet[Any], bits: Floats, airtime: Floats, starts: Floats, ends: Floats,
        time: float, begun: Masks,
    ) -> None:  # fmt: skip
        c, wire = self.cohort, self.wire[activity == "up"]
        here, there = (c.name, c.parent) if activity == "up" else (c.parent, c.name)
        tiers = {c.name: c.tier, c.parent: c.acts.nodes[c.parent].tier}
        for status, mask in _by_status(begun, ends, time):
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
            c.came_to_rest(self._numbers(mask), np.minimum(ends, time)[mask])

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


def _by_status(begun: Masks, ends: Floats, time: float) -> Iterator[tuple[Status, Masks]]:
    for status, mask in (("done", begun & over(ends, time)), ("interrupted", begun & ~over(ends, time))):
        if mask.any():
            yield status, mask  # type: ignore[misc]
