"""What is in a node's battery, at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.presence import Windows
from topologies.hierarchy import Hierarchy
from topologies.streams import stream

if TYPE_CHECKING:
    from simulator.nodes import Node


@dataclass(eq=False, slots=True)
class Charge:
    """What is in a node's battery. Plugged in, the node runs on the mains and the battery fills."""

    node: Node
    capacity: float
    plugs: Windows
    watts: float
    peak_watts: float  # the node never draws more
    level: float = 0.0  # at the last mark
    marked: float = 0.0  # when that was
    drawn: float = 0.0  # what the node had drawn by then
    plugged: bool = False

    def joules(self) -> float:
        """In the battery now."""
        if self.plugged:
            return min(self.capacity, self.level + self.watts * (self.node.env.now - self.marked))
        return max(0.0, self.level - (self.node.drawn() - self.drawn))

    def mark(self, plugged: bool) -> None:
        """Note the level; from now on it is on the mains or not."""
        self.level, self.marked, self.drawn = self.joules(), self.node.env.now, self.node.drawn()
        self.plugged = plugged

    @property
    def empty(self) -> bool:
        """Whether nothing is left that the clock could resolve."""
        now = self.node.env.now
        return not self.plugged and now + self.joules() / self.peak_watts <= now


def charge_of(node: Node, hierarchy: Hierarchy, seed: int) -> Charge:
    """The battery of a node whose battery is followed, as charged at the start as the seed draws it."""
    battery, profile, parent = node.costs.battery, node.profile, hierarchy.parent(node.name)
    assert battery is not None
    assert profile is not None
    ends = (*([parent] if parent else []), *hierarchy.children(node.name), *hierarchy.peers(node.name))
    links = [hierarchy.link(node.name, end) for end in ends]
    radio = math.fsum(link.transmit_watts + link.receive_watts + link.tail_watts for link in links)
    level = profile.battery_joules * stream(seed, "battery", node.name).uniform(*battery.initial)
    peak = node.idle_watts + node.full_watts + radio or math.ulp(0.0)  # what draws nothing never runs dry
    plugs = Windows(battery.plugged, battery.every)
    return Charge(node, profile.battery_joules, plugs, battery.charge_watts, peak, level)
