"""Profiles that are somewhat off: a factor is a factor, but no profile becomes one that cannot be."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies.hierarchy import Hierarchy
from topologies.perturbation import perturbed
from topologies.profiles import DEVICE_RULES, LINK_RULES, device, devices, link, links

FACTORS = st.floats(1e-3, 1e3)


def factors(rules):
    return st.dictionaries(st.sampled_from(sorted(rules)), FACTORS)


@pytest.mark.parametrize("profile", [*devices().values(), *links().values()], ids=lambda profile: profile.name)
def test_factors_of_one_change_nothing(profile):
    rules = DEVICE_RULES if profile.name in devices() else LINK_RULES
    assert perturbed(profile, dict.fromkeys(rules, 1.0)) == profile == perturbed(profile, {})


def test_a_figure_is_multiplied_by_its_factor_and_the_others_stay():
    tablet = device("android_tablet_budget")
    out = perturbed(tablet, {"flops_per_s": 1.25, "memory_bytes": 0.5})
    assert out == replace(tablet, flops_per_s=tablet.flops_per_s * 1.25, memory_bytes=tablet.memory_bytes * 0.5)


def test_a_share_stops_at_one_and_a_probability_below_it():
    assert perturbed(replace(device("raspberry_pi5"), utilisation=0.6), {"utilisation": 2.0}).utilisation == 1.0
    assert 1 - 1e-15 < perturbed(replace(link("eth_1g"), loss=0.3), {"loss": 9.0}).loss < 1.0
    assert perturbed(replace(device("cloud_h100"), pue=1.2), {"pue": 0.5}).pue == 1.0


def test_of_two_figures_in_order_the_smaller_is_lowered_to_the_larger():
    laptop = replace(device("laptop_i5u"), idle_watts=6.0, busy_watts=10.0)
    assert perturbed(laptop, {"idle_watts": 2.0, "busy_watts": 0.9}).idle_watts == 9.0
    radio = replace(link("eth_1g"), transmit_watts=3.0, receive_watts=2.0, idle_watts=1.0, sleep_watts=0.5)
    out = perturbed(radio, {"idle_watts": 4.0, "sleep_watts": 5.0, "transmit_watts": 1.0, "receive_watts": 1.0})
    assert (out.transmit_watts, out.receive_watts, out.idle_watts, out.sleep_watts) == (3.0, 2.0, 2.0, 2.0)


def test_what_has_no_factor_is_certain_and_the_other_stops_there():
    laptop = replace(device("laptop_i5u"), idle_watts=6.0, busy_watts=10.0)
    assert perturbed(laptop, {"busy_watts": 0.1}) == replace(laptop, busy_watts=6.0)
    assert perturbed(laptop, {"idle_watts": 10.0}) == replace(laptop, idle_watts=10.0)
    radio = replace(link("eth_1g"), transmit_watts=3.0, receive_watts=3.0, idle_watts=2.0, sleep_watts=1.5)
    low = replace(radio, transmit_watts=1.5, idle_watts=1.5)  # nothing goes below the watts asleep
    assert perturbed(radio, {"transmit_watts": 0.1, "idle_watts": 0.9}) == low
    assert perturbed(radio, {"transmit_watts": 0.1, "idle_watts": 0.1}) == low


@given(st.sampled_from(sorted(devices())), factors(DEVICE_RULES))
def test_every_draw_of_a_device_is_a_device(name, drawn):
    out = perturbed(device(name), drawn)  # the profile checks itself
    loose = set(drawn) - {"idle_watts", "busy_watts"}
    held = {f for f in loose if DEVICE_RULES[f].holds(getattr(device(name), f) * drawn[f])}
    assert all(getattr(out, f) == getattr(device(name), f) * drawn[f] for f in held)
    assert all(getattr(out, f) == getattr(device(name), f) for f in DEVICE_RULES if f not in drawn)


@given(st.sampled_from(sorted(links())), factors(LINK_RULES))
def test_every_draw_of_a_link_is_a_link(name, drawn):
    out = perturbed(link(name), drawn)
    assert all(getattr(out, f) == getattr(link(name), f) for f in LINK_RULES if f not in drawn)


def test_an_unknown_figure_is_named():
    with pytest.raises(ValueError, match=r"raspberry_pi5: there is no figure 'watts' to perturb"):
        perturbed(device("raspberry_pi5"), {"watts": 2.0})


def test_the_same_tree_with_other_profiles_is_a_tree_of_its_own():
    tree = Hierarchy("room", "room")
    tree.add("a", "room", "device", "raspberry_pi5", "wifi6_40mhz_2x2", seat=1)
    tree.add("b", "room", "device", "laptop_i5u", "wifi6_40mhz_2x2")
    tree.connect("a", "b", "wifi_direct")
    twin = tree.with_profiles(lambda p: replace(p, idle_watts=0.0), lambda p: replace(p, latency_seconds=1.0))
    for node in ("a", "b"):
        assert twin.profile(node) == replace(tree.profile(node), idle_watts=0.0)
        assert twin.link(node, "room") == replace(tree.link(node, "room"), latency_seconds=1.0)
        assert twin.cell(node) == tree.cell(node) == "room|wifi6_40mhz_2x2"
        assert twin.attributes(node) == tree.attributes(node)
    assert twin.profile("room") is None
    assert twin.link("a", "b") == replace(tree.link("a", "b"), latency_seconds=1.0)
    assert (twin.nodes(), twin.tiers, twin.sideways, twin.peers("a")) == (
        tree.nodes(), tree.tiers, tree.sideways, tree.peers("a"),
    )  # fmt: skip
    twin.add("c", "room", "device", "laptop_i5u", "wifi6_40mhz_2x2")
    assert "c" not in tree
    assert tree.children("room") == ("a", "b")
    assert tree.profile("a") == device("raspberry_pi5")
