import numpy as np
import pytest
import torch

from models.data import digits
from models.data.digits import DIGITS, all_digits, digits_study

NODES = [f"client{i}" for i in range(100)]


def rows(samples):
    return [x.numpy().tobytes() for x in samples.inputs["image"]]


@pytest.mark.parametrize("found", [True, False])
def test_the_digits_are_scikit_learns_whether_their_file_is_found_or_not(found, monkeypatch):
    from sklearn.datasets import load_digits

    if not found:
        monkeypatch.setattr(digits, "find_spec", lambda name: None)
    pixels, answers = load_digits(return_X_y=True)
    ours = all_digits()
    assert (ours.images.flatten(1).numpy() * 16 == pixels).all()
    assert (ours.answers == answers).all()
    assert ours.answers.dtype == np.int64


def test_every_digit_is_dealt_once_and_the_rest_is_held_out():
    study = digits_study(NODES, seed=3)
    trained = [row for client in study.clients.values() for row in rows(client.train)]
    assert len(trained) == 1437
    assert len(study.test) == 360
    everything = [x.numpy().tobytes() for x in all_digits().images.flatten(1)]
    assert sorted(trained + rows(study.test)) == sorted(everything)
    assert study.modalities == {"image": (64,)}
    assert list(study.clients) == NODES
    for client in study.clients.values():
        assert len(client.train) >= 2
        assert set(rows(client.test)) <= set(rows(study.test))
        x = client.train.inputs["image"]
        assert x.dtype == torch.float32
        assert 0 <= float(x.min()) <= float(x.max()) <= 1
    assert study.public is None


def test_dirichlet_is_more_skewed_and_less_even_than_iid():
    def spread(study):
        counts = np.array([np.bincount(c.train.targets["digit"].numpy(), minlength=10) for c in study.clients.values()])
        return (counts / counts.sum(1, keepdims=True)).max(1).mean(), counts.sum(1).std()

    skewed, mild, even = (
        spread(digits_study(NODES[:20], seed=1, **how))
        for how in ({"alpha": 0.1}, {"alpha": 10.0}, {"partition": "iid"})
    )
    assert skewed[0] > mild[0] + 0.2 > even[0]
    assert skewed[1] > mild[1] > 1 > even[1]


def test_copies_deal_each_digit_so_often():
    study = digits_study([f"c{i}" for i in range(1000)], seed=0, copies=10)
    dealt = [row for client in study.clients.values() for row in rows(client.train)]
    single = [row for client in digits_study(NODES, seed=0).clients.values() for row in rows(client.train)]
    assert sorted(dealt) == sorted(single * 10)


def test_the_seed_decides():
    one, again, other = (digits_study(NODES[:10], seed=s) for s in (5, 5, 6))
    same = [
        torch.equal(one.clients[n].train.inputs["image"], again.clients[n].train.inputs["image"]) for n in NODES[:10]
    ]
    assert all(same)
    assert {len(c.train) for c in one.clients.values()} != {len(c.train) for c in other.clients.values()}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"partition": "pie"}, "partition must be one of dirichlet, iid"),
        ({"alpha": 0.0}, "alpha must be > 0"),
        ({"copies": 0}, "copies must be >= 1"),
        ({"test": DIGITS - 100}, "at most 50 clients"),
        ({"clients": []}, "no clients"),
    ],
)
def test_mistakes_are_told(change, what):
    with pytest.raises(ValueError, match=what):
        digits_study(**{"clients": NODES, "seed": 0, **change})
