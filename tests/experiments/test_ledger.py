"""The energy ledger of every scenario in the gallery adds up, and a classroom's is what the profiles say."""

import math
import os
from pathlib import Path

import pandas as pd
import pytest

from experiments.cli import GALLERY
from experiments.ledger import node_rows, total_joules
from experiments.run import run
from experiments.scenario import Scenario
from simulator.plan import Deadline, Plan, Stage, TierPlan
from simulator.run import simulate
from simulator.workloads import CostOnly, Size
from topologies.hierarchy import Hierarchy
from topologies.profiles import device, link
from topologies.schools import classroom

QUICK = {
    "first_classroom": {"plots": "false"},
    "campus": {
        "topology.campuses": "2", "topology.classrooms": "2", "topology.devices": "2", "data.public": "1200",
        "plan.cloud.rounds": "2", "stages.0.epochs": "1", "learning.local_epochs": "1", "baselines": "[]",
        "plots": "false",
    },
    "hfedfm": {"costs.idle": "true", "plots": "false"},
    "mhfl": {
        "topology.campuses": "2", "topology.classrooms": "2", "topology.devices": "3", "plan.cloud.rounds": "2",
        "plan.classroom.peers.energy": "link", "plots": "false",  # a broadcast is sent once and arrives several times
    },
    "onboarding": {
        "topology.classrooms": "2", "topology.devices": "3", "stages.0.plan.campus.rounds": "2",
        "stages.1.plan.campus.rounds": "1", "plots": "false",
    },
    "placement_hfedfm": {
        "topology.classrooms": "2", "topology.devices": "2", "stages.0.epochs": "1", "plan.cloud.rounds": "2",
        "plots": "false",
    },
    "school_day": {"plots": "false"},
    "star_schools": {"plan.cloud.rounds": "2", "baselines": "[]", "plots": "false"},
    "vilt_b32": {"plots": "false"},
}  # fmt: skip
KINDS = ("compute", "transmit", "receive")


@pytest.fixture(scope="module", params=sorted(path.stem for path in GALLERY.glob("*.yaml")))
def ledger(request, tmp_path_factory):
    """The files of a quick run of a scenario of the gallery: spans, nodes, manifest."""
    name = request.param
    if name == "star_schools" and not (Path(os.environ.get("EDUFOG_DATA", "nowhere")) / "star.csv").is_file():
        pytest.skip("star.csv is not under $EDUFOG_DATA")
    out = tmp_path_factory.mktemp(name) / "run"
    result = run(Scenario.load(GALLERY / f"{name}.yaml", QUICK[name]), out)
    tables = (pd.read_csv(out / f) for f in ("spans.csv.gz", "nodes.csv"))
    return *tables, result.manifest


def exactly(value):
    return pytest.approx(value, rel=1e-9, abs=0)


def test_spans_sum_to_their_node_and_kind(ledger):
    spans, nodes, _ = ledger
    sums = spans.groupby(["node", "kind"]).joules.sum()
    assert set(spans.node) <= set(nodes.node)
    for kind in KINDS:
        own = [sums.get((node, kind), 0.0) for node in nodes.node]
        assert nodes[f"{kind}_joules"].tolist() == exactly(own)
    assert spans.joules.sum() > 0


def test_columns_sum_to_totals_and_totals_to_the_manifest(ledger):
    _, nodes, manifest = ledger
    columns = nodes[["idle_joules", *(f"{kind}_joules" for kind in KINDS), "other_joules"]]
    assert nodes.total_joules.tolist() == exactly(columns.sum(axis=1).tolist())
    assert nodes.total_joules.sum() == exactly(manifest["joules"])


def test_idle_is_idle_watts_over_the_time_present(ledger):
    spans, nodes, manifest = ledger
    watts = [device(name).idle_watts for name in nodes.profile]
    assert nodes.idle_joules.tolist() == exactly([w * s for w, s in zip(watts, nodes.present_s, strict=True)])
    assert nodes.present_s.max() == manifest["sim_seconds"]  # the root is always there
    if manifest["title"] != "A school day on batteries":  # where nobody leaves
        assert set(nodes.present_s) == {manifest["sim_seconds"]}
        assert spans.end_s.max() == manifest["sim_seconds"]


def test_what_is_sent_arrives(ledger):
    spans, _, _ = ledger
    sent, received = spans[spans.kind == "transmit"], spans[spans.kind == "receive"]
    assert sent.nbytes.sum() == received.nbytes.sum() > 0
    ends = ["start_s", "end_s", "nbytes", "modules", "status"]
    there = sent[["node", "peer", *ends]].sort_values(["node", "peer", *ends])
    here = received[["peer", "node", *ends]].sort_values(["peer", "node", *ends])
    assert there.to_numpy().tolist() == here.to_numpy().tolist()


def test_a_processor_never_draws_more_than_when_busy(ledger):
    """Compute joules of a node are at most busy minus idle watts over all the time there is."""
    _, nodes, _ = ledger
    for row in nodes.itertuples():
        profile = device(row.profile)
        assert row.compute_joules <= (profile.busy_watts - profile.idle_watts) * row.present_s * (1 + 1e-9)


def test_the_classroom_of_the_gallery_in_closed_form():
    """Eight equal tablets share a cell: they wait out one latency, and each gets an eighth of the airtime."""
    scenario = Scenario.load(GALLERY / "first_classroom.yaml", {"plots": "false"})
    result = run(scenario)
    tablet, edge = device("android_tablet_budget"), device("classroom_edge_box")
    wifi = link("wifi6_40mhz_2x2")
    n, rounds, nbytes, flops = 8, 10, 2_240_000, 49e9
    down, up = 8 * nbytes / wifi.down_bits_per_s, 8 * nbytes / wifi.up_bits_per_s  # one tablet alone
    train = flops / (tablet.flops_per_s * tablet.utilisation)
    # The edge reads eight copies and writes one, and starts an addition for each copy of three modules.
    merge = 9 * nbytes / edge.memory_bytes_per_s + 24 * edge.launch_seconds
    assert merge > 8 * nbytes / 4 / (edge.flops_per_s * edge.utilisation)
    seconds = rounds * (2 * wifi.latency_seconds + n * (down + up) + train + merge) + wifi.latency_seconds + n * down
    assert result.manifest["sim_seconds"] == exactly(seconds)

    sending = max(wifi.transmit_watts - wifi.idle_watts, 0)  # watts above the radio's idle, by airtime
    hearing = max(wifi.receive_watts - wifi.idle_watts, 0)
    own = {
        "idle_joules": tablet.idle_watts * seconds,
        "compute_joules": rounds * (tablet.busy_watts - tablet.idle_watts) * train,
        "transmit_joules": rounds * sending * up,
        "receive_joules": (rounds + 1) * hearing * down,
        "other_joules": 0.0,
    }
    rows = {row["node"]: row for row in result.node_rows}
    (room,) = (row for row in rows.values() if row["tier"] == "classroom")
    tablets = [row for row in rows.values() if row["tier"] == "device"]
    assert len(tablets) == n
    for row in tablets:
        assert {key: row[key] for key in own} == exactly(own)
    assert room["idle_joules"] == exactly(edge.idle_watts * seconds)
    assert room["transmit_joules"] == exactly(n * (rounds + 1) * sending * down)
    assert room["receive_joules"] == exactly(n * rounds * hearing * up)
    assert room["compute_joules"] == exactly(rounds * (edge.busy_watts - edge.idle_watts) * merge)
    assert room["other_joules"] == exactly(wifi.infrastructure_watts * seconds)  # the access point
    total = n * sum(own.values()) + sum(room[f"{kind}_joules"] for kind in ("idle", *KINDS, "other"))
    assert result.manifest["joules"] == exactly(total)


def test_interrupted_work_was_paid_for():
    """A deadline in the middle of the computing leaves half of its joules in the ledger."""
    tablet, wifi = device("android_tablet_budget"), link("wifi6_40mhz_2x2")
    train = 4.0
    sizes = {"head": Size(0, train * tablet.flops_per_s * tablet.utilisation)}
    plan = Plan({"classroom": TierPlan(("head",), 1, Deadline(train / 2))})
    tree = classroom(2, "android_tablet_budget", access=wifi)
    log = simulate(tree, CostOnly(sizes), [Stage("s", plan, "device", ("head",))])
    rows = node_rows(tree, log)
    assert log.end_s == train / 2
    half = (tablet.busy_watts - tablet.idle_watts) * train / 2
    assert [row["compute_joules"] for row in rows] == exactly([0.0, half, half])
    assert {span.status for span in log.spans} == {"interrupted"}
    assert total_joules(rows) == exactly(sum(row["total_joules"] for row in rows))


def test_a_root_without_a_profile_costs_nothing():
    tree = Hierarchy("server", "cloud")
    tree.add("pi", "server", "device", "raspberry_pi5", "wifi6_40mhz_2x2", room="12")
    plan = Plan({"cloud": TierPlan(("head",))})
    log = simulate(tree, CostOnly({"head": Size(1000, 1e6)}), [Stage("s", plan, "device", ("head",))])
    root, pi = node_rows(tree, log)
    assert (root["total_joules"], root["profile"], root["parent"]) == (0.0, "", "")
    assert pi["total_joules"] > 0
    assert pi["room"] == "12"


def test_an_attribute_never_hides_a_column():
    tree = Hierarchy("server", "cloud", "cloud_h100")
    own = {"total_joules": 5, "present_s": "always", "members": 3}
    tree.add("pi", "server", "device", "raspberry_pi5", "wifi6_40mhz_2x2", **own)
    plan = Plan({"cloud": TierPlan(("head",))})
    log = simulate(tree, CostOnly({"head": Size(1000, 1e6)}), [Stage("s", plan, "device", ("head",))])
    rows = node_rows(tree, log)
    assert rows[1]["present_s"] == log.end_s
    assert rows[1]["members"] == 3
    assert total_joules(rows) == exactly(math.fsum(math.fsum(a.causes.values()) for a in log.accounts.values()))
