"""Placement and channels of the H-FedFM prototype, drawn again from its seed."""

import json
from pathlib import Path
from statistics import median

import pytest

from topologies.profiles import device
from topologies.prototype import Prototype

DRAWN = json.loads(Path(__file__).with_name("prototype.json").read_text())
PROFILES = [device(name) for name in ("laptop_i5u", "classroom_edge_box", "cloud_h100")]


def tree(**conventions):
    return Prototype(*PROFILES, **conventions).tree()


def uplinks(tree, users=40):
    return [tree.link(f"user{u}", tree.parent(f"user{u}")).up_bits_per_s for u in range(users)]


@pytest.mark.parametrize(
    ("rows", "conventions"),
    [(DRAWN["users"], {}), (DRAWN["sibling"], {"users": 5, "within_metres": 800.0, "one_generator": True})],
)
def test_users_are_where_they_are_there_at_the_same_rates(rows, conventions):
    drawn = tree(**conventions)
    for u, (x, y, kilobits) in enumerate(rows):
        where = drawn.attributes(f"user{u}")
        assert (where["x_metres"], where["y_metres"]) == pytest.approx((x, y), rel=1e-12)
        edge = drawn.parent(f"user{u}")
        assert edge == f"edge{u // (len(rows) // 10)}"
        assert drawn.link(f"user{u}", edge).up_bits_per_s == pytest.approx(1000 * kilobits, rel=1e-12)


def test_links_beside_the_tree_are_those_of_the_relay_graph_each_way_at_its_own_rate():
    drawn, found = tree(), {}
    for a, b in drawn.sideways:
        link = drawn.link(a, b)
        found |= {(a, b): link.up_bits_per_s, (b, a): link.down_bits_per_s}
    there = {(f"user{a}", f"user{b}"): 1000 * kilobits for a, b, kilobits in DRAWN["d2d"]}
    assert found == pytest.approx(there, rel=1e-12)


def test_with_the_right_units_and_fading_of_mean_one_radios_are_slower():
    """The prototype's noise is 30 dB too low, its fading 3 dB too strong."""
    rates = uplinks(tree(noise="per_hz", fading="mean_one"))
    assert [min(rates), median(rates), max(rates)] == pytest.approx([2.824e6, 8.390e6, 21.952e6], rel=1e-3)
    assert 48e6 / min(rates) == pytest.approx(17.0, abs=0.05)


def test_the_mean_time_of_a_cluster():
    own, mean = uplinks(tree()), uplinks(tree(uplinks="cluster_mean"))
    assert len(set(mean)) == 10
    for u, rate in enumerate(mean):
        assert 1 / rate == pytest.approx(sum(1 / r for r in own[u // 4 * 4 : u // 4 * 4 + 4]) / 4)


def test_a_star_has_the_same_users_and_no_servers():
    star = tree(star=True)
    assert star.children("cloud") == tuple(f"user{u}" for u in range(40))
    assert star.attributes("user7")["x_metres"] == tree().attributes("user7")["x_metres"]
    assert star.cell("user0") is None
    assert tree(star=True, cloud="shared").cell("user0") == "cloud|to the cloud"


def test_an_empty_cluster_is_refused():
    with pytest.raises(ValueError, match="a cluster needs users"):
        tree(users=0)
