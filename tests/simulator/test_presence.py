"""Who comes and goes: timetables, churn, batteries; what is interrupted then, and that nothing hangs."""

import math
from dataclasses import replace

import pytest

from simulator import Evaluate, Plan, Size, Stage, TierPlan, simulate
from simulator.costs import Battery, Costs
from simulator.presence import Churn, Timetable, Windows, always
from tests.simulator.worlds import Diary, device, house, room, times, wire

STAGE = Stage("s", Plan(room=TierPlan(("m",))), trainable=("m",))
BARE = {"infrastructure": False, "tail": False}


def exactly(value):
    return pytest.approx(value, rel=1e-11)


def run(tree, *, flops=40.0, rounds=1, nbytes=1, **how):
    stage = Stage("s", Plan(room=TierPlan(("m",), rounds)), trainable=("m",))
    workload = Diary({"m": Size(nbytes, flops)})
    how.setdefault("final_broadcast", False)
    return simulate(tree, workload, [stage], **how), workload


def happened(log):
    return [(happening.time_s, happening.node, happening.kind) for happening in log.happenings]


def only(node, *spans, every=math.inf):
    return Timetable(Windows(spans, every), frozenset({node}))


def battery(joules, **figures):
    """1 W idle, 3 W busy, 2 W sending, 0.5 W receiving above the radio's idle."""
    return replace(device(4.0), battery_joules=joules, **figures)


def test_windows_repeat():
    school = Windows(((8.0, 10.0), (11.0, 12.0)), 24.0)
    assert [school.at(t) for t in (0, 8, 9.5, 10, 11, 12, 24 + 9)] == [
        (False, 8), (True, 10), (True, 10), (False, 11), (True, 12), (False, 24 + 8), (True, 24 + 10)
    ]  # fmt: skip
    assert Windows(((1.0, 2.0),)).at(3) == (False, math.inf)
    assert Windows(()).at(3) == (False, math.inf)


def test_churn_is_a_stationary_process_of_its_means():
    """The share of time present is 3/4, from the start; times present have the mean given. Within 4 standard errors."""
    churn = Churn(7, 30.0, 10.0, frozenset(f"n{i}" for i in range(400)))
    starts = [churn(f"n{i}", 0.0)[0] for i in range(400)]
    assert abs(sum(starts) / 400 - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 400)
    present, spells, time = 0.0, [], 0.0
    while time < 40_000:
        here, until = churn("n0", time)
        if here:
            spells.append(until - time)
            present += until - time
        time = until
    assert abs(sum(spells) / len(spells) - 30) < 4 * 30 / math.sqrt(len(spells))
    # One cycle is a time present and one absent, each exponential: the share's error follows from the delta method.
    error = math.sqrt((10**2 * 30**2 + 30**2 * 10**2) / 40**4 / len(spells)) * 1.0
    assert abs(present / time - 0.75) < 4 * error


def test_churn_is_a_function_of_seed_node_and_time():
    nodes = frozenset({"a", "b"})
    one, other = Churn(7, 30.0, 10.0, nodes), Churn(7, 30.0, 10.0, nodes)
    late = one("a", 5_000.0)
    assert [one("a", t) for t in range(0, 5_000, 50)] == [other("a", t) for t in range(0, 5_000, 50)]
    assert other("a", 5_000.0) == late
    assert one("a", 5_000.0) != one("b", 5_000.0)
    assert Churn(8, 30.0, 10.0, nodes)("a", 5_000.0) != late
    assert one("somebody", 5_000.0) == (True, math.inf)


def test_who_is_absent_is_not_asked():
    log, work = run(room(device(), device(), link=wire(8.0)), presence=only("tablet1", (100.0, 200.0)))
    assert happened(log) == [(0, "tablet1", "absent")]
    assert work.trained == [("tablet0", 0)]
    assert "tablet1" not in {span.node for span in log.spans}
    assert log.accounts["tablet1"].present_s == 0
    assert log.accounts["tablet1"].causes == {}


@pytest.mark.parametrize("merging", [0.0, 4.0])
def test_who_comes_at_the_very_time_of_a_round_is_asked(merging):
    """The first round ends when the other's report is in at 3 s, or merged at 4 s: then somebody comes."""
    ends, tree = 3 + merging / 4, room(device(), device(), link=wire(8.0), edge=device())
    stage = Stage("s", Plan(room=TierPlan(("m",), 2)), trainable=("m",))
    workload = Diary({"m": Size(1, 4.0)}, flops={"merge": merging})
    presence = only("tablet1", (0.0, 0.5), (ends, 100.0))
    log = simulate(tree, workload, [stage], presence=presence, final_broadcast=False)
    assert happened(log) == [(0.5, "tablet1", "left")]
    assert ("tablet1", 0) in workload.trained


def test_who_leaves_while_training_has_learned_nothing_but_drawn():
    log, work = run(room(device(), device(), link=wire(8.0)), presence=only("tablet1", (0.0, 6.0)))
    assert happened(log) == [(6, "tablet1", "left")]
    assert work.trained == [("tablet0", 0)]
    (span,) = [s for s in log.spans if (s.node, s.activity) == ("tablet1", "train")]
    assert (span.start_s, span.end_s, span.status, span.flops, span.joules) == (1, 6, "interrupted", 20, 10)
    assert log.accounts["tablet1"].present_s == 6
    assert log.accounts["tablet1"].joules("idle") == exactly(6.0)
    assert log.end_s == 12


def test_who_leaves_while_sending_has_passed_whole_bytes():
    log, _ = run(room(device(), link=wire(8.0)), nbytes=3, presence=only("tablet0", (0.0, 3 + 10 + 1.5)))
    up = [s for s in log.spans if s.activity == "up"]
    assert [(s.kind, s.end_s, s.nbytes, s.status) for s in up] == [
        ("transmit", 14.5, 1, "interrupted"),
        ("receive", 14.5, 1, "interrupted"),
    ]
    assert up[0].joules == exactly(2.0 * 1.5)
    assert happened(log) == [(14.5, "tablet0", "left"), (14.5, "room", "no_arrivals")]


def test_who_comes_back_takes_part_in_the_next_round():
    presence = only("tablet0", (0.0, 6.0), (7.0, 100.0))
    log, work = run(room(device(), device(), link=wire(8.0)), rounds=2, presence=presence)
    assert work.trained == [("tablet1", 0), ("tablet0", 0), ("tablet1", 1)]
    assert log.accounts["tablet0"].present_s == exactly(log.end_s - 1)


def test_a_room_that_leaves_takes_its_tablets_reports_along():
    tree = house(wire(8.0), wire(8.0), tablets=2)
    plan = Plan(cloud=TierPlan(("m",)), room=TierPlan(("m",)))
    workload = Diary({"m": Size(1, 40.0)})
    log = simulate(tree, workload, [Stage("s", plan, trainable=("m",))], presence=only("room", (0.0, 5.0)),
                   final_broadcast=False)  # fmt: skip
    assert happened(log) == [(5, "room", "left"), (5, "cloud", "no_arrivals")]
    assert workload.trained == []
    assert {s.status for s in log.spans if s.activity == "train"} == {"interrupted"}
    assert log.end_s == 5


def test_a_forwarding_node_that_is_away_makes_its_tablets_unreachable():
    tree = house(wire(8.0), wire(8.0))
    stage = Stage("s", Plan(cloud=TierPlan(("m",))), trainable=("m",))
    how = {"final_broadcast": False}
    log = simulate(tree, Diary({"m": Size(1, 40.0)}), [stage], presence=only("room", (50.0, 60.0)), **how)
    assert happened(log) == [(0, "tablet0", "unreachable"), (0, "cloud", "no_arrivals")]
    log = simulate(tree, Diary({"m": Size(1, 40.0)}), [stage], presence=only("room", (0.0, 11.25)), **how)
    assert happened(log) == [(11.25, "room", "left"), (11.25, "cloud", "no_arrivals")]
    assert [s.nbytes for s in log.spans if s.activity == "up"] == [0, 0, 0, 0]


def test_a_root_is_always_there():
    log, work = run(room(device(), link=wire(8.0), edge=device()), presence=only("room", (50.0, 60.0)))
    assert work.trained == [("tablet0", 0)]
    assert log.happenings == []


def test_the_last_broadcast_misses_who_is_away():
    log, _ = run(room(device(), device(), link=wire(8.0)), presence=only("tablet1", (0.0, 6.0)), final_broadcast=True)
    assert happened(log) == [(6, "tablet1", "left"), (12, "tablet1", "absent")]
    log, _ = run(room(device(), device(), link=wire(8.0)), presence=only("tablet1", (0.0, 12.5)), final_broadcast=True)
    assert happened(log) == [(12.5, "tablet1", "left"), (12.5, "tablet1", "uninformed")]


def relayed(presence, stages=1):
    """The cloud, a campus, a room and a tablet behind a slow wire; the campus may leave in the closing broadcast."""
    plan = Plan(cloud=TierPlan(("m",)), campus=TierPlan(("m",)), room=TierPlan(("m",)))
    tree = house(wire(64), wire(64), wire(4))
    stage = Stage("s", plan, trainable=("m",))
    return tree, simulate(tree, Diary({"m": Size(8, 8.0)}), [stage] * stages, presence=presence)


@pytest.mark.parametrize("stages", [1, 2])
def test_what_goes_on_below_who_leaves_is_waited_for_and_charged(stages):
    """The broadcast reaches the campus at 39 s, the room at 40 s and the tablet at 56 s; the campus leaves at 45 s."""
    _, whole = relayed(always)
    _, log = relayed(only("campus", (0.0, 45.0)), stages)
    assert log.spans == whole.spans
    assert log.end_s == whole.end_s == 56
    assert log.accounts["tablet0"].joules("receive") == exactly(0.5 * 2 * 16)
    assert [kind for *_, kind in happened(log) if kind == "uninformed"] == []


def test_who_leaves_before_passing_on_leaves_those_below_uninformed():
    _, log = relayed(only("campus", (0.0, 39.5)))
    assert happened(log) == [(39.5, "campus", "left"), (39.5, "room", "uninformed")]
    assert log.end_s == 39.5


def test_a_model_preinstalled_at_who_is_absent_is_scored_but_costs_nothing():
    first, tree = Stage("pre", at="room", trainable=("m",), preinstalled=True), room(device(), link=wire(8.0))
    workload = Diary({"m": Size(1, 8.0)}, flops={"evaluate": 8.0})
    how = {"presence": only("tablet0", (1e3, 2e3)), "evaluate": Evaluate(tiers=("device",))}
    log = simulate(tree, workload, [first, STAGE], **how)
    assert [metric.node for metric in log.metrics] == ["tablet0"]
    assert log.accounts["tablet0"].causes == {}


def test_a_battery_dies_in_the_middle_of_training_at_its_very_time():
    """Until 1 s: idle and receiving, 1.5 J. Then 3 W: the other 12 J of 13.5 last until 5 s."""
    log, work = run(room(battery(13.5), device(), link=wire(8.0)), costs=Costs(battery=Battery(), **BARE))
    ((time, node, kind), *rest) = happened(log)
    assert (time, node, kind) == (exactly(5.0), "tablet0", "died")
    assert rest == []
    assert work.trained == [("tablet1", 0)]
    (span,) = [s for s in log.spans if (s.node, s.activity) == ("tablet0", "train")]
    assert (span.end_s, span.flops, span.joules, span.status) == (
        exactly(5.0),
        exactly(16.0),
        exactly(8.0),
        "interrupted",
    )
    assert log.accounts["tablet0"].own == exactly(13.5)
    assert 0 <= log.charges["tablet0"] < 1e-9
    assert log.end_s == 12


def test_a_battery_smaller_than_a_round_is_a_death_in_each_and_no_hang():
    costs = Costs(battery=Battery(), **BARE)
    log, work = run(room(battery(0.75), link=wire(8.0)), rounds=3, costs=costs)
    assert [kind for *_, kind in happened(log)] == [
        "died", "no_arrivals", "absent", "no_arrivals", "absent", "no_arrivals"
    ]  # fmt: skip
    assert log.happenings[0].time_s == exactly(0.5)
    assert work.trained == []


def test_plugged_in_a_device_runs_on_the_mains_and_fills_up():
    """Half full at the start; plugged from 2 s until 6 s it gains 4 x 5 J; then it drains at what it draws."""
    costs = Costs(battery=Battery((0.5, 0.5), 5.0, ((2.0, 6.0),)), **BARE)
    log, _ = run(room(battery(100.0), link=wire(8.0)), costs=costs)
    before, after = 1.5 + 3.0, 3.0 * 5 + (1 + 2.0) * 1  # training until 11 s, sending until 12 s
    assert log.charges["tablet0"] == exactly(50 - before + 20 - after)
    assert log.accounts["tablet0"].own == exactly(12 + 0.5 + 20 + 2)  # whoever pays for it


def test_a_battery_is_never_more_than_full():
    costs = Costs(battery=Battery(charge_watts=1e9, plugged=((2.0, 12.0),)), **BARE)
    log, _ = run(room(battery(100.0), link=wire(8.0)), costs=costs)
    assert log.charges["tablet0"] == 100.0


def test_a_dead_device_is_back_when_it_is_charged_to_a_share():
    """13.5 J die at 5 s. Plugged from 8 s at 1.35 W it has half of its 13.5 J 5 s later and joins the second round."""
    costs = Costs(battery=Battery(charge_watts=1.35, plugged=((8.0, 100.0),), revive=0.5), **BARE)
    log, work = run(room(battery(13.5), device(), link=wire(8.0)), rounds=3, costs=costs)
    assert happened(log)[:3] == [
        (exactly(5.0), "tablet0", "died"), (12, "tablet0", "absent"), (exactly(13.0), "tablet0", "revived")
    ]  # fmt: skip
    assert work.trained == [("tablet1", 0), ("tablet1", 1), ("tablet0", 0), ("tablet1", 2)]


def test_batteries_start_between_two_shares_by_seed_and_node():
    tree = room(*[battery(1e6)] * 50, link=wire(8.0))
    levels = {}
    for seed in (1, 1, 2):
        log, _ = run(tree, costs=Costs(battery=Battery((0.2, 0.6)), **BARE), seed=seed)
        drawn = [log.charges[n] + log.accounts[n].own for n in log.charges]
        assert all(0.2e6 <= level <= 0.6e6 for level in drawn)
        assert levels.setdefault(seed, drawn) == drawn
    assert levels[1] != levels[2]
    assert abs(sum(levels[1]) / 50 - 0.4e6) < 4 * 0.4e6 / math.sqrt(12 * 50)


def test_batteries_that_nobody_follows_never_die():
    log, work = run(room(battery(0.75), link=wire(8.0)))
    assert work.trained == [("tablet0", 0)]
    assert log.charges == {}


def test_what_draws_nothing_never_runs_dry():
    still = replace(wire(8.0), transmit_watts=0.0, receive_watts=0.0, idle_watts=0.0)
    tree = room(replace(device(4.0, idle=0.0, busy=0.0), battery_joules=0.75), link=still)
    log, _ = run(tree, costs=Costs(battery=Battery()))
    assert (log.happenings, log.charges) == ([], {"tablet0": 0.75})


def test_who_is_always_there_costs_no_event():
    log, _ = run(room(device(), link=wire(8.0)), presence=lambda node, time: always(node, time))
    assert log.happenings == []
    assert times(log, activity="train") == [(1, 11)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Battery((0.0, 1.0)), "initial must be shares > 0 and <= 1"),
        (lambda: Battery((0.9, 0.2)), "low before high"),
        (lambda: Battery(charge_watts=math.nan), "charge_watts must be >= 0 and finite, got nan"),
        (lambda: Battery(plugged=((0, 1),)), "plugged needs charge_watts > 0"),
        (lambda: Battery(charge_watts=1, plugged=((5, 3),)), "from < until"),
        (lambda: Battery(charge_watts=1, plugged=((0, 3), (2, 5))), "in order"),
        (lambda: Battery(charge_watts=1, plugged=((0, 30),), every=24), "within 24 s"),
        (lambda: Battery(revive=2), "revive must be a share"),
        (lambda: Churn(1, 0, 1, frozenset()), "present_seconds must be > 0 and finite, got 0"),
        (lambda: Churn(1, 1, math.inf, frozenset()), "absent_seconds must be > 0 and finite, got inf"),
    ],
)
def test_lives_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
