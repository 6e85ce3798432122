"""What the stored rows of question scripts show; `test_golden` holds the rows to what the scripts give."""

import json
from pathlib import Path

import pytest


def rows(script, key):
    stored = json.loads(Path(__file__).with_name(f"{script}.json").read_text())
    return {row[key]: row for row in stored["rows"]}


def test_the_gap_falls_as_theta_grows_at_a_fifth_of_the_uplinks():
    found = rows("mhfl_consensus", "theta")
    last = [key for key in found["1"] if key.startswith("gap")][-1]
    assert found["1"][last] > found["5"][last] > found["adaptive"][last]
    everyone = found.pop("none: all report")["uplinks"]
    assert {row["uplinks"] for row in found.values()} == {everyone * 16 / 75}  # one of each of the 16 clusters


def test_a_star_stalls_when_its_edge_dies_and_peers_go_on():
    found = rows("edge_failure", "way")
    star, peers = found["one edge (star)"], found["gossip, no server"]
    assert star["accuracy then"] == star["at the end"]
    assert star["last score at s"] <= star["dies at s"]
    assert peers["at the end"] > peers["accuracy then"]
    assert peers["last score at s"] == pytest.approx(2 * peers["dies at s"], rel=0.1)


def test_consensus_makes_up_for_most_reports():
    """A tenth of the synchronisations, and one of the five tablets of a classroom for all."""
    found = rows("tthf", "way")
    often, sampled, tthf = (found[w] for w in ("FedAvg, every turn", "one of 5, no consensus", "TT-HF"))
    assert often["uplinks"] == 50 * tthf["uplinks"]
    assert sampled["uplinks"] == tthf["uplinks"]
    assert tthf["accuracy"] > sampled["accuracy"] + 0.1
