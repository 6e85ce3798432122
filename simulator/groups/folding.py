"""Which groups can run as arrays; the others run as nodes, and why is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.costs import Costs
from simulator.gathering.selection import Knowing
from simulator.groups.cohorts import cells
from simulator.interfaces import Groupable
from simulator.plan import Deadline, Evaluate, Stage, barrier
from simulator.presence import Presence, always
from simulator.records import Happening, Log
from topologies.groups import Group
from topologies.hierarchy import Hierarchy

OTHERS = "others are in its cell"


def folded(
    tree: Hierarchy, workload: object, stages: Sequence[Stage], evaluate: Evaluate, costs: Costs, presence: Presence,
    log: Log,
) -> Hierarchy:  # fmt: skip
    """The tree with those groups as nodes that cannot run as arrays; why is a happening of their parent."""
    reasons = {g.name: hindrance(tree, g, workload, stages, evaluate, costs, presence) for g in tree.groups()}
    unfold = []
    for parent in dict.fromkeys(group.parent for group in tree.groups()):
        for cell in cells(tree.groups(parent)):
            mixed = None if any(reasons[group.name] for group in cell) else unlike(workload, cell)
            for group in cell:  # a cell is arrays or nodes, not both
                reason = reasons[group.name] or mixed or (OTHERS if any(reasons[g.name] for g in cell) else None)
                if reason:
                    unfold.append(group)
                    log.happenings.append(Happening(0.0, parent, "unfolded", f"{group.name}: {reason}"))
    return tree.unfolded(unfold) if unfold else tree


def alike(workload: object) -> bool:
    """Whether nobody has a state of its own, so that members need no names; a subclass must say so itself."""
    return bool(vars(type(workload)).get("alike", False))


def unlike(workload: object, groups: Sequence[Group]) -> str | None:
    """Why the members of some groups cannot send packets of one size; None if they can."""
    if alike(workload) or not isinstance(workload, Groupable):
        return None
    return workload.unlike([group.name_of(i) for group in groups for i in range(group.count)])


def hindrance(
    tree: Hierarchy, group: Group, workload: object, stages: Sequence[Stage], evaluate: Evaluate, costs: Costs,
    presence: Presence,
) -> str | None:  # fmt: skip
    """Why a group cannot run as arrays; None if nothing but its members' packets can hinder it."""
    plans = [stage.plan.get(tree.tier(group.parent)) for stage in stages if stage.at == group.tier]
    given = [plan for plan in plans if plan is not None]
    above = tree.profile(group.parent)
    reasons = {
        "its members learn one by one": not (alike(workload) or isinstance(workload, Groupable)),
        "its parent only forwards": None in plans,
        "the parent waits otherwise than for all or until a deadline": any(
            plan.wait is not barrier and not isinstance(plan.wait, Deadline) for plan in given
        ),
        "its parent keeps those that are late": any(plan.late == "keep" for plan in given),
        "modules travel at times of their own": any(plan.every or plan.down is not None for plan in given),
        "its members have peers": any(plan.peers is not None for plan in given),
        "its members go on training meanwhile": any(plan.meanwhile == "train" for plan in given),
        "whom to ask depends on each member": any(isinstance(plan.select, Knowing) for plan in given),
        "its members are scored": group.tier in evaluate.tiers,
        "its members come and go": presence is not always,
        "its batteries are followed": bool(costs.battery and group.profile.battery_joules),
        "the battery of its parent is followed": bool(
            costs.battery and above and above.battery_joules and group.parent != tree.root
        ),
        "its members share a processor": "host" in group.attributes,
        OTHERS: group.link.shared and not _alone(tree, group),
        "its members stand in buildings that count": group.profile.pue > 1 and costs.pue,
        "carbon changes by the hour": bool(costs.carbon and len(costs.carbon.grams_per_joule) > 1),
        "costs ask for it": costs.multicast or costs.half_duplex or costs.jitter or costs.latency_power == "transmit",
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _alone(tree: Hierarchy, group: Group) -> bool:
    """Whether only groups that do the same are in its cell."""
    neighbours = (*tree.children(group.parent), *tree.peers(group.parent))
    media = {tree.medium(node, group.parent) for node in neighbours}
    cell = f"{group.parent}|{group.link.name}"
    return cell not in media and all(_alike(group, other) for other in tree.groups(group.parent))


def _alike(group: Group, other: Group) -> bool:
    """Whether two groups of a parent are not in one cell, or do the same there over links that differ in rates only."""
    mine, theirs = group.link, other.link
    if theirs.name != mine.name:
        return True
    if theirs != mine:
        theirs = replace(theirs, up_bits_per_s=mine.up_bits_per_s, down_bits_per_s=mine.down_bits_per_s)
    return other.tier == group.tier and theirs == mine
