"""From a scenario to its objects: who holds what, by hand on a tiny tree; and that names agree everywhere."""

import pytest
import torch

from experiments.build import build
from experiments.cli import GALLERY
from experiments.learning import holdings
from experiments.scenario import Scenario, ScenarioError
from models.data.samples import Client, Samples, Study, Task
from models.data.star_table import COLUMNS
from models.linear import LinearModel
from models.m3t import M3T
from models.model import initial, module
from simulator.plan import Deadline, FirstOf, Plan, Stage, TierPlan, barrier
from topologies.profiles import device
from topologies.schools import district, star

SHAPES = {"handwriting": (8, 8), "record": (5,)}
TASKS = {"answer": Task("answer", 10), "outcome": Task("outcome")}
OFFSETS = ("campus", "classroom")
A, B = "campus0/room0/pi0", "campus0/room1/pi0"
ROOM_A, ROOM_B = "campus0/room0", "campus0/room1"


def samples(modalities, tasks):
    inputs = {m: torch.zeros(4, *SHAPES[m]) for m in modalities}
    return Samples(inputs, {t: torch.zeros(4) for t in tasks})


@pytest.fixture
def study():
    """A writes and answers; B has a record and an outcome."""
    a, b = samples(["handwriting"], ["answer"]), samples(["record"], ["outcome"])
    everything = samples(SHAPES, TASKS)
    return Study(SHAPES, TASKS, {A: Client(a, a), B: Client(b, b)}, everything, samples(SHAPES, ["outcome"]))


@pytest.fixture
def tree():
    return district(1, 2, 1, "raspberry_pi5")


@pytest.fixture
def model():
    return M3T(SHAPES, TASKS, width=8, heads=2, hidden=8, offsets=OFFSETS, tokens={"handwriting": 2, "record": 1})


HEADS, ENCODERS = ("head.answer", "head.outcome"), ("encoder.handwriting", "encoder.record")
OFFSET = ("offset.campus", "offset.classroom")
PLAN = Plan({
    "classroom": TierPlan((*ENCODERS, "adapter", *HEADS, *OFFSET)),
    "campus": TierPlan((*ENCODERS, "adapter", *HEADS, "offset.campus")),
    "cloud": TierPlan((*ENCODERS, "adapter", *HEADS)),
})  # fmt: skip
PRETRAIN = Stage("pretrain", Plan(), "cloud", ("trunk", "decoder.handwriting", "decoder.record"))
FEDERATE = Stage("federate", PLAN, "device", (*ENCODERS, "adapter", *HEADS, *OFFSET))


def modules(keys):
    return {module(key) for key in keys}


def test_who_holds_what_by_hand(tree, model, study):
    held = holdings(tree, model, study, [PRETRAIN, FEDERATE], {"pretrain"})
    assert held.keys() == set(tree.nodes())
    everywhere = {"trunk", "adapter"}
    assert modules(held[A]) == {*everywhere, "encoder.handwriting", "head.answer", *OFFSET}
    assert modules(held[B]) == {*everywhere, "encoder.record", "head.outcome", *OFFSET}
    # a classroom has what its only student has; the trunk is trained above and comes down, yet nobody keeps it here
    assert modules(held[ROOM_A]) == {"trunk", "adapter", "encoder.handwriting", "head.answer", *OFFSET}
    assert modules(held[ROOM_B]) == {"trunk", "adapter", "encoder.record", "head.outcome", *OFFSET}
    assert modules(held["campus0"]) == {"trunk", "adapter", *ENCODERS, *HEADS, "offset.campus"}
    assert modules(held["cloud"]) == modules(initial(model, 0)) - set(OFFSET)


def test_an_offset_is_held_for_the_own_tasks_only(tree, model, study):
    held = holdings(tree, model, study, [PRETRAIN, FEDERATE], {"pretrain"})

    def offsets(node):
        return {key for key in held[node] if key.startswith("offset.")}

    assert offsets(A) == offsets(ROOM_A) == {"offset.campus/answer", "offset.classroom/answer"}
    assert offsets(B) == offsets(ROOM_B) == {"offset.campus/outcome", "offset.classroom/outcome"}
    assert offsets("campus0") == {"offset.campus/answer", "offset.campus/outcome"}
    assert offsets("cloud") == set()


def test_a_decoder_is_only_where_it_is_trained(tree, model, study):
    held = holdings(tree, model, study, [PRETRAIN, FEDERATE], {"pretrain"})
    assert {node for node, keys in held.items() if any(key.startswith("decoder.") for key in keys)} == {"cloud"}
    without = holdings(tree, model, study, [FEDERATE], set())
    assert not [node for node, keys in without.items() if any(key.startswith("decoder.") for key in keys)]


def test_a_trunk_that_nobody_trains_is_everybodys(tree, model, study):
    """It comes with the software, so it is neither trained nor sent, and every tier can be scored."""
    held = holdings(tree, model, study, [FEDERATE], set())
    assert all("trunk" in modules(keys) for keys in held.values())
    assert modules(held["cloud"]) == {"trunk", "adapter", *ENCODERS, *HEADS}


def test_a_head_that_stays_with_the_students_is_nobody_elses(tree, model, study):
    plan = Plan({"classroom": TierPlan(ENCODERS), "cloud": TierPlan(("encoder.record",))})
    stage = Stage("federate", plan, "device", (*ENCODERS, *HEADS))
    held = holdings(tree, model, study, [stage], set())
    assert "head.answer" in modules(held[A])
    assert not {*HEADS} & modules(held[ROOM_A])
    assert "campus0" not in held  # it only forwards
    assert {name for name in modules(held["cloud"]) if "encoder" in name} == {"encoder.record"}


def test_linear_heads_climb_and_offsets_stay():
    tree = star(["north/1a"], "raspberry_pi5", tier="classroom")
    own = Samples({"record": torch.zeros(4, 5)}, {"read": torch.zeros(4)})
    study = Study({"record": (5,)}, {"read": Task("read")}, {"north/1a": Client(own, own)}, own)
    model = LinearModel(study.modalities, study.tasks, ("classroom",))
    stage = Stage("f", Plan({"cloud": TierPlan(("head.read",))}), "classroom", ("head.read", "offset.classroom"))
    held = holdings(tree, model, study, [stage], set())
    assert modules(held["north/1a"]) == {"head.read", "offset.classroom"}
    assert modules(held["cloud"]) == {"head.read"}


def scenario(folder, text):
    (folder / "s.yaml").write_text(text)
    return Scenario.load(folder / "s.yaml")


PUPIL = {
    "gr": "K", "cltype": "small", "hdeg": "BS/BA", "clad": "1", "trace": "W", "ses": "F", "schtype": "rural",
    "sx": "F", "eth": "W", "exp": "7", "read": "430", "math": "470", "birthq": "1980:2",
}  # fmt: skip


@pytest.fixture
def star_csv(tmp_path):
    """Two schools of two classes of four pupils; a third class in the first school is too small."""
    rows = [
        PUPIL | {"id": str(number), "sch": str(school), "tch": str(10 * school + room), "read": str(400 + 7 * number)}
        for number, (school, room, _) in enumerate(
            [(s, r, p) for s in (1, 2) for r in (1, 2) for p in range(4)] + [(1, 3, 0)]
        )
    ]
    (tmp_path / "star.csv").write_text(
        "\n".join([",".join(COLUMNS), *(",".join(row[c] for c in COLUMNS) for row in rows)]) + "\n"
    )
    return tmp_path


SCHOOLS = """\
title: Schools
topology: {kind: %s}
data: {source: star, grades: [K], minimum: 4}
model: {kind: linear, offsets: [%s]}
plan: {cloud: {modules: ["head.*"]}}
"""


@pytest.mark.parametrize(("kind", "leaf"), [("data", "classroom"), ("star", "device")])
def test_star_classes_are_the_leaves_of_the_tree_and_the_clients_of_the_study(star_csv, kind, leaf):
    built = build(scenario(star_csv, SCHOOLS % (kind, leaf)))
    names = {"school1/class11", "school1/class12", "school2/class21", "school2/class22"}
    assert set(built.hierarchy.leaves) == set(built.study.clients) == names
    assert {built.hierarchy.tier(name) for name in names} == {leaf}
    parents = {built.hierarchy.parent(name) for name in names}
    assert parents == ({"school1", "school2"} if kind == "data" else {"cloud"})
    assert built.stages[0].at == leaf
    assert set(built.stages[0].trainable) == {"head.read", "head.math", f"offset.{leaf}"}


def test_the_clients_of_the_campus_are_the_devices_of_the_tree():
    small = {"topology.campuses": "1", "topology.classrooms": "2", "topology.devices": "2", "data.public": "1200"}
    built = build(Scenario.load(GALLERY / "campus.yaml", small))
    assert tuple(built.study.clients) == tuple(sorted(built.hierarchy.leaves))
    assert built.learner.holds.keys() == set(built.hierarchy.nodes())
    assert [stage.name for stage in built.stages] == ["pretrain", "federate"]
    assert built.learner.study is built.study


COSTS = """\
title: Costs
topology: {kind: district, campuses: 2, classrooms: 1, devices: 4, device_mix: {raspberry_pi5: 0.75, laptop_i5u: 0.25}}
model: {footprint: {a.x: {bytes: 1 MB, flops: 2 GFLOP}, a.y: {bytes: 0.5 kB}, b: {bytes: 1 kB}}}
plan:
  classroom: {modules: ["a.*", b], rounds: 3, wait: {deadline: 2 min}}
  campus: {modules: ["a.*"], wait: {first: 1}}
  cloud: {modules: [a.y], rounds: 2}
profiles: {devices: {raspberry_pi5: {idle_watts: 2 W}}, links: {wan_cloud_near: {latency_seconds: 7 ms}}}
"""


def test_costs_are_built_without_learning(tmp_path):
    built = build(scenario(tmp_path, COSTS))
    assert (built.learner, built.study) == (None, None)
    assert {name: (s.nbytes, s.flops) for name, s in built.workload.sizes.items()} == {
        "a.x": (1_000_000, 2e9), "a.y": (500, 0.0), "b": (1000, 0.0),
    }  # fmt: skip
    (stage,) = built.stages
    assert (stage.at, stage.trainable) == ("device", ("a.x", "a.y", "b"))
    assert {tier: (p.modules, p.rounds, p.wait) for tier, p in stage.plan.items()} == {
        "classroom": (("a.x", "a.y", "b"), 3, Deadline(120.0)),
        "campus": (("a.x", "a.y"), 1, FirstOf(1)),
        "cloud": (("a.y",), 2, barrier),
    }


def test_profiles_changed_in_the_scenario_are_those_of_the_tree(tmp_path):
    tree = build(scenario(tmp_path, COSTS)).hierarchy
    found = [tree.profile(node) for node in tree.nodes("device")]
    assert sorted(p.name for p in found) == ["laptop_i5u"] * 2 + ["raspberry_pi5"] * 6  # .75 and .25 of eight
    assert {p.idle_watts for p in found if p.name == "raspberry_pi5"} == {2.0}
    assert device("raspberry_pi5").idle_watts == 3.0
    assert tree.link("cloud", "campus0").latency_seconds == 0.007


def test_rosters_become_the_tree(tmp_path):
    (tmp_path / "pupils.csv").write_text("name,room,house\nann,1a,north\nbob,1a,north\ncy,2b,south\n")
    text = COSTS.partition("topology")[0] + (
        "topology: {kind: rosters, file: pupils.csv, student: name, classroom: room, school: house}\n"
        "model: {footprint: {b: {bytes: 1 kB}}}\nplan: {cloud: {modules: [b]}}\n"
    )
    tree = build(scenario(tmp_path, text)).hierarchy
    assert tree.leaves == ("north/1a/ann", "north/1a/bob", "south/2b/cy")
    assert tree.path_up("south/2b/cy") == ["south/2b/cy", "south/2b", "south", "cloud"]


def test_data_that_does_not_fit_is_a_mistake_of_the_scenario(tmp_path, star_csv):
    text = (SCHOOLS % ("data", "classroom")).replace("minimum: 4", "minimum: 5")
    with pytest.raises(ScenarioError, match=r"star\.csv: no class of grades K has 5 pupils with both scores"):
        build(scenario(star_csv, text))
