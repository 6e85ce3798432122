"""Groups of like devices: the same tree as with nodes, in a fraction of the room."""

import json

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies import Hierarchy, campus, classroom, device, district, link, read_json, star, write_json

TABLET, LAPTOP, EDGE, WIFI = "android_tablet_budget", "laptop_i5u", "classroom_edge_box", "wifi6_40mhz_2x2"


def facts(tree):
    """All that a hierarchy says of its nodes and links."""
    nodes = [(n, tree.tier(n), tree.profile(n), tree.parent(n), dict(tree.attributes(n))) for n in tree.nodes()]
    edges = [(n, tree.link(n, tree.parent(n)), tree.cell(n)) for n in tree.nodes()[1:]]
    beside = [(a, b, tree.link(a, b), tree.medium(a, b)) for a, b in tree.sideways]
    return nodes, edges, beside, tree.tiers, tree.leaves, [tree.children(n) for n in tree.nodes()]


@pytest.fixture
def room() -> Hierarchy:
    tree = Hierarchy("room", "classroom", EDGE)
    tree.add("room/pi", "room", "device", "raspberry_pi5", WIFI)
    tree.add_group("room", 3, "device", TABLET, WIFI, up_bits_per_s=np.array([1e6, 2e6, 3e6]), school="oak")
    tree.add("room/last", "room", "device", "raspberry_pi5", WIFI)
    return tree


def test_members_are_no_nodes_until_they_are_unfolded(room):
    (group,) = room.groups("room")
    assert room.groups() == (group,)
    assert room.groups("room/pi") == ()
    assert list(room.members(group)) == ["room/tablet0", "room/tablet1", "room/tablet2"]
    assert (len(room), room.population) == (3, 6)
    assert room.nodes() == ("room", "room/pi", "room/last")
    assert room.nodes("device") == room.children("room") == ("room/pi", "room/last")
    assert "room/tablet0" not in room
    assert room.group_of("room/tablet2") is group
    for name in ("room/tablet3", "room/tablet", "room/tablet02", "room/pi", "7"):
        assert room.group_of(name) is None
    with pytest.raises(ValueError, match="no node 'room/tablet1'; it is a member of the group 'room/tablet'"):
        room.tier("room/tablet1")
    assert room.tiers == ("classroom", "device")


def test_a_parent_of_a_group_is_no_leaf():
    tree = Hierarchy("cloud", "cloud")
    tree.add("room", "cloud", "classroom", EDGE, "campus_10g")
    assert tree.leaves == ("room",)
    tree.add_group("room", 2, "device", TABLET, WIFI)
    assert tree.leaves == ()
    assert tree.tiers == ("cloud", "classroom", "device")


def test_unfolding_gives_the_tree_that_adding_one_by_one_gives(room):
    room.connect("room/last", "room/pi", "wifi_direct")
    twin = Hierarchy("room", "classroom", EDGE)
    twin.add("room/pi", "room", "device", "raspberry_pi5", WIFI)
    for i in range(3):
        own = room.groups()[0].link_of(i)
        assert (own.name, own.up_bits_per_s) == (WIFI, (i + 1) * 1e6)
        assert own.down_bits_per_s == link(WIFI).down_bits_per_s
        twin.add(f"room/tablet{i}", "room", "device", TABLET, own, school="oak")
    twin.add("room/last", "room", "device", "raspberry_pi5", WIFI)
    twin.connect("room/last", "room/pi", "wifi_direct")
    unfolded = room.unfolded()
    assert facts(unfolded) == facts(twin)
    assert list(unfolded.graph.edges(data=True)) == list(twin.graph.edges(data=True))
    assert unfolded.groups() == ()
    assert {unfolded.cell(node) for node in unfolded.nodes("device")} == {f"room|{WIFI}"}
    assert room.groups()  # which has not changed


def test_only_the_named_groups_are_unfolded(room):
    room.add_group("room", 2, "device", LAPTOP, WIFI, battery=np.array([1, 2]))
    (tablets, laptops) = room.groups()
    some = room.unfolded([laptops])
    assert some.nodes()[-2:] == ("room/laptop0", "room/laptop1")
    assert [dict(some.attributes(node)) for node in some.nodes()[-2:]] == [{"battery": 1}, {"battery": 2}]
    assert [group.name for group in some.groups()] == ["room/tablet"]
    assert some.groups()[0].up_bits_per_s.tolist() == [1e6, 2e6, 3e6]
    assert facts(some.unfolded()) == facts(room.unfolded())
    assert facts(room.unfolded(["room/laptop", "room/tablet"])) == facts(room.unfolded())
    assert facts(room.unfolded([])) == facts(room)
    with pytest.raises(ValueError, match="there is no group 'room/phone'"):
        room.unfolded(["room/phone"])
    assert tablets.count == 3


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=8))
def test_groups_and_nodes_may_be_added_in_any_order(steps):
    """A group or so many nodes, under the root or one of the rooms; the order of adding is the order of unfolding."""
    folded, plain = (Hierarchy("cloud", "cloud") for _ in range(2))
    for tree in (folded, plain):
        for room in range(3):
            tree.add(f"room{room}", "cloud", "classroom", EDGE, "campus_10g")
    for index, (grouped, count, room) in enumerate(steps):
        name, place = f"room{room}/{index}x", (f"room{room}", "device", TABLET, WIFI)
        if grouped:
            folded.add_group(place[0], count, *place[1:], name)
        for i in range(count):
            plain.add(f"{name}{i}", *place)
            if not grouped:
                folded.add(f"{name}{i}", *place)
    assert facts(folded.unfolded()) == facts(plain)
    assert folded.population == len(plain)
    assert tuple(folded.lowest) == plain.leaves
    for room in ("cloud", "room0", "room1", "room2"):
        below = [[e] if isinstance(e, str) else list(folded.members(e)) for e in folded.below(room)]
        assert tuple(name for names in below for name in names) == plain.children(room)
    assert sum(group.count for group in folded.groups()) == sum(count for grouped, count, _ in steps if grouped)


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        (("elm", 2, "device", TABLET, WIFI), {}, "elm/tablet: its parent 'elm' is unknown"),
        (("room", 0, "device", TABLET, WIFI), {}, "room/tablet: count must be a whole number >= 1, got 0"),
        (("room", 2.5, "device", TABLET, WIFI), {}, "room/tablet: count must be a whole number >= 1, got 2.5"),
        (("room", 2, "classroom", TABLET, WIFI), {}, "room/tablet: tier 'classroom' cannot be below itself"),
        (("room", 2, "device", "tower", WIFI), {}, "room: unknown device profile 'tower'"),
        (("room", 2, "device", TABLET, "wif"), {}, "room/tablet: unknown link profile 'wif'"),
        (("room", 2, "device", TABLET, WIFI, "x1"), {}, "x1: a group's name must be a text that ends in no digit"),
        (("room", 2, "device", TABLET, WIFI, "room/lone"), {}, "room/lone: there are members of this name"),
        (("room", 2, "device", TABLET, WIFI), {"up_bits_per_s": np.array([1, -1.0])},
         "room/tablet1: up_bits_per_s must be > 0 and finite, got -1"),
        (("room", 2, "device", TABLET, WIFI), {"down_bits_per_s": np.nan},
         "room/tablet0: down_bits_per_s must be > 0 and finite, got nan"),
        (("room", 2, "device", TABLET, WIFI), {"down_bits_per_s": [1, 2, 3]},
         "room/tablet: down_bits_per_s must be a number or 2 of them"),
        (("room", 2, "device", TABLET, WIFI), {"seat": np.arange(3)},
         "room/tablet: attribute 'seat' must hold 2 values, got (3,)"),
        (("room", 2, "device", TABLET, WIFI), {"root": 1}, "room/tablet: an attribute cannot be called 'root'"),
    ],
)  # fmt: skip
def test_impossible_groups_change_nothing(arguments, given, message):
    tree = Hierarchy("room", "classroom", EDGE)
    tree.add("room/lone1", "room", "device", TABLET, WIFI)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        tree.add_group(*arguments, **given)
    assert str(error.value).startswith(message)
    assert (tree.groups(), tree.tiers, tree.leaves) == ((), ("classroom", "device"), ("room/lone1",))


def test_two_things_cannot_have_one_name(room):
    with pytest.raises(ValueError, match=r"^room/tablet2: there are two nodes of this name$"):
        room.add("room/tablet2", "room", "device", TABLET, WIFI)
    with pytest.raises(ValueError, match=r"^room/tablet: there are members of this name; give the group another name$"):
        room.add_group("room", 9, "device", TABLET, WIFI)
    room.add("room/tablet3", "room", "device", TABLET, WIFI)


def test_arrays_cannot_be_written_to():
    rates, tree = np.array([1.0, 2.0]), Hierarchy("room", "classroom", EDGE)
    tree.add_group("room", 2, "device", TABLET, WIFI, down_bits_per_s=rates, seat=np.array([3, 4]))
    rates[0] = -1.0
    (group,) = tree.groups()
    assert group.down_bits_per_s.tolist() == [1.0, 2.0]
    for array in (group.down_bits_per_s, group.attributes["seat"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_groups_are_kept_in_files(room, tmp_path):
    room.add_group("room", 2, "device", LAPTOP, WIFI, seat=np.array([4, 5]), word=np.array(["a", "b"]), tags=["x"])
    room.add("room/sensor", "room", "device", "raspberry_pi5", WIFI)
    write_json(room, tmp_path / "tree.json")
    again = read_json(tmp_path / "tree.json")
    assert [e if isinstance(e, str) else e.name for e in again.entries()] == [
        "room", "room/pi", "room/tablet", "room/last", "room/laptop", "room/sensor",
    ]  # fmt: skip
    assert facts(again) == facts(room)
    assert facts(again.unfolded()) == facts(room.unfolded())
    write_json(again, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "tree.json").read_bytes()
    document = json.loads((tmp_path / "tree.json").read_text())
    assert len(nx.node_link_graph(document, edges="edges")) == 6  # a group is a node to other programs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "room/tablet: count must be a whole number >= 1, got 0"),
        ({"members": {"up_bits_per_s": ["a", 2, 3]}}, "room/tablet: up_bits_per_s must be a number or 3 of them"),
        ({"members": {"up_bits_per_s": [10**400, 2, 3]}}, "room/tablet: up_bits_per_s must be a number or 3 of them"),
        ({"members": {"up_bits_per_s": [1, 2, 0]}}, "room/tablet2: up_bits_per_s must be > 0 and finite, got 0"),
        ({"members": {"seat": [1]}}, "room/tablet: attribute 'seat' must hold 3 values, got (1,)"),
        ({"members": {"seat": [[1], [2], [3]]}}, "room/tablet: attribute 'seat' must hold 3 values, got (3, 1)"),
        ({"members": {"seat": 1}}, "node 'room/tablet': members: seat must be a list, got 1"),
        ({"members": [1]}, "node 'room/tablet': members must be an object of lists"),
        ({"members": {"name": [1, 2, 3]}}, "node 'room/tablet': an attribute of a group cannot be called 'name'"),
        ({"attributes": {"count": 1}}, "node 'room/tablet': an attribute of a group cannot be called 'count'"),
        ({"id": "room/pi", "members": {}}, "node 'room/pi': there are two nodes of this name"),
    ],
)
def test_mistakes_in_the_entry_of_a_group_are_named(room, tmp_path, change, message):
    path = tmp_path / "tree.json"
    write_json(room, path)
    document = json.loads(path.read_text())
    (entry,) = (node for node in document["nodes"] if "count" in node)
    entry.update(change)
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read_json(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_a_group_has_no_children_and_only_a_group_has_members(room, tmp_path):
    path = tmp_path / "tree.json"
    write_json(room, path)
    document = json.loads(path.read_text())
    under = {"id": "x", "tier": "x", "profile": TABLET}
    for change, message in (
        ({"nodes": [*document["nodes"], under],
          "edges": [*document["edges"], {"source": "room/tablet", "target": "x", "link": WIFI}]},
         "edge to 'x': 'room/tablet' is a group; its members are leaves"),
        ({"nodes": [document["nodes"][0] | {"count": 2}, *document["nodes"][1:]]},
         "node 'room': a group cannot be the root"),
        ({"nodes": [document["nodes"][0] | {"members": {}}, *document["nodes"][1:]]},
         "node 'room': members are of a group, which has a count"),
    ):  # fmt: skip
        path.write_text(json.dumps(document | change))
        with pytest.raises(ValueError) as error:  # noqa: PT011
            read_json(path)
        assert str(error.value) == f"{path}: {message}"


def test_profiles_of_groups_change_with_the_others(room):
    """Twice as fast a link is twice as fast for every member, grouped or not."""
    from dataclasses import replace

    def faster(wire):
        return replace(wire, up_bits_per_s=2 * wire.up_bits_per_s)

    def greedy(profile):
        return replace(profile, busy_watts=99.0)

    twin = room.with_profiles(greedy, faster)
    assert twin.groups()[0].profile.busy_watts == 99.0
    assert twin.groups()[0].up_bits_per_s.tolist() == [2e6, 4e6, 6e6]
    assert facts(twin.unfolded()) == facts(room.unfolded().with_profiles(greedy, faster))


@pytest.mark.parametrize(
    "build",
    [
        lambda mix, **how: classroom(7, mix, **how),
        lambda mix, **how: campus(3, 5, mix, **how),
        lambda mix, **how: district(2, 3, 4, mix, **how),
        lambda mix, **how: star(9, mix, **how),
    ],
)
def test_schools_are_built_of_groups_too(build):
    """With one profile, to the name; with a mix, every room has as many of each."""
    assert facts(build(TABLET, grouped=True).unfolded()) == facts(build(TABLET))
    mix = {TABLET: 0.5, LAPTOP: 0.5}
    folded, plain = build(mix, seed=3, grouped=True), build(mix, seed=3)
    assert folded.population == len(plain)
    for room in plain.nodes("classroom") or ("cloud",):
        profiles = [plain.profile(node) for node in plain.children(room)]
        assert {g.profile: g.count for g in folded.groups(room)} == {p: profiles.count(p) for p in profiles}


def test_two_sorts_of_one_word_are_two_groups():
    room = classroom(10, {"chromebook_n100": 0.5, "chromebook_n4500": 0.5}, grouped=True)
    names = {group.name: group.profile.name for group in room.groups()}
    assert len(names) == 2
    assert {names.pop("room0/chromebook"), *names.values()} == {"chromebook_n100", "chromebook_n4500"}
    assert list(names) == [f"room0/{profile}-" for profile in names.values()]
    assert len(room.unfolded()) == 11


def test_a_group_holds_what_its_profile_is():
    tree = classroom(4, TABLET, grouped=True)
    (group,) = tree.groups()
    assert (group.profile, group.link, group.up_bits_per_s) == (device(TABLET), link(WIFI), None)
    assert group.link_of(3) is link(WIFI)
