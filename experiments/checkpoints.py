"""What a run keeps so that it can go on: the weights that somebody still holds, by the number of their state.

The events are not kept: they are the same whenever they are replayed. A file is a dictionary of plain values and
tensors as ``torch.save`` writes it, and the SHA-256 of that. It is read with ``weights_only``, and believed only as far
as it agrees with the replay: names, shapes, types, numbers of states.
"""

from __future__ import annotations

import io
import os
import pickle
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from experiments.store import UnusableError
from models.learner import Learner
from models.model import Tensors
from models.promises import Ghost
from models.recall import Recall, Training, settled
from models.states import State
from models.training import Job

FORMAT, DIGEST = 2, sha256().digest_size
INITIAL = -1  # a tensor's place: it is as it was before any training
Entry = tuple[Any, ...]
"""("plain", names, places of tensors), or ("job", node, step, stage, part, trained, place, (name, place) beside)."""


@dataclass(frozen=True)
class Saved:
    """One moment of a run, right after a round: where its tables and its replay stand, and what is known then."""

    scenario: str  # hash
    rounds: int  # how many have been closed
    tables: dict[str, tuple[int, str]]  # how long they are, and their SHA-256
    wall: dict[str, float]  # seconds by part
    given: int  # how many states the learner has given out
    updates: int
    scored: list[int]  # how many scores each evaluation gave
    answered: list[dict[str, float]]  # what was signalled
    tensors: list[Tensor]  # each once, but for those that are as they were before any training
    weights: list[Entry]  # each once
    states: list[tuple[Any, ...]]  # number, and of the state and its base (or None): place of its weights, of its extra
    format: int = FORMAT


def saved(learner: Learner, **where: Any) -> Saved:
    """What *learner* has given out and somebody still holds, all trainings run."""
    learner.settle()
    book = _Book(learner)
    states = [
        (number, book.state(state), None if state.base is None else book.state(state.base))
        for number, state in sorted((learner.live or {}).items())
    ]
    return Saved(
        given=learner.given,
        updates=learner.updates,
        scored=list(learner.scored),
        answered=list(learner.answered),
        tensors=book.tensors,
        weights=list(book.weights),
        states=states,
        **where,
    )


class _Book:
    """Weights with their tensors, each once."""

    def __init__(self, learner: Learner) -> None:
        self._initial = learner.initial
        self.tensors: list[Tensor] = []
        self.weights: dict[Entry, int] = {}
        self._places: dict[int, int] = {}  # of tensors, by identity
        self._entries: dict[int, tuple[Tensors, int]] = {}  # of mappings, by identity; held, so that it stays theirs

    def state(self, state: State) -> tuple[int, tuple[tuple[str, int], ...]]:
        """Where its weights and its extra are found in the book."""
        return self.place(state.tensors), tuple((name, self.place(own)) for name, own in state.extra.items())

    def place(self, tensors: Tensors) -> int:
        """Where *tensors* are found in the book."""
        found = settled(tensors)
        if id(found) not in self._entries:
            entry = self._job(found.training) if isinstance(found, Recall) else self._plain(found)
            self._entries[id(found)] = found, self.weights.setdefault(entry, len(self.weights))
        return self._entries[id(found)][1]

    def _job(self, training: Training) -> Entry:
        job, trained = training.job, tuple(sorted(training.job.trainable or ()))
        beside = tuple((name, self.place(own)) for name, own in job.beside.items())
        return ("job", job.node, job.step, *training.name, trained, self.place(job.tensors), *beside)

    def _plain(self, tensors: Tensors) -> Entry:
        return ("plain", tuple(tensors), tuple(self._tensor(key, tensor) for key, tensor in tensors.items()))

    def _tensor(self, key: str, tensor: Tensor) -> int:
        if tensor is self._initial.get(key):
            return INITIAL
        if id(tensor) not in self._places:
            self._places[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)
        return self._places[id(tensor)]


def put_in_place(learner: Learner, at: Saved) -> None:
    """Give the ghosts that somebody holds what they stood for; from now on *learner* learns in earnest.

    Raises UnusableError where the replay has other states.
    """
    here = (learner.given, learner.updates, learner.scored, learner.answered)
    if here != (at.given, at.updates, at.scored, at.answered):
        raise UnusableError("the replay has come to another point")
    try:
        weights = _weights(learner, at)
    except (KeyError, ValueError) as error:
        raise UnusableError("the replay has no such training") from error
    places = {number: where for number, *where in at.states}
    for number, state in list((learner.live or {}).items()):
        for own, where in zip((state, state.base), places.get(number, ()), strict=False):
            if own is None or where is None:
                continue
            place, extra = where
            for tensors, at_place in [(own.tensors, place), *((own.extra.get(n, {}), i) for n, i in extra)]:
                if isinstance(tensors, Ghost) and tensors.known is None:
                    if set(weights[at_place]) != set(tensors):
                        raise UnusableError(f"state {number} of the replay has other weights")
                    tensors.fill(weights[at_place])
    learner.replay(None)


def _weights(learner: Learner, at: Saved) -> list[Tensors]:
    out: list[Tensors] = []
    for kind, *entry in at.weights:
        if kind == "plain":
            named = zip(*entry, strict=True)
            out.append({key: learner.initial[key] if i == INITIAL else at.tensors[i] for key, i in named})
            continue
        node, step, stage, part, trained, place, *others = entry
        run, beside = learner.trainings, {name: out[i] for name, i in others}
        samples = learner.curriculum.samples(node, run.recipes[stage, part])
        job = Job(node, out[place], samples, learner.seed, step, frozenset(trained), beside)
        out.append(Recall(Training(job, (stage, part)), None, run.again))
    return out


def write(path: Path, moment: Saved) -> None:
    """Whole or not at all, and on the disk when it returns."""
    partial = path.with_name(path.name + ".part")
    path.parent.mkdir(exist_ok=True)
    with partial.open("wb") as out:
        hashing = _Hashing(out)
        values = {field.name: getattr(moment, field.name) for field in fields(moment)}
        torch.save({**values, "tensors": [_apart(tensor) for tensor in moment.tensors]}, cast(IO[bytes], hashing))
        out.write(hashing.digest())
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _apart(tensor: Tensor) -> Tensor:
    """*tensor* without the rest of the memory that it may be a part of."""
    tensor = tensor.detach()
    own = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor if own else tensor.clone()


class _Hashing:
    """A file that knows the SHA-256 of what was written."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out, self._hash = out, sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return self._out.write(data)

    def flush(self) -> None:
        self._out.flush()

    def digest(self) -> bytes:
        return self._hash.digest()


def read(path: Path, learner: Learner, scenario: str) -> Saved:
    """A checkpoint of the run of the scenario with that hash, as far as can be told before the replay.

    Raises UnusableError where it is broken, or of another run.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnusableError(f"{path} cannot be read ({error.strerror})") from error
    if sha256(content[:-DIGEST]).digest() != content[-DIGEST:]:
        raise UnusableError(f"{path} is not whole")
    try:
        values = torch.load(io.BytesIO(content[:-DIGEST]), weights_only=True)
        moment = Saved(**values)
        sound = moment.format == FORMAT and _sound(moment, learner)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, EOFError, pickle.PickleError):
        sound = False
    if not sound:
        raise UnusableError(f"{path} is no checkpoint of this model")
    if moment.scenario != scenario:
        raise UnusableError(f"{path} is of another scenario")
    return moment


def _sound(moment: Saved, learner: Learner) -> bool:
    """Whether every weight has the shape and the type of one of the model's, and every place is there.

    What a node has beside its weights may be of any shape: it is the algorithm's own.
    """
    shapes = {key: (tensor.shape, tensor.dtype) for key, tensor in learner.initial.items()}
    known = [own for _, *some in moment.states for own in some if own is not None]
    own = {place for place, _ in known} | {entry[5] for kind, *entry in moment.weights if kind == "job"}
    for n, (kind, *entry) in enumerate(moment.weights):
        if kind == "plain":
            for key, i in zip(*entry, strict=True):
                there = i != INITIAL and (moment.tensors[i].shape, moment.tensors[i].dtype)
                if there and n in own and there != shapes[key]:
                    return False
        else:
            node, step, _, _, trained, place, *others = entry
            if node not in learner.holds or step < 0 or not all(0 <= i < n for i in (place, *(i for _, i in others))):
                return False
            if not set(trained) <= set(learner.model.modules):
                return False
    counts = [moment.rounds, moment.given, moment.updates, *moment.scored]
    places = [place for first, extra in known for place in (first, *(i for _, i in extra))]
    return (
        min(counts) >= 0
        and all(0 <= place < len(moment.weights) for place in places)
        and all(isinstance(value, float) for answer in moment.answered for value in answer.values())
        and all(isinstance(seconds, float) for seconds in moment.wall.values())
        and all(isinstance(length, int) for length, _ in moment.tables.values())
    )
