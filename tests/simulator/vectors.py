"""Siblings whose models are vectors with votes, and a way to have them meet without a federation around."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np
import simpy

from simulator.acts import Acts
from simulator.costs import Costs
from simulator.interfaces import Packet, Work
from simulator.records import At, Log
from simulator.sideways.cluster import Cluster
from simulator.workloads import CostOnly, Size
from tests.simulator.worlds import device, wire
from topologies.hierarchy import Hierarchy

NBYTES = 8  # of a model: 64 bits


class Copy(NamedTuple):
    """A model and its votes."""

    vector: np.ndarray
    votes: float = 1.0


@dataclass
class Vectors(CostOnly):
    """The arithmetic of merging, on vectors; merging takes *flops* per copy, and training *training*."""

    sizes: Mapping[str, Size] = field(default_factory=lambda: {"m": Size(NBYTES)})
    flops: float = 0.0
    training: float = 0.0
    asked: list = field(default_factory=list)

    def work(self, node, activity, step, modules=(), count=1):
        return Work({"merge": self.flops * count, "train": self.training}.get(activity, 0.0))

    def train(self, node, state, step):
        return Copy(state.vector + 10**step, state.votes + 1)

    def pack(self, node, to, state, modules):
        return Packet(state, sum(self.sizes[m].nbytes for m in modules), Copy(state.vector, 0.0), tuple(modules))

    def merge(self, node, own, received, modules, direction, count):
        votes = [arrival.state.votes for arrival in received]
        if direction == "level":
            mean = sum(votes) / len(votes)
            return Copy(own.vector * own.votes / mean, mean) if mean else own
        weights = [v if a.weight is None else a.weight for v, a in zip(votes, received, strict=True)]
        if not sum(weights):  # nobody voted
            return own
        vector = sum(w * a.state.vector for w, a in zip(weights, received, strict=True)) / sum(weights)
        return Copy(vector, sum(votes) if direction == "pool" else own.votes)

    def signal(self, name, states, modules):
        self.asked.append((name, tuple(states)))
        z = [copy.votes * copy.vector for copy in states.values()]
        norms = [float(np.linalg.norm(each)) for each in z]
        largest = [float(np.abs(copy.vector).max()) for copy in states.values()]
        return {
            "max": max((float(np.linalg.norm(a - b)) for a, b in combinations(z, 2)), default=0.0),
            "spread": max(norms) - min(norms),
            "inf": max(largest) - min(largest),
        }


def friends(names, pairs, link=None, *, tier="device", **attributes):
    """A room, the root, and its children, joined by *pairs*: two names, and perhaps a link of their own."""
    tree = Hierarchy("room", "room")
    for name in names:
        tree.add(name, "room", tier, device(), wire(64), **{key: v[name] for key, v in attributes.items()})
    for a, b, *own in pairs:
        tree.connect(a, b, own[0] if own else link or wire(64))
    return tree


class Met(NamedTuple):
    """What came of a meeting."""

    reports: list
    states: dict
    log: Log
    end_s: float
    acts: Acts

    def joules(self, kind):
        return sum(span.joules for span in self.log.spans if span.kind == kind)

    def spans(self, kind="transmit"):
        return [(s.node, s.peer, s.start_s, s.end_s, s.status) for s in self.log.spans if s.kind == kind]

    def kinds(self):
        return [(h.node, h.kind) for h in self.log.happenings]


def meet(tree, policy, states, *, workload=None, due=False, costs=None, gone=None, turns=1, seed=1, cut=None):
    """Have the room's children do what *policy* says, in so many turns; *gone* are those who leave, and when.

    At *cut*, their time is over.
    """
    env, log = simpy.Environment(), Log()
    acts = Acts(env, tree, costs or Costs(), seed, log)
    states, reports, ended, workload = dict(states), [], [], workload or Vectors()

    def leave(node, seconds):
        yield env.timeout(seconds)
        acts.nodes[node].leave("left")

    steps = Counter()

    def go():
        for turn in range(turns):
            there = tuple(m for m in tree.children("room") if acts.nodes[m].here)
            at, modules = At(1, (turn,)), tuple(workload.sizes)
            cluster = Cluster(
                acts, workload, "room", there, modules, at, modules if due else (), seed, turn == turns - 1, None, steps
            )
            try:
                reports.extend((yield from policy(cluster, states)))
            except simpy.Interrupt:
                assert env.now == cut
                break
        ended.append(env.now)

    def stop():
        yield env.timeout(cut)
        if meeting.is_alive:
            meeting.interrupt("late")

    policy.check(tree, tree.children("room"))
    for node, seconds in (gone or {}).items():
        if seconds:
            env.process(leave(node, seconds))
        else:
            acts.nodes[node].leave("absent")
    meeting = env.process(go())
    if cut is not None:
        env.process(stop())
    env.run()
    (end_s,) = ended  # nobody waits for ever
    return Met(reports, states, log, end_s, acts)
