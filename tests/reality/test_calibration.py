"""Parameters planted in simulated rounds are found again, and what was not used is predicted."""

from dataclasses import replace

import pytest

from experiments.questions.against_reality import compared
from experiments.reality.calibration import Observed, calibrate
from experiments.reality.configurations import CONFIGURATIONS
from experiments.reality.federation import LIMIT, Measured, Round
from experiments.reality.twin import Parameters, twin

PLANTED = Parameters({"large": 2.4e-3, "small": 6.5e-4}, {"large": 0.06, "small": 0.18}, 8e-4, 1.5e-9)


def seen(one, design="crowded"):
    found = twin(one, PLANTED, 2, design)
    return Observed(one, found.seconds, found.causes)


def test_planted_parameters_are_recovered():
    found = calibrate([seen(one) for one in CONFIGURATIONS[::2]], 2)
    assert found.step_seconds == pytest.approx(PLANTED.step_seconds, rel=1e-4)
    assert found.crowding == pytest.approx(PLANTED.crowding, abs=1e-4)
    assert found.message_seconds == pytest.approx(PLANTED.message_seconds, rel=1e-2)
    assert found.copy_seconds_per_byte == pytest.approx(PLANTED.copy_seconds_per_byte, rel=1e-2)


def test_the_fair_design_knows_no_crowding():
    found = calibrate([seen(one, "fair") for one in CONFIGURATIONS[::2]], 2, "fair")
    assert found.step_seconds == pytest.approx(PLANTED.step_seconds, rel=1e-4)
    assert set(found.crowding.values()) == {0.0}


def test_nothing_measured_calibrates_nothing():
    with pytest.raises(ValueError, match="at least one measured configuration"):
        calibrate([], 2)


def measured(one):
    """Clean rounds as the planted twin has them; a disturbed and a slowed one that take twice as long."""
    found = twin(one, PLANTED, 2)
    clean = Round(found.phases, found.seconds, LIMIT / 2, 1.0, 0.5)
    disturbed, slowed = ({"others": 2 * LIMIT}, {"own_s": 9.0})
    unfit = [replace(clean, seconds=2 * found.seconds, **how) for how in (disturbed, slowed)]
    return Measured(one, [clean, *unfit, clean])


def test_a_machine_that_is_the_twin_is_predicted():
    answer = compared([measured(one) for one in CONFIGURATIONS], 2)
    itself, *designs = answer["designs"]
    assert itself["mean error %"] == 0
    (crowded,) = (row for row in designs if row["design"] == "crowded, predicted")
    assert crowded["met"]
    assert crowded["mean error %"] < 0.01
    assert crowded["tau"] == pytest.approx(1.0)
    (fair,) = (row for row in designs if row["design"] == "fair, predicted")
    assert fair["mean error %"] > 10 * crowded["mean error %"]
    for row, one in zip(answer["configurations"], CONFIGURATIONS, strict=True):
        assert (row["configuration"], row["fit"], row["disturbed"], row["slowed"]) == (one.name, 2, 1, 1)
        assert row["measured s"] == pytest.approx(twin(one, PLANTED, 2).seconds)


def test_where_nothing_is_clean_the_least_disturbed_round_counts():
    rounds = [Round((), seconds, others, 1.0, 0.0) for seconds, others in ((3.0, 0.9), (1.0, 0.2), (2.0, 0.5))]
    one = Measured(CONFIGURATIONS[0], rounds)
    assert [round_.seconds for round_ in one.kept] == [1.0]
