"""Local trainings of a whole federation: promised at once, run together when a value is needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from torch import Tensor

from models.engines import Engine, Inline
from models.model import Model, Tensors
from models.promises import Ghost, Promise, Wave, depth
from models.recall import Public, Trained, Training
from models.training import Job, Recipe

DEEPEST = 8  # trainings one behind another before they must run, so that no chain of promises grows


class Trainings:
    """Those that wait, and what has been run. While a run is *replayed*, none is: promises are ghosts."""

    def __init__(self, model: Model, engine: Engine | None = None) -> None:
        self.model, self.engine = model, engine or Inline()
        self.public = Public()  # trainings on public data, for learners that do the same
        self.count, self.repeated = 0, 0  # and how often one was run again, as nobody had kept it
        self.seconds = 0.0  # wall time
        self.replayed = False
        self.recipes: dict[tuple[str, int], Recipe] = {}  # by stage, and part of a node's training
        self._pending: dict[int, list[tuple[Training, Trained]]] = {}  # by depth
        self._wave = Wave()

    def promise(self, job: Job, stage: str, part: int, recipe: Recipe) -> Ghost | Trained:
        """The weights after *job*, which is a *part* of a node's training in a stage, by *recipe*."""
        self.recipes[stage, part] = recipe
        if self.replayed:
            self.count += 1
            return Ghost(job.tensors)
        if _depth(job) >= DEEPEST:
            self.settle()
        training = Training(job, (stage, part))
        once = isinstance(job.tensors, Trained)  # a client that goes on alone: what it trained before is its own
        deeper = _depth(job) + 1
        promise = Trained(job.tensors, deeper, self._wave, self._settled, None if once else training)
        self._pending.setdefault(deeper, []).append((training, promise))
        return promise

    def later(self, keys: Collection[str], tensors: Tensors, compute: Callable[[], Tensors]) -> Promise:
        """What *compute* makes of *tensors*, not before it is asked for, so that what is pending runs together."""
        if self.replayed or (isinstance(tensors, Ghost) and tensors.known is None):
            return Ghost(keys)
        return Promise(keys, max(1, depth(tensors)), self._wave, compute)

    def settle(self) -> None:
        """Run what is pending, shallow before deep, all of one depth together."""
        if not self._pending:
            return
        began = time.perf_counter()
        while self._pending:
            now = self._pending.pop(min(self._pending))
            for training, _ in now:
                training.settle()
            results = self._results([training for training, _ in now])
            for (_, promise), result in zip(now, results, strict=True):
                promise.fill(result)
            self.count += len(now)
        self._wave.over, self._wave = True, Wave()
        self.seconds += time.perf_counter() - began

    def _results(self, trainings: Sequence[Training]) -> list[dict[str, Tensor]]:
        """The weights after each, those of one recipe together."""
        places: dict[tuple[str, int], list[int]] = {}
        for place, training in enumerate(trainings):
            places.setdefault(training.name, []).append(place)
        out: list[dict[str, Tensor]] = [{} for _ in trainings]
        for name, some in places.items():
            recipe, jobs = self.recipes[name], [trainings[place].job for place in some]
            if recipe.public:
                results = self.public.train_all(self.engine, self.model, jobs, recipe)
            else:
                results = self.engine.train_all(self.model, jobs, recipe)
            for place, result in zip(some, results, strict=True):
                out[place] = result
        return out

    def again(self, training: Training) -> dict[str, Tensor]:
        """The weights after a training that has been run before, bit for bit."""
        began = time.perf_counter()
        (result,) = self.engine.train_all(self.model, [training.job], self.recipes[training.name])
        self.repeated += 1
        self.seconds += time.perf_counter() - began
        return result

    def _settled(self) -> Mapping[str, Tensor]:
        self.settle()
        return {}


def _depth(job: Job) -> int:
    """How many trainings stand one behind another before *job* can be run."""
    return max(map(depth, (job.tensors, *job.beside.values()))) if job.beside else depth(job.tensors)
