import math

import pytest
import simpy

from simulator import Deadline, Evaluate, FirstOf, Plan, Stage, TierPlan, barrier
from simulator.workloads import CostOnly, Size

TIERS = ("cloud", "campus", "room", "device")


def upload(env, seconds, value="report"):
    yield env.timeout(seconds)
    return value


def ends(wait, *uploads):
    """When a policy ends the waiting for uploads of (seconds, value)."""
    env = simpy.Environment()
    env.run(wait(env, [env.process(upload(env, *it)) for it in uploads]))
    return env.now


def test_a_barrier_ends_with_the_last_and_a_deadline_no_later_than_it_says():
    assert ends(barrier, (2,), (7,), (3,)) == 7
    assert ends(Deadline(5), (2,), (7,), (3,)) == 5
    assert ends(Deadline(9), (2,), (7,), (3,)) == 7


def test_first_of_counts_arrivals_and_not_endings():
    assert ends(FirstOf(2), (1,), (2, None), (3,), (9,)) == 3


def test_first_of_ends_when_no_more_can_come():
    assert ends(FirstOf(2), (1,), (2, None), (4, None)) == 4
    assert ends(FirstOf(9), (1,), (6,)) == 6
    assert ends(FirstOf(1), (2, None), (3, None)) == 3


@pytest.mark.parametrize("wait", [barrier, Deadline(5), FirstOf(2)])
def test_nobody_to_wait_for_takes_no_time(wait):
    assert ends(wait) == 0


def test_a_plan_may_shrink_on_the_way_up_and_skip_tiers():
    assert Plan({"cloud": TierPlan(("a",)), "room": TierPlan(("a", "b"))}).check(TIERS) is None
    assert Plan().check(TIERS) is None


def test_a_plan_whose_modules_grow_on_the_way_up_is_refused():
    plan = Plan({"cloud": TierPlan(("a", "b", "c")), "room": TierPlan(("a",))})
    with pytest.raises(ValueError, match=r"plan\.cloud: b, c cannot arrive, since room does not gather it; add it"):
        plan.check(TIERS)


def test_a_plan_of_an_unknown_tier_names_those_there_are():
    with pytest.raises(ValueError, match="no tier 'school'; the tiers are cloud, campus, room, device"):
        Plan({"school": TierPlan(())}).check(TIERS)


def test_a_stage_at_an_unknown_tier_is_refused():
    with pytest.raises(ValueError, match="stage s: there is no tier 'phone'; the tiers are cloud, campus"):
        Stage("s", at="phone").check(TIERS)


@pytest.mark.parametrize("tier", ["room", "device"])
def test_a_tier_gathers_only_what_is_trained_below_it(tier):
    with pytest.raises(ValueError, match=f"stage s: {tier} cannot gather what room trains: it is not above it"):
        Stage("s", Plan({tier: TierPlan(("a",))}), at="room").check(TIERS)


def test_a_tier_sends_what_it_gathers_or_trained_and_else_passes_on_what_came():
    plan = Plan({"cloud": TierPlan(("a",)), "room": TierPlan(("a", "b"))})
    stage = Stage("s", plan, at="device", trainable=("a", "b", "c"))
    assert stage.sends("cloud", ()) == ("a",)
    assert stage.sends("campus", ("a",)) == ("a",)
    assert stage.sends("room", ("a",)) == ("a", "b")
    assert stage.sends("device", ("a", "b")) == ("a", "b", "c")


def test_when_a_stage_ends_only_what_is_to_go_down_goes_down():
    plan = Plan({"cloud": TierPlan(("a", "b"), down=("b",)), "room": TierPlan(("a", "b"), down=())})
    stage = Stage("s", plan, trainable=("a", "b"))
    assert [stage.sends(tier, ("a",)) for tier in TIERS] == [("b",), ("a",), (), ("a", "b")]


def test_modules_go_up_at_the_end_of_their_turns_and_down_at_the_start_of_the_next():
    plan = TierPlan(("a", "b", "c"), every={"b": 2, "c": 3}, down=("a", "b"))
    up = ["a", "ab", "ac", "ab", "a", "abc"]
    down = ["ab", "a", "ab", "a", "ab", "a"]
    assert ["".join(plan.due(turn)) for turn in range(1, 7)] == up
    assert ["".join(plan.brought(turn)) for turn in range(1, 7)] == down


def test_only_those_who_train_can_go_on_training():
    plan = Plan({"room": TierPlan(("a",), meanwhile="train"), "cloud": TierPlan(("a",))})
    assert Stage("s", plan, trainable=("a",)).check(TIERS) is None
    plan["cloud"] = TierPlan(("a",), meanwhile="train")
    with pytest.raises(ValueError, match="its children gather, they do not train"):
        Stage("s", plan, trainable=("a",)).check(TIERS)


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
def test_a_deadline_is_positive(seconds):
    with pytest.raises(ValueError, match="a deadline must be > 0 s"):
        Deadline(seconds)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FirstOf(0), "first: at least 1 child, got 0"),
        (lambda: TierPlan(("a",), rounds=0), "rounds: a whole number >= 1, got 0"),
        (lambda: TierPlan(("a",), late="wait"), "late: drop or keep, got 'wait'"),
        (lambda: TierPlan(("a",), late="keep"), "late: keep is of no effect where all are waited for; give a deadline"),
        (lambda: TierPlan(("a",), meanwhile="sleep"), "meanwhile: idle or train, got 'sleep'"),
        (lambda: TierPlan(("a",), meanwhile="train", peers=lambda: None), "meanwhile: train: not with peers"),
        (lambda: TierPlan(("a",), every={"b": 2}), "every: b is not among the modules; those are a"),
        (lambda: TierPlan(("a",), every={"a": 0}), "every: a: a whole number of turns >= 1, got 0"),
        (lambda: TierPlan(("a",), every={"a": True}), "every: a: a whole number of turns >= 1, got True"),
        (lambda: TierPlan(("a",), every={"a": 1.5}), "every: a: a whole number of turns >= 1, got 1.5"),
        (lambda: TierPlan(("a",), down=("a", "c")), "down: c is not among the modules; those are a"),
        (lambda: Evaluate(every=0), "evaluate: every must be >= 1, got 0"),
        (lambda: Size(-1), "nbytes must be >= 0 and finite, got -1"),
        (lambda: Size(1, math.nan), "flops must be >= 0 and finite, got nan"),
        (lambda: CostOnly({}).enter(Stage("s", trainable=("a", "b"))), "stage s: no size is given for a, b"),
    ],
)
def test_figures_that_make_no_sense_are_refused_where_they_are_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_evaluation_is_wanted_at_its_tiers_and_moments_every_so_many_rounds():
    evaluate = Evaluate(2, ("cloud",), ("after_merge",))
    wanted = [evaluate.wants("cloud", "after_merge", round_, last=5) for round_ in range(6)]
    assert wanted == [True, False, True, False, True, True]  # the last round always
    assert not evaluate.wants("room", "after_merge", 2, last=5)
    assert not evaluate.wants("cloud", "after_broadcast", 2, last=5)


def test_merging_reads_every_copy_and_writes_one():
    work = CostOnly({"a": Size(40, merge_flops=10.0), "b": Size(8)}).work("room", "merge", 0, ("a", "b"), count=3)
    assert (work.flops, work.bytes_moved, work.launches) == (30.0, 4 * 40, 3)
