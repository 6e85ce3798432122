"""Whether an algorithm can do in a stage, on a tree, what it is to do there."""

from __future__ import annotations

from models.federation.algorithm import Algorithm, Setting
from simulator.gathering.broods import reporting
from simulator.plan import Stage
from topologies.hierarchy import Hierarchy


def refuse_unsuited(algorithm: Algorithm, setting: Setting, tree: Hierarchy, stage: Stage, key: str, name: str) -> None:
    """ValueError where it does not suit the stage's recipe, the model, the clients or the plan.

    *key* is where the scenario names it, *name* what it is called there.
    """
    try:
        algorithm.check(setting)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
    sent = ", ".join((*algorithm.up, *algorithm.figures))
    for tier, plan in stage.plan.items():
        if plan.peers is not None and sent:
            raise ValueError(
                f"plan.{tier}.peers: {name} sends {sent} beside the weights, which peers do not pass on; leave "
                "peers out, or take another algorithm"
            )
        for node in tree.nodes(tier) if algorithm.least > 1 else ():
            there = reporting(tree, node, stage)
            if there < algorithm.least:
                raise ValueError(
                    f"{key}: {name} takes {algorithm.least} reports or more, and {node} can have {there}; change the "
                    f"algorithm's knobs, or leave {tier} out of the plan, whose children then report to the tier above"
                )
