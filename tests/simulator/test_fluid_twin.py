"""The fast fluid beside the reference: one script of a fluid's life, played by both, must read the same at 1e-9."""

import math
import random
from decimal import Decimal, localcontext
from heapq import heappop, heappush

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.fluid import Fluid
from simulator.sharing.reference import ReferenceFluid

RELATIVE = 1e-9


def lone(rng):
    """One resource that all share."""
    return [rng.uniform(1, 20)], lambda: [0]


def tree(rng):
    """Devices below access points below trunks below one link; a path starts at any height."""
    sizes = [rng.uniform(10, 60), *(rng.uniform(3, 30) for _ in range(3)), *(rng.uniform(1, 15) for _ in range(9))]
    chains = [[0], *([0, n] for n in range(1, 4)), *([0, 1 + n // 3, 4 + n] for n in range(9))]

    def path():
        chain = rng.choice(chains) if rng.random() < 0.3 else rng.choice(chains[4:])
        return chain[rng.randrange(len(chain)) if rng.random() < 0.2 else 0 :]

    return sizes, path


def mesh(rng):
    """Any path over any resources."""
    sizes = [rng.uniform(1, 20) for _ in range(rng.randint(2, 8))]
    return sizes, lambda: rng.sample(range(len(sizes)), rng.randint(1, min(4, len(sizes))))


def roomy(rng):
    """Cells that saturate, over trunks that do so only now and then."""
    sizes = [40.0, 45.0, *(rng.uniform(5, 12) for _ in range(8))]
    return sizes, lambda: [*rng.sample([0, 1], rng.randint(0, 2)), rng.randrange(2, len(sizes))]


class Script:
    """A fluid's life at random: what is done when, and the numbers that it is done with."""

    def __init__(self, shape, seed, flows, features):
        rng = self.rng = random.Random(seed)
        self.features = features
        self.capacities, self.path = shape(rng)
        self.slots = [rng.choice([None, None, 1, 2, 3]) if "slots" in features else None for _ in self.capacities]
        span = flows / 4
        times = [rng.choice([rng.uniform(0, span), float(rng.randrange(int(span) + 1))]) for _ in range(flows)]
        self.steps = [(at, self.arrival()) for at in times]
        for kind in ("change", "cap", "cancel", "outage"):
            if kind in features:  # never at the very instant of an end, where rounding would decide
                self.steps += [(rng.uniform(0, span), self.step(kind, flows)) for _ in range(flows // 4)]
        self.probes = sorted(rng.uniform(0, 1.5 * span) for _ in range(12))

    def uses(self):
        unit = self.rng.choice([lambda: 1.0, lambda: self.rng.choice([0.5, 1, 2]), lambda: self.rng.uniform(0.2, 3)])
        return {name: unit() for name in self.path()}

    def cap(self):
        return self.rng.choice([math.inf, self.rng.uniform(0.1, 4), 1.0]) if "caps" in self.features else math.inf

    def arrival(self):
        rng = self.rng
        amount = rng.choice([rng.expovariate(0.3), 3.0, float(rng.randrange(8))])
        weight = rng.choice([1.0, 1.0, rng.uniform(0.3, 3), 0.0]) if "weights" in self.features else 1.0
        return "arrive", amount, self.uses(), weight, self.cap()

    def step(self, kind, flows):
        rng = self.rng
        if kind == "outage":
            name = rng.randrange(len(self.capacities))
            return kind, name, rng.choice([0.0, self.capacities[name] * rng.uniform(0.1, 2)]), rng.uniform(0.1, 3)
        return kind, rng.randrange(flows), self.uses() if kind == "change" else self.cap()


def play(kind, script):
    """What the script comes to: when each flow ends (-1: never, -2: refused), and probes of passed and used."""
    env = simpy.Environment()
    fluid = kind(env)
    sizes = zip(script.capacities, script.slots, strict=True)
    made = [fluid.resource(str(n), capacity, slots=slots) for n, (capacity, slots) in enumerate(sizes)]
    flows, seen = {}, []

    def act(number, what, *args):
        if what == "arrive":
            amount, uses, weight, cap = args
            try:
                flows[number] = fluid.flow(amount, {made[n]: u for n, u in uses.items()}, weight=weight, rate_cap=cap)
            except ValueError:
                flows[number] = None
        elif what == "outage":
            name, capacity, seconds = args
            fluid.set_capacity(made[name], capacity)
            back = env.timeout(seconds)
            back.callbacks.append(lambda _: fluid.set_capacity(made[name], script.capacities[name]))
        elif flows.get(args[0]) is not None:
            flow, value = flows[args[0]], args[1]
            try:
                if what == "cancel":
                    flow.cancel()
                elif what == "cap":
                    flow.change(rate_cap=value)
                else:
                    flow.change(uses={made[n]: u for n, u in value.items()})
            except ValueError:
                pass  # led over a dead resource

    def probe(at):
        for flow in flows.values():
            if flow is not None:
                seen.append((at, flow.amount, "passed", flow.passed))
                seen.extend((at, flow.amount, resource.name, used) for resource, used in flow.used.items())

    for number, (at, step) in enumerate(script.steps):
        env.timeout(at).callbacks.append(lambda _, number=number, step=step: act(number, *step))
    for at in script.probes:
        env.timeout(at).callbacks.append(lambda _, at=at: probe(at))
    env.run()
    probe(math.inf)
    ends = {n: -2 if flow is None else flow.value if flow.triggered else -1 for n, flow in flows.items()}
    return ends, seen


def check(script):
    (ends, seen), (others, expected) = (play(kind, script) for kind in (Fluid, ReferenceFluid))
    assert ends.keys() == others.keys()
    wrong = {n: (at, others[n]) for n, at in ends.items() if not near(at, others[n], 0)}
    assert not wrong
    assert [probe[:-1] for probe in seen] == [probe[:-1] for probe in expected]
    values = ((a[-1], b[-1], b[1]) for a, b in zip(seen, expected, strict=True))
    wrong = [pair for *pair, amount in values if not near(*pair, RELATIVE * amount)]
    assert not wrong


def near(value, other, most):
    return math.isclose(value, other, rel_tol=RELATIVE, abs_tol=most)


SHAPES = st.sampled_from([lone, tree, mesh, roomy])
FEATURES = st.sets(st.sampled_from(["weights", "caps", "slots", "change", "cap", "cancel", "outage"]))


@settings(max_examples=600)
@given(SHAPES, st.integers(0, 2**32 - 1), st.integers(1, 60), FEATURES)
def test_fast_equals_reference(shape, seed, flows, features):
    check(Script(shape, seed, flows, sorted(features)))


@pytest.mark.parametrize("shape", [lone, tree, mesh, roomy])
def test_fast_equals_reference_with_many_flows_and_everything_at_once(shape):
    check(Script(shape, 5, 300, ["weights", "caps", "slots", "change", "cap", "cancel", "outage"]))


def users(kind, shape, seed, features):
    """When each of 12 users ends each of its 15 flows, one after the other with a pause between them."""
    script, env = Script(shape, seed, 12 * 15, features), simpy.Environment()
    fluid = kind(env)
    sizes = zip(script.capacities, script.slots, strict=True)
    made = [fluid.resource(str(n), capacity, slots=slots) for n, (capacity, slots) in enumerate(sizes)]
    plans = [step for _, step in script.steps[: 12 * 15]]

    def user(number):
        ends = []
        for _, amount, uses, weight, cap in plans[number::12]:
            yield env.timeout(script.rng.expovariate(1) if number % 3 else 0)
            path = {made[n]: units for n, units in uses.items()}
            ends.append((yield fluid.flow(amount, path, weight=weight, rate_cap=cap)))
        return ends

    made_of = [env.process(user(number)) for number in range(12)]
    env.run()
    return [process.value for process in made_of]


@settings(max_examples=60)
@given(SHAPES, st.integers(0, 2**32 - 1), st.sampled_from([[], ["caps"], ["weights"], ["weights", "caps"]]))
def test_fast_equals_reference_where_ends_lead_to_arrivals(shape, seed, features):
    fast, slow = (users(kind, shape, seed, features) for kind in (Fluid, ReferenceFluid))
    for ends, others in zip(fast, slow, strict=True):
        assert ends == pytest.approx(others, rel=RELATIVE, abs=0)


def shared_equally(arrivals):
    """When each flow (arrival, amount) ends on a link of capacity 1 that is shared equally, to 50 digits."""
    with localcontext(prec=50):
        marks, ends, now, done = [], {}, Decimal(0), Decimal(0)
        for number, (at, amount) in enumerate([*arrivals, (math.inf, 0.0)]):
            while marks and now + (marks[0][0] - done) * len(marks) <= Decimal(at):
                share, (mark, first) = len(marks), heappop(marks)
                now, done = now + (mark - done) * share, mark
                ends[first] = float(now)
            if marks:
                done += (Decimal(at) - now) / len(marks)
            now = Decimal(at)
            heappush(marks, (done + Decimal(amount), number))
    return [ends[number] for number in range(len(arrivals))]


def test_a_link_that_is_busy_for_a_hundred_thousand_flows_does_not_drift():
    """Sizes over six decades beside one flow that keeps the link from ever falling idle."""
    rng, now = random.Random(2), 0.0
    arrivals = [(0.0, 4e4)]
    for _ in range(100_000):
        now += rng.expovariate(0.9 / 1.5)
        arrivals.append((now, rng.choice([rng.expovariate(1 / 3), 1e-6 + rng.random() * 1e-3])))
    env = simpy.Environment()
    fluid, flows = Fluid(env), []
    link = fluid.resource("link", 1.0)
    for at, amount in arrivals:
        env.timeout(at).callbacks.append(lambda _, amount=amount: flows.append(fluid.flow(amount, [link])))
    env.run()
    took = [flow.value - at for flow, (at, _) in zip(flows, arrivals, strict=True)]
    expected = shared_equally(arrivals)
    assert [flow.value for flow in flows] == pytest.approx(expected, rel=RELATIVE, abs=0)
    assert sum(took) == pytest.approx(sum(e - at for e, (at, _) in zip(expected, arrivals, strict=True)), rel=RELATIVE)


@pytest.mark.parametrize("seed", range(40))
def test_weights_forty_decades_apart_end_all_the_same(seed):
    """Where rounding alone decides who holds whom, the fluid still comes to an end."""
    rng, env = random.Random(seed), simpy.Environment()
    fluid = Fluid(env)
    resources = [fluid.resource(str(n), rng.choice([1, 1, 0.3, 1e-3])) for n in range(rng.randint(1, 8))]
    flows = []

    def arrive(_):
        path = rng.sample(resources, rng.randint(1, min(4, len(resources))))
        weight, cap = rng.choice([1e-20, 1, 1e20]), rng.choice([math.inf, 1, 0.1])
        flows.append(fluid.flow(rng.choice([0, 1, 1e-6]), path, weight=weight, rate_cap=cap))

    for _ in range(rng.randint(1, 40)):
        env.timeout(rng.choice([0, 1, 2, rng.random() * 5])).callbacks.append(arrive)
    env.run()
    assert all(flow.passed == flow.amount and flow.triggered for flow in flows)


def test_a_small_flow_after_a_rush_keeps_its_digits():
    """The work done per flow is 1e12 by then, and a double of that size resolves no 1e-9."""
    env = simpy.Environment()
    fluid = Fluid(env)
    link = fluid.resource("link", 1e12)
    fluid.flow(1e13, [link])
    env.run(until=1)
    fluid.set_capacity(link, 1.0)
    assert env.run(fluid.flow(1e-3, [link])) == pytest.approx(1.002, rel=RELATIVE)


def test_heavy_flows_that_come_and_go_leave_nothing_of_their_weight():
    """A link that is never idle ends its last flow when all has passed, whatever the weights in between."""
    env = simpy.Environment()
    fluid = Fluid(env)
    link = fluid.resource("link", 1.0)
    light = fluid.flow(100.0, [link], weight=0.1)
    for n in range(1000):
        env.timeout(n / 100).callbacks.append(lambda _, n=n: fluid.flow(1e-3, [link], weight=1e9 / (n + 3)))
    assert env.run(light) == pytest.approx(101.0, rel=RELATIVE)


def test_a_flow_of_next_to_no_weight_stalls_nobody():
    """What rounding makes of its level where it is alone with a full trunk is no offer to the others there."""
    env = simpy.Environment()
    fluid = Fluid(env)
    trunk, narrow = fluid.resource("trunk", 1), fluid.resource("narrow", 1e-3)
    light = fluid.flow(1e6, [trunk], weight=1e-20, rate_cap=1e-9)
    env.run(until=2)
    assert env.run(fluid.flow(1, [trunk, narrow], rate_cap=1)) == pytest.approx(1002, rel=RELATIVE)
    assert light.passed == pytest.approx(1002e-9, rel=1e-6)
