"""All checks, by group, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from experiments.validation import conservation, hfedfm, loops, queueing, radio, rounds, simgrid, wifi
from experiments.validation.check import Check

GROUPS: Mapping[str, Callable[[], Sequence[Check]]] = {
    "simgrid": simgrid.checks,
    "queueing": lambda: [*queueing.checks(), *loops.checks(), *rounds.checks()],
    "radio": radio.checks,
    "wifi": wifi.checks,
    "conservation": conservation.checks,
    "hfedfm": hfedfm.checks,
}
