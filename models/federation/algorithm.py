"""An algorithm: what a client minimises, how copies become one, and what happens to an update on its way up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from models.federation.local import Local, Personal, plainly
from models.model import Model, Tensors
from models.states import Rule, State, by_votes, everything
from models.training import Recipe


@dataclass(frozen=True, slots=True)
class Setting:
    """Where an algorithm is to work: a stage's *recipe*, the *model*, and the names of the *clients*."""

    recipe: Recipe
    model: Model
    clients: Collection[str]


def anywhere(setting: Setting) -> None:
    """Any setting will do."""


class Uplink(Protocol):
    """Makes an update smaller on its way up. A frozen dataclass."""

    @property
    def feedback(self) -> bool:
        """Whether what was lost is added to the next update (error feedback; Seide et al. 2014, Stich et al. 2018)."""
        ...

    def nbytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Bytes on the wire of an update of these shapes."""
        ...

    def __call__(self, update: Tensors, random: np.random.Generator) -> dict[str, Tensor]:
        """What the receiver makes of what was sent: tensors of the same shapes."""
        ...


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A composition: a *local* rule, a merge *rule*, an *uplink* transform, and what these need of the rest.

    Beside the weights travel, by name: with a report what is listed in *up*, a tensor for each weight that it carries
    and the sender trains, and in *figures*, single numbers; with a model what is listed in *down*, a tensor for each
    weight. All of it is counted from the first round on, by these sizes or by what *charge* makes of a state that is
    sent and of the bytes of the weights that it sends and the stage trains. Figures are of what has been since a model
    came down: then they are forgotten. Of the weights travels what *carries* says. *mix*: how much of a model that
    comes down a node takes over. *arrives* makes of what a node knew before and after that what it knows. *personal*:
    by which weights a node that trains is scored. *check* raises ValueError for a setting that the algorithm does not
    suit; *least* is how many reports a merge takes; *needs*: keys and values that a plan must have somewhere.
    *extra_flops* of a merge rule: FLOPs of a merge beyond one addition per number and copy, of so many of both.
    """

    local: Local = plainly
    rule: Rule = by_votes
    uplink: Uplink | None = None
    up: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    carries: Callable[[str], bool] = everything
    mix: float = 1.0
    arrives: Callable[[State, State], State] | None = None
    charge: Callable[[State, Mapping[str, int]], int] | None = None
    personal: Personal | None = None
    check: Callable[[Setting], None] = anywhere
    least: int = 1
    needs: tuple[tuple[str, str], ...] = ()
    extra_flops: Callable[[int, int], float] | None = None

    def parts(self) -> dict[str, Any]:
        """What it changes of plain averaging."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


FEDAVG = Algorithm()


def composed(algorithms: Mapping[str, Algorithm]) -> Algorithm:
    """One algorithm of several, by name: all checks and needs hold. ValueError where two change the same other part."""
    found: dict[str, tuple[str, Any]] = {}
    for name, algorithm in algorithms.items():
        for part, value in algorithm.parts().items():
            if part in ("check", "needs"):
                continue
            if part in found:
                raise ValueError(f"{found[part][0]} and {name} cannot be combined: both change {part!r}")
            found[part] = name, value
    checks = tuple(each.check for each in algorithms.values() if each.check is not anywhere)
    needs = tuple(need for each in algorithms.values() for need in each.needs)
    parts = {part: value for part, (_, value) in found.items()}
    return Algorithm(**parts, check=_all(checks) if checks else anywhere, needs=needs)


def _all(checks: tuple[Callable[[Setting], None], ...]) -> Callable[[Setting], None]:
    def check(setting: Setting) -> None:
        for each in checks:
            each(setting)

    return check
