"""The run folder: tables that read back exactly, and the same bytes from the same scenario and seed."""

import csv
import gzip
import io
import json
import zlib
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest

from experiments.cli import GALLERY
from experiments.run import run
from experiments.scenario import Scenario
from experiments.store import Store
from simulator.records import Happening, Log, Metric, Span
from simulator.summaries import summarised
from topologies import classroom

SMALL = {
    "topology.campuses": "1", "topology.classrooms": "2", "topology.devices": "3", "data.public": "1200",
    "plan.cloud.rounds": "2", "stages.0.epochs": "1", "learning.local_epochs": "1", "baselines": "[]", "plots": "false",
    "model.trunk.layers": "1",
}  # fmt: skip
SAME = ("spans.csv.gz", "metrics.csv", "nodes.csv", "events.csv")
SPANS = "kind,node,tier,peer,round,turn,modules,start_s,end_s,joules,nbytes,flops,status"
METRICS = "time_s,round,turn,node,tier,moment,model,split,group,task,modality,name,value"
NODES = (
    "node,tier,parent,institution,profile,present_s,"
    "idle_joules,compute_joules,transmit_joules,receive_joules,other_joules,total_joules"
)
MANIFEST = {
    "status", "seed", "scenario_hash", "git", "versions", "command", "started", "ended", "wall_seconds",
    "learning_wall_seconds", "client_updates", "peak_rss_bytes", "sim_seconds", "joules", "events",
}  # fmt: skip


def small(seed=3):
    """One campus, two classrooms, three devices each, two rounds; pre-trained for one epoch."""
    return Scenario.load(GALLERY / "campus.yaml", SMALL, seed)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same study twice, then from its own run folder, then with another seed; and the first one's result."""
    home = tmp_path_factory.mktemp("runs")
    first = run(small(), home / "first")
    run(small(), home / "second")
    run(Scenario.load(home / "first/scenario.yaml"), home / "again")
    run(small(seed=4), home / "other")
    return home, first


def members(packed):
    """The gzip members of a file: each one's header of ten bytes, and its text."""
    found = []
    while packed:
        member = zlib.decompressobj(wbits=31)
        found.append((packed[:10], member.decompress(packed).decode()))
        assert member.eof
        packed = member.unused_data
    return found


def test_the_same_scenario_and_seed_give_the_same_bytes(runs):
    home, _ = runs
    for name in SAME:
        assert (home / "first" / name).read_bytes() == (home / "second" / name).read_bytes()


def test_the_scenario_in_a_run_folder_reruns_to_the_same_bytes(runs):
    home, first = runs
    assert Scenario.load(home / "first/scenario.yaml") == first.scenario
    for name in (*SAME, "scenario.yaml"):
        assert (home / "first" / name).read_bytes() == (home / "again" / name).read_bytes()


def test_the_footprint_is_a_table_too(runs):
    home, _ = runs
    assert len({(home / name / "footprint.csv").read_bytes() for name in ("first", "second", "again", "other")}) == 1


def test_another_seed_changes_spans_and_metrics(runs):
    home, _ = runs
    for name in ("spans.csv.gz", "metrics.csv"):
        assert (home / "first" / name).read_bytes() != (home / "other" / name).read_bytes()


def test_spans_are_one_member_per_round_between_the_columns_and_the_closing_broadcast(runs):
    home, first = runs
    parts = members((home / "first/spans.csv.gz").read_bytes())
    rounds = first.scenario.plan["cloud"].rounds
    assert len(parts) == 1 + 1 + rounds + 1  # columns, pre-training, rounds, the closing broadcast
    # magic, deflate, no flags (so no file name), four bytes of time 0, 4 for the fastest level (RFC 1952)
    assert {head[:9] for head, _ in parts} == {b"\x1f\x8b\x08\x00" + bytes(4) + b"\x04"}
    assert parts[0][1].count("\n") == 1
    header = parts[0][1].strip().split(",")
    rows = [[dict(zip(header, row, strict=True)) for row in csv.reader(text.splitlines())] for _, text in parts[1:]]
    # scoring goes on in the background, so it may end in the round after its own
    seen = [{int(row["round"]) for row in part if row["activity"] != "evaluate"} for part in rows]
    assert seen == [{0}, *({r} for r in range(1, rounds + 1)), {rounds}]


def test_the_members_together_are_one_table_with_the_columns_of_the_design(runs):
    home, first = runs
    spans = pd.read_csv(home / "first/spans.csv.gz", keep_default_na=False)
    assert len(spans) == len(first.log.spans)
    assert set(spans.kind) == {"compute", "transmit", "receive"}
    assert set(spans.status) == {"done"}
    assert (spans.end_s >= spans.start_s).all()
    assert ",".join(spans) == f"{SPANS},activity"
    assert (home / "first/metrics.csv").read_text().startswith(f"{METRICS}\n")
    assert (home / "first/nodes.csv").read_text().startswith(f"{NODES}\n")
    assert (home / "first/events.csv").read_text() == "time_s,node,kind,detail\n"
    footprint = pd.read_csv(home / "first/footprint.csv")
    assert {"module", "parameters", "nbytes", "forward_flops", "backward_flops", "activation_bytes"} <= set(footprint)


def test_floats_read_back_as_they_were(runs):
    home, first = runs
    with gzip.open(home / "first/spans.csv.gz", "rt", newline="") as text:
        rows = list(csv.DictReader(text))
    for name in ("start_s", "end_s", "joules", "flops"):
        assert [float(row[name]) for row in rows] == [getattr(span, name) for span in first.log.spans]
    with (home / "first/metrics.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [(float(r["time_s"]), float(r["value"])) for r in rows] == [(m.time_s, m.value) for m in first.log.metrics]
    with (home / "first/nodes.csv").open(newline="") as text:
        assert [float(row["total_joules"]) for row in csv.DictReader(text)] == first.nodes.total_joules.tolist()


@pytest.mark.parametrize("value", [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, 2.0**60 + 2**9, float("inf")])
def test_any_float_reads_back_as_it_was_and_names_may_hold_anything(tmp_path, value):
    node = 'a "b", c\nd;ü'
    store, log = Store(tmp_path), Log()
    near = float(np.nextafter(value, 0))
    log.spans.append(Span("compute", node, "t", "", 1, "", "m", 0.0, value, near, 0, value, "done", ""))
    log.metrics.append(Metric(0.0, 1, "", node, "t", "after_merge", "m", "test", "all", "t", "all", "mse", value))
    store.tables(log, nodes=[{"node": node, "x": value}, {"node": "b", "y": 1}])
    with gzip.open(tmp_path / "spans.csv.gz", "rt", newline="", encoding="utf-8") as text:
        (row,) = csv.DictReader(text)
    assert (row["node"], float(row["end_s"]), float(row["joules"])) == (node, value, near)
    with (tmp_path / "nodes.csv").open(newline="", encoding="utf-8") as text:
        assert list(csv.DictReader(text)) == [
            {"node": node, "x": repr(value), "y": ""}, {"node": "b", "x": "", "y": "1"},
        ]  # fmt: skip
    assert not list(tmp_path.glob("*.part"))


def test_the_manifest_says_what_the_run_was(runs):
    home, first = runs
    manifest = json.loads((home / "first/manifest.json").read_text())
    assert manifest.keys() >= MANIFEST
    assert (manifest["status"], manifest["seed"], manifest["events"]) == ("done", 3, 0)
    assert manifest["scenario_hash"] == sha256((home / "first/scenario.yaml").read_bytes()).hexdigest()
    # one client trains twice a round of the cloud (the classroom's rounds); the cloud itself once, in pre-training
    assert manifest["client_updates"] == 6 * 2 * 2 + 1
    assert manifest["sim_seconds"] == max(span.end_s for span in first.log.spans)
    assert {"edufog", "torch", "simpy", "python"} <= manifest["versions"].keys()
    assert manifest["started"] <= manifest["ended"]
    assert 0 < manifest["learning_wall_seconds"] < manifest["wall_seconds"]
    assert manifest["peak_rss_bytes"] > 2**20
    other = json.loads((home / "other/manifest.json").read_text())
    assert other["scenario_hash"] != manifest["scenario_hash"]


def test_a_folder_keeps_the_spans_that_a_run_without_one_keeps_in_memory(runs):
    _, first = runs
    alone = run(small())
    assert list(first.log.spans.kept()) == []
    assert list(alone.log.spans.kept()) == alone.log.spans
    assert first.log.spans == alone.log.spans
    assert first.log.spans[-1] == alone.log.spans[-1]
    pd.testing.assert_frame_equal(first.spans, alone.spans)
    assert first.log.nbytes(kind="transmit") == sum(s.nbytes for s in alone.log.spans if s.kind == "transmit")


def test_members_hold_the_rows_as_the_csv_writer_puts_them(tmp_path):
    """Whole numbers stay whole, however many rows a round has: the bytes do not depend on how memory is kept."""
    store, log, text = Store(tmp_path), Log(), io.StringIO()
    rows = [
        Span("compute", f"n{i}", "t", "", 1, "1.0", "m", 0, i / 3, 0.0, i, 2.0, "done", "train") for i in range(5000)
    ]
    log.spans.extend(rows)
    store.append(log)
    store.append(log)  # nothing is new: no member
    csv.writer(text, lineterminator="\n").writerows(rows)
    (_, _), (_, member) = members((tmp_path / "spans.csv.gz").read_bytes())
    assert member == text.getvalue()
    assert log.spans == rows
    assert log.spans[4321] == rows[4321]
    log.spans.append(rows[7])
    assert log.spans[-2:] == [rows[-1], rows[7]]


def test_happenings_are_written_as_they_come_and_read_back(tmp_path):
    store, log = Store(tmp_path), Log()
    rows = [Happening(i / 3, f"n{i}", "late", 'in "round", 1\nand so on') for i in range(5)]
    assert (tmp_path / "events.csv").read_text() == "time_s,node,kind,detail\n"
    for part in (rows[:2], [], rows[2:]):
        log.happenings.extend(part)
        store.append(log)
    assert list(log.happenings.kept()) == []
    assert log.happenings == rows
    with (tmp_path / "events.csv").open(newline="") as text:
        assert [row["detail"] for row in csv.DictReader(text)] == [row.detail for row in rows]


def test_a_folder_may_keep_summaries_in_place_of_spans(tmp_path):
    tree = classroom(3, "android_tablet_budget")
    store, log = Store(tmp_path, lambda rows: summarised(rows, tree)), Log()
    for round_ in (1, 2):
        for i in range(3):
            row = (f"room0/tablet{i}", "device", "", round_, "", "m", 0.0, 1.0, 2.0, 0, 5.0)
            log.spans.append(Span("compute", *row, "done", "train"))
        store.append(log)
    found = ("room0/*", "device", "", 1, "", "m", 0.0, 1.0, 6.0, 0, 15.0)
    assert log.spans == [Span("compute", *found[:3], r, *found[4:], "done", "train") for r in (1, 2)]
    assert log.joules("room0/tablet1", "compute") == 4.0  # the sums are still of each device
    assert log.joules() == 12.0


@pytest.fixture
def costs():
    return Scenario.load(GALLERY / "first_classroom.yaml", {"plots": "false"})


def test_a_run_is_running_until_it_is_done(tmp_path, costs):
    seen = []

    def watch(built, round_, log, phase):
        state = json.loads((tmp_path / "run/manifest.json").read_text())["status"]
        rows = gzip.decompress((tmp_path / "run/spans.csv.gz").read_bytes()).count(b"\n") - 1
        seen.append((state, round_, rows == len(log.spans)))

    run(costs, tmp_path / "run", watch)
    assert seen == [*(("running", r, True) for r in range(1, 11)), ("running", 10, True)]
    assert json.loads((tmp_path / "run/manifest.json").read_text())["status"] == "done"


@pytest.mark.parametrize("error", [RuntimeError("power cut"), KeyboardInterrupt()])
def test_an_interrupted_run_is_failed_and_keeps_its_whole_rounds(tmp_path, costs, error):
    def watch(built, round_, log, phase):
        if round_ == 3:
            raise error

    with pytest.raises(type(error)):
        run(costs, tmp_path / "run", watch)
    assert json.loads((tmp_path / "run/manifest.json").read_text())["status"] == "failed"
    assert len(members((tmp_path / "run/spans.csv.gz").read_bytes())) == 1 + 3
    assert pd.read_csv(tmp_path / "run/spans.csv.gz")["round"].max() == 3
