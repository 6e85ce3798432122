"""Foundation models, networks of one's own and questions about images, from scenario to tables."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from experiments.build import build
from experiments.cli import GALLERY, main
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError

DOCS = (Path(__file__).parents[2] / "docs" / "foundation.md").read_text(encoding="utf-8")
NETWORK, OWN, BACKBONE = re.findall(r"^```(?:python|yaml)\n(.*?)^```", DOCS, re.S | re.M)


@pytest.fixture
def own(tmp_path):
    """The example of the docs, in a folder: the network and the scenario."""
    name = f"net_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(NETWORK, encoding="utf-8")
    (tmp_path / "own.yaml").write_text(OWN.replace("my_net", name), encoding="utf-8")
    return tmp_path / "own.yaml"


def test_the_example_is_short_and_learns(own):
    assert len(NETWORK.splitlines()) + len(OWN.splitlines()) <= 30
    result = run(Scenario.load(own, {"plots": "false"}))
    rows = result.metrics[(result.metrics.tier == "classroom") & (result.metrics["round"] == 3)]
    assert rows.value.item() > 0.1 + 5 * (0.09 / len(result.built.study.test)) ** 0.5  # far above chance
    sent = result.spans[result.spans.activity == "up"]
    assert set(sent.nbytes) == {4 * (8 * 9 + 8 + 72 * 10 + 10)}


def test_it_is_the_same_in_lanes_within_rounding_and_rerun_to_the_bit(own):
    keys = {"plots": "false", "plan.classroom.rounds": "1", "topology.devices": "3"}
    one, again, lanes = (run(Scenario.load(own, keys | more)) for more in ({}, {}, {"model.lanes": "4"}))
    pd.testing.assert_frame_equal(one.metrics, again.metrics)
    pd.testing.assert_frame_equal(one.metrics, lanes.metrics, atol=0.02)


RAGGED = """
from torch import nn, relu


class Ragged(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoders = nn.ModuleDict({m: nn.Linear(n, 8) for m, n in SIZES.items()})
        self.body = nn.Linear(8, 8)
        self.heads = nn.ModuleDict({t: nn.Linear(8, n) for t, n in OUTPUTS.items()})

    def forward(self, handwriting=None, clickstream=None, record=None, tasks=()):
        given = {"handwriting": handwriting, "clickstream": clickstream, "record": record}
        x = sum(self.encoders[m](x.flatten(1)) for m, x in given.items() if x is not None)
        x = relu(self.body(relu(x)))
        return {t: self.heads[t](x) for t in tasks}


SIZES, OUTPUTS = {"handwriting": 64, "clickstream": 96, "record": 12}, {"answer": 10, "engagement": 4, "outcome": 1}
"""


@pytest.mark.parametrize("lanes", ["1", "4"])
def test_who_lacks_something_trains_the_rest_and_the_stack_changes_no_bit(tmp_path, lanes):
    name = f"ragged_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(RAGGED, encoding="utf-8")
    names = {f"encoders.{m}.*": f"encoder.{m}" for m in ("handwriting", "clickstream", "record")}
    names |= {f"heads.{t}.*": f"head.{t}" for t in ("answer", "engagement", "outcome")} | {"body.*": "trunk"}
    (tmp_path / "ragged.yaml").write_text(
        "title: Ragged\ntopology: {kind: campus, classrooms: 1, devices: 6}\n"
        "data: {source: campus, missing_modality: 0.34, missing_task: 0.34}\n"
        f"model: {{kind: module, module: '{name}:Ragged', parameters: {json.dumps(names)}, lanes: {lanes},"
        " tasks: [answer, engagement, outcome]}\n"
        'plan: {classroom: {modules: ["*"]}, campus: {modules: ["*"]}}\nplots: false\n',
        encoding="utf-8",
    )
    one, some = (run(Scenario.load(tmp_path / "ragged.yaml", {"engine.chunk": chunk})) for chunk in ("1", "4"))
    pd.testing.assert_frame_equal(one.metrics, some.metrics)
    for node, state in one.states.items():
        assert all(value.equal(some.states[node].tensors[key]) for key, value in state.tensors.items())
    assert len({tuple(c.train.inputs) for c in one.built.study.clients.values()}) > 1


def test_the_resolved_scenario_runs_from_anywhere(own, tmp_path, monkeypatch):
    scenario = Scenario.load(own)
    monkeypatch.chdir(tmp_path.parent)
    (tmp_path.parent / "resolved.yaml").write_text(scenario.to_yaml(), encoding="utf-8")
    assert Scenario.load(tmp_path.parent / "resolved.yaml") == scenario


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        (r":Net$", ":Nett", "module", r"has no class 'Nett'; did you mean 'Net'\?"),
        (r":Net$", ":torch", "module", "torch in net_.* is no torch.nn.Module"),
        (
            r"module: net_.*",
            "module: not_there:Net",
            "module",
            "there is no not_there.py in .*, nor an installed",
        ),
        (r"module: net_.*", "module: json:Net", "module", r"json has no class 'Net'"),
        (r"width: 8", "widht: 8", "arguments", r"Net\(widht=8\) failed: TypeError"),
        (r', "digit\.\*": head.digit', "", "parameters", "digit.weight is matched by no pattern"),
        (r'"body\.\*"', '"boddy.*"', "parameters", "body.0.weight is matched by no pattern"),
        (r"tasks: \[digit\]", "tasks: [digits]", "tasks.0", r"no task 'digits'; did you mean 'digit'\?"),
    ],
)
def test_mistakes_are_one_message_with_the_line(own, check, old, new, key, message):
    text = re.sub(old, new, own.read_text(encoding="utf-8"), flags=re.M)
    own.write_text(text, encoding="utf-8")
    first = key.partition(".")[0]
    (number,) = [n for n, row in enumerate(text.split("\n"), 1) if row.strip().startswith(f"{first}:")]
    (said,) = check(own)
    assert re.search(rf"own.yaml:{number}: model.{re.escape(key)}: .*{message}", said), said


@pytest.fixture
def check(monkeypatch, capsys):
    """What ``edufog check`` complains of."""

    def run_check(path):
        monkeypatch.setattr("sys.argv", ["edufog", "check", str(path)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert ended.value.code == 2, said
        assert "Traceback" not in said
        return said.strip().splitlines()

    return run_check


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A scenario's folder: a tiny ViLT with its processor, a tiny Llama, pictures and questions of three students."""
    pytest.importorskip("peft")
    import tiny

    folder = tmp_path_factory.mktemp("home")
    for kind in ("vilt", "clip", "llama"):
        tiny.save(kind, folder / kind)
        tiny.save_processor(folder / kind)
    tiny.save_questions(folder / "pictures")
    return folder


def scenario(home, kind, *changes):
    text = BACKBONE.replace("processor: backbone", f"processor: {kind}").replace(
        "backbone: backbone", f"backbone: {kind}"
    )
    for old, new in (("{tokens: 4}", "{tokens: 2}"), ("rank: 4", "rank: 2"), ("rounds: 2", "rounds: 1"), *changes):
        assert old in text, old
        text = text.replace(old, new)
    path = home / f"{kind}.yaml"
    path.write_text(text + "learning: {batch_size: 4}\nplots: false\n", encoding="utf-8")
    return path


NO_PROMPT = (("  prompt: {tokens: 2}", "  #"), ("adapter, prompt,", "adapter,"))


@pytest.mark.parametrize("kind", ["vilt", "clip", "llama"])
def test_a_round_of_three_students_moves_and_sends_what_trains_and_no_more(home, kind):
    result = run(Scenario.load(scenario(home, kind, *(NO_PROMPT if kind == "clip" else ()))))
    size = {row["module"]: row["nbytes"] for row in result.footprint}
    trained = [name for name in size if name in ("adapter", "prompt", "head.answer")]
    up = result.spans[(result.spans.activity == "up") & (result.spans.kind == "transmit")]
    assert up.groupby("node").nbytes.unique().map(list).tolist() == [[sum(size[name] for name in trained)]] * 3
    assert set(result.metrics.task) == {"answer"}
    assert len(result.metrics[result.metrics.tier == "device"]) == 3
    start, states = result.built.learner.initial, result.states
    moved = {
        key.partition("/")[0]
        for state in states.values()
        for key in state.tensors
        if not state.tensors[key].equal(start[key])
    }
    assert moved == set(trained)


def test_heads_alone_are_trained_on_features_that_are_kept(home):
    """The backbone runs once per sample, and keeping what it gives changes nothing."""
    path = scenario(home, "vilt", ("rounds: 1", "rounds: 2"), *NO_PROMPT, ("adapter, head", "head"))
    heads = {"stages": '[{name: federate, at: device, trainable: ["head.*"]}]'}
    kept, anew = (run(Scenario.load(path, heads | {"cache": text})) for text in ("{memory: 1 MB}", "off"))
    sets = 3 + 3 + 1  # to train on, to be tested on, and the classroom's test; in two rounds
    assert (kept.manifest["cache_misses"], kept.manifest["cache_hits"]) == (sets, sets)
    pd.testing.assert_frame_equal(kept.metrics, anew.metrics)
    for node, state in kept.states.items():
        assert all(value.equal(anew.states[node].tensors[key]) for key, value in state.tensors.items())


def test_a_language_model_sees_no_image(home):
    result = run(Scenario.load(scenario(home, "llama")))
    assert set(result.built.study.modalities) == {"text"}


@pytest.mark.parametrize(
    ("kind", "old", "new", "message"),
    [
        ("clip", "tokens: 2", "tokens: 3", "model: prompt: a clip model takes no embeddings, so no prompt"),
        (
            "vilt",
            "length: 12",
            "length: 15",
            r"model: texts of 15 tokens and a prompt of 2 .*data.length: 14",
        ),
        ("vilt", "backbone: vilt", "backbone: viltt", r"backbone: viltt|backbone viltt: no such folder"),
        ("vilt", "kind: lora, rank", "kind: lorra, rank", "unknown kind 'lorra'; did you mean 'lora'"),
        ("vilt", "processor: vilt", "processor: pictures", "processor: no tokenizer_config.json in 'pictures'"),
        ("vilt", "folder: pictures", "folder: vilt", r"folder: no questions.jsonl in 'vilt'"),
        ("vilt", "devices: 3", "devices: 4", "data: .*questions.jsonl: 3 students are too few for 4 devices"),
        ("vilt", "rank: 2}", "rank: 2, last: 3}", "model: adapters.last is 3, but the backbone has 2 layers"),
    ],
)
def test_mistakes_with_backbones_are_one_message(home, check, monkeypatch, kind, old, new, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = check(scenario(home, kind, (old, new)))
    assert len(said) == 1, said
    assert re.search(message, said[0]), said


def test_the_resolved_backbone_scenario_is_the_same(home, tmp_path):
    loaded = Scenario.load(scenario(home, "vilt"))
    (tmp_path / "again.yaml").write_text(loaded.to_yaml(), encoding="utf-8")
    assert Scenario.load(tmp_path / "again.yaml") == loaded


def test_vilt_b32_says_who_lacks_memory(tmp_path):
    """Who has less than everything needs and the system keeps trains adapter and head, as far as these fit."""
    keys = {"plots": "false", "plan.cloud.rounds": "1"}
    built = run(Scenario.load(GALLERY / "vilt_b32.yaml", keys), tmp_path / "run").built
    memory = {name: f.memory for name, f in built.scenario.model.footprint.items()}
    devices = {node: built.hierarchy.profile(node) for node in built.hierarchy.nodes("device")}
    assert len({profile.name for profile in devices.values()}) == len(devices) == 12
    free = {node: profile.memory_bytes - built.scenario.memory.reserved for node, profile in devices.items()}
    short = {node for node, room in free.items() if sum(memory.values()) > room}
    events = pd.read_csv(tmp_path / "run" / "events.csv").set_index("node")
    told = events.detail[events.kind == "trains_part"]
    assert set(told.index) == short
    assert short
    assert all("adapter+head.answer;" in told[n] for n in short if memory["adapter"] + memory["head.answer"] <= free[n])


def test_vilt_b32_has_the_counted_figures():
    """After a change that is meant to move them: put what ``footprint()`` gives into the scenario."""
    pytest.importorskip("peft")
    from experiments.questions.who_can_take_part import RESERVED, footprint

    loaded = Scenario.load(GALLERY / "vilt_b32.yaml")
    written = {name: {key: value for key, value in f if key != "merge"} for name, f in loaded.model.footprint.items()}
    assert written == footprint()
    assert loaded.memory.reserved == RESERVED


def test_vilt_b32_in_closed_form():
    """Twelve layers of width 768 on 40 + 145 tokens: forward products by hand, and the known number of weights."""
    pytest.importorskip("peft")
    from experiments.questions.who_can_take_part import BATCH, STEPS, answer, footprint, step

    d, n, inner, patches = 768, 185, 3072, 144
    layer = 2 * n * (4 * d * d + 2 * d * inner) + 2 * 2 * n * n * d
    lora = 12 * 2 * 2 * (2 * n * d * 8)
    forward = 12 * layer + 2 * d * d + 2 * patches * (3 * 32 * 32) * d + lora + 2 * d * 3129
    assert step("head", 1).flops == forward + 2 * d * 3129  # no gradient but of the head's weights
    assert footprint()["head.answer"]["flops"] == STEPS * step("head", BATCH).flops
    assert footprint()["backbone"]["bytes"] == 4 * 111_595_008  # ViltModel's parameters
    rows = {row["device"]: row for row in answer(quick=True)}
    for row in rows.values():
        assert 0 <= row["full batch"] <= row["LoRA batch"] <= row["head batch"] <= BATCH
    assert rows["cloud_h100"]["full batch"] == BATCH
    assert rows["cloud_h100"]["head J"] == pytest.approx(rows["cloud_h100"]["head s"] * (1275 - 200))


def test_the_picture_is_drawn(tmp_path):
    from experiments.figures.participation import draw

    row = {
        "device": "a",
        "memory GB": 4.0,
        "full batch": 8,
        "full s": 4.0,
        "LoRA batch": 16,
        "LoRA s": 3.0,
        "head batch": 0,
    }
    paths = draw(tmp_path, [row], {"full": (1, 4e9), "LoRA": (1, 2e9), "head": (1, 1e9)}, 1e9, 16)
    assert [path.suffix for path in paths] == [".png", ".pdf"]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_an_encoder_of_what_the_data_do_not_have_is_refused(own):
    text = own.read_text(encoding="utf-8").replace("encoder.image", "encoder.imagine")
    own.write_text(text, encoding="utf-8")
    said = r"encoder\.imagine: the data have no imagine, but image; did you mean 'image'"
    with pytest.raises(ScenarioError, match=said):
        build(Scenario.load(own))
