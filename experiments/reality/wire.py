"""Messages on a socket, and links throttled in the program."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator, MutableSequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count

HEADER = struct.Struct("!IQ")  # what it is, and how many bytes follow
MODEL, STOP, HELLO = range(3)
GRAIN_SECONDS = 0.02  # of a link of one's own: a chunk takes this long
FINE_GRAIN_SECONDS = 0.002  # of a shared link, whose senders take turns chunk by chunk
CATCH_UP_SECONDS = 0.1  # a sender that woke late may send faster until it is on time again, at most this much


@dataclass(frozen=True, slots=True)
class Throttle:
    """A link direction of *bits_per_s*; those with one *cell* are one medium, which their senders share in turn."""

    bits_per_s: float
    cell: int | None = None

    def __post_init__(self) -> None:
        if not self.bits_per_s > 0:
            raise ValueError(f"throttle: bits_per_s must be > 0, got {self.bits_per_s}")


@dataclass(slots=True)
class Pacer:
    """A token bucket kept as a virtual clock: when the medium is free again.

    Every chunk reserves the airtime it needs behind those reserved before it, and is sent when that airtime is over.
    Deadlines are absolute, so lateness does not add up. *free* holds the virtual clock at *cell*; senders in several
    processes share it under *lock*, and since each has one chunk under way they take turns: equal rates.
    """

    bits_per_s: float
    free: MutableSequence[float] = field(default_factory=lambda: [0.0])
    cell: int = 0
    lock: AbstractContextManager[object] = field(default_factory=nullcontext)
    grain_seconds: float = GRAIN_SECONDS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def chunks(self, nbytes: int) -> Iterator[int]:
        """The sizes of the pieces that *nbytes* are sent in."""
        grain = max(1, int(self.bits_per_s * self.grain_seconds / 8))
        whole, rest = divmod(nbytes, grain)
        yield from [grain] * whole
        if rest:
            yield rest

    def reserve(self, nbytes: int, *, first: bool) -> float:
        """When the last of *nbytes* is through. The *first* chunk of a message earns nothing for idle time before."""
        with self.lock:
            earliest = self.clock() - (0.0 if first else CATCH_UP_SECONDS)
            self.free[self.cell] = max(self.free[self.cell], earliest) + 8 * nbytes / self.bits_per_s
            return self.free[self.cell]

    def wait(self, nbytes: int, *, first: bool) -> None:
        """Reserve, and sleep until it is through."""
        seconds = self.reserve(nbytes, first=first) - self.clock()
        if seconds > 0:
            self.sleep(seconds)


def send(to: socket.socket, kind: int, payload: memoryview | bytes = b"", pacer: Pacer | None = None) -> None:
    """One message: a header, then the raw bytes; at the pace of *pacer*, or at once."""
    message = memoryview(HEADER.pack(kind, len(payload)))
    if pacer is None:
        to.sendall(message)
        if len(payload):  # a message without bytes is whole by now, and whoever has read it may have closed
            to.sendall(payload)
        return
    rest = memoryview(payload)
    for number, size in zip(count(), pacer.chunks(message_bytes(len(payload)))):
        pacer.wait(size, first=number == 0)
        head, message = message[:size], message[size:]
        body, rest = rest[: size - len(head)], rest[size - len(head) :]
        to.sendall(bytes(head) + bytes(body) if len(head) else body)


def receive(source: socket.socket, into: memoryview) -> int:
    """The kind of the next message, whose bytes fill *into*.

    Raises ValueError if it has another size, ConnectionError if the other side has gone.
    """
    header = bytearray(HEADER.size)
    _fill(source, memoryview(header))
    kind, nbytes = HEADER.unpack(header)
    if nbytes not in (0, len(into)):
        raise ValueError(f"message of {nbytes} bytes where {len(into)} were expected")
    if nbytes:
        _fill(source, into)
    return int(kind)


def message_bytes(payload_bytes: int) -> int:
    """What a payload takes on the wire."""
    return HEADER.size + payload_bytes


def _fill(source: socket.socket, into: memoryview) -> None:
    while len(into):
        taken = source.recv_into(into, len(into), socket.MSG_WAITALL)
        if taken == 0:
            raise ConnectionError("the other side closed the connection in the middle of a message")
        into = into[taken:]
