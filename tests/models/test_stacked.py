from dataclasses import replace

import pytest
import torch
from federations import FEDERATED, MODEL, jobs

from models import SGD, AdamW, Masked, Recipe, Supervised, initial, stacked, training
from models.adapters import Bottleneck

PRETRAINED = ("trunk", *(name for name in MODEL.modules if name.startswith("decoder")))


def recipe(objective=Supervised(), optimizer=AdamW(5e-3), trainable=FEDERATED):  # noqa: B008
    return Recipe(objective, optimizer, epochs=2, batch_size=8, trainable=frozenset(trainable))


CASES = [
    (recipe(), False),
    (recipe(optimizer=SGD(0.01, momentum=0.9, weight_decay=0.01)), False),
    (recipe(trainable=MODEL.modules), False),
    (recipe(Masked(), trainable=PRETRAINED), True),
]


@pytest.mark.parametrize(("how", "decoders"), CASES)
def test_a_clients_bits_do_not_depend_on_who_is_stacked_beside_it(how, decoders):
    work = jobs(23, decoders=decoders)
    alone = stacked.train_all(MODEL, work, how, chunk=1)
    for chunk in (2, 7, 23):
        for one, other in zip(alone, stacked.train_all(MODEL, work, how, chunk=chunk), strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one)


def test_clients_that_train_other_modules_keep_their_bits_and_equal_the_plain_loop():
    some = [None, frozenset({"head.answer", "adapter"}), frozenset({"offset.campus"}), None]
    work = [replace(job, trainable=some[i % 4]) for i, job in enumerate(jobs(13, dtype=torch.float64))]
    alone = [stacked.train_all(MODEL, [job], recipe())[0] for job in work]
    for job, one, other, plain in zip(
        work, alone, stacked.train_all(MODEL, work, recipe()), training.train_all(MODEL, work, recipe()), strict=True
    ):
        assert all(torch.equal(one[key], other[key]) for key in one)
        for key, value in plain.items():
            assert (one[key] is job.tensors[key]) == (value is job.tensors[key])
            assert (one[key] - value).abs().max() <= 1e-9 * max(float(value.abs().max()), 1e-3), key
        moved = {key.partition("/")[0] for key in one if one[key] is not job.tensors[key]}
        assert moved <= job.trains(recipe())


def test_narrow_pieces_keep_their_bits_too():
    """A product whose inner dimension is 1 has a gradient of a single row."""
    narrow = replace(MODEL, adapters=Bottleneck(1), hidden=3, width=6)
    start = initial(narrow, 0)
    work = [replace(job, tensors={key: start[key] for key in job.tensors if key in start}) for job in jobs(13)]
    alone = stacked.train_all(narrow, work, recipe(), chunk=1)
    for chunk in (2, 5, 13):
        for one, other in zip(alone, stacked.train_all(narrow, work, recipe(), chunk=chunk), strict=True):
            assert all(torch.equal(one[key], other[key]) for key in one)


def test_what_no_loss_reaches_is_left_as_it_is():
    work = jobs(3, decoders=True)
    how = recipe(Masked(), trainable=(*PRETRAINED, "head.answer"))
    for run in (stacked.train_all, training.train_all):
        for job, after in zip(work, run(MODEL, work, how), strict=True):
            assert all(after[key] is job.tensors[key] for key in after if key.startswith("head."))


@pytest.mark.parametrize(
    ("how", "decoders"),
    [
        (recipe(), False),
        (recipe(optimizer=SGD(0.01, momentum=0.9, weight_decay=0.01), trainable=MODEL.modules), False),
        # SGD here: the gradient of a key's bias is 0 in theory, and Adam would turn its rounding into steps
        (recipe(Masked(0.4), SGD(0.05, momentum=0.9), PRETRAINED), True),
    ],
)
def test_stacked_equals_the_plain_loop_in_float64(how, decoders):
    work = jobs(11, dtype=torch.float64, decoders=decoders)
    for one, other in zip(stacked.train_all(MODEL, work, how), training.train_all(MODEL, work, how), strict=True):
        for key, value in other.items():
            assert (one[key] - value).abs().max() <= 1e-9 * max(float(value.abs().max()), 1e-3), key


def test_what_is_frozen_stays_the_same_object_and_what_is_trained_moves():
    (job, *_) = work = jobs(3)
    for after in (stacked.train_all(MODEL, work, recipe())[0], training.train(MODEL, job, recipe())):
        for key, value in job.tensors.items():
            assert (after[key] is value) == key.startswith("trunk/")
            assert torch.equal(after[key], value) == key.startswith("trunk/")


def test_training_leaves_its_input_alone():
    (job,) = jobs(1)
    before = {key: value.clone() for key, value in job.tensors.items()}
    stacked.train_all(MODEL, [job], recipe())
    assert all(torch.equal(before[key], value) for key, value in job.tensors.items())


def test_every_epoch_sees_every_sample_once_in_an_order_of_its_own():
    rows = training.batches(3, "tablet", 4, n=10, batch_size=4, epochs=3)
    assert [len(r) for r in rows] == [4, 4, 2] * 3
    epochs = [[int(i) for r in rows[e * 3 : e * 3 + 3] for i in r] for e in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    again, other = (training.batches(3, node, 4, 10, 4, 3) for node in ("tablet", "phone"))
    assert all((a == b).all() for a, b in zip(rows, again, strict=True))
    assert any((a != b).any() for a, b in zip(rows, other, strict=True))
