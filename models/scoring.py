"""On what, and on which tasks, each node of a federation is scored."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping

from models.data.samples import Samples, Study
from models.evaluation import Predict, Score, evaluate
from models.model import Model, Tensors, module
from models.promises import plain
from models.states import State


def diverged(states: Mapping[str, State]) -> list[str]:
    """Nodes whose weights are not all finite, of those whose weights are at hand."""
    at_hand = ((node, plain(state.tensors)) for node, state in states.items())
    return [n for n, own in at_hand if type(own) is dict and not all(bool(w.isfinite().all()) for w in own.values())]


class Scorer:
    """Held-out samples by node; *trained* are the modules that some stage trains, *taught* those begun with.

    *holds* gives each node its "module/parameter" names, *initial* is what all begin with.
    """

    def __init__(
        self, model: Model, study: Study, holds: Mapping[str, Collection[str]], initial: Tensors, trained: Iterable[str]
    ) -> None:
        self.model, self.study, self.holds, self.initial = model, study, holds, initial
        self.trained, self.taught = set(trained), set[str]()
        self.seconds = 0.0  # wall time

    def fresh(self) -> Scorer:
        """One of the same nodes before any training."""
        return Scorer(self.model, self.study, self.holds, self.initial, self.trained)

    def held_out(self, node: str) -> Samples:
        """What *node*'s model is scored on, as far as it can make use of it: a client's own mix, else all classes."""
        client = self.study.clients.get(node)
        samples = self.study.test if client is None else client.test
        seen = self.model.modalities(self.holds[node])
        held = {module(key) for key in self.holds[node]}
        inputs = {m: x for m, x in samples.inputs.items() if m in seen}
        tasks = [t for t in samples.targets if inputs and held >= set(self.model.needs(t, inputs))]
        return Samples(inputs, {t: samples.targets[t] for t in tasks})

    def worth(self, node: str) -> bool:
        """Whether *node* can have a score on any task yet."""
        samples, untaught = self.held_out(node), self.trained - self.taught
        return any(not untaught.intersection(self.model.path(task, samples.inputs)) for task in samples.targets)

    def tasks(self, state: State, samples: Samples) -> tuple[str, ...]:
        """On which a state has a score: every module on the way that some stage trains has left its start."""
        fresh = {module(key) for key in state.tensors if state.tensors[key] is self.initial[key]} & self.trained
        return tuple(task for task in samples.targets if not fresh.intersection(self.model.path(task, samples.inputs)))

    def scores(
        self, states: Mapping[str, State], personal: Mapping[str, Tensors], predict: Predict, trainable: frozenset[str]
    ) -> list[Score]:
        """Of all *states*, by *personal* weights where a node has them."""
        began, jobs = time.perf_counter(), []
        for node, state in states.items():
            samples = self.held_out(node)
            jobs.append((node, personal.get(node, state.tensors), samples, self.tasks(state, samples)))
        out = evaluate(self.model, [job for job in jobs if job[3]], predict, trainable)
        self.seconds += time.perf_counter() - began
        return out
