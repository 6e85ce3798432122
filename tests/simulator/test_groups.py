"""A cell of stations as arrays: equal, member by member, to processes on the fluid."""

import math

import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from simulator.fluid import Fluid
from simulator.groups.cells import cell_round

NEAR = {"rel": 1e-9, "abs": 1e-12}


def processes(up_rate, down_rate, down_bits, compute, up_bits, up_latency, down_latency, start, *, sharing, until=None):
    """The same round with one SimPy process per member; what each had done by *until*, when all are cut off."""
    env, members = simpy.Environment(), range(len(up_rate))
    fluid = Fluid(env)
    cell = fluid.resource("cell", 1.0)
    ends = np.full((3, len(up_rate)), math.inf)
    flows, computing = {}, {}

    def transfer(i, way, bits, rate, latency):
        if bits > 0:
            yield env.timeout(latency)
            weight = rate if sharing == "airtime" else 1.0
            flows[way, i] = fluid.flow(bits, {cell: 1 / rate}, weight=weight)
            yield flows[way, i]

    def member(i):
        yield env.timeout(start[i])
        yield from transfer(i, "down", down_bits[i], down_rate[i], down_latency[i])
        ends[0, i] = computing[i] = env.now
        yield env.timeout(compute[i])
        ends[1, i] = env.now
        yield from transfer(i, "up", up_bits[i], up_rate[i], up_latency[i])
        ends[2, i] = env.now

    done = env.all_of([env.process(member(i)) for i in members])
    env.run(done if until is None else done | env.timeout(until))
    if until is None:
        return ends
    passed = [[flows[way, i].passed if (way, i) in flows else 0.0 for i in members] for way in ("down", "up")]
    airtime = [[flows[way, i].used[cell] if (way, i) in flows else 0.0 for i in members] for way in ("down", "up")]
    computed = [min(env.now - computing[i], compute[i]) if i in computing else 0.0 for i in members]
    return passed[0], airtime[0], computed, passed[1], airtime[1]


def random_figures(count, seed, *, spread=2.0):
    """Rates over *spread* decades, and so much computing that early reports meet late downloads."""
    random = np.random.default_rng(seed)
    up, down = (1e6 * 10 ** random.uniform(0, spread, count) for _ in range(2))
    down_bits, up_bits = random.uniform(1e5, 1e7, count), random.uniform(1e5, 1e7, count)
    compute = random.uniform(0, count * 0.2, count)
    waits = random.uniform(0, 0.01, (2, count))
    return up, down, down_bits, compute, up_bits, *waits, random.uniform(0, count * 0.02, count)


def as_arrays(up, down, down_bits, compute, up_bits, up_latency, down_latency, start, sharing):
    return cell_round(
        up, down, down_bits=down_bits, compute_seconds=compute, up_bits=up_bits, up_latency=up_latency,
        down_latency=down_latency, start=start, sharing=sharing,
    )  # fmt: skip


def ends_of(found):
    return np.array([found.down_end, found.compute_end, found.up_end])


@pytest.mark.parametrize("sharing", ["throughput", "airtime"])
def test_a_thousand_stations_end_when_processes_do(sharing):
    figures = random_figures(1000, seed=5)
    found = as_arrays(*figures, sharing)
    assert (found.up_begin < found.down_end.max()).any()  # reports and downloads do meet
    np.testing.assert_allclose(ends_of(found), processes(*figures, sharing=sharing), rtol=1e-9)


@pytest.mark.parametrize("sharing", ["throughput", "airtime"])
def test_a_thousand_stations_interrupted_have_done_what_processes_have(sharing):
    figures = random_figures(1000, seed=6)
    found = as_arrays(*figures, sharing)
    deadline = float(np.quantile(found.up_end, 0.4))
    seen = processes(*figures, sharing=sharing, until=deadline)
    for mine, theirs, whole in zip(found.at(deadline), seen, (1e5, 1e-3, 1e-3, 1e5, 1e-3), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9 * whole)


figure = st.one_of(st.just(0.0), st.integers(1, 50).map(float))
rate = st.one_of(st.integers(1, 20).map(float), st.sampled_from([0.001, 1e6]))
member = st.tuples(rate, rate, figure, figure, figure, *[st.sampled_from([0.0, 0.25, 1.0])] * 2, st.just(0.0) | figure)


@given(st.lists(member, min_size=1, max_size=7), st.sampled_from(["throughput", "airtime"]), st.floats(0.0, 1.2))
def test_any_cell_equals_its_processes(members, sharing, share):
    """Also with nothing to send or to compute, all in step or none, and cut off at any time."""
    figures = [list(values) for values in zip(*members, strict=True)]
    found = as_arrays(*figures, sharing)
    ends = processes(*figures, sharing=sharing)
    assert ends_of(found).tolist() == [pytest.approx(row, **NEAR) for row in ends.tolist()]
    cut = float(share * ends.max())
    near_an_event = np.isclose(np.concatenate([ends.ravel(), found.up_begin]), cut, rtol=1e-9).any()
    if not near_an_event and cut > 0:
        seen = processes(*figures, sharing=sharing, until=cut)
        for mine, theirs in zip(found.at(cut), seen, strict=True):
            assert mine.tolist() == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@given(st.lists(member, min_size=1, max_size=7), st.sampled_from(["throughput", "airtime"]), st.floats(0.0, 1.2))
def test_airtime_is_never_more_than_there_is(members, sharing, share):
    found = as_arrays(*(list(values) for values in zip(*members, strict=True)), sharing)
    cut = float(share * found.up_end.max())
    passed, whole = found.at(cut), found.at(math.inf)
    for part, all_of_it in zip(passed, whole, strict=True):
        assert (part >= 0).all()
        assert (part <= all_of_it).all()
    assert passed.down_airtime.sum() + passed.up_airtime.sum() <= cut * (1 + 1e-9)
    assert whole.down_bits.tolist() == [values[2] for values in members]
    assert whole.up_bits.tolist() == [values[4] for values in members]
    assert whole.computed_seconds.tolist() == pytest.approx([values[3] for values in members], **NEAR)


def test_equal_stations_share_in_closed_form():
    """n downloads of b bits at rate R take n b / R, whoever gets what; then everybody computes at once."""
    n, bits, up, down = 30, 8e6, 2e7, 5e7
    waits = {"down_latency": 0.5, "up_latency": 0.25, "start": 10}
    found = cell_round([up] * n, down, down_bits=bits, up_bits=bits / 2, compute_seconds=3.0, **waits)
    loaded = 10 + 0.5 + n * bits / down
    assert found.down_end.tolist() == pytest.approx([loaded] * n, **NEAR)
    assert found.up_end.tolist() == pytest.approx([loaded + 3.25 + n * bits / 2 / up] * n, **NEAR)
    half = found.at(10.5 + n * bits / down / 2)
    assert half.down_bits.tolist() == pytest.approx([bits / 2] * n, **NEAR)
    assert half.down_airtime.sum() == pytest.approx(n * bits / down / 2, **NEAR)


def test_a_slow_station_slows_all_in_throughput_mode_and_only_itself_in_airtime_mode():
    """The performance anomaly of 802.11 (Heusse et al. 2003): equal turns give equal bits, at 1 / sum(1 / R)."""
    rates, bits = [54e6, 54e6, 1e6], 1e6
    together = bits * sum(1 / rate for rate in rates)
    equal = cell_round(rates, rates, up_bits=bits)
    assert equal.up_end.tolist() == pytest.approx([together] * 3, **NEAR)
    fair = cell_round(rates, rates, up_bits=bits, sharing="airtime")
    assert fair.up_end.tolist() == pytest.approx([3 * bits / 54e6] * 2 + [together], **NEAR)


@pytest.mark.parametrize("sharing", ["throughput", "airtime"])
def test_what_the_slow_took_leaves_nothing_behind(sharing):
    """A medium never idle ends with all the airtime there is to use, here last by a station 10^12 times as fast."""
    rates, bits = np.ones(1000), np.ones(1000)
    rates[-1], bits[-1] = 1e12, 1e12 if sharing == "throughput" else 2e12
    found = cell_round(rates, 1.0, up_bits=bits, start=np.linspace(0, 0.5, 1000), sharing=sharing)
    assert found.up_end[-1] == found.up_end.max() == pytest.approx(math.fsum(bits / rates), **NEAR)


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"up_bits_per_s": [1.0, 0.0]}, "member 1: up_bits_per_s must be > 0 and finite, got 0.0"),
        ({"down_bits_per_s": math.inf}, "member 0: down_bits_per_s must be > 0 and finite, got inf"),
        ({"up_bits": [1.0, math.nan]}, "member 1: up_bits must be >= 0 and finite, got nan"),
        ({"compute_seconds": -1.0}, "member 0: compute_seconds must be >= 0 and finite, got -1.0"),
        ({"start": [1.0, 2.0, 3.0]}, "up_bits_per_s must be one figure or 3 of them, got the shape (2,)"),
        ({"sharing": "fair"}, "sharing must be throughput or airtime or none, got 'fair'"),
    ],
)
def test_figures_that_make_no_sense_are_refused(figures, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        cell_round(**{"up_bits_per_s": [1.0, 1.0], "down_bits_per_s": 1.0} | figures)
    assert str(error.value) == message
