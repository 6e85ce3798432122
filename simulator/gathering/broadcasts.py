"""What a stage changed goes down once when it ends, each node passing on what it has received."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from simpy import Interrupt

from simulator.acts import GoneError
from simulator.groups.cohorts import Cohort
from simulator.groups.trips import Task
from simulator.knowledge import Knowledge
from simulator.messages import Steps
from simulator.plan import Stage
from simulator.records import At

S = TypeVar("S")


def broadcast(knowledge: Knowledge[S], node: str, stage: Stage, came: tuple[str, ...], at: At) -> Steps:
    """Send down what the stage changed, *came* being what came to *node*, and wait until all have it."""
    acts, members = knowledge.acts, knowledge.members
    modules = stage.sends(knowledge.hierarchy.tier(node), came)

    def inform(child: str) -> Steps:
        if not (stage.preinstalled or acts.nodes[child].here):
            acts.happen(child, "absent", f"not informed by {node} in {at}")
            return
        with acts.interruptible(child):
            try:
                yield from knowledge.send_down(node, child, modules, at, at.round, preinstalled=stage.preinstalled)
            except (GoneError, Interrupt):
                acts.happen(child, "uninformed", f"did not get the model of {node} in {at}")
                return
        # Not interruptible by its leaving now: it has the model, and those below that miss it say so themselves.
        yield from broadcast(knowledge, child, stage, modules, at)

    def inform_all(cohort: Cohort) -> Steps:
        down, nothing = members.news(cohort, modules), np.zeros(cohort.count)
        if not stage.preinstalled:
            yield from cohort.go(Task(down, nothing, nothing, None), at)
        members.informed(cohort, down, modules)

    informed = [inform(child) for child in knowledge.informed(node)]
    informed += [inform_all(cohort) for cohort in knowledge.cohorts(node)]
    yield acts.env.all_of([acts.env.process(each) for each in informed])
