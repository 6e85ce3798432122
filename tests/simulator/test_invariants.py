"""What holds of any run: random hierarchies, plans, sizes and deadlines."""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import Deadline, Evaluate, FirstOf, Plan, Size, Stage, TierPlan, barrier, simulate
from simulator.gathering.broods import active
from tests.simulator.worlds import Diary, device, wire
from topologies.hierarchy import Hierarchy

FIXED = settings(derandomize=True, deadline=None, max_examples=120)
RELATIVE = 1e-9
TIERS = ("cloud", "campus", "room", "device")
MODULES = ("a", "b", "c")
EVERYWHERE = Evaluate(tiers=TIERS, moments=("before_merge", "after_merge", "after_broadcast"))

speeds = st.integers(1, 20).map(lambda tens: device(10.0 * tens, busy=1.0 + tens))
links = st.builds(
    wire,
    up=st.integers(10, 400),
    down=st.integers(10, 400),
    latency=st.sampled_from([0.0, 0.1, 0.7]),
    shared=st.booleans(),
)
waits = st.one_of(st.just(barrier), st.integers(1, 60).map(lambda n: Deadline(n / 2)), st.integers(1, 3).map(FirstOf))
periods = st.dictionaries(st.sampled_from(MODULES), st.integers(1, 3))


@dataclass(frozen=True)
class World:
    """What a run is made of; the tree and the workload are made anew each time."""

    root: object
    nodes: tuple  # (name, parent, tier, profile, link), parents first
    sizes: dict
    holds: dict
    flops: dict
    stages: tuple

    def tree(self):
        tree = Hierarchy("cloud", "cloud", self.root)
        for node in self.nodes:
            tree.add(*node)
        return tree

    def run(self, **how):
        workload = Diary(self.sizes, holds=self.holds, flops=self.flops)
        return simulate(self.tree(), workload, self.stages, **how)


@st.composite
def worlds(draw, waits=waits, forwarding=True):
    """Up to four tiers of one to three children each; every link, device, size and share of the modules is drawn."""
    tiers = ("cloud", *draw(st.sampled_from([(), ("room",), ("campus", "room")])), "device")
    nodes, level = [], ["cloud"]
    for tier in tiers[1:]:
        shared = draw(links)
        names = [(f"{above}/{tier}{n}", above) for above in level for n in range(draw(st.integers(1, 3)))]
        # siblings are on one cell or have links of their own
        nodes += [(*it, tier, draw(speeds), draw(st.sampled_from([shared, draw(links)]))) for it in names]
        level = [name for name, _ in names]
    subset = st.sets(st.sampled_from(MODULES))
    world = World(
        draw(st.one_of(st.none(), speeds)),
        tuple(nodes),
        {m: Size(draw(st.integers(0, 60)), float(draw(st.integers(0, 300)))) for m in MODULES},
        {name: draw(subset) for name in level},
        {activity: float(draw(st.integers(0, 40))) for activity in ("pack", "merge")} | {"evaluate": 30.0},
        draw(plans(tiers, waits, forwarding)),
    )
    return replace(world, stages=tuple(within_reach(world.tree(), stage) for stage in world.stages))


def within_reach(tree, stage):
    """The stage, in which no node waits for more children than it has."""
    plan = Plan(stage.plan)
    for tier, how in plan.items():
        if isinstance(how.wait, FirstOf):
            fewest = min(len(list(active(tree, node, stage))) for node in tree.nodes(tier))
            plan[tier] = replace(how, wait=FirstOf(min(how.wait.k, fewest)))
    return replace(stage, plan=plan)


@st.composite
def plans(draw, tiers, waits, forwarding):
    """Perhaps a pre-training in the cloud, then a federation in which tiers may only forward."""
    gathering = [t for t in tiers[:-1] if not forwarding or draw(st.integers(0, 3))]
    plan = Plan({t: draw(tier_plans(MODULES[: 1 + n], waits)) for n, t in enumerate(gathering)})
    federate = Stage("federate", plan, trainable=MODULES)
    first = Stage("pretrain", at="cloud", trainable=("a", "c"), preinstalled=draw(st.booleans()))
    return (first, federate) if draw(st.booleans()) else (federate,)


@st.composite
def tier_plans(draw, modules, waits):
    """Half of them plain ones; else some modules have periods, not all travel down, late ones are kept."""
    rounds, wait, plain = draw(st.integers(1, 2)), draw(waits), draw(st.booleans())
    if plain:
        return TierPlan(modules, rounds, wait)
    every = {name: turns for name, turns in draw(periods).items() if name in modules}
    down = draw(st.sampled_from([None, modules[1:], modules[:1]]))
    late = "drop" if wait is barrier else draw(st.sampled_from(["drop", "keep"]))
    return TierPlan(modules, rounds, wait, late=late, every=every, down=down)


def close(value):
    return pytest.approx(value, rel=RELATIVE, abs=1e-12)


def rate(tree, sender, receiver):
    link = tree.link(sender, receiver)
    return link.up_bits_per_s if tree.parent(sender) == receiver else link.down_bits_per_s


def never_above(intervals):
    """Whether what lies within any stretch of time, of (start, end, amount), is at most the stretch."""
    for start in {it[0] for it in intervals}:
        inside = sorted((end, amount) for begin, end, amount in intervals if begin >= start)
        total = 0.0
        for end, amount in inside:
            total += amount
            if total > (end - start) * (1 + RELATIVE) + 1e-9:
                return False
    return True


@FIXED
@given(worlds())
def test_every_receive_has_its_send(world):
    log, ends = world.run(), defaultdict(Counter)
    for span in log.spans:
        sender, receiver = (span.node, span.peer) if span.kind == "transmit" else (span.peer, span.node)
        what = (span.round, span.turn, span.modules, span.start_s, span.end_s, span.nbytes, span.status, span.activity)
        ends[span.kind][sender, receiver, *what] += 1
    assert ends["transmit"] == ends["receive"]


@FIXED
@given(worlds())
def test_what_comes_into_a_forwarding_node_goes_out_of_it(world):
    log, passing = world.run(), defaultdict(Counter)
    taking_part = {tier for stage in world.stages for tier in (stage.at, *stage.plan)}
    for span in log.spans:
        if span.tier not in taking_part:
            what = (span.node, span.start_s, span.end_s, span.nbytes, span.status, span.activity)
            passing[span.kind][what] += 1
    assert passing["receive"] == passing["transmit"]


@FIXED
@given(worlds())
def test_no_node_trains_twice_at_once_and_no_processor_exceeds_its_capacity(world):
    log, tree = world.run(evaluate=EVERYWHERE), world.tree()
    for node in tree.nodes():
        computing = [span for span in log.spans if (span.node, span.kind) == (node, "compute")]
        training = sorted((s.start_s, s.end_s) for s in computing if s.activity == "train")
        assert all(one[1] <= other[0] for one, other in pairwise(training))
        if profile := tree.profile(node):
            assert never_above([(s.start_s, s.end_s, s.flops / profile.sustained_flops_per_s) for s in computing])


@FIXED
@given(worlds())
def test_the_airtime_of_a_cell_and_the_rate_of_a_wire_are_never_exceeded(world):
    log, tree, busy = world.run(), world.tree(), defaultdict(list)
    for span in log.spans:
        if span.kind == "transmit":
            medium = tree.medium(span.node, span.peer) or (span.node, span.peer)
            busy[medium].append((span.start_s, span.end_s, 8 * span.nbytes / rate(tree, span.node, span.peer)))
    assert all(never_above(intervals) for intervals in busy.values())


@FIXED
@given(worlds())
def test_every_span_costs_its_work_at_the_power_above_idle(world):
    log, tree = world.run(evaluate=EVERYWHERE), world.tree()
    for span in log.spans:
        profile = tree.profile(span.node)
        if profile is None:
            assert span.joules == 0
        elif span.kind == "compute":
            power = profile.busy_watts - profile.idle_watts
            assert span.joules == close(power * span.flops / profile.sustained_flops_per_s)
            assert span.joules <= power * (span.end_s - span.start_s) * (1 + RELATIVE) + 1e-12
        else:
            sender, receiver = (span.node, span.peer) if span.kind == "transmit" else (span.peer, span.node)
            link = tree.link(sender, receiver)
            power = getattr(link, f"{span.kind}_watts") - link.idle_watts
            least, byte = (power * 8 * n / rate(tree, sender, receiver) for n in (span.nbytes, 1))
            # an interrupted transfer may have passed a part of its next byte
            assert span.joules == close(least) or (span.status == "interrupted" and least < span.joules < least + byte)


@FIXED
@given(worlds())
def test_time_never_runs_back(world):
    log = world.run(evaluate=EVERYWHERE)
    assert all(0 <= span.start_s <= span.end_s <= log.end_s for span in log.spans)
    assert [span.end_s for span in log.spans] == sorted(span.end_s for span in log.spans)
    assert [it.time_s for it in log.happenings] == sorted(it.time_s for it in log.happenings)
    assert all(0 <= metric.time_s <= log.end_s for metric in log.metrics)


@FIXED
@given(worlds(waits=st.just(barrier)))
def test_under_a_barrier_nobody_is_late(world):
    log = world.run()
    assert log.happenings == []
    assert {span.status for span in log.spans} <= {"done"}


@FIXED
@given(worlds())
def test_the_same_inputs_give_the_same_log(world):
    assert world.run(evaluate=EVERYWHERE) == world.run(evaluate=EVERYWHERE)


@FIXED
@given(worlds(waits=st.just(barrier), forwarding=False), st.data(), st.sampled_from([1.25, 2, 7]))
def test_makespan_never_drops_when_a_link_slows_under_a_barrier(world, data, factor):
    """Where every tier gathers. Where flows cross several hops, max-min fairness alone does not promise it."""
    slowed = data.draw(st.integers(0, len(world.nodes) - 1))
    *node, link = world.nodes[slowed]
    slower = replace(link, up_bits_per_s=link.up_bits_per_s / factor, down_bits_per_s=link.down_bits_per_s / factor)
    assert slower.name == link.name  # and so it stays in its cell
    nodes = (*world.nodes[:slowed], (*node, slower), *world.nodes[slowed + 1 :])
    before, after = world.run().end_s, replace(world, nodes=nodes).run().end_s
    assert after >= before * (1 - RELATIVE)


@FIXED
@given(worlds())
def test_evaluation_in_the_background_is_charged_and_holds_nobody_up(world):
    plain, scored = world.run(), world.run(evaluate=EVERYWHERE)
    # but for the last bits of the clock, which depend on when simpy was told of an end
    assert reports(scored) == {key: pytest.approx(times, rel=1e-13, abs=1e-15) for key, times in reports(plain).items()}
    scoring, tree = [span for span in scored.spans if span.activity == "evaluate"], world.tree()
    assert Counter(span.node for span in scoring) == Counter(
        metric.node for metric in scored.metrics if tree.profile(metric.node)
    )
    assert all((span.flops, span.status) == (world.flops["evaluate"], "done") for span in scoring)
    assert math.fsum(span.joules for span in scoring) == close(scored.joules() - plain.joules())


def reports(log):
    """The times of all that is not scoring, by what it is."""
    found = defaultdict(list)
    for span in log.spans:
        if span.activity != "evaluate":
            key = (span.kind, span.node, span.peer, span.round, span.turn, span.activity, span.modules)
            found[key] += [span.start_s, span.end_s]
    return found
