"""The room's own instruments: rows, estimates, recursions, states to start from, the page."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.validation import __main__ as command
from experiments.validation import page
from experiments.validation.check import close, likely, near, stated, worst
from experiments.validation.estimates import Estimate, batched, independent, stream
from experiments.validation.paths import equilibrium, first_come_first_served, processor_sharing
from experiments.validation.sizes import DETERMINISTIC, ERLANG2, EXPONENTIAL, LOGNORMAL4, THREE_SIZES

NAN = math.nan
SIZES = (DETERMINISTIC, ERLANG2, EXPONENTIAL, LOGNORMAL4, THREE_SIZES)


@pytest.mark.parametrize(
    ("row", "holds"),
    [
        (close("c", 2.0, 2.0 + 1e-9), True),
        (close("c", 2.0, 2.0 + 3e-9), False),
        (close("c", 0.0, 0.0), True),
        (close("c", 0.0, 1e-300), False),
        (close("c", 2.0, NAN), False),
        (near("n", 50.0, 50.0 + 2e-9, 1e-9, "dB"), False),
        (near("n", 50.0, NAN, 1e-9, "dB"), False),
        (likely("l", 1.0, Estimate(1.39, 0.1)), True),
        (likely("l", 1.0, Estimate(0.59, 0.1)), False),
        (likely("l", 1.0, Estimate(NAN, 0.1)), False),
        (stated("s", 1.0, 9.0), None),
    ],
)
def test_a_row_holds_within_its_tolerance_only(row, holds):
    assert row.holds is holds


def test_the_worst_row_is_the_one_that_is_furthest_off_or_no_number():
    good, bad, none = close("g", 1.0, 1.0), close("b", 1.0, 2.0), close("n", 1.0, NAN)
    assert worst([good, bad]) is bad
    assert worst([bad, none, good]) is none


def test_a_constant_has_no_error_and_a_trend_has_one():
    assert independent([3.0, 3.0, 3.0]) == Estimate(3.0, 0.0)
    assert batched([1.0, 3.0, 2.0, 4.0], batches=2) == Estimate(2.5, 0.5)  # stretch means 2 and 3: sd .71, over root 2
    assert batched([99.0, 1.0, 3.0, 2.0, 4.0, 7.0], warm_up=1, batches=2) == Estimate(
        2.5, 0.5
    )  # the odd one is left out


def test_the_standard_error_of_a_correlated_series_is_larger_than_if_it_were_independent():
    """An AR(1) series of coefficient a has (1 + a) / (1 - a) times the variance of the mean."""
    noise, series = stream("ar").standard_normal(200_000), [0.0]
    for value in noise[1:]:
        series.append(0.9 * series[-1] + value)
    ratio = (batched(series, batches=100).standard_error / independent(series).standard_error) ** 2
    assert ratio == pytest.approx(19, rel=4 * math.sqrt(2 / 99))


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: sizes.name)
def test_sizes_have_mean_one_and_rests_the_mean_of_renewal_theory(sizes):
    """E[rest] = E[S^2] / 2 E[S], and a size-biased size is twice that."""
    rng, count = stream(sizes.name), 100_000
    second = {"deterministic": 1.0, "erlang-2": 1.5, "exponential": 2.0, "lognormal of scv 4": 5.0}
    moment = second.get(sizes.name, 0.4 * 0.01 + 0.42 + 0.18 * 9)
    for values, mean in ((sizes.draw(rng, count), 1.0), (sizes.rests(rng, count), moment / 2)):
        estimate = independent(values)
        assert abs(estimate.mean - mean) <= 4 * estimate.standard_error + 1e-12


def test_two_customers_by_hand():
    gaps, sizes = np.array([0.0, 1.0]), np.array([3.0, 1.0])
    assert first_come_first_served(gaps, sizes).tolist() == [3.0, 3.0]
    assert first_come_first_served(gaps, sizes, servers=2).tolist() == [3.0, 1.0]
    assert processor_sharing(gaps, sizes).tolist() == [4.0, 2.0]  # 1 alone, then half each for 2 s, then 1 alone
    assert processor_sharing(gaps, sizes, rate=2.0, each=1.0).tolist() == [3.0, 1.0]


customers = st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 5)), min_size=1, max_size=30)


@given(customers)
def test_a_server_that_is_never_idle_when_there_is_work_ends_at_one_time_whatever_its_order(pairs):
    gaps, sizes = np.array(pairs).T
    came = np.cumsum(gaps)
    ends = [(came + path(gaps, sizes)).max() for path in (first_come_first_served, processor_sharing)]
    assert ends[0] == pytest.approx(ends[1], rel=1e-9)


def test_equilibrium_has_the_mean_work_of_theory():
    """M/G/1: work = rate E[S^2] / 2 (1 - load), whatever the order of service (Pollaczek and Khinchine)."""
    rng = stream("work")
    estimate = independent([equilibrium(rng, 0.7, 1, ERLANG2).sum() for _ in range(4000)])
    assert abs(estimate.mean - 0.7 * 1.5 / (2 * 0.3)) < 4 * estimate.standard_error


def test_the_command_fails_when_a_check_does(monkeypatch, capsys):
    good, bad = close("good", 1.0, 1.0), close("bad", 1.0, 2.0)
    for rows, status in (([good], 0), ([good, bad], 1)):
        monkeypatch.setattr(command, "run", lambda group, rows=rows: rows)
        monkeypatch.setattr("sys.argv", ["validation", "simgrid", "--json"])
        assert command.main() == status
        printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(row["group"], row["check"], row["holds"]) for row in printed] == [
            ("simgrid", row.check, row.holds) for row in rows
        ]


def test_an_unknown_group_is_refused_by_name(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["validation", "simgird"])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert "there is no group 'simgird'; there are simgrid" in capsys.readouterr().err


def test_tables_go_between_their_markers_and_nowhere_else(tmp_path):
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter\n")
    rows = [likely("mean", 2.0, Estimate(2.1, 0.1)), near("loss", 50.0, 50.5, 1e-9, "dB"), stated("cell", 4.0, 5.0)]
    page.fill(file, {"a": rows})
    filled = (
        "before\n<!-- a: begin -->\n"
        "| check | expected | got | error | tolerance | holds |\n| --- | --- | --- | --- | --- | --- |\n"
        "| mean | 2 | 2.1 ± 0.1 | 1 s.e. | 4 s.e. | yes |\n"
        "| loss | 50 | 50.5 | 0.5 dB | 1e-09 dB | NO |\n"
        "| cell | 4 | 5 | 0.25 | stated only |  |\n"
        "<!-- a: end -->\nafter\n"
    )
    assert file.read_text() == filled
    page.fill(file, {"a": rows})
    assert file.read_text() == filled
    with pytest.raises(ValueError, match=r"has no <!-- b: begin --> and <!-- b: end -->"):
        page.fill(file, {"b": rows})
