"""Positions and the rates that follow from them: by hand on a line, in law in a room, and what is refused."""

import re
from dataclasses import replace
from math import hypot, sqrt

import numpy as np
import pytest

from topologies import (
    Hierarchy,
    Radio,
    Room,
    classroom,
    district,
    link,
    read_json,
    star,
    with_radio,
    write_json,
)
from topologies.placement import within_range
from topologies.radio import InH, LogDistance, Mcs, Shannon, losses
from topologies.radio.decibels import noise_dbm, ratio

ROOM = Room(8.0, 10.0, access_point=(4.0, 0.0))
# 20 MHz and 7 dB: noise of -93.96 dBm; 60 dB at 1 m and 30 dB per tenfold distance.
RADIO = Radio(LogDistance(60.0, 3.0), Mcs(20e6), device_dbm=10.0, access_point_dbm=20.0, mac_efficiency=0.5, room=ROOM)


def line(*places, parent=(0.0, 0.0), access="wifi6_20mhz_1x1"):
    """A classroom with devices at given points."""
    tree = Hierarchy("room", "classroom", "classroom_edge_box", x_metres=parent[0], y_metres=parent[1])
    for index, (x, y) in enumerate(places):
        tree.add(f"pi{index}", "room", "device", "raspberry_pi5", access, x_metres=x, y_metres=y)
    return tree


def test_rates_by_hand():
    """43.96 dB of SNR at 1 m and 10 dBm; less 30 dB at 10 m it supports MCS 3 up, and with 10 dB more, MCS 7 down."""
    tree, unheard = with_radio(line((1.0, 0.0), (6.0, 8.0), (0.0, -20.0)), RADIO, seed=0)
    assert unheard == ()
    table = [0.5 * rate for rate in Mcs(20e6).table]
    rates = [(tree.link("room", f"pi{n}").up_bits_per_s, tree.link("room", f"pi{n}").down_bits_per_s) for n in range(3)]
    assert rates == [(table[11], table[11]), (table[3], table[7]), (table[0], table[3])]
    channel = tree.channel("pi1", "room")
    assert (channel.metres, channel.mac_efficiency) == (10.0, 0.5)
    assert channel.up_snr_db == pytest.approx(10 - (60 + 30) - noise_dbm(20e6, 7))
    assert channel.down_snr_db == pytest.approx(channel.up_snr_db + 10)


def test_the_cell_stays_one_and_nothing_else_changes():
    before = line((1.0, 0.0), (6.0, 8.0))
    before.connect("pi0", "pi1", "wifi_direct")
    after, _ = with_radio(before, RADIO, seed=0)
    assert {after.cell("pi0"), after.cell("pi1"), before.cell("pi0")} == {"room|wifi6_20mhz_1x1"}
    for node in before.nodes():
        assert after.profile(node) is before.profile(node)
        assert after.attributes(node) == before.attributes(node)
    changed = after.link("room", "pi1")
    assert replace(changed, up_bits_per_s=5.6e7, down_bits_per_s=5.6e7) == before.link("room", "pi1")
    assert (after.link("pi0", "pi1"), after.medium("pi0", "pi1")) == (link("wifi_direct"), before.medium("pi0", "pi1"))
    assert before.link("room", "pi1") == link("wifi6_20mhz_1x1")  # the tree that was given is as it was
    assert before.channel("room", "pi1") is None


def test_a_district_keeps_its_wires_and_its_order():
    plain = district(2, 2, 3)
    tree, _ = with_radio(plain, RADIO, seed=1)
    assert (tree.nodes(), tree.tiers, tree.root) == (plain.nodes(), plain.tiers, "cloud")
    for node in tree.nodes("classroom"):
        assert tree.channel(node, tree.parent(node)) is None
        assert tree.link(node, tree.parent(node)) is link("campus_10g")
    assert all(tree.channel(leaf, tree.parent(leaf)) is not None for leaf in tree.leaves)


def test_students_sit_in_their_room_wherever_others_sit():
    few, many = (with_radio(classroom(count), RADIO, seed=4)[0] for count in (3, 200))
    for leaf in few.leaves:
        assert few.attributes(leaf) == many.attributes(leaf)
    places = np.array([[many.attributes(leaf)[f"{axis}_metres"] for axis in "xy"] for leaf in many.leaves])
    assert ((places >= 0) & (places <= (8.0, 10.0))).all()
    assert (np.hypot(places[:, 0] - 4.0, places[:, 1]) >= 1.0).all()
    other = with_radio(classroom(3), RADIO, seed=5)[0]
    assert all(few.attributes(leaf) != other.attributes(leaf) for leaf in few.leaves)
    distances = [many.channel("room0", leaf).metres for leaf in many.leaves]
    assert distances == pytest.approx([hypot(x - 4.0, y) for x, y in places])


def test_seats_are_uniform_but_for_the_metre_around_the_access_point():
    """Half a disc of 1 m is cut out of 80 square metres: the means shift by its moment."""
    seats = np.array([ROOM.seat(0, str(name)) for name in range(4000)])
    area = 80 - np.pi / 2
    means = (4.0 * 80 - 4.0 * np.pi / 2) / area, (5.0 * 80 - 2 / 3) / area  # 2/3: the moment of half a unit disc
    for axis, mean in enumerate(means):
        assert abs(seats[:, axis].mean() - mean) <= 4 * seats[:, axis].std() / sqrt(len(seats))


def test_sight_and_shadowing_follow_their_laws():
    radio = replace(RADIO, model=InH("open"), rates=Shannon(20e6, lowest_db=-60.0))
    channels = [radio.channel(str(name), link("wifi6_20mhz_1x1"), 20.0, seed=2) for name in range(4000)]
    seen = np.array([channel.sight for channel in channels])
    likely = losses.inh_open_sight(20.0)
    assert abs(seen.mean() - likely) <= 4 * sqrt(likely * (1 - likely) / len(seen))
    distance = hypot(20.0, 2.0)
    medians = losses.inh_los_db(distance, 5.25e9), losses.inh_nlos_db(distance, 5.25e9)
    for which, median, sigma in ((seen, medians[0], 3.0), (~seen, medians[1], 8.03)):
        scatter = np.array([10 - noise_dbm(20e6, 7) - median - channel.up_snr_db for channel in channels])[which]
        assert abs(scatter.mean()) <= 4 * sigma / sqrt(len(scatter))
        assert scatter.std() == pytest.approx(sigma, rel=4 / sqrt(2 * len(scatter)))


def test_sight_may_be_given_and_shadowing_left_out():
    for sight, loss in (("yes", losses.inh_los_db), ("no", losses.inh_nlos_db)):
        radio = replace(RADIO, model=InH(rise_metres=0.0), sight=sight, shadowing=False, carrier_hertz=6e9)
        channel = radio.channel("a", link("wifi6_20mhz_1x1"), 12.0, seed=0)
        assert channel.sight == (sight == "yes")
        assert channel.up_snr_db == pytest.approx(10 - loss(12.0, 6e9) - noise_dbm(20e6, 7))


@pytest.mark.parametrize("over", ["average", "outage"])
def test_fading_is_averaged_or_left_to_the_transfer(over):
    tree, _ = with_radio(line((6.0, 8.0)), replace(RADIO, k=0.0, over=over, retry_seconds=0.1), seed=0)
    channel = tree.channel("room", "pi0")
    assert (channel.k, channel.over, channel.retry_seconds) == (0.0, over, 0.1)
    expected = channel.mean_bits_per_s("up") if over == "average" else 0.5 * Mcs(20e6).table[3]
    assert tree.link("room", "pi0").up_bits_per_s == expected


FAR = (0.0, 30.0)  # 44.3 dB below 1 m: -0.35 dB up, where 4 dB are needed


def test_out_of_range_is_refused_with_what_is_missing():
    message = (
        "pi1: is out of range, as is another, 30.0 m from room: mean SNR -0.3 dB up and 9.7 dB down, 4.0 dB needed; "
        "move it nearer, send with more power, or leave it out (out_of_range: exclude)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        with_radio(line((1.0, 0.0), FAR, FAR), RADIO, seed=0)


def test_out_of_range_is_left_out_with_all_below():
    tree = Hierarchy("room", "classroom", "classroom_edge_box", x_metres=0.0, y_metres=0.0)
    for name, place in (("near", (1.0, 0.0)), ("far", FAR)):
        tree.add(name, "room", "hub", "raspberry_pi5", "wifi6_20mhz_1x1", x_metres=place[0], y_metres=place[1])
        tree.add(f"{name}/sensor", name, "device", "raspberry_pi5", "eth_1g")
    tree.connect("near", "far", "wifi_direct")
    heard, unheard = with_radio(tree, replace(RADIO, out_of_range="exclude"), seed=0)
    assert heard.nodes() == ("room", "near", "near/sensor")
    assert heard.sideways == ()
    assert unheard == (("far", "room", "30.0 m from room: mean SNR -0.3 dB up and 9.7 dB down, 4.0 dB needed"),)


def grouped(*places):
    tree = Hierarchy("room", "classroom", "classroom_edge_box", x_metres=0.0, y_metres=0.0)
    x, y = np.array(places, dtype=float).T
    tree.add_group("room", len(places), "device", "raspberry_pi5", "wifi6_20mhz_1x1", "pi", x_metres=x, y_metres=y)
    return tree


PLACES = ((1.0, 0.0), (6.0, 8.0), (0.0, -20.0))


def test_a_group_has_the_rates_that_its_members_would_have():
    radio = replace(RADIO, k=0.0)
    (group,) = with_radio(grouped(*PLACES), radio, seed=0)[0].groups()
    alone, _ = with_radio(line(*PLACES), radio, seed=0)
    assert [group.link_of(n) for n in range(3)] == [alone.link("room", f"pi{n}") for n in range(3)]
    assert [group.attributes_of(n) for n in range(3)] == [alone.attributes(f"pi{n}") for n in range(3)]
    seated, _ = with_radio(classroom(5, grouped=True), RADIO, seed=3)
    nodes, _ = with_radio(classroom(5), RADIO, seed=3)
    names = [f"room0/chromebook{n}" for n in range(5)]
    assert [seated.groups()[0].attributes_of(n) for n in range(5)] == [nodes.attributes(name) for name in names]


@pytest.mark.parametrize(
    ("places", "changes"), [((*PLACES, FAR), {"out_of_range": "exclude"}), (PLACES, {"k": 0.0, "over": "outage"})]
)
def test_a_group_unfolds_where_its_members_must_be_told_apart(places, changes):
    """One of them is left out, or each draws its own fading."""
    radio = replace(RADIO, **changes)
    tree, unheard = with_radio(grouped(*places), radio, seed=0)
    alone, told = with_radio(line(*places), radio, seed=0)
    assert (tree.groups(), tree.nodes(), unheard) == ((), alone.nodes(), told)
    for node in alone.leaves:
        assert tree.link("room", node) == alone.link("room", node)
        assert tree.channel("room", node) == alone.channel("room", node)
        assert tree.attributes(node) == alone.attributes(node)


def test_a_group_on_a_wire_stays_as_it_is():
    tree = line((1.0, 0.0))
    tree.add_group("room", 7, "device", "raspberry_pi5", "eth_1g", "wired")
    (group,) = with_radio(tree, RADIO, seed=0)[0].groups()
    assert (group.count, group.link, group.up_bits_per_s) == (7, link("eth_1g"), None)


def test_a_cell_without_a_station_is_refused():
    with pytest.raises(ValueError, match=r"^room: everybody is out of its range; make the room smaller"):
        with_radio(line(FAR, FAR), replace(RADIO, out_of_range="exclude"), seed=0)


def test_range_is_decided_by_both_directions():
    """The access point is heard, but does not hear."""
    weak = replace(RADIO, device_dbm=10.0, access_point_dbm=40.0)
    with pytest.raises(ValueError, match=r"mean SNR -0.3 dB up and 29.7 dB down"):
        with_radio(line(FAR), weak, seed=0)


def test_links_may_be_named():
    tree = star(2, "raspberry_pi5", "home_broadband")
    radio = replace(RADIO, links=("home_broadband",), carrier_hertz=3.5e9)
    found, _ = with_radio(tree, radio, seed=0)
    assert all(found.channel("cloud", leaf) is not None for leaf in found.leaves)
    assert {found.cell(leaf) for leaf in found.leaves} == {None}
    with pytest.raises(ValueError, match=r"^pi0: link home_broadband has no carrier; give the radio one"):
        with_radio(tree, replace(radio, carrier_hertz=None), seed=0)
    with pytest.raises(ValueError, match="no link of the tree is called 'wifi7'; it has home_broadband"):
        with_radio(tree, replace(radio, links=("wifi7",)), seed=0)
    with pytest.raises(ValueError, match=r"^radio: no link of the tree is shared and has a carrier"):
        with_radio(tree, RADIO, seed=0)


def test_a_node_without_a_place_is_refused():
    nowhere = replace(RADIO, room=None)
    with pytest.raises(ValueError, match=r"^room0/chromebook0: nobody knows where it is; give the radio a room"):
        with_radio(classroom(2), nowhere, seed=0)
    tree = Hierarchy("room", "classroom", "classroom_edge_box")
    tree.add("pi", "room", "device", "raspberry_pi5", "wifi6_20mhz_1x1", x_metres=3.0, y_metres=4.0)
    with pytest.raises(ValueError, match=r"^room: nobody knows where it is"):
        with_radio(tree, nowhere, seed=0)
    assert with_radio(tree, RADIO, seed=0)[0].channel("room", "pi").metres == pytest.approx(hypot(1.0, 4.0))


@pytest.mark.parametrize("value", [float("nan"), "3", True, None, 10**400])
def test_half_a_place_is_refused(value):
    with pytest.raises(ValueError, match=f"^pi0: y_metres must be a finite number, got {value!r}"):
        with_radio(line((1.0, value)), RADIO, seed=0)


def test_a_file_holds_rates_but_no_fading_that_each_transfer_draws(tmp_path):
    """What is written must read back the same, so a tree whose channels would be lost is refused."""
    steady, _ = with_radio(line((6.0, 8.0)), replace(RADIO, k=0.0), seed=0)
    write_json(steady, tmp_path / "tree.json")
    assert read_json(tmp_path / "tree.json").link("room", "pi0") == steady.link("room", "pi0")
    drawn, _ = with_radio(line((6.0, 8.0)), replace(RADIO, k=0.0, over="outage"), seed=0)
    with pytest.raises(ValueError, match=r"^node 'pi0': the file cannot hold how its link fades"):
        write_json(drawn, tmp_path / "other.json")
    assert not (tmp_path / "other.json").exists()


def test_who_can_hear_whom():
    tree = line((0.0, 0.0), (3.0, 4.0), (0.0, 9.0))
    assert within_range(tree, "device", 5.0) == (("pi0", "pi1"),)
    assert within_range(tree, "device", 9.0) == (("pi0", "pi1"), ("pi0", "pi2"), ("pi1", "pi2"))
    assert within_range(tree, "classroom", 9.0) == ()


BAD = [
    (lambda: Room(0.0, 3.0), "width_metres must be > 0, got 0"),
    (lambda: Room(3.0, float("nan")), "depth_metres must be > 0, got nan"),
    (lambda: Room(3.0, 3.0, (4.0, 1.0)), "the access point at 4, 1 m is outside; move it in, or widen the room"),
    (lambda: Room(1.5, 1.5), "hardly a seat is 1 m from the access point; widen the room"),
    (lambda: replace(RADIO, device_dbm=float("nan")), "device_dbm must be finite, got nan"),
    (lambda: replace(RADIO, carrier_hertz=0.0), "carrier_hertz must be > 0, got 0.0"),
    (lambda: replace(RADIO, sight="maybe"), "sight must be one of draw, yes, no, got 'maybe'"),
    (lambda: replace(RADIO, out_of_range="ignore"), "out_of_range must be one of refuse, exclude, got 'ignore'"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_figures_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_shannon_rates_need_no_standard_channel():
    radio = replace(RADIO, rates=Shannon(7e6, cap=8.0))
    tree, _ = with_radio(line((6.0, 8.0)), radio, seed=0)
    snr = ratio(10 - 90 - noise_dbm(7e6, 7))
    assert tree.link("room", "pi0").up_bits_per_s == pytest.approx(0.5 * 7e6 * np.log2(1 + snr))
