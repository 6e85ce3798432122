"""Whether an algorithm can do in a plan, on a tree, what it is to do there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.data.samples import Study
from models.federation.algorithm import Algorithm, Setting
from models.model import Model
from models.training import Recipe
from simulator.broods import Brood, active
from simulator.plan import Stage
from topologies.hierarchy import Hierarchy


def refuse_unsuited(
    algorithms: Mapping[str, Algorithm],
    recipes: Mapping[str, Recipe],
    model: Model,
    study: Study,
    tree: Hierarchy,
    stages: Sequence[Stage],
) -> None:
    """ValueError for the first stage, by name, whose algorithm does not suit its recipe, the data, or its plan."""
    for stage in stages:
        algorithm = algorithms[stage.name]
        algorithm.check(Setting(recipes[stage.name], model, study.clients))
        for tier, plan in stage.plan.items():
            sent = (*algorithm.up, *algorithm.figures)
            if plan.peers is not None and sent:
                raise ValueError(
                    f"plan.{tier}.peers: the algorithm sends {', '.join(sent)} beside the weights, which peers do not "
                    "pass on; leave peers out, or take another algorithm"
                )
            for node in tree.nodes(tier) if algorithm.least > 1 else ():
                there = len(Brood(tuple(active(tree, node, stage)), ()))
                if there < algorithm.least:
                    raise ValueError(
                        f"learning.algorithm: a merge takes {algorithm.least} children or more, and {node} has "
                        f"{there}; change the algorithm's knobs, or leave {tier} out of the plan"
                    )
