"""The fluid against SimGrid: twelve stored cases, each finish time at 1e-9 relative.

In a case with dependencies (`after`), `finish` is SimGrid's and `finish_fluid` that of an analytic fluid; both are met.
"""

import pytest

from experiments.validation.simgrid import NAMES, replay, tasks
from experiments.validation.stored import read


def test_all_twelve_cases_are_here():
    assert len(NAMES) == 12


@pytest.mark.parametrize("name", NAMES)
def test_finish_times(name):
    case = read(f"simgrid/{name}")
    finished = replay(case)
    for field in ("finish", "finish_fluid"):
        expected = {task["id"]: task[field] for task in tasks(case) if field in task}
        assert {name: finished[name] for name in expected} == pytest.approx(expected, rel=1e-9, abs=0)
    if "makespan" in case:
        assert max(finished.values()) == pytest.approx(case["makespan"], rel=1e-9, abs=0)
