"""The twin against closed forms of a round."""

import pytest

from experiments.reality.configurations import CONFIGURATIONS, DEVICES, LARGE, QUICK, SMALL, Configuration
from experiments.reality.twin import Parameters, hierarchy, twin
from experiments.reality.wire import message_bytes

STEP, LOST, MESSAGE, COPY = 0.01, 0.2, 0.002, 1e-8
PARAMETERS = Parameters({"small": STEP, "large": 3 * STEP}, {"small": LOST, "large": LOST / 2}, MESSAGE, COPY)


def configuration(tree=(4, 4), steps=20, **changes):
    return Configuration("c", SMALL, tree, steps, (4e6, 8e6), (2e6, 5e6), **changes)


def seconds(rate):
    return MESSAGE + 8 * message_bytes(SMALL.nbytes) / rate


TRANSFERS = sum(map(seconds, (4e6, 8e6, 2e6, 5e6)))
PACK = COPY * SMALL.nbytes


def capacity(jobs, lost, cores=2):
    """In cores: each job has one at most; those that wait cost switching."""
    return min(jobs, cores) * (1 - lost * max(0, jobs - cores) / jobs)


@pytest.mark.parametrize(("design", "lost"), [("fair", 0.0), ("crowded", LOST)])
@pytest.mark.parametrize("tree", [(4, 4), (2, 2, 2, 2), (8,)])
def test_equal_devices_share_the_processor(design, lost, tree):
    """Eight equal trainings, packings and merges at once; what runs on no more jobs than cores runs at full speed."""
    merge = PACK * DEVICES / capacity(len(tree), lost)
    upper = PACK * len(tree)
    jobs = DEVICES * (20 * STEP + PACK) / capacity(DEVICES, lost)
    expected = TRANSFERS + jobs + merge + upper
    assert twin(configuration(tree), PARAMETERS, 2, design).seconds == pytest.approx(expected, rel=1e-9)


def test_enough_cores_are_never_crowded():
    found = twin(configuration((8,)), PARAMETERS, DEVICES)
    assert found.causes["compute"] == pytest.approx(20 * STEP, rel=1e-9)
    assert found.seconds == pytest.approx(TRANSFERS + 20 * STEP + PACK * (1 + DEVICES + 1), rel=1e-9)


def test_the_last_of_a_long_training_runs_alone():
    """The others share until all have 20 steps; what is left of the long one has a core to itself."""
    copyless = Parameters(PARAMETERS.step_seconds, PARAMETERS.crowding, MESSAGE, 0.0)
    found = twin(configuration(more_steps={3: 5}), copyless, 2)
    together = DEVICES * 20 * STEP / capacity(DEVICES, LOST)
    assert found.causes["compute"] == pytest.approx(together + 4 * 20 * STEP, rel=1e-9)


def test_a_shared_medium_divides_its_rate():
    found = twin(configuration((8,), shared_access=True), PARAMETERS, 2)
    access = 2 * MESSAGE + DEVICES * (seconds(4e6) + seconds(8e6) - 2 * MESSAGE)
    assert found.causes["transfer"] == pytest.approx(access + seconds(2e6) + seconds(5e6), rel=1e-9)


@pytest.mark.parametrize("one", CONFIGURATIONS, ids=lambda one: one.name)
def test_every_configuration_has_a_twin_whose_causes_sum_up(one):
    found = twin(one, PARAMETERS, 2)
    assert sum(found.causes.values()) == pytest.approx(found.seconds)
    assert found.causes["waiting"] == pytest.approx(0.0, abs=1e-9)
    assert len(hierarchy(one, 0.0, 2)) == 1 + len(one.tree) + DEVICES


def test_both_halves_have_both_nets_and_there_are_enough():
    assert len(CONFIGURATIONS) >= 12
    assert {one.net for one in CONFIGURATIONS[::2]} == {one.net for one in CONFIGURATIONS[1::2]} == {SMALL, LARGE}
    assert {one.net for one in QUICK[1::2]} <= {one.net for one in QUICK[::2]}
    assert {one.name for one in CONFIGURATIONS} >= {one.name for one in QUICK}


@pytest.mark.parametrize("tree", [(), (4,), (9, -1)])
def test_a_tree_needs_its_devices(tree):
    with pytest.raises(ValueError, match="c: tree must be numbers >= 1 that sum to 8"):
        configuration(tree)


@pytest.mark.parametrize("lost", [-0.1, 1.0, float("nan")])
def test_crowding_is_a_share(lost):
    with pytest.raises(ValueError, match="crowding must be >= 0 and < 1"):
        twin(configuration(), Parameters({"small": STEP}, {"small": lost}, MESSAGE, COPY), 2)
