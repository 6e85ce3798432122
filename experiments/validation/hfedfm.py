"""The rows of H-FedFM's table, simulated by the question script, beside the figures of its public prototype.

Forty users, ten edges, one cloud. In a cycle the users report E times to their edge, or gather at a head among them,
then every edge or head once to the cloud; the prototype tells seconds and joules of a cycle divided by E. It counts
neither computing nor anything that comes down from the cloud, and charges the sender alone, latency included. In its
star the users report to the cloud over links like the edges'.
"""

from __future__ import annotations

from functools import partial

from experiments.questions.hfedfm_table import ROWS, prototypes
from experiments.validation.check import Check, Row, close
from experiments.validation.stored import read


def rows(row: str) -> list[Row]:
    """Seconds and joules per round of the edges, from one simulated cycle."""
    stored = read("hfedfm")
    expected, got = stored["expected"][row], prototypes(tuple(f"user{head}" for head in stored["heads"]))[row]
    return [
        close(f"{row}: seconds a round", expected["latency_s"], got["latency_s"]),
        close(f"{row}: joules a round", expected["energy_j"], got["energy_j"]),
    ]


def checks() -> list[Check]:
    """One check a row of the prototype's table."""
    return [Check(row, partial(rows, row)) for row in ROWS]
