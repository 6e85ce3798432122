"""Devices that go on training while models fly, by hand and on random worlds."""

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given

from simulator import CostOnly, Deadline, Plan, Size, Stage, TierPlan, simulate
from simulator.presence import Timetable, Windows
from simulator.run import federation
from tests.simulator.test_invariants import EVERYWHERE, FIXED, worlds
from tests.simulator.worlds import Diary, device, room, times, wire

NBYTES = 8  # 64 bits: 1 s each way


@dataclass
class Letters(Diary):
    """Records what a parent got to read."""

    read: list = field(default_factory=list)

    def merge(self, node, own, received, modules, direction, count):
        if direction == "up":
            self.read += [arrival.state for arrival in received]
        return super().merge(node, own, received, modules, direction, count)


def run(seconds, plan, *, tablets=1, broadcast=False, **how):
    tree = room(*[device(1.0)] * tablets, link=wire(64))
    workload = Letters({"m": Size(NBYTES, seconds)})
    stage = Stage("s", Plan(room=replace(plan, meanwhile="train")), trainable=("m",))
    return *federation(tree, workload, [stage], final_broadcast=broadcast, **how), workload


def test_training_goes_on_from_packing_until_the_next_model_has_come():
    """1.5 s of training: trained at 2.5 s, merged at 3.5; the next model comes at 4.5 and cuts the third training."""
    log, states, workload = run(1.5, TierPlan(("m",), 2), broadcast=True)
    done, cut = (times(log, activity="train", status=status) for status in ("done", "interrupted"))
    assert done == [(1.0, 2.5), (2.5, 4.0), (4.5, 6.0)]
    assert times(log, kind="receive", activity="down") == [(0.0, 1.0), (3.5, 4.5), (7.0, 8.0)]
    assert times(log, kind="transmit", activity="up") == [(2.5, 3.5), (6.0, 7.0)]
    assert cut == [(4.0, 4.5), (6.0, 7.0)]  # the model has come; the stage is over
    first = ("down room", "train 0")
    second = (*first, "sent", "train 1", "down room", "train 2")
    assert workload.read == [("tablet0", *first), ("tablet0", *second)]
    assert states["tablet0"] == (*second, "sent", "down room")
    assert workload.trained == [("tablet0", step) for step in range(3)]


@pytest.mark.parametrize("seconds", [2.0, 0.5])  # the training begins before the model is sent, or after
def test_a_training_that_ends_the_moment_the_model_comes_counts(seconds):
    """Packed after 1 s and a training; the next model comes 2 s later, with the end of a training."""
    log, states, _ = run(seconds, TierPlan(("m",), 2))
    meanwhile = int(2 / seconds)
    done = times(log, activity="train", status="done")
    assert done[: meanwhile + 2] == [(1 + i * seconds, 1 + (i + 1) * seconds) for i in range(meanwhile + 2)]
    assert states["tablet0"].index("down room", 1) == 3 + meanwhile
    assert log.end_s == 2 * (2 + seconds)


def test_idle_is_what_there_was():
    plan, stage = TierPlan(("m",), 2), lambda plan: [Stage("s", Plan(room=plan), trainable=("m",))]
    tree, model = room(device(), link=wire(64)), CostOnly({"m": Size(NBYTES, 8.0)})
    logs = [simulate(tree, model, stage(it)) for it in (plan, replace(plan, meanwhile="idle"))]
    assert logs[0] == logs[1]


def test_a_deadline_that_cuts_a_report_does_not_end_it_and_the_next_turn_takes_it_up():
    """Packed at 2.5 s; dropped at 3 s while it sends; the next model comes at 4 s and finds it training until then."""
    log, states, _ = run(1.5, TierPlan(("m",), 2, Deadline(3.0)))
    assert times(log, activity="up", kind="transmit") == [(2.5, 3.0), (5.5, 6.0)]
    assert times(log, activity="train", status="done") == [(1.0, 2.5), (2.5, 4.0), (4.0, 5.5)]
    assert states["tablet0"][:4] == ("down room", "train 0", "sent", "train 1")


@pytest.mark.parametrize("seconds", [0.5, 1.5, 6.0])
@pytest.mark.parametrize("latency", [0.0, 0.25])
def test_rounds_take_as_long_as_if_devices_waited_and_what_is_cut_was_spent(seconds, latency):
    """A round is 2 x (1 s + latency) + seconds. While report and model fly, 2 W above idle; whole trainings count."""
    tree, rounds, away = room(device(1.0), link=wire(64, latency=latency)), 3, 2 * (1 + latency)
    logs = {}
    for meanwhile in ("idle", "train"):
        stage = Stage("s", Plan(room=TierPlan(("m",), rounds, meanwhile=meanwhile)), trainable=("m",))
        logs[meanwhile] = simulate(tree, CostOnly({"m": Size(NBYTES, seconds)}), [stage], final_broadcast=False)
    idle, busy = logs.values()
    assert idle.end_s == busy.end_s == pytest.approx(rounds * (away + seconds), rel=1e-12)
    assert [s for s in busy.spans if s.kind != "compute"] == [s for s in idle.spans if s.kind != "compute"]
    done = times(busy, activity="train", status="done")
    assert set(times(idle, activity="train")) <= set(done)
    assert len(done) == rounds + (rounds - 1) * int(away / seconds) + int((1 + latency) / seconds)
    more = (rounds - 1) * away + 1 + latency  # after the last report there is no model to wait for
    assert busy.joules() - idle.joules() == pytest.approx(2 * more, rel=1e-12)


def test_where_a_training_takes_longer_than_a_flight_nothing_is_learned_meanwhile():
    """6 s of training, 1 s each way: the next model cuts it at 9 s, and the turn's own training begins."""
    log, states, _ = run(6.0, TierPlan(("m",), 2))
    assert times(log, activity="train") == [(1.0, 7.0), (7.0, 9.0), (9.0, 15.0), (15.0, 16.0)]
    assert [s.status for s in log.spans if s.activity == "train"] == ["done", "interrupted"] * 2
    assert states["tablet0"] == ("down room", "train 0", "sent", "down room", "train 1", "sent")


@dataclass
class Overwriting(Letters):
    """Says that what comes down replaces what was there."""

    overwrites: bool = True


@pytest.mark.parametrize(
    ("seconds", "then"),
    [
        (0.75, ("train 1", "train 2", "sent", "down room", "train 3", "sent", "train 4")),
        (6.0, ("down room", "train 1", "sent")),
    ],
)
def test_what_is_overwritten_has_no_vote(seconds, then):
    """Packed for oneself, which takes the votes away, where and only where a whole training was lost."""
    stage = Stage("s", Plan(room=TierPlan(("m",), 2, meanwhile="train")), trainable=("m",))
    workload = Overwriting({"m": Size(NBYTES, seconds)})
    _, states = federation(room(device(1.0), link=wire(64)), workload, [stage], final_broadcast=False)
    assert states["tablet0"] == ("down room", "train 0", "sent", *then)


def test_who_leaves_stops():
    presence = Timetable(Windows(((0.0, 3.0), (4.0, 99.0))), frozenset({"tablet0"}))
    log, states, _ = run(1.5, TierPlan(("m",), 1, Deadline(20.0)), presence=presence)
    assert times(log, activity="train") == [(1.0, 2.5), (2.5, 3.0)]
    assert states["tablet0"] == ("down room", "train 0", "sent")


def test_who_is_late_and_kept_trains_while_its_report_waits_for_the_next_merge():
    """Deadlines of 6 s. tablet1 takes 6 s for a training: it lands at 8 s, is merged at 11; a model comes at 12."""
    tree = room(device(1.0), device(0.5), link=wire(64))
    workload = Letters({"m": Size(NBYTES, 3.0)})
    plan = TierPlan(("m",), 3, Deadline(6.0), late="keep", meanwhile="train")
    log = simulate(tree, workload, [Stage("s", Plan(room=plan), trainable=("m",))], final_broadcast=False)
    first = times(log, activity="train", node="tablet0", status="done")
    assert first == [(1, 4), (4, 7), (7, 10), (12, 15)]
    assert times(log, activity="train", node="tablet1") == [(1, 7), (7, 12), (12, 17)]
    assert times(log, activity="down", node="tablet1") == [(0, 1), (11, 12)]
    assert [letter[0] for letter in workload.read] == ["tablet0", "tablet0", "tablet1", "tablet0"]


def test_trainings_that_take_no_time_end():
    log, _, workload = run(0.0, TierPlan(("m",), 2))
    assert log.end_s == 4.0
    assert len(workload.trained) == 2 * 2


@pytest.mark.parametrize("rounds", [1, 4])
def test_every_reported_round_has_one_training_of_its_own(rounds):
    _, _, workload = run(1.0, TierPlan(("m",), rounds), tablets=3)
    assert len(workload.read) == 3 * rounds


def busy(world):
    """The same world, in which the devices go on training."""
    stages = []
    for stage in world.stages:
        plan = Plan(stage.plan)
        for tier in list(plan)[-1:]:
            plan[tier] = replace(plan[tier], meanwhile="train")
        stages.append(replace(stage, plan=plan))
    return replace(world, stages=tuple(stages))


@FIXED
@given(worlds())
def test_what_holds_of_any_run_holds_of_busy_ones(world):
    world = busy(world)
    log, tree = world.run(evaluate=EVERYWHERE), world.tree()
    assert log == world.run(evaluate=EVERYWHERE)
    assert [span.end_s for span in log.spans] == sorted(span.end_s for span in log.spans)
    for node in tree.leaves:
        training = sorted((s.start_s, s.end_s) for s in log.spans if (s.node, s.activity) == (node, "train"))
        assert all(one[1] <= other[0] for one, other in pairwise(training))
    ends = Counter((s.kind, s.start_s, s.end_s, s.nbytes) for s in log.spans if s.kind != "compute")
    assert all(
        ends[{"transmit": "receive", "receive": "transmit"}[kind], *rest] == n for (kind, *rest), n in ends.items()
    )
