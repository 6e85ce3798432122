"""Links beside the tree as a scenario gives them: on several tiers, and at rates by the distance of their ends."""

from collections import Counter
from itertools import combinations
from math import hypot, log2, log10

import pytest

from experiments.build import build
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError
from experiments.schema.placing import placed
from topologies import write_json

MH_FL = """\
title: Clusters on three tiers
topology: {kind: district, campuses: 3, classrooms: 4, devices: 5}
profiles: {links: {d2d: {based_on: wifi_direct, up_bits_per_s: 1 Mbit/s, down_bits_per_s: 1 Mbit/s}}}
d2d:
  - {link: d2d, neighbours: ring}
  - {link: d2d, neighbours: ring, tier: classroom}
  - {link: d2d, neighbours: everyone, tier: campus}
model: {footprint: {head: {bytes: 1000, flops: 1e9}}}
plan:
  classroom: {modules: [head], peers: {kind: consensus, rounds: 2}}
  campus: {modules: [head], peers: {kind: consensus, rounds: 1}}
  cloud: {modules: [head], rounds: 2, peers: {kind: consensus, rounds: 3}}
plots: false
"""


def test_links_on_every_tier(tmp_path):
    """MH-FL's network: one of each cluster reports, 12 + 3 + 1 a round; two messages for each link and D2D round."""
    (tmp_path / "s.yaml").write_text(MH_FL)
    built = build(Scenario.load(tmp_path / "s.yaml"))
    tree, tiers = built.hierarchy, [built.hierarchy.tier(a) for a, _ in built.hierarchy.sideways]
    assert Counter(tiers) == {"device": 12 * 5, "classroom": 3 * 4, "campus": 3}
    assert all(tree.parent(a) == tree.parent(b) for a, b in tree.sideways)
    spans = run(built.scenario).spans
    sent = spans[spans.kind == "transmit"]
    assert (sent.activity == "up").sum() == 2 * (12 + 3 + 1)
    assert (sent.activity == "sideways").sum() == 2 * 2 * (60 * 2 + 12 * 1 + 3 * 3)
    assert Scenario.model_validate(built.scenario.dump()) == built.scenario


PLACED = """\
title: In a room
seed: 5
topology: {kind: classroom, devices: 5, device: android_tablet_budget}
radio: {model: tgax, bandwidth: 40 MHz, streams: 2, transmit_power: 15 dBm, ap_power: 20 dBm, shadowing: false,
  room: {width: 60 m, depth: 10 m}}
d2d: {link: wifi_direct, radio: {model: log_distance, reference_loss: 47 dB, exponent: 3, shadowing: false,
  bandwidth: 20 MHz, streams: 1, transmit_power: 0 dBm, rates: shannon, cap: 6, out_of_range: exclude}}
model: {footprint: {head: {bytes: 1000, flops: 1e9}}}
plan: {classroom: {modules: [head], rounds: 2}}
plots: false
"""


def test_rates_beside_the_tree_follow_from_the_distance_of_their_ends(tmp_path):
    """Shannon by hand: 0 dBm - 47 dB - 30 dB per decade of metres over -174 dBm/Hz, 20 MHz and 7 dB, at 0.65."""
    (tmp_path / "s.yaml").write_text(PLACED)
    tree = build(Scenario.load(tmp_path / "s.yaml")).hierarchy
    noise = 10 * log10(1.380649e-23 * 290 * 20e6) + 30 + 7
    heard = set()
    for a, b in combinations(tree.leaves, 2):
        (x, y), (u, v) = ((tree.attributes(n)["x_metres"], tree.attributes(n)["y_metres"]) for n in (a, b))
        snr_db = 0 - 47 - 30 * log10(max(hypot(x - u, y - v), 1.0)) - noise
        if snr_db < -10:
            continue
        heard.add((a, b))
        link, rate = tree.link(a, b), 0.65 * 20e6 * min(log2(1 + 10 ** (snr_db / 10)), 6)
        assert link.up_bits_per_s == link.down_bits_per_s == pytest.approx(rate, rel=1e-3)
        assert tree.channel(a, b).metres == pytest.approx(hypot(x - u, y - v))
    assert set(tree.sideways) == heard
    assert len({tree.link(a, b).up_bits_per_s for a, b in heard}) > 3


def test_a_link_fades_alike_in_both_directions(tmp_path):
    text = PLACED.replace("out_of_range: exclude", "out_of_range: exclude, fading: {kind: rayleigh, over: outage}")
    (tmp_path / "s.yaml").write_text(text)
    tree = build(Scenario.load(tmp_path / "s.yaml")).hierarchy
    channels = [tree.channel(a, b) for a, b in tree.sideways]
    assert all(channel.up_snr_db == channel.down_snr_db for channel in channels)
    assert len({channel.up_snr_db for channel in channels}) > 3


def test_peers_out_of_range_are_refused_unless_they_may_be_left_out(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(PLACED.replace("0 dBm, rates", "-40 dBm, rates").replace("exclude", "refuse"))
    told = r"s.yaml:6: d2d: room0/tablet0 - room0/tablet1: .* are out of range"
    with pytest.raises(ScenarioError, match=told), placed(path):
        build(Scenario.load(path))
    path.write_text(PLACED.replace("streams: 1", "streams: 1, ap_power: 9 dBm"))
    with pytest.raises(ScenarioError, match=r"s.yaml:6: d2d.radio: ap_power: peers have no access point; leave it out"):
        Scenario.load(path)


def test_links_that_fade_for_every_message_still_carry_them_and_no_file_can_hold_them(tmp_path):
    text = PLACED.replace("out_of_range: exclude", "out_of_range: exclude, fading: {kind: rayleigh, over: outage}")
    text = text.replace("0 dBm, rates", "10 dBm, rates").replace("rounds: 2", "rounds: 2, peers: {kind: consensus}")
    (tmp_path / "s.yaml").write_text(text)
    result = run(Scenario.load(tmp_path / "s.yaml"))
    sent = result.spans[(result.spans.activity == "sideways") & (result.spans.kind == "transmit")]
    assert len(sent) == 2 * 2 * len(result.built.hierarchy.sideways)
    seconds = (sent.end_s - sent.start_s).round(9).groupby([sent.node, sent.peer])
    assert (seconds.nunique() > 1).any()  # the same message over the same link, in two rounds
    with pytest.raises(ValueError, match="the file cannot hold how its link fades"):
        write_json(result.built.hierarchy, tmp_path / "tree.json")
