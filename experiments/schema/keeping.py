"""The section of a scenario that says how often a run is saved, so that it can go on after it was killed."""

from __future__ import annotations

from experiments.schema.quantities import Seconds
from experiments.schema.section import Section
from experiments.schema.sections import Count


class Checkpoints(Section):
    """After every how many *rounds* of the root, at most one in so many *seconds* of wall time; *keep* the latest.

    When a run is saved changes nothing in its results. A run of costs alone is not saved: it is quick to do again.
    """

    rounds: Count = 1
    seconds: Seconds = 30.0
    keep: Count = 2
