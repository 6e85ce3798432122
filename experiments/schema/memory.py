"""The section of a scenario that says what happens when a training does not fit into a device's memory."""

from __future__ import annotations

from typing import Literal

from experiments.schema.quantities import Bytes
from experiments.schema.section import Section


class Memory(Section):
    """Refuse the scenario, or let a device train only the modules that fit; *reserved*: what its system needs."""

    policy: Literal["refuse", "fit"] = "refuse"
    reserved: Bytes = 0.0
