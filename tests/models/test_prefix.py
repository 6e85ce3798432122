from dataclasses import replace

import numpy as np
import pytest
import torch
from adapting import BOTTLENECKS, DEEP, EXPERTS, HEADS, LORA, NARROW, PROMPTED, TOP, apart, clients, recipe
from federations import SHAPES, TASKS

from models import SGD, LinearModel, Samples, feeding, stacked, training
from models.evaluation import predict
from models.mlp import MLP
from models.model import initial
from models.prefix import STEP, WIDTH, Prefixes, batches
from models.shelf import SUFFIX, Shelf, size
from models.training import Job

OPTIMIZER = SGD(0.01, momentum=0.9)
# segments: attention and feed-forward of three layers, what joins or adapts them, and the last norm
CASES = [
    (DEEP, ("trunk", *HEADS), 0),
    (DEEP, HEADS, 7),
    (DEEP, (*HEADS, "offset.campus"), 7),
    (BOTTLENECKS, HEADS, 9),
    (BOTTLENECKS, ("adapter", *HEADS), 4),  # two layers' halves are below, one of them adapted
    (PROMPTED, ("adapter", *HEADS), 7),
    (PROMPTED, ("prompt", *HEADS), 0),
    (PROMPTED, ("adapter",), 7),
    (LORA, ("adapter", *HEADS), 2),
    (LORA, ("prompt", *HEADS), 4),
    (NARROW, ("adapter", *HEADS), 4),
    (EXPERTS, ("expert.1", "head.answer"), 2),
    (EXPERTS, ("router", *HEADS), 2),
    (TOP, ("expert.0", "expert.2", *HEADS), 6),
]


def trained(model, jobs, how, prefixes=None, chunk=None):
    """The weights after each job, over the cut model."""
    rest, short = (prefixes or Prefixes()).shorten(model, jobs, how.trainable)
    results = stacked.train_all(rest, short, how, chunk=chunk)
    return [{**job.tensors, **result} for job, result in zip(jobs, results, strict=True)]


def same(one, other):
    return all(
        a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(("model", "trainable", "depth"), CASES)
def test_the_cut_model_learns_what_the_whole_one_learns(model, trainable, depth):
    work, how = clients(model, 8, torch.float64), recipe(trainable, OPTIMIZER)
    assert Prefixes().shorten(model, work, how.trainable)[0].depth == depth
    cut = trained(model, work, how)
    whole, plain = stacked.train_all(model, work, how), training.train_all(model, work, how)
    for job, one, other, twin in zip(work, cut, whole, plain, strict=True):
        assert apart(one, other) <= 1e-12
        assert apart(one, twin) <= 1e-9
        moved = {key.partition("/")[0] for key in one if one[key] is not job.tensors[key]}
        assert moved == set(trainable) & {key.partition("/")[0] for key in job.tensors}


@pytest.mark.parametrize(("model", "trainable", "depth"), CASES[1::2])
def test_the_cut_model_predicts_what_the_whole_one_predicts(model, trainable, depth):
    pairs = [(job.tensors, job.samples) for job in clients(model, 6, torch.float64)]
    rest, short = Prefixes().shorten_predictions(model, pairs, frozenset(trainable))
    assert rest.depth == depth
    for one, other in zip(predict(rest, short), predict(model, pairs), strict=True):
        assert one.keys() == other.keys()
        assert all(torch.allclose(one[task], other[task], rtol=1e-12, atol=1e-12) for task in one)


@pytest.mark.parametrize(("model", "trainable"), [(m, t) for m, t, _ in CASES[4::3]])
def test_no_bit_depends_on_limits_chunks_or_company(model, trainable, tmp_path):
    work, how = clients(model, 9), recipe(trainable, OPTIMIZER, epochs=1)
    expected = trained(model, work, how)
    entry = size(Prefixes().shorten(model, work, how.trainable)[1][0].samples.inputs)
    for prefixes in (Prefixes(0), Prefixes(2 * entry, tmp_path, 1e9), Prefixes(0, tmp_path, 1e9)):
        for chunk in (1, 4):  # the second time what was kept is found again, in memory, on disk or nowhere
            assert same(trained(model, work, how, prefixes, chunk), expected)
    assert same(trained(model, work[::-1], how)[::-1], expected)
    assert same([trained(model, [job], how)[0] for job in work], expected)


def test_what_is_kept_is_found_again_as_often_as_it_fits(tmp_path):
    """Least recently used goes first: in turn, too few places find nothing; there and back, as many as there are."""
    rng = np.random.default_rng(0)
    (first,) = clients(BOTTLENECKS, 1)
    jobs = [replace(first, samples=some(rng, 8)) for _ in range(5)]
    n, entry = len(jobs), size(Prefixes().shorten(BOTTLENECKS, jobs, frozenset(HEADS))[1][0].samples.inputs)

    def counts(prefixes, *passes):
        for some in passes:
            for job in some:
                prefixes.shorten(BOTTLENECKS, [job], frozenset(HEADS))
        report = prefixes.report()
        assert report["cache_bytes"] <= prefixes.shelf.memory_bytes
        return report["cache_hits"], report["cache_misses"]

    assert counts(Prefixes(n * entry), jobs, jobs, jobs) == (2 * n, n)
    assert counts(Prefixes(0), jobs, jobs, jobs) == (0, 3 * n)
    assert counts(Prefixes((n - 1) * entry), jobs, jobs, jobs) == (0, 3 * n)
    for k in range(1, n):
        assert counts(Prefixes(k * entry), jobs, jobs[::-1]) == (k, 2 * n - k)
    assert counts(Prefixes(2 * entry, tmp_path, 1e9), jobs, jobs, jobs) == (2 * n, n)
    assert counts(Prefixes(0, tmp_path, 1e9), jobs) == (n, 0)  # another process, say
    twins = [replace(first, node=f"twin{i}", samples=jobs[0].samples) for i in range(n)]
    assert counts(Prefixes(0), [twins[0]]) == (0, 1)
    together = Prefixes()
    together.shorten(BOTTLENECKS, twins, frozenset(HEADS))
    assert (together.hits, together.misses) == (n - 1, 1)


def some(rng, n):
    inputs = {m: torch.tensor(rng.normal(size=(n, *shape)), dtype=torch.float32) for m, shape in SHAPES.items()}
    return Samples(inputs, {"answer": torch.zeros(n, dtype=torch.long)})


def test_other_weights_samples_or_models_are_not_taken_for_the_same():
    (job,) = clients(PROMPTED, 1)
    frozen = {key: value.clone() for key, value in job.tensors.items()}
    job = replace(job, tensors=frozen)
    prefixes = Prefixes()

    def found(model, job, trainable=("adapter", "head.answer")):
        before = prefixes.hits
        prefixes.shorten(model, [job], frozenset(trainable))
        return prefixes.hits > before

    assert not found(PROMPTED, job)
    assert found(PROMPTED, job)
    equal = replace(job, tensors={key: value.clone() for key, value in frozen.items()})
    assert found(PROMPTED, equal)
    for key, value in frozen.items():
        below = key.startswith(("encoder", "trunk", "prompt")) and key not in ("trunk/norm.scale", "trunk/norm.bias")
        with torch.no_grad():
            value.mul_(1.5).add_(0.25)  # in place: the same tensor as before
        assert found(PROMPTED, job) != below, key
    job.samples.inputs["record"][-1, 0] += 1
    assert not found(PROMPTED, job)
    assert not found(replace(PROMPTED, heads=1), job)  # the same weights, another attention
    assert not found(PROMPTED, job, ("head.answer",))  # deeper
    assert found(PROMPTED, job)


def damage(path, how):
    data = path.read_bytes()
    if how == "foreign":
        other = next(p for p in path.parent.glob(f"*{SUFFIX}") if p != path)
        path.write_bytes(other.read_bytes())
    elif how == "array":
        with path.open("wb") as file:
            np.save(file, np.array([object()], object), allow_pickle=True)
    elif how == "flipped":
        path.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
    else:
        path.write_bytes(data[:how])


@pytest.mark.parametrize("how", [0, 1, 40, 300, 2000, -1, -30, "flipped", "foreign", "array"])
def test_a_damaged_or_foreign_file_is_a_miss_and_never_a_wrong_value(how, tmp_path):
    jobs = clients(BOTTLENECKS, 3)
    _, expected = Prefixes(0, tmp_path, 1e9).shorten(BOTTLENECKS, jobs, frozenset(HEADS))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    damage(files[0], how)
    prefixes = Prefixes(0, tmp_path, 1e9)
    _, again = prefixes.shorten(BOTTLENECKS, jobs, frozenset(HEADS))
    assert (prefixes.hits, prefixes.misses) == (2, 1)
    for one, other in zip(again, expected, strict=True):
        assert all(torch.equal(one.samples.inputs[m], other.samples.inputs[m]) for m in one.samples.inputs)
    healed = Prefixes(0, tmp_path, 1e9)
    healed.shorten(BOTTLENECKS, jobs, frozenset(HEADS))
    assert healed.hits == 3


def test_what_is_put_twice_counts_once():
    shelf = Shelf(1000)
    for _ in range(2):
        shelf.put("a", {"x": torch.zeros(100)})
    assert shelf.nbytes == 400


def test_the_folder_stays_below_its_limit_and_keeps_what_is_not_its_own(tmp_path):
    jobs = clients(BOTTLENECKS, 8)
    (tmp_path / "notes.txt").write_text("mine")
    sizes = [size(j.samples.inputs) for j in Prefixes().shorten(BOTTLENECKS, jobs, frozenset(HEADS))[1]]
    limit = sum(sizes) // 2
    prefixes = Prefixes(0, tmp_path, limit)
    prefixes.shorten(BOTTLENECKS, jobs, frozenset(HEADS))
    files = list(tmp_path.glob(f"*{SUFFIX}"))
    assert 0 < len(files) < len(jobs)
    assert sum(f.stat().st_size for f in files) <= limit + 2000 * len(files)  # what a file has beside its numbers
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_where_nothing_comes_before_what_trains_nothing_changes():
    jobs, prefixes = clients(PROMPTED, 2), Prefixes()
    for trainable, random, why in [
        (("encoder.record", "head.answer"), False, "encoders train: nothing is kept"),
        (HEADS, True, "the objective hides parts of samples at random: nothing is kept"),
    ]:
        model, same_jobs = prefixes.shorten(PROMPTED, jobs, frozenset(trainable), random)
        assert model is PROMPTED
        assert same_jobs == jobs
        assert why in prefixes.report()["cache"]
    linear = LinearModel({"record": (12,)}, TASKS)
    assert prefixes.shorten(linear, [], frozenset({"head.answer"}))[0] is linear
    assert "LinearModel cannot be cut" in prefixes.report()["cache"]


def test_heads_alone_leave_only_a_linear_map_of_a_perceptron():
    model, rng = MLP({"image": (4, 4)}, {"digit": TASKS["answer"]}, (7, 5)), np.random.default_rng(0)
    start, jobs = initial(model, 0, torch.float64), []
    for i, n in enumerate((1, 9, 40)):
        x, y = torch.tensor(rng.normal(size=(n, 4, 4))), torch.tensor(rng.integers(0, 10, n))
        jobs.append(Job(f"n{i}", start, Samples({"image": x}, {"digit": y}), 3, 0))
    how = recipe(["head.digit"], OPTIMIZER)
    prefixes = Prefixes()
    rest, short = prefixes.shorten(model, jobs, how.trainable)
    assert rest.shapes == {"features": (5,)}
    assert all(set(job.tensors) == {"head.digit/weight", "head.digit/bias"} for job in short)
    for job, one, other in zip(
        jobs, trained(model, jobs, how, prefixes), stacked.train_all(model, jobs, how), strict=True
    ):
        assert apart({**job.tensors, **one}, other) <= 1e-12
    assert (prefixes.hits, prefixes.misses) == (3, 3)
    assert prefixes.shorten(model, jobs, frozenset({"encoder.image"}))[0] is model


def test_batches_depend_on_the_number_of_samples_alone():
    for n in range(3 * WIDTH):
        pieces = list(batches(n))
        assert sum(rows for _, rows, _ in pieces) == n
        assert [start for start, _, _ in pieces] == list(range(0, n, WIDTH))
        assert all(rows <= width < rows + STEP and width % STEP == 0 for _, rows, width in pieces)


def test_samples_too_large_to_be_put_side_by_side_give_the_same_bits(monkeypatch):
    work, how = clients(PROMPTED, 7), recipe(("adapter", *HEADS), OPTIMIZER)
    expected = trained(PROMPTED, work, how, chunk=3)
    monkeypatch.setattr(feeding, "LARGE", 0)
    assert same(trained(PROMPTED, work, how, chunk=3), expected)
