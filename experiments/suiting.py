"""Whether an algorithm can do in a stage, on a tree, what it is to do there."""

from __future__ import annotations

from models.federation.algorithm import Algorithm, Setting
from simulator.gathering.broods import Brood, active
from simulator.plan import Stage
from topologies.hierarchy import Hierarchy


def refuse_unsuited(algorithm: Algorithm, setting: Setting, tree: Hierarchy, stage: Stage, key: str) -> None:
    """ValueError where it does not suit the stage's recipe, the model, the clients or the plan; *key* names it."""
    try:
        algorithm.check(setting)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
    sent = ", ".join((*algorithm.up, *algorithm.figures))
    for tier, plan in stage.plan.items():
        if plan.peers is not None and sent:
            raise ValueError(
                f"plan.{tier}.peers: the algorithm sends {sent} beside the weights, which peers do not pass on; leave "
                "peers out, or take another algorithm"
            )
        for node in tree.nodes(tier) if algorithm.least > 1 else ():
            there = len(Brood(tuple(active(tree, node, stage)), ()))
            if there < algorithm.least:
                raise ValueError(
                    f"{key}: a merge takes {algorithm.least} children or more, and {node} has {there}; change the "
                    f"algorithm's knobs, or leave {tier} out of the plan"
                )
