"""Ways to share the air, and what a wire carries beside the payload: each in closed form."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from simulator import Deadline, Plan, Size, Stage, TierPlan, simulate
from simulator.costs import Costs, wire_bytes
from simulator.workloads import CostOnly
from tests.simulator.worlds import cell, device, house, room, times, wire
from topologies.hierarchy import Hierarchy

STAGE = Stage("s", Plan(room=TierPlan(("m",))), trainable=("m",))
UP_ONLY = {"costs": Costs(downlink=False), "final_broadcast": False}


def exactly(value):
    return pytest.approx(value, rel=1e-12)


def run(tree, nbytes, flops=0.0, stage=STAGE, **how):
    return simulate(tree, CostOnly({"m": Size(nbytes, flops)}), [stage], **how)


def two_stations(fast=32.0, slow=8.0):
    """One cell, two stations that send at different rates."""
    tree = Hierarchy("room", "room")
    for name, rate in (("near", fast), ("far", slow)):
        tree.add(name, "room", "device", device(), cell(rate))
    return tree


def test_equal_throughput_lets_the_slow_station_slow_all():
    """Both get the same bit rate x with x/32 + x/8 = 1 until the same end: the anomaly of 802.11."""
    log = run(two_stations(), 4, **UP_ONLY)
    end = 32 / 32 + 32 / 8  # all airtime that there is to spend
    assert times(log, kind="transmit") == [(0, exactly(end)), (0, exactly(end))]


def test_equal_airtime_protects_the_fast_station():
    """The fast one has half of the time until its second of airtime is over; the slow one then has all."""
    log = run(two_stations(), 4, costs=Costs(downlink=False, wifi="equal_airtime"), final_broadcast=False)
    assert times(log, kind="transmit", node="near") == [(0, exactly(2.0))]
    assert times(log, kind="transmit", node="far") == [(0, exactly(5.0))]


def test_equal_airtime_counts_headers_too():
    """Half of 8 bit/s each: one has 32 bits through after 8 s, the other, of which each has a header bit, 16 of 32."""
    tree = Hierarchy("room", "room")
    for name, header in (("plain", 0.0), ("wrapped", 1.0)):
        link = replace(cell(8.0), payload_bytes=1.0, header_bytes=header)
        tree.add(name, "room", "device", device(), link)
    log = run(tree, 4, costs=Costs(downlink=False, wifi="equal_airtime"), final_broadcast=False)
    assert times(log, kind="transmit", node="plain") == [(0, exactly(8.0))]
    assert times(log, kind="transmit", node="wrapped") == [(0, exactly(8.0 + 16 / 4))]


def test_uplink_and_downlink_share_the_air():
    """The second tablet computes nothing and sends while the first still receives nothing: each waits for airtime."""
    log = run(room(device(), link=cell(8.0)), 1, final_broadcast=False)
    assert times(log, kind="transmit") == [(0, 1), (1, 2)]


def test_multicast_sends_once_at_the_rate_of_the_slowest():
    tree = two_stations()
    log = run(tree, 4, costs=Costs(multicast=True, compute=False))
    down = [span for span in log.spans if span.activity == "down" and span.round == 1 and span.start_s == 0]
    assert [(span.kind, span.node, span.peer, span.end_s, span.nbytes) for span in down] == [
        ("transmit", "room", "*", 4, 4),
        ("receive", "near", "room", 4, 4),
        ("receive", "far", "room", 4, 4),
    ]
    assert times(log, activity="up", kind="transmit") == [(4, exactly(9)), (4, exactly(9))]
    assert log.end_s == exactly(9 + 4)


def test_multicast_to_who_has_hurried_off_goes_on_for_the_others():
    """A deadline inside the multicast: it is cut for all, and both ends have what had passed."""
    stage = Stage("s", Plan(room=TierPlan(("m",), 1, Deadline(1.0))), trainable=("m",))
    log = run(two_stations(), 4, stage=stage, costs=Costs(multicast=True, compute=False), final_broadcast=False)
    assert [(s.kind, s.node, s.end_s, s.nbytes, s.status) for s in log.spans] == [
        ("receive", "near", 1, 1, "interrupted"),
        ("receive", "far", 1, 1, "interrupted"),
        ("transmit", "room", 1, 1, "interrupted"),
    ]


def test_multicast_and_unicast_deliver_the_same_bytes_to_each():
    got = {}
    for multicast in (False, True):
        log = run(two_stations(), 4, costs=Costs(multicast=multicast))
        got[multicast] = {
            n: sum(s.nbytes for s in log.spans if (s.node, s.kind) == (n, "receive")) for n in ("near", "far")
        }
    assert got[False] == got[True] == {"near": 8, "far": 8}


@pytest.mark.parametrize("multicast", [False, True])
def test_the_network_beyond_a_multicast_is_charged_also_where_the_sender_costs_nothing(multicast):
    """To who can be charged, for 4 B up from each of two, and 4 B down to each or once."""
    tree = Hierarchy("room", "room")
    for name in ("near", "far"):
        tree.add(name, "room", "device", device(), replace(cell(8.0), infrastructure_joules_per_byte=0.5))
    log = run(tree, 4, costs=Costs(multicast=multicast), final_broadcast=False)
    charged = math.fsum(account.joules("infrastructure") for account in log.accounts.values())
    assert charged == exactly(0.5 * (12 if multicast else 16))


def test_half_duplex_radios_do_one_thing_at_a_time():
    """A node in the middle of two radio links sends up while its child sends to it: half each, or both at once."""
    radio = replace(wire(8.0), carrier_hertz=2e9)
    ends = {}
    for half in (False, True):
        tree = Hierarchy("cloud", "cloud")
        tree.add("room", "cloud", "room", device(), radio)
        tree.add("tablet", "room", "device", device(), replace(radio, up_bits_per_s=16.0))
        plan = Plan(cloud=TierPlan(("m",)))  # the room only forwards: one flow over both hops
        log = run(tree, 4, stage=Stage("s", plan, trainable=("m",)), final_broadcast=False,
                  costs=Costs(downlink=False, half_duplex=half))  # fmt: skip
        ends[half] = log.end_s
    assert ends == {False: exactly(32 / 8), True: exactly(32 * (1 / 8 + 1 / 16))}


def test_a_half_duplex_wire_carries_one_direction_at_a_time():
    """One tablet loads 4 B while another, behind the same wire, reports 4 B: they share it, or they do not."""
    from simpy import Environment

    from simulator.fluid import Fluid
    from simulator.network import Network

    ends = {}
    for half in (False, True):
        env, tree = Environment(), room(device(), link=replace(wire(16.0, 8.0), half_duplex=half))
        network = Network(Fluid(env), tree, Costs(), 0)
        flows = [network.start(network.route(*way), 4).flow for way in (("tablet0", "room"), ("room", "tablet0"))]
        env.run()
        ends[half] = [flow.value for flow in flows]
    assert ends == {False: [2, 4], True: [6, 6]}  # equal rates x with x/16 + x/8 = 1


def test_a_d2d_transfer_takes_airtime_of_the_cell_it_shares():
    """A report of 4 B and a D2D message of 4 B at 8 bit/s: 4 s each alone, together twice that in one channel."""
    from simpy import Environment

    from simulator.fluid import Fluid
    from simulator.network import Network

    for shared, seconds in ((True, 8), (False, 4)):
        env, tree = Environment(), room(device(), device(), link=cell(8.0))
        tree.connect("tablet0", "tablet1", cell(8.0), medium=tree.cell("tablet0") if shared else None)
        network = Network(Fluid(env), tree, Costs(), 0)
        flows = [network.start(network.route("tablet0", to), 4).flow for to in ("room", "tablet1")]
        env.run()
        assert [flow.value for flow in flows] == [exactly(seconds)] * 2


def test_headers_and_repeats_are_carried_beside_the_payload():
    link = replace(wire(8.0), payload_bytes=1460.0, header_bytes=40.0, loss=0.2)
    assert wire_bytes(link, 2920) == 2920 + 2 * 40
    assert wire_bytes(link, 2921) == 2921 + 3 * 40
    assert wire_bytes(link, 2920, loss=True) == exactly(3000 / 0.8)
    log = run(room(device(), link=link), 2920, **UP_ONLY)
    assert times(log, kind="transmit") == [(0, exactly(3000))]
    assert {span.nbytes for span in log.spans} == {2920}
    assert log.joules("tablet0", "transmit") == exactly(2.0 * 3000)
    log = run(room(device(), link=link), 2920, costs=Costs(downlink=False, loss=True), final_broadcast=False)
    assert log.end_s == exactly(3000 / 0.8)


def test_headers_fill_a_shared_trunk():
    """Two hops, headers on the upper one only: it is full at 8 bit/s of wire, so payload passes at 4."""
    tree = house(replace(wire(8.0), payload_bytes=1.0, header_bytes=1.0), wire(100.0))
    log = run(tree, 4, stage=Stage("s", Plan(cloud=TierPlan(("m",))), trainable=("m",)), **UP_ONLY)
    assert log.end_s == exactly(32 / 4)


def test_jitter_adds_its_mean_in_the_long_run():
    """200 rounds of an up and a down: exponential times of mean 0.5 s on top of 1 s, within 4 standard errors."""
    link = replace(wire(8e9, latency=1.0), jitter_seconds=0.5)
    stage = Stage("s", Plan(room=TierPlan(("m",), 200)), trainable=("m",))
    how = {"stage": stage, "final_broadcast": False}
    log = run(room(device(), link=link), 1, costs=Costs(jitter=True), seed=3, **how)
    extra = np.array([e - s - 1.0 for s, e in times(log, kind="transmit")])
    assert len(extra) == 400
    assert (extra >= 0).all()
    assert abs(extra.mean() - 0.5) < 4 * 0.5 / math.sqrt(400)
    assert abs(extra.std() - 0.5) < 4 * 0.5 * math.sqrt(2 / 400)  # its fourth central moment is 9 sigma^4
    again = run(room(device(), link=link), 1, costs=Costs(jitter=True), seed=3, **how)
    other = run(room(device(), link=link), 1, costs=Costs(jitter=True), seed=4, **how)
    assert again.spans == log.spans
    assert other.end_s != log.end_s
    assert run(room(device(), link=link), 1, seed=3, **how).end_s == exactly(400 * (1 + 1e-9))


@dataclass(frozen=True)
class Fading:
    """A channel in outage with a probability: else it carries 8 bit/s."""

    outage: float
    over: str = "outage"
    retry_seconds: float = 0.2

    def gain(self, seed, name, time_s):
        return float(np.random.default_rng([seed, len(name), int(time_s * 1e9)]).random())

    def bits_per_s(self, gain, direction):
        return 0.0 if gain < self.outage else 8.0


def test_a_transfer_in_outage_tries_again_until_the_air_carries():
    """Attempts before the first success are geometric: p / (1 - p) of them in the mean, each costs one retry."""
    tree, rounds, p = room(device(), link=cell(1.0)), 400, 0.3
    tree.graph.edges["room", "tablet0"]["channel"] = Fading(p)
    stage = Stage("s", Plan(room=TierPlan(("m",), rounds)), trainable=("m",))
    log = run(tree, 1, stage=stage, seed=5, **UP_ONLY)
    retries = [happening for happening in log.happenings if happening.kind == "retry"]
    mean, deviation = rounds * p / (1 - p), math.sqrt(rounds * p) / (1 - p)
    assert abs(len(retries) - mean) < 4 * deviation
    assert log.end_s == exactly(rounds * 1.0 + len(retries) * 0.2)
    assert log.joules("tablet0", "transmit") == exactly(2.0 * rounds)  # nothing is sent in an outage
    assert "outage towards room, again in 0.2 s" in retries[0].detail


def test_d2d_links_have_their_own_channel_or_share_a_cell():
    tree = two_stations()
    tree.connect("near", "far", cell(8.0), medium=tree.cell("near"))
    assert tree.medium("near", "far") == tree.cell("far")
    other = two_stations()
    other.connect("near", "far", cell(8.0))
    assert other.medium("near", "far") not in (None, other.cell("near"))


def test_weights_of_airtime_are_shares_of_the_best_rate():
    from simpy import Environment

    from simulator.fluid import Fluid
    from simulator.network import Network

    tree = two_stations()
    network = Network(Fluid(Environment()), tree, Costs(wifi="equal_airtime"), 0)
    weights = [network.start(network.route(node, "room"), 4).flow.weight for node in ("near", "far")]
    assert weights == [1.0, 0.25]
