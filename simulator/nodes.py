"""A node at run time: its processor, its radios, its battery, and the one account of what it draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from simpy import Environment, Process

from simulator.account import Account
from simulator.batteries import Charge, charge_of
from simulator.costs import Costs, compute_seconds, rest_joules
from simulator.fluid import Flow, Fluid, Resource
from simulator.interfaces import Work
from topologies.hierarchy import Hierarchy
from topologies.profiles import DeviceProfile, LinkProfile

BACKGROUND = 0.0  # the weight of scoring on a processor: it gets what training leaves


@dataclass(eq=False, slots=True)
class Radio:
    """A station's radio: busy with so many messages, or at rest since a time; its tail and sleep are charged then."""

    link: LinkProfile
    node: Node
    busy: int = 0
    used: bool = False
    rested: float = 0.0

    def begin(self) -> None:
        """One more message occupies it."""
        if self.busy == 0:
            self.settle()
        self.busy += 1

    def end(self) -> None:
        """One message less."""
        self.busy -= 1
        if self.busy == 0:
            self.used, self.rested = self.node.costs.tail, self.node.env.now

    def settle(self) -> None:
        """Charge the rest until now."""
        start, now = self.rested, self.node.env.now
        tail, sleep = self._rest(now)
        split = min(start + self.link.tail_seconds, now) if self.used else start
        self.node.account.add("tail", tail, start, split)
        self.node.account.add("sleep", sleep, split, now)
        self.used, self.rested = self.used and now < start + self.link.tail_seconds, now

    def joules(self) -> float:
        """What the rest so far has added to idle, not yet charged."""
        return sum(self._rest(self.node.env.now)) if self.busy == 0 and self.node.here else 0.0

    def _rest(self, now: float) -> tuple[float, float]:
        return rest_joules(self.link, now - self.rested, used=self.used, sleep=self.node.costs.sleep)


@dataclass(eq=False, slots=True)
class Job:
    """Work on a node's processor; the flow's unit is a second of the whole processor."""

    node: Node
    work: Work
    flow: Flow
    charged: float = 0.0  # joules until the node's last settling, where power is not linear
    counted: float = 0.0  # seconds of processor until then

    @property
    def flops(self) -> float:
        """Done so far."""
        return self.work.flops * (self.flow.passed / self.flow.amount)

    def joules(self) -> float:
        """What it has drawn above idle so far."""
        node = self.node
        if node.costs.power.linear:
            return node.full_watts * self.flow.passed
        node.settle()
        return self.charged


@dataclass(eq=False, slots=True)
class Host:
    """A machine that several nodes run on.

    Switching between more jobs than *cores* takes, of its rate, *crowding* times the share of the jobs that wait.
    """

    fluid: Fluid
    processor: Resource
    cores: int
    crowding: float
    jobs: int = 0
    nodes: list[Node] = field(default_factory=list)

    def count(self, change: int) -> None:
        """So many jobs more."""
        self.jobs += change
        waiting = max(0, self.jobs - self.cores)
        capacity = 1.0 - self.crowding * waiting / self.jobs if waiting else 1.0
        if capacity != self.processor.capacity:
            self.fluid.set_capacity(self.processor, capacity)


class Node:
    """What a node is doing and what it has drawn. A node without a profile costs nothing.

    `here` says whether it is there and alive; `doing` are the processes to interrupt when it leaves or dies.
    """

    def __init__(
        self,
        env: Environment,
        name: str,
        tier: str,
        profile: DeviceProfile | None,
        costs: Costs,
        processor: Resource | None,
    ) -> None:
        self.env, self.name, self.tier, self.profile = env, name, tier, profile
        self.costs, self.processor = costs, processor
        self.account = Account(costs.carbon)
        self.here, self.since = True, env.now
        self.doing: dict[Process, None] = {}
        self.running: dict[object, Callable[[], float]] = {}  # joules so far of what is not charged yet
        self.radios: dict[str, Radio] = {}
        self.jobs: list[Job] = []
        self.core = 1.0  # the share of the processor that one job may use
        self.host: Host | None = None  # what it shares with others
        self.charge: Charge | None = None
        self.full_watts = costs.power.above_idle(profile, 1.0) if profile else 0.0
        self.idle_watts = profile.idle_watts if profile and costs.idle else 0.0
        self._settled = env.now

    def start(self, fluid: Fluid, work: Work, weight: float) -> Job | None:
        """Put *work* on the processor; None if there is nothing that takes time."""
        if self.profile is None or self.processor is None or not self.costs.compute:
            return None
        seconds = compute_seconds(self.profile, work)
        if seconds == 0:
            return None
        job = Job(self, work, fluid.flow(seconds, [self.processor], weight=weight, rate_cap=self.core))
        self._settle_all()
        self.jobs.append(job)
        self.running[job] = job.joules
        if self.host and weight:  # scoring gets what the others leave, and takes nothing from them
            self.host.count(1)
        return job

    def finish(self, job: Job, kind: str, start: float) -> float:
        """Take a job off, charge it, and return its joules."""
        self._settle_all()
        joules = job.joules()
        self.jobs.remove(job)
        if self.host and job.flow.weight:
            self.host.count(-1)
        self.draw(job, kind, joules, start)
        return joules

    def draw(self, key: object, kind: str, joules: float, start: float) -> None:
        """Charge what *key* has drawn from *start* until now."""
        self.running.pop(key, None)
        self.account.add(kind, joules, start, self.env.now)

    def _settle_all(self) -> None:
        """Settle whoever computes at another rate from now on."""
        for node in self.host.nodes if self.host and not self.costs.power.linear else (self,):
            node.settle()

    def settle(self) -> None:
        """Share what the processor drew since the last settling among its jobs, by what each got of it."""
        passed, self._settled = self.env.now - self._settled, self.env.now
        if self.profile is None or self.costs.power.linear or not self.jobs or passed <= 0:
            return
        got = [job.flow.passed - job.counted for job in self.jobs]
        total = math.fsum(got)
        joules = self.costs.power.above_idle(self.profile, total / passed) * passed
        for job, part in zip(self.jobs, got, strict=True):
            job.counted += part
            job.charged += joules * part / total if total else 0.0

    def drawn(self) -> float:
        """Joules of all causes that load its battery, until now."""
        idle = self.idle_watts * (self.env.now - self.since) if self.here else 0.0
        resting = sum(radio.joules() for radio in self.radios.values())
        return self.account.own + idle + resting + sum(joules() for joules in self.running.values())

    def arrive(self) -> None:
        """It is there from now on; its radios have nothing to wind down."""
        self.here, self.since = True, self.env.now
        for radio in self.radios.values():
            radio.used, radio.rested = False, self.env.now

    def leave(self, cause: str) -> None:
        """It is gone from now on: whatever it does is interrupted."""
        self.close()
        self.here = False
        for process in tuple(self.doing):
            if process.is_alive:
                process.interrupt(cause)

    def close(self) -> None:
        """Charge idle and rest until now."""
        if not self.here:
            return
        now = self.env.now
        self.account.present_s += now - self.since
        self.account.add("idle", self.idle_watts * (now - self.since), self.since, now)
        for radio in self.radios.values():
            if radio.busy == 0:
                radio.settle()
        self.since = now


def nodes_of(fluid: Fluid, hierarchy: Hierarchy, costs: Costs, seed: int) -> Mapping[str, Node]:
    """Every node of a hierarchy at run time.

    Nodes of one `host` share its processor and, evenly, its idle watts; each uses one core.
    """
    hosts: dict[str, Host] = {}
    out = {}
    for name in hierarchy.nodes():
        profile, host = hierarchy.profile(name), hierarchy.attributes(name).get("host")
        processor = None
        if profile is not None and host is not None:
            if str(host) not in hosts:
                shared = fluid.resource(f"processor of host {host}", 1.0)
                hosts[str(host)] = Host(fluid, shared, profile.cores, costs.crowding)
            processor = hosts[str(host)].processor
        elif profile is not None:
            processor = fluid.resource(f"processor of {name}", 1.0)
        node = out[name] = Node(fluid.env, name, hierarchy.tier(name), profile, costs, processor)
        if profile is not None and host is not None:
            node.core, node.host = 1 / profile.cores, hosts[str(host)]
            node.host.nodes.append(node)
        for link in _stations(hierarchy, name):
            node.radios.setdefault(link.name, Radio(link, node, rested=fluid.env.now))
        if profile is not None and costs.battery and profile.battery_joules and name != hierarchy.root:
            node.charge = charge_of(node, hierarchy, seed)
    for shared_by in hosts.values():
        for node in shared_by.nodes:
            node.idle_watts /= len(shared_by.nodes)
    return out


def _stations(hierarchy: Hierarchy, node: str) -> Iterator[LinkProfile]:
    """The wireless links on which a node is a station: up, where its parent is the access point, and to its peers."""
    parent = hierarchy.parent(node)
    for other in (*([parent] if parent else []), *hierarchy.peers(node)):
        if hierarchy.link(node, other).carrier_hertz:
            yield hierarchy.link(node, other)
