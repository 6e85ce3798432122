"""What goes in comes out, over a fixed set of random worlds: bits, seconds and joules counted in two ways.

One way is what the simulator charges, by amounts that have passed. The other looks at the clock alone: a processor, a
wire or a cell is busy while anything is under way on it, so the power of each thing can be integrated over the union of
its spans. Deadlines, `FirstOf` and churn cut computations and transfers short in many of the worlds.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from experiments.ledger import node_rows, total_joules
from experiments.validation.check import Check, Row, close, worst
from experiments.validation.estimates import stream
from simulator.interfaces import Packet
from simulator.plan import Deadline, FirstOf, Plan, Stage, TierPlan, Wait, barrier
from simulator.presence import Churn, Presence, always
from simulator.records import Log, Span
from simulator.run import simulate
from simulator.workloads import CostOnly, Size
from topologies.hierarchy import Hierarchy
from topologies.profiles import DeviceProfile, LinkProfile

WORLDS = 40
TIERS = ("campus", "room", "device")
MODULES = ("a", "b")
LINK = LinkProfile(
    name="link", kind="radio", up_bits_per_s=1.0, down_bits_per_s=1.0, transmit_watts=2.0, receive_watts=1.25,
    idle_watts=0.25,
)  # fmt: skip
RADIO_WATTS = {"transmit": LINK.transmit_watts - LINK.idle_watts, "receive": LINK.receive_watts - LINK.idle_watts}
Interval = tuple[float, float]


@dataclass(slots=True)
class Packing(CostOnly):
    """A workload that counts the bytes it packs, by sender and receiver."""

    packed: Counter[tuple[str, str]] = field(default_factory=Counter)

    def pack(self, node: str, to: str, state: None, modules: Sequence[str]) -> Packet[None]:
        """As given, and counted."""
        packet = CostOnly.pack(self, node, to, state, modules)
        self.packed[node, to] += packet.nbytes
        return packet


@dataclass(frozen=True, slots=True)
class World:
    """A tree, what its nodes pack, and who is there; and what happened."""

    tree: Hierarchy
    packed: Mapping[tuple[str, str], int]
    presence: Presence
    log: Log


def world(number: int) -> World:
    """Up to four tiers of one to three children each; links, devices, sizes and waits are drawn."""
    rng = stream(f"world {number}")
    tree, level = Hierarchy("cloud", "cloud", _device(rng)), ["cloud"]
    for tier in TIERS[int(rng.integers(3)) :]:
        below = []
        for parent in level:
            link, shared = _link(rng), bool(rng.integers(2))
            for child in range(int(rng.integers(1, 4))):
                below.append(f"{parent}/{tier}{child}")
                own = replace(link if shared else _link(rng), shared=shared)
                tree.add(below[-1], parent, tier, _device(rng), own)
        level = below
    seconds, first = float(rng.uniform(5, 60)), int(rng.integers(1, 4))
    fewest = min(len(tree.children(node)) for tier in tree.tiers[:-1] for node in tree.nodes(tier))
    waits: tuple[Wait, ...] = (barrier, Deadline(seconds), FirstOf(min(first, fewest)))
    plan = Plan({t: TierPlan(MODULES, int(rng.integers(1, 4)), waits[rng.integers(3)]) for t in tree.tiers[:-1]})
    sizes = {m: Size(int(rng.integers(1, 60)), float(rng.integers(1, 300))) for m in MODULES}
    churning = rng.integers(2) and Churn(number, 40.0, 10.0, frozenset(level))
    presence = churning or always
    workload = Packing(sizes)
    log = simulate(tree, workload, [Stage("federate", plan, trainable=MODULES)], presence=presence)
    return World(tree, workload.packed, presence, log)


def _device(rng: np.random.Generator) -> DeviceProfile:
    speed, idle = float(rng.integers(10, 200)), float(rng.uniform(0.5, 2))
    return DeviceProfile(
        name="device", kind="device", flops_per_s=2 * speed, utilisation=0.5, cores=1, memory_bytes=1e9,
        memory_bytes_per_s=1e9, idle_watts=idle, busy_watts=idle + float(rng.uniform(1, 20)),
    )  # fmt: skip


def _link(rng: np.random.Generator) -> LinkProfile:
    up, down = rng.integers(10, 400, 2)
    latency = float(rng.choice([0.0, 0.1, 0.7]))
    return replace(LINK, up_bits_per_s=float(up), down_bits_per_s=float(down), latency_seconds=latency)


def bits(it: World) -> list[Row]:
    """Bytes received over each link and direction, and sent; where all went well, those that the workload packed."""
    sent, received = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for span in it.log.spans:
        if span.kind == "transmit":
            sent[span.node, span.peer] += span.nbytes
        elif span.kind == "receive":
            received[span.peer, span.node] += span.nbytes
    expected = sent if it.log.happenings else it.packed
    return [close("bits", expected[ends], received[ends]) for ends in expected]


def airtime(it: World) -> list[Row]:
    """How long bits take at their rates on each wire and cell, and how long it was busy by the clock.

    Without those on which a transfer was cut short: its span has whole bytes only.
    """
    rates, cut = defaultdict[str, list[float]](list), set()
    for span in it.log.spans:
        if span.kind == "transmit":
            link, up = it.tree.link(span.node, span.peer), it.tree.parent(span.node) == span.peer
            thing = _thing(it.tree, span)
            rates[thing].append(8 * span.nbytes / (link.up_bits_per_s if up else link.down_bits_per_s))
            if span.status == "interrupted":
                cut.add(thing)
    busy = _busy(it)
    return [close("airtime", _union(busy[thing]), math.fsum(rates[thing])) for thing in rates if thing not in cut]


def seconds(it: World) -> list[Row]:
    """How long each processor, wire and cell was at work by what it was charged for, and by the clock."""
    charged = defaultdict[str, list[float]](list)
    for span in it.log.spans:
        if span.kind != "receive":
            charged[_thing(it.tree, span)].append(span.joules / _watts(it.tree, span))
    clock = {thing: _union(intervals) for thing, intervals in _busy(it).items()}
    return [close("seconds", clock[thing], math.fsum(charged[thing])) for thing in clock]


def joules(it: World) -> list[Row]:
    """The energy of all nodes as reported, and the integral of power over the clock."""
    integral = []
    for thing, intervals in _busy(it).items():
        profile = it.tree.profile(thing) if thing in it.tree else None
        watts = profile.busy_watts - profile.idle_watts if profile else sum(RADIO_WATTS.values())
        integral.append(watts * _union(intervals))
    for node in it.tree.nodes():
        profile = it.tree.profile(node)
        integral.append(profile.idle_watts * _present(it, node) if profile else 0.0)
    return [close("joules", math.fsum(integral), total_joules(node_rows(it.tree, it.log)))]


def _thing(tree: Hierarchy, span: Span) -> str:
    """What a span keeps busy: a processor, by its node, a cell, or one direction of a wire."""
    if span.kind == "compute":
        return span.node
    return tree.medium(span.node, span.peer) or f"{span.node} -> {span.peer}"


def _watts(tree: Hierarchy, span: Span) -> float:
    profile = tree.profile(span.node)
    assert profile is not None
    return profile.busy_watts - profile.idle_watts if span.kind == "compute" else RADIO_WATTS[span.kind]


def _busy(it: World) -> Mapping[str, Sequence[Interval]]:
    """When work was under way on each thing; a transfer's latency is none."""
    busy = defaultdict[str, list[Interval]](list)
    for span in it.log.spans:
        if span.kind != "receive":
            latency = 0.0 if span.kind == "compute" else it.tree.link(span.node, span.peer).latency_seconds
            busy[_thing(it.tree, span)].append((span.start_s + latency, span.end_s))
    return busy


def _union(intervals: Iterable[Interval]) -> float:
    """The length of what intervals cover together."""
    lengths, reached = [], 0.0
    for start, end in sorted(intervals):
        lengths.append(max(0.0, end - max(start, reached)))
        reached = max(reached, end)
    return math.fsum(lengths)


def _present(it: World, node: str) -> float:
    """How long a node was there."""
    lengths, now = [], 0.0
    while now < it.log.end_s:
        there, until = it.presence(node, now)
        until = min(until, it.log.end_s)
        lengths.append(there * (until - now))
        now = until
    return math.fsum(lengths)


def conserved() -> list[Row]:
    """The worst of all worlds: bytes of a link, airtime and seconds of a thing, joules of a world."""
    worlds = [world(number) for number in range(WORLDS)]
    rows = []
    for count in (bits, airtime, seconds, joules):
        found = [row for it in worlds for row in count(it)]
        title = f"{count.__name__}: the worst of {len(found)} in {WORLDS} worlds"
        rows.append(replace(worst(found), check=title))
    cut = sum(span.status == "interrupted" for it in worlds for span in it.log.spans)
    return [replace(row, check=f"{row.check}, {cut} spans cut short") for row in rows]


def checks() -> list[Check]:
    """One check of all worlds."""
    return [Check("conservation", conserved)]
