"""The children of a node that take part in a stage, nodes and members of groups alike, and which of them are asked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import TypeVar, overload

import numpy as np

from simulator.gathering.policies import EnergyOf, FairOf, UtilityOf
from simulator.gathering.selection import Indices, RandomOf, everyone
from simulator.groups.cohorts import Cohort
from simulator.groups.trips import ALL, Who
from simulator.interfaces import Arrival
from simulator.plan import FirstOf, Stage, TierPlan
from topologies.groups import Group
from topologies.hierarchy import Hierarchy
from topologies.sideways import clusters

S = TypeVar("S")


class Brood(Sequence[str]):
    """Names of children in their order; those of members are made only when somebody asks for them.

    *entries* are the nodes and the groups among them, *cohorts* what the groups run as.
    """

    def __init__(self, entries: Sequence[str | Group], cohorts: Sequence[Cohort]) -> None:
        self.entries = entries
        self.nodes = tuple(entry for entry in entries if isinstance(entry, str))
        self.cohorts = tuple(cohorts)
        self._of: dict[str, tuple[Cohort, int]] = {}  # of a group, its cohort and the number of its first member there
        for cohort in cohorts:
            first = 0
            for group in cohort.groups:
                self._of[group.name] = cohort, first
                first += group.count

    @cached_property
    def _ends(self) -> list[int]:
        sizes = [1 if isinstance(entry, str) else entry.count for entry in self.entries]
        return np.cumsum(sizes).tolist()  # type: ignore[no-any-return]

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {name: place for place, name in enumerate(self)}

    def __len__(self) -> int:
        return self._ends[-1] if self.entries else 0

    def __iter__(self) -> Iterator[str]:
        for entry in self.entries:
            yield from (entry,) if isinstance(entry, str) else map(entry.name_of, range(entry.count))

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        entry, number = self._at(range(len(self))[index])
        return entry if isinstance(entry, str) else entry.name_of(number)

    def _at(self, place: int) -> tuple[str | Group, int]:
        """The entry at a place, and which of its members."""
        at = bisect_right(self._ends, place)
        return self.entries[at], place - (self._ends[at - 1] if at else 0)

    def all(self) -> tuple[Sequence[str], Mapping[Cohort, Who]]:
        """All nodes, and all members of every cohort."""
        return self.nodes, dict.fromkeys(self.cohorts, ALL)

    def some(self, places: Indices) -> tuple[Sequence[str], Mapping[Cohort, Who]]:
        """The nodes at these places, and the members of cohorts."""
        nodes, numbers = list[str](), dict[Cohort, list[int]]()
        for place in places.tolist():
            entry, number = self._at(place)
            if isinstance(entry, str):
                nodes.append(entry)
            else:
                cohort, first = self._of[entry.name]
                numbers.setdefault(cohort, []).append(first + number)
        return nodes, {cohort: np.sort(np.array(those)) for cohort, those in numbers.items()}

    def place(self, name: str) -> int:
        """Where a child stands among the others."""
        return self._places[name]

    def in_order(self, arrivals: list[Arrival[S]]) -> list[Arrival[S]]:
        """Reports of nodes and of members in child order, which they are in unless the two kinds are mixed."""
        if len(self.entries) < 2 or not self.cohorts:
            return arrivals
        return sorted(arrivals, key=lambda arrival: self._places[arrival.sender])


def brood(tree: Hierarchy, node: str, stage: Stage, cohorts: Sequence[Cohort]) -> Brood:
    """Those below *node* that report to it in *stage*."""
    return Brood(tuple(active(tree, node, stage)), [cohort for cohort in cohorts if cohort.tier == stage.at])


def active(tree: Hierarchy, node: str, stage: Stage) -> Iterator[str | Group]:
    """The nearest nodes and groups below that train or gather; those between only forward."""
    for child in tree.below(node):
        tier = child.tier if isinstance(child, Group) else tree.tier(child)
        if tier == stage.at or tier in stage.plan:
            yield child
        elif isinstance(child, str):
            yield from active(tree, child, stage)


def check_selection(tree: Hierarchy, stages: Sequence[Stage]) -> None:
    """Refuse to ask, or to wait for, more children than a node has."""
    for stage in stages:
        for tier, plan in stage.plan.items():
            asked = _asked(plan)
            first = plan.wait.k if isinstance(plan.wait, FirstOf) else None
            for node in tree.nodes(tier) if asked or first else ():
                there = len(Brood(tuple(active(tree, node, stage)), ()))
                if asked and asked > there:
                    policy = type(plan.select).__name__.removesuffix("Of").lower()
                    raise ValueError(
                        f"plan.{tier}.select.{policy}: {node} has {there} children, so it cannot ask {asked}"
                    )
                if first and first > (asked or there):
                    whom = f"asks {asked} of its" if asked else f"has {there}"
                    raise ValueError(f"plan.{tier}.wait.first: {node} {whom} children, so {first} can never arrive")
                if first and 0 < (reports := _speaking(tree, node, stage)) < first:
                    raise ValueError(
                        f"plan.{tier}.wait.first: the children of {node} meet their peers, of whom {reports} "
                        f"report, so {first} can never arrive"
                    )


def reporting(tree: Hierarchy, node: str, stage: Stage) -> int:
    """How many reports *node* gets at most in a turn of *stage*.

    One of each child that is asked, or as many as its children's peers report, and no more than it waits for.
    """
    plan, there = stage.plan[tree.tier(node)], _speaking(tree, node, stage)
    return min(there, plan.wait.k) if isinstance(plan.wait, FirstOf) and plan.late == "drop" else there


def _speaking(tree: Hierarchy, node: str, stage: Stage) -> int:
    children, plan = Brood(tuple(active(tree, node, stage)), ()), stage.plan[tree.tier(node)]
    one = getattr(plan.peers, "for_others", False)
    reports = getattr(plan.peers, "reports", lambda members: 1 if one else len(members))  # of a cluster
    there = sum(map(reports, clusters(tree, tuple(children)))) if plan.peers else len(children)
    return min(there, _asked(plan) or there)


def _asked(plan: TierPlan) -> int | None:
    return plan.select.k if isinstance(plan.select, RandomOf | UtilityOf | EnergyOf | FairOf) else None


def _check_peers(tree: Hierarchy, stage: Stage, tier: str) -> None:
    """Refuse peers that are named but are not there, that have no way to each other, or that not all meet."""
    plan = stage.plan[tier]
    assert plan.peers is not None
    families = [tuple(Brood(tuple(active(tree, node, stage)), ())) for node in tree.nodes(tier)]
    everyone_there = {child for family in families for child in family}
    for name in getattr(plan.peers, "names", ()):
        if name not in everyone_there:
            near = get_close_matches(name, everyone_there, n=1) or sorted(everyone_there)[:1]
            wrong = f"{name} is no child of a {tier}" if name in tree else f"there is no node {name!r}"
            raise ValueError(f"plan.{tier}.peers: {wrong}; a child is called, for example, {near[0]!r}")
    try:
        for family in families:
            plan.peers.check(tree, family)
    except ValueError as error:
        raise ValueError(f"plan.{tier}.peers: {error}") from error
    some = plan.select is not everyone and getattr(plan.peers, "connected", getattr(plan.peers, "for_others", False))
    if some and not all(_all_linked(tree, members) for family in families for members in clusters(tree, family)):
        raise ValueError(
            f"plan.{tier}.select: who is not asked may cut the others off from each other; link everyone with "
            "everyone, or ask everyone"
        )


def _all_linked(tree: Hierarchy, members: Sequence[str]) -> bool:
    """Whether each has a link to each, so that any of them can do without the others."""
    return all(set(members) - {member} <= set(tree.peers(member)) for member in members)


def check_needs(tree: Hierarchy, workload: object, stages: Sequence[Stage]) -> None:
    """Refuse peers that cannot do what they are to do, and policies that ask for what the workload cannot tell."""
    told: frozenset[str] = getattr(workload, "signals", frozenset())
    for stage in stages:
        for tier, plan in stage.plan.items():
            for what, policy in (("select", plan.select), ("peers", plan.peers)):
                missing = sorted(getattr(policy, "signals", frozenset()) - told)
                if missing:
                    raise ValueError(
                        f"plan.{tier}.{what}: {type(policy).__name__} needs to be told {', '.join(missing)}, which "
                        "this workload does not tell (costs alone tell nothing); choose another, or let it learn"
                    )
            if plan.peers is not None:
                _check_peers(tree, stage, tier)
