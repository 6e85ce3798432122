import json
from dataclasses import replace

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies import Hierarchy, device, devices, district, link, links, read_json, write_json
from topologies.hierarchy import RESERVED
from topologies.nodelink import as_dict, from_dict

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
attributes = st.dictionaries(names.filter(lambda name: name not in RESERVED), plain, max_size=2)
device_profiles = st.builds(
    lambda profile, watts: replace(profile, busy_watts=profile.busy_watts + watts),
    st.sampled_from(list(devices().values())),
    st.floats(0, 1e6),
)
link_profiles = st.builds(
    lambda profile, rate: replace(profile, up_bits_per_s=rate),
    st.sampled_from(list(links().values())),
    st.floats(1e-3, 1e15),
)


@st.composite
def hierarchies(draw) -> Hierarchy:
    ids = draw(st.lists(names, min_size=1, max_size=12, unique=True))
    tree = Hierarchy(ids[0], "0", draw(st.none() | device_profiles), **draw(attributes))
    for index, node in enumerate(ids[1:], start=1):
        parent = ids[draw(st.integers(0, index - 1))]
        tier = str(tree.depth(parent) + 1)
        tree.add(node, parent, tier, draw(device_profiles), draw(link_profiles), **draw(attributes))
    for a, b in draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=6)):
        if a != b and not tree.graph.has_edge(a, b):
            tree.connect(a, b, draw(link_profiles), draw(st.none() | names))
    return tree


def everything(tree):
    """All that can be asked of a hierarchy, in order."""
    nodes = [
        (
            node,
            tree.parent(node),
            tree.children(node),
            tree.peers(node),
            tree.tier(node),
            tree.profile(node),
            tree.cell(node),
        )
        for node in tree.nodes()
    ]
    kept = [dict(tree.attributes(node)) for node in tree.nodes()]
    edges = {frozenset(ends): (tree.link(*ends), tree.medium(*ends)) for ends in tree.graph.edges}
    return tree.root, tree.tiers, nodes, kept, edges, tree.sideways


@settings(max_examples=60, deadline=None)
@given(hierarchies())
def test_a_file_holds_everything(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("round") / "tree.json"
    write_json(tree, path)
    again = read_json(path)
    assert everything(again) == everything(tree)
    before = path.read_bytes()
    write_json(again, path)
    assert path.read_bytes() == before


def test_networkx_reads_the_file(tmp_path):
    tree = district(campuses=2, classrooms=2, devices=2)
    write_json(tree, tmp_path / "tree.json")
    graph = nx.node_link_graph(json.loads((tmp_path / "tree.json").read_text(encoding="utf-8")), edges="edges")
    assert nx.utils.graphs_equal(nx.Graph(graph.edges()), nx.Graph(tree.graph.edges()))


def test_a_file_written_by_hand():
    document = {
        "nodes": [
            {
                "id": "room/tablet",
                "tier": "device",
                "profile": {"based_on": "slow", "name": "mine", "radios": ["ble5"]},
            },
            {"id": "room", "tier": "classroom", "profile": "classroom_edge_box"},
        ],
        "edges": [{"source": "room", "target": "room/tablet", "link": {"based_on": "eth_1g", "latency_seconds": 1}}],
        "graph": {"devices": {"slow": {"based_on": "raspberry_pi5", "flops_per_s": 1e9}}},
    }
    tree = from_dict(document)
    assert tree.nodes() == ("room", "room/tablet")
    expected = replace(device("raspberry_pi5"), flops_per_s=1e9, name="mine", radios=("ble5",))
    assert tree.profile("room/tablet") == expected
    assert tree.link("room", "room/tablet") == replace(link("eth_1g"), latency_seconds=1)


def test_profiles_of_one_name_are_told_apart():
    tree = Hierarchy("room", "classroom", "classroom_edge_box")
    for watts in (20.0, 30.0):
        profile = replace(device("laptop_i5u"), busy_watts=watts)
        tree.add(f"room/{watts:g}", "room", "device", profile, "eth_1g")
    assert [node["profile"] for node in as_dict(tree)["nodes"]] == ["classroom_edge_box", "laptop_i5u", "laptop_i5u#2"]
    assert [from_dict(as_dict(tree)).profile(leaf).busy_watts for leaf in tree.leaves] == [20.0, 30.0]


def test_attributes_that_json_cannot_hold_are_refused_and_nothing_is_written(tmp_path):
    tree = Hierarchy("room", "classroom", seats=(1, 2))
    with pytest.raises(ValueError, match=r"^node 'room': JSON cannot hold attribute 'seats', \(1, 2\)$"):
        write_json(tree, tmp_path / "tree.json")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="cannot be written"):
        write_json(Hierarchy("room", "classroom"), tmp_path / "absent" / "tree.json")


def node(name, tier="device", profile="laptop_i5u", **more):
    return {"id": name, "tier": tier, "profile": profile, **more}


def edge(source, target, link="eth_1g", **more):
    return {"source": source, "target": target, "link": link, **more}


A, B, C = node("a", "cloud"), node("b", "campus"), node("c", "room")


@pytest.mark.parametrize(
    ("nodes", "edges", "graph", "message"),
    [
        ([A, B], [edge("a", "b"), edge("b", "a")], {}, "there is a cycle: 'b' -> 'a' -> 'b'"),
        ([A, B, C], [edge("b", "c"), edge("c", "b")], {}, "there is a cycle: 'c' -> 'b' -> 'c'"),
        ([A, B, C], [edge("a", "b")], {}, "node 'c' is an orphan: no edge leads to it"),
        ([A, B, C, node("d")], [edge("a", "b"), edge("c", "d")], {}, "there are two roots: 'a' and 'c'"),
        ([A, B], [edge("a", "b")], {"root": "b"}, "graph: root 'b' has a parent, 'a'"),
        ([A, B], [edge("a", "b")], {"root": "z"}, "graph: root is an unknown node, 'z'"),
        ([A, B, C], [edge("a", "b"), edge("a", "c"), edge("b", "c")], {}, "node 'c' has two parents: 'a' and 'b'"),
        ([A, B], [edge("z", "b")], {}, "edges[0]: source is an unknown node, 'z'"),
        ([A, A], [], {}, "node 'a': there are two nodes of this name"),
        ([], [], {}, "nodes: there are none"),
        ([{"id": "a"}], [], {}, "node 'a': key 'tier' is missing"),
        ([{"tier": "x"}], [], {}, "nodes[0]: key 'id' is missing"),
        ([{"id": 3, "tier": "x"}], [], {}, "nodes[0]: id must be a text, got 3"),
        ([7], [], {}, "nodes[0] must be an object, got 7"),
        ({}, [], {}, "nodes must be a list, got {}"),
        ([node("a", tier=3)], [], {}, "a: tier must be a text, got 3"),
        ([node("a", "x"), node("b", "x")], [edge("a", "b")], {}, "b: tier 'x' cannot be below itself"),
        ([node("a", tears=3)], [], {}, "node 'a': unknown key 'tears'; did you mean 'tier'?"),
        ([A], [], {"rot": "a"}, "graph: unknown key 'rot'; did you mean 'root'?"),
        (
            [node("a", profile="laptop")],
            [],
            {},
            "node 'a': unknown device profile 'laptop'; did you mean 'laptop_i5u'?",
        ),
        ([A, node("b", profile=None)], [edge("a", "b")], {}, "node 'b': profile must be an object, got None"),
        ([A, B], [edge("a", "b", "eth1g")], {}, "edge to 'b': unknown link profile 'eth1g'; did you mean 'eth_1g'?"),
        (
            [A, B],
            [edge("a", "b", {"based_on": "eth_1g", "up_bits_per_s": 0})],
            {},
            "edge to 'b': eth_1g: up_bits_per_s must be > 0, got 0",
        ),
        (
            [node("a", profile={"based_on": "laptop_i5u", "flops_per_s": -1})],
            [],
            {},
            "node 'a': laptop_i5u: flops_per_s must be > 0, got -1",
        ),
        (
            [node("a", profile={"based_on": "laptop_i5u", "flops": 1})],
            [],
            {},
            "node 'a': profile: unknown key 'flops'; did you mean 'flops_per_s'?",
        ),
        ([node("a", profile={"name": "x"})], [], {}, "node 'a': profile: key 'kind' is missing"),
        (
            [A],
            [],
            {"devices": {"x": "lapto"}},
            "graph.devices: 'x': unknown device profile 'lapto'; did you mean 'laptop_i5u'?",
        ),
        ([A], [], {"links": []}, "graph: links must be an object, got []"),
        ([A, B, C], [edge("a", "b"), edge("a", "c"), edge("b", "b", sideways=True)], {}, "b: a link needs two ends"),
        ([A, B], [edge("a", "b"), edge("b", "a", sideways=True)], {}, "b and a are already linked"),
        ([A, B], [edge("a", "b", sideways="no")], {}, "edges[0]: sideways must be true or false, got 'no'"),
        (
            [A, B],
            [edge("a", "b", medium="air")],
            {},
            "edges[0]: medium is for sideways edges; children on one shared link share a cell",
        ),
        (
            [node("a", attributes={"link": 1})],
            [],
            {},
            "node 'a': attributes must be an object without link, node, parent, profile, root, self, tier",
        ),
    ],
)
def test_impossible_hierarchies(tmp_path, nodes, edges, graph, message):
    path = tmp_path / "tree.json"
    path.write_text(json.dumps({"nodes": nodes, "edges": edges, "graph": graph}), encoding="utf-8")
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read_json(path)
    assert str(error.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"nodes": [],\n"edges": [}', ":2: not JSON: Expecting value"),
        ("", ":1: not JSON: Expecting value"),
        ("[]", ": file must be an object, got []"),
        ('{"nodes": []}', ": file: key 'edges' is missing"),
        ('{"nodes": [], "nodes": []}', ": key 'nodes' is there twice"),
        ('{"nodes": NaN}', ": a number must be finite, got NaN"),
        ('{"nodes": 1e999}', ": a number must be finite, got 1e999"),
        ("[" * 200_000, ": nested too deeply"),
    ],
)
def test_files_that_are_not_hierarchies(tmp_path, text, message):
    path = tmp_path / "tree.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read_json(path)
    assert str(error.value) == f"{path}{message}"


def test_files_that_are_absent_or_not_text(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.json: cannot be read: No such file"):
        read_json(tmp_path / "absent.json")
    (tmp_path / "tree.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match=r"tree\.json: 'utf-8' codec can't decode"):
        read_json(tmp_path / "tree.json")
