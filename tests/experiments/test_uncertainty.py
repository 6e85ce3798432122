"""Intervals of seconds and joules: factors as uncertain as stated, costs rerun exactly, spreads as theory has them."""

import json
import math
import re
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from experiments.build import build
from experiments.cli import GALLERY, main
from experiments.costs_only import costs_alone
from experiments.intervals import summary, told, what_to_measure
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError
from experiments.simulation import simulated
from experiments.store import ENERGY
from experiments.uncertainty import costs, draw_factors, perturb, rerun, uncertain
from simulator.records import Log
from topologies.files import write_json
from topologies.profiles import devices, links

QUICK = {
    "topology.campuses": "2", "topology.classrooms": "2", "topology.devices": "2", "data.public": "1200",
    "plan.cloud.rounds": "2", "stages.0.epochs": "1", "learning.local_epochs": "1", "baselines": "[]",
    "plots": "false",
}  # fmt: skip
COSTS = """\
title: Costs
seed: 3
topology: {kind: star, clients: 2, device: chromebook_n100}
model: {footprint: {head: {bytes: 1 MB, flops: 10 GFLOP}}}
plan: {cloud: {modules: [head], rounds: 2}}
plots: false
"""
ROOM = COSTS.replace("{kind: star, clients: 2, device: chromebook_n100}", "{kind: classroom, devices: 3}").replace(
    "cloud: {", "classroom: {"
)
ONE = """\
title: One device on one link
topology: {kind: star, clients: 1, device: tablet, link: cable, server: server}
model: {footprint: {head: {bytes: 1 MB, flops: 20 GFLOP, merge: 0}}}
plan: {cloud: {modules: [head]}}
plots: false
profiles:
  devices:
    tablet:
      {kind: device, flops_per_s: 1e11, utilisation: 0.1, cores: 1, memory_bytes: 8e9, memory_bytes_per_s: 1e10,
       idle_watts: 2, busy_watts: 6, uncertainty: {flops_per_s: 0.2, utilisation: 0.3, idle_watts: 0.25}}
    server:
      {kind: cloud, flops_per_s: 1e12, utilisation: 0.5, cores: 8, memory_bytes: 8e9, memory_bytes_per_s: 1e11,
       idle_watts: 0, busy_watts: 0}
  links:
    cable:
      {kind: wire, up_bits_per_s: 8e6, down_bits_per_s: 1.6e7, latency_seconds: 0.1,
       uncertainty: {up_bits_per_s: 0.4, down_bits_per_s: 0.1, latency_seconds: 0.15}}
"""
TERMS = (  # seconds of the one device, each with the uncertainties of the figures that it is a product or quotient of
    (2e10 / (1e11 * 0.1), (0.2, 0.3)),  # training
    (8e6 / 8e6, (0.4,)),  # one report
    (2 * 8e6 / 1.6e7, (0.1,)),  # down before and after
    (3 * 0.1, (0.15,)),  # three latencies
)


@pytest.fixture
def scenario(tmp_path):
    """A scenario from a text."""

    def of(text, **options):
        (tmp_path / "s.yaml").write_text(text)
        return Scenario.load(tmp_path / "s.yaml", **options)

    return of


def test_a_factor_spreads_as_much_as_its_figure_is_uncertain():
    n = 2000
    drawn = [draw_factors({"a": {"x": 0.4, "y": 0.05}, "b": {"x": 0.4}}, 7, draw) for draw in range(n)]
    logs = {
        key: np.log([row[key[0]][key[1]] for row in drawn]) / relative
        for key, relative in {("a", "x"): 0.4, ("a", "y"): 0.05, ("b", "x"): 0.4}.items()
    }
    for values in logs.values():
        assert abs(values.mean()) < 4 / math.sqrt(n)  # so the median of a factor is 1
        assert abs(values.std() - 1) < 4 / math.sqrt(2 * n)
    correlations = np.corrcoef(list(logs.values()))[np.triu_indices(3, 1)]
    assert (np.abs(correlations) < 4 / math.sqrt(n)).all()


def test_the_same_seed_draws_the_same_and_more_draws_begin_with_the_same(scenario):
    built = build(scenario(COSTS))
    four, again, six = perturb(built, 4), perturb(scenario(COSTS), 4, seed=3), perturb(built, 6)
    pd.testing.assert_frame_equal(four, again, check_exact=True)
    pd.testing.assert_frame_equal(four, six.head(4), check_exact=True)
    assert not perturb(built, 4, seed=4).equals(four)


@pytest.mark.parametrize("plan", [{}, {"plan.classroom.wait": "{deadline: 0.02}"}], ids=["barrier", "deadline"])
def test_with_factors_of_one_the_costs_of_learning_are_rerun_to_the_bit(plan):
    result = run(Scenario.load(GALLERY / "campus.yaml", QUICK | plan))
    learner = result.built.learner
    before = learner.updates, set(learner.scorer.taught), learner.recipe
    ones = {name: dict.fromkeys(row, 1.0) for name, row in uncertain(result.built).items()}
    for _ in range(2):  # a rerun leaves nothing behind
        log = Log()
        rows = rerun(result.built, ones, log)
        assert list(log.spans) == list(result.log.spans)
        assert list(log.happenings) == list(result.log.happenings)
        assert log.end_s == result.log.end_s
        assert rows == result.node_rows
        assert not len(log.metrics)
    assert before == (learner.updates, learner.scorer.taught, learner.recipe)
    assert any(span.activity == "evaluate" for span in result.log.spans)
    assert any(h.kind == "late" for h in result.log.happenings) == bool(plan)


def test_with_factors_of_one_costs_alone_are_rerun_to_the_bit(scenario):
    result, log = run(scenario(COSTS)), Log()
    rows = rerun(result.built, {}, log)
    assert list(log.spans) == list(result.log.spans)
    assert rows == result.node_rows
    assert costs(result.built, {})["joules"] == pytest.approx(result.manifest["joules"], rel=1e-12)


def test_asking_for_costs_leaves_the_run_as_it_would_have_been():
    small = Scenario.load(GALLERY / "campus.yaml", QUICK)
    asked, fresh = build(small), build(small)
    perturb(asked, 2)
    logs = Log(), Log()
    for built, log in zip((asked, fresh), logs, strict=True):
        simulated(built, log)
    assert list(logs[0].spans) == list(logs[1].spans)
    assert list(logs[0].metrics) == list(logs[1].metrics)
    assert len(logs[0].metrics)


def test_a_faster_figure_acts_as_the_figure_itself_would(scenario):
    built = build(scenario(ONE))
    assert costs(built, {})["sim_seconds"] == pytest.approx(sum(term for term, _ in TERMS), rel=1e-12)
    given = build(scenario(ONE, overrides={"profiles.links.cable.up_bits_per_s": "4e6"}))
    assert costs(built, {"cable": {"up_bits_per_s": 0.5}}) == costs(given, {})


def test_the_spread_of_linear_costs_is_the_propagated_uncertainty(scenario):
    """Independent lognormal factors: a term a exp(s z) has mean a exp(s^2 / 2) and variance mean^2 (exp(s^2) - 1)."""
    n = 1500
    seconds = perturb(scenario(ONE), n).sim_seconds.to_numpy()
    moments = [(term, math.fsum(u * u for u in figures)) for term, figures in TERMS]
    mean = math.fsum(term * math.exp(s2 / 2) for term, s2 in moments)
    variance = math.fsum(term**2 * math.exp(s2) * math.expm1(s2) for term, s2 in moments)
    assert abs(seconds.mean() - mean) < 4 * math.sqrt(variance / n)
    relative = ((seconds - mean) / mean) ** 2
    assert abs(relative.mean() - variance / mean**2) < 4 * relative.std() / math.sqrt(n)


def test_causes_sum_to_joules_and_the_factors_are_columns(scenario):
    built = build(scenario(ONE))
    table = perturb(built, 3)
    assert list(table.columns[:3]) == ["draw", "sim_seconds", "joules"]
    assert table[list(ENERGY[:-1])].sum(axis=1).to_numpy() == pytest.approx(table.joules.to_numpy(), rel=1e-12)
    factors = [f"{name}/{figure}" for name, row in uncertain(built).items() for figure in row]
    assert [*table.columns[3 + len(ENERGY[:-1]) :]] == factors
    for row in table.itertuples(index=False):
        drawn = draw_factors(uncertain(built), 0, row.draw)
        assert list(row[-len(factors) :]) == [factor for row in drawn.values() for factor in row.values()]
        watts = 2.0 * drawn["tablet"]["idle_watts"]
        assert row.idle_joules == pytest.approx(watts * row.sim_seconds, rel=1e-12)


def test_given_figures_are_certain_unless_the_scenario_says_so_and_taken_over_ones_keep_what_they_had(scenario):
    mine = """\
profiles:
  devices:
    chromebook_n100: {busy_watts: 11 W, idle_watts: 4 W, uncertainty: {idle_watts: 0.02}}
    mine: {based_on: chromebook_n100, flops_per_s: 1e12, uncertainty: {utilisation: 0.07}}
"""
    topology = "topology: {kind: star, clients: 2, device_mix: {chromebook_n100: 0.5, mine: 0.5}}\n"
    text = COSTS.replace("topology: {kind: star, clients: 2, device: chromebook_n100}\n", topology) + mine
    whole, changed = uncertain(build(scenario(COSTS))), uncertain(build(scenario(text)))
    before = whole["chromebook_n100"]
    assert before["idle_watts"] != 0.02
    assert {"busy_watts", "flops_per_s", "utilisation"} <= set(before)
    assert changed["chromebook_n100"] == {f: u for f, u in before.items() if f != "busy_watts"} | {"idle_watts": 0.02}
    inherited = {f: u for f, u in changed["chromebook_n100"].items() if f != "flops_per_s"}
    assert changed["mine"] == inherited | {"utilisation": 0.07}
    assert changed["cloud_h100"] == whole["cloud_h100"]
    assert all(getattr({**devices(), **links()}[name], f) for name, row in whole.items() for f in row)  # none of 0


def test_in_a_topology_file_only_figures_of_the_catalogue_are_uncertain(scenario, tmp_path):
    tree = build(scenario(COSTS)).hierarchy
    own = replace(devices()["chromebook_n100"], idle_watts=3.21)
    for name, profile in (("same", devices()["chromebook_n100"]), ("own", own), ("other", replace(own, name="x"))):
        write_json(
            tree.with_profiles(lambda p, q=profile: q if p.kind == "device" else p, lambda link: link), tmp_path / name
        )
    text = COSTS.replace("{kind: star, clients: 2, device: chromebook_n100}", "{kind: file, file: FILE}")
    found = {name: uncertain(build(scenario(text.replace("FILE", name)))) for name in ("same", "own", "other")}
    whole = uncertain(build(scenario(COSTS)))
    assert found["same"] == whole
    cut = {f: u for f, u in whole["chromebook_n100"].items() if f != "idle_watts"}
    assert found["own"] == whole | {"chromebook_n100": cut}
    assert found["other"] == {name: row for name, row in whole.items() if name != "chromebook_n100"}


@pytest.mark.parametrize("devices", ["devices: 3", "devices: 3, grouped: true"])
def test_rates_that_follow_from_positions_are_taken_as_they_are(scenario, devices):
    radio = """\
radio: {model: tgax, bandwidth: 40 MHz, streams: 2, transmit_power: 15 dBm, ap_power: 20 dBm,
  room: {width: 8 m, depth: 8 m}}
"""
    room = ROOM.replace("devices: 3", devices)
    built = build(scenario(room + radio))
    table, plain = uncertain(built), uncertain(build(scenario(room)))
    rates = {"up_bits_per_s", "down_bits_per_s"}
    assert rates <= set(plain["wifi6_40mhz_2x2"])
    assert set(plain["wifi6_40mhz_2x2"]) - set(table["wifi6_40mhz_2x2"]) == rates
    ones = Log(), Log()
    simulated(built, ones[0])
    rerun(built, {"wifi6_40mhz_2x2": dict.fromkeys(rates, 0.5)}, ones[1])
    assert list(ones[0].spans) == list(ones[1].spans)


def test_a_name_means_a_device_or_a_link_but_not_both(scenario, tmp_path):
    """Factors are told by profile and figure, so they could not be told apart."""
    text = COSTS + "profiles: {devices: {lab: {based_on: laptop_i5u}, eth_1g: {based_on: laptop_i5u}}, links: %s}\n"
    with pytest.raises(ScenarioError) as error:
        scenario(text % "{lab: {based_on: eth_1g}}")
    assert str(error.value).splitlines() == [
        f"{tmp_path}/s.yaml:7: profiles.links.lab: a device profile is called so too; give one of them another name",
        f"{tmp_path}/s.yaml:7: profiles.devices.eth_1g: a link profile is called so too; give one of them another name",
    ]


def test_in_a_topology_file_a_device_may_be_called_as_a_link_of_the_catalogue(scenario, tmp_path):
    tree = build(scenario(COSTS)).hierarchy
    write_json(
        tree.with_profiles(lambda p: replace(p, name="eth_1g", battery_joules=0.0), lambda link: link), tmp_path / "t"
    )
    text = COSTS.replace("{kind: star, clients: 2, device: chromebook_n100}", "{kind: file, file: t}")
    assert "eth_1g" not in uncertain(build(scenario(text)))


def test_fading_that_transfers_draw_is_rerun_to_the_bit(scenario):
    radio = """\
radio: {model: tgax, bandwidth: 40 MHz, streams: 2, transmit_power: -5 dBm, ap_power: 0 dBm,
  room: {width: 8 m, depth: 8 m}, fading: {kind: rayleigh, over: outage}}
"""
    result, log = run(scenario(ROOM + radio)), Log()
    ones = {name: dict.fromkeys(row, 1.0) for name, row in uncertain(result.built).items()}
    assert rerun(result.built, ones, log) == result.node_rows
    assert list(log.spans) == list(result.log.spans)
    rates = {(s.node, 8 * s.nbytes / (s.end_s - s.start_s)) for s in log.spans if s.kind == "transmit"}
    assert len(rates) > len({node for node, _ in rates})  # a node's transfers had different rates


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{idle_wats: 0.1}", "uncertainty.idle_wats: no figure that can be uncertain; did you mean 'idle_watts'?"),
        ("{cores: 0.1}", "uncertainty.cores: no figure that can be uncertain"),
        ("{idle_watts: 10}", "uncertainty.idle_watts: must be a number from 0 to 1 (0.1 is 10 %), got 10"),
        ("{idle_watts: -0.1}", "uncertainty.idle_watts: must be a number from 0 to 1 (0.1 is 10 %), got -0.1"),
        ("{idle_watts: .nan}", "uncertainty.idle_watts: must be a number from 0 to 1 (0.1 is 10 %), got nan"),
        ("{idle_watts: true}", "uncertainty.idle_watts: must be a number from 0 to 1 (0.1 is 10 %), got True"),
        ("0.1", "uncertainty: expected relative uncertainties, such as {idle_watts: 0.1}, got 0.1"),
    ],
)
def test_a_mistaken_uncertainty_has_a_line(scenario, tmp_path, given, told):
    with pytest.raises(ScenarioError) as error:
        scenario(f"{COSTS}profiles: {{devices: {{raspberry_pi5: {{uncertainty: {given}}}}}}}\n")
    assert str(error.value) == f"{tmp_path}/s.yaml:7: profiles.devices.raspberry_pi5.{told}"


def test_what_to_measure_ranks_as_scipy_does():
    rng = np.random.default_rng(0)
    x, y, z = rng.integers(0, 9, (3, 60))  # with ties
    columns = {"draw": range(60), "sim_seconds": x + 0.1 * y, "joules": 3.0 - z}
    table = pd.DataFrame(columns | dict.fromkeys(ENERGY[:-1], 0.0) | {"p/x": x, "p/y": y, "q/r/z": z, "q/one": 1.0})
    found = what_to_measure(table).set_index(["profile", "figure"])
    for name in ("p/x", "p/y", "q/r/z"):
        for cost in ("sim_seconds", "joules"):
            expected = spearmanr(table[name], table[cost]).statistic
            assert found.loc[tuple(name.rsplit("/", 1)), cost] == pytest.approx(expected, abs=1e-12)
    assert found.joules.loc["q/r", "z"] == pytest.approx(-1)
    assert found.loc["q", "one"].tolist() == ["no", 0.0, 0.0]
    assert found.beyond_chance.loc["p", "x"] == "yes"
    assert list(found.index[:1]) == [("q/r", "z")]
    assert len(what_to_measure(table, 2)) == 2


def test_figures_without_effect_are_rarely_said_to_be_beyond_chance():
    """At 5 % for all of them together, 4 or more of 20 tables would be a chance of 1.6 %; the seed is fixed."""
    rng = np.random.default_rng(1)
    said = 0
    for _ in range(20):
        noise = rng.standard_normal((100, 32))
        names = ["sim_seconds", "joules", *(f"p/{number}" for number in range(30))]
        table = pd.DataFrame(noise, columns=names).assign(draw=range(100), **dict.fromkeys(ENERGY[:-1], 0.0))
        said += "yes" in set(what_to_measure(table).beyond_chance)
    assert said <= 3


def test_an_interval_holds_its_level_of_the_draws():
    table = pd.DataFrame({"sim_seconds": np.arange(101.0), "joules": np.arange(101.0) * 2 + 1})
    assert summary(table) == {
        "draws": 101,
        "sim_seconds": [5.0, 50.0, 95.0],
        "joules": [11.0, 101.0, 191.0],
        "level": 0.9,
    }


def test_a_run_leaves_its_draws_in_the_folder(scenario, tmp_path):
    result = run(scenario(COSTS), tmp_path / "run", perturb_profiles=12)
    table = pd.read_csv(tmp_path / "run/perturbed.csv")
    pd.testing.assert_frame_equal(table, result.perturbed, check_exact=True)
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["perturbed"] == summary(table)
    low, median, high = manifest["perturbed"]["joules"]
    assert low < median < high
    first = pd.read_csv(tmp_path / "run/tables/uncertainty.csv")
    pd.testing.assert_frame_equal(first, what_to_measure(table))
    assert len(first) == 10
    tex = (tmp_path / "run/tables/uncertainty.tex").read_text().splitlines()
    assert sum(line.endswith(r"\\") for line in tex) == 11
    plain = run(scenario(COSTS), tmp_path / "plain")
    assert plain.perturbed is None
    for name in ("spans.csv.gz", "nodes.csv", "events.csv"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_the_intervals_are_told(scenario):
    result = run(scenario(ONE), perturb_profiles=60)
    intervals, first = told(result.perturbed, result.manifest)
    low, _, high = result.manifest["perturbed"]["joules"]
    assert f"joules {result.manifest['joules']:.4g} [{low:.4g}, {high:.4g}]" in intervals
    assert intervals.endswith("(90 % of 60 draws of the profiles' figures)")
    assert "flops_per_s of tablet" in first or "utilisation of tablet" in first
    few = run(scenario(ONE), perturb_profiles=2)
    assert "too few draws to say" in told(few.perturbed, few.manifest)[1]
    certain = run(scenario(re.sub("uncertainty: {.*?}", "uncertainty: {}", ONE)), perturb_profiles=2)
    assert told(certain.perturbed, certain.manifest) == [
        "seconds and joules have no intervals: no figure of the profiles in use is uncertain"
    ]


@pytest.mark.parametrize("draws", ["1", "0", "-2", "many"])
def test_too_few_draws_are_refused_before_anything_is_written(tmp_path, monkeypatch, capsys, draws):
    (tmp_path / "s.yaml").write_text(COSTS)
    out = tmp_path / "run"
    words = ["edufog", "run", str(tmp_path / "s.yaml"), "--out", str(out), "--perturb-profiles", draws]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    err = capsys.readouterr().err
    if draws != "many":
        assert err == f"--perturb-profiles {draws}: an interval needs 2 draws or more\n"
    assert "--perturb-profiles" in err
    assert not out.exists()


@pytest.mark.parametrize("draws", [1, 0, -2])
def test_too_few_draws_are_a_value_error_in_python(scenario, draws):
    with pytest.raises(ValueError, match=f"an interval needs 2 draws or more, got {draws}"):
        perturb(scenario(COSTS), draws)
    if draws:
        with pytest.raises(ValueError, match=f"an interval needs 2 draws or more, got {draws}"):
            run(scenario(COSTS), perturb_profiles=draws)


def test_the_costs_of_a_scenario_without_learning_are_its_own(scenario):
    built = build(scenario(COSTS))
    assert costs_alone(built) is built.workload
