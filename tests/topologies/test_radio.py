"""Path loss, rates and fading against the standards' tables, closed forms and independent quadrature."""

import json
import subprocess
import sys
from itertools import pairwise
from math import exp, inf, log2, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import exp1
from scipy.stats import ncx2

from topologies.radio import (
    Channel,
    InH,
    LogDistance,
    Mcs,
    Shannon,
    TGax,
    TGaxResidential,
    UMa,
    UMi,
    WinnerA1,
    draws,
    ergodic_capacity,
    losses,
    outage_capacity,
    outage_probability,
    shadowing_outage,
)
from topologies.radio.decibels import decibels, noise_dbm, ratio, snr_db
from topologies.radio.fading import mean_table_rate, survival
from topologies.radio.rates import SNR_DB

REFERENCE = json.loads((Path(__file__).parents[2] / "experiments/validation/cases/closed_forms.json").read_text())
FORMULAS = {
    "InH_LOS": losses.inh_los_db,
    "InH_NLOS": losses.inh_nlos_db,
    "TGax_enterprise_0walls": losses.tgax_db,
    "UMi_LOS": losses.umi_los_db,
    "UMa_LOS": losses.uma_los_db,
}
distances = st.floats(1.0, 5000.0)
carriers = st.floats(0.5e9, 30e9)


def cases(name):
    return [(case["params"], case["values"]) for case in REFERENCE["cases"] if case["name"] == name]


@pytest.mark.parametrize("spot", REFERENCE["pathloss_spots"], ids=lambda spot: "{model}-{f_ghz}".format(**spot))
def test_path_loss_is_that_of_the_reference(spot):
    metres = spot.get("d_m", spot.get("d2d_m"))
    assert FORMULAS[spot["model"]](metres, spot["f_ghz"] * 1e9) == pytest.approx(spot["dB"], abs=1e-9)


@pytest.mark.parametrize("row", REFERENCE["los_probability"], ids=lambda row: f"{row['d_m']}m")
def test_line_of_sight_is_as_likely_as_in_the_reference(row):
    metres = row["d_m"]
    assert InH("mixed").sight_probability(metres) == pytest.approx(row["InH_mixed"], abs=1e-12)
    assert InH("open").sight_probability(metres) == pytest.approx(row["InH_open"], abs=1e-12)
    assert UMi().sight_probability(metres) == pytest.approx(row["UMi"], abs=1e-12)
    assert UMa().sight_probability(metres) == pytest.approx(row["UMa_hut_le_13"], abs=1e-12)


def test_a_user_high_up_sees_the_mast_more_often():
    """TR 38.901: at 23 m, 5/4 (d/100)^3 exp(-d/150) more often than on the ground."""
    on_the_ground = losses.uma_sight(100)
    assert losses.uma_sight(100, 23.0) == pytest.approx(on_the_ground * (1 + 1.25 * exp(-2 / 3)), rel=1e-12)


@pytest.mark.parametrize(("loss", "base"), [(losses.umi_los_db, 10.0), (losses.uma_los_db, 25.0)])
def test_the_loss_has_no_step_at_the_breakpoint(loss, base):
    bend = losses.breakpoint_metres(3.5e9, base, 1.5)
    assert bend == pytest.approx(4 * (base - 1) * 0.5 * 3.5e9 / 3e8)
    assert loss(bend * (1 + 1e-12), 3.5e9) == pytest.approx(loss(bend, 3.5e9), abs=1e-9)
    assert loss(100 * bend, 3.5e9) - loss(10 * bend, 3.5e9) == pytest.approx(40, abs=0.01)


@given(distances, carriers)
def test_no_model_loses_less_without_sight(metres, hertz):
    for model in (InH(), UMi(), UMa(), WinnerA1(), TGax(walls=2), TGaxResidential(1, 1), LogDistance(40, 3)):
        assert model.loss_db(metres, hertz, sight=False) >= model.loss_db(metres, hertz, sight=True)
        assert model.loss_db(2 * metres, hertz, sight=True) > model.loss_db(metres, hertz, sight=True)
        assert 0 <= model.sight_probability(2 * metres) <= model.sight_probability(metres) <= 1


def test_what_is_lost_without_sight_in_a_street_and_in_a_city():
    """TR 38.901, table 7.4.1-1, where the logarithms are round: 10 GHz, and 100 or 1,000 m in three dimensions."""
    street, city = sqrt(100**2 - 8.5**2), sqrt(1000**2 - 23.5**2)  # along the ground, between 10 or 25 m and 1.5 m
    assert UMi().loss_db(street, 10e9, sight=False) == pytest.approx(35.3 * 2 + 22.4 + 21.3)
    assert UMa().loss_db(city, 10e9, sight=False) == pytest.approx(13.54 + 39.08 * 3 + 20)
    assert losses.umi_nlos_db(sqrt(100**2 - 7.5**2), 10e9, 10.0, 2.5) == pytest.approx(35.3 * 2 + 22.4 + 21.3 - 0.3)
    assert losses.uma_nlos_db(sqrt(1000**2 - 22.5**2), 10e9, 25.0, 2.5) == pytest.approx(13.54 + 39.08 * 3 + 20 - 0.6)


def test_two_devices_indoors_see_each_other_less_often_the_further_they_are_apart():
    """WINNER II D1.1.2, table 4-7, A1: at 10 m 1.24 - 0.61 is 0.63, and at 100 m 0.02."""
    for metres, root in ((10, 0.63), (100, 0.02)):
        assert WinnerA1().sight_probability(metres) == pytest.approx(1 - 0.9 * (1 - root**3) ** (1 / 3))


def test_walls_and_floors_of_tgax():
    """7 dB a wall in an office; at home 5 dB, and the first floor costs 18.3 dB; no step where the slope changes."""
    assert losses.tgax_db(12, 5e9, 3) - losses.tgax_db(12, 5e9) == pytest.approx(21)
    home = losses.tgax_residential_db
    assert home(12, 5e9, 1, 1) - home(12, 5e9) == pytest.approx(5 + 18.3)
    assert home(12, 5e9, 0, 2) - home(12, 5e9) == pytest.approx(18.3 * 2 ** (4 / 3 - 0.46))
    for loss, bend in ((losses.tgax_db, 10), (home, 5)):
        assert loss(bend, 2.4e9) == pytest.approx(40.05 + 20 * np.log10(bend))
        assert loss(10 * bend, 2.4e9) - loss(bend, 2.4e9) == pytest.approx(35)


def test_models_know_their_heights_and_begin_at_one_metre():
    assert InH().loss_db(1.5, 5e9, True) == pytest.approx(losses.inh_los_db(2.5, 5e9))  # 1.5 along and 2 up
    assert WinnerA1().loss_db(0.0, 5e9, True) == pytest.approx(46.8)
    assert WinnerA1().loss_db(10.0, 5e9, True) == pytest.approx(46.8 + 18.7)
    assert WinnerA1().loss_db(10.0, 5e9, False) == pytest.approx(43.8 + 36.8)
    assert WinnerA1().sight_probability(2.0) == 1.0
    assert WinnerA1().sight_probability(1e6) == pytest.approx(0.1)
    assert LogDistance(30, 3).loss_db(100, 1e9, True) == pytest.approx(90)


def test_scatter_is_that_of_the_standards():
    scatters = [(m.sigma_db(True), m.sigma_db(False)) for m in (InH(), UMi(), UMa(), TGax(), WinnerA1())]
    assert scatters == [(3, 8.03), (4, 7.82), (4, 6), (5, 5), (3, 4)]


def test_noise_explains_the_sensitivities_of_the_standard():
    """IEEE 802.11ax-2021, 20 MHz: what MCS 0 to 11 need, with a noise figure of 10 dB and 5 dB for losses within."""
    sensitivities = [-82, -79, -77, -74, -70, -66, -65, -64, -59, -57, -54, -52]
    needed = [snr_db(dbm, 0, noise_dbm(20e6, 10) + 5) for dbm in sensitivities]
    assert needed == pytest.approx(SNR_DB, abs=0.05)
    assert noise_dbm(1, 0) == pytest.approx(-173.975, abs=5e-4)
    assert decibels(ratio(7.0)) == pytest.approx(7.0)


def test_the_rates_of_80211ax():
    assert [round(rate / 1e6, 1) for rate in Mcs(20e6).table] == cases("mcs_table_over_rayleigh")[0][0]["rates_mbps"]
    mbps = {(width, streams, mcs): Mcs(width * 1e6, streams).table[mcs] / 1e6
            for width, streams, mcs in [(40, 2, 8), (80, 2, 9), (160, 8, 11)]}  # fmt: skip
    assert mbps == pytest.approx({(40, 2, 8): 412.9, (80, 2, 9): 960.8, (160, 8, 11): 9607.8}, abs=0.05)


def test_a_rate_needs_its_snr():
    rates = Mcs(20e6)
    assert rates.bits_per_s(ratio(3.999)) == 0.0
    assert [rates.bits_per_s(ratio(snr)) for snr in SNR_DB] == list(rates.table)
    assert rates.bits_per_s(ratio(33.999)) == rates.table[10]
    capped = Shannon(1e6, 2, cap=6, lowest_db=0)
    assert [capped.bits_per_s(snr) for snr in (0.99, 3.0, 62.0, 1e4)] == pytest.approx([0, 4e6, 2e6 * log2(63), 12e6])


@pytest.mark.parametrize(("params", "values"), cases("rayleigh_capacity"))
def test_rayleigh_fading(params, values):
    mean = ratio(params["mean_snr_db"])
    assert ergodic_capacity(mean) == pytest.approx(values["ergodic_bps_hz"], rel=1e-9)
    assert ergodic_capacity(mean, cap=params["cap_bps_hz"]) == pytest.approx(values["ergodic_capped_bps_hz"], rel=1e-9)
    assert ergodic_capacity(mean, k=inf) == pytest.approx(values["awgn_bps_hz"], rel=1e-12)
    assert outage_probability(1.0, mean) == pytest.approx(values["outage_at_0dB"], rel=1e-12)
    assert outage_capacity(0.1, mean) == pytest.approx(values["eps_outage_capacity_10pct"], rel=1e-12)


@pytest.mark.parametrize(("params", "values"), cases("rician_capacity"))
def test_rician_fading(params, values):
    mean, k = ratio(params["mean_snr_db"]), ratio(params["K_db"])
    assert ergodic_capacity(mean, k) == pytest.approx(values["ergodic_bps_hz"], rel=1e-9)
    assert outage_probability(1.0, mean, k) == pytest.approx(values["outage_at_0dB"], rel=1e-9)


@pytest.mark.parametrize(("params", "values"), cases("mcs_table_over_rayleigh"))
def test_an_mcs_table_under_rayleigh_fading(params, values):
    thresholds, mean = [ratio(snr) for snr in params["thresholds_db"]], ratio(params["mean_snr_db"])
    assert mean_table_rate(thresholds, params["rates_mbps"], mean) == pytest.approx(values["mean_rate_mbps"], rel=1e-9)
    assert outage_probability(thresholds[0], mean) == pytest.approx(values["p_no_service"], rel=1e-9)


@pytest.mark.parametrize(("params", "values"), cases("shadowing_outage"))
def test_shadowing_eats_the_margin(params, values):
    assert shadowing_outage(**params) == pytest.approx(values["p_outage"], rel=1e-12)


def test_without_scatter_a_margin_holds_or_does_not():
    assert [shadowing_outage(margin, 0.0) for margin in (-1, 0, 1)] == [1.0, 0.0, 0.0]


@given(st.floats(-20, 40), st.floats(-20, 10), st.floats(0.1, 8))
def test_a_capped_rate_with_a_lowest_snr_in_closed_form(mean_db, lowest_db, above):
    """Rayleigh: log2(1+l) P(l) + log2(e) e^(1/g) (E1((1+l)/g) - E1(2^c/g))."""
    mean, lowest = ratio(mean_db), ratio(lowest_db)
    cap = log2(1 + lowest) + above
    between = exp(1 / mean) * (exp1((1 + lowest) / mean) - exp1(2**cap / mean)) / np.log(2)
    expected = log2(1 + lowest) * exp(-lowest / mean) + between
    assert ergodic_capacity(mean, 0.0, cap, lowest) == pytest.approx(expected, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("k", [0.0, 0.1, 1.0, 10.0, 100.0, 1000.0])
def test_quadrature_agrees_with_an_independent_one(k):
    """The mean of min(log2(1 + SNR), cap) over the density of the gain, ncx2(2, 2k)/(2(1+k)), in pieces around 1."""
    mean, cap = 30.0, 5.5
    density = ncx2(2, 2 * k, scale=1 / (2 * (1 + k)))
    edges = sorted({0.0, (2**cap - 1) / mean, *(max(1 + n / sqrt(1 + k), 0.0) for n in range(-8, 60, 2))})
    pieces = [
        quad(lambda x: min(log2(1 + mean * x), cap) * density.pdf(x), low, high, epsrel=1e-12)[0]
        for low, high in pairwise(edges)
    ]
    assert ergodic_capacity(mean, k, cap) == pytest.approx(sum(pieces), rel=1e-9)
    mean_gain, _ = quad(lambda x: float(survival(x, k)), 0, edges[-1], points=[1.0], epsabs=1e-12)
    assert mean_gain == pytest.approx(1, rel=1e-8)


@given(st.floats(-20, 40), st.sampled_from([0.0, 0.5, 4.0, 30.0]))
def test_fading_never_helps_on_average(mean_db, k):
    """Jensen: log2(1 + SNR) is concave; more of a steady path is better, up to no fading at all."""
    mean = ratio(mean_db)
    assert ergodic_capacity(mean, k) <= ergodic_capacity(mean, k + 1) <= ergodic_capacity(mean, inf)


@given(st.floats(0.001, 0.9), st.floats(-10, 30), st.sampled_from([0.0, 2.0, 10.0]))
def test_the_outage_capacity_is_out_as_often_as_asked(outage, mean_db, k):
    bits = outage_capacity(outage, ratio(mean_db), k)
    assert outage_probability(2**bits - 1, ratio(mean_db), k) == pytest.approx(outage, rel=1e-9)


CHANNEL = Channel(12.0, 17.0, Mcs(20e6), mac_efficiency=0.65, k=0.0, over="outage", retry_seconds=0.05)


def four_standard_errors(values):
    return 4 * np.std(values) / sqrt(len(values))


@pytest.mark.parametrize("k", [0.0, 2.0, inf])
def test_drawn_gains_follow_their_law(k):
    gains = np.array([draws.gain(7, "room|tablet", block, k) for block in range(4000)])
    assert abs(gains.mean() - 1) <= four_standard_errors(gains)
    for gain in (0.1, 0.5, 2.0):
        assert abs((gains > gain).mean() - float(survival(gain, k))) <= four_standard_errors(gains > gain)


def test_a_channel_averages_what_it_draws():
    gains = [CHANNEL.gain(3, "a", 0.05 * block) for block in range(4000)]
    for direction in ("up", "down"):
        rates = np.array([CHANNEL.bits_per_s(gain, direction) for gain in gains])
        assert abs(rates.mean() - CHANNEL.mean_bits_per_s(direction)) <= four_standard_errors(rates)
        assert abs((rates == 0).mean() - CHANNEL.outage(direction)) <= four_standard_errors(rates == 0)


@given(st.floats(0, 1e6), st.integers(1, 50))
def test_a_gain_holds_for_a_block_and_every_retry_meets_another(time_s, retries):
    times = [time_s]
    for _ in range(retries):
        times.append(times[-1] + CHANNEL.retry_seconds)
    gains = [CHANNEL.gain(1, "a", time) for time in times]
    assert len(set(gains)) == retries + 1
    start = 0.05 * round(time_s / 0.05)
    assert CHANNEL.gain(1, "a", start) == CHANNEL.gain(1, "a", start + 0.02) == CHANNEL.gain(1, "a", start + 0.0499)
    assert CHANNEL.gain(1, "a", start) != CHANNEL.gain(2, "a", start)
    assert CHANNEL.gain(1, "a", start) != CHANNEL.gain(1, "b", start)


def test_retries_until_one_gets_through_take_the_time_of_a_geometric_law():
    """Mean T p/(1-p) of waiting, for an outage of probability p and retries after T."""
    waits = []
    for name in map(str, range(2000)):
        time_s = 0.0
        while CHANNEL.bits_per_s(CHANNEL.gain(0, name, time_s), "up") == 0:
            time_s += CHANNEL.retry_seconds
        waits.append(time_s)
    out = 1 - exp(-ratio(4.0) / ratio(12.0))
    assert CHANNEL.outage("up") == pytest.approx(out)
    assert abs(np.mean(waits) - 0.05 * out / (1 - out)) <= four_standard_errors(waits)


def test_without_fading_the_mean_is_the_rate():
    still = Channel(21.5, 3.0, Mcs(40e6, 2), mac_efficiency=0.5)
    assert still.mean_bits_per_s("up") == still.bits_per_s(1.0, "up") == 0.5 * Mcs(40e6, 2).table[6]
    assert (still.outage("up"), still.outage("down")) == (0.0, 1.0)
    assert (still.fades, still.in_range, still.gain(0, "a", 5.0)) == (False, False, 1.0)


def test_the_rate_of_the_link_is_the_mean_or_that_of_gain_one():
    assert CHANNEL.edge_bits_per_s("up") == CHANNEL.bits_per_s(1.0, "up") == 0.65 * Mcs(20e6).table[3]
    averaged = Channel(12.0, 17.0, Mcs(20e6), mac_efficiency=0.65, k=0.0)
    mean = mean_table_rate([ratio(snr) for snr in SNR_DB], Mcs(20e6).table, ratio(12.0))
    assert averaged.edge_bits_per_s("up") == pytest.approx(0.65 * mean)


BAD = [
    (lambda: Mcs(30e6), "channels of 20, 40, 80 or 160 MHz, got 30 MHz; use one, or Shannon"),
    (lambda: Mcs(20e6, 9), "streams must be a whole number from 1 to 8, got 9"),
    (lambda: Mcs(20e6, True), "streams must be a whole number from 1 to 8, got True"),
    (lambda: Shannon(float("nan")), "bandwidth_hertz must be > 0, got nan"),
    (lambda: Shannon(1e6, cap=0.1), "cap must be > 0.138 bit/s/Hz, which -10 dB allow, got 0.1"),
    (lambda: Shannon(1e6, cap=float("nan")), "cap must be > 0.138 bit/s/Hz, which -10 dB allow, got nan"),
    (lambda: Shannon(1e6, lowest_db=inf), "lowest_db must be finite, got inf"),
    (lambda: InH("closed"), "office must be mixed or open, got 'closed'"),
    (lambda: UMi(1.0), r"base_metres must be > user_metres > 1, got 1.0 and 1.5"),
    (lambda: TGax(-1), "walls must be >= 0, got -1"),
    (lambda: LogDistance(inf, 3), "reference_db must be finite, got inf"),
    (lambda: LogDistance(40, float("nan")), "exponent must be >= 0, got nan"),
    (lambda: Channel(float("nan"), 1, Mcs(20e6)), "up_snr_db must be finite, got nan"),
    (lambda: Channel(1, 1e6, Mcs(20e6)), r"no SNR is 1e\+06 dB; check powers and losses"),
    (lambda: Channel(1, 1, Mcs(20e6), mac_efficiency=0), "mac_efficiency must be > 0 and <= 1, got 0"),
    (lambda: Channel(1, 1, Mcs(20e6), k=float("nan")), "k must be >= 0, got nan"),
    (lambda: Channel(1, 1, Mcs(20e6), over="all"), "over must be average or outage, got 'all'"),
    (lambda: Channel(1, 1, Mcs(20e6), retry_seconds=0), "retry_seconds must be > 0, got 0"),
    (lambda: CHANNEL.gain(0, "a", float("nan")), "a: a time must be >= 0, got nan"),
    (lambda: outage_capacity(1.0, 3.0), "outage must be >= 0 and < 1, got 1.0"),
    (lambda: outage_probability(1.0, float("nan")), "mean_snr must be > 0 and finite, got nan"),
    (lambda: mean_table_rate([1.0], [1.0], 1.0, -1.0), "k must be >= 0, got -1.0"),
    (lambda: ergodic_capacity(1.0, cap=float("nan")), "cap must be above the 0 bit/s/Hz of the lowest SNR, got nan"),
    (lambda: shadowing_outage(1.0, -1.0), "sigma_db must be >= 0, got -1.0"),
    (lambda: ergodic_capacity(1.0, cap=1.0, lowest_snr=1.0), "cap must be above the 1 bit/s/Hz of the lowest SNR"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_figures_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_radio_loads_no_scipy_until_it_is_asked_for_a_rician_mean():
    code = "import sys, topologies.radio as r; r.Channel; r.bianchi_throughput; r.ergodic_capacity(9.0); "
    code += "print({'scipy', 'networkx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
