"""The same learning with no clock: the reference for what the simulator's rounds must make of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.learner import Learner
from models.states import State, Vote


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a tree of names."""

    name: str
    tier: str
    children: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        """This node and everything below, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


class TierLike(Protocol):
    """How a tier gathers its children: which modules, for how many rounds.

    It may say, too, *every* how many of a node's turns a module travels, counted from 1 in each stage (at the end of
    turns k, 2k, ... up, at the start of the turn after and of the first down), and which modules travel *down*.
    """

    @property
    def modules(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def rounds(self) -> int: ...  # noqa: D102


class StageLike(Protocol):
    """A stage: whose nodes train (*at*), what, and how each tier gathers."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def at(self) -> str: ...  # noqa: D102
    @property
    def trainable(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def plan(self) -> Mapping[str, TierLike]: ...  # noqa: D102


def federate(tree: Node, learner: Learner, stages: Sequence[StageLike]) -> State:
    """What the root knows after all stages, everybody waiting for everybody."""
    return Federation(tree, learner, stages).run()[tree.name]


class Federation:
    """A federation under way: what each node knows, and how often it has trained."""

    def __init__(self, tree: Node, learner: Learner, stages: Sequence[StageLike]) -> None:
        self.tree, self.learner, self.stages = tree, learner, stages
        self.states = {node.name: learner.start(node.name) for node in tree.walk() if node.name in learner.holds}
        self.steps: Counter[str] = Counter()
        self.turns: Counter[str] = Counter()  # that each node has begun in the present stage

    def run(self) -> dict[str, State]:
        """All stages, each closed by a broadcast of what it changed."""
        for stage in self.stages:
            self.learner.enter(stage)
            self.turns.clear()
            self.rounds(self.tree, stage)
            self.broadcast(self.tree, stage, ())
        return self.states

    def active(self, node: Node, stage: StageLike) -> Iterator[Node]:
        """The nearest nodes below that train or gather; those between only forward."""
        for child in node.children:
            if child.tier == stage.at or child.tier in stage.plan:
                yield child
            else:
                yield from self.active(child, stage)

    def rounds(self, node: Node, stage: StageLike) -> None:
        """*node* trains, or gathers its children as often as the plan says."""
        name = node.name
        if node.tier == stage.at:
            self.states[name] = self.learner.train(name, self.states[name], self.steps[name])
            self.steps[name] += 1
            return
        children = list(self.active(node, stage))
        plan = stage.plan.get(node.tier)
        for _ in range(plan.rounds if plan else 1):
            self.turns[name] += 1
            down, up = _moving(plan, self.turns[name]) if plan else ((), ())
            quiet = plan is not None and bool(plan.modules) and not up
            votes = [self.report(child, node, stage, down, None if quiet else up) for child in children]
            arrived = [vote for vote in votes if vote]
            if plan and not quiet:
                self.states[name] = self.learner.merge(name, self.states[name], arrived, up, "up", len(children))

    def report(
        self, child: Node, parent: Node, stage: StageLike, down: Sequence[str], up: Sequence[str] | None
    ) -> Vote | None:
        """Down, then whatever the child does, then up; None where nothing is due."""
        self.send_down(parent.name, child.name, down)
        self.rounds(child, stage)
        if up is None:
            return None
        packed = self.learner.pack(child.name, parent.name, self.states[child.name], up)
        self.states[child.name] = packed.kept
        return Vote(child.name, packed.wire)

    def send_down(self, parent: str, child: str, modules: Sequence[str]) -> None:
        """The child takes over its parent's copy of *modules*; a parent that only forwards has none."""
        if parent not in self.states:
            return
        packed = self.learner.pack(parent, child, self.states[parent], modules)
        if packed.nbytes:
            vote = [Vote(parent, packed.wire)]
            self.states[child] = self.learner.merge(child, self.states[child], vote, modules, "down")

    def broadcast(self, node: Node, stage: StageLike, came: tuple[str, ...]) -> None:
        """Send down once what the stage changed: what a node gathers, what it trained, or else what *came* to it."""
        if node.tier in stage.plan:
            modules = _downward(stage.plan[node.tier])
        else:
            modules = stage.trainable if node.tier == stage.at else came
        for child in self._informed(node):
            self.send_down(node.name, child.name, modules)
            self.broadcast(child, stage, modules)

    def _informed(self, node: Node) -> Iterator[Node]:
        for child in node.children:
            if child.name in self.states:
                yield child
            else:
                yield from self._informed(child)


def _downward(plan: TierLike) -> tuple[str, ...]:
    """What ever travels down."""
    down: tuple[str, ...] | None = getattr(plan, "down", None)
    return plan.modules if down is None else down


def _moving(plan: TierLike, turn: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What goes down at the start of a turn, and what is reported at its end."""
    every: Mapping[str, int] = getattr(plan, "every", {})
    down = tuple(name for name in _downward(plan) if (turn - 1) % every.get(name, 1) == 0)
    return down, tuple(name for name in plan.modules if turn % every.get(name, 1) == 0)
