"""Who hears whom: graphs and who to connect, paths against brute force, matrices in closed form, links that change."""

from itertools import combinations, pairwise
from math import cos, hypot, inf, pi, sqrt

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies import Hierarchy, read_json, write_json
from topologies.mixing import laplacian, metropolis, spectral_radius
from topologies.profiles import DeviceProfile, LinkProfile
from topologies.relays import Given, best, drawn, first, gather_seconds, paths_from, paths_to, timed, tree_of
from topologies.sideways import (
    at_random,
    check_connected,
    clusters,
    everyone,
    join,
    metres,
    neighbours,
    ring,
    spanning,
    upward,
    within,
)
from topologies.varying import Flickering, Wandering, steady

TABLET = DeviceProfile("tablet", "device", 1e9, 0.5, 1, 1e9, 1e9, 1, 2)


def link(up, down=None, latency=0.0):
    return LinkProfile(f"{up}/{down}", "radio", up, down or up, latency_seconds=latency)


def siblings(names, pairs=(), **attributes):
    tree = Hierarchy("room", "room")
    for name in names:
        own = {key: values[name] for key, values in attributes.items() if name in values}
        tree.add(name, "room", "device", TABLET, link(1), **own)
    for a, b, *profile in pairs:
        tree.connect(a, b, profile[0] if profile else link(1))
    return tree


@st.composite
def graphs(draw):
    """A directed graph of up to six nodes with random seconds, each direction its own."""
    n, seed = draw(st.integers(2, 6)), draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    names = "abcdef"[:n]
    pairs = [(a, b, link(*rng.uniform(1, 9, 2))) for a, b in combinations(names, 2) if rng.random() < 0.6]
    return timed(neighbours(siblings(names, pairs), names), lambda profile: 1.0)


def length(graph, path):
    return sum(graph.edges[hop]["seconds"] for hop in pairwise(path))


def test_siblings_are_divided_by_their_attribute():
    tree = siblings("abcde", cluster={"a": 1, "b": 2, "d": 1})
    assert clusters(tree, tree.children("room")) == (("a", "d"), ("b",), ("c", "e"))
    assert clusters(tree, ("c", "e")) == (("c", "e"),)
    assert clusters(tree, ()) == ()


def test_up_is_as_connected_whatever_happens_to_the_tree(tmp_path):
    tree = siblings("abc", [("b", "a", link(8, 2, 0.5))])
    write_json(tree, tmp_path / "tree.json")
    for same in (
        tree,
        tree.unfolded(),
        read_json(tmp_path / "tree.json"),
        tree.with_profiles(lambda d: d, lambda w: w),
    ):
        assert (upward(same, "b", "a"), upward(same, "a", "b")) == (True, False)
        assert (upward(same, "a", "room"), upward(same, "room", "a")) == (True, False)
        graph = timed(neighbours(same, "abc"), lambda profile: 4.0)
        assert {(a, b): d["seconds"] for a, b, d in graph.edges(data=True)} == {
            ("a", "b"): 0.5 + 32 / 2, ("b", "a"): 0.5 + 32 / 8,
        }  # fmt: skip
    assert list(neighbours(tree, "ca")) == ["c", "a"]
    assert not neighbours(tree, "ca").edges


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_paths_are_the_quickest_and_make_trees(graph):
    for head in graph:
        for found, way in (
            (paths_to(graph, head), lambda n, h: (n, h)),
            (paths_from(graph, head), lambda n, h: (h, n)),
        ):
            for node in graph:
                ends = way(node, head)
                all_ways = (
                    [length(graph, path) for path in nx.all_simple_paths(graph, *ends)] if node != head else [0.0]
                )
                assert (node in found) == bool(all_ways)
                if all_ways:
                    assert (found[node][0], found[node][-1]) == ends
                    assert length(graph, found[node]) == pytest.approx(min(all_ways))
            onward = tree_of(found)
            assert sorted(child for children in onward.values() for child in children) == sorted(set(found) - {head})
        reach = [
            min((length(graph, p) for p in nx.all_simple_paths(graph, n, head)), default=inf)
            for n in graph
            if n != head
        ]
        assert gather_seconds(graph, head) == pytest.approx(max(reach))


@settings(max_examples=30, deadline=None)
@given(graphs())
def test_the_best_head_gathers_soonest(graph):
    random = np.random.default_rng(0)
    assert gather_seconds(graph, best(graph, random)) == min(gather_seconds(graph, node) for node in graph)


def test_heads_first_drawn_and_given():
    graph = neighbours(siblings("abc", [("a", "b"), ("b", "c")]), "bac")
    random = np.random.default_rng(0)
    assert first(graph, random) == "b"
    draws = [drawn(graph, random) for _ in range(300)]
    assert all(abs(draws.count(name) - 100) < 4 * sqrt(300 * 2 / 9) for name in "abc")
    assert Given(("x", "c"))(graph, random) == "c"
    assert Given(("x",))(graph, random) is None


def test_rings_everyone_and_who_is_near():
    places = {"a": (0, 0), "b": (3, 4), "c": (3, 0), "d": (9, 9)}
    tree = siblings(
        "abcd", x_metres={n: p[0] for n, p in places.items()}, y_metres={n: p[1] for n, p in places.items()}
    )
    assert ring("abcd") == (("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"))
    assert (ring("ab"), ring("a")) == ((("a", "b"),), ())
    assert len(everyone("abcd")) == 6
    assert within(tree, "abcd", 4.0) == (("a", "c"), ("b", "c"))
    assert within(tree, "abcd", 5.0) == (("a", "b"), ("a", "c"), ("b", "c"))
    join(tree, within(tree, "abcd", 4.0), link(5))
    join(tree, within(tree, "abcd", 5.0), link(6), medium="air")
    assert tree.sideways == (("a", "c"), ("b", "c"), ("a", "b"))
    assert (tree.medium("a", "c"), tree.medium("a", "b")) == (None, "air")
    with pytest.raises(ValueError, match="room: nobody knows where it is"):
        metres(tree)("a", "room")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_a_spanning_tree_is_the_shortest_of_all(seed):
    names = "abcde"
    lengths = {
        frozenset(pair): v
        for pair, v in zip(combinations(names, 2), np.random.default_rng(seed).random(10), strict=True)
    }
    total = lambda pairs: sum(lengths[frozenset(pair)] for pair in pairs)  # noqa: E731
    trees = [
        pairs
        for pairs in combinations(combinations(names, 2), 4)
        if nx.is_tree(nx.Graph(list(pairs))) and len({n for p in pairs for n in p}) == 5
    ]
    found = spanning(names, lambda a, b: lengths[frozenset((a, b))])
    assert total(found) == pytest.approx(min(map(total, trees)))


def test_random_links():
    names = [f"n{k}" for k in range(30)]
    regular = nx.Graph(list(at_random(names, 1, degree=4)))
    assert set(dict(regular.degree).values()) == {4}
    assert nx.is_connected(regular)
    pairs = at_random(names, 1, probability=0.3)
    assert abs(len(pairs) - 0.3 * 435) < 4 * sqrt(435 * 0.21)
    assert pairs == at_random(names, 1, probability=0.3) != at_random(names, 2, probability=0.3)
    for wrong, message in [({}, "either degree or probability"), ({"degree": 1, "probability": 1}, "either"),
                           ({"degree": 3}, "5 nodes cannot have 3 neighbours"), ({"probability": 0.0}, "> 0 and <= 1"),
                           ({"probability": 1e-9}, "no connected graph")]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            at_random(names[:5], 1, **wrong)


def test_who_is_not_connected_is_refused():
    check_connected(siblings("a"), "a")
    check_connected(siblings("abc", [("a", "b"), ("c", "b")]), "abc")
    with pytest.raises(ValueError, match="a and its siblings have no sideways links; make some"):
        check_connected(siblings("abc"), "abc")
    with pytest.raises(ValueError, match="a cannot reach c over the sideways links"):
        check_connected(siblings("abcd", [("a", "b"), ("c", "d")]), "abcd")


@settings(max_examples=30, deadline=None)
@given(graphs(), st.sampled_from([1.01, 2.0, 5.0]))
def test_matrices_mix_and_keep_the_mean(graph, c):
    for v in (laplacian(graph, c), metropolis(graph)):
        np.testing.assert_allclose(v, v.T)
        np.testing.assert_allclose(v.sum(axis=1), 1)
        order = list(graph)
        linked = {(a, b) for a, b in graph.edges}
        assert all(
            (v[i, j] != 0) == ((a, b) in linked) for i, a in enumerate(order) for j, b in enumerate(order) if i != j
        )
        radius = spectral_radius(v)
        assert (radius < 1 - 1e-12) == nx.is_strongly_connected(graph)


def test_spectral_radius_of_rings_and_pairs():
    for n, c in [(4, 2.0), (5, 1.5), (7, 3.0)]:
        names = [f"n{k}" for k in range(n)]
        graph = neighbours(siblings(names, ring(names)), names)
        step = 1 / (c * 2)
        eigenvalues = [1 - step * (2 - 2 * cos(2 * pi * k / n)) for k in range(1, n)]
        assert spectral_radius(laplacian(graph, c)) == pytest.approx(max(map(abs, eigenvalues)))
    two = neighbours(siblings("ab", [("a", "b")]), "ab")
    np.testing.assert_array_equal(metropolis(two), [[0.5, 0.5], [0.5, 0.5]])
    assert spectral_radius(metropolis(two)) == pytest.approx(0, abs=1e-15)
    np.testing.assert_array_equal(laplacian(neighbours(siblings("a"), "a")), [[1.0]])
    with pytest.raises(ValueError, match="c must be > 1, got 1"):
        laplacian(two, 1.0)


def test_links_that_flicker_are_there_as_often_as_said():
    names = [f"n{k}" for k in range(6)]
    graph = neighbours(siblings(names, everyone(names)), names)
    assert steady(graph, 1, "t", 0.0) is graph
    count = 0
    for turn in map(str, range(100)):
        now = Flickering(0.3)(graph, 1, turn, 0.0)
        assert list(now) == names
        assert all((b, a) in now.edges and now.edges[a, b] == graph.edges[a, b] for a, b in now.edges)
        assert now.edges == Flickering(0.3)(graph, 1, turn, 9.0).edges
        count += len(now.edges) // 2
    assert abs(count - 0.3 * 1500) < 4 * sqrt(1500 * 0.21)
    with pytest.raises(ValueError, match="probability must be > 0 and <= 1, got 2"):
        Flickering(2)


def test_who_wanders_walks_straight_at_its_speed_and_hears_who_is_near():
    names = ["a", "b", "c"]
    graph = neighbours(siblings(names, everyone(names)), names)
    walk = Wandering(width_metres=30, height_metres=20, metres_per_s=2.0, range_metres=12)
    steps = np.array([[walk.place(1, name, 0.1 * k) for k in range(1000)] for name in names])
    assert (steps >= 0).all()
    assert (steps <= [30, 20]).all()
    moved = np.hypot(*np.moveaxis(np.diff(steps, axis=1), -1, 0))
    assert moved.max() <= 0.2 + 1e-9
    assert np.isclose(moved, 0.2).mean() > 0.95  # but where it turns
    seen = set()
    for k in range(0, 1000, 10):
        near = {
            (a, b)
            for i, a in enumerate(names)
            for j, b in enumerate(names)
            if i != j and hypot(*(steps[i, k] - steps[j, k])) <= 12
        }
        assert set(walk(graph, 1, "any", 0.1 * k).edges) == near
        seen.add(len(near))
    assert len(seen) > 1
    with pytest.raises(ValueError, match="metres_per_s must be > 0 and finite, got 0"):
        Wandering(1, 1, 0, 1)
