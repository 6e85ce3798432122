"""What travels between two nodes: weights, what an algorithm sends beside them, and an update made smaller."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from torch import Tensor

from models.federation.algorithm import Algorithm, Uplink
from models.model import Tensors, ballot, module
from models.promises import lazily
from models.states import State

FIGURE = 4  # bytes of a single number
RESIDUAL, UNSENT = "residual", "unsent"  # what goes into an update beside it; what the last report has left out of it


@dataclass(frozen=True, slots=True)
class Packed:
    """What travels, its size, what the sender holds once it is delivered, and which modules it carries."""

    wire: State
    nbytes: int
    kept: State
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Parcel:
    """What is the same whenever a node sends these modules to another: which weights, what beside them, how large.

    *trained* are those of the *keys* that the stage trains; *beside* are names of a state's extra.
    """

    keys: Mapping[str, None]
    nbytes: int
    modules: tuple[str, ...]
    trained: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def sent(self, state: State) -> State:
        """The part of *state* that travels."""
        wire = state.only(self.keys)
        if not self.beside:
            return wire
        there = {name: state.extra[name] for name in self.beside if name in state.extra}
        return replace(wire, extra={name: self._part(values) for name, values in there.items()}) if there else wire

    def _part(self, values: Tensors) -> Tensors:
        own = [key for key in values if key in self.keys or "/" not in key]
        return values if len(own) == len(values) else lazily(own, (values,), lambda: {key: values[key] for key in own})


def parcel(
    algorithm: Algorithm,
    keys: Mapping[str, None],
    initial: Tensors,
    trainable: Collection[str],
    *,
    up: bool,
    down: bool,
) -> Parcel:
    """How *keys* travel, and beside them what *algorithm* sends *up* or *down*, or neither."""
    own = {key: None for key in keys if algorithm.carries(key)}
    trained = tuple(key for key in own if module(key) in trainable)
    modules = tuple(dict.fromkeys(map(module, own)))
    beside = algorithm.up if up else algorithm.down if down else ()
    nbytes = _size(own, initial) + (0 if algorithm.charge else len(beside) * _size(trained, initial))
    if up and algorithm.uplink and trained:
        shapes = {key: tuple(initial[key].shape) for key in trained}
        nbytes += algorithm.uplink.nbytes(shapes) - _size(trained, initial)
    if up and trained:
        nbytes, beside = nbytes + FIGURE * len(algorithm.figures), (*beside, *algorithm.figures)
    return Parcel(own, nbytes, modules, trained, beside)


def sizes(keys: Iterable[str], initial: Tensors) -> dict[str, int]:
    """The bytes of weights, by name."""
    return {key: initial[key].numel() * initial[key].element_size() for key in keys}


def _size(keys: Collection[str], initial: Tensors) -> int:
    return sum(sizes(keys, initial).values())


def compressed(
    uplink: Uplink,
    parcel: Parcel,
    state: State,
    wire: State,
    kept: State,
    initial: Tensors,
    random: np.random.Generator,
) -> tuple[State, State]:
    """*wire* as its receiver decodes it, and *kept* with what was lost, if it goes into a later update.

    Two reports with no model between are of one update, of which the second says all anew: see :func:`owed`.
    """
    base, left = initial if state.base is None else state.base.tensors, state.extra.get(RESIDUAL, {})
    own = [key for key in parcel.trained if state.samples.get(ballot(key), 0)]

    @cache
    def both() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        start = {key: base[key] if key in base else initial[key] for key in own}
        update = {key: state.tensors[key] - start[key] for key in own}
        update = {key: value + left[key] if key in left else value for key, value in update.items()}
        decoded = uplink(update, random) if update else {}
        return {key: start[key] + decoded[key] for key in own}, {key: update[key] - decoded[key] for key in own}

    needs = (state.tensors, base, left)
    whole = wire.tensors
    tensors = lazily(tuple(whole), (*needs, whole), lambda: {**{key: whole[key] for key in whole}, **both()[0]})
    wire = replace(wire, tensors=tensors)
    if not uplink.feedback:
        return wire, kept
    before = state.extra.get(UNSENT, {})
    others = {key: None for key in before if key not in own}
    unsent = lazily((*own, *others), (*needs, before), lambda: {**both()[1], **{key: before[key] for key in others}})
    return wire, replace(kept, extra={**kept.extra, UNSENT: unsent})


def owed(state: State, brought: Collection[str], mix: float = 1.0) -> State:
    """A node whose weights *brought* have come down: what its last report left out of theirs is for the next update."""
    unsent, left = state.extra.get(UNSENT, {}), state.extra.get(RESIDUAL, {})
    now = {key: None for key in unsent if key in brought}
    if not now:
        return state

    def moved() -> dict[str, Tensor]:
        return {**{key: left[key] for key in left}, **{key: unsent[key] * mix for key in now}}

    extra = {name: values for name, values in state.extra.items() if name != UNSENT}
    extra[RESIDUAL] = lazily(dict.fromkeys((*left, *now)), (left, unsent), moved)
    if rest := [key for key in unsent if key not in now]:
        extra[UNSENT] = lazily(rest, (unsent,), lambda: {key: unsent[key] for key in rest})
    return replace(state, extra=extra)
