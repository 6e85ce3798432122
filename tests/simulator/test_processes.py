"""Rounds in closed form: every span of a tiny hierarchy, without tolerance."""

from itertools import pairwise

import pytest

from simulator import CostOnly, Evaluate, Plan, Size, Stage, TierPlan, simulate
from simulator.run import federation
from tests.simulator.worlds import Diary, cell, computed, device, house, moved, room, times, wire

NBYTES, FLOPS = 8, 8.0  # 64 bits; 2 s on a device
MODEL = CostOnly({"m": Size(NBYTES, FLOPS)})
GATHER_M = TierPlan(("m",))


def stage(trainable=("m",), **plan):
    return Stage("federate", Plan(plan), trainable=trainable)


@pytest.mark.parametrize("latency", [0.0, 0.5])
def test_classroom_round_in_closed_form_over_a_shared_cell(latency):
    n, rate, tablets = 4, 64, [f"tablet{number}" for number in range(4)]
    tree = room(*[device()] * n, link=cell(rate, latency=latency), edge=device())
    log = simulate(tree, MODEL, [stage(room=GATHER_M)])

    transfer, training = latency + n * NBYTES * 8 / rate, FLOPS / 4
    there, trained = transfer, transfer + training
    back = trained + transfer
    assert log.spans == [
        *(end for it in tablets for end in moved(tree, "room", it, "m", (0, there), NBYTES)),
        *(computed(tree, it, "train", "m", (there, trained), FLOPS) for it in tablets),
        *(end for it in tablets for end in moved(tree, it, "room", "m", (trained, back), NBYTES)),
        *(end for it in tablets for end in moved(tree, "room", it, "m", (back, back + transfer), NBYTES)),
    ]
    assert log.end_s == back + transfer
    assert log.happenings == []


def test_wired_devices_do_not_wait_for_each_other():
    tree = room(*[device()] * 3, link=wire(64, latency=0.25))
    log = simulate(tree, MODEL, [stage(room=GATHER_M)], final_broadcast=False)
    alone = 0.25 + NBYTES * 8 / 64
    assert times(log, kind="receive", activity="down") == [(0, alone)] * 3
    assert times(log, kind="transmit", activity="up") == [(alone + 2, 2 * alone + 2)] * 3


def test_up_and_down_have_their_own_rates():
    tree = room(device(), link=wire(16, 64), edge=device())
    log = simulate(tree, MODEL, [stage(room=GATHER_M)], final_broadcast=False)
    assert log.spans == [
        *moved(tree, "room", "tablet0", "m", (0, 1), NBYTES),
        computed(tree, "tablet0", "train", "m", (1, 3), FLOPS),
        *moved(tree, "tablet0", "room", "m", (3, 7), NBYTES),
    ]


def test_uplink_and_downlink_share_the_airtime_of_a_cell():
    tree = room(device(), device(), link=cell(64))
    workload = Diary({"a": Size(8), "b": Size(24)}, holds={"tablet0": {"a"}})
    log = simulate(tree, workload, [stage(("a", "b"), room=TierPlan(("a", "b")))], final_broadcast=False)
    # 64 and 256 bits down at 32 bit/s each; then the 64 up beside what is left of the 256; then each alone at 64 bit/s
    assert times(log, kind="receive", peer="room") == [(0, 2), (0, 6)]
    assert times(log, kind="receive", node="room") == [(2, 4), (6, 10)]


def test_two_tiers_take_turns_within_rounds():
    plan = {"cloud": TierPlan(("a",), rounds=2), "room": TierPlan(("a", "b"), rounds=2)}
    tree = house(wire(64), wire(64))
    log = simulate(tree, CostOnly({"a": Size(8, 4.0), "b": Size(8, 4.0)}), [stage(("a", "b"), **plan)])

    def turn(start, at):  # 16 bytes down in 2 s, 8 FLOP in 2 s, 16 bytes up in 2 s
        return [
            *moved(tree, "room", "tablet0", "a+b", (start, start + 2), 16, at=at),
            computed(tree, "tablet0", "train", "a+b", (start + 2, start + 4), 8.0, at=at),
            *moved(tree, "tablet0", "room", "a+b", (start + 4, start + 6), 16, at=at),
        ]

    def round_(start, number):
        return [
            *moved(tree, "cloud", "room", "a", (start, start + 1), 8, at=(number, "")),
            *turn(start + 1, (number, "0")),
            *turn(start + 7, (number, "1")),
            *moved(tree, "room", "cloud", "a", (start + 13, start + 14), 8, at=(number, "")),
        ]

    assert log.spans == [
        *round_(0, 1),
        *round_(14, 2),
        *moved(tree, "cloud", "room", "a", (28, 29), 8, at=(2, "")),
        *moved(tree, "room", "tablet0", "a+b", (29, 31), 16, at=(2, "")),
    ]


def test_turns_count_every_tier_below_the_root():
    twice = TierPlan(("m",), rounds=2)
    tree = house(wire(64), wire(64), wire(64))
    log = simulate(tree, MODEL, [stage(cloud=twice, campus=twice, room=twice)])
    trainings = [(span.round, span.turn) for span in log.spans if span.activity == "train"]
    assert trainings == [(number, turn) for number in (1, 2) for turn in ("0.0", "0.1", "1.0", "1.1")]


def test_a_tier_that_only_forwards_carries_one_flow_and_is_charged_at_both_its_links():
    tree = house(wire(32, latency=0.25), wire(16, latency=0.5))
    log = simulate(tree, MODEL, [stage(cloud=GATHER_M)])
    transfer = 0.25 + 0.5 + NBYTES * 8 / 16  # both latencies, and the slower link sets the pace
    down, up = ["cloud", "room", "tablet0"], ["tablet0", "room", "cloud"]

    def route(path, start):
        return [end for a, b in pairwise(path) for end in moved(tree, a, b, "m", (start, start + transfer), NBYTES)]

    assert log.spans == [
        *route(down, 0),
        computed(tree, "tablet0", "train", "m", (transfer, transfer + 2), FLOPS),
        *route(up, transfer + 2),
        *route(down, 2 * transfer + 2),
    ]


def test_what_is_forwarded_shares_the_link_above():
    tree = house(wire(32), wire(64), tablets=2)
    log = simulate(tree, MODEL, [stage(cloud=GATHER_M)], final_broadcast=False)
    shared = 2 * NBYTES * 8 / 32
    assert times(log, kind="receive", tier="device") == [(0, shared)] * 2
    assert times(log, kind="receive", node="cloud") == [(shared + 2, 2 * shared + 2)] * 2


def test_a_barrier_waits_for_the_slowest_device():
    tree = room(device(4.0), device(1.0), link=wire(64))
    log = simulate(tree, MODEL, [stage(room=TierPlan(("m",), rounds=2))], final_broadcast=False)
    slowest = 1 + FLOPS / 1.0 + 1
    assert times(log, node="tablet0", kind="receive") == [(0, 1), (slowest, slowest + 1)]
    assert times(log, node="tablet0", kind="compute") == [(1, 3), (slowest + 1, slowest + 3)]
    assert times(log, node="tablet1", kind="compute") == [(1, 9), (slowest + 1, slowest + 9)]
    assert log.end_s == 2 * slowest


def test_packing_and_merging_take_the_time_of_their_flops():
    tree = room(device(), device(), link=wire(64), edge=device())
    workload = Diary({"m": Size(NBYTES)}, flops={"pack": 4.0, "merge": 8.0})
    log = simulate(tree, workload, [stage(room=GATHER_M)], final_broadcast=False)
    tablets = ("tablet0", "tablet1")
    assert log.spans == [
        *(end for it in tablets for end in moved(tree, "room", it, "m", (0, 1), NBYTES)),
        *(computed(tree, it, "pack", "m", (1, 2), 4.0) for it in tablets),
        *(end for it in tablets for end in moved(tree, it, "room", "m", (2, 3), NBYTES)),
        computed(tree, "room", "merge", "m", (3, 7), 2 * 8.0),
    ]


def test_a_root_without_a_profile_costs_nothing():
    tree = room(device(), link=wire(64))
    workload = Diary({"m": Size(NBYTES, FLOPS)}, flops={"merge": 8.0})
    log = simulate(tree, workload, [stage(room=GATHER_M)], final_broadcast=False)
    assert log.end_s == 1 + 2 + 1
    assert [(span.kind, span.nbytes, span.joules) for span in log.spans if span.node == "room"] == [
        ("transmit", NBYTES, 0.0),
        ("receive", NBYTES, 0.0),
    ]
    assert log.joules("tablet0") == 0.5 * 1 + 2 * 2 + 2 * 1  # receives 1 s, trains 2 s, transmits 1 s


def test_a_root_that_only_forwards_sends_nothing_of_its_own():
    tree = house(wire(64), wire(64))
    evaluate = Evaluate(tiers=("device",), moments=("after_broadcast",))
    log = simulate(tree, Diary(MODEL.sizes), [stage(room=TierPlan(("m",), rounds=2))], evaluate=evaluate)
    assert {(span.round, span.turn) for span in log.spans} == {(0, "0"), (0, "1"), (0, "")}
    assert not [span for span in log.spans if "cloud" in (span.node, span.peer)]
    assert log.end_s == 2 * (1 + 2 + 1) + 1
    assert [(metric.round, metric.time_s) for metric in log.metrics] == [(0, 1), (0, 9)]


@pytest.mark.parametrize("latency", [0.0, 0.5])
def test_empty_packets_are_not_sent(latency):
    tree = room(device(), device(), link=wire(64, latency=latency))
    workload = Diary({"m": Size(NBYTES, FLOPS), "own": Size(NBYTES, 4.0)}, holds={"tablet1": {"own"}})
    log = simulate(tree, workload, [stage(("m", "own"), room=GATHER_M)], final_broadcast=False)
    assert [(span.kind, span.start_s) for span in log.spans if span.node == "tablet1"] == [("compute", 0)]
    assert ("room", "up", ["tablet0", "tablet1"], ("m",), 2) in workload.calls


def test_a_tier_that_gathers_no_module_moves_nothing():
    tree = room(device(), link=wire(64, latency=0.5))
    log = simulate(tree, MODEL, [stage(room=TierPlan((), rounds=2))])
    assert [(span.kind, span.start_s, span.end_s) for span in log.spans] == [("compute", 0, 2), ("compute", 2, 4)]


def pretrained(**how):
    """What comes of a trunk that the cloud trains, with a decoder that nobody else holds, before heads are federated.

    The cloud takes 4 s; the trunk of 16 bytes takes 2 s on a link, a head of 8 bytes 1 s and 1 s of training.
    """
    tree = house(wire(64), wire(64))
    below = {"trunk", "head"}
    sizes = {"trunk": Size(16, 12.0), "decoder": Size(32, 4.0), "head": Size(8, 4.0)}
    workload = Diary(sizes, holds={"room": below, "tablet0": below})
    heads = TierPlan(("head",))
    stages = [
        Stage("pretrain", at="cloud", trainable=("trunk", "decoder"), **how),
        stage(("head",), cloud=heads, room=heads),
    ]
    return tree, *federation(tree, workload, stages, final_broadcast=False)


def heads_from(tree, start):
    there, back = start + 2, start + 3
    return [
        *moved(tree, "cloud", "room", "head", (start, start + 1), 8),
        *moved(tree, "room", "tablet0", "head", (start + 1, there), 8, at=(1, "0")),
        computed(tree, "tablet0", "train", "head", (there, back), 4.0, at=(1, "0")),
        *moved(tree, "tablet0", "room", "head", (back, back + 1), 8, at=(1, "0")),
        *moved(tree, "room", "cloud", "head", (back + 1, back + 2), 8),
    ]


def test_what_the_cloud_pretrained_goes_down_once_before_the_next_stage():
    tree, log, states = pretrained()
    assert log.spans[0] == computed(tree, "cloud", "train", "trunk+decoder", (0, 4), 16.0, at=(0, ""))
    assert [(s.node, s.kind, s.nbytes, s.start_s, s.end_s, s.round) for s in log.spans[1:5]] == [
        ("cloud", "transmit", 16, 4, 6, 0),
        ("room", "receive", 16, 4, 6, 0),
        ("room", "transmit", 16, 6, 8, 0),
        ("tablet0", "receive", 16, 6, 8, 0),
    ]
    assert log.spans[5:] == heads_from(tree, 8)
    assert states["tablet0"] == ("down room", "down room", "train 0", "sent")


def test_what_is_preinstalled_is_there_at_no_cost():
    tree, log, states = pretrained(preinstalled=True)
    pretraining = computed(tree, "cloud", "train", "trunk+decoder", (0, 4), 16.0, at=(0, ""))
    assert log.spans == [pretraining, *heads_from(tree, 4)]
    assert states["tablet0"] == ("down room", "down room", "train 0", "sent")


def test_a_broadcast_passes_a_tier_that_holds_nothing():
    tree = house(wire(32), wire(64))
    pretrain = Stage("pretrain", at="cloud", trainable=("m",))
    log = simulate(tree, MODEL, [pretrain, stage(cloud=GATHER_M)], final_broadcast=False)
    assert times(log, round=0, kind="receive") == [(2, 4), (2, 4)]  # one flow of 64 bits over two hops, after training
    assert times(log, round=0, node="tablet0") == [(2, 4)]


def test_a_stage_without_a_plan_trains_everyone_once_and_alone():
    tree = room(device(4.0), device(1.0), link=wire(64), edge=device())
    log = simulate(tree, MODEL, [Stage("alone", trainable=("m",))])
    assert log.spans == [
        computed(tree, "tablet0", "train", "m", (0, 2), FLOPS, at=(0, "")),
        computed(tree, "tablet1", "train", "m", (0, 8), FLOPS, at=(0, "")),
    ]


def test_without_the_final_broadcast_a_run_ends_with_the_last_merge():
    tree = room(device(), link=wire(64))
    whole = simulate(tree, MODEL, [stage(room=GATHER_M)])
    short = simulate(tree, MODEL, [stage(room=GATHER_M)], final_broadcast=False)
    assert whole.spans[:-2] == short.spans
    assert (short.end_s, whole.end_s) == (4, 5)


def test_models_are_scored_at_their_moments_and_a_broadcast_counts_for_the_round_it_brings():
    tree = room(device(), link=wire(64))
    moments = ("before_merge", "after_merge", "after_broadcast")
    evaluate = Evaluate(tiers=("device", "room"), moments=moments)
    log = simulate(tree, Diary({"m": Size(NBYTES)}), [stage(room=TierPlan(("m",), rounds=2))], evaluate=evaluate)
    rows = [(m.time_s, m.round, m.node, m.moment, m.value) for m in log.metrics]
    # the value is how much has happened to the model: down, train, sent, down, train, sent, down
    assert sorted(rows) == [
        (1, 0, "tablet0", "after_broadcast", 1),
        (1, 1, "tablet0", "before_merge", 2),
        (2, 1, "room", "after_merge", 1),
        (3, 1, "tablet0", "after_broadcast", 4),
        (3, 2, "tablet0", "before_merge", 5),
        (4, 2, "room", "after_merge", 2),
        (5, 2, "tablet0", "after_broadcast", 7),
    ]


def test_every_round_is_told_and_the_end_too():
    told = []
    simulate(
        room(device(), link=wire(64)),
        MODEL,
        [stage(room=TierPlan(("m",), rounds=2))],
        on_round=lambda number, log: told.append((number, len(log.spans))),
    )
    assert told == [(1, 5), (2, 10), (2, 12)]


def test_a_run_needs_a_stage_that_fits():
    tree = room(device(), link=wire(64))
    with pytest.raises(ValueError, match="at least one stage"):
        simulate(tree, MODEL, [])
    with pytest.raises(ValueError, match="no tier 'cloud'"):
        simulate(tree, MODEL, [stage(cloud=GATHER_M)])
