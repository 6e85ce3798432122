"""Messages over a socket pair, and the token bucket under a clock of our own."""

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.reality.wire import CATCH_UP_SECONDS, MODEL, STOP, Pacer, Throttle, message_bytes, receive, send


class Clock:
    """A clock that only sleeping moves; *late* is how much longer than asked every sleep takes."""

    def __init__(self, late=0.0):
        self.now, self.late = 100.0, late

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds + self.late


def pacer(clock, bits_per_s=8000.0, grain_seconds=0.02):
    return Pacer(bits_per_s, grain_seconds=grain_seconds, clock=clock, sleep=clock.sleep)


def transmit(link, nbytes):
    for number, size in enumerate(link.chunks(nbytes)):
        link.wait(size, first=number == 0)


@pytest.fixture
def pair():
    here, there = socket.socketpair()
    with here, there:
        yield here, there


@pytest.mark.parametrize("paced", [False, True])
def test_a_message_arrives_as_it_was_sent(pair, paced):
    here, there = pair
    payload = bytes(range(256)) * 40
    came = bytearray(len(payload))
    link = pacer(Clock()) if paced else None
    sender = threading.Thread(target=lambda: (send(here, MODEL, payload, link), send(here, STOP)))
    sender.start()
    kinds = [receive(there, memoryview(came)) for _ in range(2)]
    sender.join()
    assert (kinds, bytes(came)) == ([MODEL, STOP], payload)


def test_chunks_smaller_than_the_header(pair):
    here, there = pair
    came = bytearray(5)
    send(here, MODEL, b"abcde", pacer(Clock(), 8.0, 2.0))
    assert (receive(there, memoryview(came)), bytes(came)) == (MODEL, b"abcde")


def test_a_message_of_another_size_is_refused(pair):
    here, there = pair
    send(here, MODEL, b"four")
    with pytest.raises(ValueError, match="message of 4 bytes where 3 were expected"):
        receive(there, memoryview(bytearray(3)))


def test_the_other_side_gone_in_the_middle(pair):
    here, there = pair
    here.sendall(b"half a hea")
    here.close()
    with pytest.raises(ConnectionError, match="in the middle"):
        receive(there, memoryview(bytearray(4)))


@pytest.mark.parametrize("paced", [False, True])
def test_who_has_read_a_message_without_bytes_may_have_closed(paced):
    class ClosedOnceRead:
        """The end of a connection whose other side closes as soon as a header is there."""

        def __init__(self):
            self.came = b""

        def sendall(self, piece):
            if len(self.came) == message_bytes(0):
                raise BrokenPipeError
            self.came += piece

    end = ClosedOnceRead()
    send(end, STOP, pacer=pacer(Clock()) if paced else None)
    assert len(end.came) == message_bytes(0)


def test_a_paced_message_takes_its_bits_over_the_rate(pair):
    here, _ = pair
    clock, payload = Clock(), bytes(1000)
    send(here, MODEL, payload, pacer(clock))
    assert clock.now - 100 == pytest.approx(8 * message_bytes(len(payload)) / 8000)


@given(nbytes=st.integers(1, 5000), rate=st.floats(10, 1e6), grain=st.floats(1e-4, 1.0))
def test_chunks_add_up_and_take_the_time_of_the_whole(nbytes, rate, grain):
    clock = Clock()
    link = pacer(clock, rate, grain)
    assert sum(link.chunks(nbytes)) == nbytes
    transmit(link, nbytes)
    assert clock.now - 100 == pytest.approx(8 * nbytes / rate)


def test_waking_late_does_not_add_up():
    clock = Clock(late=0.005)  # at every one of 50 chunks
    transmit(pacer(clock), 1000)
    assert clock.now - 100 == pytest.approx(1.0 + 0.005)


def test_what_is_later_than_can_be_caught_up_is_lost():
    clock = Clock()
    link = pacer(clock)
    link.wait(20, first=True)
    clock.now += 3.0  # stopped
    link.wait(20, first=False)
    link.wait(2000, first=False)
    assert clock.now - 103.02 == pytest.approx(2.02 - CATCH_UP_SECONDS)


def test_an_idle_link_earns_nothing():
    clock = Clock()
    link = pacer(clock)
    transmit(link, 100)
    clock.now += 60
    before = clock.now
    transmit(link, 100)
    assert clock.now - before == pytest.approx(0.1)


@given(sizes=st.lists(st.integers(200, 4000), min_size=2, max_size=5))
def test_senders_of_one_medium_get_equal_rates(sizes):
    """Against processor sharing: sender i is done when the others have had as much as it has, or all of theirs."""
    free, rate, grain = [0.0], 8000.0, 0.02
    clocks = [Clock() for _ in sizes]
    links = [Pacer(rate, free, grain_seconds=grain, clock=clock, sleep=clock.sleep) for clock in clocks]
    chunks = [list(link.chunks(size)) for link, size in zip(links, sizes, strict=True)]
    sent = [0] * len(sizes)
    while any(n < len(c) for n, c in zip(sent, chunks, strict=True)):
        turn = min((c.now, i) for i, c in enumerate(clocks) if sent[i] < len(chunks[i]))[1]  # who wakes first
        links[turn].wait(chunks[turn][sent[turn]], first=sent[turn] == 0)
        sent[turn] += 1
    for clock, size in zip(clocks, sizes, strict=True):
        shared = 8 * sum(min(size, other) for other in sizes) / rate
        assert abs(clock.now - 100 - shared) <= len(sizes) * grain


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_throttle_needs_a_rate(rate):
    with pytest.raises(ValueError, match="bits_per_s must be > 0"):
        Throttle(rate)
