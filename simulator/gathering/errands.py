"""Children that have been asked and whose reports are not merged yet, where late ones are kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from simpy import Process

from simulator.acts import Acts
from simulator.gathering.turns import Turn
from simulator.messages import Steps
from simulator.plan import Stage, arrived


@dataclass(frozen=True, slots=True)
class Errand:
    """A child on its way to a report: in which turn it was asked, at which version of its parent."""

    child: str
    turn: Turn
    version: int
    process: Process


class Errands:
    """What nodes have out.

    It persists over a node's turns and its parent's rounds, until the node itself is interrupted (late, gone or dead
    while it had something to do) or the stage ends.
    """

    def __init__(self, acts: Acts) -> None:
        self.acts = acts
        self._out: defaultdict[str, dict[str, Errand]] = defaultdict(dict)  # by node and child

    def out(self, node: str) -> Sequence[Errand]:
        """What *node* has out, in the order in which it was asked."""
        return tuple(self._out[node].values()) if node in self._out else ()

    def add(self, node: str, errands: Sequence[Errand]) -> None:
        """Keep these until they have landed and are taken."""
        self._out[node].update((errand.child, errand) for errand in errands)

    def landed(self, node: str) -> list[Errand]:
        """Take those that are through."""
        through = [errand for errand in self.out(node) if not errand.process.is_alive]
        for errand in through:
            del self._out[node][errand.child]
        return through

    def dismiss(self, node: str) -> None:
        """Interrupt all that *node* has out."""
        for errand in self._out.pop(node, {}).values():
            if errand.process.is_alive:
                errand.process.interrupt("late")

    def end(self, stage: Stage) -> Steps:
        """The stage is over: interrupt who is still out, and say whose report comes too late for a merge."""
        still = [(node, errand) for node, those in self._out.items() for errand in those.values()]
        self._out.clear()
        for node, errand in still:
            asked = f"asked by {node} in {errand.turn.at}"
            if errand.process.is_alive:
                errand.process.interrupt("late")
                self.acts.happen(errand.child, "late", f"still out when stage {stage.name} ended, {asked}")
            elif arrived(errand.process):
                self.acts.happen(errand.child, "late", f"came after the last merge of stage {stage.name}, {asked}")
        alive = [errand.process for _, errand in still if errand.process.is_alive]
        if alive:
            yield self.acts.env.all_of(alive)
