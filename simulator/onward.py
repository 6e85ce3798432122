"""Those who go on training while their report and their parent's next model are on their way."""

from __future__ import annotations

from collections.abc import Callable

from simpy import Interrupt, Process

from simulator.acts import Acts
from simulator.messages import Steps
from simulator.plan import Stage
from simulator.records import At


class Onward:
    """Trainings in the background, one after another, of nodes that have packed a report (*train* does one).

    They end when the next model from above has come: the training under way is completed first, and one that would
    begin in that very instant is cut. They also end when the node leaves or dies, when it is interrupted while it
    completes, and when the stage is over. Trainings that take no time end at once, since there would be no end of them.
    """

    def __init__(self, acts: Acts, train: Callable[[str, Stage, At], Steps]) -> None:
        self.acts, self.train = acts, train
        self._going: dict[str, Process] = {}
        self._begun: dict[str, float] = {}  # when the training under way began
        self._ending: set[str] = set()

    def begin(self, node: str, stage: Stage, at: At) -> None:
        """From now on *node* goes on training."""
        self._going[node] = self.acts.env.process(self._trainings(node, stage, at))

    def complete(self, node: str) -> Steps:
        """End it with the training under way."""
        going = self._going.pop(node, None)
        if going is None or not going.is_alive:
            return
        self._ending.add(node)
        try:
            if self._begun.get(node) == self.acts.env.now:
                going.interrupt("no longer")
            yield going
        except Interrupt:
            if going.is_alive:
                going.interrupt("late")
            raise
        finally:
            self._ending.discard(node)

    def stop(self) -> Steps:
        """End all of it at once."""
        going, self._going = [process for process in self._going.values() if process.is_alive], {}
        for process in going:
            process.interrupt("over")
        if going:
            yield self.acts.env.all_of(going)

    def _trainings(self, node: str, stage: Stage, at: At) -> Steps:
        env = self.acts.env
        with self.acts.interruptible(node):
            try:
                while node not in self._ending:
                    self._begun[node] = begun = env.now
                    yield from self.train(node, stage, at)
                    if env.now == begun:
                        return
            except Interrupt:
                return
