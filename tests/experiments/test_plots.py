"""Figures of a run folder: the numbers behind them, and that they can be printed."""

from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from experiments.figures import style
from experiments.figures.accuracy import spread
from experiments.figures.energy import SAVED, energy_table
from experiments.figures.files import RunFiles, read
from experiments.figures.learning import curves, final, references
from experiments.figures.rounds import critical_path, node_seconds, path_seconds, rounds
from experiments.figures.timeline import busy, median_round, shown
from experiments.figures.topology import layout
from experiments.figures.traffic import bytes_table, shares
from experiments.ledger import cause_rows, node_rows, total_joules
from experiments.plots import FIGURES, draw, latex
from experiments.store import Store
from simulator.plan import Deadline, Evaluate, Plan, Stage, TierPlan, barrier
from simulator.records import Log, Metric
from simulator.run import simulate
from simulator.workloads import CostOnly, Size
from topologies.hierarchy import Hierarchy
from topologies.profiles import link
from topologies.schools import classroom, district, schools_from_rosters, star

SIZES = {"encoder.a": Size(200_000, 3e9), "encoder.b": Size(100_000, 2e9), "head": Size(2_000, 1e8)}
FOOTPRINT = [{"module": name, "nbytes": size.nbytes} for name, size in SIZES.items()]
MIX = {"chromebook_n100": 0.5, "android_tablet_budget": 0.3, "laptop_i5u": 0.2}
ACCURACY = ("accuracy_time", "accuracy_joules", "accuracy_bytes")


def scores(tree: Hierarchy, log: Log) -> list[Metric]:
    """Federated figures of every round, and baselines that lie close together."""
    last = [n for n in tree.nodes() if tree.tier(n) == "device"]
    who = [(tree.root, "after_merge"), *((node, "after_broadcast") for node in last)]
    model = ("federated", "test", "all")
    rows = [
        (log.end_s * r / 3, r, "", node, tree.tier(node), moment, *model, task, "all", name, 0.2 * r)
        for r in (1, 2, 3)
        for node, moment in who
        for task, name in (("answer", "accuracy"), ("outcome", "mse"))
    ]
    for k, model in enumerate(("zero", "local", "pooled_linear", "pooled_mixed", "pooled_trees")):
        for node, _ in who:
            what = ("baseline", model, "test", "all", "answer", "all", "accuracy", 0.5 + 0.005 * k)
            rows.append((0.0, 0, "", node, tree.tier(node), *what))
    return [Metric(*row) for row in rows]


LTE = replace(link("lte_public"), tail_seconds=0.01)


def run(folder: Path, tree: Hierarchy, plan: Plan, at: str = "device", learned: bool = False) -> Path:
    """A run folder as `experiments.run` leaves it before it draws."""
    log = simulate(tree, CostOnly(SIZES), [Stage("all", plan, at, tuple(SIZES))], evaluate=Evaluate())
    if learned:
        log.metrics += scores(tree, log)
    Store(folder).tables(log, nodes=node_rows(tree, log), energy=cause_rows(tree, log), footprint=FOOTPRINT)
    return folder


def tier_plan(rounds_: int = 1, wait=barrier) -> TierPlan:
    return TierPlan(tuple(SIZES), rounds_, wait)


@pytest.fixture(scope="module")
def campus(tmp_path_factory) -> Path:
    """Two campuses of two classrooms of three mixed devices, three rounds of two turns, with scores."""
    plan = Plan(classroom=tier_plan(2), campus=tier_plan(), cloud=tier_plan(3))
    return run(tmp_path_factory.mktemp("run") / "campus", district(2, 2, 3, MIX), plan, learned=True)


@pytest.fixture(scope="module")
def files(campus: Path) -> RunFiles:
    return read(campus)


def test_every_figure_in_both_formats_and_the_same_bytes_twice(campus):
    paths = draw(campus)
    first = {path: path.read_bytes() for path in paths}
    plots = [f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")]
    assert [path.name for path in paths] == [*plots, "results.csv", "results.tex"]
    for path, data in first.items():
        assert data.startswith({".png": b"\x89PNG", ".pdf": b"%PDF"}.get(path.suffix, b""))
        assert b"/Subtype /Type3" not in data
    assert {path: path.read_bytes() for path in draw(campus)} == first


def test_costs_alone_have_no_accuracy(tmp_path):
    files = read(run(tmp_path / "run", classroom(3), Plan(classroom=tier_plan())))
    assert [name for name, make in FIGURES.items() if make(files) is None] == list(ACCURACY)


def test_a_run_without_a_root_round_has_neither_latency_nor_timeline(tmp_path):
    paths = draw(run(tmp_path / "run", classroom(1), Plan(), at="classroom"))
    assert {path.stem for path in paths} == {"energy", "topology", "results"}


def test_critical_path_of_a_classroom_in_closed_form(tmp_path):
    files = read(run(tmp_path / "run", classroom(2, "chromebook_n100"), Plan(classroom=tier_plan(2))))
    found = rounds(files)
    training = files.spans[files.spans.activity == "train"]
    transfer = files.spans[files.spans.kind == "receive"]
    seconds = [float((part.end_s - part.start_s).iloc[0]) for part in (training, transfer)]
    for round_ in (1, 2):
        path = critical_path(files, found, round_)
        assert [step.cause for step in path] == ["downlink", "compute", "uplink"]
        assert [step.tier for step in path] == ["device"] * 3
        assert found.times.seconds[round_] == pytest.approx(seconds[0] + 2 * seconds[1], rel=1e-9)


def test_critical_path_has_no_gap_and_lasts_as_long_as_the_round(files):
    found = rounds(files)
    assert list(found.times.index) == [1, 2, 3]
    for round_, start, end in found.times[["start_s", "end_s"]].itertuples():
        path = critical_path(files, found, round_)
        assert [path[0].start_s, path[-1].end_s] == [start, end]
        assert all(a.end_s == b.start_s and a.node == b.sender for a, b in pairwise(path))
    assert path_seconds(files, found).to_numpy().sum() == pytest.approx(found.times.seconds.mean(), rel=1e-9)


def test_rounds_follow_each_other_and_the_closing_broadcast_is_in_none(files):
    found = rounds(files)
    assert list(found.times.start_s[1:]) == list(found.times.end_s[:-1])
    assert found.times.end_s.max() < files.spans.end_s.max()
    assert (found.spans.end_s <= found.times.end_s.max()).all()


def test_what_a_mean_node_does_sums_to_the_round(files):
    found = rounds(files)
    seconds = node_seconds(files, found)
    assert seconds.sum(axis=1).to_numpy() == pytest.approx(found.times.seconds.mean(), rel=1e-9)
    assert (seconds >= 0).all(axis=None)
    training = files.spans[files.spans.activity == "train"]
    assert seconds.compute["device"] == pytest.approx((training.end_s - training.start_s).sum() / 12 / 3, rel=1e-9)


def test_overlapping_activities_of_a_node_count_once(files):
    two = files.spans[(files.spans.node == "campus0/room0") & (files.spans.activity == "up")].iloc[[0, 0]]
    apart, within = ([0.0, 1.0], [2.0, 4.0]), ([5.0, 5.5], [7.0, 6.0])
    spans = pd.concat([two.assign(start_s=starts, end_s=ends) for starts, ends in (apart, within)])
    seconds = node_seconds(files, rounds(RunFiles(spans, files.metrics, files.nodes, {}, files.energy)))
    assert seconds.uplink["classroom"] == pytest.approx((4 + 2) / 4, rel=1e-12)


def test_a_deadline_that_runs_out_is_waiting(tmp_path):
    mixed = classroom(2, {"classroom_edge_box": 0.5, "android_tablet_budget": 0.5})
    whole = read(run(tmp_path / "whole", mixed, Plan(classroom=tier_plan()))).spans
    deadline = float(whole.end_s[(whole.kind == "receive") & (whole.activity == "up")].mean())  # between the two
    files = read(run(tmp_path / "run", mixed, Plan(classroom=tier_plan(2, Deadline(deadline)))))
    found = rounds(files)
    assert (files.spans.status == "interrupted").any()
    assert found.times.seconds.to_numpy() == pytest.approx([deadline] * 2, rel=1e-9)
    seconds = path_seconds(files, found)
    assert seconds.waiting["classroom"] > 0
    assert seconds.to_numpy().sum() == pytest.approx(deadline, rel=1e-9)


def test_nodes_that_only_forward_are_not_stops_on_the_path(tmp_path):
    files = read(run(tmp_path / "run", district(1, 2, 2), Plan(classroom=tier_plan(), cloud=tier_plan())))
    path = critical_path(files, rounds(files), 1)
    assert [step.tier for step in path] == ["classroom", "device", "device", "device", "classroom"]
    assert path[0].sender == path[-1].node == "cloud"


def test_timeline_shows_the_critical_path(files):
    found = rounds(files)
    path = critical_path(files, found, median_round(found))
    rows = shown(files, path)
    assert {step.node for step in path} <= set(rows)
    assert [files.tier_of[node] for node in rows] == ["cloud", "campus", "classroom", *["device"] * 3]
    bars = busy(files, found, median_round(found), rows).sort_values(["y", "cause", "start_s"])
    gaps = bars.groupby(["y", "cause"]).start_s.shift(-1) - bars.end_s
    assert not (gaps < 0).any()


def test_energy_is_that_of_the_nodes(files):
    table = energy_table(files)
    assert list(table.index) == ["cloud", "campus", "classroom", "device"]
    assert table.to_numpy().sum() == pytest.approx(files.nodes.total_joules.sum(), rel=1e-9)
    devices = files.nodes[files.nodes.tier == "device"]
    assert table.compute["device"] == pytest.approx(devices.compute_joules.sum(), rel=1e-12)


def test_what_sleeping_radios_save_is_taken_off_idle(tmp_path):
    from simulator.costs import Costs

    tree, plan = star(3), Plan(cloud=tier_plan())
    tree = tree.with_profiles(lambda d: d, lambda _: LTE)
    tables = {}
    for name, costs in (("awake", Costs()), ("asleep", Costs(sleep=True))):
        log = simulate(tree, CostOnly(SIZES), [Stage("all", plan, "device", tuple(SIZES))], costs=costs)
        folder = tmp_path / name
        Store(folder).tables(log, nodes=node_rows(tree, log), energy=cause_rows(tree, log), footprint=FOOTPRINT)
        tables[name] = energy_table(read(folder))
        assert tables[name].to_numpy().sum() == pytest.approx(read(folder).nodes.total_joules.sum(), rel=1e-9)
    assert (tables["asleep"] >= 0).all(axis=None)
    assert tables["asleep"][SAVED]["device"] < tables["awake"].idle["device"]
    assert tables["awake"]["radio tail"]["device"] > 0


def test_rows_of_a_classroom_count_their_members(tmp_path):
    tree, plan = district(1, 2, 5, grouped=True), Plan(cloud=tier_plan(), campus=tier_plan(), classroom=tier_plan())
    log = simulate(tree, CostOnly(SIZES), [Stage("all", plan, "device", tuple(SIZES))])
    Store(tmp_path).tables(log, nodes=node_rows(tree, log), energy=cause_rows(tree, log), footprint=FOOTPRINT)
    files = read(tmp_path)
    assert files.condensed
    assert files.tiers == {"cloud": 1, "campus": 1, "classroom": 2, "device": 10}
    assert {path.stem for path in draw(tmp_path)} >= {"energy", "topology", "bytes_modules"}
    assert not {path.stem for path in (tmp_path / "plots").iterdir()} & {"timeline", "round_latency"}


def test_bytes_by_module_sum_to_the_bytes_sent(files):
    table = bytes_table(files)
    sent = files.spans[files.spans.kind == "transmit"]
    assert table.to_numpy().sum() == pytest.approx(sent.nbytes.sum(), rel=1e-9)
    up = sent[(sent.activity == "up") & (sent.tier == "device")].nbytes.sum()
    assert table.loc[("device", "up")].sum() == pytest.approx(up, rel=1e-9)
    assert table.loc[("device", "up"), "encoder"] == pytest.approx(up * 300 / 302, rel=1e-9)


@pytest.mark.parametrize(
    ("nbytes", "footprint", "expected"),
    [
        (60, {"a": 10, "b": 20, "c": 30}, {"a": 10, "b": 20, "c": 30}),
        (24, {"a": 10, "b": 20, "c": 30}, {"a": 4, "b": 8, "c": 12}),  # compressed
        (60, {}, {"a": 20, "b": 20, "c": 20}),
    ],
)
def test_shares_of_a_packet(nbytes, footprint, expected):
    assert shares(["a", "b", "c"], nbytes, footprint) == pytest.approx(expected)


def test_curves_stand_where_the_ledger_says(files):
    table = curves(files)
    assert set(zip(table.tier, table.moment, table.nodes, strict=True)) == {
        ("cloud", "after_merge", 1),
        ("device", "after_broadcast", 12),
    }
    last = table.iloc[-1]
    assert last.value == pytest.approx(0.6)
    assert last.joules == pytest.approx(files.nodes.total_joules.sum(), rel=1e-9)
    assert last["nbytes"] == files.spans.nbytes[files.spans.kind == "transmit"].sum()


def test_results_have_a_row_for_every_model_and_the_costs(files):
    results = final(files)
    assert list(results.task[:4]) == ["answer", "outcome"] * 2
    assert len(results) == 4 + len(references(files)) + 3
    costs = results[results.moment == "end"].set_index("name").value
    assert costs.joules == pytest.approx(total_joules(files.nodes.to_dict("records")), rel=1e-12)
    assert costs.seconds == files.spans.end_s.max()
    text = latex(results)
    assert text.count(r"\\") == len(results) + 1
    assert "_" not in text


def test_names_that_look_like_numbers_stay_names(tmp_path):
    table = pd.DataFrame({"school": ["007", "007", "NA"], "class": ["1", "2", "3"]})
    plan = Plan(campus=tier_plan(), cloud=tier_plan())
    files = read(run(tmp_path / "run", schools_from_rosters(table), plan, at="classroom"))
    assert files.children["cloud"] == ["007", "NA"]
    assert set(bytes_table(files).index.get_level_values("tier")) == {"campus", "classroom"}


def drawn(monkeypatch: pytest.MonkeyPatch, figure) -> dict[Text, matplotlib.transforms.Bbox]:
    """Every text of a figure that ends on paper, and where."""
    seen: dict[Text, None] = {}
    original = Text.draw
    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", lambda self, renderer: (seen.setdefault(self), original(self, renderer)))
        figure.set_dpi(300)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    texts = [text for text in seen if text.get_visible() and text.get_text().strip()]
    return {text: Text.get_window_extent(text, canvas.get_renderer()) for text in texts}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("shape", ["campus", "star", "deep"])
def test_texts_are_large_enough_inside_and_apart(name, shape, campus, tmp_path, monkeypatch):
    if shape == "star":
        campus = run(tmp_path / "run", star(40, MIX), Plan(cloud=tier_plan()), learned=True)
    elif shape == "deep":
        tree = district(1, 1, 1, cloud=None)
        campus = run(tmp_path / "run", tree, Plan(classroom=tier_plan(), campus=tier_plan(), cloud=tier_plan()))
    with matplotlib.rc_context(style.RC):
        figure = FIGURES[name](read(campus))
        if figure is None:
            assert name in ACCURACY
            return
        assert figure.get_figwidth() * style.INCH == pytest.approx(88)
        boxes = drawn(monkeypatch, figure)
    assert min(text.get_fontsize() for text in boxes) >= 6
    for text, box in boxes.items():
        assert min(box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1) > -1, text
    for (one, a), (two, b) in combinations(boxes.items(), 2):
        across, down = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 2 or down <= 5, (one.get_text(), two.get_text())


@pytest.mark.parametrize("leaves", [8, 120, 700])
def test_leaves_keep_the_order_of_the_tree_and_do_not_hide_each_other(leaves, tmp_path):
    tree = district(2, 2, leaves // 4) if leaves > 8 else star(8)
    nodes = node_rows(tree, Log(end_s=1.0))
    energy = [{"node": tree.root, "tier": "cloud", "cause": "idle", "joules": 0.0}]
    Store(tmp_path / "run").tables(Log(end_s=1.0), nodes=nodes, energy=energy, footprint=FOOTPRINT)
    files = read(tmp_path / "run")
    places = layout(files)
    last = [node for node in files.parents if not files.children[node]]
    assert places.angle[last].is_monotonic_increasing
    where = places.radius[last].to_numpy() * np.exp(1j * places.angle[last].to_numpy())
    apart = np.abs(where[:, None] - where)[~np.eye(len(last), dtype=bool)].min()
    assert apart * 36 > 0.7  # mm


def test_labels_move_apart_and_no_further():
    assert spread([0.0, 5.0], 1.0, (0.0, 10.0)) == [0.0, 5.0]
    places = spread([0.0, 0.1, 0.2, 9.9], 1.0, (0.0, 10.0))
    assert all(b - a > 0.99 for a, b in pairwise(places))
    assert places[0] >= 0
    assert places[-1] <= 10


@pytest.mark.parametrize(("peak", "unit"), [(2.5e12, "TB"), (2.5e9, "GB"), (0.2, "B")])
def test_large_figures_have_a_prefix_of_their_own(peak, unit):
    factor, found = style.scale(peak, "B")
    assert found == unit
    assert peak * factor < 1000
