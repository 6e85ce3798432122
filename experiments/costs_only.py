"""The costs of a workload without its learning: the same amounts and sizes, and no model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from itertools import repeat
from typing import TYPE_CHECKING, Any

from simulator.interfaces import Activity, Arrival, Direction, Packet, Score, Work, Workload
from simulator.plan import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from experiments.build import Built
    from experiments.workload import LearningWorkload
    from models.states import State


def costs_alone(built: Built) -> Workload[Any]:
    """What the workload of *built* costs, from the start, once: states are nothing and nobody is scored.

    What was counted already (footprints) is not counted again; the learner of *built* is left as it is.
    """
    if built.learner is None:
        return built.workload
    workload: LearningWorkload = copy(built.workload)  # type: ignore[assignment]
    workload.learner = learner = built.learner.without_training()
    if not any(learner.curriculum.algorithm_in(stage).charge for stage in built.stages):
        return CostsOf(workload)
    learner.replay(repeat([]), repeat({}))  # what a state counts as goes by what it has been through
    return workload


class CostsOf:
    """The costs of learning: a question goes to *workload*, whose learner never trains, with a node's first state.

    Within a stage the answers follow from who holds what and who has trained, not from how often: each is asked once.
    """

    signals: frozenset[str] = frozenset()

    def __init__(self, workload: LearningWorkload) -> None:
        self._of = workload
        self._starts: dict[str, State] = {}
        self._trained: set[str] = set()
        self._works: dict[tuple[object, ...], Work] = {}
        self._packets: dict[tuple[str, str, tuple[str, ...]], Packet[None]] = {}

    def unlike(self, children: Sequence[str]) -> str | None:
        """As with learning."""
        return self._of.unlike(children)

    def start(self, node: str) -> None:
        """Nothing to know, but something to hold."""
        self._starts[node] = self._of.start(node)

    def enter(self, stage: Stage) -> None:
        """A stage begins: others may train, and other things may travel."""
        self._of.enter(stage)
        self._trained.clear()
        self._works.clear()
        self._packets.clear()

    def work(self, node: str, activity: Activity, step: int, modules: Sequence[str] = (), count: int = 1) -> Work:
        """As much as with learning."""
        question = (node, activity, tuple(modules), count)
        if question not in self._works:
            self._works[question] = self._of.work(node, activity, step, modules, count)
        return self._works[question]

    def train(self, node: str, state: None, step: int) -> None:
        """Note who has trained what, since only a model that was taught is scored."""
        if node not in self._trained:
            self._of.train(node, self._starts[node], step)
            self._trained.add(node)
            self._works.clear()

    def pack(self, node: str, to: str, state: None, modules: Sequence[str]) -> Packet[None]:
        """As many bytes as with learning."""
        route = (node, to, tuple(modules))
        if route not in self._packets:
            packet = self._of.pack(node, to, self._starts[node], modules)
            self._packets[route] = Packet(None, packet.nbytes, None, packet.modules)
        return self._packets[route]

    def merge(
        self,
        node: str,
        own: None,
        received: Sequence[Arrival[None]],
        modules: Sequence[str],
        direction: Direction,
        count: int,
    ) -> None:
        """Nothing to merge."""

    def evaluate(self, states: Mapping[str, None]) -> Iterable[Score]:
        """No model, no score; what scoring takes is asked for as work."""
        return ()

    def signal(self, name: str, states: Mapping[str, None], modules: Sequence[str]) -> Mapping[str, float]:
        """No model, no signal; a plan that needs one is refused before the run."""
        return {}
