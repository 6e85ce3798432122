"""One turn of a node: which of its stage's turns it is, and what moves in it between the node and its children."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.plan import Stage, TierPlan
from simulator.records import At


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of *node*, its *number* in the stage from 1, at a place of the run; *plan* None: it only forwards."""

    node: str
    stage: Stage
    plan: TierPlan | None
    at: At
    number: int = 1
    last: bool = True  # before the node itself reports

    @property
    def brought(self) -> tuple[str, ...]:
        """What goes down at its start."""
        return self.plan.brought(self.number) if self.plan else ()

    @property
    def due(self) -> tuple[str, ...]:
        """What is reported at its end."""
        return self.plan.due(self.number) if self.plan else ()

    @property
    def quiet(self) -> bool:
        """Whether nothing is to be reported, although there would be in other turns or children have peers."""
        return self.plan is not None and not self.due and bool(self.plan.modules or self.plan.peers)

    @property
    def keeps(self) -> bool:
        """Whether children that are late go on."""
        return self.plan is not None and self.plan.late == "keep"
