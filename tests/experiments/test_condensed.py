"""One row per classroom: a run folder that is short, and whose sums are those of the long one."""

import pandas as pd
import pytest

from experiments.condensed import condensed
from experiments.figures.files import read
from experiments.run import run
from experiments.scenario import Scenario
from topologies import campus

COSTS = {
    "title": "Two rooms",
    "topology": {
        "kind": "campus", "classrooms": 2, "devices": 3, "device_mix": {"chromebook_n100": 0.5, "laptop_i5u": 0.5},
    },
    "model": {"footprint": {"head": {"bytes": 40_000, "flops": 1e9}}},
    "plan": {"classroom": {"modules": ["head"], "rounds": 2}, "campus": {"modules": ["head"], "rounds": 2}},
    "plots": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The tables of one run with a row per device, and of the same with summaries; and what the runs left."""
    home, results = tmp_path_factory.mktemp("both"), []
    for devices in ("rows", "summary"):
        results.append(run(Scenario.model_validate(COSTS | {"records": {"devices": devices}}), home / devices))
    return [read(home / devices) for devices in ("rows", "summary")], results


def test_there_is_one_row_for_the_devices_of_a_classroom(both):
    (long, short), _ = both
    devices = short.nodes[short.nodes.tier == "device"]
    assert devices.node.tolist() == ["campus0/room0/*", "campus0/room1/*"]
    assert devices.parent.tolist() == ["campus0/room0", "campus0/room1"]
    assert short.nodes.members.astype(int).sum() == len(long.nodes) == 1 + 2 + 2 * 3
    assert set(short.spans.node) <= set(short.nodes.node)
    upper = short.nodes[short.nodes.tier != "device"]
    assert upper.node.tolist() == long.nodes.node[long.nodes.tier != "device"].tolist()


def test_what_the_devices_drew_and_sent_is_summed(both):
    (long, short), results = both
    own = long.spans.assign(node=long.spans.node.where(long.spans.tier != "device", long.spans.node.str[:13] + "/*"))
    for column in ("joules", "nbytes", "flops"):
        keys = ["node", "kind", "activity", "round", "status"]
        sums = own.groupby(keys)[column].sum()
        assert short.spans.groupby(keys)[column].sum().to_dict() == pytest.approx(sums.to_dict(), rel=1e-12)
    per_tier = long.nodes.groupby("tier").total_joules.sum().to_dict()
    assert short.nodes.groupby("tier").total_joules.sum().to_dict() == pytest.approx(per_tier, rel=1e-12)
    assert results[1].manifest["joules"] == pytest.approx(results[0].manifest["joules"], rel=1e-12)
    assert results[1].manifest["joules"] == pytest.approx(short.nodes.total_joules.sum(), rel=1e-12)


def test_the_ledger_of_a_summary_holds(both):
    """A node's spans of a kind sum to its column, and its causes to its total."""
    (_, short), (_, result) = both
    for kind in ("compute", "transmit", "receive"):
        sums = short.spans[short.spans.kind == kind].groupby("node").joules.sum()
        own = short.nodes.set_index("node")[f"{kind}_joules"]
        assert own.to_dict() == pytest.approx(sums.reindex(own.index, fill_value=0.0).to_dict(), rel=1e-12)
    energy = pd.read_csv(result.folder / "energy.csv").groupby("node").joules.sum()
    total = short.nodes.set_index("node").total_joules
    assert energy.reindex(total.index, fill_value=0.0).to_dict() == pytest.approx(total.to_dict(), rel=1e-12)


def test_what_differs_is_left_open_and_times_are_the_longest():
    tree = campus(1, 2, "android_tablet_budget")
    names = [*tree.nodes("classroom"), *tree.nodes("device")]
    rows = [
        {"node": node, "profile": p, "present_s": s, "x_joules": j, "carbon_grams": g}
        for node, p, s, j, g in zip(names, "eab", (9.0, 2.0, 5.0), (1.0, 2.0, 3.0), (0.0, 0.5, 0.25), strict=True)
    ]
    group = {"node": "campus0/room0/*", "profile": "c", "present_s": 1.0, "x_joules": 4.0, "members": 30}
    assert condensed([*rows, group], tree)[1]["members"] == 32  # what is a summary already counts as many
    assert condensed(rows, tree) == [
        {**rows[0], "members": 1},
        {
            "node": "campus0/room0/*",
            "profile": "",
            "present_s": 5.0,
            "x_joules": 5.0,
            "carbon_grams": 0.75,
            "members": 2,
        },
    ]


def test_both_tables_count_the_members_of_a_group(tmp_path):
    topology = COSTS["topology"] | {"grouped": True}
    costs = COSTS | {"topology": topology, "records": {"devices": "summary"}}
    run(Scenario.model_validate(costs), tmp_path / "run")
    nodes, energy = (pd.read_csv(tmp_path / "run" / f"{name}.csv") for name in ("nodes", "energy"))
    members = nodes.set_index("node").members.to_dict()
    assert members["campus0/room0/*"] == 3
    assert all(row.members == members[row.node] for row in energy.itertuples())


def test_an_attribute_that_is_called_like_a_figure_is_an_attribute():
    tree = campus(1, 2, "android_tablet_budget")
    rows = [{"node": node, "x_joules": 1.0, "spare_joules": "plenty"} for node in tree.nodes("device")]
    assert condensed(rows, tree) == [
        {"node": "campus0/room0/*", "x_joules": 2.0, "spare_joules": "plenty", "members": 2}
    ]
