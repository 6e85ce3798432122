"""Calibration: planted rates are found again, power is read from a made-up kernel, a profile loads or is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments.calibrate import Calibration, profile_yaml, training_step
from experiments.cli import app
from experiments.power import battery_joules, meter
from experiments.roofline import Roofline, Timing, fitted, uncertainty
from experiments.scenario import Scenario, ScenarioError
from experiments.schema.catalogue import device_profiles
from models.counting import count


def planted(truth, seed=0, n=14, noise=0.0):
    """Works of all intensities from 0.1 to 1,000 FLOP a byte, timed by *truth*."""
    rng = np.random.default_rng(seed)
    out = []
    for i, intensity in enumerate(np.geomspace(0.1, 1000, n)):
        nbytes, launches = 10 ** rng.uniform(5, 9), int(rng.integers(50, 2000))
        seconds = truth.seconds(Timing("", intensity * nbytes, nbytes, launches, 1.0))
        out.append(Timing(f"work {i}", intensity * nbytes, nbytes, launches, seconds * math.exp(noise * rng.normal())))
    return out


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("truth", [Roofline(5e10, 2e10, 4e-6), Roofline(1e12, 5e9, 1e-5), Roofline(1e10, 1e10, 0.0)])
def test_planted_rates_are_found(truth, seed):
    found = fitted(planted(truth, seed))
    assert found.roofline.flops_per_s == pytest.approx(truth.flops_per_s, rel=1e-6)
    assert found.roofline.bytes_per_s == pytest.approx(truth.bytes_per_s, rel=1e-6)
    assert found.roofline.launch_seconds == pytest.approx(truth.launch_seconds, rel=1e-6, abs=1e-12)
    assert found.r2 == pytest.approx(1)
    assert max(map(abs, found.errors)) < 1e-6


def test_noise_moves_the_rates_by_about_as_much():
    truth = Roofline(5e10, 2e10, 4e-6)
    found = fitted(planted(truth, n=60, noise=0.05))
    assert found.roofline.flops_per_s == pytest.approx(truth.flops_per_s, rel=0.05)
    assert found.roofline.bytes_per_s == pytest.approx(truth.bytes_per_s, rel=0.05)
    assert np.sqrt(np.mean(np.square(found.errors))) == pytest.approx(0.05, rel=0.3)
    assert 0.9 < found.r2 < 1


def test_the_uncertainty_of_a_fit_is_how_far_it_is_off_over_many_of_them():
    """Over 60 noisy sets, errors divided by the jackknife's standard error have a deviation near 1."""
    truth, scores = Roofline(5e10, 2e10, 1e-7), []
    for seed in range(60):
        timings = planted(truth, seed, n=20, noise=0.05)
        found, unsure = fitted(timings).roofline, uncertainty(timings)
        scores.append((found.bytes_per_s / truth.bytes_per_s - 1) / unsure["bytes_per_s"])
    assert 0.6 < np.std(scores) < 1.5
    assert uncertainty(planted(truth)[:3]) == {}


def test_a_roof_that_nothing_touches_is_at_infinity():
    found = fitted([Timing(f"{n}", n * 1e9, 1.0, 100, n * 0.1 + 1e-3) for n in (1, 2, 3, 4)])
    assert found.roofline == Roofline(pytest.approx(1e10), math.inf, pytest.approx(1e-5))


def test_timings_make_sense_or_are_refused():
    with pytest.raises(ValueError, match="three timings or more, got 2"):
        fitted(planted(Roofline(1, 1, 1))[:2])
    for figures in ((1, 1, 1, 0), (1, 1, 1, math.nan), (math.nan, 1, 1, 1), (1, -1, 1, 1), (1, 1, math.inf, 1)):
        with pytest.raises(ValueError, match="odd: "):
            Timing("odd", *figures)


def domain(root, name, what, microjoules, full=1_000_000_000):
    folder = root / "powercap" / name
    folder.mkdir(parents=True)
    for file, value in (("name", what), ("energy_uj", microjoules), ("max_energy_range_uj", full)):
        (folder / file).write_text(f"{value}\n")
    return folder / "energy_uj"


def battery(root, status, power, full):
    folder = root / "power_supply" / "BAT0"
    folder.mkdir(parents=True)
    for file, value in (("status", status), ("power_now", power), ("energy_full", full)):
        (folder / file).write_text(f"{value}\n")


def ticking(seconds):
    """A clock that moves on by so much whenever it is read, but the first time."""
    readings = iter(seconds)
    return lambda: next(readings)


def test_power_from_counters_of_packages_and_not_of_their_parts(tmp_path):
    one = domain(tmp_path, "intel-rapl:0", "package-0", 999_000_000)
    two = domain(tmp_path, "intel-rapl:1", "package-1", 0)
    domain(tmp_path, "intel-rapl:0:0", "core", 0)
    found = meter(tmp_path)
    assert found.files == (one, two)

    def work():
        """7 joules: 4 on the first, whose counter wraps at 1,000, and 3 on the second."""
        one.write_text(str((float(one.read_text()) + 4e6) % 1e9))
        two.write_text(str(float(two.read_text()) + 3e6))

    clock = ticking([0.0, 1.0, 2.0, 2.0])  # begun, after each of two works, and the end
    assert found.watts(2.0, work, clock) == pytest.approx(2 * 7 / 2)


def test_the_platforms_counter_goes_first_and_a_battery_in_use_before_it(tmp_path):
    domain(tmp_path, "intel-rapl:0", "package-0", 0)
    platform = domain(tmp_path, "intel-rapl:1", "psys", 0)
    assert meter(tmp_path).files == (platform,)
    battery(tmp_path, "Discharging", 9_500_000, 42_000_000)
    found = meter(tmp_path)
    assert found.covers.startswith("the whole device")
    assert found.watts(0.0, lambda: None) == pytest.approx(9.5)
    assert battery_joules(tmp_path) == pytest.approx(42 * 3600)


def test_a_battery_that_charges_says_nothing_of_what_is_drawn(tmp_path):
    battery(tmp_path, "Charging", 9_500_000, 42_000_000)
    assert meter(tmp_path) is None


def test_a_machine_may_report_nothing(tmp_path):
    assert meter(tmp_path) is None
    assert battery_joules(tmp_path) is None


def calibration(idle=None, busy=None, battery=None):
    timings = tuple(planted(Roofline(5e10, 2e10, 4e-6)))
    power = "power of a test: all of it" if idle else "power is not reported by this host"
    return Calibration(timings, fitted(timings), 8e10, 2e10, 4, 8_000_000_000, idle, busy, battery, power)


SCENARIO = """\
title: Measured
topology: {kind: classroom, devices: 2, device: mine}
model: {footprint: {a: {bytes: 1 kB, flops: 1 GFLOP}}}
plan: {classroom: {modules: [a]}}
"""


def load(folder, text):
    (folder / "s.yaml").write_text(SCENARIO + text)
    return Scenario.load(folder / "s.yaml")


def test_what_is_written_is_a_profile_that_a_scenario_can_use(tmp_path):
    profile = device_profiles(load(tmp_path, profile_yaml(calibration(3.0, 11.0, 1e5), "mine")).profiles)["mine"]
    assert profile.sustained_flops_per_s == pytest.approx(5e10, rel=1e-3)
    assert (profile.flops_per_s, profile.memory_bytes_per_s) == (8e10, pytest.approx(2e10, rel=1e-3))
    assert profile.launch_seconds == pytest.approx(4e-6, rel=1e-3)
    assert (profile.cores, profile.memory_bytes) == (4, 8e9)
    assert (profile.idle_watts, profile.busy_watts, profile.battery_joules) == (3.0, 11.0, 1e5)


def test_without_watts_it_is_refused_by_name(tmp_path):
    with pytest.raises(ScenarioError, match=r"mine: is a new profile; give based_on, or .*idle_watts, busy_watts"):
        load(tmp_path, profile_yaml(calibration(), "mine"))


def test_training_faster_than_a_large_product_is_the_peak(tmp_path):
    found = replace(calibration(), flops_per_s=1e10)
    assert (found.peak, found.utilisation) == (pytest.approx(5e10), 1.0)


def test_the_steps_that_are_timed_can_be_taken_and_counted():
    step = training_step(16, 1, 4)
    before = {key: value.detach().clone() for key, value in step.own.items()}
    cost = count(step, step.held)
    assert cost.flops > 0 < cost.launches
    assert any((before[key] != value).any() for key, value in step.own.items())


def test_the_command_writes_a_profile_and_says_how_well_it_fits(tmp_path, monkeypatch):
    """With what is measured put in place: no test depends on the clock."""
    monkeypatch.setattr("experiments.calibrate.calibrate", lambda quick, tell: calibration(3.0, 11.0))
    done = CliRunner().invoke(app, ["calibrate", "--quick", "--name", "mine", "--out", str(tmp_path / "mine.yaml")])
    assert done.exit_code == 0
    assert "14 training steps, R2 1.0000" in done.output
    text = (tmp_path / "mine.yaml").read_text()
    assert device_profiles(load(tmp_path, text).profiles)["mine"].busy_watts == 11.0
    printed = CliRunner().invoke(app, ["calibrate", "--name", "mine"])
    assert printed.stdout == text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--out", "taken.yaml"], "taken.yaml: is there already; name a new file"),
        (["--out", "nowhere/new.yaml"], "its folder does not exist; make it first"),
        (["--name", "a b: c"], "letters, digits and _ only"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_measured(options, told, monkeypatch, tmp_path):
    monkeypatch.setattr("experiments.calibrate.calibrate", lambda quick, tell: pytest.fail("measured"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.yaml").write_text("title: mine\n")
    done = CliRunner().invoke(app, ["calibrate", *options])
    assert done.exit_code == 2
    assert told in done.output
    assert (tmp_path / "taken.yaml").read_text() == "title: mine\n"
