"""What the processes do, in threads over socket pairs: who receives what, what is merged, what is learned."""

import socket
import threading
from contextlib import contextmanager
from multiprocessing import Pipe

import numpy as np
import pytest

from experiments.reality import node
from experiments.reality.configurations import DEVICES, EXAMPLES, FEATURES, LARGE, SMALL
from experiments.reality.learner import Learner, first_numbers, shards
from experiments.reality.node import Role, serve
from experiments.reality.wire import HELLO, MODEL, STOP, Throttle, receive, send

FAST = Throttle(1e12)


class Listener:
    """Stands for a server socket: its connections are one end each of socket pairs."""

    def __init__(self, ends):
        self.ends = iter(ends)

    def accept(self):
        return next(self.ends), None

    def getsockname(self):
        return ("nowhere", 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@contextmanager
def playing(role, monkeypatch, *, children=(), parent=None, shard=None):
    """A process of this role in a thread; gives the pipe to it."""
    monkeypatch.setattr(node.socket, "create_server", lambda _: Listener(children))
    monkeypatch.setattr(node.socket, "create_connection", lambda _: parent)
    monkeypatch.setattr(socket.socket, "setsockopt", lambda *_: None, raising=False)
    here, there = Pipe()
    thread = threading.Thread(target=serve, args=(there, None, shard))
    thread.start()
    assert here.recv() == "ready"
    here.send(role)
    yield here
    here.send(None)
    thread.join()


def numbers(net=SMALL):
    return np.zeros(net.parameters, np.float32)


def raw(array):
    return memoryview(array.data).cast("B")


def test_the_cloud_sends_merges_by_mean_and_sends_the_mean(monkeypatch):
    pairs = [socket.socketpair() for _ in range(2)]
    role = Role("cloud", SMALL, children={"a": FAST, "b": FAST})
    for child in (1, 0):  # in whatever order they connect
        send(pairs[child][1], HELLO, child.to_bytes(4, "big"))
    with playing(role, monkeypatch, children=[pairs[1][0], pairs[0][0]]) as control:
        assert control.recv() == ("nowhere", 0)
        assert control.recv() == "ready"
        seen, offered = [numbers(), numbers()], (1.0, 4.0)
        for expected in (first_numbers(SMALL), np.full(SMALL.parameters, 2.5, np.float32)):
            control.send("round")
            for child, end in enumerate(pairs):
                assert receive(end[1], raw(seen[child])) == MODEL
                assert np.array_equal(seen[child], expected)
                send(end[1], MODEL, raw(np.full(SMALL.parameters, offered[child], np.float32)))
            report = control.recv()
            assert {(who, what) for who, what, _ in report.moments} == {
                ("cloud", "begun"), ("cloud", "merged"),
                ("a", "asked"), ("a", "arrived"), ("b", "asked"), ("b", "arrived"),
            }  # fmt: skip
        control.send("stop")
        assert [receive(end[1], raw(numbers())) for end in pairs] == [STOP, STOP]
    for _, end in pairs:
        end.close()


def test_an_edge_passes_on_what_comes_and_reports_the_mean(monkeypatch):
    above, below = socket.socketpair(), socket.socketpair()
    role = Role("edge0", SMALL, ("nowhere", 0), 3, FAST, {"device0": FAST})
    send(below[1], HELLO, (0).to_bytes(4, "big"))
    with playing(role, monkeypatch, children=[below[0]], parent=above[0]) as control:
        assert control.recv() == ("nowhere", 0)
        assert control.recv() == "ready"
        index = bytearray(4)
        assert (receive(above[1], memoryview(index)), index) == (HELLO, (3).to_bytes(4, "big"))
        model = first_numbers(SMALL)
        send(above[1], MODEL, raw(model))
        came = numbers()
        receive(below[1], raw(came))
        assert np.array_equal(came, model)
        send(below[1], MODEL, raw(came + 1))
        merged = numbers()
        receive(above[1], raw(merged))
        assert np.array_equal(merged, model + 1)
        assert [what for _, what, _ in control.recv().moments] == ["received", "asked", "arrived", "merged", "sent"]
        send(above[1], STOP)
        assert receive(below[1], raw(came)) == STOP
    for end in (above[1], below[1]):
        end.close()


def test_a_device_sends_what_a_learner_learns(monkeypatch):
    shard = next(shards())
    above = socket.socketpair()
    role = Role("device0", SMALL, ("nowhere", 0), 0, FAST, None, 4)
    with playing(role, monkeypatch, parent=above[0], shard=shard) as control:
        assert control.recv() == "ready"
        receive(above[1], memoryview(bytearray(4)))
        send(above[1], MODEL, raw(first_numbers(SMALL)))
        came = numbers()
        receive(above[1], raw(came))
        report = control.recv()
        send(above[1], STOP)
    above[1].close()
    alone = Learner(shard)
    alone.build(SMALL)
    alone.load(first_numbers(SMALL))
    assert report.loss == pytest.approx(alone.train(4), rel=1e-6)
    expected = numbers()
    alone.dump(expected)
    assert np.allclose(came, expected, rtol=1e-5, atol=1e-7)
    assert [what for _, what, _ in report.moments] == ["received", "started", "trained", "sent"]


@pytest.mark.parametrize("net", [SMALL, LARGE], ids=lambda net: net.name)
def test_what_is_sent_is_the_whole_model(net):
    learner = Learner(next(shards()))
    learner.build(net)
    assert sum(p.numel() for p in learner.model.parameters()) == net.parameters == len(first_numbers(net))
    learner.load(first_numbers(net))
    out = numbers(net)
    learner.dump(out)
    assert np.array_equal(out, first_numbers(net))
    first = learner.train(1)
    assert learner.train(30) < first


def test_shards_are_equal_and_disjoint():
    found = list(shards())
    rows = np.concatenate([np.frombuffer(features, np.float32).reshape(-1, FEATURES) for features, _ in found])
    assert len(found) == DEVICES
    assert rows.shape == (DEVICES * EXAMPLES, FEATURES)
    assert all(len(np.frombuffer(labels, np.int64)) == EXAMPLES for _, labels in found)
    assert len(np.unique(rows, axis=0)) > 0.99 * len(rows)  # the data set itself has a few twins
