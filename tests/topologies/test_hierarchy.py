from dataclasses import replace

import networkx as nx
import pytest

from topologies import Hierarchy, device, link

TABLET, EDGE, WIFI, WIRE = "android_tablet_budget", "classroom_edge_box", "wifi6_40mhz_2x2", "campus_10g"


@pytest.fixture
def school() -> Hierarchy:
    tree = Hierarchy("cloud", "cloud")
    tree.add("oak", "cloud", "campus", "campus_l4", "wan_cloud_near", institution="oak")
    tree.add("oak/a", "oak", "classroom", EDGE, WIRE)
    tree.add("oak/b", "oak", "classroom", EDGE, WIRE)
    for name in ("b/1", "a/1", "a/2"):
        tree.add(f"oak/{name}", f"oak/{name[0]}", "device", TABLET, WIFI)
    return tree


def test_the_tree(school):
    assert school.root == "cloud"
    assert school.nodes() == ("cloud", "oak", "oak/a", "oak/b", "oak/b/1", "oak/a/1", "oak/a/2")
    assert school.nodes("device") == school.leaves == ("oak/b/1", "oak/a/1", "oak/a/2")
    assert school.tiers == ("cloud", "campus", "classroom", "device")
    assert school.parent("cloud") is None
    assert school.parent("oak/a/1") == "oak/a"
    assert school.children("oak/a") == ("oak/a/1", "oak/a/2")
    assert school.children("oak/a/1") == ()
    assert school.descendants("cloud") == ["oak", "oak/a", "oak/a/1", "oak/a/2", "oak/b", "oak/b/1"]
    assert school.path_up("oak/a/1", "oak") == ["oak/a/1", "oak/a", "oak"]
    assert school.path_up("oak/a/1") == ["oak/a/1", "oak/a", "oak", "cloud"]
    assert [school.depth(node) for node in ("cloud", "oak", "oak/a", "oak/a/1")] == [0, 1, 2, 3]
    assert (len(school), "oak" in school, "elm" in school) == (7, True, False)
    assert repr(school) == "<Hierarchy cloud: 7 nodes in cloud > campus > classroom > device>"


def test_what_nodes_and_links_are(school):
    assert school.tier("oak") == "campus"
    assert school.profile("cloud") is None
    assert school.profile("oak") is device("campus_l4")
    assert school.attributes("oak") == {"institution": "oak"}
    assert school.link("oak", "cloud") is school.link("cloud", "oak") is link("wan_cloud_near")
    assert nx.is_tree(school.graph)
    assert school.graph.nodes["oak"]["tier"] == "campus"


def test_children_on_one_shared_link_share_a_cell(school):
    slow = replace(link(WIFI), name="far corner")
    school.add("oak/a/3", "oak/a", "device", TABLET, slow)
    assert school.cell("oak/a/1") == school.cell("oak/a/2") == f"oak/a|{WIFI}"
    assert school.cell("oak/a/3") == "oak/a|far corner"
    assert school.cell("oak/b/1") == f"oak/b|{WIFI}"
    assert school.cell("oak/a") is school.cell("cloud") is None


def test_links_beside_the_tree(school):
    school.connect("oak/a/2", "oak/a/1", "wifi_direct")
    school.connect("oak/b/1", "oak/a/2", "wifi_direct", medium="channel 36")
    school.connect("oak/a", "oak/b", "eth_1g")
    assert school.peers("oak/a/2") == ("oak/a/1", "oak/b/1")
    assert school.peers("oak/a/1") == ("oak/a/2",)
    assert school.peers("cloud") == ()
    assert school.children("oak/a") == ("oak/a/1", "oak/a/2")
    assert school.sideways == (("oak/a/2", "oak/a/1"), ("oak/b/1", "oak/a/2"), ("oak/a", "oak/b"))
    assert school.medium("oak/a/1", "oak/a/2") == "oak/a/2|oak/a/1|wifi_direct"
    assert school.medium("oak/a/2", "oak/b/1") == "channel 36"
    assert school.medium("oak/a", "oak/b") is None


def test_tiers_keep_their_order_when_branches_skip_one(school):
    school.add("kiosk", "cloud", "device", TABLET, "lte_public")
    school.add("elm", "cloud", "district", "campus_l4", "wan_cloud_near")
    school.add("elm/x", "elm", "campus", "campus_l4", WIRE)
    assert school.tiers == ("cloud", "district", "campus", "classroom", "device")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("oak", "cloud", "campus", EDGE, WIRE), "oak: there are two nodes of this name"),
        (("x", "elm", "campus", EDGE, WIRE), "x: its parent 'elm' is unknown"),
        (("x", "oak/a", "classroom", EDGE, WIRE), "x: tier 'classroom' cannot be below itself"),
        (
            ("x", "oak/a", "campus", EDGE, WIRE),
            "x: tier 'campus' cannot be below 'classroom', which is below 'campus' elsewhere",
        ),
        (
            ("x", "oak/a/1", "cloud", EDGE, WIRE),
            "x: tier 'cloud' cannot be below 'device', which is below 'cloud' elsewhere",
        ),
        (("x", "oak", "classroom", "tower", WIRE), "x: unknown device profile 'tower'"),
        (("x", "oak", "classroom", None, WIRE), "x: unknown device profile None"),
        (
            ("x", "oak", "classroom", EDGE, "campus_1g"),
            "x: unknown link profile 'campus_1g'; did you mean 'campus_10g'?",
        ),
        (("x", "oak", "", EDGE, WIRE), "x: tier must be a text, got ''"),
        (("", "oak", "classroom", EDGE, WIRE), "a node's name must be a text, got ''"),
    ],
)
def test_impossible_nodes_change_nothing(school, arguments, message):
    before = school.nodes(), school.tiers, school.children("oak"), school.graph.number_of_edges()
    with pytest.raises(ValueError) as error:  # noqa: PT011
        school.add(*arguments)
    assert str(error.value) == message
    assert before == (school.nodes(), school.tiers, school.children("oak"), school.graph.number_of_edges())


def test_an_attribute_cannot_take_the_name_of_an_argument():
    with pytest.raises(ValueError, match=r"^cloud: an attribute cannot be called 'link'$"):
        Hierarchy("cloud", "cloud", link=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda tree: tree.connect("oak", "oak", WIFI), "oak: a link needs two ends"),
        (lambda tree: tree.connect("oak/a", "oak", WIFI), "oak/a and oak are already linked"),
        (lambda tree: tree.connect("oak/a", "elm", WIFI), "there is no node 'elm'"),
        (lambda tree: tree.connect("oak/a", "oak/b", "wif"), "oak/a - oak/b: unknown link profile 'wif'"),
        (lambda tree: tree.connect("oak/a", "oak/b", WIFI, medium=""), "oak/a - oak/b: medium must be a text, got ''"),
        (lambda tree: tree.link("oak/a", "oak/b"), "there is no link between oak/a and oak/b"),
        (lambda tree: tree.path_up("oak", "oak/a"), "oak/a is not above oak"),
        (lambda tree: tree.children("elm"), "there is no node 'elm'"),
        (lambda tree: tree.parent(["elm"]), "there is no node ['elm']"),
    ],
)
def test_impossible_questions(school, call, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call(school)
    assert str(error.value) == message


def test_a_link_beside_the_tree_cannot_be_there_twice(school):
    school.connect("oak/a/1", "oak/a/2", "wifi_direct")
    with pytest.raises(ValueError, match=r"^oak/a/2 and oak/a/1 are already linked$"):
        school.connect("oak/a/2", "oak/a/1", "ble_2m")
