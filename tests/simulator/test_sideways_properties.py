"""Whatever the graph, the policy, and who leaves when: it ends, both ends agree, no vote is lost, radios take turns."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.sideways.consensus import Consensus, gossip
from simulator.sideways.relay import Relay
from tests.simulator.vectors import Copy, Vectors, friends, meet
from tests.simulator.worlds import wire
from topologies.sideways import at_random
from topologies.varying import Flickering, steady

NAMES = "abcdef"


@st.composite
def meetings(draw):
    """A connected graph with links of all speeds, votes, and some who leave."""
    n, seed = draw(st.integers(1, 6)), draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    pairs = at_random(NAMES[:n], seed, probability=0.7) if n > 1 else ()
    links = [(a, b, wire(*rng.choice([16, 32, 64], 2), latency=rng.choice([0, 0.25]))) for a, b in pairs]
    states = {m: Copy(rng.normal(size=2), float(votes)) for m, votes in zip(NAMES, rng.integers(0, 9, n), strict=False)}
    states["a"] = states["a"]._replace(votes=1.0)
    leaving = draw(st.lists(st.sampled_from(NAMES[:n]), max_size=3, unique=True))
    gone = {m: draw(st.sampled_from([0, 0.25, 1.0, 1.5, 3.0, 7.0])) for m in leaving}
    return friends(NAMES[:n], links), states, gone


@st.composite
def policies(draw):
    varying = draw(st.sampled_from([steady, Flickering(0.7)]))
    if draw(st.booleans()):
        broadcast = draw(st.sampled_from(["always", "between", "never"]))
        head = draw(st.sampled_from(["first", "random", "best"]))
        return Relay(head, draw(st.booleans()), draw(st.booleans()), broadcast, varying)
    energy = draw(st.sampled_from(["link", "broadcast"]))
    report = draw(st.sampled_from(["sampled", "everyone"]))
    mixed = draw(st.sampled_from(["sums", "models"]))
    if draw(st.booleans()):
        return gossip(energy=energy, varying=varying)
    return Consensus(3, mixed=mixed, energy=energy, report=report, varying=varying)


@settings(max_examples=150, deadline=None)
@given(meetings(), policies(), st.booleans(), st.sampled_from([0.0, 4.0]), st.sampled_from([None, 0.75, 2.0, 4.0]))
def test_a_meeting(world, policy, due, flops, cut):
    tree, states, gone = world
    met = meet(tree, policy, states, workload=Vectors(flops=flops), due=due, gone=gone, turns=2, cut=cut)
    votes = sum(copy.votes for copy in met.states.values())
    assert votes == pytest.approx(sum(copy.votes for copy in states.values()))
    assert due or not met.reports
    assert cut is None or all(span.end_s <= cut for span in met.log.spans)
    assert all(not radio.busy for node in met.acts.nodes.values() for radio in node.radios.values())
    assert not any(node.doing or node.running or node.jobs for node in met.acts.nodes.values())

    spans = [span for span in met.log.spans if span.kind != "compute"]
    if getattr(policy, "energy", "") != "broadcast":
        sent = Counter((s.node, s.peer, s.start_s, s.end_s, s.nbytes, s.status) for s in spans if s.kind == "transmit")
        got = Counter((s.peer, s.node, s.start_s, s.end_s, s.nbytes, s.status) for s in spans if s.kind == "receive")
        assert sent == got
    for span in spans:
        assert span.end_s <= gone.get(span.node, np.inf)
        assert span.peer == "*" or span.end_s <= gone.get(span.peer, np.inf)
    if getattr(policy, "half_duplex", False):
        for name in tree.children("room"):
            times = sorted((s.start_s, s.end_s) for s in spans if s.node == name)
            assert all(a[1] <= b[0] for a, b in pairwise(times))
