"""Engines in a scenario: what may be asked for, one hash of all tables and weights, and a run whose worker dies."""

import multiprocessing
import shutil

import pytest

from experiments.benchmarks import names
from experiments.cli import main
from experiments.engine import engine_of
from experiments.resume import resume
from experiments.run import run
from experiments.scenario import Scenario
from models.engines import Inline
from models.parallel import Auto, Joblib
from models.pools import Dask, Loky
from models.workers import WorkerError
from tests.experiments.going_on import STUDY
from tests.experiments.mixing import MIXING, mixing, tables_hash, weights_hash

SHORT = [  # the last stage without its third round: it is the same as the second
    *MIXING["stages"][:2],
    MIXING["stages"][2] | {"plan": {tier: {"modules": ["head.*", "adapter"]} for tier in MIXING["plan"]}},
]


def mixed(engine, out):
    """The run of the mixed study that this engine computes."""
    return run(Scenario.model_validate(mixing(engine=engine, stages=SHORT)), out)


@pytest.fixture(scope="module")
def inline(tmp_path_factory):
    return mixed("inline", tmp_path_factory.mktemp("inline") / "run")


@pytest.mark.parametrize(
    "engine",
    [{"kind": "inline", "chunk": 1}, {"kind": "joblib", "workers": 2, "chunk": 7},
     {"kind": "joblib", "workers": 2, "backend": "dask"}],
    ids=["chunk1", "loky", "dask"],
)  # fmt: skip
def test_every_engine_leaves_the_same_tables_and_weights(engine, inline, tmp_path):
    found = mixed(engine, tmp_path / "run")
    assert found.manifest["engine"] == engine["kind"]
    assert found.manifest.get("workers") == engine.get("workers")
    assert weights_hash(found.states) == weights_hash(inline.states)
    assert tables_hash(found.folder) == tables_hash(inline.folder)


def test_the_hashes_see_a_single_bit(inline, tmp_path):
    copy = shutil.copytree(inline.folder, tmp_path / "run")
    assert tables_hash(copy) == tables_hash(inline.folder)
    (copy / "metrics.csv").write_bytes((copy / "metrics.csv").read_bytes()[:-1] + b" ")
    assert tables_hash(copy) != tables_hash(inline.folder)
    before, weights = weights_hash(inline.states), inline.states["cloud"].tensors["head.answer/bias"]
    weights[0] = weights[0].nextafter(weights.new_tensor(9.0))
    after = weights_hash(inline.states)
    weights[0] = weights[0].nextafter(weights.new_tensor(-9.0))
    assert before == weights_hash(inline.states) != after


NET = """
import multiprocessing, os, signal
from pathlib import Path

from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.digit = nn.Linear(64, 8), nn.Linear(8, 10)

    def forward(self, image):
        deadly = Path(__file__).with_name("deadly").exists()
        if deadly and multiprocessing.current_process().name != "MainProcess":
            os.kill(os.getpid(), signal.SIGKILL)
        return self.digit(self.body(image.flatten(1)).relu())
"""


def test_a_run_whose_worker_dies_twice_names_the_client_and_can_be_gone_on_with(tmp_path, monkeypatch, capsys):
    (tmp_path / "mortal_net.py").write_text(NET)
    model = {
        "kind": "module", "module": "mortal_net:Net", "tasks": ["digit"], "folder": str(tmp_path),
        "parameters": {"body.*": "encoder.image", "digit.*": "head.digit"},
    }  # fmt: skip
    study = STUDY | {"model": model, "engine": {"kind": "joblib", "workers": 1}, "baselines": []}
    plan = {"classroom": {"modules": ["*"]}, "campus": {"modules": ["*"], "rounds": 2}}
    study |= {"topology": {"kind": "campus", "classrooms": 1, "devices": 3}, "plan": plan, "evaluate": {"every": 9}}
    scenario, out, whole = Scenario.model_validate(study), tmp_path / "run", tmp_path / "whole"
    (tmp_path / "s.yaml").write_text(scenario.to_yaml())
    run(Scenario.model_validate(study | {"engine": "inline"}), whole)
    (tmp_path / "deadly").touch()
    monkeypatch.setattr("sys.argv", ["edufog", "run", str(tmp_path / "s.yaml"), "--out", str(out), "-q"])
    with pytest.raises(SystemExit) as ended:
        main()
    first, last = capsys.readouterr().err.splitlines()[-2:]
    assert ended.value.code == 1
    assert first.startswith("a worker died twice while training campus0/room0/")
    assert last == f"the run folder is kept; go on with: edufog run --resume {out}"
    (tmp_path / "deadly").unlink()
    assert resume(out).manifest["status"] == "done"
    assert tables_hash(out) == tables_hash(whole)


BASE = {
    "title": "A room",
    "topology": {"kind": "classroom", "devices": 2},
    "data": {"source": "digits"},
    "model": {"kind": "mlp"},
    "plan": {"classroom": {"modules": ["*"]}},
}


@pytest.mark.parametrize(
    ("engine", "kind", "pool"),
    [("auto", Auto, None), ("inline", Inline, None), ("joblib", Joblib, Loky),
     ({"kind": "joblib", "backend": "dask", "workers": 3}, Joblib, Dask)],
)  # fmt: skip
def test_the_engine_is_the_one_asked_for_and_starts_nothing_yet(engine, kind, pool):
    made = engine_of(Scenario.model_validate(BASE | {"engine": engine, "cache": "off"}))
    assert type(made) is kind
    if pool:
        assert type(made.pool) is pool
        assert made.pool.workers == (3 if pool is Dask else made.pool.workers)
    assert not multiprocessing.active_children()


def test_a_cluster_that_is_not_there_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(Dask, "answer_seconds", 0.5)
    engine = {"kind": "joblib", "backend": "dask", "address": "tcp://127.0.0.1:9", "workers": 2}
    with pytest.raises(WorkerError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"):
        run(Scenario.model_validate(BASE | {"engine": engine}))


def test_the_keys_load_again_from_the_resolved_scenario(tmp_path):
    scenario = Scenario.model_validate(BASE | {"engine": "joblib", "device": "cpu", "cache": "off"})
    (tmp_path / "s.yaml").write_text(scenario.to_yaml())
    assert Scenario.load(tmp_path / "s.yaml").engine == scenario.engine
    assert (scenario.device.kind, scenario.cache.memory) == ("cpu", 0.0)


MISTAKES = [
    ("engine: joblb", "engine: expected auto, inline, joblib or a mapping such as {kind: joblib, workers: 2}, "
     "got 'joblb'; did you mean 'joblib'?"),
    ("engine: {kind: joblb}", "engine.kind: expected auto, inline or joblib, got 'joblb'; did you mean 'joblib'?"),
    ("engine: {workers: 0}", "engine.workers: must be >= 1, got 0"),
    ("engine: {chunk: 0}", "engine.chunk: must be >= 1, got 0"),
    ("engine: {workrs: 2}", "engine.workrs: unknown key; did you mean 'workers'?"),
    ("engine: {backend: dsk}", "engine.backend: expected loky, dask or ray, got 'dsk'; did you mean 'dask'?"),
    ("engine: {kind: inline, workers: 2}", "engine: workers belongs to kind joblib; inline has one process"),
    ("engine: {kind: joblib, address: 'tcp://a:1'}",
     "engine: address belongs to backend dask or ray; loky's workers are on this machine"),
    ("device: gpu", "device: expected auto, cpu, cuda or a mapping such as {kind: cuda, bf16: true}, got 'gpu'; "
     "did you mean 'cuda'?"),
    ("device: {kind: cpu, bf16: true}", "device: bf16 belongs to kind cuda; got cpu"),
    ("device: {deterministic: true}", "device: deterministic belongs to kind cuda; got auto"),
    ("cache: on", "cache: expected off or a mapping such as {memory: 1 GB, disk: 4 GB}, got 'on'"),
    ("cache: {memory: 1 GHz}", "cache.memory: '1 GHz' is a frequency; expected bytes, such as 1 kB or 8 GiB"),
]  # fmt: skip
LEARNS = """\
title: A room
topology: {kind: classroom, devices: 2}
data: {source: digits}
model: {kind: mlp}
plan: {classroom: {modules: ["*"]}}
"""
COSTS = """\
title: A room
topology: {kind: classroom, devices: 2}
model: {footprint: {head: {bytes: 1 kB}}}
plan: {classroom: {modules: [head]}}
"""


@pytest.mark.parametrize(("line", "told"), MISTAKES)
def test_a_mistake_has_its_line(line, told, tmp_path):
    (tmp_path / "s.yaml").write_text(LEARNS + line + "\n")
    with pytest.raises(ValueError, match=r"s.yaml:6: ") as raised:
        Scenario.load(tmp_path / "s.yaml")
    assert str(raised.value) == f"{tmp_path}/s.yaml:6: {told}"


@pytest.mark.parametrize("line", ["engine: joblib", "device: cuda", "cache: off"])
def test_costs_alone_are_not_computed_by_anybody(line, tmp_path):
    (tmp_path / "s.yaml").write_text(COSTS + line + "\n")
    with pytest.raises(
        ValueError, match=r"s.yaml:5: \w+: a model given by its footprint only has costs; leave this out"
    ):
        Scenario.load(tmp_path / "s.yaml")


def test_the_benchmarks_of_engines_are_there():
    assert {"equal", "gpu"} <= set(names())
