"""The same federation in the simulator: its processes are nodes that share this machine's processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from experiments.reality.configurations import Configuration
from experiments.reality.federation import parents
from experiments.reality.phases import CLOUD, Phase, causes
from experiments.reality.wire import message_bytes
from simulator.costs import Costs
from simulator.interfaces import Activity, Work
from simulator.plan import Plan, Stage, TierPlan
from simulator.records import Span
from simulator.run import simulate
from simulator.workloads import CostOnly, Size
from topologies.hierarchy import Hierarchy
from topologies.profiles import DeviceProfile, LinkProfile

MODULE = "model"
Design = Literal["fair", "crowded"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the twin needs to know of this machine.

    By net: the seconds of a training step alone, and what switching between many trainings takes of the processor
    (`simulator.costs.Costs.crowding`). The seconds that a message takes beyond its bits at the link's rate, and those
    that copying a model takes, per byte: merging reads each child's, packing its own.
    """

    step_seconds: Mapping[str, float]
    crowding: Mapping[str, float]
    message_seconds: float
    copy_seconds_per_byte: float


@dataclass(frozen=True, slots=True)
class Simulated:
    """A round in the simulator: how long, its phases, and where the time went along its critical path."""

    seconds: float
    phases: Sequence[Phase]
    causes: Mapping[str, float]


@dataclass(slots=True)
class Costed(CostOnly):
    """Training, packing and merging at given costs; a FLOP stands for a second of one core alone.

    Devices pack; an edge sends what it has merged as it lies in memory.
    """

    train_seconds: Mapping[str, float] = field(default_factory=dict)
    copy_seconds: float = 0.0

    def work(self, node: str, activity: Activity, step: int, modules: Sequence[str] = (), count: int = 1) -> Work:
        """Seconds of a core."""
        if activity == "train":
            return Work(self.train_seconds[node])
        copies = {"merge": count, "pack": node in self.train_seconds}.get(activity, 0)
        return Work(self.copy_seconds * copies)


def twin(configuration: Configuration, parameters: Parameters, cores: int, design: Design = "crowded") -> Simulated:
    """Simulate one round; in the *fair* design the processor is shared at no loss."""
    net = configuration.net
    seconds = {
        device: configuration.steps_of(index) * parameters.step_seconds[net.name]
        for index, (device, _) in enumerate(configuration.parents())
    }
    size = {MODULE: Size(message_bytes(net.nbytes))}
    workload = Costed(size, train_seconds=seconds, copy_seconds=parameters.copy_seconds_per_byte * net.nbytes)
    plan = Plan({CLOUD: TierPlan((MODULE,)), "edge": TierPlan((MODULE,))})
    stage = Stage("round", plan, at="device", trainable=(MODULE,))
    costs = Costs(crowding=parameters.crowding[net.name] if design == "crowded" else 0.0)
    tree = hierarchy(configuration, parameters.message_seconds, cores)
    log = simulate(tree, workload, [stage], costs=costs, final_broadcast=False)
    found = [_phase(span) for span in log.spans if span.kind != "receive"]  # a transfer is recorded at both ends
    return Simulated(log.end_s, found, causes(found, parents(configuration), log.end_s))


def hierarchy(configuration: Configuration, message_seconds: float, cores: int) -> Hierarchy:
    """The tree of a configuration; all its nodes are jobs on one host of so many *cores*."""
    host = DeviceProfile("this machine", "server", float(cores), 1.0, cores, 1e9, 1e9, 0.0, 0.0)
    tree = Hierarchy(CLOUD, CLOUD, host, host="here")
    trunk = _link("trunk", configuration.trunk_bits_per_s, message_seconds, configuration.shared_trunk)
    for edge in configuration.edges:
        tree.add(edge, CLOUD, "edge", host, trunk, host="here")
    for index, (device, edge) in enumerate(configuration.parents()):
        access = _link("access", configuration.access_of(index), message_seconds, configuration.shared_access)
        tree.add(device, edge, "device", host, access, host="here")
    return tree


def _link(name: str, rates: tuple[float, float], message_seconds: float, shared: bool) -> LinkProfile:
    up, down = rates
    return LinkProfile(name, "ethernet", up, down, shared=shared, latency_seconds=message_seconds)


def _phase(span: Span) -> Phase:
    node = span.peer if span.activity == "down" else span.node
    return Phase(node, span.activity, span.start_s, span.end_s)
