"""Where the joules go: every power model and cause against its integral, in closed form."""

import math
from dataclasses import replace

import pytest

from simulator import Evaluate, Plan, Size, Stage, TierPlan, simulate
from simulator.costs import Carbon, Costs, Cubic, Linear, Table, compute_seconds
from simulator.interfaces import Work
from simulator.presence import Timetable, Windows
from simulator.workloads import CostOnly
from tests.simulator.worlds import Diary, cell, device, room, times, wire

STAGE = Stage("s", Plan(room=TierPlan(("m",))), trainable=("m",))
SWITCHED_OFF = Costs(infrastructure=False, tail=False)


def exactly(value):
    return pytest.approx(value, rel=1e-12, abs=1e-15)


def run(tree, size=None, stage=STAGE, **how):
    how.setdefault("final_broadcast", False)
    return simulate(tree, CostOnly({"m": size or Size(1, 40.0)}), [stage], **how)


class Given(CostOnly):
    """A workload whose trainings are the given works, by node."""

    def __init__(self, works):
        super().__init__({"m": Size(0)})
        self.works = works

    def work(self, node, activity, step, modules=(), count=1):
        return self.works.get(node, Work(0.0)) if activity == "train" else Work(0.0)


@pytest.mark.parametrize(
    ("work", "seconds"),
    [
        (Work(40.0), 10.0),  # FLOPs at 4 FLOP/s
        (Work(40.0, bytes_moved=18.0), 10.0),  # hidden behind them: 9 s at 2 B/s
        (Work(40.0, bytes_moved=30.0), 15.0),  # memory is slower
        (Work(40.0, bytes_moved=30.0, launches=8), 15.0 + 8 * 0.25),
        (Work(0.0, launches=4), 1.0),
    ],
)
def test_roofline(work, seconds):
    profile = replace(device(4.0), memory_bytes_per_s=2.0, launch_seconds=0.25)
    assert compute_seconds(profile, work) == seconds
    log = simulate(room(profile, link=wire(8.0)), Given({"tablet0": work}), [STAGE])
    (span,) = [span for span in log.spans if span.activity == "train"]
    assert span.end_s - span.start_s == exactly(seconds)
    assert span.joules == exactly(2.0 * seconds)  # busy, whatever it waits for
    assert span.flops == work.flops


def test_nodes_of_one_host_share_its_cores():
    """Three trainings on two cores, 6, 6 and 12 core-seconds: 2/3 of a core each, then the last has one."""
    host = replace(device(8.0), cores=2)  # 4 FLOP/s a core
    tree = room(link=wire(8.0))
    works = {}
    for number, seconds in enumerate((6, 6, 12)):
        tree.add(f"tablet{number}", "room", "device", host, wire(8.0), host="laptop")
        works[f"tablet{number}"] = Work(4.0 * seconds)
    log = simulate(tree, Given(works), [STAGE])
    assert times(log, activity="train") == [(0, exactly(9)), (0, exactly(9)), (0, exactly(9 + 6))]


@pytest.mark.parametrize("crowding", [0.0, 0.5])
def test_scoring_crowds_nobody_on_a_host(crowding):
    """It gets what training leaves: 2 s of training on one core, then 2 s of scoring."""
    tree, stage = room(link=wire(64.0)), Stage("s", Plan(room=TierPlan(("m",))), trainable=("m",))
    tree.add("tablet0", "room", "device", device(4.0), wire(64.0), host="laptop")
    how = {"evaluate": Evaluate(tiers=("device",), moments=("after_broadcast",)), "final_broadcast": False}
    workload = Diary({"m": Size(8, 8.0)}, flops={"evaluate": 8.0})
    log = simulate(tree, workload, [stage], costs=Costs(crowding=crowding), **how)
    assert times(log, kind="compute") == [(1, exactly(3)), (1, exactly(5))]


def test_nodes_of_one_host_share_its_idle_watts():
    tree = room(link=wire(8.0))
    for number in range(4):
        tree.add(f"tablet{number}", "room", "device", device(4.0, idle=2.0), wire(8.0), host="laptop")
    log = simulate(tree, Given({"tablet0": Work(24.0)}), [STAGE])
    assert sum(log.accounts[f"tablet{n}"].joules("idle") for n in range(4)) == exactly(2.0 * log.end_s)


def test_nodes_of_their_own_share_nothing():
    tree = room(device(4.0), device(4.0), link=wire(8.0))
    log = simulate(tree, Given({"tablet0": Work(24.0), "tablet1": Work(24.0)}), [STAGE])
    assert times(log, activity="train") == [(0, 6), (0, 6)]


@pytest.mark.parametrize(
    ("power", "watts"),
    [
        (Linear(), 2.0),
        (Cubic(2e-27, 5e9), 250.0),  # 2e-27 * 5e9^3
        (Table(((0, 0), (0.5, 0.8), (1, 1))), 2.0),
    ],
)
def test_a_full_processor_draws_what_its_model_says(power, watts):
    log = run(room(device(4.0), link=wire(8.0)), costs=replace(SWITCHED_OFF, power=power))
    assert log.joules("tablet0", "compute") == exactly(watts * 10.0)
    assert log.accounts["tablet0"].joules("compute") == exactly(watts * 10.0)


def test_a_measured_table_is_integrated_over_what_runs_together():
    """On a host with two cores: one job alone at a half of the processor for 3 s, then two at all of it for 2 s, ..."""
    table = Table(((0, 0), (0.5, 0.8), (1, 1)))
    host = replace(device(8.0), cores=2)
    tree = room(link=wire(8.0))
    for number in range(2):
        tree.add(f"tablet{number}", "room", "device", host, wire(8.0), host="laptop")
    log = simulate(tree, Given({"tablet0": Work(8.0), "tablet1": Work(20.0)}), [STAGE], costs=Costs(power=table))
    # Each node is its own meter: a job on one core of two is at half of the processor, 0.8 of the way to busy.
    assert log.joules("tablet0", "compute") == exactly(2 * 0.8 * 2)
    assert log.joules("tablet1", "compute") == exactly(2 * 0.8 * 5)


def test_a_measured_table_is_integrated_also_where_others_share_the_host():
    """On one core: 2 s at a half each, then the other alone for 1 s; every node is its own meter."""
    table, tree = Table(((0, 0), (0.75, 0.9), (1, 1))), room(link=wire(8.0))
    for number in range(2):
        tree.add(f"tablet{number}", "room", "device", device(4.0), wire(8.0), host="laptop")
    log = simulate(tree, Given({"tablet0": Work(4.0), "tablet1": Work(8.0)}), [STAGE], costs=Costs(power=table))
    assert times(log, activity="train") == [(0, exactly(2)), (0, exactly(3))]
    assert log.joules("tablet0", "compute") == exactly(2 * 0.6 * 2)
    assert log.joules("tablet1", "compute") == exactly(2 * (0.6 * 2 + 1.0 * 1))


def test_scoring_beside_training_on_a_measured_table_splits_by_work():
    table = Table(((0, 0), (0.5, 0.8), (1, 1)))
    tree = room(device(4.0), link=wire(8.0))
    stage = Stage("s", Plan(room=TierPlan(("m",), 2)), trainable=("m",))
    workload = Diary({"m": Size(0, 40.0)}, flops={"evaluate": 8.0})
    how = {"evaluate": Evaluate(tiers=("device",), moments=("before_merge",)), "costs": Costs(power=table)}
    log = simulate(tree, workload, [stage], **how)
    # The processor is never less than full: joules are 2 W times the seconds of work.
    assert log.joules("tablet0", "compute") == exactly(2 * (2 * 10 + 2 * 2))
    assert sum(span.flops for span in log.spans) == exactly(2 * 40 + 2 * 8)


def test_idle_is_charged_over_the_time_present_or_not_at_all():
    tree = room(device(4.0, idle=1.5), link=wire(8.0, latency=1.0))
    log = run(tree)
    assert log.end_s == 1 + 1 + 10 + 1 + 1
    assert log.accounts["tablet0"].joules("idle") == exactly(1.5 * 14)
    assert run(tree, costs=Costs(idle=False)).accounts["tablet0"].joules("idle") == 0


def lte(**figures):
    """1 B takes 1 s; 3 W in its tail of 4 s, 0.5 W idle, 0.125 W asleep."""
    return replace(
        wire(8.0), carrier_hertz=2e9, idle_watts=0.5, sleep_watts=0.125, tail_seconds=4.0, tail_watts=3.0,
        transmit_watts=2.5, receive_watts=1.5, **figures
    )  # fmt: skip


def test_the_tail_follows_every_transfer_until_the_next():
    """Down until 1 s, tail 1 to 5 s, computing until 11 s, up until 12 s; nothing is left for the last tail."""
    log = run(room(device(4.0), link=lte()))
    account = log.accounts["tablet0"]
    assert log.end_s == 12
    assert account.joules("tail") == exactly((3.0 - 0.5) * 4)
    assert account.joules("sleep") == 0
    assert run(room(device(4.0), link=lte()), costs=Costs(tail=False)).accounts["tablet0"].joules("tail") == 0


def test_a_radio_that_sleeps_saves_its_idle_watts():
    account = run(room(device(4.0), link=lte()), costs=Costs(sleep=True)).accounts["tablet0"]
    assert account.joules("tail") == exactly((3.0 - 0.5) * 4)
    assert account.joules("sleep") == exactly((0.125 - 0.5) * 6)  # from 5 s to 11 s
    without = run(room(device(4.0), link=lte()), costs=Costs(sleep=True, tail=False)).accounts["tablet0"]
    assert (without.joules("tail"), without.joules("sleep")) == (0, exactly((0.125 - 0.5) * 10))


def test_the_tail_is_cut_by_the_next_transfer():
    log = run(room(device(4.0), link=lte()), Size(1, 8.0))  # computing takes 2 s
    assert log.accounts["tablet0"].joules("tail") == exactly(2.5 * 2)


def test_who_comes_back_has_no_tail_left():
    """The tail runs from 1 s until it leaves at 2 s; from 8 s to 12 s the radio is at rest."""
    presence = Timetable(Windows(((0.0, 2.0), (8.0, 100.0))), frozenset({"tablet0"}))
    log = run(room(device(4.0), device(4.0), link=lte()), presence=presence)
    assert log.end_s == 12
    assert log.accounts["tablet0"].joules("tail") == exactly(2.5 * 1)
    assert log.accounts["tablet1"].joules("tail") == exactly(2.5 * 4)


def test_the_access_point_is_a_station_of_nobody():
    """It is infrastructure: no tail, no sleep."""
    tree = room(device(4.0), link=lte(), edge=device())
    log = run(tree, costs=Costs(sleep=True))
    assert {"tail", "sleep"}.isdisjoint(log.accounts["room"].causes)


def test_an_access_point_draws_all_the_time_and_a_switch_port_for_each_wire():
    on_air, on_wire = replace(cell(8.0), infrastructure_watts=10.0), replace(wire(8.0), infrastructure_watts=2.0)
    for link, watts in ((on_air, 10.0), (on_wire, 3 * 2.0)):
        tree = room(*[device(4.0)] * 3, link=link, edge=device())
        log = run(tree)
        assert log.accounts["room"].joules("infrastructure") == exactly(watts * log.end_s)
        assert run(tree, costs=SWITCHED_OFF).accounts["room"].joules("infrastructure") == 0


def test_the_network_beyond_is_charged_by_the_byte_to_who_can_be_charged():
    link = replace(wire(8.0), infrastructure_joules_per_byte=0.5)
    for edge, payer in ((device(), "room"), (None, "tablet0")):
        log = run(room(device(4.0), link=link, edge=edge), Size(3, 40.0))
        assert log.accounts[payer].joules("infrastructure") == exactly(0.5 * 3 * 2)


def test_a_building_adds_to_its_machines():
    hall = replace(device(4.0, idle=2.0), pue=1.5)
    log = run(room(device(4.0), link=wire(8.0), edge=hall), costs=SWITCHED_OFF)
    account = log.accounts["room"]
    own = 2.0 * 12 + (2.25 - 0.25) * 1 + (0.75 - 0.25) * 1  # idle, sending, receiving
    assert account.own == exactly(own)
    assert account.joules("cooling") == exactly(own / 2)
    assert (
        run(room(device(4.0), link=wire(8.0), edge=hall), costs=Costs(pue=False)).accounts["room"].joules("cooling")
        == 0
    )


def test_carbon_of_one_figure_is_in_proportion():
    tree = room(device(4.0), link=wire(8.0), edge=replace(device(), pue=1.5))
    log = run(tree, costs=Costs(carbon=Carbon((0.25,))))
    for account in log.accounts.values():
        assert account.grams == exactly(0.25 * math.fsum(account.causes.values()))


def test_carbon_of_a_trace_weighs_each_hour():
    """One hour idle at 1 g/J and busy half an hour into the second at 3 g/J, which comes round again in the fourth."""
    trace = Carbon((1.0, 3.0))
    assert trace.between(0, 7200) == exactly(2.0)
    assert trace.between(1800, 5400) == exactly(2.0)
    assert trace.between(3600, 3600) == 3.0
    assert trace.between(7200, 4 * 3600 - 1800) == exactly((3600 * 1 + 1800 * 3) / 5400)
    tree = room(device(4.0), link=wire(8.0))
    log = run(tree, Size(0, 4.0 * 5400), costs=replace(SWITCHED_OFF, carbon=trace))
    assert log.accounts["tablet0"].grams == exactly((1.0 + 2.0) * (3600 * 1 + 1800 * 3))  # idle and busy watts


def test_sender_only_latency_at_transmit_power_and_no_compute():
    """As published: 0.5 s and 1 B at 8 bit/s at the sender's 2 W above idle, and nothing else."""
    published = Costs(
        compute=False, downlink=False, receive=False, latency_power="transmit", idle=False, infrastructure=False
    )
    tree = room(device(4.0), link=wire(8.0, latency=0.5))
    log = run(tree, costs=published)
    assert log.end_s == 1.5
    assert log.accounts["tablet0"].causes == {"transmit": exactly(2.0 * 1.5)}
    assert {span.activity for span in log.spans} == {"up"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cubic(math.nan, 1e9), "power: kappa must be > 0 and finite, got nan"),
        (lambda: Cubic(1e300, 1e300), "power: kappa f\\^3 is beyond all figures"),
        (lambda: Table(((0, 0), (0.5, 0.8))), "from \\[0, 0\\] to \\[1, 1\\]"),
        (lambda: Table(((0, 0), (0.5, 0.8), (0.4, 0.9), (1, 1))), "pairs that rise"),
        (lambda: Carbon(()), "at least one"),
        (lambda: Carbon((1.0, math.nan)), ">= 0 and finite"),
    ],
)
def test_models_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
