"""Closed forms of the fluid, fast and reference: where the theory has a number, the number is met exactly."""

import math

import pytest
import simpy

from simulator.fluid import Fluid
from simulator.sharing import reference
from simulator.sharing.fairness import solve
from simulator.sharing.reference import ReferenceFluid
from simulator.sharing.shares import Share


@pytest.fixture
def env():
    return simpy.Environment()


@pytest.fixture(params=[Fluid, ReferenceFluid])
def fluid(request, env):
    return request.param(env)


def at(env, seconds, action):
    """Do something at a time, as an ordinary event of that instant."""
    env.timeout(seconds - env.now).callbacks.append(lambda _: action())


def rates(*flows):
    found = solve(flows)
    return [found[flow] for flow in flows]


def test_alone_a_flow_takes_amount_over_capacity(env, fluid):
    flow = fluid.flow(20, [fluid.resource("link", 8)])
    assert env.run(flow) == env.now == 20 / 8
    assert flow.passed == 20
    assert env.run(flow) == 2.5


def test_rates_follow_weights(fluid):
    link = fluid.resource("link", 12)
    flows = [fluid.flow(1, [link], weight=weight) for weight in (1, 2, 3)]
    assert rates(*flows) == [2, 4, 6]


def test_stations_of_one_cell_get_equal_goodput_and_unequal_airtime(env, fluid):
    cell = fluid.resource("cell", 1)
    slow, fast = fluid.flow(80, {cell: 1 / 10}), fluid.flow(80, {cell: 1 / 40})
    env.run()
    assert slow.value == fast.value == 10  # x/10 + x/40 = 1 gives x = 8
    assert slow.used == {cell: 8}
    assert fast.used == {cell: 2}


def test_a_resource_named_twice_is_used_twice(env, fluid):
    link = fluid.resource("link", 8)
    flow = fluid.flow(20, [link, link])
    assert env.run(flow) == 5
    assert flow.used == {link: 40}


def test_what_a_cap_leaves_goes_to_the_others(fluid):
    link = fluid.resource("link", 10)
    flows = [fluid.flow(1, [link], rate_cap=1), fluid.flow(1, [link]), fluid.flow(1, [link], weight=2)]
    assert rates(*flows) == [1, 3, 6]


def test_a_cap_alone_limits_a_flow_that_uses_nothing(env, fluid):
    assert env.run(fluid.flow(6, [], rate_cap=2)) == 3


def test_a_cap_is_met_to_the_bit(fluid):
    flow = fluid.flow(1, [fluid.resource("link", 1)], weight=0.3, rate_cap=0.1)
    assert rates(flow) == [0.1]


def test_parking_lot(fluid):
    near, middle, far = fluid.resource("near", 10), fluid.resource("middle", 6), fluid.resource("far", 20)
    along = fluid.flow(1, [near, middle, far])
    local = [fluid.flow(1, [link]) for link in (near, middle, far)]
    assert rates(along, *local) == [3, 7, 3, 17]


def test_components_do_not_feel_each_other(fluid):
    left, right = fluid.resource("left", 1 / 3), fluid.resource("right", 1 / 7)
    flows = [fluid.flow(1, [link], weight=weight) for link in (left, right) for weight in (0.1, 0.7)]
    assert solve(flows) == solve(flows[:2]) | solve(flows[2:])


def test_a_far_lighter_flow_is_not_starved_by_rounding(fluid):
    one, two = fluid.resource("one", 1.1), fluid.resource("two", 1.1 * (1 + 1e-9))
    heavy, light = fluid.flow(1, [one, two]), fluid.flow(1, [two], weight=1e-9)
    most, least = rates(heavy, light)
    assert least == pytest.approx(1.1e-9, rel=1e-6, abs=0)
    assert most + least <= two.capacity * (1 + 1e-15)


@pytest.mark.parametrize("n", range(2, 30))
def test_the_level_never_falls_where_nothing_is_left_but_rounding(fluid, n):
    one, two = fluid.resource("one", n / 10), fluid.resource("two", n / 10)
    heavy = [fluid.flow(1, [one, two], weight=k / 7) for k in range(1, n)]
    light = fluid.flow(1, [two], weight=1e-20)
    *most, least = rates(*heavy, light)
    assert least >= 1e-20 * 7 * most[0] * (1 - 1e-15)


def test_arrivals_share_from_then_on(env, fluid):
    link = fluid.resource("link", 10)
    first = fluid.flow(100, [link])
    later = []
    at(env, 4, lambda: later.append(fluid.flow(20, [link])))
    env.run()
    assert later[0].value == 8  # 20 at half of 10
    assert first.value == 12  # 40 alone, 20 shared, 40 alone


def test_passed_and_used_are_true_at_any_instant(env, fluid):
    link, cell = fluid.resource("link", 10), fluid.resource("cell", 1)
    flow = fluid.flow(100, {link: 1, cell: 1 / 20})
    at(env, 4, lambda: fluid.flow(20, [link]))
    seen = []
    for seconds in (0, 2, 4, 6, 8, 10, 12, 14):
        at(env, seconds, lambda: seen.append((env.now, flow.passed, flow.used[link], flow.used[cell])))
    env.run()
    assert [row[:3] for row in seen] == [
        (0, 0, 0),
        (2, 20, 20),
        (4, 40, 40),
        (6, 50, 50),
        (8, 60, 60),
        (10, 80, 80),
        (12, 100, 100),
        (14, 100, 100),
    ]
    assert [row[3] for row in seen] == [row[1] / 20 for row in seen]


def test_a_cancelled_flow_never_fires_and_leaves_its_share(env, fluid):
    link = fluid.resource("link", 10)
    stays, goes = fluid.flow(100, [link]), fluid.flow(100, [link])
    at(env, 4, goes.cancel)
    env.run()
    assert not goes.triggered
    assert goes.passed == 20
    assert goes.used == {link: 20}
    assert stays.value == 12


def test_cancelled_before_it_began(env, fluid):
    link = fluid.resource("link", 10)
    flow = fluid.flow(100, [link])
    flow.cancel()
    flow.cancel()
    env.run()
    assert (flow.triggered, flow.passed, flow.used, env.now) == (False, 0, {link: 0}, 0)


def test_cancelling_or_changing_a_finished_flow_does_nothing(env, fluid):
    link = fluid.resource("link", 10)
    flow = fluid.flow(100, [link])
    env.run()
    flow.cancel()
    flow.change(uses=[link, link], rate_cap=1)
    env.run()
    assert (flow.value, flow.passed, flow.used) == (10, 100, {link: 100})


def test_a_flow_that_has_finished_passed_its_amount_exactly(env, fluid):
    link = fluid.resource("link", 0.7)
    flows = []
    for n in range(50):
        at(env, n * 0.1, lambda n=n: flows.append(fluid.flow(0.1 + n / 3, {link: 0.3}, weight=1 + n % 7)))
    env.run()
    assert [flow.passed for flow in flows] == [flow.amount for flow in flows]
    assert [flow.used[link] for flow in flows] == [0.3 * flow.amount for flow in flows]


def test_what_ends_together_ends_at_the_same_instant(env, fluid):
    """Amounts in proportion to the weights, under disturbances whose numbers all round."""
    link = fluid.resource("link", 0.7)
    flows = [fluid.flow(k / 7, {link: 0.1}, weight=k / 3) for k in range(1, 40)]
    for n in range(20):
        at(env, 0.1 * n / 3, lambda n=n: fluid.flow(0.01 * n, [link], weight=0.9))
    env.run()
    assert len({flow.value for flow in flows}) == 1


@pytest.mark.parametrize("start", [0.1, 1e6, 1e9 + 0.1])
def test_late_on_the_clock_together_is_still_together(env, fluid, start):
    link = fluid.resource("link", 0.7)
    flows = []
    for weight in (0.1, 0.3, 0.7):
        at(env, start, lambda weight=weight: flows.append(fluid.flow(weight * 1e-3, [link], weight=weight)))
    env.run()
    assert len({flow.value for flow in flows}) == 1
    assert flows[0].value == pytest.approx(start + 1.1e-3 / 0.7, rel=1e-15, abs=0)


@pytest.mark.parametrize("middle", [0.1, 0.3, 0.6])
def test_late_on_the_clock_paths_that_round_differently_end_together(env, fluid, middle):
    link = fluid.resource("link", 3)
    flows = []
    at(env, 1e9, lambda: flows.append(fluid.flow(0.7, [link], rate_cap=1)))
    at(env, 1e9, lambda: flows.append(fluid.flow(2 * middle + 5 * (0.7 - middle), [link])))
    at(env, 1e9 + middle, lambda: fluid.set_capacity(link, 6))
    env.run()
    assert len({flow.value for flow in flows}) == 1


@pytest.mark.parametrize("trickle", [1e-3, 1e-6])
def test_together_after_a_rush_and_a_trickle(env, fluid, trickle):
    """What rounding left of the rush takes the trickle far longer than the clock can resolve."""
    link = fluid.resource("link", 1e3)
    flows = [fluid.flow(k / 7, [link], weight=k / 3) for k in range(1, 40)]
    total = sum(flow.amount for flow in flows)
    at(env, total / 1e3 * 0.3, lambda: fluid.set_capacity(link, 0.9e3))
    at(env, total / 1e3, lambda: fluid.set_capacity(link, trickle))
    env.run()
    assert len({flow.value for flow in flows}) == 1


def test_neighbours_do_not_wear_off_a_rate_that_stays(env, fluid):
    link = fluid.resource("link", 10)
    flow = fluid.flow(0.7, [link], rate_cap=0.1)
    for n in range(60):
        at(env, n / 9, lambda n=n: fluid.flow(n / 7, [link]))
    env.run()
    assert flow.value == 0.7 / 0.1


def simultaneous_changes(env, fluid):
    link, other = fluid.resource("link", 10), fluid.resource("other", 1)
    fluid.flow(5, [other])
    flows = [fluid.flow(10, [link]) for _ in range(10)]
    at(env, 2, lambda: fluid.set_capacity(link, 1))
    at(env, 2, lambda: fluid.set_capacity(link, 20))
    env.run()
    assert {flow.value for flow in flows} == {6}


def test_simultaneous_changes_are_solved_once(env, monkeypatch):
    solved = []
    monkeypatch.setattr(reference, "solve", lambda flows: solved.append((env.now, len(flows))) or solve(flows))
    simultaneous_changes(env, ReferenceFluid(env))
    assert solved == [(0, 1), (0, 10), (2, 10)]  # the other component is solved when it is touched, and only then


@pytest.fixture
def timed(env, monkeypatch):
    """Of which resources the next end was sought, and when."""
    timed, next_due = [], Share.next_due
    monkeypatch.setattr(
        Share, "next_due", lambda share, now: timed.append((now, share.resource.name)) or next_due(share, now)
    )
    return timed


def test_simultaneous_changes_are_settled_once(env, timed):
    simultaneous_changes(env, Fluid(env))
    assert timed == [(0, "other"), (0, "link"), (2, "link"), (5, "other"), (6, "link")]


def test_a_resource_with_room_couples_nothing(env, timed):
    fluid = Fluid(env)
    trunk, cells = fluid.resource("trunk", 100), [fluid.resource(f"cell{n}", 10 + n) for n in range(5)]
    for cell in cells:
        for amount in (30, 60, 90):
            fluid.flow(amount, [cell, trunk])
    env.run(until=1)
    timed.clear()
    env.run()
    assert [name for _, name in timed].count("trunk") == 0
    assert sorted(name for _, name in timed) == sorted(3 * [cell.name for cell in cells])


def test_a_change_after_the_settling_of_its_instant_settles_again(env, fluid):
    link = fluid.resource("link", 10)
    flow = fluid.flow(100, [link])

    def chain():
        yield env.timeout(4)
        yield fluid.flow(0, [link])  # fires after this instant's settling
        assert env.now == 4
        yield fluid.flow(0, [link])
        other = fluid.flow(20, [link])
        assert (yield other) == 8

    env.run(env.process(chain()))
    env.run()
    assert flow.value == 12


@pytest.mark.parametrize("flow_first", [True, False])
def test_what_is_due_at_a_deadline_has_met_it(env, fluid, flow_first):
    link = fluid.resource("link", 10)
    if flow_first:
        flow, deadline = fluid.flow(300, [link]), env.timeout(30)
    else:
        deadline, flow = env.timeout(30), fluid.flow(300, [link])
    happened = []
    flow.callbacks.append(lambda _: happened.append("flow"))
    deadline.callbacks.append(lambda _: happened.append("deadline"))
    env.run()
    assert happened == ["flow", "deadline"]


def test_nothing_to_pass_passes_at_once(env, fluid):
    link = fluid.resource("link", 10)
    assert env.run(fluid.flow(0, [link])) == 0
    assert env.run(fluid.flow(0, [], rate_cap=1)) == 0
    busy, nothing = fluid.flow(20, [link]), fluid.flow(0, [link])
    fluid.set_capacity(link, 0)
    assert env.run(nothing) == 0
    fluid.set_capacity(link, 10)
    assert env.run(busy) == 2


def test_a_run_that_stops_on_the_way_goes_on_as_if_it_had_not(env, fluid):
    link = fluid.resource("link", 10)
    flow = fluid.flow(100, [link])
    for until in (0.1, 0.3, 5, 9.9):
        env.run(until)
        assert flow.passed == pytest.approx(10 * until, rel=1e-15, abs=0)
        assert not flow.triggered
    env.run()
    assert flow.value == 10


def test_slots_serve_in_order_of_arrival(env, fluid):
    door = fluid.resource("door", 10, slots=1)
    flows = [fluid.flow(amount, [door]) for amount in (50, 10, 20)]
    env.run()
    assert [flow.value for flow in flows] == [5, 6, 8]


def test_slots_share_among_those_they_serve(env, fluid):
    door = fluid.resource("door", 10, slots=2)
    flows = [fluid.flow(amount, [door]) for amount in (50, 10, 20)]
    env.run()
    assert [flow.value for flow in flows] == [8, 2, 6]


def test_a_flow_waits_for_its_turn_at_every_slotted_resource(env, fluid):
    one, two = fluid.resource("one", 10, slots=1), fluid.resource("two", 10, slots=1)
    flows = [fluid.flow(50, [one]), fluid.flow(30, [two]), fluid.flow(10, [one, two]), fluid.flow(40, [two])]
    env.run()
    # The third is first in line at `two` from 3 on and at `one` from 5 on; the fourth waits behind it.
    assert [flow.value for flow in flows] == [5, 3, 6, 10]


def test_a_slot_is_left_by_cancelling_and_by_changing(env, fluid):
    door, field = fluid.resource("door", 10, slots=1), fluid.resource("field", 10)
    first, second, third = (fluid.flow(50, [door]) for _ in range(3))
    at(env, 1, first.cancel)
    at(env, 3, lambda: second.change(uses=[field]))
    env.run()
    assert (first.passed, second.value, third.value) == (10, 6, 8)


def test_a_flow_that_is_led_into_a_queue_waits_there(env, fluid):
    door, field = fluid.resource("door", 10, slots=1), fluid.resource("field", 10)
    first, mover = fluid.flow(50, [door]), fluid.flow(50, [field])
    at(env, 2, lambda: mover.change(uses=[field, door]))
    env.run(until=4.5)
    assert mover.passed == 20
    env.run()
    assert (first.value, mover.value) == (5, 8)
    assert mover.used == {field: 50, door: 30}


def test_a_change_keeps_the_turn(env, fluid):
    door = fluid.resource("door", 10, slots=1)
    first, second = fluid.flow(50, [door]), fluid.flow(50, [door])
    at(env, 2, lambda: first.change(uses={door: 2}))
    env.run()
    assert (first.value, second.value) == (8, 13)


def test_nothing_to_pass_still_waits_for_its_turn(env, fluid):
    door = fluid.resource("door", 10, slots=1)
    first, nothing = fluid.flow(50, [door]), fluid.flow(0, [door])
    at(env, 2, lambda: fluid.set_capacity(door, 0))
    at(env, 4, first.cancel)
    env.run()
    assert nothing.value == 4


def test_change_of_uses_in_mid_flow(env, fluid):
    wifi, lte = fluid.resource("wifi", 10), fluid.resource("lte", 5)
    flow, stays = fluid.flow(100, [wifi]), fluid.flow(100, [wifi])
    at(env, 4, lambda: flow.change(uses={lte: 2}))
    at(env, 8, lambda: flow.change(uses=[wifi]))
    env.run()
    # 20 at half of 10; 10 at 5/2; 40 at half of 10, until the other has had its 20 + 40 + 40; 30 at 10.
    assert (stays.value, flow.value) == (16, 19)
    assert flow.used == {wifi: 90, lte: 20}


def test_change_of_cap_in_mid_flow(env, fluid):
    link = fluid.resource("link", 10)
    flow = fluid.flow(100, [link], rate_cap=2)
    at(env, 10, lambda: flow.change(rate_cap=4))
    at(env, 15, lambda: flow.change(rate_cap=math.inf))
    env.run()
    assert flow.value == 21  # 20, 20 and 60


def test_change_to_no_resource_at_all(env, fluid):
    link = fluid.resource("link", 10)
    flow = fluid.flow(100, [link])
    at(env, 4, lambda: flow.change(uses=[], rate_cap=30))
    env.run()
    assert flow.value == 6
    assert flow.used == {link: 40}


def test_a_refused_change_changes_nothing(env, fluid):
    link, dead = fluid.resource("link", 10), fluid.resource("dead", 0)
    flow = fluid.flow(100, [link])
    for wrong in ({"uses": [dead]}, {"uses": []}, {"uses": {link: 0}}, {"rate_cap": 0}):
        with pytest.raises(ValueError, match="flow"):
            flow.change(**wrong)
    assert env.run(flow) == 10


def test_an_outage_stalls_and_recovery_resumes(env, fluid):
    link = fluid.resource("link", 10)
    flow, other = fluid.flow(100, [link]), fluid.flow(100, [link, fluid.resource("next", 3)])
    at(env, 4, lambda: fluid.set_capacity(link, 0))
    at(env, 9, lambda: fluid.set_capacity(link, 5))
    env.run(until=8)
    assert (flow.passed, other.passed) == (28, 12)
    env.run()
    assert flow.value == 9 + 72 / 2.5
    assert other.value == 9 + 72 / 2.5 + (100 - 12 - 72) / 3


def test_an_outage_can_be_left_and_lasts_for_who_stays(env, fluid):
    link, other = fluid.resource("link", 10), fluid.resource("other", 10)
    leaves, stays = fluid.flow(100, [link]), fluid.flow(100, [link])
    at(env, 4, lambda: fluid.set_capacity(link, 0))
    at(env, 5, lambda: leaves.change(uses=[other]))
    at(env, 6, lambda: stays.change(uses={link: 2}))
    env.run()
    assert leaves.value == 13
    assert not stays.triggered
    assert stays.passed == 20


def test_a_dead_resource_is_refused(fluid):
    with pytest.raises(ValueError, match=r"flow: resource 'wifi' has capacity 0"):
        fluid.flow(1, [fluid.resource("wifi", 0)])


@pytest.mark.parametrize("capacity", [-1, math.nan, math.inf])
def test_capacities_that_make_no_sense(fluid, capacity):
    message = f"resource 'wifi': capacity must be >= 0 and finite, got {capacity}"
    with pytest.raises(ValueError, match=message):
        fluid.resource("wifi", capacity)
    with pytest.raises(ValueError, match=message):
        fluid.set_capacity(fluid.resource("wifi", 1), capacity)


@pytest.mark.parametrize("slots", [0, -1, 1.5, math.nan, math.inf])
def test_slots_that_make_no_sense(fluid, slots):
    with pytest.raises(ValueError, match=f"resource 'wifi': slots must be a whole number >= 1, got {slots}"):
        fluid.resource("wifi", 1, slots=slots)


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        *(({"amount": x}, f"flow: amount must be >= 0 and finite, got {x}") for x in (-1, math.nan, math.inf)),
        *(({"weight": x}, f"flow: weight must be >= 0 and finite, got {x}") for x in (-1, math.nan, math.inf)),
        *(({"rate_cap": x}, f"flow: rate_cap must be > 0, got {x}") for x in (0, -1, math.nan)),
        ({"uses": []}, "flow: uses no resource and has no rate_cap, so nothing would limit it"),
    ],
)
def test_flows_that_make_no_sense(env, fluid, figures, message):
    good = {"amount": 1, "uses": [fluid.resource("wifi", 1)]}
    with pytest.raises(ValueError, match=message):
        fluid.flow(**good | figures)
    assert env.peek() == math.inf


@pytest.mark.parametrize("units", [0, -1, math.nan, math.inf])
def test_coefficients_that_make_no_sense(fluid, units):
    with pytest.raises(ValueError, match=f"flow: use of resource 'wifi' must be > 0 and finite, got {units}"):
        fluid.flow(1, {fluid.resource("wifi", 1): units})
