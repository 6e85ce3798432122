"""What a scenario says of costs and presence reaches the simulator; every mistake in it has its line."""

import math

import pandas as pd
import pytest

from experiments.build import build
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError
from simulator.costs import Battery, Carbon, Costs, Cubic, Table
from simulator.presence import Churn, Timetable, Windows, always

TEXT = """\
title: Costs
topology: {kind: campus, classrooms: 2, devices: 3}
model: {footprint: {head: {bytes: 1 MB, flops: 10 GFLOP}}}
plan: {classroom: {modules: [head]}, campus: {modules: [head], rounds: 2}}
"""


@pytest.fixture
def load(tmp_path):
    def of(more=""):
        (tmp_path / "s.yaml").write_text(TEXT + more)
        return Scenario.load(tmp_path / "s.yaml")

    return of


@pytest.fixture
def mistakes(load, tmp_path):
    def of(more):
        with pytest.raises(ScenarioError) as error:
            build(load(more))
        return str(error.value).replace(f"{tmp_path}/s.yaml:", "").splitlines()

    return of


def test_nothing_said_is_what_the_simulator_charges_by_itself(load):
    built = build(load())
    assert built.costs == Costs()
    assert built.presence is always


def test_every_switch_of_the_simulator_is_a_key_of_the_same_name(load):
    """A switch that the schema lacks, or has under another default, could not be set in a scenario."""
    from dataclasses import fields

    from experiments.schema.physics import CostsSpec

    assert list(CostsSpec.model_fields) == [field.name for field in fields(Costs)]
    turned = {name: not value for name, value in CostsSpec() if isinstance(value, bool)}
    built = build(load("costs: {" + ", ".join(f"{k}: {str(v).lower()}" for k, v in turned.items()) + "}\n"))
    assert {name: getattr(built.costs, name) for name in turned} == turned


@pytest.mark.parametrize(
    ("given", "name", "expected"),
    [
        ("power: {kind: cubic, kappa: 2e-27, clock: 5 GHz}", "power", Cubic(2e-27, 5e9)),
        ("power: {kind: table, points: [[0, 0], [0.5, 0.8], [1, 1]]}", "power", Table(((0, 0), (0.5, 0.8), (1, 1)))),
        ("battery: {}", "battery", Battery()),
        ("battery: {initial: 0.5}", "battery", Battery((0.5, 0.5))),
        (
            "battery: {initial: [0.3, 1], charge_watts: 45 W, plugged: [[12 h, 13 h]], every: 24 h, revive: 0.2}",
            "battery",
            Battery((0.3, 1.0), 45.0, ((43200.0, 46800.0),), 86400.0, 0.2),
        ),
        ("carbon: {grams_per_kwh: 360}", "carbon", Carbon((1e-4,))),
        ("wifi: equal_airtime", "wifi", "equal_airtime"),
        ("latency_power: transmit", "latency_power", "transmit"),
    ],
)
def test_models_are_read(load, given, name, expected):
    scenario = load(f"costs: {{{given}}}\n")
    assert getattr(build(scenario).costs, name) == expected
    assert Scenario.model_validate(scenario.dump()) == scenario


def test_a_carbon_trace_is_a_column_of_hours(load, tmp_path):
    (tmp_path / "grid.csv").write_text("hour,grams_per_kwh\n0,360\n1,720\n")
    assert build(load("costs: {carbon: {file: grid.csv}}\n")).costs.carbon == Carbon((1e-4, 2e-4))


def test_presence_is_read(load):
    built = build(load("presence: {kind: churn, present: 1 h, absent: 10 min}\n"))
    assert built.presence == Churn(0, 3600.0, 600.0, frozenset(built.hierarchy.nodes("device")))
    built = build(load("presence: {kind: timetable, present: [[8 h, 12 h]], every: 24 h, tiers: [classroom]}\n"))
    rooms = frozenset(built.hierarchy.nodes("classroom"))
    assert built.presence == Timetable(Windows(((28800.0, 43200.0),), 86400.0), rooms)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("costs: {compute: no thanks}", ["5: costs.compute: expected true or false, got 'no thanks'"]),
        ("costs: {computing: false}", ["5: costs.computing: unknown key; did you mean 'compute'?"]),
        ("costs: {wifi: fair}", ["5: costs.wifi: expected equal_throughput or equal_airtime, got 'fair'"]),
        ("costs: {power: {kind: cubed}}", ["5: costs.power.kind: unknown kind 'cubed'; did you mean 'cubic'?"]),
        ("costs: {power: {kind: cubic, kappa: -1, clock: 2}}", ["5: costs.power.kappa: must be > 0, got -1"]),
        ("costs: {power: {kind: table, points: [[0, 0], [0.5, 0.8]]}}", [
            "5: costs.power.points: power table: pairs that rise from [0, 0] to [1, 1], got [[0.0, 0.0], [0.5, 0.8]]"]),
        ("costs: {power: {kind: table, points: 3}}", [
            "5: costs.power.points: expected a list of pairs, such as [[0, 1 h], [8 h, 9 h]], got 3"]),
        ("costs: {battery: {initial: 0}}", [
            "5: costs.battery.initial.0: must be > 0, got 0", "5: costs.battery.initial.1: must be > 0, got 0"]),
        ("costs: {battery: {charge_watts: -3}}", ["5: costs.battery.charge_watts: must be >= 0, got -3"]),
        ("costs: {battery: {charge_watts: .nan}}", ["5: costs.battery.charge_watts: must be finite, got nan"]),
        ("costs: {battery: {plugged: [[0, 1 h]]}}", ["5: costs.battery: battery: plugged needs charge_watts > 0"]),
        ("costs: {battery: {}, latency_power: transmit}", [
            "5: costs: latency_power: transmit is an accounting of papers that follow no battery; leave one out"]),
        ("costs: {carbon: {}}", ["5: costs.carbon: give grams_per_kwh or a file, one of the two"]),
        ("costs: {carbon: {grams_per_kwh: -1}}", ["5: costs.carbon.grams_per_kwh: must be >= 0, got -1"]),
        ("costs: {carbon: {file: grid.csv}}", ["grid.csv"]),
        ("presence: {kind: churn, present: 1 h}", ["5: presence.absent: is missing"]),
        ("presence: {kind: churn, present: 0, absent: 1}", ["5: presence.present: must be >= 0.001, got 0"]),
        ("presence: {kind: timetable, present: []}", ["5: presence.present: must not be empty"]),
        ("presence: {kind: timetable, present: [[3, 1]]}", [
            "5: presence: present: windows must be [from, until] with 0 <= from < until, in order, within inf s, "
            "got [[3.0, 1.0]]"]),
        ("presence: {kind: churn, present: 1, absent: 1, tiers: [campus]}", [
            "presence: 'campus' is no tier below the root; those are classroom, device"]),
    ],
)  # fmt: skip
def test_mistakes_have_their_line(mistakes, given, told):
    lines = mistakes(given + "\n")
    assert len(lines) == len(told)
    assert all(expected in line for line, expected in zip(lines, told, strict=True)), lines


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("hour\n0\n", "has no column 'grams_per_kwh'"),
        ("grams_per_kwh\n3\nmany\n", "could not convert string to float: 'many'"),
        ("grams_per_kwh\n", "at least one"),
        ("grams_per_kwh\n-3\n", ">= 0"),
    ],
)
def test_a_carbon_trace_that_holds_none_is_refused_by_name(mistakes, tmp_path, content, told):
    (tmp_path / "grid.csv").write_text(content)
    (line,) = mistakes("costs: {carbon: {file: grid.csv}}\n")
    assert "grid.csv" in line
    assert told in line


def test_a_run_folder_tells_causes_batteries_and_carbon(load, tmp_path):
    costs = "costs: {carbon: {grams_per_kwh: 360}, battery: {initial: 0.5}}\nplots: false\n"
    result = run(load(costs), tmp_path / "out")
    nodes, energy = (pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("nodes", "energy"))
    sums = energy.groupby("node").joules.sum()
    assert nodes.total_joules.tolist() == pytest.approx(sums[nodes.node].tolist(), rel=1e-12)
    assert set(energy.cause) == {"idle", "compute", "transmit", "receive", "infrastructure", "cooling"}
    assert nodes.carbon_grams.tolist() == pytest.approx((nodes.total_joules * 1e-4).tolist(), rel=1e-12)
    assert result.manifest["carbon_grams"] == pytest.approx(math.fsum(nodes.carbon_grams), rel=1e-12)
    devices = nodes[nodes.tier == "device"]
    own = devices.total_joules
    assert devices.battery_joules.tolist() == pytest.approx((47 * 3600 / 2 - own).tolist(), rel=1e-12)


def test_deaths_are_summed_up(load, tmp_path, capsys):
    from experiments.summary import show

    result = run(load("costs: {battery: {initial: 0.00001}}\nplots: false\n"), tmp_path / "out")
    show(result, "s.yaml")
    assert "6 nodes ran out of battery (events.csv)" in capsys.readouterr().out


def test_what_the_simulator_refuses_is_told_without_a_traceback(load, tmp_path):
    """Each figure may be; together they give watts beyond all numbers."""
    power = "costs: {power: {kind: cubic, kappa: 1e300, clock: 1e9}}\nplots: false\n"
    with pytest.raises(ScenarioError, match="beyond all figures"):
        run(load(power), tmp_path / "out")


def test_batteries_that_nobody_has_cannot_be_followed(mistakes):
    profiles = "{devices: {chromebook_n100: {battery_joules: 0}}}"
    (line,) = mistakes(f"costs: {{battery: {{}}}}\nprofiles: {profiles}\n")
    assert "costs.battery: no node below the root has a battery" in line


def test_groups_whose_members_come_and_go_are_told_apart_and_said(load, tmp_path):
    text = "presence: {kind: churn, present: 1 h, absent: 10 min}\nplots: false\n"
    scenario = load(text)
    grouped = scenario.model_copy(update={"topology": scenario.topology.model_copy(update={"grouped": True})})
    result = run(grouped, tmp_path / "out")
    said = [happening for happening in result.log.happenings if happening.kind == "unfolded"]
    assert [(it.node, it.detail) for it in said] == [("campus0", "2 groups: their members come and go one by one")]
    assert result.spans.equals(run(scenario).spans)


def test_what_was_counted_is_written_where_a_model_is_given_by_its_footprint(load, tmp_path):
    run(load("plots: false\n"), tmp_path / "out")
    (row,) = pd.read_csv(tmp_path / "out" / "footprint.csv").to_dict("records")
    assert (row["module"], row["nbytes"], row["training_flops"], row["merge_flops"]) == ("head", 1e6, 1e10, 2.5e5)
