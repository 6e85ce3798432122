"""Engines: the same bits in one process and in many, workers that die, and what is left behind."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import cloudpickle
import pytest
import torch
from federations import FEDERATED, MODEL, jobs
from hypothesis import given
from hypothesis import strategies as st

from models import SGD, AdamW, Masked, Recipe, Supervised
from models.devices import CPU, Device, Mover
from models.engines import Cache, Inline
from models.parallel import Auto, Joblib, divide, together
from models.parcels import pack, unpack
from models.pools import Dask, Loky
from models.workers import WorkerError, work

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test
RECIPES = {
    "adamw": Recipe(Supervised(), AdamW(5e-3), 2, 8, frozenset(FEDERATED)),
    "sgd": Recipe(Supervised(), SGD(0.05, 0.9, 1e-3), 1, 8, frozenset(FEDERATED), clip=0.5),
    "frozen": Recipe(
        Supervised(), AdamW(5e-3), 1, 8, frozenset(n for n in FEDERATED if n.startswith(("head", "adap")))
    ),
    "masked": Recipe(Masked(), AdamW(1e-3), 1, 8, frozenset(n for n in MODEL.modules if not n.startswith("head"))),
}


def clients(name, count=14):
    """Of different sizes, some without a modality or a task, one that trains less than the others."""
    some = jobs(count, decoders=name == "masked")
    return [*some[:-1], replace(some[-1], trainable=frozenset(n for n in FEDERATED if not n.startswith("encoder")))]


@pytest.fixture(scope="module")
def expected():
    torch.set_num_threads(1)  # before the fixture that sees to it in every test
    return {name: Inline().train_all(MODEL, clients(name), recipe) for name, recipe in RECIPES.items()}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """Where this process puts temporary files meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("scratch")
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture(scope="module")
def loky(scratch):
    pool = Loky(2)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def dask(scratch):
    pytest.importorskip("distributed")
    pool = Dask(2)
    yield pool
    pool.close()


def same(found, wanted):
    """The same bits under the same names in the same order."""
    return all(
        list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)
        for one, other in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize(("parts", "chunk"), [(1, 7), (2, None), (4, 1), (3, 7)])
@pytest.mark.parametrize("name", RECIPES)
def test_any_division_over_processes_gives_the_same_bits(loky, expected, name, parts, chunk):
    engine = Joblib(Among(loky, parts), partial(Inline, chunk))
    assert same(engine.train_all(MODEL, clients(name), RECIPES[name]), expected[name])


@pytest.mark.parametrize("name", RECIPES)
def test_a_dask_cluster_gives_the_same_bits(dask, expected, name):
    assert same(Joblib(dask, partial(Inline, 7)).train_all(MODEL, clients(name), RECIPES[name]), expected[name])


def test_workers_predict_the_same_bits(loky, dask):
    pairs = [(job.tensors, job.samples) for job in clients("adamw")]
    wanted = Inline().predict(MODEL, pairs, frozenset(FEDERATED))
    for engine in (Inline(1), Joblib(loky), Joblib(dask, partial(Inline, 7))):
        assert same(engine.predict(MODEL, pairs, frozenset(FEDERATED)), wanted)


@pytest.mark.parametrize("kind", ["inline", "workers"])
def test_what_is_not_trained_stays_the_very_same_tensor(kind, request):
    engine = Inline() if kind == "inline" else Joblib(request.getfixturevalue("loky"))
    some, recipe = clients("frozen"), RECIPES["frozen"]
    for job, result in zip(some, engine.train_all(MODEL, some, recipe), strict=True):
        changed = {key for key in result if result[key] is not job.tensors[key]}
        assert changed == {key for key in job.tensors if key.partition("/")[0] in job.trains(recipe)}


@pytest.mark.parametrize("gone", ["encoder.record", "trunk", "head.answer"])
def test_samples_for_which_a_module_of_the_front_lacks_are_refused(gone):
    job = clients("frozen")[0]
    short = replace(job, tensors={key: value for key, value in job.tensors.items() if not key.startswith(gone)})
    with pytest.raises(ValueError, match=f"{job.node}: its samples need {gone}, which it does not hold"):
        Inline().train_all(MODEL, [short], RECIPES["frozen"])


def test_a_front_that_is_kept_changes_no_bit(expected, tmp_path):
    kept, nothing = Inline(), Inline(cache=Cache(0.0))
    spilling = Inline(cache=Cache(1000.0, tmp_path / "cache", 1e9))
    for _ in range(2):
        for engine in (kept, nothing, spilling):
            assert same(engine.train_all(MODEL, clients("frozen"), RECIPES["frozen"]), expected["frozen"])
    assert kept.report()["cache_hits"] == 14 > nothing.report()["cache_hits"] == 0
    assert spilling.report()["cache_spilled_bytes"] > 0
    spilling.close()
    assert not (tmp_path / "cache").exists()


@dataclass(frozen=True)
class Odd(Supervised):
    """Something happens to the process that trains the client with so many *samples*, so many *times* in all."""

    random: ClassVar = True  # so that `hide` is asked
    samples: int = 0
    folder: Path = Path()
    times: int = 1
    what: str = "kill"

    def hide(self, model, samples, rows, rng):
        if len(samples) == self.samples and len(list(self.folder.iterdir())) < self.times:
            (self.folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()
            if self.what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "sleep":
                time.sleep(900)  # longer than anybody waits for it
            raise UnusualError(f"{torch.get_num_threads()} thread, {os.environ['MKL_CBWR']}", os.getpid())
        return {}


class UnusualError(LookupError):
    """Not to be made again from its text alone."""

    def __init__(self, text, pid):
        super().__init__(text)
        self.pid = pid

    def __reduce__(self):
        return UnusualError, (str(self), self.pid)


def odd(folder, node, **how):
    """Clients of different sizes, and a recipe under which something happens to one of them."""
    some = [job for i, job in enumerate(jobs(14)) if len(job.samples) not in {len(j.samples) for j in jobs(14)[:i]}]
    victim = next(job for job in some if job.node == node)
    return some, Recipe(Odd(samples=len(victim.samples), folder=folder, **how), AdamW(5e-3), 1, 8, frozenset(FEDERATED))


def test_a_worker_that_dies_is_made_up_for(loky, tmp_path):
    engine = Joblib(loky)
    some, recipe = odd(tmp_path, "n4")
    assert same(engine.train_all(MODEL, some, recipe), Inline().train_all(MODEL, some, recipe))
    assert engine.report()["worker_deaths"] == len(list(tmp_path.iterdir())) == 1


def test_a_client_with_which_a_worker_dies_twice_is_named(dask, tmp_path):
    engine = Joblib(dask)
    some, recipe = odd(tmp_path, "n4", times=9)
    with pytest.raises(WorkerError, match="a worker died twice while training n4 "):
        engine.train_all(MODEL, some, recipe)
    assert len(list(tmp_path.iterdir())) == 2
    recipe = replace(recipe, objective=Supervised())
    assert same(engine.train_all(MODEL, some, recipe), Inline().train_all(MODEL, some, recipe))  # goes on


@pytest.mark.parametrize("kind", ["loky", "dask"])
def test_an_exception_in_a_worker_keeps_its_type_and_words(kind, request, tmp_path):
    some, recipe = odd(tmp_path, "n4", what="raise")
    with pytest.raises(UnusualError, match="1 thread, AVX2") as raised:
        Joblib(request.getfixturevalue(kind)).train_all(MODEL, some, recipe)
    assert raised.value.pid != os.getpid()
    assert "in hide" in raised.value.__notes__[0]


def test_other_arithmetic_than_the_main_process_has_is_refused():
    with pytest.raises(RuntimeError, match="runs with MKL_CBWR=AVX2, the main process with COMPATIBLE"):
        work(0, pack(None), pack(None), "COMPATIBLE")


def test_nothing_is_left_when_engines_are_closed(loky, dask, scratch, expected):
    cache = partial(Inline, cache=Cache(0.0, scratch / "cache", 1e9))
    other, engine, cluster = Joblib(Loky(2)), Joblib(loky, cache), Joblib(dask, cache)
    other.train_all(MODEL, clients("sgd")[:2], RECIPES["sgd"])
    other.close()  # ends joblib's processes, of which there is one set, so that the next one starts anew
    for one in (engine, cluster):
        assert same(one.train_all(MODEL, clients("frozen"), RECIPES["frozen"]), expected["frozen"])
    assert len(children()) >= 4
    assert (scratch / "cache").exists()
    engine.close()
    cluster.close()
    assert not children()
    shared = Path("/dev/shm").glob(f"joblib_memmapping_folder_{os.getpid()}_*/*")
    assert not [*shared, *(left for left in scratch.iterdir() if not left.name.startswith("torchinductor"))]


def children():
    """Processes that this one started, without the trackers that the standard library and loky keep until it ends."""
    out = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
            words = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == str(os.getpid()) and b"tracker import main" not in words:
            out.add(int(stat.parent.name))
    return out


def test_an_interruption_ends_the_workers(tmp_path):
    script = f"""
        import sys
        sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
        from test_engines import *
        some, recipe = odd(Path({str(tmp_path)!r}), "n4", what="sleep")
        engine = Joblib(Loky(1))
        try:
            engine.train_all(MODEL, some, recipe)
        finally:
            engine.close()
    """
    ran = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 300
    while not (begun := list(tmp_path.iterdir())) and ran.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    ran.send_signal(signal.SIGINT)
    _, told = ran.communicate(timeout=300)
    assert ran.returncode == -signal.SIGINT, told
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun[0].name.partition("-")[0]), 0)


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 9))
def test_parts_hold_everybody_once_and_weigh_about_the_same(weights, parts):
    found = divide(weights, parts)
    assert sorted(i for part in found for i in part) == list(range(len(weights)))
    assert len(found) <= parts
    even = sum(max(weight, 1) for weight in weights) / parts
    for part in found:
        assert sum(max(weights[i], 1) for i in part) <= even + max(max(weights), 1)


def test_parcels_hold_each_tensor_once_and_nothing_that_it_is_a_view_of():
    whole = torch.arange(1_000_000.0).reshape(1000, 1000)
    row, column, shared = whole[3], whole[:, 2], whole[5].clone()
    others = {
        "scalar": torch.tensor(3), "empty": torch.empty(0, 4), "flags": torch.tensor([True, False]),
        "half": torch.tensor([1.5, 2.0]).bfloat16(), "wide": torch.arange(4).expand(3, 4),
        "parameter": torch.nn.Parameter(torch.ones(2), requires_grad=False),
    }  # fmt: skip
    parcel = pack({"row": row, "column": column, "one": shared, "other": shared} | others)
    assert 3 * 4000 < parcel.nbytes < 3 * 4000 + 3000
    read_only = parcel.copy()
    read_only.flags.writeable = False  # as it may come out of shared memory
    for found in (unpack(parcel), unpack(read_only)):
        assert found["one"] is found["other"]
        for name, value in {"row": row, "column": column, "one": shared, **others}.items():
            assert torch.equal(found[name], value)
            assert (found[name].dtype, type(found[name])) == (value.dtype, type(value))
            found[name].zero_()  # its memory is its own


class Among:
    """As if there were so many workers: the same processes, with the work cut into so many parts."""

    def __init__(self, pool, workers):
        self.workers, self.run, self.close = workers, pool.run, pool.close


class Here:
    """Workers that are this process."""

    def __init__(self, workers=2):
        self.workers, self.calls = workers, 0

    def run(self, calls):
        for function, arguments, options in calls:
            self.calls += 1
            yield function(*arguments, **options)

    def close(self):
        pass


def test_auto_takes_workers_once_they_would_have_paid_for_their_start_and_where_they_are_quicker():
    seconds = [1.9, 1.9, 0.8, 9.0, 0.7, 0.9, 0.6]
    ticks = iter([tick for i in range(len(seconds)) for tick in (sum(seconds[:i]), sum(seconds[: i + 1]))])
    pool, used, some = Here(), [], clients("adamw")
    engine = Auto(Inline, lambda: pool, ticks.__next__, cores=2)
    for _ in seconds:
        before = pool.calls
        engine.train_all(MODEL, some, RECIPES["adamw"])
        used.append(pool.calls > before)
    # 1.9 + 1.9 + 0.8 s here, of which two workers save half: more than the 2 s of their start, which is in the fourth
    # time, so that it does not count; then they take 0.7 s and 0.9 s, and 0.8 s here is less
    assert used == [False, False, False, True, True, True, False]
    assert engine.report()["engine"] == "joblib"


def test_auto_stays_in_its_process_with_one_core():
    engine = Auto(Inline, lambda: pytest.fail("started"), iter(range(0, 1000, 9)).__next__, cores=1)
    for _ in range(3):
        engine.train_all(MODEL, clients("adamw")[:4], RECIPES["adamw"])
    assert engine.report()["engine"] == "inline"


def test_reports_of_several_workers_are_one():
    first = {"device": "cpu", "chunks": {"train": [1, 4]}, "cache_hits": 2}
    other = {"device": "cpu", "chunks": {"train": [4, 8], "predict": [2]}, "cache_hits": 3, "cache": "full"}
    assert together([first, other]) == {
        "device": "cpu", "chunks": {"train": [1, 4, 8], "predict": [2]}, "cache_hits": 5, "cache": "full",
    }  # fmt: skip


def test_a_device_is_refused_where_torch_has_none():
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"device cuda: this torch .* use device: cpu or auto"):
            Device("cuda")
    with pytest.raises(ValueError, match="bf16 needs kind cuda"):
        Device("cpu", bf16=True)


def test_what_a_device_sets_is_put_back(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with Device(deterministic=True).at_work():
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert not torch.is_autocast_enabled("cpu")
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_nothing_is_moved_on_the_processor():
    some = clients("adamw")
    for job, moved in zip(some, Mover(CPU).jobs(some, frozenset()), strict=True):
        assert all(moved.tensors[key] is job.tensors[key] for key in job.tensors)
        assert moved.samples.inputs is job.samples.inputs


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@cuda
@pytest.mark.parametrize("name", RECIPES)
def test_a_gpu_agrees_with_the_processor(name, expected):
    for one, other in zip(
        Inline(7, Device("cuda")).train_all(MODEL, clients(name), RECIPES[name]), expected[name], strict=True
    ):
        for key in other:
            assert one[key].device.type == "cpu"
            assert torch.allclose(one[key], other[key], rtol=1e-3, atol=1e-3)


@cuda
def test_a_deterministic_gpu_repeats_its_bits():
    found = [
        Inline(7, Device("cuda", deterministic=True)).train_all(MODEL, clients("adamw"), RECIPES["adamw"]) for _ in "ab"
    ]
    assert same(*found)
