"""How often rounds are repeated, and who is wired to whom at which rate."""

import math
import os

import pytest

from experiments.reality import federation
from experiments.reality.configurations import LARGE, Configuration
from experiments.reality.federation import LIMIT, REPEATS, SLOWER, Measured, Round, _throttles, _visit, parents
from experiments.reality.figure import against, draw
from experiments.reality.wire import Throttle


class Scripted:
    """Stands for the federation: rounds of 1 s as scripted, in turn."""

    def __init__(self, rounds):
        self.rounds = iter(rounds)

    def round(self, _):
        return next(self.rounds)


def scripted(others=LIMIT / 2, own_s=1.0):
    return Round((), 1.0, others, own_s, 0.0)


NOISY, FIT = scripted(2 * LIMIT), scripted()
SLOWED = scripted(own_s=1.0 + 1.01 * SLOWER * (os.cpu_count() or 1))


@pytest.fixture
def quiet_waits(monkeypatch):
    waits = []
    monkeypatch.setattr(federation, "wait_for_quiet", lambda *_: waits.append(1))
    return waits


def visited(rounds, wanted, end=math.inf):
    measured = Measured(ONE)
    _visit(Scripted(rounds), {}, measured, wanted, end)
    return measured


def test_unfit_rounds_are_repeated_and_after_noise_quiet_is_waited_for(quiet_waits):
    measured = visited([NOISY, FIT, SLOWED, NOISY, FIT], 2)
    assert measured.rounds == [NOISY, FIT, SLOWED, NOISY, FIT]
    assert measured.kept == measured.fit == [FIT, FIT]
    assert len(quiet_waits) == 2


def test_slow_is_what_takes_more_processor_time_than_the_best(quiet_waits):
    """A better round shows that the earlier ones were slowed."""
    assert visited([SLOWED, SLOWED, FIT, FIT], 2).rounds == [SLOWED, SLOWED]
    assert visited([SLOWED, FIT, FIT], 2).fit == [FIT, FIT]


def test_there_is_an_end_to_repeating(quiet_waits):
    assert len(visited([NOISY] * 99, 3).rounds) == 3 * (1 + REPEATS)


def test_nothing_is_repeated_once_the_budget_is_spent(quiet_waits):
    assert len(visited([NOISY] * 99, 3, -math.inf).rounds) == 3
    assert not quiet_waits


def test_a_system_that_cannot_tell_repeats_nothing(quiet_waits):
    assert len(visited([scripted(None)] * 99, 3).rounds) == 3


ONE = Configuration("one", LARGE, (6, 2), 1, (3.0, 4.0), (1.0, 2.0), slower_links={7: 2})
MEDIA = Configuration("media", LARGE, (6, 2), 1, (3.0, 4.0), (1.0, 2.0), shared_access=True, shared_trunk=True)


def test_every_device_reports_to_its_edge_and_every_edge_to_the_cloud():
    above = parents(ONE)
    assert [above[f"device{index}"] for index in range(8)] == ["edge0"] * 6 + ["edge1"] * 2
    assert above["edge0"] == above["edge1"] == "cloud"


def test_links_are_throttled_each_way_and_media_are_shared():
    above = parents(ONE)
    assert _throttles(ONE, "edge1", above) == (Throttle(1.0), Throttle(2.0))
    assert _throttles(ONE, "device7", above) == (Throttle(1.5), Throttle(2.0))
    cells = {node: _throttles(MEDIA, node, above)[0].cell for node in above}
    assert cells["edge0"] == cells["edge1"] == 0
    assert {cells[f"device{i}"] for i in range(6)} == {1}
    assert cells["device6"] == cells["device7"] == 2


def test_devices_on_one_medium_have_one_rate():
    with pytest.raises(ValueError, match="leave out slower_links"):
        Configuration("bad", LARGE, (8,), 1, (3.0, 4.0), (1.0, 2.0), shared_access=True, slower_links={1: 2})


def test_the_figure_has_a_point_per_configuration(tmp_path):
    real, twin, predicted = [1.0, 2.0, 3.0], [1.1, 1.9, 3.0], [False, True, True]
    (ax,) = against(real, twin, predicted).axes
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if len(line.get_xdata()) == 1]
    assert points == list(zip(real, twin, strict=True))
    paths = draw(tmp_path, real, twin, predicted)
    assert sorted(path.name for path in paths) == ["against_reality.pdf", "against_reality.png"]
