"""The chooser against machines of which it is known what is best; the clock is theirs."""

from dataclasses import replace

import pytest
import torch
from federations import MODEL, jobs

from models import SGD, Recipe, Supervised, stacked
from models.choosing import Chooser, Load, saved_bytes
from models.evaluation import predict

SMALL = Load.of("train", ("small",), 1000, 1000)


class Machine:
    """Its time moves by what a stack takes: *overhead* seconds each, and *per_client* of its size."""

    def __init__(self, overhead, per_client):
        self.now, self.overhead, self.per_client = 0.0, overhead, per_client
        self.sizes = []

    def clock(self):
        return self.now

    def work(self, chooser, load, clients, loss=None):
        """Run so many clients, one step each."""
        while clients:
            size = chooser.size(load, clients)
            with chooser.running(load, size, size) as watch:
                self.now += self.overhead + size * self.per_client(size)
                if watch and loss is not None:
                    watch(loss)
            self.sizes.append(size)
            clients -= size


def settled(machine, load=SMALL, clients=500, rounds=6, kept=2, **limits):
    chooser, loss = Chooser(clock=machine.clock, **limits), torch.ones(kept, requires_grad=True).exp().sum()
    for _ in range(rounds):
        machine.work(chooser, load, clients, loss)
    machine.sizes.clear()
    machine.work(chooser, load, clients, loss)
    return machine.sizes[0]


def test_small_models_end_in_large_stacks():
    assert settled(Machine(1.0, lambda size: 0.001)) >= 256


def test_where_nothing_is_gained_it_ends_at_few_wherever_it_begins():
    for varied in (2**14, 2**18, 2**22):
        load = Load.of("train", ("wide",), 1000, varied)
        slower = Machine(0.0, lambda size: 1.0 + 0.1 * size)
        assert settled(slower, load, rounds=20, clients=60) == 1
    assert settled(Machine(0.0, lambda size: 1.0), Load.of("train", ("flat",), 1000, 2**18)) <= 2


def test_a_size_beyond_which_the_cache_is_left_is_found():
    for varied in (2**20, 2**18, 2**17):
        machine = Machine(1.0, lambda size: 0.05 if size <= 16 else 0.2)
        assert settled(machine, Load.of("train", ("cache",), 1000, varied), rounds=20) == 16


def test_one_disturbed_measurement_decides_nothing():
    class Disturbed(Machine):
        def work(self, chooser, load, clients, loss=None):
            self.per_client = (lambda size: 9.0) if not self.sizes else (lambda size: 0.001)
            super().work(chooser, load, clients, loss)

    assert settled(Disturbed(1.0, None)) >= 256


def test_memory_is_never_exceeded_once_it_is_known():
    load = Load.of("train", ("big",), 1000, 1000)
    machine = Machine(1.0, lambda size: 0.0)
    assert settled(machine, load, memory_bytes=20_000) == 16
    assert max(machine.sizes) <= 20
    alone = Load.of("train", ("alone",), 1000, 2**21)  # begins with one client, whose graph keeps 4,000 bytes
    assert settled(machine, alone, kept=1000, memory_bytes=20_000) == 4
    assert Chooser(memory_bytes=1).size(load, 100) == 1


def test_what_keeps_nothing_grows_without_ever_showing_a_loss():
    load = Load.of("predict", ("m",), 1000, 2**21, 0)
    machine, chooser = Machine(1.0, lambda size: 0.001), Chooser(memory_bytes=100_000, clock=lambda: machine.now)
    for _ in range(8):
        machine.work(chooser, load, 500)
    assert machine.sizes[0] == 1
    assert 64 <= max(machine.sizes) <= 100


def test_what_a_graph_keeps_is_counted_once():
    x = torch.ones(10, 4, requires_grad=True)
    hidden = x.exp()  # its result is kept: 160 bytes
    loss = (hidden * hidden).sum()  # the same tensor, twice
    assert saved_bytes(loss) == 160


def test_loads_are_told_apart_by_kind_and_size_and_not_by_the_exact_bytes():
    one = Load.of("train", ("m",), 1000, 900)
    assert one == Load.of("train", ("m",), 1010, 910)
    assert one not in (Load.of("train", ("m",), 3000, 900), Load.of("train", ("n",), 1000, 900))


def test_training_and_prediction_use_it_and_keep_their_bits():
    work = jobs(9)
    how = Recipe(Supervised(), SGD(0.01), 1, 4, frozenset(MODEL.modules))
    ticks = iter(range(10_000))
    chooser = Chooser(clock=lambda: float(next(ticks)))
    fixed = stacked.train_all(MODEL, work, how, 1)
    for _ in range(3):
        for one, other in zip(stacked.train_all(MODEL, work, how, None, chooser), fixed, strict=True):
            assert all(torch.equal(one[key], other[key]) for key in one)
    asked = [(job.tensors, job.samples) for job in work]
    for one, other in zip(predict(MODEL, asked, None, chooser), predict(MODEL, asked, 1), strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
    chunks = chooser.report()["chunks"]
    assert set(chunks) == {"predict", "train"}
    assert all(1 <= size <= 9 for sizes in chunks.values() for size in sizes)
    assert len(chunks["train"]) > 1


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match="memory_bytes must be >= 1"):
        Chooser(memory_bytes=0)
    assert replace(SMALL, nbytes=1) == SMALL
