from dataclasses import FrozenInstanceError, fields, replace
from math import inf, nan

import numpy as np
import pytest

from topologies import DeviceProfile, LinkProfile, device, devices, figures, link, links


def tablet(**figures) -> DeviceProfile:
    known = {"flops_per_s": 1e9, "utilisation": 0.5, "cores": 2, "memory_bytes": 4e9, "memory_bytes_per_s": 1e10}
    return DeviceProfile(**{"name": "tablet3", "kind": "device", "idle_watts": 1, "busy_watts": 4, **known, **figures})


def wire(**figures) -> LinkProfile:
    return LinkProfile(**{"name": "wire", "kind": "wired", "up_bits_per_s": 1e9, "down_bits_per_s": 1e9, **figures})


def test_the_catalogue_has_twelve_devices_and_fifteen_links():
    assert list(devices()) == [
        "chromebook_n4500",
        "chromebook_n100",
        "android_phone_budget",
        "android_tablet_budget",
        "laptop_i5u",
        "raspberry_pi5",
        "jetson_orin_nano8",
        "jetson_orin_nano_super",
        "classroom_edge_box",
        "campus_l4",
        "campus_a100",
        "cloud_h100",
    ]
    assert list(links()) == [
        "wifi6_20mhz_1x1",
        "wifi6_80mhz_2x2",
        "wifi6_40mhz_2x2",
        "wifi_direct",
        "ble_2m",
        "nr_sidelink_20mhz",
        "nr_campus_n78",
        "lte_public",
        "eth_1g",
        "campus_10g",
        "metro_fibre",
        "school_broadband",
        "home_broadband",
        "wan_cloud_near",
        "wan_cloud_far",
    ]


def test_figures_are_in_si_units():
    chromebook = device("chromebook_n100")
    assert chromebook == DeviceProfile(
        name="chromebook_n100",
        kind="device",
        flops_per_s=186e9,
        utilisation=0.25,
        cores=4,
        memory_bytes=8e9,
        memory_bytes_per_s=38.4e9,
        idle_watts=4.0,
        busy_watts=15.0,
        battery_joules=47 * 3600,
        half_flops_per_s=186e9,
        launch_seconds=15e-6,
        radios=("wifi6e_2x2", "ble5"),
        description="Chromebook, Intel N100 4c",
    )
    assert chromebook.sustained_flops_per_s == 186e9 * 0.25
    assert link("lte_public") == LinkProfile(
        name="lte_public",
        kind="cellular",
        up_bits_per_s=10e6,
        down_bits_per_s=30e6,
        shared=True,
        latency_seconds=50e-3,
        jitter_seconds=20e-3,
        loss=0.005,
        range_metres=1000,
        carrier_hertz=1.8e9,
        transmit_watts=1.29,
        receive_watts=1.29,
        idle_watts=0.03,
        sleep_watts=0.01,
        tail_seconds=11.6,
        tail_watts=1.06,
        infrastructure_joules_per_byte=360000 / 1e9,
        description="LTE",
    )


@pytest.mark.parametrize(
    ("name", "figure", "value"),
    [
        ("android_phone_budget", "flops_per_s", (2 * 2.2e9 * 16 + 6 * 2.0e9 * 8)),
        ("laptop_i5u", "flops_per_s", 2 * 3.0e9 * 32 + 8 * 2.3e9 * 16),
        ("raspberry_pi5", "flops_per_s", 4 * 2.4e9 * 16),
        ("raspberry_pi5", "utilisation", 30.249 / 76.8),
        ("jetson_orin_nano8", "flops_per_s", 1024 * 2 * 0.625e9),
        ("cloud_h100", "busy_watts", 10200 / 8),
        ("chromebook_n4500", "flops_per_s", 2 * 2.6e9 * 8),
    ],
)
def test_derived_figures_follow_from_their_source(name, figure, value):
    assert getattr(device(name), figure) == pytest.approx(value, rel=0.02)


def test_rates_and_energies_of_links_follow_from_their_source():
    assert link("wifi6_40mhz_2x2").up_bits_per_s == pytest.approx(412.9e6 * 0.65, rel=0.01)
    assert link("eth_1g").up_bits_per_s == pytest.approx(0.94e9)
    assert (link("wifi6_20mhz_1x1").infrastructure_watts, link("eth_1g").infrastructure_watts) == (10, 1)
    assert link("school_broadband").infrastructure_joules_per_byte == pytest.approx(0.007 * 3.6e6 / 1e9)
    assert link("wan_cloud_far").latency_seconds == pytest.approx(8000 * 5e-6 * 1.5 + 20e-3)


def test_cores_are_stated():
    cores = [4, 8, 8, 10, 4, 2]
    names = [
        "chromebook_n100",
        "android_phone_budget",
        "android_tablet_budget",
        "laptop_i5u",
        "raspberry_pi5",
        "chromebook_n4500",
    ]
    assert [device(name).cores for name in names] == cores
    assert {profile.cores for profile in devices().values() if profile.kind != "device"} == {1}


def test_every_figure_has_a_source_a_certainty_and_an_uncertainty():
    usual = {"cited": 0.05, "derived": 0.15, "typical": 0.4}
    known = {(figure.profile, figure.figure) for figure in figures()}
    words = {"name", "kind", "radios", "description", "shared"}
    for profile in [*devices().values(), *links().values()]:
        for field in fields(profile):
            # what has no row is a word, or does not apply to this profile
            has_row = (profile.name, field.name) in known
            assert has_row or field.name in words or getattr(profile, field.name) == field.default
    assert all(figure.source.strip() and 0 <= figure.uncertainty <= usual[figure.certainty] * 2 for figure in figures())
    catalogue = {**devices(), **links()}
    assert all(getattr(catalogue[figure.profile], figure.figure) == figure.value for figure in figures())
    cited = next(figure for figure in figures() if (figure.profile, figure.figure) == ("cloud_h100", "utilisation"))
    assert (cited.certainty, "Llama 3" in cited.source) == ("cited", True)


def test_unknown_names_get_the_nearest():
    with pytest.raises(
        ValueError, match=r"^unknown device profile 'chromebok_n100'; did you mean 'chromebook_n100'\?$"
    ):
        device("chromebok_n100")
    with pytest.raises(ValueError, match=r"^unknown link profile 'wifi_40mhz_2x2'; did you mean 'wifi6_40mhz_2x2'\?$"):
        link("wifi_40mhz_2x2")
    with pytest.raises(ValueError, match=r"^unknown link profile 3$"):
        link(3)


def test_an_override_is_a_copy_that_is_checked_again():
    pi = device("raspberry_pi5")
    assert replace(pi, idle_watts=2.5).idle_watts == 2.5
    assert device(replace(pi, idle_watts=2.5)) != pi == device("raspberry_pi5")
    with pytest.raises(ValueError, match=r"^raspberry_pi5: flops_per_s must be > 0, got 0$"):
        replace(pi, flops_per_s=0)
    with pytest.raises(FrozenInstanceError):
        pi.idle_watts = 0
    with pytest.raises(TypeError):
        devices()["new"] = pi


@pytest.mark.parametrize(
    ("figure", "value", "message"),
    [
        ("flops_per_s", -1, "flops_per_s must be > 0, got -1"),
        ("flops_per_s", nan, "flops_per_s must be finite, got nan"),
        ("memory_bytes_per_s", inf, "memory_bytes_per_s must be finite, got inf"),
        ("memory_bytes", 10**400, "memory_bytes must be finite, got inf"),
        ("memory_bytes", "4 GB", "memory_bytes must be a number, got '4 GB'"),
        ("memory_bytes", True, "memory_bytes must be a number, got True"),
        ("utilisation", 0, "utilisation must be > 0 and <= 1, got 0"),
        ("utilisation", 1.5, "utilisation must be > 0 and <= 1, got 1.5"),
        ("idle_watts", -0.5, "idle_watts must be >= 0, got -0.5"),
        ("busy_watts", 0.5, r"busy_watts must be >= idle_watts \(1\), got 0.5"),
        ("battery_joules", -1, "battery_joules must be >= 0, got -1"),
        ("cores", 0, "cores must be a whole number >= 1, got 0"),
        ("cores", 2.5, "cores must be a whole number >= 1, got 2.5"),
        ("radios", "ble5", "radios must be a list of names, got 'ble5'"),
        ("radios", [5], r"radios must be a list of names, got \[5\]"),
        ("kind", "", "kind must be a text, got ''"),
    ],
)
def test_impossible_devices(figure, value, message):
    with pytest.raises(ValueError, match=f"^tablet3: {message}$"):
        tablet(**{figure: value})


@pytest.mark.parametrize(
    ("figure", "value", "message"),
    [
        ("up_bits_per_s", 0, "up_bits_per_s must be > 0, got 0"),
        ("down_bits_per_s", -5.0, "down_bits_per_s must be > 0, got -5.0"),
        ("loss", 1, "loss must be >= 0 and < 1, got 1"),
        ("latency_seconds", -1, "latency_seconds must be >= 0 and <= 1e9, got -1"),
        ("jitter_seconds", nan, "jitter_seconds must be finite, got nan"),
        ("shared", 1, "shared must be true or false, got 1"),
        ("idle_watts", 1, r"transmit_watts must be >= idle_watts \(1\), got 0"),
        ("sleep_watts", 1, r"idle_watts must be >= sleep_watts \(1\), got 0"),
    ],
)
def test_impossible_links(figure, value, message):
    with pytest.raises(ValueError, match=f"^wire: {message}$"):
        wire(**{figure: value})


def test_numbers_of_any_make_become_plain():
    made = tablet(flops_per_s=np.float32(1e9), cores=np.int64(2), radios=["ble5"])
    assert (type(made.flops_per_s), type(made.cores), made.radios) == (float, int, ("ble5",))
    assert made == tablet(radios=("ble5",))
