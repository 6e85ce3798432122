"""What is known of a node's children before a turn: estimates from the very figures that the turn will cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from simulator.acts import Acts
from simulator.costs import compute_seconds, receive_joules, transmit_joules, wire_bytes
from simulator.gathering.turns import Turn
from simulator.interfaces import Workload

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Estimates(Generic[S]):
    """Of the children of one node in one turn: :class:`simulator.gathering.selection.Facts`.

    A child alone on its way, at its links' rates without fading or jitter. The training of a child that only gathers is
    left out, since it has none of its own.
    """

    acts: Acts
    workload: Workload[S]
    states: Mapping[str, S]
    steps: Counter[str]
    times: Counter[str]  # how often each was asked
    turn: Turn
    _known: dict[str, tuple[float, float]] = field(default_factory=dict, init=False)

    def seconds(self, child: str) -> float:
        """Down, training, up."""
        return self._turn(child)[0]

    def joules(self, child: str) -> float:
        """Of the child's radio and processor, above idle."""
        return self._turn(child)[1]

    def grams(self, child: str) -> float:
        """CO2-equivalent if it begins now; joules, where no carbon is followed."""
        seconds, joules = self._turn(child)
        now, carbon = self.acts.env.now, self.acts.costs.carbon
        return joules * carbon.between(now, now + seconds) if carbon else joules

    def asked(self, child: str) -> int:
        """How often in this stage."""
        return self.times[child]

    def signal(self, name: str, children: Sequence[str]) -> Mapping[str, float]:
        """What the workload says of the children's models."""
        plan = self.turn.plan
        return self.workload.signal(name, {c: self.states[c] for c in children}, plan.modules if plan else ())

    def _turn(self, child: str) -> tuple[float, float]:
        if child not in self._known:
            parts = (self._down(child), self._training(child), self._up(child))
            self._known[child] = sum(part[0] for part in parts), sum(part[1] for part in parts)
        return self._known[child]

    def _training(self, child: str) -> tuple[float, float]:
        node, stage = self.acts.nodes[child], self.turn.stage
        if node.tier != stage.at or node.profile is None or not self.acts.costs.compute:
            return 0.0, 0.0
        work = self.workload.work(child, "train", self.steps[child], stage.trainable)
        # On a machine that several nodes run on, a node has one core.
        seconds = compute_seconds(node.profile, work)
        return seconds / node.core, node.full_watts * seconds

    def _down(self, child: str) -> tuple[float, float]:
        parent, costs = self.turn.node, self.acts.costs
        if parent not in self.states or not costs.downlink:
            return 0.0, 0.0
        nbytes = self.workload.pack(parent, child, self.states[parent], self.turn.brought).nbytes
        seconds, airtimes = self._way(parent, child, nbytes)
        link = self.acts.network.route(parent, child)[-1].link
        return seconds, receive_joules(link, airtimes[-1]) if costs.receive and airtimes else 0.0

    def _up(self, child: str) -> tuple[float, float]:
        parent = self.turn.node
        nbytes = self.workload.pack(child, parent, self.states[child], self.turn.due).nbytes
        seconds, airtimes = self._way(child, parent, nbytes)
        link = self.acts.network.route(child, parent)[0].link
        return seconds, transmit_joules(link, airtimes[0]) if airtimes else 0.0

    def _way(self, sender: str, receiver: str, nbytes: int) -> tuple[float, tuple[float, ...]]:
        """Seconds of a transfer, and how long its bits occupy each hop."""
        if not nbytes:
            return 0.0, ()
        hops = self.acts.network.route(sender, receiver)
        loss = self.acts.costs.loss
        airtimes = tuple(8 * wire_bytes(hop.link, nbytes, loss=loss) / hop.bits_per_s for hop in hops)
        return sum(hop.link.latency_seconds for hop in hops) + max(airtimes), airtimes
