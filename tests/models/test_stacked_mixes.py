"""Random mixes of clients: who holds, lacks and has samples of what, how many steps, which optimizer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from federations import FEDERATED, MODEL, jobs

from models import SGD, AdamW, LinearModel, Masked, Recipe, Supervised, Task, initial, stacked, training
from models.data.samples import Samples
from models.evaluation import predict
from models.mlp import MLP
from models.training import Job

OPTIMIZERS = (AdamW(5e-3, 0.1), SGD(0.003, 0.9, 0.01), SGD(0.01))
CLIPS = (None, 0.2, 3.0)


def mixed(seed, dtype=torch.float32, decoders=False):
    """Clients that may also hold what none of their samples reaches, and that train different parts."""
    rng, out = np.random.default_rng(seed), []
    for job in jobs(11, dtype=dtype, decoders=decoders, seed=seed):
        whole = initial(MODEL, 1, dtype)
        idle = [key for key in whole if key not in job.tensors and not key.startswith("decoder") and rng.random() < 0.5]
        parts = [None, frozenset([*rng.choice(FEDERATED, 3, replace=False).tolist(), "adapter"])]
        own = {**job.tensors, **{key: whole[key] for key in idle}}
        few = job.samples if rng.random() < 0.8 else first(job.samples, int(rng.integers(1, 3)))
        out.append(replace(job, tensors=own, samples=few, trainable=parts[int(rng.random() < 0.3)]))
    return out


def first(samples, n):
    return Samples({m: x[:n] for m, x in samples.inputs.items()}, {t: y[:n] for t, y in samples.targets.items()})


def alike(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def same_bits(model, work, how, chunks=(1, 4, 100)):
    runs = [stacked.train_all(model, work, how, chunk) for chunk in chunks]
    return all(alike(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))


def close(model, work, how):
    for job, one, other in zip(
        work, stacked.train_all(model, work, how), training.train_all(model, work, how), strict=True
    ):
        assert one.keys() == other.keys()
        for key, value in other.items():
            assert (one[key] is job.tensors[key]) == (value is job.tensors[key]), key
            assert (one[key] - value).abs().max() <= 1e-9 * max(float(value.abs().max()), 1e-3), key


def recipes(seed, **change):
    rng = np.random.default_rng(seed)
    optimizer, clip = OPTIMIZERS[rng.integers(3)], CLIPS[rng.integers(3)]
    how = Recipe(Supervised(), optimizer, 1, int(rng.choice([2, 5, 8])), frozenset(FEDERATED))
    return replace(how, clip=clip, **change)


@pytest.mark.parametrize("seed", range(4))
def test_a_mix_gives_the_same_bits_for_every_chunk(seed):
    assert same_bits(MODEL, mixed(seed), recipes(seed))


@pytest.mark.parametrize("seed", range(4))
def test_a_mix_equals_the_plain_loop(seed):
    close(MODEL, mixed(seed, torch.float64), recipes(seed))


@pytest.mark.parametrize("seed", range(2))
def test_a_masked_mix_gives_the_same_bits_and_equals_the_plain_loop(seed):
    names = ("trunk", *(name for name in MODEL.modules if name.startswith(("decoder", "encoder"))))
    how = Recipe(Masked(), SGD(0.05, 0.9), 1, 8, frozenset(names), clip=0.5)
    assert same_bits(MODEL, mixed(seed, decoders=True), how)
    close(MODEL, mixed(seed, torch.float64, decoders=True), how)


def test_a_module_that_only_another_clients_loss_reaches_is_left_out():
    """Beside a client that has the modality and the task, with weight decay and momentum, for any chunk."""
    whole = jobs(1)[0]
    deaf = replace(
        whole,
        node="deaf",
        samples=Samples(
            {m: x for m, x in whole.samples.inputs.items() if m != "record"},
            {t: y for t, y in whole.samples.targets.items() if t != "outcome"},
        ),
    )
    unreached = ("encoder.record/", "head.outcome/", "offset.campus/outcome", "offset.classroom/outcome")
    for optimizer in OPTIMIZERS:
        how = Recipe(Supervised(), optimizer, 2, 8, frozenset(FEDERATED))
        for after in (*(stacked.train_all(MODEL, [whole, deaf], how, chunk)[1] for chunk in (1, 2)),):
            for key, value in deaf.tensors.items():
                frozen = key.startswith(("trunk/", *unreached))
                assert (after[key] is value) == frozen, key


def test_samples_for_which_a_module_lacks_are_refused():
    (job,) = jobs(1)
    for gone in ("head.answer", "encoder.record", "adapter"):
        short = {key: value for key, value in job.tensors.items() if not key.startswith(gone)}
        with pytest.raises(ValueError, match=f"n0: its samples need {gone}, which it does not hold"):
            stacked.train_all(MODEL, [replace(job, tensors=short)], recipes(0))


def one_modality(model, count, seed=0, dtype=torch.float32, same=False):
    """Clients of a model of one modality; *same*: all begin with the very same tensors."""
    rng, start = np.random.default_rng(seed), initial(model, 0, dtype)
    (name, shape), out = next(iter(model.shapes.items())), []
    for i in range(count):
        n = int(rng.integers(1, 9))
        tasks = [t for t in model.tasks if len(model.tasks) == 1 or rng.random() < 0.7] or list(model.tasks)[:1]
        targets = {
            t: torch.tensor(rng.integers(0, model.tasks[t].classes, n))
            if model.tasks[t].classes
            else torch.tensor(rng.normal(size=n), dtype=dtype)
            for t in tasks
        }
        own = {
            key: value if same else value + 0.1 * torch.tensor(rng.normal(size=value.shape), dtype=dtype)
            for key, value in start.items()
            if key in model.held([name], tasks)
        }
        x = torch.tensor(rng.normal(size=(n, *shape)), dtype=dtype)
        out.append(Job(f"n{i}", own, Samples({name: x}, targets), 3, i))
    return out


NARROW = [
    MLP({"image": (1,)}, {"score": Task("score")}, (1,)),
    MLP({"image": (1,)}, {"digit": Task("digit", 2), "score": Task("score")}, (3, 1, 2)),
    MLP({"image": (5, 1)}, {"digit": Task("digit", 3)}, (1,)),
    MLP({"image": (64,)}, {"digit": Task("digit", 10)}, (128,)),
    LinearModel({"image": (1,)}, {"score": Task("score"), "digit": Task("digit", 2)}, ("room",)),
]


@pytest.mark.parametrize("model", NARROW)
@pytest.mark.parametrize("batch_size", [2, 3])
def test_the_narrowest_shapes_keep_their_bits_and_equal_the_plain_loop(model, batch_size):
    for optimizer, clip in zip(OPTIMIZERS, CLIPS, strict=True):
        how = Recipe(Supervised(), optimizer, 2, batch_size, frozenset(model.modules), clip=clip)
        assert same_bits(model, one_modality(model, 9), how)
        close(model, one_modality(model, 9, dtype=torch.float64), how)


@pytest.mark.parametrize("frozen", ["encoder.image", "head.digit"])
def test_weights_that_all_share_and_copies_of_them_give_the_same_bits(frozen):
    model = NARROW[3]
    shared = one_modality(model, 9, same=True)
    copied = [replace(job, tensors={key: value.clone() for key, value in job.tensors.items()}) for job in shared]
    how = Recipe(Supervised(), SGD(0.1, 0.5), 1, 2, frozenset(set(model.modules) - {frozen}))
    for chunk in (1, 4, 9):
        for one, other in zip(
            stacked.train_all(model, shared, how, chunk), stacked.train_all(model, copied, how, 9), strict=True
        ):
            assert alike(one, other)
    mixed_up = [shared[0], *copied[1:4], *shared[4:]]
    assert all(
        alike(a, b)
        for a, b in zip(
            stacked.train_all(model, mixed_up, how, 5), stacked.train_all(model, shared, how, 2), strict=True
        )
    )


class Alone(MLP):
    """Clients with different tasks cannot share a stack; it tells how many clients each stack had."""

    ragged = False

    def forward(self, params, inputs, tasks, stack=None):
        held = {name.removeprefix("head.") for name in params if name.startswith("head.")}
        assert held == set(tasks)
        assert stack is None or not stack.rows
        self.__dict__.setdefault("counts", set()).add(0 if stack is None else stack.count)
        return super().forward(params, inputs, tasks, stack)


class OneByOne(Alone):
    stackable = False


@pytest.mark.parametrize(("kind", "most"), [(Alone, 9), (OneByOne, 1)])
def test_who_is_not_alike_does_not_share_a_stack(kind, most):
    plain = NARROW[1]
    model = kind(plain.shapes, plain.tasks, plain.hidden)
    work = one_modality(model, 16)
    how = Recipe(Supervised(), AdamW(1e-2), 2, 3, frozenset(model.modules))
    for chunk in (None, 1, 16):
        results = stacked.train_all(model, work, how, chunk)
        assert all(alike(a, b) for a, b in zip(results, stacked.train_all(plain, work, how, 5), strict=True))
    assert max(model.counts) <= most
    assert most == 1 or max(model.counts) > 1
    asked = [(job.tensors, job.samples) for job in work]
    assert all(alike(a, b) for a, b in zip(predict(model, asked), predict(plain, asked), strict=True))


def test_predictions_have_the_same_bits_for_every_chunk():
    asked = [(job.tensors, job.samples) for job in jobs(11)]
    runs = [predict(MODEL, asked, chunk) for chunk in (1, 3, 100, None)]
    for run in runs[1:]:
        assert all(alike(a, b) for a, b in zip(runs[0], run, strict=True))
    for (_, samples), out in zip(asked, runs[0], strict=True):
        assert set(out) == set(samples.targets)
        assert all(len(values) == len(samples) for values in out.values())


def test_weights_say_the_number_format():
    """Inputs may be whole numbers, such as the ids of tokens."""
    model = NARROW[3]
    (job,) = one_modality(model, 1, dtype=torch.float64)
    whole = replace(job, samples=replace(job.samples, inputs={"image": torch.ones(len(job.samples), 64).long()}))

    class Ids(MLP):
        def forward(self, params, inputs, tasks, stack=None):
            return super().forward(params, {m: x.double() for m, x in inputs.items()}, tasks, stack)

    ids = Ids(model.shapes, model.tasks, model.hidden)
    how = Recipe(Supervised(), SGD(0.1), 1, 2, frozenset(model.modules))
    (after,) = stacked.train_all(ids, [whole], how)
    assert {value.dtype for value in after.values()} == {torch.float64}


def test_nothing_to_train_and_no_samples_leave_everything_as_it_is():
    (job,) = jobs(1)
    empty = replace(job, samples=first(job.samples, 0))
    (after,) = stacked.train_all(MODEL, [empty], recipes(0))
    assert all(after[key] is value for key, value in job.tensors.items())
    for run in (stacked.train_all, training.train_all):
        (after,) = run(MODEL, [replace(job, trainable=frozenset())], recipes(0))
        assert all(after[key] is value for key, value in job.tensors.items())


class Summed(MLP):
    """Its hidden layer's weight is the sum of two, which have one gradient between them, too large to be joined."""

    def held(self, modalities, tasks):
        return (*super().held(modalities, tasks), "encoder.image/more")

    def forward(self, params, inputs, tasks, stack=None):
        own = params["encoder.image"]
        both = {**own, "0.weight": own["0.weight"] + own["more"]}
        return super().forward({**params, "encoder.image": both}, inputs, tasks, stack)


class Idle(MLP):
    """A weight of its encoder is never looked at."""

    def held(self, modalities, tasks):
        return (*super().held(modalities, tasks), "encoder.image/idle")


def test_a_weight_that_nobody_looks_at_is_left_out():
    plain = NARROW[3]
    model = Idle(plain.shapes, plain.tasks, (4,))
    work = one_modality(model, 3, dtype=torch.float64)
    idle = torch.ones(3, dtype=torch.float64)
    work = [replace(job, tensors={**job.tensors, "encoder.image/idle": idle}) for job in work]
    for optimizer in OPTIMIZERS:
        how = Recipe(Supervised(), optimizer, 2, 2, frozenset(model.modules), clip=0.1)
        close(model, work, how)
        assert same_bits(model, work, how)
        assert all(after["encoder.image/idle"] is idle for after in stacked.train_all(model, work, how))


def test_weights_with_one_gradient_between_them_move_alike():
    plain = NARROW[3]
    model = Summed(plain.shapes, plain.tasks, plain.hidden)
    work = one_modality(model, 3, dtype=torch.float64)
    more = torch.zeros(64, 128, dtype=torch.float64)
    work = [replace(job, tensors={**job.tensors, "encoder.image/more": more}) for job in work]
    for optimizer, clip in zip(OPTIMIZERS, CLIPS, strict=True):
        close(model, work, Recipe(Supervised(), optimizer, 1, 2, frozenset(model.modules), clip=clip))
