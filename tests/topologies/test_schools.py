from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest

from topologies import campus, classroom, device, district, link, schools_from_rosters, star

MIX = {"chromebook_n100": 0.6, "android_tablet_budget": 0.3, "laptop_i5u": 0.1}


def kinds(tree):
    return [tree.profile(leaf).name for leaf in tree.leaves]


def test_a_classroom():
    room = classroom(devices=3, device="android_tablet_budget")
    assert room.nodes() == ("room0", "room0/tablet0", "room0/tablet1", "room0/tablet2")
    assert room.tiers == ("classroom", "device")
    assert (room.root, room.profile("room0")) == ("room0", device("classroom_edge_box"))
    assert {room.cell(leaf) for leaf in room.leaves} == {"room0|wifi6_40mhz_2x2"}


def test_a_campus():
    school = campus(classrooms=2, devices=1, device_mix="raspberry_pi5", edge="jetson_orin_nano8", name="oak")
    assert school.nodes() == ("oak", "oak/room0", "oak/room0/pi0", "oak/room1", "oak/room1/pi0")
    assert school.tiers == ("campus", "classroom", "device")
    assert school.profile("oak/room1") is device("jetson_orin_nano8")
    assert {school.attributes(node)["institution"] for node in school.nodes()} == {"oak"}


def test_a_district():
    tree = district(campuses=3, classrooms=4, devices=10, device_mix=MIX, seed=7)
    assert [len(tree.nodes(tier)) for tier in tree.tiers] == [1, 3, 12, 120]
    assert tree.tiers == ("cloud", "campus", "classroom", "device")
    assert tree.children("campus2") == tuple(f"campus2/room{index}" for index in range(4))
    assert tree.attributes("campus1/room3") == {"institution": "campus1"}
    assert tree.attributes("cloud") == {}
    assert tree.link("cloud", "campus0") is link("wan_cloud_near")
    words = {"chromebook_n100": "chromebook", "android_tablet_budget": "tablet", "laptop_i5u": "laptop"}
    for room in tree.nodes("classroom"):
        expected = [f"{room}/{words[tree.profile(leaf).name]}{index}" for index, leaf in enumerate(tree.children(room))]
        assert list(tree.children(room)) == expected


def test_a_mix_is_met_exactly_over_the_whole_district():
    tree = district(campuses=3, classrooms=4, devices=10, device_mix=MIX)
    assert Counter(kinds(tree)) == {"chromebook_n100": 72, "android_tablet_budget": 36, "laptop_i5u": 12}
    thirds = {"chromebook_n100": 1 / 3, "laptop_i5u": 1 / 3, "raspberry_pi5": 1 / 3}
    assert sorted(Counter(kinds(classroom(8, thirds))).values()) == [2, 3, 3]
    hundredths = {"chromebook_n100": 0.29, "laptop_i5u": 0.71}
    assert Counter(kinds(classroom(100, hundredths))) == {"chromebook_n100": 29, "laptop_i5u": 71}


def test_the_seed_places_the_mix():
    first, again, other = (kinds(district(2, 2, 10, MIX, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert Counter(first) == Counter(other)


def test_a_star():
    tree = star(clients=2, device="chromebook_n100", cloud=None)
    assert tree.nodes() == ("cloud", "chromebook0", "chromebook1")
    assert tree.profile("cloud") is None
    assert tree.cell("chromebook0") is None
    rooms = star(["oak/a", "elm/b"], "classroom_edge_box", "campus_10g", tier="classroom")
    assert rooms.children("cloud") == ("oak/a", "elm/b")
    assert rooms.tiers == ("cloud", "classroom")


def test_clients_with_names_of_their_own_cannot_be_grouped():
    with pytest.raises(ValueError, match="clients with names of their own cannot be grouped"):
        star(["ann", "bob"], grouped=True)


def test_profiles_of_ones_own():
    mine = replace(device("chromebook_n100"), name="mine", idle_watts=3)
    dsl = replace(link("home_broadband"), name="dsl", up_bits_per_s=5e6)
    tree = star(2, {mine: 0.5, "laptop_i5u": 0.5}, dsl)
    assert {"device0", "device1"} & set(tree.leaves)
    assert {tree.link(leaf, "cloud") for leaf in tree.leaves} == {dsl}
    assert mine in {tree.profile(leaf) for leaf in tree.leaves}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: classroom(0), "devices must be a whole number >= 1, got 0"),
        (lambda: classroom(True), "devices must be a whole number >= 1, got True"),
        (lambda: campus(classrooms=1.5), "classrooms must be a whole number >= 1, got 1.5"),
        (lambda: district(campuses=-1), "campuses must be a whole number >= 1, got -1"),
        (lambda: star("three"), "clients must be a whole number >= 1, got 'three'"),
        (lambda: star(["a", "a"]), "a: there are two nodes of this name"),
        (lambda: classroom(seed=-1), "seed must be a whole number >= 0, got -1"),
        (lambda: classroom(device={"laptop_i5u": 0.9}), "device mix: shares must sum to 1, got 0.9"),
        (lambda: classroom(device={}), "device mix: shares must sum to 1, got 0"),
        (
            lambda: classroom(device={"laptop_i5u": 1, "raspberry_pi5": 0}),
            "device mix: raspberry_pi5 must be > 0, got 0",
        ),
        (lambda: classroom(device={"laptop_i5u": "1"}), "device mix: laptop_i5u must be > 0, got '1'"),
        (lambda: classroom(device={"laptop": 1}), "unknown device profile 'laptop'; did you mean 'laptop_i5u'?"),
        (
            lambda: classroom(access="wifi_drct"),
            "room0/chromebook0: unknown link profile 'wifi_drct'; did you mean 'wifi_direct'?",
        ),
    ],
)
def test_impossible_schools(build, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        build()
    assert str(error.value) == message


ROSTER = {
    "student": [1, 2, 3, 4],
    "class": ["3A", "3A", "3B", "1C"],
    "school": ["oak", "oak", "oak", "elm"],
}


def test_schools_from_rosters_end_at_the_classroom():
    tree = schools_from_rosters(pd.DataFrame(ROSTER))
    assert tree.nodes() == ("cloud", "oak", "elm", "oak/3A", "oak/3B", "elm/1C")
    assert tree.tiers == ("cloud", "campus", "classroom")
    assert tree.attributes("oak/3B") == {"institution": "oak"}


def test_schools_from_rosters_with_a_device_each():
    tree = schools_from_rosters(ROSTER, device={"chromebook_n100": 0.5, "laptop_i5u": 0.5}, cloud=None)
    assert tree.leaves == ("oak/3A/1", "oak/3A/2", "oak/3B/3", "elm/1C/4")
    assert Counter(kinds(tree)) == {"chromebook_n100": 2, "laptop_i5u": 2}
    assert tree.attributes("elm/1C/4") == {"institution": "elm"}


def test_two_schools_may_each_have_a_class_of_one_name():
    tree = schools_from_rosters({**ROSTER, "class": ["3A", "3B", "3B", "3B"]}, device="laptop_i5u")
    assert tree.nodes("classroom") == ("oak/3A", "oak/3B", "elm/3B")
    assert tree.parent("elm/3B/4") == "elm/3B"


def test_rosters_may_have_other_columns_and_repeat_rows():
    table = pd.DataFrame({"tch": [7, 7, 8], "sch": [1, 1, 1], "id": [5, 5, 6]})
    tree = schools_from_rosters(table, student="id", classroom="tch", school="sch", device="raspberry_pi5")
    assert tree.leaves == ("1/7/5", "1/8/6")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student": [1, 2, 2, 4]}, "roster, row 3: student '2' is in 'oak/3B', before in 'oak/3A'"),
        ({"school": ["oak", None, "oak", "elm"]}, "roster, row 2: school is empty"),
        ({"class": ["3A", "3A", float("nan"), "1C"]}, "roster, row 3: class is empty"),
        ({"student": [1, 2, 3, pd.NA]}, "roster, row 4: student is empty"),
        ({"student": [" ", 2, 3, 4]}, "roster, row 1: student is empty"),
        ({"student": [1]}, "roster: the columns school, class, student differ in length"),
        ({"student": [], "class": [], "school": []}, "roster: there are no rows"),
    ],
)
def test_impossible_rosters(change, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        schools_from_rosters({**ROSTER, **change}, device="laptop_i5u")
    assert str(error.value) == message


@pytest.mark.parametrize("table", [{"class": ["a"]}, pd.DataFrame({"class": ["a"]}), [("a", "b")], None])
def test_missing_columns(table):
    with pytest.raises(ValueError, match=r"^roster: there is no column 'school'$"):
        schools_from_rosters(table)
