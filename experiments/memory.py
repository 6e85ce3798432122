"""Whether every device can hold what it is to train, and what it trains if it cannot.

A training fits when its peak (weights, gradients, optimizer state, activations) and what the system reserves are no
more than the device's memory. Under the policy ``fit`` a device trains fewer modules: the one whose removal saves most
is dropped (of equals, the first in the model's order), again and again, until the rest fits. Who is helped by its
neighbours (:mod:`simulator.sideways.cooperate`) needs what fits each of those who may train for it, and no memory of
its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from experiments.schema.memory import Memory
from simulator.plan import Stage
from simulator.workloads import Size
from topologies.groups import Group
from topologies.hierarchy import Hierarchy
from topologies.profiles import DeviceProfile

Candidates = Callable[[Stage, str], Sequence[str]]  # the modules that a node would train
Peak = Callable[[Stage, str, frozenset[str]], float]  # bytes that training some of them takes at a node


@dataclass(frozen=True)
class Fitted:
    """By stage and node, the modules that it trains where these are not all; and happenings (node, kind, detail)."""

    allowed: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    happenings: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Shortage:
    """A device that lacks memory for a stage."""

    stage: Stage
    node: str
    profile: str
    there: float  # bytes
    needed: float
    modules: tuple[str, ...]


def fitted(
    memory: Memory, tree: Hierarchy, stages: Sequence[Stage], candidates: Candidates, peak: Peak, *, groups: bool = True
) -> Fitted:
    """What every device trains; raises ValueError under the policy ``refuse`` where that is not all.

    Members of groups are asked about by their names unless *groups* is False.
    """
    short = list(_shortages(memory, tree, stages, candidates, peak, groups))
    if short and memory.policy == "refuse":
        raise ValueError(_refusal(memory, short, peak))
    allowed, happenings = {}, []
    for one in short:
        fits = shrunk(one.modules, one.there - memory.reserved, partial(peak, one.stage, one.node))
        allowed[one.stage.name, one.node] = frozenset(fits)
        happenings.append((one.node, "trains_part" if fits else "cannot_train", _detail(memory, one, fits)))
    return Fitted(allowed, tuple(happenings))


def fitted_sizes(memory: Memory, tree: Hierarchy, stages: Sequence[Stage], sizes: Mapping[str, Size]) -> Fitted:
    """The same where modules are given by their sizes, whose memory adds up."""
    if not any(size.memory_bytes for size in sizes.values()):
        return Fitted()  # nothing was said of memory, and there may be many devices

    def peak(stage: Stage, node: str, modules: frozenset[str]) -> float:
        return math.fsum(sizes[name].memory_bytes for name in modules)

    # groups that lack memory have been unfolded before
    return fitted(memory, tree, stages, lambda stage, node: stage.trainable, peak, groups=False)


def short_groups(memory: Memory, tree: Hierarchy, stages: Sequence[Stage], sizes: Mapping[str, Size]) -> list[Group]:
    """The groups whose members lack memory, and so cannot all do alike."""
    return [
        group
        for group in tree.groups()
        if any(
            stage.at == group.tier
            and math.fsum(sizes[name].memory_bytes for name in stage.trainable)
            > max(group.profile.memory_bytes - memory.reserved, 0.0)
            for stage in stages
        )
    ]


def shrunk(modules: Sequence[str], limit: float, peak: Callable[[frozenset[str]], float]) -> tuple[str, ...]:
    """What is left of *modules* when the one that saves most is dropped until their peak is at most *limit*."""
    left = tuple(modules)
    while left and peak(frozenset(left)) > limit:
        left = tuple(name for name in left if name != _greediest(left, peak))
    return left


def _greediest(modules: Sequence[str], peak: Callable[[frozenset[str]], float]) -> str:
    """The module without which the peak is lowest."""
    return min(modules, key=lambda name: peak(frozenset(modules) - {name}))


def _shortages(
    memory: Memory, tree: Hierarchy, stages: Sequence[Stage], candidates: Candidates, peak: Peak, groups: bool
) -> Iterator[Shortage]:
    for stage in stages:
        elsewhere = _helpers(tree, stage)
        trainers = [(node, elsewhere.get(node) or tree.profile(node)) for node in tree.nodes(stage.at)]
        for group in tree.groups() if groups else ():
            trainers += [(node, group.profile) for node in tree.members(group) if group.tier == stage.at]
        for node, profile in trainers:
            if profile is None:
                continue
            modules = tuple(candidates(stage, node))
            needed = peak(stage, node, frozenset(modules)) if modules else 0.0
            if needed + memory.reserved > profile.memory_bytes and needed:
                yield Shortage(stage, node, profile.name, profile.memory_bytes, needed, modules)


def _helpers(tree: Hierarchy, stage: Stage) -> Mapping[str, DeviceProfile]:
    """By those for whom others train, the profile with the least memory among the neighbours who may do it."""
    out: dict[str, DeviceProfile] = {}
    for plan in stage.plan.values():
        helped = getattr(plan.peers, "helped", ())
        for node in filter(tree.__contains__, helped):
            able = (tree.profile(peer) for peer in tree.peers(node) if peer not in helped)
            if there := [profile for profile in able if profile]:
                out[node] = min(there, key=lambda profile: profile.memory_bytes)
    return out


def _refusal(memory: Memory, short: Sequence[Shortage], peak: Peak) -> str:
    first = short[0]
    most = _greediest(first.modules, partial(peak, first.stage, first.node))
    without = peak(first.stage, first.node, frozenset(first.modules) - {most})
    reserved = f", of which {_amount(memory.reserved)} are reserved" if memory.reserved else ""
    return (
        f"memory: {first.node} ({first.profile}): stage {first.stage.name} needs {_amount(first.needed)} of memory to "
        f"train {_names(first.modules)}, and there are {_amount(first.there)}{reserved}; {most} asks most (without it "
        f"{_amount(without)}). Devices that lack memory: {len({one.node for one in short})}. Train fewer modules, make "
        f"learning.batch_size smaller, choose another profile, or let each train what fits: memory.policy: fit"
    )


def _detail(memory: Memory, short: Shortage, fits: Sequence[str]) -> str:
    needs = f"all would need {_amount(short.needed + memory.reserved)} of {_amount(short.there)}"
    return f"stage {short.stage.name}: {'+'.join(fits) or 'nothing fits'}; {needs}"


def _names(modules: Sequence[str], shown: int = 4) -> str:
    more = f" and {len(modules) - shown} more" if len(modules) > shown else ""
    return ", ".join(modules[:shown]) + more


def _amount(nbytes: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= size:
            return f"{nbytes / size:.4g} {unit}"
    return f"{nbytes:.0f} B"
