"""Whom a node asks in one turn: those that its plan selects of the children that are there and not out already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar
from zlib import crc32

import numpy as np

from simulator.gathering.broods import Brood
from simulator.gathering.errands import Errands
from simulator.gathering.facts import Estimates
from simulator.gathering.selection import Knowing, chosen, everyone
from simulator.gathering.turns import Turn
from simulator.groups.cohorts import Cohort
from simulator.groups.trips import Who
from simulator.knowledge import Knowledge
from topologies.streams import stream

S = TypeVar("S")
Asked = tuple[Sequence[str], Mapping[Cohort, Who]]  # nodes, and members of cohorts


class Asking(Generic[S]):
    """Who is asked, and how often each was in the present stage, where a policy knows more than names."""

    def __init__(self, knowledge: Knowledge[S], errands: Errands, seed: int) -> None:
        self.knowledge, self.errands, self.seed = knowledge, errands, seed
        self.times: Counter[str] = Counter()

    def asked(self, turn: Turn, children: Brood) -> Asked:
        """The children that are to report; who is late and kept is not asked again before its report is merged."""
        node, plan = turn.node, turn.plan
        out = {errand.child for errand in self.errands.out(node)}
        if plan is None or plan.select is everyone:
            nodes, cohorts = children.all()
            return [child for child in nodes if child not in out] if out else nodes, cohorts
        random = stream(self.seed, "select", node, crc32(f"{turn.stage.name}|{turn.at}".encode()))
        k = self.knowledge
        facts = None
        if isinstance(plan.select, Knowing):
            facts = Estimates(k.acts, k.workload, k.states, k.steps, self.times, turn)
        there = k.acts.nodes
        if not out and all(there[child].here for child in children.nodes):
            nodes, cohorts = children.some(chosen(plan.select, children, random, facts))
        else:
            free = [n for n, c in enumerate(children) if c not in there or (there[c].here and c not in out)]
            places = chosen(plan.select, [children[n] for n in free], random, facts)
            nodes, cohorts = children.some(np.array(free, np.int64)[places])
        if facts:
            self.times.update(nodes)
        return nodes, cohorts
