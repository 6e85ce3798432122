"""What holds of the fluid on any topology, and a twin in exact fractions that it must agree with."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.fluid import Fluid
from simulator.sharing.fairness import solve
from simulator.sharing.reference import ReferenceFluid

FIXED = settings(derandomize=True, deadline=None, max_examples=150)
RELATIVE = 1e-9

coefficients = st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0])
caps = st.one_of(st.just(math.inf), st.integers(1, 8).map(float))


@st.composite
def scenarios(draw, slots=True, starts=True):
    """Resources (capacity, slots), flows (start, amount, uses, weight, cap) and outages (start, resource, capacity).

    Flows start at whole seconds; outages lie strictly between them, so no flow meets a dead resource at its start.
    """
    slot_counts = st.sampled_from([None, None, 1, 2]) if slots else st.none()
    resources = draw(st.lists(st.tuples(st.integers(1, 20), slot_counts), min_size=1, max_size=5))
    names = st.integers(0, len(resources) - 1)
    flow = st.tuples(
        st.integers(0, 8) if starts else st.just(0),
        st.integers(0, 40),
        st.dictionaries(names, coefficients, min_size=1),
        coefficients,
        caps,
    )
    outages = st.lists(st.tuples(st.integers(0, 8), names, st.integers(0, 10)), max_size=3, unique_by=lambda it: it[:2])
    return resources, draw(st.lists(flow, min_size=1, max_size=12)), draw(outages)


def play(scenario, order=None, watch=(), kind=Fluid):
    """Run a scenario; give its flows in the order listed, and the use of each resource at the times watched."""
    resources, plans, outages = scenario
    env = simpy.Environment()
    fluid = kind(env)
    made = [fluid.resource(str(name), capacity, slots=slots) for name, (capacity, slots) in enumerate(resources)]
    flows = {}

    def start(index, begin, amount, uses, weight, cap):
        yield env.timeout(begin)
        flows[index] = fluid.flow(amount, {made[n]: c for n, c in uses.items()}, weight=weight, rate_cap=cap)

    def fail(begin, name, capacity):
        yield env.timeout(begin + 0.25)
        fluid.set_capacity(made[name], capacity)
        yield env.timeout(0.5)
        fluid.set_capacity(made[name], resources[name][0])

    for index in order or range(len(plans)):
        env.process(start(index, *plans[index]))
    for outage in outages:
        env.process(fail(*outage))
    used = []
    for until in watch:
        env.run(until=until)
        used.append([sum(flow.used.get(resource, 0) for flow in flows.values()) for resource in made])
    env.run()
    return [flows[index] for index in range(len(plans))], made, used


def exact_rates(flows, capacity):
    """Weighted max-min rates by naive filling in fractions: {flow: (uses, weight, cap)} and {resource: capacity}."""
    rates = {}
    while len(rates) < len(flows):
        limits = []
        for name, (_, weight, cap) in flows.items():
            if name not in rates and cap < math.inf:
                limits.append((Fraction(cap) / Fraction(weight), [name]))
        for resource, full in capacity.items():
            crossing = {name: Fraction(uses[resource]) for name, (uses, _, _) in flows.items() if resource in uses}
            held = sum(units * rates[name] for name, units in crossing.items() if name in rates)
            rising = {name: units * Fraction(flows[name][1]) for name, units in crossing.items() if name not in rates}
            if rising:
                limits.append(((full - held) / sum(rising.values()), list(rising)))
        level = min(limits)[0]
        for reached, names in limits:
            if reached == level:
                rates |= {name: level * Fraction(flows[name][1]) for name in names}
    return rates


def exact_finishes(scenario):
    """Finish time of each flow, one event after another, everything solved anew each time, in fractions."""
    resources, plans, outages = scenario
    capacity = {name: Fraction(size) for name, (size, _) in enumerate(resources)}
    changes = [(Fraction(b) + Fraction(1, 4), n, Fraction(c)) for b, n, c in outages]
    changes += [(Fraction(b) + Fraction(3, 4), n, Fraction(resources[n][0])) for b, n, _ in outages]
    arrivals = sorted(range(len(plans)), key=lambda index: plans[index][0])
    left, finish, now = {}, {}, Fraction(0)
    while len(finish) < len(plans):
        while arrivals and plans[arrivals[0]][0] <= now:
            index = arrivals.pop(0)
            left[index] = Fraction(plans[index][1])
        capacity |= {name: size for when, name, size in changes if when == now}
        running = [i for i in left if all(has_turn(i, n, resources[n][1], left, plans) for n in plans[i][2])]
        ended = [i for i in running if left[i] == 0]
        if ended:
            finish |= dict.fromkeys(ended, now)
            left = {i: amount for i, amount in left.items() if i not in ended}
            continue
        rates = exact_rates({i: plans[i][2:] for i in running}, capacity)
        times = [now + left[i] / rate for i, rate in rates.items() if rate]
        times += [Fraction(plans[i][0]) for i in arrivals[:1]] + [when for when, _, _ in changes if when > now]
        left = {i: amount - rates.get(i, 0) * (min(times) - now) for i, amount in left.items()}
        now = min(times)
    return [finish[index] for index in range(len(plans))]


def has_turn(index, resource, slots, present, plans):
    queue = [other for other in present if resource in plans[other][2]]
    return slots is None or index in queue[:slots]


@pytest.mark.parametrize("kind", [Fluid, ReferenceFluid])
@FIXED
@given(scenarios())
def test_the_fluid_agrees_with_its_exact_twin(kind, scenario):
    flows, _, _ = play(scenario, kind=kind)
    expected = [float(finish) for finish in exact_finishes(scenario)]
    assert [flow.value for flow in flows] == pytest.approx(expected, rel=RELATIVE, abs=0)


@FIXED
@given(scenarios(slots=False, starts=False))
def test_rates_are_feasible_and_each_flow_has_its_bottleneck(scenario):
    flows, resources, _ = play((scenario[0], scenario[1], []))
    rates = solve(flows)
    load = {r: sum(flow.uses.get(r, 0) * rate for flow, rate in rates.items()) for r in resources}
    assert all(load[resource] <= resource.capacity * (1 + RELATIVE) for resource in resources)
    for flow, rate in rates.items():
        held = [
            resource
            for resource in flow.uses
            if load[resource] >= resource.capacity * (1 - RELATIVE)
            and rate / flow.weight >= max(rates[o] / o.weight for o in flows if resource in o.uses) * (1 - RELATIVE)
        ]
        assert held or rate == flow.rate_cap


@FIXED
@given(scenarios())
def test_what_is_used_is_what_passed_and_never_beyond_capacity(scenario):
    watch = [0.125 + 0.25 * n for n in range(60)]
    flows, resources, used = play(scenario, watch=watch)
    for flow in flows:
        assert flow.passed == flow.amount
        assert flow.used == {resource: units * flow.amount for resource, units in flow.uses.items()}
    total = [sum(flow.used.get(resource, 0) for flow in flows) for resource in resources]
    for before, after in zip(used, [*used[1:], total], strict=True):
        assert all(b <= a * (1 + RELATIVE) for b, a in zip(before, after, strict=True))
    for n, resource in enumerate(resources):
        most = max(resource.capacity, *(capacity for _, name, capacity in scenario[2] if name == n), 0)
        for before, after in pairwise(used):
            assert after[n] - before[n] <= 0.25 * most * (1 + RELATIVE) + RELATIVE * total[n]


@FIXED
@given(scenarios(slots=False), st.randoms(use_true_random=False))
def test_the_order_of_creation_does_not_matter(scenario, random):
    order = list(range(len(scenario[1])))
    random.shuffle(order)
    listed, shuffled = (play(scenario, order=order)[0] for order in (None, order))
    assert [flow.value for flow in shuffled] == pytest.approx([flow.value for flow in listed], rel=RELATIVE, abs=0)


@FIXED
@given(scenarios())
def test_the_same_scenario_runs_the_same_to_the_bit(scenario):
    once, again = (play(scenario)[0] for _ in range(2))
    assert [flow.value for flow in once] == [flow.value for flow in again]


@FIXED
@given(scenarios(slots=False), st.lists(st.integers(1, 30), min_size=2, max_size=6), st.integers(1, 9))
def test_proportional_flows_end_at_the_same_instant_whatever_else_flows(scenario, weights, divisor):
    resources, plans, outages = scenario
    group = [(0, w / divisor, {0: 0.1}, w / divisor / 7, math.inf) for w in weights]
    flows, _, _ = play((resources, [*plans, *group], outages))
    assert len({flow.value for flow in flows[len(plans) :]}) == 1


lives = st.lists(
    st.tuples(
        st.integers(0, 20).map(lambda n: n / 4),
        st.integers(0, 30),
        st.sampled_from(["change", "cap", "cancel", "outage", "arrive"]),
        st.dictionaries(st.integers(0, 2), coefficients, min_size=1),
        caps,
    ),
    max_size=25,
)


@FIXED
@given(lives, st.lists(st.sampled_from([None, 1, 2]), min_size=3, max_size=3))
def test_every_ledger_adds_up_through_change_cancellation_and_outage(events, slots):
    env = simpy.Environment()
    fluid = Fluid(env)
    resources = [fluid.resource(str(n), 4 + n, slots=s) for n, s in enumerate(slots)]
    flows, fired = [], []

    def act(number, action, uses, cap):
        path = {resources[n]: units for n, units in uses.items()}
        target = flows[number % len(flows)] if flows else None
        if action == "arrive" or target is None:
            flows.append(fluid.flow(number, path, rate_cap=cap))
            flows[-1].callbacks.append(lambda event: fired.append(event))
        elif action == "outage":
            fluid.set_capacity(resources[number % 3], number % 2 or 0.5)
        elif action == "cancel":
            target.cancel()
        else:
            target.change(**{"uses": path} if action == "change" else {"rate_cap": cap})

    for when, *what in events:
        env.timeout(when).callbacks.append(lambda _, what=what: act(*what))
    integral, before = dict.fromkeys(resources, 0.0), 0.0
    for until in [0.1 + n / 4 for n in range(24)]:
        env.run(until=until)
        for resource in resources:
            total = sum(flow.used.get(resource, 0) for flow in flows)
            assert integral[resource] * (1 - RELATIVE) <= total
            assert total - integral[resource] <= (until - before) * 6 * (1 + RELATIVE)
            integral[resource] = total
        before = until
    env.run()
    assert all(flow.passed == flow.amount for flow in fired)
    assert all(flow.triggered == (flow in fired) for flow in flows)
