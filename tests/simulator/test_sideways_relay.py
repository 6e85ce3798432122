"""Gathering at a head and sending back: the prototype's figures, spans in closed form, votes, and who goes midway."""

from itertools import pairwise

import numpy as np
import pytest
import simpy

from simulator import FirstOf, Plan, Stage, TierPlan
from simulator.costs import Costs
from simulator.presence import Timetable, Windows
from simulator.run import federation
from simulator.sideways.radios import Radios
from simulator.sideways.relay import Relay
from simulator.workloads import Size
from tests.simulator.vectors import NBYTES, Copy, Vectors, friends, meet
from tests.simulator.worlds import device, times, wire
from topologies.hierarchy import Hierarchy
from topologies.profiles import LinkProfile
from topologies.relays import Given
from topologies.varying import Flickering

# Two clusters of the public H-FedFM prototype (arXiv 2509.03695): rates in kbit/s, paths to its heads, edges back.
MODEL_BYTES, WATTS = 6_000_000, 0.6
RATES = {
    "2": {(8, 9): 210064.0773387576, (9, 8): 178531.1918737255, (9, 11): 147842.41563636245,
          (10, 11): 142832.02542869138, (11, 9): 140233.88076132064, (11, 10): 148994.57644864594},
    "7": {(28, 31): 137908.03913070916, (29, 30): 231093.46826534494, (30, 29): 247557.97226340676,
          (30, 31): 142139.79298158473, (31, 28): 114745.83780383997, (31, 30): 113127.47589302149},
}  # fmt: skip
HEADS = {"2": 11, "7": 29}
UP = {"2": [[8, 9, 11], [9, 11], [10, 11]], "7": [[28, 31, 30, 29], [30, 29], [31, 30, 29]]}
BACK = {"2": [[11, 9], [9, 8], [11, 10]], "7": [[29, 30], [30, 31], [31, 28]]}

THREE = {name: Copy(np.array([value]), votes) for name, value, votes in (("a", 1.0, 1), ("b", 4.0, 2), ("c", 7.0, 3))}
LINE = [("a", "b"), ("b", "c")]
HOP = 8 * NBYTES / 64  # seconds


def prototype(cluster):
    rates, tree = RATES[cluster], Hierarchy("room", "edge")
    for user in sorted({user for pair in rates for user in pair}):
        tree.add(str(user), "room", "device", device(), wire(64))
    for a, b in rates:
        if a < b:
            up, down = 1000 * rates[a, b], 1000 * rates[b, a]
            tree.connect(str(a), str(b), LinkProfile("d2d", "radio", up, down, transmit_watts=WATTS))
    return tree


@pytest.mark.parametrize("cluster", RATES)
@pytest.mark.parametrize("broadcast", ["always", "between", "never"])
@pytest.mark.parametrize("due", [False, True])
def test_the_prototypes_gathering_and_broadcast(cluster, broadcast, due):
    seconds = {pair: 8 * MODEL_BYTES / (1000 * rate) for pair, rate in RATES[cluster].items()}
    gathering = [sum(seconds[hop] for hop in pairwise(path)) for path in UP[cluster]]
    reached = {HEADS[cluster]: 0.0}
    for a, b in BACK[cluster]:
        reached[b] = reached[a] + seconds[a, b]
    u, d = max(gathering), max(reached.values())
    eu, ed = WATTS * sum(gathering), WATTS * sum(seconds[a, b] for a, b in BACK[cluster])

    tree, relay = prototype(cluster), Relay(Given((str(HEADS[cluster]),)), broadcast=broadcast)
    states = {user: Copy(np.zeros(1)) for user in tree.children("room")}
    costs, model = Costs(receive=False, queueing=False), Vectors({"m": Size(MODEL_BYTES)})
    met = meet(tree, relay, states, workload=model, due=due, costs=costs)
    sent_back = broadcast == "always" or (broadcast == "between" and not due)
    assert met.end_s == pytest.approx(u + d if sent_back else u, rel=1e-9)
    assert met.joules("transmit") == pytest.approx(eu + ed if sent_back else eu, rel=1e-9)
    assert met.joules("receive") == 0
    assert [report.sender for report in met.reports] == [str(HEADS[cluster])] * due


@pytest.mark.parametrize("latency", [0.0, 0.25])
def test_every_span_of_a_line_of_three(latency):
    tree = friends("abc", LINE, wire(64, 32, latency=latency))
    met = meet(tree, Relay(broadcast="always"), THREE)
    up, down = HOP + latency, 2 * HOP + latency  # connected from a to b: b sends down to a
    shared = 2 * down  # two messages from b to a; c's comes when b's is under way or over
    both = [("b", "a", 0.0, down, "done"), ("c", "b", 0.0, down, "done"), ("b", "a", down, shared, "done")]
    back = [("a", "b", shared, shared + up, "done"), ("b", "c", shared + up, shared + 2 * up, "done")]
    assert met.spans() == both + back
    assert [(r, t, s, e, d) for t, r, s, e, d in met.spans("receive")] == both + back
    assert met.joules("transmit") == pytest.approx(2.0 * (3 * 2 * HOP + 2 * HOP))  # 2 W above idle, by airtime
    assert met.joules("receive") == pytest.approx(0.5 * (3 * 2 * HOP + 2 * HOP))


def test_two_models_share_a_link_and_do_not_if_nothing_queues():
    tree = friends("abcd", [("a", "b"), ("b", "c"), ("b", "d")])
    states = {name: Copy(np.zeros(1)) for name in "abcd"}
    relay = Relay(broadcast="never")
    assert meet(tree, relay, states).end_s == HOP + 2 * HOP  # c's and d's arrive at b together and go on together
    assert meet(tree, relay, states, costs=Costs(queueing=False)).end_s == 2 * HOP


@pytest.mark.parametrize("merging", [False, True])
@pytest.mark.parametrize("head", ["a", "b", "c"])
def test_the_head_reports_the_mean_with_the_votes_of_all_and_nobody_votes_twice(merging, head):
    tree = friends("abc", LINE)
    met = meet(tree, Relay(Given((head,)), merge_at_relays=merging), THREE, due=True)
    mean = (1 * 1.0 + 2 * 4.0 + 3 * 7.0) / 6
    (report,) = met.reports
    assert (report.sender, report.state.votes, report.weight) == (head, 6, None)
    assert report.state.vector == pytest.approx(mean)
    assert {name: copy.votes for name, copy in met.states.items()} == {**dict.fromkeys("abc", 0), head: 6}
    assert all(copy.vector == pytest.approx(mean) for copy in met.states.values())


@pytest.mark.parametrize("merging", [False, True])
def test_without_a_report_all_get_the_mean_and_keep_their_votes(merging):
    met = meet(friends("abc", LINE), Relay(merge_at_relays=merging), THREE)
    assert met.reports == []
    assert {name: (copy.vector[0], copy.votes) for name, copy in met.states.items()} == {
        name: (pytest.approx(5.0), copy.votes) for name, copy in THREE.items()
    }


def test_a_relay_that_merges_waits_and_sends_one_model():
    tree, flops = friends("abcd", [("a", "b"), ("b", "c"), ("b", "d")]), 4.0  # a second for each copy
    states = {name: Copy(np.zeros(1)) for name in "abcd"}
    relay = Relay(merge_at_relays=True, broadcast="never")
    met = meet(tree, relay, states, workload=Vectors(flops=flops))
    assert met.spans() == [("c", "b", 0, HOP, "done"), ("d", "b", 0, HOP, "done"),
                           ("b", "a", HOP + 3, 2 * HOP + 3, "done")]  # fmt: skip
    assert met.spans("compute") == [("b", "", HOP, HOP + 3, "done"), ("a", "", 2 * HOP + 3, 2 * HOP + 5, "done")]


def test_one_radio_sends_or_receives_one_thing_at_a_time():
    tree = friends("habc", [("h", "a"), ("h", "b"), ("h", "c")])
    states = {name: Copy(np.zeros(1)) for name in "habc"}
    assert meet(tree, Relay(), states).end_s == 2 * HOP
    met = meet(tree, Relay(half_duplex=True), states)
    assert met.spans() == [
        *[(name, "h", k * HOP, (k + 1) * HOP, "done") for k, name in enumerate("abc")],
        *[("h", name, (k + 3) * HOP, (k + 4) * HOP, "done") for k, name in enumerate("abc")],
    ]


def test_nobody_overtakes_who_waits_for_a_radio():
    env, over = simpy.Environment(), []
    radios = Radios(env)

    def second():
        yield env.timeout(1)

    def message(ends):
        yield from radios.hold(ends, second())
        over.append((ends, env.now))

    for ends in (("a", "h"), ("h", "b"), ("b", "c"), ("d", "e")):
        env.process(message(ends))
    env.run()
    assert over == [(("a", "h"), 1), (("d", "e"), 1), (("h", "b"), 2), (("b", "c"), 3)]


def test_heads():
    slow, fast = wire(8), wire(64)
    tree = friends("abc", [("a", "b", slow), ("b", "c", fast), ("a", "c", fast)])
    heads = {}
    for head in ("first", "best"):
        heads[head] = meet(tree, Relay(head), THREE, due=True).reports[0].sender
    assert heads == {"first": "a", "best": "c"}  # c hears both in one quick hop
    drawn = [r.sender for r in meet(tree, Relay("random"), THREE, due=True, turns=60).reports]
    assert drawn == [r.sender for r in meet(tree, Relay("random"), THREE, due=True, turns=60).reports]
    assert set(drawn) == set("abc")
    assert drawn != [r.sender for r in meet(tree, Relay("random"), THREE, due=True, turns=60, seed=2).reports]


@pytest.mark.parametrize("merging", [False, True])
def test_a_relay_that_leaves_cuts_off_those_behind_it(merging):
    tree = friends("abcd", [("a", "b"), ("b", "c"), ("a", "d")])
    states = {name: Copy(np.array([value])) for name, value in zip("abcd", (1.0, 2.0, 3.0, 6.0), strict=True)}
    met = meet(tree, Relay(merge_at_relays=merging), states, due=True, gone={"b": HOP / 2})
    (report,) = met.reports
    assert (report.state.vector, report.state.votes) == (pytest.approx(3.5), 2)  # a and d
    assert met.states["c"] == states["c"]
    assert met.states["d"].vector == pytest.approx(3.5)
    cut = [span for span in met.spans() if span[4] == "interrupted"]
    assert ("c", "b", 0.0, HOP / 2, "interrupted") in cut
    assert ("c", "undelivered") in met.kinds()


def test_without_its_head_a_cluster_does_not_report_and_goes_on():
    tree = friends("abc", LINE)
    gone = meet(tree, Relay(Given(("b",))), THREE, due=True, gone={"b": 0})
    assert (gone.reports, gone.end_s, gone.states) == ([], 0.0, THREE)
    assert gone.kinds() == [("a", "no_head")]
    midway = meet(tree, Relay(Given(("b",))), THREE, due=True, gone={"b": HOP / 2})
    assert (midway.reports, midway.end_s) == ([], HOP / 2)
    assert midway.states == THREE
    late = meet(tree, Relay(Given(("b",))), THREE, due=True, gone={"b": 1.5 * HOP})
    assert late.reports == []  # it was sending back
    assert late.states["a"].vector == THREE["a"].vector


def test_who_cannot_reach_the_head_in_this_turn_is_left_out():
    tree = friends("abc", LINE)
    met = meet(tree, Relay(varying=Flickering(1e-9)), THREE, due=True)
    assert met.kinds() == [("b", "unreachable"), ("c", "unreachable")]
    assert met.reports[0].state == THREE["a"]


@pytest.mark.parametrize(("every", "reported"), [({"m": 2}, 8.0), ({}, 10.0)])
def test_who_came_back_keeps_what_it_has_learned_since(every, reported):
    """At 3 s c's model is at the head, a; c leaves, is asked anew, and has reported half a second before b's is there.

    It is asked anew when d has trained, at 6 s, or has reported that, at 7.
    """

    class Untrained(Vectors):
        def start(self, node):
            return Copy(np.zeros(1), 0.0)

    tree = Hierarchy("room", "room")
    for name, seconds, cluster in (("a", 1, "x"), ("b", 1, "x"), ("c", 1, "x"), ("d", 5, "y")):
        tree.add(name, "room", "device", device(1 / seconds), wire(64), cluster=cluster)
    tree.connect("b", "a", wire(64 / (reported + 0.5 - 2.0)))
    tree.connect("c", "a", wire(64))
    peers, away = Relay(broadcast="never"), Timetable(Windows(((0.0, 4.0), (5.0, 99.0))), frozenset("c"))
    plan = Plan(room=TierPlan(("m",), 3, FirstOf(1), late="keep", every=every, peers=peers))
    stage, model = Stage("s", plan, trainable=("m",)), Untrained(training=1.0)
    log, states = federation(tree, model, [stage], final_broadcast=False, presence=away)
    assert times(log, node="c", activity="up", kind="transmit") == [(reported - 1, reported)]
    assert states["c"] == Copy(np.array([1.0 + 10.0]), 0.0)


def test_what_cannot_be_done_is_refused_before_the_run():
    states = {name: Copy(np.zeros(1)) for name in "abc"}
    with pytest.raises(ValueError, match="have no sideways links; make some"):
        meet(friends("abc", []), Relay(), states)
    with pytest.raises(ValueError, match="a cannot reach c over the sideways links of their cluster"):
        meet(friends("abc", [("a", "b")]), Relay(), states)
    with pytest.raises(ValueError, match="cluster of a, b, c needs exactly one, but none of room is in it"):
        meet(friends("abc", LINE), Relay(Given(("room",))), states)
    with pytest.raises(ValueError, match="needs exactly one, but a, b are 2"):
        meet(friends("abc", LINE), Relay(Given(("a", "b"))), states)
    with pytest.raises(ValueError, match="head must be first, random, best or a function, got 'last'"):
        Relay("last")
    with pytest.raises(ValueError, match="broadcast must be always, between, never, got 'no'"):
        Relay(broadcast="no")
