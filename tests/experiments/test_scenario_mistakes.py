"""Every mistake of a scenario has one line: where, which key, what is wrong, and what was perhaps meant."""

import pytest

from experiments.scenario import Scenario, ScenarioError

GOOD = """\
title: A district
topology: {kind: district, campuses: 3, classrooms: 4, devices: 10}
data: {source: campus}
model: {offsets: [campus], tasks: [answer, outcome]}
plan:
  classroom: {modules: ["head.*", "offset.*"]}
  cloud: {modules: [head.answer], rounds: 5}
stages:
  - {name: pretrain, at: cloud, trainable: [trunk], objective: masked}
  - {name: federate, at: device, trainable: ["head.*", "offset.*"]}
"""
STAR = """\
title: Schools
topology: {kind: data}
data: {source: star}
model: {kind: linear}
plan: {cloud: {modules: ["head.*"]}}
"""
COSTS = """\
title: Costs
topology: {kind: star, clients: 3}
model: {footprint: {head: {bytes: 1 kB}}}
plan: {cloud: {modules: [head]}}
"""


@pytest.fixture
def mistakes(tmp_path, monkeypatch):
    """The lines that a text brings about, without the folder in front of them."""
    monkeypatch.setenv("EDUFOG_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/star.csv").touch()
    (tmp_path / "pupils.csv").write_text("pupil,class\n")
    (tmp_path / "latin.csv").write_bytes(b"\xe9\n")

    def of(text, **options):
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ScenarioError) as error:
            Scenario.load(path, **options)
        return str(error.value).replace(f"{tmp_path}/", "").splitlines()

    return of


@pytest.mark.parametrize("text", [GOOD, STAR, COSTS])
def test_the_texts_below_are_good_before_they_are_spoilt(text, tmp_path, monkeypatch):
    monkeypatch.setenv("EDUFOG_DATA", str(tmp_path))
    (tmp_path / "star.csv").touch()
    (tmp_path / "s.yaml").write_text(text)
    assert text.startswith(f"title: {Scenario.load(tmp_path / 's.yaml').title}\n")


KEYS_AND_TYPES = [
    ("title: A", "titel: A", ["1: title: is missing", "1: titel: unknown key; did you mean 'title'?"]),
    ("title: A district", "title: ''", ["1: title: must not be empty"]),
    ("title: A district", "title: 3", ["1: title: expected a text, got 3"]),
    ("title: A", "seed: '7'\ntitle: A", ["1: seed: expected a whole number, got '7'"]),
    ("title: A", "seed: true\ntitle: A", ["1: seed: expected a whole number, got True"]),
    ("title: A", "seed: -1\ntitle: A", ["1: seed: must be >= 0, got -1"]),
    ("title: A", "plots: 1\ntitle: A", ["1: plots: expected true or false, got 1"]),
    ("title: A", "title: B\ntitle: A", ["2: title: duplicate key; it is on line 1 already"]),
    ("title: A", "xyz: 1\ntitle: A", ["1: xyz: unknown key; there are " + ", ".join(Scenario.model_fields)]),
    ("classrooms: 4", "clasrooms: 4", [
        "2: topology.classrooms: is missing", "2: topology.clasrooms: unknown key; did you mean 'classrooms'?"]),
    ("kind: district", "kind: distrct", ["2: topology.kind: unknown kind 'distrct'; did you mean 'district'?"]),
    ("kind: district, ", "", [
        "2: topology: needs a kind: one of district, campus, classroom, star, rosters, data, hfedfm, file"]),
    ("topology: {", "topology: 3\nprofiles: {devices: {}} #", ["2: topology: expected a mapping, got 3"]),
    ("devices: 10", "devices: 2.5", ["2: topology.devices: expected a whole number, got 2.5"]),
    ("devices: 10", "devices: 0", ["2: topology.devices: must be >= 1, got 0"]),
    ("source: campus", "source: campos", ["3: data.source: unknown source 'campos'; did you mean 'campus'?"]),
    ("source: campus", "partition: {alpha: .nan}", ["3: data.partition.alpha: must be finite, got nan"]),
    ("source: campus", "partition: {alpha: 0}", ["3: data.partition.alpha: must be > 0, got 0"]),
    ("source: campus", "partition: {kind: iid, alpha: 1}", [
        "3: data.partition: alpha belongs to kind dirichlet; iid has none"]),
    ("source: campus", "missing_modality: 1.0", ["3: data.missing_modality: must be < 1, got 1.0"]),
    ("tasks: [answer, outcome]", "tasks: answer", ["4: model.tasks: expected a list, such as [answer], got 'answer'"]),
    ("tasks: [answer, outcome]", "tasks: 4", ["4: model.tasks: expected a list, got 4"]),
    ("tasks: [answer, outcome]", "tasks: []", ["4: model.tasks: must not be empty"]),
    ("offsets: [campus]", "offsets: [campus, campus]", ["4: model.offsets: 'campus' is listed twice"]),
    ("offsets: [campus]", "kind: m4t", ["4: model.kind: unknown kind 'm4t'; did you mean 'm3t'?"]),
    ("offsets: [campus]", "offsets: [campus], width: 30", [
        "4: model: width must be a multiple of trunk.heads, got 30 and 4"]),
    ("offsets: [campus]", "offsets: [campus], adapters: {last: 3}", [
        "4: model: adapters.last is 3, but the trunk has 2 layers"]),
    ("rounds: 5", "rounds: 0", ["7: plan.cloud.rounds: must be >= 1, got 0"]),
    ("rounds: 5", "wait: {deadline: 10 W}", [
        "7: plan.cloud.wait.deadline: '10 W' is a power; expected seconds, such as 5 ms"]),
    ("rounds: 5", "wait: {deadline: 0}", ["7: plan.cloud.wait.deadline: must be > 0, got 0"]),
    ("rounds: 5", "wait: {first: 2, of: 3}", ["7: plan.cloud.wait.of: unknown key; there are first"]),
    ("rounds: 5", "wait: {deadline: 3 s, first: 2}", [
        "7: plan.cloud.wait: give exactly one of deadline, first, not 2"]),
    ("rounds: 5", "wait: forever", [
        "7: plan.cloud.wait: expected barrier, {deadline: 10 min} or {first: 3}, got 'forever'"]),
    ("rounds: 5", "select: {energy: 2, fair: 1}", ["7: plan.cloud.select: give exactly one of energy, fair, not 2"]),
    ("title: A", "d2d: {neighbours: {within: 3 m, degree: 2}}\ntitle: A", [
        "1: d2d.neighbours: give exactly one of within, degree, not 2"]),
    ("title: A", "d2d:\n- {neighbours: ring}\n- {tier: campos,\n   link: wifi_dirct}\ntitle: A", [
        "3: d2d.1.tier: no tier 'campos' in this topology; did you mean 'campus'?",
        "4: d2d.1.link: unknown link profile 'wifi_dirct'; did you mean 'wifi_direct'?"]),
    ("rounds: 5", "select: {random: 0}", ["7: plan.cloud.select.random: must be >= 1, got 0"]),
    ("rounds: 5", "select: {randm: 2}", [
        "7: plan.cloud.select.random: is missing",
        "7: plan.cloud.select.randm: unknown key; did you mean 'random'?"]),
    ("rounds: 5", "select: {random: all}", ["7: plan.cloud.select.random: expected a whole number, got 'all'"]),
    ("rounds: 5", "select: {carbon: 1}", [
        "7: plan.cloud.select.carbon: goes by grams of CO2, which costs.carbon would tell; give it, or take energy"]),
    ("rounds: 5", "select: 2", [
        "7: plan.cloud.select: expected everyone or one of {random: 10}, {deadline: 30 s}, {utility: 10}, "
        "{energy: 10}, {carbon: 10}, {fair: 10}, got 2"]),
    ("title: A", "learning: {optimizer: {name: adam}}\ntitle: A", [
        "1: learning.optimizer.name: expected adamw or sgd, got 'adam'; did you mean 'adamw'?"]),
    ("title: A", "learning: {optimizer: {momentum: 0.9}}\ntitle: A", [
        "1: learning.optimizer: momentum belongs to sgd; adamw has its own"]),
    ("title: A", "learning: {batch_size: 1}\ntitle: A", [
        "1: learning.batch_size: expected a whole number >= 2, or full, got 1"]),
    ("title: A", "evaluate: {moments: [after_merg]}\ntitle: A", [
        "1: evaluate.moments.0: expected before_merge, after_merge or after_broadcast, got 'after_merg'; "
        "did you mean 'after_merge'?"]),
    ("title: A", "baselines: [locl]\ntitle: A", [
        "1: baselines.0: expected zero, local, pooled_linear, pooled_mixed or pooled_trees, got 'locl'; "
        "did you mean 'local'?"]),
    ("name: federate", "name: federate, epoch: 3", ["10: stages.1.epoch: unknown key; did you mean 'epochs'?"]),
]  # fmt: skip
TOGETHER = [
    ("devices: 10", "devices: 10, device_mix: {chromebook_n100: 0.6, laptop_i5u: 0.3}", [
        "2: topology.device_mix: the fractions must sum to 1, got 0.9"]),
    ("devices: 10", "devices: 10, device_mix: {chromebook_n100: 1.5, laptop_i5u: -0.5}", [
        "2: topology.device_mix.laptop_i5u: must be > 0, got -0.5"]),
    ("devices: 10", "devices: 10, device: laptop_i5u, device_mix: {laptop_i5u: 1}", [
        "2: topology: give device or device_mix, not both"]),
    ("devices: 10", "devices: 10, device: laptop_i5", [
        "2: topology.device: unknown device profile 'laptop_i5'; did you mean 'laptop_i5u'?"]),
    ("devices: 10", "devices: 10,\n device_mix: {chromebook_n100: 0.5,\n  laptop: 0.5}", [
        "4: topology.device_mix.laptop: unknown device profile 'laptop'; did you mean 'laptop_i5u'?"]),
    ("devices: 10", "devices: 10, access: wifi6_40mhz_2x", [
        "2: topology.access: unknown link profile 'wifi6_40mhz_2x'; did you mean 'wifi6_40mhz_2x2'?"]),
    ("tasks: [answer, outcome]", "tasks: [answer, outcme]", [
        "4: model.tasks.1: data source campus has no task 'outcme'; did you mean 'outcome'?"]),
    ("tasks: [answer, outcome]", "tasks: [answer, read]", [
        "4: model.tasks.1: data source campus has no task 'read'; it has answer, engagement, outcome"]),
    ("offsets: [campus]", "offsets: [campus, classrom]", [
        "4: model.offsets.1: no tier 'classrom' in this topology; did you mean 'classroom'?"]),
    ("cloud: {modules: [head.answer]", "cloud: {modules: [head.answer, trunk, adapter]", [
        "7: plan.cloud.modules: merges trunk, adapter, which classroom below does not; "
        "modules may only shrink going up",
        "7: plan.cloud.modules.2: no stage trains adapter, so nobody has anything to merge; train it, or leave it "
        "out here"]),
    ('"offset.*"]', '"ofset.*"]', [
        "6: plan.classroom.modules.1: 'ofset.*' matches no module; did you mean 'offset.*'?"]),
    ("head.answer", "zzz", [
        "7: plan.cloud.modules.0: 'zzz' matches no module; "
        "the modules are encoder.*, trunk, adapter, head.*, offset.*, decoder.*"]),
    ("  cloud:", "  clod:", ["7: plan.clod: no tier 'clod' in this topology; did you mean 'cloud'?"]),
    ("  classroom:", "  device:", ["6: plan.device: device is the lowest tier and has nobody to gather from"]),
    ("rounds: 5", "wait: {first: 4}", [
        "7: plan.cloud.wait.first: a cloud has 3 children, so it cannot wait for 4"]),
    ("rounds: 5", "select: {random: 4}", [
        "7: plan.cloud.select.random: a cloud has 3 children, so it cannot ask 4"]),
    ("rounds: 5", "select: {random: 2}, wait: {first: 3}", [
        "7: plan.cloud.wait.first: a cloud asks 2 children, so it cannot wait for 3"]),
    ("at: device", "at: device, plan: {classroom: {modules: [head.answer], select: {random: 11}}}", [
        "10: stages.1.plan.classroom.select.random: a classroom has 10 children, so it cannot ask 11"]),
    ('"offset.*"]', '"offset.*", adapter]', [
        "6: plan.classroom.modules.2: no stage trains adapter, so nobody has anything to merge; train it, or leave it "
        "out here"]),
    ("at: device", "at: device, plan: {classroom: {modules: [adapter]}}", [
        "10: stages.1.plan.classroom.modules.0: no stage trains adapter, so nobody has anything to merge; train it, or "
        "leave it out here"]),
    ("title: A", "learning: {algorithm: fedasync}\ntitle: A", [
        "1: learning.algorithm: fedasync goes by how stale a report is, but the plan keeps no late ones, so none ever "
        "is; give the plan wait: {first: 1} (or more) and late: keep, or choose another algorithm"]),
    ("at: device", "at: device, algorithm: [fedbuff]", [
        "10: stages.1.algorithm: fedbuff goes by how stale a report is, but the plan keeps no late ones, so none ever "
        "is; give the plan wait: {first: 1} (or more) and late: keep, or choose another algorithm"]),
    ("rounds: 5", "late: keep", [
        "7: plan.cloud: late: keep is of no effect where all are waited for; give a wait: deadline or first"]),
    ("at: device", "at: devices", ["10: stages.1.at: no tier 'devices' in this topology; did you mean 'device'?"]),
    ("at: device", "at: campus", [
        "10: stages.1.at: a campus has no data; train at device on own data or at cloud on public data"]),
    ("at: device", "at: cloud", [
        "10: stages.1.objective: the cloud has public data only, which has no targets; give objective: masked"
    ]),
    ("at: device", "data: public, at: device", ["10: stages.1.at: public data is at the cloud, not at a device"]),
    ("name: federate", "name: pretrain", ["10: stages.1.name: another stage is called 'pretrain' already"]),
    ("objective: masked", "objective: masked, data: own", ["9: stages.0.data: a masked stage learns from public data"]),
    ("objective: masked", "objective: masked, plan: {cloud: {modules: [trunk]}}", [
        "9: stages.0.plan: a masked stage runs in one place, so nobody merges; leave plan out"]),
    ("source: campus", "public: 0", ["3: data.public: must be > 0, since stage 'pretrain' learns from public data"]),
    ("trainable: [trunk]", "trainable: [trunks]", [
        "9: stages.0.trainable.0: 'trunks' matches no module; did you mean 'trunk'?"]),
    ("title: A", "evaluate: {tiers: [clod]}\ntitle: A", [
        "1: evaluate.tiers.0: no tier 'clod' in this topology; did you mean 'cloud'?"]),
    ("data: {source: campus}", "", ["1: data: is missing; without data, give model.footprint to simulate costs only"]),
    ("title: A", "profiles: {devices: {pi: {based_on: raspbery_pi5}}}\ntitle: A", [
        "1: profiles.devices.pi.based_on: unknown profile 'raspbery_pi5'; did you mean 'raspberry_pi5'?"]),
    ("title: A", "profiles: {devices: {pi: {cores: 4}}}\ntitle: A", [
        "1: profiles.devices.pi: is a new profile; give based_on, or kind, flops_per_s, utilisation, memory_bytes, "
        "memory_bytes_per_s, idle_watts, busy_watts"]),
    ("title: A", "profiles: {devices: {raspberry_pi5: {idle_wats: 3 W, busy_watts: 5 ms}}}\ntitle: A", [
        "1: profiles.devices.raspberry_pi5.idle_wats: unknown figure; did you mean 'idle_watts'?",
        "1: profiles.devices.raspberry_pi5.busy_watts: '5 ms' is a time; expected watts, such as 250 mW"]),
    ("title: A", "profiles: {devices: {raspberry_pi5: {cores: 0}}}\ntitle: A", [
        "1: profiles.devices.raspberry_pi5.cores: must be a whole number >= 1, got 0"]),
    ("title: A", "profiles: {links: {eth_1g: {up_bits_per_s: 0, loss: high}}}\ntitle: A", [
        "1: profiles.links.eth_1g.up_bits_per_s: must be > 0, got 0",
        "1: profiles.links.eth_1g.loss: expected a number, got 'high'"]),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "lines"), KEYS_AND_TYPES + TOGETHER)
def test_a_mistake_has_its_message(mistakes, good, bad, lines):
    assert good in GOOD
    assert mistakes(GOOD.replace(good, bad, 1)) == [f"s.yaml:{line}" for line in lines]


@pytest.mark.parametrize(
    ("text", "good", "bad", "line"),
    [
        (GOOD, "kind: district, campuses: 3, classrooms: 4, devices: 10", "kind: data",
         "2: topology.kind: kind data takes the schools of data source star, which is not used here"),
        (GOOD, "offsets: [campus]", "kind: linear, offsets: [campus]",
         "4: model: data source campus needs a model of kind m3t or module"),
        (STAR, "kind: linear", "kind: m3t", "4: model: data source star needs a model of kind linear or module"),
        (STAR, "kind: linear", "kind: linear, tasks: [math, reed]",
         "4: model.tasks.1: data source star has no task 'reed'; did you mean 'read'?"),
        (STAR, "kind: data", "kind: star, clients: 3",
         "2: topology.clients: star data brings its own classes; leave clients out"),
        (STAR, "kind: data", "kind: classroom, devices: 3",
         "2: topology.kind: star data brings its own schools: use kind data or star"),
        (STAR, "source: star", "source: star, grades: [K, 7]",
         "3: data.grades.1: expected K, 1, 2 or 3, got '7'"),
        (COSTS, ", clients: 3", "", "2: topology.clients: is missing"),
        (COSTS, "bytes: 1 kB", "bytes: 1 kW",
         "3: model.footprint.head.bytes: '1 kW' is a power; expected bytes, such as 1 kB or 8 GiB"),
        (COSTS, "bytes: 1 kB", "flops: 1", "3: model.footprint.head.bytes: is missing"),
        (COSTS, "{head: {bytes: 1 kB}}", "{}", "3: model.footprint: must not be empty"),
        (COSTS, "title: Costs", "baselines: [zero]\ntitle: Costs",
         "1: baselines: a model given by its footprint only has costs; leave this out, or give a model"),
        (COSTS, "title: Costs", "evaluate: {}\ntitle: Costs",
         "1: evaluate: a model given by its footprint only has costs; leave this out, or give a model"),
        (COSTS, "{cloud: {modules: [head]}}", "{}",
         "4: plan: is empty: name a tier that gathers its children, or give stages"),
        (COSTS, "plan: {cloud: {modules: [head]}}", "plan:", "4: plan: expected a mapping, got None"),
        (COSTS, "title: Costs", "stages: [{name: a, at: cloud, trainable: [head], objective: masked}]\ntitle: Costs",
         "1: stages.0.objective: masked needs a model of kind m3t"),
    ],
)  # fmt: skip
def test_a_model_fits_its_data_and_its_tree(mistakes, text, good, bad, line):
    assert good in text
    lines = mistakes(text.replace(good, bad, 1))
    assert f"s.yaml:{line}" in lines
    assert len(lines) == 1 or "kind: " in bad


def test_a_frozen_trunk_is_neither_sent_nor_trained_with_the_tasks(mistakes):
    text = GOOD.replace("offsets: [campus]", "offsets: [campus], trunk: {frozen: true}")
    text = text.replace('trainable: ["head.*", "offset.*"]', 'trainable: ["*"]')
    text = text.replace('"offset.*"]', '"offset.*", trunk]')
    assert mistakes(text) == [
        "s.yaml:6: plan.classroom.modules: trunk is frozen, so it would be sent unchanged; "
        "leave it out, or set model.trunk.frozen: false",
        "s.yaml:10: stages.1.trainable: trunk is frozen, so it cannot be trained here; "
        "leave it out, or set model.trunk.frozen: false",
    ]


def test_all_mistakes_are_told_at_once_each_with_its_line(mistakes):
    text = (
        GOOD.replace("title: A district", "titel: A district")
        .replace("devices: 10", "devices: ten, access: wifi")
        .replace("offsets: [campus]", "offsets: [campus], width: wide")
        .replace("rounds: 5", "wait: {deadline: 5 kB}")
    )
    assert mistakes(text + "evaluate: {every: 0}\nprofiles: {links: {fast: {}}}\n") == [
        "s.yaml:1: title: is missing",
        "s.yaml:1: titel: unknown key; did you mean 'title'?",
        "s.yaml:2: topology.devices: expected a whole number, got 'ten'",
        "s.yaml:4: model.width: expected a whole number, got 'wide'",
        "s.yaml:7: plan.cloud.wait.deadline: '5 kB' is an amount of data; expected seconds, such as 5 ms",
        "s.yaml:11: evaluate.every: must be >= 1, got 0",
        "s.yaml:12: profiles.links.fast: is a new profile; give based_on, or kind, up_bits_per_s, down_bits_per_s",
    ]


def test_sections_that_are_sound_are_compared_whatever_is_wrong_elsewhere(mistakes):
    text = GOOD.replace("title: A", "plots: maybe\ntitle: A").replace("[head.answer]", "[head.answer, trunk]")
    assert mistakes(text) == [
        "s.yaml:1: plots: expected true or false, got 'maybe'",
        "s.yaml:8: plan.cloud.modules: merges trunk, which classroom below does not; modules may only shrink going up",
    ]


def test_mistakes_of_overrides_name_the_option(mistakes):
    overrides = {
        "plan.cloud.round": "3",
        "topology.devices": "0",
        "title.x": "1",
        "model.width": "[3",
        "plan.classroom.wait": "{first: soon}",
    }
    assert mistakes(GOOD, overrides=overrides, seed=-1) == [
        "--set title.x: title is 'A district', which has no 'x' inside; set it as a whole",
        "--set model.width: not valid YAML: expected ',' or ']', but got '<stream end>'",
        "--seed: must be >= 0, got -1",
        "--set topology.devices: must be >= 1, got 0",
        "--set plan.classroom.wait: plan.classroom.wait.first: expected a whole number, got 'soon'",
        "--set plan.cloud.round: unknown key; did you mean 'rounds'?",
    ]


def test_files_are_there_and_have_their_columns(mistakes, tmp_path):
    rosters = "{kind: rosters, file: pupils.csv, student: pupl, school: class}"
    roster = COSTS.replace("{kind: star, clients: 3}", rosters)
    assert mistakes(roster) == [
        "s.yaml:2: topology.student: pupils.csv:1 has no column 'pupl'; did you mean 'pupil'?",
        "s.yaml:2: topology.classroom: pupils.csv:1 has no column 'classroom'; did you mean 'class'?",
    ]
    (line,) = mistakes(roster.replace("pupils.csv", "latin.csv"))
    assert line.startswith("s.yaml:2: topology.file: latin.csv:1 is no table in UTF-8: ")
    (tmp_path / "data/star.csv").unlink()
    (line,) = mistakes(STAR)
    assert line == (
        f"s.yaml:3: data.file: file 'star.csv' not found: not in {tmp_path}, nor under $EDUFOG_DATA (data); "
        "put it beside the scenario or set EDUFOG_DATA to its folder"
    )
    (line,) = mistakes(COSTS.replace("{kind: star, clients: 3}", "{kind: file, file: tree.json}"))
    assert line.startswith("s.yaml:2: topology.file: file 'tree.json' not found: ")


def test_a_text_that_is_no_yaml_has_one_message(mistakes, tmp_path):
    assert mistakes("") == ["s.yaml:1: the file is empty"]
    assert mistakes("title: x\nplan:\n\tcloud: 1\n") == ["s.yaml:3: not valid YAML: a tab where YAML wants spaces"]
    with pytest.raises(ScenarioError) as error:
        Scenario.load(tmp_path / "absent.yaml")
    assert str(error.value) == f"{tmp_path}/absent.yaml: cannot be read: no such file or directory"


def test_a_tag_is_told_once_and_builds_nothing(mistakes):
    assert mistakes(GOOD.replace("title: A district", "title: !!python/name:os.system ''")) == [
        "s.yaml:1: title: the tag !!python/name:os.system is not understood here; write a plain value"
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("battery: {initial: 1}", "battery: unknown key; did you mean 'costs.battery'?"),
        ("lr: 0.1", "lr: unknown key; did you mean 'learning.optimizer.lr'?"),
        ("learning: {mu: 0.1}", "learning.mu: unknown key; a knob goes with its algorithm: {name: ..., mu: ...}"),
        ("learning: {wait: barrier}", "learning.wait: unknown key; did you mean 'plan.<tier>.wait'?"),
    ],
)
def test_a_key_in_the_wrong_place_is_led_to_the_right_one(mistakes, line, told):
    assert mistakes(f"{line}\n{GOOD}") == [f"s.yaml:1: {told}"]
