import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from experiments.scenario import Scenario, module_names, resolve
from experiments.schema.catalogue import device_profiles, link_profiles

DESIGN = """\
title: Three campuses learn one tutor
seed: 7
topology: {kind: district, campuses: 3, classrooms: 4, devices: 10,
           device_mix: {chromebook_n100: 0.6, android_tablet_budget: 0.3, laptop_i5u: 0.1},
           access: wifi6_40mhz_2x2, campus_link: campus_10g, cloud_link: wan_cloud_near}
data: {source: campus, partition: {kind: dirichlet, alpha: 0.5}, missing_modality: 0.2}
model: {width: 64, trunk: {layers: 2, frozen: true}, adapters: {width: 8, last: 1}, offsets: [classroom, campus],
        tasks: [answer, engagement, outcome]}
plan:
  classroom: {modules: ["head.*", "offset.*", adapter, "encoder.*"], rounds: 2}
  campus:    {modules: ["head.*", offset.campus, adapter, "encoder.*"], rounds: 1}
  cloud:     {modules: [head.answer, head.engagement, adapter, "encoder.*"], rounds: 20, wait: {deadline: 10 min}}
learning: {algorithm: fedavg, optimizer: {name: adamw, lr: 5e-3}, local_epochs: 5, batch_size: 16}
stages:
  - {name: pretrain, at: cloud, trainable: [trunk], objective: masked, epochs: 5, data: public}
  - {name: federate, at: device, trainable: ["encoder.*", adapter, "head.*", "offset.*"]}
evaluate: {every: 1, tiers: [device, cloud], moments: [after_merge, after_broadcast]}
"""
COSTS = """\
title: One classroom
topology: {kind: classroom, devices: 8, device: android_tablet_budget}
model: {footprint: {encoder: {bytes: 1 MB, flops: 2 GFLOP}, head.answer: {bytes: 10 kB}}}
plan: {classroom: {modules: ["*"], rounds: 3, wait: {first: 6}}}
"""
STAR = """\
title: Real schools
topology: {kind: data}
data: {source: star, grades: [K, 1]}
model: {kind: linear, offsets: [classroom, campus]}
plan: {campus: {modules: ["head.*", offset.campus]}, cloud: {modules: ["head.*"], rounds: 30, wait: barrier}}
baselines: [pooled_linear, pooled_mixed]
"""
ROSTERS = """\
title: Rosters
topology: {kind: rosters, file: pupils.csv, student: pupil, classroom: class, school: school}
model: {footprint: {head: {bytes: 1 kB}}}
plan: {cloud: {modules: [head]}}
profiles: {devices: {tablet_warm: {based_on: android_tablet_budget, idle_watts: 1.8 W, cores: 4}},
           links: {campus_10g: {latency_seconds: 5 ms}}}
"""


def load(text: str, folder: Path, **options) -> Scenario:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return Scenario.load(path, **options)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A scenario's folder with a roster beside it, and a data folder that holds star.csv."""
    monkeypatch.setenv("EDUFOG_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/star.csv").write_text("id,sch\n")
    (tmp_path / "study").mkdir()
    (tmp_path / "study/pupils.csv").write_text("pupil,class,school,machine\nann,1a,north,raspberry_pi5\n")
    return tmp_path / "study"


def test_the_example_of_the_design_loads(folder):
    scenario = load(DESIGN, folder)
    assert scenario.topology.mix == {"chromebook_n100": 0.6, "android_tablet_budget": 0.3, "laptop_i5u": 0.1}
    assert scenario.plan["cloud"].wait.deadline == 600.0
    assert scenario.plan["campus"].wait == "barrier"
    assert scenario.stages[0].plan == {}
    assert scenario.stages[1].plan is None
    assert scenario.learning.optimizer.lr == 0.005
    assert scenario.topology.edge == "classroom_edge_box"


@pytest.mark.parametrize("text", [DESIGN, COSTS, STAR, ROSTERS])
def test_a_dumped_scenario_reloads_to_an_equal_one(text, folder, tmp_path):
    scenario = load(text, folder)
    elsewhere = tmp_path / "results"
    elsewhere.mkdir()
    again = load(scenario.to_yaml(), elsewhere)
    assert again == scenario
    assert again.to_yaml() == scenario.to_yaml()
    assert Scenario.model_validate(scenario.dump()) == scenario


def test_a_file_beside_the_scenario_becomes_a_full_path_and_one_of_the_data_folder_keeps_its_name(folder):
    assert load(ROSTERS, folder).topology.file == str(folder.resolve() / "pupils.csv")
    assert load(STAR, folder).data.file == "star.csv"


def test_grades_may_be_written_as_numbers(folder):
    assert load(STAR, folder).data.grades == ("K", "1")


def test_without_stages_the_leaves_train_what_is_merged_and_what_they_own(folder):
    scenario = load(STAR, folder)
    (stage,) = scenario.stages
    assert (stage.name, stage.at, stage.data) == ("federate", "classroom", "own")
    assert stage.trainable == ("head.read", "head.math", "offset.classroom", "offset.campus")
    assert scenario.evaluate.tiers == ("classroom", "cloud")


def test_what_a_model_keeps_at_the_leaves_is_trained_without_stages():
    """Heads, adapters and a prompt that no tier lists are the devices' own; an encoder and a trunk stay as they are."""
    scenario = Scenario.model_validate(
        {
            "title": "Personal heads",
            "topology": {"kind": "classroom", "devices": 2},
            "data": {"source": "campus"},
            "model": {"tasks": ["answer"], "prompt": {"tokens": 1}, "adapters": {"width": 4, "last": 1}},
            "plan": {"classroom": {"modules": ["encoder.record"]}},
        }
    ).resolved()
    assert scenario.stages[0].trainable == ("encoder.record", "prompt", "adapter", "head.answer")


def test_costs_only_leaves_nothing_to_learn_or_evaluate(folder):
    scenario = load(COSTS, folder)
    assert scenario.data is None
    assert scenario.evaluate is None
    assert scenario.model.footprint["encoder"].bytes == 1e6
    assert scenario.model.footprint["encoder"].flops == 2e9
    assert scenario.stages[0].trainable == ("encoder", "head.answer")


def test_module_names_are_those_of_the_model_and_patterns_keep_their_order(folder):
    names = module_names(load(DESIGN, folder))
    assert names == (
        *("encoder.handwriting", "encoder.clickstream", "encoder.record", "trunk", "adapter"),
        *("head.answer", "head.engagement", "head.outcome", "offset.classroom", "offset.campus"),
        *("decoder.handwriting", "decoder.clickstream", "decoder.record"),
    )
    assert resolve(["head.*", "adapter", "head.answer"], names) == (
        *("adapter", "head.answer", "head.engagement", "head.outcome"),
    )
    without = DESIGN.replace("adapters: {width: 8, last: 1}", "adapters: null").replace("adapter, ", "")
    assert "adapter" not in module_names(load(without, folder))


def test_module_names_are_those_that_torch_models_have():
    m3t, linear = pytest.importorskip("models.m3t"), pytest.importorskip("models.linear")
    tasks = {name: type("Task", (), {"outputs": 2})() for name in ("a", "b")}
    shapes = {"handwriting": (8, 8), "clickstream": (3, 4), "record": (6,)}
    from experiments.schema.subjects import LinearModel, M3TModel

    built = m3t.M3T(shapes=shapes, tasks=tasks, offsets=("campus",))
    assert tuple(built.modules) == M3TModel(tasks=("a", "b"), offsets=("campus",)).modules
    built = linear.LinearModel(shapes={"record": (6,)}, tasks=tasks, offsets=("campus",))
    assert tuple(built.modules) == LinearModel(tasks=("a", "b"), offsets=("campus",)).modules


def test_overrides_are_yaml_values_at_dotted_keys(folder):
    overrides = {
        "plan.cloud.wait": "{deadline: 30 s}",
        "learning.optimizer.lr": "1e-2",
        "stages.0.epochs": "2",
        "topology.device_mix": "null",
        "topology.device": "raspberry_pi5",
        "profiles.devices.mine": "{based_on: raspberry_pi5}",
    }
    scenario = load(DESIGN, folder, overrides=overrides, seed=11)
    assert scenario.plan["cloud"].wait.deadline == 30.0
    assert scenario.learning.optimizer.lr == 0.01
    assert scenario.stages[0].epochs == 2
    assert scenario.topology.mix == {"raspberry_pi5": 1.0}
    assert scenario.seed == 11


def test_an_override_finds_keys_that_have_dots_themselves(folder):
    scenario = load(COSTS, folder, overrides={"model.footprint.head.answer.bytes": "3 kB"})
    assert scenario.model.footprint["head.answer"].bytes == 3000.0


def test_profiles_of_the_scenario_change_the_catalogue(folder):
    profiles = load(ROSTERS, folder).profiles
    warm, plain = (device_profiles(profiles)[name] for name in ("tablet_warm", "android_tablet_budget"))
    assert (warm.name, warm.idle_watts, warm.cores) == ("tablet_warm", 1.8, 4)
    assert warm.flops_per_s == plain.flops_per_s
    assert link_profiles(profiles)["campus_10g"].latency_seconds == 0.005


def test_the_same_schema_is_the_python_api(folder):
    loaded = load(COSTS, folder)
    made = Scenario(
        title="One classroom",
        topology={"kind": "classroom", "devices": 8, "device": "android_tablet_budget"},
        model={"footprint": {"encoder": {"bytes": 1e6, "flops": "2 GFLOP"}, "head.answer": {"bytes": "10 kB"}}},
        plan={"classroom": {"modules": ["*"], "rounds": 3, "wait": {"first": 6}}},
    )
    assert made.resolved() == loaded
    with pytest.raises(ValidationError, match="frozen"):
        made.seed = 3
    with pytest.raises(ValidationError, match="cannot wait for 9"):
        Scenario(**{**made.dump(), "plan": {"classroom": {"modules": ["*"], "wait": {"first": 9}}}})


def test_reading_a_scenario_imports_nothing_heavy(folder):
    load(DESIGN, folder)
    code = (
        "import sys; from experiments.scenario import Scenario; Scenario.load(sys.argv[1]);"
        "print(*({'torch', 'simpy', 'pandas', 'sklearn', 'numpy', 'networkx'} & set(sys.modules)), end='')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / "study.yaml")], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
