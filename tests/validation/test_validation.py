"""Every row of `docs/validation.md`, asserted: run as `python -m experiments.validation` runs it, with its seeds."""

from pathlib import Path

import pytest

from experiments.questions.hfedfm_table import ROWS
from experiments.validation.groups import GROUPS
from experiments.validation.queueing import RUNNERS as QUEUES
from experiments.validation.radio import LOSSES, SIGHT
from experiments.validation.radio import RUNNERS as FADING
from experiments.validation.simgrid import NAMES
from experiments.validation.stored import read

PAGE = (Path(__file__).parents[2] / "docs/validation.md").read_text(encoding="utf-8")
CHECKS = [pytest.param(group, check, id=f"{group}: {check.name}") for group in GROUPS for check in GROUPS[group]()]
ELSEWHERE = {"closed_think_PS", "sync_barrier_shifted_exp", "sync_barrier_uniform", "retry_until_success"}


@pytest.mark.parametrize(("group", "check"), CHECKS)
def test_it_holds_and_is_on_the_page(group, check):
    rows = check.rows()
    assert rows
    assert [row for row in rows if row.holds is False] == []
    assert [row.check for row in rows if f"| {row.check} |" not in PAGE] == []
    assert group == "wifi" or all(row.tolerance is not None for row in rows)


def test_every_stored_reference_is_checked():
    stored = read("closed_forms")
    assert {case["name"] for case in stored["cases"]} == {*QUEUES, *FADING, *ELSEWHERE}
    assert {spot["model"] for spot in stored["pathloss_spots"]} == set(LOSSES)
    assert {key for spot in stored["los_probability"] for key in spot} - {"d_m"} == set(SIGHT)
    assert len(NAMES) == 12
    assert read("hfedfm")["expected"].keys() == ROWS.keys()
