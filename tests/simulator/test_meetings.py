"""Siblings that do something among themselves before they report: when they begin, who reports, who is waited for."""

from dataclasses import dataclass, field, replace

import pytest

from simulator import CostOnly, Deadline, FirstOf, Plan, RandomOf, Size, Stage, TierPlan, barrier
from simulator.presence import Timetable, Windows
from simulator.run import federation
from simulator.sideways.cluster import Report
from simulator.sideways.cooperate import Cooperate
from simulator.sideways.relay import Relay
from tests.simulator.worlds import Diary, device, room, times, wire
from topologies import Hierarchy, classroom
from topologies.sideways import everyone, join

NBYTES = 8  # 64 bits: 1 s each way


@dataclass
class Talk:
    """They talk for some seconds, note it in their diaries, and some of them report."""

    seconds: float = 2.0
    reporters: int = 1
    weight: float | None = None
    modules: tuple | None = None
    met: list = field(default_factory=list)
    cut: list = field(default_factory=list)
    checked: list = field(default_factory=list)

    def check(self, tree, children):
        self.checked.append(tuple(children))
        if len(children) < 2:
            raise ValueError(f"{children[0]} has no peers")

    def __call__(self, cluster, states):
        env = cluster.acts.env
        self.met.append((env.now, cluster.members, cluster.modules, bool(cluster.due), cluster.last, str(cluster.at)))
        try:
            yield env.timeout(self.seconds)
        except BaseException as why:
            self.cut.append((env.now, type(why).__name__))
            raise
        for member in cluster.members:
            states[member] = (*states[member], "talked")
        some = cluster.members[: self.reporters] if cluster.due else ()
        return [Report(member, (*states[member], "for all"), self.weight) for member in some]


class Mute(Talk):
    """They meet, and that is all."""

    def __call__(self, cluster, states):
        self.met.append((cluster.acts.env.now, cluster.members))
        yield cluster.acts.env.timeout(self.seconds)
        return ()


@dataclass
class Letters(Diary):
    """Records what a parent got to read, and how much it weighs."""

    read: list = field(default_factory=list)

    def merge(self, node, own, received, modules, direction, count):
        if direction == "up":
            self.read += [(arrival.state, arrival.weight) for arrival in received]
        return super().merge(node, own, received, modules, direction, count)


def tablets(*seconds, clusters=()):
    """Tablets whose training takes these seconds, 1 s down and up."""
    tree = Hierarchy("room", "room")
    for n, each in enumerate(seconds):
        own = {"cluster": clusters[n]} if clusters else {}
        tree.add(f"tablet{n}", "room", "device", device(1 / each), wire(64), **own)
    return tree


def run(tree, plan, workload=None, **how):
    workload = workload or Letters({"m": Size(NBYTES, 1.0)})
    stage = Stage("s", Plan(room=plan), trainable=("m",))
    return *federation(tree, workload, [stage], final_broadcast=False, **how), workload


def test_all_wait_for_the_slowest_and_only_one_sends():
    talk = Talk(weight=2.0)
    log, states, workload = run(tablets(1.0, 4.0), TierPlan(("m",), peers=talk))
    assert talk.met == [(5.0, ("tablet0", "tablet1"), ("m",), True, True, "round 1 turn -")]
    assert talk.checked == [("tablet0", "tablet1")]
    assert times(log, activity="up", kind="transmit") == [(7.0, 8.0)]
    diary = ("down room", "train 0", "talked")
    assert workload.read == [(("tablet0", *diary, "for all"), 2.0)]
    assert states["tablet0"] == (*diary, "for all", "sent")
    assert states["tablet1"] == diary
    assert log.happenings == []


def test_clusters_are_by_attribute_and_do_not_wait_for_each_other():
    talk = Talk(reporters=2)
    log, _, workload = run(tablets(1.0, 4.0, 2.0, clusters=("a", "b", "a")), TierPlan(("m",), peers=talk))
    assert [(it[0], it[1]) for it in talk.met] == [(3.0, ("tablet0", "tablet2")), (5.0, ("tablet1",))]
    assert times(log, activity="up", kind="transmit") == [(5.0, 6.0), (5.0, 6.0), (7.0, 8.0)]
    assert [state[0] for state, _ in workload.read] == ["tablet0", "tablet1", "tablet2"]


def test_first_of_counts_those_that_report():
    log, _, workload = run(tablets(1.0, 1.0, 9.0, clusters="aab"), TierPlan(("m",), 1, FirstOf(1), peers=Talk()))
    assert log.end_s == 5.0
    assert [state[0] for state, _ in workload.read] == ["tablet0"]
    assert [(it.kind, it.node) for it in log.happenings] == [("late", "tablet2")]


def test_gossip_has_no_modules_and_no_server():
    talk = Talk(modules=("m",))
    log, states, workload = run(tablets(1.0, 3.0), TierPlan((), 3, peers=talk))
    assert [it[0] for it in talk.met] == [3.0, 8.0, 13.0]
    assert [it[2:5] for it in talk.met] == [(("m",), False, False), (("m",), False, False), (("m",), False, True)]
    assert {span.kind for span in log.spans} == {"compute"}
    assert (log.end_s, workload.read, log.happenings) == (15.0, [], [])
    assert states["tablet0"] == tuple(word for n in range(3) for word in (f"train {n}", "talked"))


def test_they_meet_also_in_turns_without_reports():
    talk = Talk()
    log, _, workload = run(tablets(1.0, 1.0), TierPlan(("m",), 4, peers=talk, every={"m": 2}))
    assert [(it[0], it[3], it[4]) for it in talk.met] == [
        (2.0, False, False), (5.0, True, False), (10.0, False, False), (13.0, True, True)
    ]  # fmt: skip
    assert len(workload.read) == 2
    assert log.happenings == []


def test_who_is_not_there_is_not_waited_for():
    presence = Timetable(Windows(((5.0, 99.0),)), frozenset({"tablet1"}))
    talk = Talk()
    log, _, _ = run(tablets(1.0, 4.0), TierPlan(("m",), peers=talk), presence=presence)
    assert [it[:2] for it in talk.met] == [(2.0, ("tablet0",))]
    assert [it.kind for it in log.happenings] == ["absent"]


def test_who_leaves_while_it_computes_is_waited_for_no_longer():
    presence = Timetable(Windows(((0.0, 3.0),)), frozenset({"tablet1"}))
    talk = Talk()
    log, _, _ = run(tablets(1.0, 4.0), TierPlan(("m",), peers=talk), presence=presence)
    assert [it[:2] for it in talk.met] == [(3.0, ("tablet0",))]
    assert log.end_s == 6.0


def test_who_leaves_while_they_meet_leaves_the_others_to_it():
    presence = Timetable(Windows(((0.0, 3.0),)), frozenset({"tablet0"}))
    talk = Talk()
    log, _, workload = run(tablets(1.0, 1.0), TierPlan(("m",), peers=talk), presence=presence)
    assert talk.cut == []
    assert (log.end_s, workload.read) == (4.0, [])  # the one that was to report is gone
    assert [it.kind for it in log.happenings] == ["left", "no_arrivals"]


def test_what_is_cut_by_one_that_leaves_holds_nobody_up():
    """A policy that does not look after itself: its own process is interrupted, and the others are let go."""

    class Frail(Talk):
        def __call__(self, cluster, states):
            with cluster.acts.interruptible("tablet0"):
                return (yield from super().__call__(cluster, states))

    presence = Timetable(Windows(((0.0, 3.0),)), frozenset({"tablet0"}))
    log, _, _ = run(tablets(1.0, 1.0), TierPlan(("m",), peers=Frail()), presence=presence)
    assert log.end_s == 3.0
    assert [it.kind for it in log.happenings] == ["left", "apart", "no_arrivals"]


@pytest.mark.parametrize("wait", [Deadline(3.0), barrier])
def test_a_deadline_or_the_last_to_leave_cuts_them(wait):
    both = frozenset({"tablet0", "tablet1"})
    how = {"presence": Timetable(Windows(((0.0, 3.0),)), both)} if wait is barrier else {}
    talk = Talk()
    log, states, _ = run(tablets(1.0, 1.0), TierPlan(("m",), 1, wait, peers=talk), **how)
    assert talk.cut == [(3.0, "Interrupt")]
    assert log.end_s == 3.0
    assert states["tablet0"] == ("down room", "train 0")


@pytest.mark.parametrize("seconds", [(1.0, 4.0), (4.0, 1.0)])
def test_a_deadline_before_all_have_come_lets_nobody_begin(seconds):
    talk = Talk()
    log, _, _ = run(tablets(*seconds), TierPlan(("m",), 2, Deadline(3.0), peers=talk))
    assert talk.met == []
    assert log.end_s == 6.0


def test_those_kept_from_an_earlier_turn_do_not_meet_those_asked_in_this():
    """Deadlines of 4 s. Two are asked in turn 1 and talk until 14 s; the others are asked in turn 2 at 4 s."""
    talk = Talk(seconds=12.0)
    plan = TierPlan(("m",), 5, Deadline(4.0), late="keep", peers=talk, select=RandomOf(2))
    _, _, workload = run(tablets(1.0, 1.0, 1.0, 1.0), plan)
    (first, one, *_), (second, other, *_) = talk.met[:2]
    assert (first, second) == (2.0, 6.0)
    assert not set(one) & set(other)
    assert len(workload.read) == 2


def test_peers_that_cannot_are_refused_before_the_run():
    with pytest.raises(ValueError, match="tablet0 has no peers"):
        run(tablets(1.0), TierPlan(("m",), peers=Talk()))


def test_peers_that_need_a_signal_are_refused_where_there_is_none():
    talk = Talk()
    talk.signals = frozenset({"divergence"})
    with pytest.raises(ValueError, match=r"plan.room.peers: Talk needs to be told divergence, which this workload"):
        run(tablets(1.0, 1.0), TierPlan(("m",), peers=talk), CostOnly({"m": Size(8)}))


def test_members_of_groups_meet_as_nodes():
    tree = Hierarchy("room", "room")
    tree.add_group("room", 3, "device", device(), wire(64), "room/tablet")
    talk = Mute()
    log, _, _ = run(tree, TierPlan(("m",), peers=talk), CostOnly({"m": Size(8)}))
    assert len(talk.met[0][1]) == 3
    assert [it.detail.split(": ")[1] for it in log.happenings if it.kind == "unfolded"] == ["its members have peers"]


def test_scores_before_and_after_they_meet():
    from simulator import Evaluate

    evaluate = Evaluate(tiers=("device",), moments=("before_merge", "after_merge"))
    tree = room(device(1.0), device(1.0), link=wire(64))
    log, _, _ = run(tree, TierPlan(("m",), peers=Talk()), evaluate=evaluate)
    assert [(m.time_s, m.moment, m.value) for m in log.metrics if m.node == "tablet0"] == [
        (2.0, "before_merge", 2), (4.0, "after_merge", 3)
    ]  # fmt: skip


def test_who_is_helped_does_not_train_itself():
    """In every turn one training for each of the three: the helper's own, and the other's at the helper's processor."""
    tree = classroom(devices=3, device="chromebook_n100", access="wifi6_40mhz_2x2")
    join(tree, everyone(tree.children(tree.root)), "wifi_direct")
    first = tree.children(tree.root)[0]
    plan = Plan({"classroom": TierPlan(("m",), 2, peers=Cooperate((first,), 1000))})
    workload = CostOnly({"m": Size(1000, 1e9)})
    log, _ = federation(tree, workload, [Stage("s", plan, "device", ("m",))])
    spans = log.frame("spans")
    trained = spans[spans.activity == "train"]
    assert first not in set(trained.node)
    assert len(trained) == 2 * 3


def test_votes_of_what_is_not_due_stay_with_their_members():
    """A relay in two turns, one module due in the second only: shares are those of a run without peers."""
    votes = {}

    class Counting(CostOnly):
        def start(self, node):
            return {"a": 0, "b": 0}

        def train(self, node, state, step):
            return {name: n + 1 for name, n in state.items()}

        def pack(self, node, to, state, modules):
            packet = super().pack(node, to, None, modules)
            kept = {name: 0 if name in packet.modules else n for name, n in state.items()}
            return replace(packet, wire={n: state[n] for n in packet.modules}, kept=kept)

        def merge(self, node, own, received, modules, direction, count):
            if direction == "sideways":
                votes.setdefault(node, []).append([arrival.state.get("b", 0) for arrival in received])
            if direction == "pool":
                return own | {name: sum(arrival.state.get(name, 0) for arrival in received) for name in modules}
            if direction == "up":
                return own | {name: own[name] + sum(a.state.get(name, 0) for a in received) for name in modules}
            return own

    tree = classroom(devices=3, device="chromebook_n100", access="wifi6_40mhz_2x2")
    join(tree, everyone(tree.children(tree.root)), "wifi_direct")
    relay = Relay(broadcast="never")
    plan = Plan({"classroom": TierPlan(("a", "b"), 2, every={"b": 2}, peers=relay)})
    workload = Counting({"a": Size(1000, 1e9), "b": Size(1000, 1e9)})
    _, states = federation(tree, workload, [Stage("s", plan, "device", ("a", "b"))])
    assert votes == {tree.children(tree.root)[0]: [[1, 1, 1]]}  # in the first turn, and nobody's are taken over
    assert states[tree.root] == {"a": 2 * 3, "b": 2 * 3}
