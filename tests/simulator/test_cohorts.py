"""Groups as arrays against the same devices as processes: the same times, rows and joules, to 1e-9."""

import math
from dataclasses import replace

import numpy as np
import pytest

from simulator import Deadline, FirstOf, Plan, Size, Stage, TierPlan, barrier, simulate
from simulator.costs import Battery, Costs
from simulator.presence import Churn
from simulator.summaries import summarised
from simulator.workloads import CostOnly
from tests.simulator.worlds import Diary, cell, device, wire
from topologies.hierarchy import Hierarchy

SIZES = {"a": Size(40, 90.0), "b": Size(24, 30.0)}
RADIO = replace(
    cell(400.0, 300.0, latency=0.25), carrier_hertz=5e9, tail_seconds=0.5, tail_watts=1.0, sleep_watts=0.125,
    infrastructure_joules_per_byte=0.01, infrastructure_watts=3.0, payload_bytes=16.0, header_bytes=2.0, loss=0.05,
)  # fmt: skip


def close(value):
    return pytest.approx(value, rel=1e-9, abs=1e-12)


def tree_of(rooms, members, seed=5, link=RADIO, **attributes):
    """A campus whose rooms hold two groups each, of another profile, at random rates."""
    random = np.random.default_rng(seed)
    tree = Hierarchy("campus", "campus", device(40.0))
    for number in range(rooms):
        room = f"room{number}"
        tree.add(room, "campus", "room", device(20.0), wire(1000.0, latency=0.1))
        for name, speed, share in (("slow", 4.0, 0.4), ("fast", 12.0, 0.6)):
            count = max(round(members * share), 1)
            rates = {f"{way}_bits_per_s": random.uniform(50, 500, count) for way in ("up", "down")}
            own = rates | attributes
            tree.add_group(room, count, "device", device(speed, idle=0.5), link, f"{room}/{name}", **own)
    return tree


def stage(wait=barrier, rounds=2):
    plan = Plan(campus=TierPlan(("a",), 2), room=TierPlan(("a", "b"), rounds, wait))
    return Stage("s", plan, trainable=("a", "b"))


def both(tree, stages, **how):
    arrays = simulate(tree, CostOnly(SIZES), stages, **how)
    assert not any(happening.kind == "unfolded" for happening in arrays.happenings)
    return arrays, simulate(tree.unfolded(), CostOnly(SIZES), stages, **how)


def assert_same(tree, arrays, processes):
    assert arrays.end_s == close(processes.end_s)
    expected = {row[:7] + row[-2:]: row for row in summarised(processes.spans, tree)}
    got = {row[:7] + row[-2:]: row for row in summarised(arrays.spans, tree)}
    assert got.keys() == expected.keys()
    for key, row in got.items():
        assert row[7:10] == close(expected[key][7:10])  # from, until, joules
        assert row.flops == close(expected[key].flops)
        # whole bytes of each there, whole bytes of all here
        assert 0 <= row.nbytes - expected[key].nbytes <= (0 if row.status == "done" else 1000)
    for room in tree.nodes("room"):
        members = [node for node in processes.accounts if node.startswith(f"{room}/")]
        for cause in ("idle", "compute", "transmit", "receive", "tail", "sleep", "infrastructure"):
            theirs = math.fsum(processes.accounts[node].joules(cause) for node in members)
            mine = [arrays.accounts[node] for node in {f"{room}/*", *members} if node in arrays.accounts]
            assert math.fsum(account.joules(cause) for account in mine) == close(theirs)
            assert arrays.accounts[room].joules(cause) == close(processes.accounts[room].joules(cause))


@pytest.mark.parametrize(
    "costs",
    [
        Costs(),
        Costs(wifi="equal_airtime"),
        Costs(sleep=True, receive=False),
        Costs(tail=False, loss=True, downlink=False),
        Costs(compute=False, infrastructure=False, idle=False),
    ],
)
def test_a_thousand_devices_as_arrays_are_those_as_processes(costs):
    tree = tree_of(1, 1000)
    assert_same(tree, *both(tree, [stage(rounds=1)], costs=costs))


WIRES = replace(RADIO, shared=False)


@pytest.mark.parametrize("link", [WIRES, replace(WIRES, half_duplex=True), replace(WIRES, carrier_hertz=0.0)])
@pytest.mark.parametrize("wait", [barrier, Deadline(1.5), Deadline(9.0), Deadline(14.0)])
def test_members_on_links_of_their_own(link, wait):
    """Nobody waits for another; every member has its own port, which is charged as such."""
    tree = tree_of(2, 40, link=link)
    arrays, processes = both(tree, [stage(wait)], costs=Costs(sleep=True, loss=True))
    assert_same(tree, arrays, processes)
    room0 = arrays.accounts["room0"].joules("infrastructure")
    assert room0 >= 3.0 * 40 * arrays.end_s


def test_unshared_links_of_several_kinds_under_one_parent():
    tree = tree_of(1, 10, link=WIRES)
    tree.add_group("room0", 4, "device", device(7.0), replace(WIRES, latency_seconds=1.0), "room0/far")
    tree.add("guest", "room0", "device", device(), WIRES)
    arrays, processes = both(tree, [stage()])
    assert_same(tree, arrays, processes)


def test_groups_of_another_tier_on_links_of_their_own_take_no_part():
    tree = tree_of(1, 5, link=WIRES)
    tree.add_group("room0", 4, "sensor", device(), WIRES, "room0/sensor")
    arrays, processes = both(tree, [stage()])
    assert_same(tree, arrays, processes)


@pytest.mark.parametrize("costs", [Costs(sleep=True), Costs(wifi="equal_airtime")])
def test_rooms_that_report_in_turns(costs):
    tree = tree_of(4, 20)
    assert_same(tree, *both(tree, [stage()], costs=costs))


@pytest.mark.parametrize("seconds", [0.1, 2.0, 20.0, 60.0, 90.0, 400.0])
def test_a_deadline_cuts_arrays_as_it_cuts_processes(seconds):
    """Inside the latency, a download, a computation, an upload; and after all."""
    tree = tree_of(2, 40)
    arrays, processes = both(tree, [stage(Deadline(seconds))], costs=Costs(sleep=True))
    assert_same(tree, arrays, processes)
    dropped = {}
    for name, log in (("arrays", arrays), ("processes", processes)):
        late = [happening for happening in log.happenings if happening.kind == "late"]
        numbers = [int(it.detail.split(" of ")[0]) if " of " in it.detail else 1 for it in late]
        dropped[name] = sum(numbers)
    assert dropped["arrays"] == dropped["processes"]


def test_a_deadline_above_cuts_the_whole_room():
    tree = tree_of(3, 40)
    plan = Plan(campus=TierPlan(("a",), 3, Deadline(50.0)), room=TierPlan(("a", "b"), 1))
    assert_same(tree, *both(tree, [Stage("s", plan, trainable=("a", "b"))]))


def test_stages_and_broadcasts_reach_groups():
    tree = tree_of(2, 10)
    first = Stage("pretrain", at="campus", trainable=("a",))
    assert_same(tree, *both(tree, [first, stage()]))
    assert_same(tree, *both(tree, [replace(first, preinstalled=True), stage()], final_broadcast=False))


def test_an_access_point_is_charged_once_for_its_cell():
    tree = tree_of(1, 10)
    log = simulate(tree, CostOnly(SIZES), [stage()], costs=Costs())
    by_time = 3.0 * log.end_s
    by_byte = log.accounts["room0"].joules("infrastructure") - by_time
    sent = sum(span.nbytes for span in log.spans if span.kind == "transmit" and "room0/*" in (span.node, span.peer))
    assert by_byte >= 0.01 * sent  # and headers


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        ("its members learn one by one", {"workload": Diary(SIZES)}),
        ("its parent only forwards", {"stages": [Stage("s", Plan(campus=TierPlan(("a",))), trainable=("a",))]}),
        ("the parent waits otherwise", {"stages": [stage(FirstOf(3))]}),
        ("its members come and go", {"presence": Churn(1, 50.0, 5.0, frozenset({"room0"}))}),
        ("its batteries are followed", {"costs": Costs(battery=Battery())}),
        ("costs ask for it", {"costs": Costs(multicast=True)}),
        ("its members share a processor", {"tree": tree_of(1, 5, host="laptop")}),
    ],
)
def test_what_arrays_cannot_do_is_done_by_processes_and_said(reason, how):
    how = {"tree": tree_of(1, 5), "workload": CostOnly(SIZES), "stages": [stage()]} | how
    tree = how.pop("tree")
    if "costs" in how and how["costs"].battery:
        group = tree.groups()[0]
        battery = replace(group.profile, battery_joules=1e9)
        tree = tree.with_profiles(lambda profile: battery if profile == group.profile else profile, lambda link: link)
    log = simulate(tree, how.pop("workload"), how.pop("stages"), **how)
    said = [happening for happening in log.happenings if happening.kind == "unfolded"]
    assert said
    assert all(reason in happening.detail or "others are in its cell" in happening.detail for happening in said)
    assert "room0/slow0" in {span.node for span in log.spans}


def test_others_in_the_cell_make_a_group_unfold():
    tree = tree_of(1, 5)
    tree.add("guest", "room0", "device", device(), RADIO)
    log = simulate(tree, CostOnly(SIZES), [stage()])
    assert {happening.detail.split(": ")[1] for happening in log.happenings} == {"others are in its cell"}


def unlike(what):
    """A room with two groups in one cell, the second of which differs in something."""
    tree = Hierarchy("campus", "campus", device(40.0))
    room = replace(device(20.0), battery_joules=30.0) if what == "a parent on a battery" else device(20.0)
    tree.add("room0", "campus", "room", room, wire(1000.0))
    tree.add_group("room0", 4, "device", device(), cell(40.0), "room0/one")
    profile = replace(device(), battery_joules=1e6) if what == "a battery" else device()
    link = replace(cell(40.0), latency_seconds=2.0, transmit_watts=9.0) if what == "a link" else cell(40.0)
    tree.add_group("room0", 4, "sensor" if what == "a tier" else "device", profile, link, "room0/other")
    return tree


@pytest.mark.parametrize("what", ["a battery", "a link", "a tier", "a parent on a battery"])
def test_groups_of_one_cell_are_arrays_together_or_not_at_all(what):
    """A cell half of arrays and half of nodes would give its airtime twice; one of two tiers would train both."""
    costs = Costs(battery=Battery())
    got = simulate(unlike(what), CostOnly(SIZES), [stage()], costs=costs)
    expected = simulate(unlike(what).unfolded(), CostOnly(SIZES), [stage()], costs=costs)
    assert [happening.kind for happening in got.happenings[:2]] == ["unfolded", "unfolded"]
    assert got.happenings[2:] == expected.happenings
    assert (got.end_s, got.spans, got.charges) == (expected.end_s, expected.spans, expected.charges)


def test_groups_of_one_cell_may_differ_in_profile_and_rates():
    tree = unlike("nothing")
    tree.add_group("room0", 2, "device", device(9.0), cell(70.0, 30.0), "room0/fast")
    assert_same(tree, *both(tree, [stage()]))


def test_who_pays_for_the_access_point_of_a_parent_without_a_profile():
    """The devices, as they do where they are nodes."""
    tree = Hierarchy("room", "room")
    tree.add_group("room", 4, "device", device(), RADIO, "room/device")
    arrays, processes = both(tree, [Stage("s", Plan(room=TierPlan(("a",))), trainable=("a",))])
    theirs = math.fsum(account.joules("infrastructure") for account in processes.accounts.values())
    assert theirs > 3.0 * processes.end_s
    assert arrays.accounts["room/*"].joules("infrastructure") == close(theirs)


@pytest.mark.parametrize("rates", [None, (30.0, 48.0, 29.0)])
@pytest.mark.parametrize("number", range(6))
def test_rounding_makes_nobody_late(rates, number):
    """A deadline at the very end of somebody's report, as the processes' clock has it."""
    tree = Hierarchy("room", "room", device())
    own = {} if rates is None else {"up_bits_per_s": np.repeat(rates, 4), "down_bits_per_s": np.repeat(rates, 4)}
    work = CostOnly({"m": Size(15 + number, 26.0)})
    tree.add_group("room", 12, "device", device(), cell(29.0, latency=0.1), "room/device", **own)

    def lates(tree, wait):
        log = simulate(tree, work, [Stage("s", Plan(room=TierPlan(("m",), 1, wait)), trainable=("m",))])
        late = [happening.detail for happening in log.happenings if happening.kind == "late"]
        return log, sum(int(detail.split(" of ")[0]) if " of " in detail else 1 for detail in late)

    log, _ = lates(tree.unfolded(), barrier)
    for end in sorted({span.end_s for span in log.spans if span.activity == "up"}):
        assert lates(tree, Deadline(end))[1] == lates(tree.unfolded(), Deadline(end))[1]
