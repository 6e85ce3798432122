"""Small worlds with round figures, and a workload that keeps a diary instead of learning."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from simulator.interfaces import Packet, Work
from simulator.records import Span
from simulator.workloads import CostOnly
from topologies.hierarchy import Hierarchy
from topologies.profiles import DeviceProfile, LinkProfile


def device(flops_per_s=4.0, *, idle=1.0, busy=3.0):
    """A device that sustains *flops_per_s*: half of its peak."""
    return DeviceProfile("device", "device", 2 * flops_per_s, 0.5, 1, 1e9, 1e9, idle, busy)


def wire(up, down=None, *, latency=0.0, shared=False):
    """A link whose ends add 2 W (transmitting) and 0.5 W (receiving) above the radio's idle."""
    rates = (up, up if down is None else down)
    watts = {"transmit_watts": 2.25, "receive_watts": 0.75, "idle_watts": 0.25}
    return LinkProfile("link", "wifi" if shared else "wire", *rates, shared, latency, **watts)


def cell(up, down=None, *, latency=0.0):
    """A wireless cell: one medium for all its stations, both ways."""
    return wire(up, down, latency=latency, shared=True)


def room(*devices, link, edge=None):
    """A room, the root, with tablet0, tablet1, ... on one *link*."""
    tree = Hierarchy("room", "room", edge)
    for number, profile in enumerate(devices):
        tree.add(f"tablet{number}", "room", "device", profile, link)
    return tree


def house(*links, tablets=1):
    """The cloud, perhaps a campus, a room and tablets, all of the same device; *links* from above."""
    tree, above = Hierarchy("cloud", "cloud", device()), "cloud"
    for tier, link in zip(["campus", "room"][1 - len(links) :], links[:-1], strict=True):
        tree.add(tier, above, tier, device(), link)
        above = tier
    for number in range(tablets):
        tree.add(f"tablet{number}", above, "device", device(), links[-1])
    return tree


def computed(tree, node, activity, modules, times, flops, *, at=(1, ""), status="done"):
    """The span of a computation that did *flops* in *times*, charged the watts above idle for the time they take."""
    profile = tree.profile(node)
    joules = (profile.busy_watts - profile.idle_watts) * flops / (profile.flops_per_s * profile.utilisation)
    row = (node, tree.tier(node), "", *at, modules, *times, joules, 0, flops)
    return Span("compute", *row, status, activity)


def moved(tree, sender, receiver, modules, times, nbytes, *, at=(1, ""), bits=None, status="done"):
    """The spans of both ends of one hop, charged the watts above idle for the time that the bits take alone."""
    link, up = tree.link(sender, receiver), tree.parent(sender) == receiver
    seconds = (8 * nbytes if bits is None else bits) / (link.up_bits_per_s if up else link.down_bits_per_s)
    watts = {"transmit": link.transmit_watts - link.idle_watts, "receive": link.receive_watts - link.idle_watts}
    ends = [(sender, receiver), (receiver, sender)]
    rest = (nbytes, 0.0, status, "up" if up else "down")
    return [
        Span(kind, node, tree.tier(node), peer, *at, modules, *times, power * seconds, *rest)
        for (kind, power), (node, peer) in zip(watts.items(), ends, strict=True)
    ]


def times(log, **wanted):
    """When the spans that match began and ended, in the order of the log."""
    return [(s.start_s, s.end_s) for s in log.spans if all(getattr(s, key) == value for key, value in wanted.items())]


class Mark(NamedTuple):
    """One score of a model: how long its diary is."""

    node: str
    value: float
    task: str = "diary"
    modality: str = ""
    split: str = "test"
    group: str = ""
    name: str = "length"


@dataclass
class Diary(CostOnly):
    """A workload whose states are what happened to them; nodes absent from *holds* hold every module.

    *flops* are those of packing, merging and scoring; *calls* records every merge, and *trained* every training.
    """

    holds: Mapping[str, set[str]] = field(default_factory=dict)
    flops: Mapping[str, float] = field(default_factory=dict)
    calls: list = field(default_factory=list)
    trained: list = field(default_factory=list)

    def start(self, node):
        return ()

    def work(self, node, activity, step, modules=(), count=1):
        if activity != "train":
            return Work(self.flops.get(activity, 0.0) * count)
        return Work(sum(self.sizes[m].flops for m in self._held(node, self._trainable)))

    def train(self, node, state, step):
        self.trained.append((node, step))
        return (*state, f"train {step}")

    def pack(self, node, to, state, modules):
        both = self._held(to, self._held(node, modules))
        return Packet((node, *state), sum(self.sizes[m].nbytes for m in both), (*state, "sent"), tuple(both))

    def merge(self, node, own, received, modules, direction, count):
        senders = [arrival.sender for arrival in received]
        assert senders == [arrival.state[0] for arrival in received]
        self.calls.append((node, direction, senders, tuple(modules), count))
        return (*own, f"{direction} {'+'.join(senders)}")

    def evaluate(self, states):
        return [Mark(node, len(state)) for node, state in states.items()]

    def _held(self, node, modules):
        return [m for m in modules if m in self.holds.get(node, self.sizes)]
