"""The sections of a scenario that say who gathers what from whom, when, and what a stage trains."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from experiments.schema.algorithms import Algorithms
from experiments.schema.beside import Peers
from experiments.schema.quantities import Seconds
from experiments.schema.section import Section
from experiments.schema.sections import Count, Names, Optimizer, refuse_several


class Deadline(Section):
    """Wait for every child, but no longer."""

    deadline: Annotated[Seconds, Field(gt=0)]


class First(Section):
    """Wait for so many children."""

    first: Count


WAIT = ("deadline", "first")


def _wait_tag(value: Any) -> str:
    keys = [key for key in WAIT if key in (value if isinstance(value, dict) else [type(value).__name__.lower()])]
    return f"={keys[0]}" if len(keys) == 1 else "=barrier"


def _barrier(value: Any) -> Any:
    refuse_several(value, WAIT)
    if value != "barrier":
        raise ValueError(f"expected barrier, {{deadline: 10 min}} or {{first: 3}}, got {value!r}")
    return value


Wait = Annotated[
    Annotated[Literal["barrier"], BeforeValidator(_barrier), Tag("=barrier")]
    | Annotated[Deadline, Tag("=deadline")]
    | Annotated[First, Tag("=first")],
    Discriminator(_wait_tag),
]


class RandomSpec(Section):
    """Ask so many children each time, drawn evenly of those that are there."""

    random: Count


class InTimeSpec(Section):
    """Ask all that can report in time."""

    deadline: Annotated[Seconds, Field(gt=0)]


class UtilitySpec(Section):
    """Ask those whose data teach most for their time."""

    utility: Count
    alpha: Annotated[float, Field(ge=0)] = 2.0
    seconds: Annotated[Seconds, Field(gt=0)] | None = None  # preferred at most; None: however long
    explore: Annotated[float, Field(ge=0, le=1)] = 0.1


class EnergySpec(Section):
    """Ask those whose turn takes the fewest joules."""

    energy: Count


class CarbonAwareSpec(Section):
    """Ask those whose turn emits least if it starts now."""

    carbon: Count


class FairSpec(Section):
    """Ask those that have been asked least often."""

    fair: Count


SELECT = {
    "random": RandomSpec,
    "deadline": InTimeSpec,
    "utility": UtilitySpec,
    "energy": EnergySpec,
    "carbon": CarbonAwareSpec,
    "fair": FairSpec,
}


def _select_tag(value: Any) -> str:
    if isinstance(value, dict):
        if len(set(SELECT).intersection(value)) > 1:
            return "=everyone"
        near = [key for given in value for key in get_close_matches(str(given), SELECT, 1)]
        return next((f"={key}" for key in (*SELECT, *near) if key in value or key in near), "=everyone")
    return next((f"={key}" for key, kind in SELECT.items() if isinstance(value, kind)), "=everyone")


def _everyone(value: Any) -> Any:
    refuse_several(value, SELECT)
    if value != "everyone":
        forms = ", ".join(f"{{{key}: {'30 s' if key == 'deadline' else 10}}}" for key in SELECT)
        raise ValueError(f"expected everyone or one of {forms}, got {value!r}")
    return value


Select = Annotated[
    Annotated[Literal["everyone"], BeforeValidator(_everyone), Tag("=everyone")]
    | Annotated[RandomSpec, Tag("=random")]
    | Annotated[InTimeSpec, Tag("=deadline")]
    | Annotated[UtilitySpec, Tag("=utility")]
    | Annotated[EnergySpec, Tag("=energy")]
    | Annotated[CarbonAwareSpec, Tag("=carbon")]
    | Annotated[FairSpec, Tag("=fair")],
    Discriminator(_select_tag),
]


class TierPlanSpec(Section):
    """How a node of a tier gathers its children: which modules (patterns), how often, whom it waits for and asks.

    The keys are those of `simulator.plan.TierPlan`.
    """

    modules: Names
    rounds: Count = 1
    wait: Wait = "barrier"
    select: Select = "everyone"
    late: Literal["drop", "keep"] = "drop"
    every: dict[str, Count] = Field(default_factory=dict)  # module (pattern) to turns
    down: Names | None = None
    meanwhile: Literal["idle", "train"] = "idle"
    peers: Peers | None = None

    @model_validator(mode="after")
    def _something(self) -> TierPlanSpec:
        if not self.modules and (self.peers is None or not self.peers.modules):
            raise ValueError("modules: name at least one, or peers with modules of their own to exchange")
        if self.late == "keep" and self.wait == "barrier":
            raise ValueError("late: keep is of no effect where all are waited for; give a wait: deadline or first")
        if self.meanwhile == "train" and self.peers is not None:
            raise ValueError("meanwhile: train: not with peers, since those that do not report would have to idle")
        return self


class StageSpec(Section):
    """One stage of the study: who trains which modules (patterns), towards what, and the plan if it has its own."""

    name: Annotated[str, Field(min_length=1)]
    at: str
    trainable: Annotated[Names, Field(min_length=1)]
    objective: Literal["supervised", "masked"] = "supervised"
    tasks: Names | None = None  # whose losses are minimised; None: all
    epochs: Count | None = None  # None: learning.local_epochs
    optimizer: Optimizer | None = None  # None: learning.optimizer
    algorithm: Algorithms | None = None  # None: learning.algorithm, but on public data fedavg
    data: Literal["own", "public"] = "own"
    plan: dict[str, TierPlanSpec] | None = None  # None: the scenario's; {}: nobody merges
    preinstalled: bool = False  # what the stage changed is in place everywhere when it ends, at no cost

    @model_validator(mode="before")
    @classmethod
    def _masked(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("objective") == "masked":
            return {"data": "public", "plan": {}} | data
        return data
