"""Those who go on training while their report and their parent's next model are on their way."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from simpy import Event, Interrupt, Process

from simulator.acts import Acts
from simulator.messages import Steps
from simulator.plan import Stage
from simulator.records import At


class Onward:
    """Trainings in the background, one after another, of nodes that have packed a report (*train* does one).

    They end in the moment in which the next model from above has come, or the node's next turn begins without one. The
    training under way is cut then: its energy was spent, and it taught nothing; one that ends in that very instant
    counts. So they cost no time: a round is as long as if the node had waited, and where a training takes longer than a
    report and a model are on their way, nothing is learned by them, and energy is lost. They also end when the node
    leaves or dies, and when the stage is over. Trainings that take no time end at once, since there would be no end of
    them.
    """

    def __init__(self, acts: Acts, train: Callable[[str, Stage, At], Steps]) -> None:
        self.acts, self.train = acts, train
        self._going: dict[str, Process] = {}  # each is worth how many trainings it has completed

    def begin(self, node: str, stage: Stage, at: At) -> None:
        """From now on *node* goes on training."""
        self._going[node] = self.acts.env.process(self._trainings(node, stage, at))

    def end(self, node: str) -> Generator[Event, Any, bool]:
        """End it now; whether any training was completed since it began."""
        going = self._going.pop(node, None)
        if going is None:
            return False
        if going.is_alive:
            going.interrupt("landed")
            yield going
        return bool(going.value)

    def stop(self) -> Steps:
        """The stage is over for all."""
        going = [process for process in self._going.values() if process.is_alive]
        for process in going:
            process.interrupt("over")
        if going:
            yield self.acts.env.all_of(going)

    def _trainings(self, node: str, stage: Stage, at: At) -> Generator[Event, Any, int]:
        env, done = self.acts.env, 0
        with self.acts.interruptible(node):
            try:
                while True:
                    begun = env.now
                    yield from self.train(node, stage, at)
                    done += 1
                    if env.now == begun:
                        return done
            except Interrupt:
                return done
