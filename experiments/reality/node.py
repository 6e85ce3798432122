"""A process of the real federation: a device that trains, or an edge or the cloud that merges.

Models travel over sockets as raw float32; over the pipe to the script go only wiring and moments. All moments are of
the system's monotonic clock, which every process of a machine shares.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from experiments.reality.configurations import Net
from experiments.reality.learner import Learner, Shard, first_numbers
from experiments.reality.wire import FINE_GRAIN_SECONDS, HELLO, MODEL, STOP, Pacer, Throttle, receive, send

Moments = list[tuple[str, str, float]]  # node, what happened, when
Pacing = Callable[[Throttle | None], Pacer | None]


@dataclass(frozen=True, slots=True)
class Role:
    """What a process is in a configuration. The cloud has no *parent* (host, port), a device no *children*."""

    name: str
    net: Net
    parent: tuple[str, int] | None = None
    index: int = 0  # among its siblings
    up: Throttle | None = None
    children: Mapping[str, Throttle] | None = None  # and their downlinks
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What a node did in a round: its moments, the processor seconds it took, and a device's training loss."""

    moments: Moments
    cpu_s: float
    loss: float | None = None


def serve(control: Connection, cells: Any, shard: Shard | None) -> None:
    """Play one role after the other until None comes; *cells* are the clocks of shared media, in shared memory."""
    learner = None if shard is None else Learner(shard)

    def pacing(throttle: Throttle | None) -> Pacer | None:
        if throttle is None or throttle.cell is None:
            return None if throttle is None else Pacer(throttle.bits_per_s)
        return Pacer(throttle.bits_per_s, cells.get_obj(), throttle.cell, cells.get_lock(), FINE_GRAIN_SECONDS)

    control.send("ready")
    while (role := control.recv()) is not None:
        if learner is None:
            _aggregate(role, control, pacing)
        else:
            _train(role, control, pacing, learner)


def _train(role: Role, control: Connection, pacing: Pacing, learner: Learner) -> None:
    """A device: receive, train, send."""
    numbers, now = np.zeros(role.net.parameters, np.float32), time.monotonic
    learner.build(role.net)
    with _join(role) as upward:
        pacer, cpu_s = pacing(role.up), time.process_time()
        control.send("ready")
        while receive(upward, _raw(numbers)) == MODEL:
            received = now()
            learner.load(numbers)
            started = now()
            loss = learner.train(role.steps)
            trained = now()
            learner.dump(numbers)
            sent = now()
            send(upward, MODEL, _raw(numbers), pacer)
            moments = {"received": received, "started": started, "trained": trained, "sent": sent}
            cpu_s, before = time.process_time(), cpu_s
            control.send(Report([(role.name, what, when) for what, when in moments.items()], cpu_s - before, loss))


def _aggregate(role: Role, control: Connection, pacing: Pacing) -> None:
    """An edge or the cloud: send to every child and receive from it, all at once, then merge."""
    names = list(role.children or ())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        control.send(listener.getsockname())
        links = _accept(listener, len(names))
    numbers, came = first_numbers(role.net), np.zeros((len(names), role.net.parameters), np.float32)
    pacers = [pacing(throttle) for throttle in (role.children or {}).values()]

    def exchange(child: int) -> Moments:
        asked = time.monotonic()
        send(links[child], MODEL, _raw(numbers), pacers[child])
        receive(links[child], _raw(came[child]))
        return [(names[child], "asked", asked), (names[child], "arrived", time.monotonic())]

    def gather() -> Moments:
        moments = [moment for moments in pool.map(exchange, range(len(names))) for moment in moments]
        np.mean(came, axis=0, out=numbers)
        return [*moments, (role.name, "merged", time.monotonic())]

    with ThreadPoolExecutor(len(names)) as pool:
        if role.parent is None:
            _cloud(control, gather)
        else:
            _edge(role, control, numbers, pacing(role.up), gather)
    for link in links:
        send(link, STOP)
        link.close()


def _cloud(control: Connection, gather: Callable[[], Moments]) -> None:
    control.send("ready")
    cpu_s = time.process_time()
    while control.recv() == "round":
        begun = time.monotonic()
        moments = [("cloud", "begun", begun), *gather()]
        cpu_s, before = time.process_time(), cpu_s
        control.send(Report(moments, cpu_s - before))


def _edge(
    role: Role, control: Connection, numbers: np.ndarray, pacer: Pacer | None, gather: Callable[[], Moments]
) -> None:
    with _join(role) as upward:
        cpu_s = time.process_time()
        control.send("ready")
        while receive(upward, _raw(numbers)) == MODEL:
            moments = [(role.name, "received", time.monotonic()), *gather()]
            moments.append((role.name, "sent", time.monotonic()))
            send(upward, MODEL, _raw(numbers), pacer)
            cpu_s, before = time.process_time(), cpu_s
            control.send(Report(moments, cpu_s - before))


def _join(role: Role) -> socket.socket:
    assert role.parent is not None
    upward = socket.create_connection(role.parent)
    upward.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    send(upward, HELLO, role.index.to_bytes(4, "big"))
    return upward


def _accept(listener: socket.socket, children: int) -> list[socket.socket]:
    """The children's connections, in the order of their indices."""
    links: dict[int, socket.socket] = {}
    for _ in range(children):
        link, _address = listener.accept()
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        index = bytearray(4)
        receive(link, memoryview(index))
        links[int.from_bytes(index, "big")] = link
    return [links[index] for index in sorted(links)]


def _raw(numbers: np.ndarray) -> memoryview:
    return memoryview(numbers.data).cast("B")
