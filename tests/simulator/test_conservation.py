"""Bits, joules and time on random hierarchies whose nodes come, go, run dry and are interrupted.

The integral of power is taken beside the simulator: between two events all rates are constant, so each node's watts are
computed anew from the flows that are alive, at the rates of the reference solver, and summed over the time that passes.
"""

import math
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from simulator.costs import Battery, Carbon, Costs, Cubic, Table
from simulator.nodes import Job
from simulator.plan import Evaluate
from simulator.presence import Churn, always
from simulator.processes import Federation
from simulator.records import Log
from simulator.run import close
from simulator.sharing.fairness import solve
from tests.simulator.test_invariants import EVERYWHERE, FIXED, never_above, worlds
from tests.simulator.worlds import Diary

JOULES = 1e-9  # relative to the node's own
TABLE = Table(((0, 0), (0.3, 0.6), (1, 1)))

costs = st.builds(
    Costs,
    receive=st.booleans(),
    wifi=st.sampled_from(["equal_throughput", "equal_airtime"]),
    multicast=st.booleans(),
    half_duplex=st.booleans(),
    jitter=st.booleans(),
    loss=st.booleans(),
    tail=st.booleans(),
    sleep=st.booleans(),
    power=st.sampled_from([Costs().power, Cubic(1e-27, 2e9), TABLE]),
    battery=st.one_of(
        st.none(), st.builds(Battery, st.just((0.1, 1.0))),
        st.builds(Battery, st.just((0.1, 1.0)), st.just(20.0), st.just(((5.0, 9.0),)), st.just(20.0), st.just(0.3)),
    ),
    carbon=st.sampled_from([None, Carbon((0.5, 1.5, 1.0))]),
)  # fmt: skip


@st.composite
def lives(draw):
    """A world with radios and batteries, what is charged, and who is there when."""
    world = draw(worlds())
    nodes = []
    for *place, profile, link in world.nodes:
        profile = replace(
            profile, battery_joules=float(draw(st.integers(20, 400))), pue=draw(st.sampled_from([1.0, 1.4]))
        )
        radio = replace(
            link, carrier_hertz=2e9, sleep_watts=0.05, tail_seconds=0.5, tail_watts=0.6, loss=0.1, jitter_seconds=0.2,
            infrastructure_joules_per_byte=0.01, payload_bytes=10.0, header_bytes=2.0,
        )  # fmt: skip
        nodes.append((*place, profile, radio if draw(st.booleans()) else link))
    names = frozenset(name for name, *_ in nodes)
    churn = Churn(draw(st.integers(0, 99)), 30.0, 10.0, names) if draw(st.booleans()) else always
    return replace(world, nodes=tuple(nodes)), draw(costs), churn


def run(life, **how):
    world, charged, presence = life
    return world.run(costs=charged, presence=presence, **how)


class Meter:
    """Integrates every node's watts over time, from outside."""

    def __init__(self, life, evaluate=Evaluate()):  # noqa: B008 - frozen
        world, charged, presence = life
        self.env, self.log = simpy.Environment(), Log()
        workload = Diary(world.sizes, holds=world.holds, flops=world.flops)
        self.federation = Federation(
            self.env, world.tree(), workload, world.stages, evaluate, self.log, lambda *_: None, charged, presence, 0
        )
        self.joules = defaultdict(float)
        self.lowest = math.inf

    def run(self):
        ending = self.env.process(self.federation.run(True))
        while not ending.processed:
            now, then = self.env.now, self.env.peek()
            if then > now:
                for name, watts in self.watts(now, then).items():
                    self.joules[name] += watts * (then - now)
            self.env.step()
            for node in self.federation.acts.nodes.values():
                if node.charge:
                    self.lowest = min(self.lowest, node.charge.joules())
        close(self.federation.acts)
        self.log.end_s = self.env.now
        return self.log

    def watts(self, now, then):
        """Of every node, in the mean from *now* until *then*."""
        nodes = self.federation.acts.nodes
        keys = [(node, key) for node in nodes.values() for key in node.running]
        flows = {key.flow if isinstance(key, Job) else key[0].transfer.flow for _, key in keys}
        rates = solve([flow for flow in flows if not flow.triggered])
        out = {}
        for name, node in nodes.items():
            total = node.idle_watts if node.here else 0.0
            used = sum(rates.get(key.flow, 0.0) for key in node.running if isinstance(key, Job))
            if used:
                total += node.costs.power.above_idle(node.profile, used)
            for key in node.running:
                if not isinstance(key, Job) and node.profile:
                    total += self._radio_watts(key, rates)
            for radio in node.radios.values():
                if node.here and radio.busy == 0:
                    total += _resting(radio, now, then)
            out[name] = total
        return out

    @staticmethod
    def _radio_watts(key, rates):
        message, index, kind = key
        transfer = message.transfer
        hop = transfer.hops[index]
        if kind == "receive" and not message.acts.costs.receive:
            return 0.0
        watts = (hop.link.transmit_watts if kind == "transmit" else hop.link.receive_watts) - hop.link.idle_watts
        return watts * rates.get(transfer.flow, 0.0) * transfer.factors[index] / hop.bits_per_s


def _resting(radio, now, then):
    """Mean watts of a radio at rest above its idle."""
    link, sleep = radio.link, radio.node.costs.sleep
    end = radio.rested + link.tail_seconds if radio.used else now
    tail = max(min(end, then) - now, 0.0)
    above = link.tail_watts - link.idle_watts
    in_tail = above if sleep else max(above, 0.0)
    asleep = link.sleep_watts - link.idle_watts if sleep else 0.0
    return (in_tail * tail + asleep * (then - now - tail)) / (then - now)


@FIXED
@given(lives())
def test_the_parts_of_the_energy_are_the_integral_of_power(life):
    meter = Meter(life, EVERYWHERE)
    log = meter.run()
    for node, account in log.accounts.items():
        scale = math.fsum(abs(joules) for joules in account.causes.values())
        assert abs(account.own - meter.joules[node]) <= JOULES * scale + 1e-9


@FIXED
@given(lives())
def test_spans_are_what_the_accounts_say(life):
    log = run(life, evaluate=EVERYWHERE)
    sums = defaultdict(list)
    for span in log.spans:
        if span.peer != "*" or span.kind == "transmit":
            sums[span.node, span.kind].append(span.joules)
    for node, account in log.accounts.items():
        for kind in ("compute", "transmit", "receive"):
            assert account.joules(kind) == pytest.approx(math.fsum(sums[node, kind]), rel=1e-12, abs=1e-15)


@FIXED
@given(lives())
def test_no_battery_is_ever_below_zero_and_what_left_it_was_drawn(life):
    meter = Meter(life)
    log = meter.run()
    assert meter.lowest >= 0
    battery, nodes = life[1].battery, meter.federation.acts.nodes
    for node, left in log.charges.items():
        capacity = nodes[node].profile.battery_joules
        assert 0 <= left <= capacity
        if battery.plugged:
            continue
        drawn = log.accounts[node].own
        low, high = (share * capacity for share in battery.initial)
        assert low * (1 - JOULES) - 1e-9 <= left + drawn <= high * (1 + JOULES) + 1e-9
        died = any((it.node, it.kind) == (node, "died") for it in log.happenings)
        assert died == (left <= 1e-9)


@FIXED
@given(lives())
def test_bits_that_come_were_sent(life):
    """Of unicasts each receive has its transmit; a multicast is sent once for all who receive it."""
    log, ends = run(life), defaultdict(Counter)
    for span in log.spans:
        sender, receiver = (span.node, span.peer) if span.kind == "transmit" else (span.peer, span.node)
        what = (span.modules, span.start_s)
        ends[span.kind][sender, receiver, what, span.end_s, span.nbytes, span.status] += 1
    if not life[1].multicast:
        assert ends["transmit"] == ends["receive"]
        return
    casts = {(sender, what): nbytes for sender, to, what, _, nbytes, _ in ends["transmit"] if to == "*"}
    for sender, _, what, _, nbytes, _ in ends["receive"] - ends["transmit"]:
        assert nbytes <= casts[sender, what]
    assert all(receiver == "*" for _, receiver, *_ in ends["transmit"] - ends["receive"])


@FIXED
@given(lives())
def test_nobody_works_while_away(life):
    """Spans lie within the times present: those of the presence, cut where a battery died until it was revived."""
    log, (world, _, presence) = run(life), life
    away = defaultdict(list)
    for happening in log.happenings:
        if happening.kind == "died":
            away[happening.node].append([happening.time_s, math.inf])
        elif happening.kind == "revived":
            away[happening.node][-1][1] = happening.time_s
    for name, *_ in world.nodes:
        time = 0.0
        while presence is not always and time < log.end_s:
            here, until = presence(name, time)
            if not here:
                away[name].append([time, until])
            time = until
    for span in log.spans:
        if span.node in away:
            assert all(span.end_s <= start or span.start_s >= end for start, end in away[span.node])
    for name, account in log.accounts.items():
        assert 0 <= account.present_s <= log.end_s * (1 + 1e-12)
        if not any(it.kind == "died" and it.node == name for it in log.happenings):
            gone = math.fsum(min(end, log.end_s) - min(start, log.end_s) for start, end in away[name])
            assert account.present_s == pytest.approx(log.end_s - gone, rel=1e-9, abs=1e-9)


@FIXED
@given(lives())
def test_the_airtime_of_a_cell_is_never_exceeded(life):
    """Of what was done: payload at the rate of its link takes no more than the time that there is."""
    log, tree, busy = run(life), life[0].tree(), defaultdict(list)
    for span in log.spans:
        if span.kind == "transmit" and span.peer != "*":
            link, up = tree.link(span.node, span.peer), tree.parent(span.node) == span.peer
            seconds = 8 * span.nbytes / (link.up_bits_per_s if up else link.down_bits_per_s)
            busy[tree.medium(span.node, span.peer) or (span.node, span.peer)].append(
                (span.start_s, span.end_s, seconds)
            )
    assert all(never_above(intervals) for intervals in busy.values())


@FIXED
@given(lives())
def test_the_same_life_is_lived_twice_the_same(life):
    one, other = run(life, evaluate=EVERYWHERE), run(life, evaluate=EVERYWHERE)
    assert one.spans == other.spans
    assert one.happenings == other.happenings
    assert one.accounts == other.accounts


def test_the_worlds_are_lively():
    """The cases above are not empty: over a hundred of them every kind of happening and of interruption comes up."""
    seen, statuses = Counter(), Counter()

    @FIXED
    @given(lives())
    def gather(life):
        log = run(life)
        seen.update(happening.kind for happening in log.happenings)
        statuses.update((span.kind, span.status) for span in log.spans)

    gather()
    assert {"died", "revived", "left", "absent", "late", "no_arrivals"} <= set(seen)
    assert all(statuses[kind, "interrupted"] > 10 for kind in ("compute", "transmit", "receive"))
