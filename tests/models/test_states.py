import pytest
import torch

from models import State, Vote, merge
from models.promises import Promise, Wave, depth


def state(value, votes=1.0, **more):
    tensors = {"head/w": torch.tensor([value, 2 * value]), "own/w": torch.tensor([value])}
    return State(tensors | {f"{k}/w": v for k, v in more.items()}, {"head": votes} if votes else {})


def test_up_is_the_mean_by_votes_and_votes_add_up():
    out = merge(state(9.0, 1.0), [Vote("a", state(1.0, 3.0)), Vote("b", state(5.0, 1.0))], ["head"], "up")
    assert out.tensors["head/w"].tolist() == [2.0, 4.0]  # (3 * 1 + 1 * 5) / 4
    assert out.tensors["own/w"].tolist() == [9.0]
    assert out.samples == {"head": 5.0}  # 1 of its own, 3 + 1 that arrived


def test_where_nobody_voted_the_own_copy_stays():
    own = state(9.0, 0.0)
    out = merge(own, [Vote("a", state(1.0, 0.0))], ["head"], "up")
    assert out.tensors["head/w"] is own.tensors["head/w"]
    assert out.samples == {}


def test_who_lacks_a_module_has_no_say_in_it():
    lacks = State({"own/w": torch.tensor([7.0])}, {"head": 100.0, "own": 1.0})
    out = merge(state(9.0, 0.0), [Vote("a", lacks), Vote("b", state(5.0, 1.0))], ["head", "own"], "up")
    assert out.tensors["head/w"].tolist() == [5.0, 10.0]
    assert out.tensors["own/w"].tolist() == [7.0]


def test_a_given_weight_counts_instead_of_votes():
    out = merge(state(0.0), [Vote("a", state(1.0, 3.0), weight=1.0), Vote("b", state(5.0), weight=3.0)], ["head"], "up")
    assert out.tensors["head/w"].tolist() == [4.0, 8.0]


def test_down_replaces_keeps_the_votes_and_sets_the_base():
    own, parent = state(9.0, 4.0), state(1.0, 50.0)
    out = merge(own, [Vote("school", parent)], ["head"], "down")
    assert out.tensors["head/w"] is parent.tensors["head/w"]
    assert out.tensors["own/w"] is own.tensors["own/w"]
    assert out.samples == {"head": 4.0}
    assert out.base.tensors is parent.tensors
    assert out.base.base is None


def test_sideways_votes_decide_and_the_own_votes_stay():
    own = state(1.0, 1.0)
    out = merge(own, [Vote("me", own), Vote("peer", state(3.0, 1.0))], ["head"], "sideways")
    assert out.tensors["head/w"].tolist() == [2.0, 4.0]
    assert out.samples == {"head": 1.0}


def test_a_report_resets_the_votes_of_what_it_carried_and_no_others():
    both = State({}, {"head": 3.0, "own": 2.0})
    assert both.reported(["head"], both.tensors).samples == {"own": 2.0}


def test_a_merge_of_promises_is_a_promise_that_is_kept():
    wave, asked = Wave(), []

    def settle():
        asked.append(1)
        promise.fill({"head/w": torch.tensor([3.0, 6.0]), "own/w": torch.tensor([3.0])})
        wave.over = True
        return {}

    promise = Promise(["head/w", "own/w"], 1, wave, settle)
    out = merge(state(9.0), [Vote("a", State(promise, {"head": 1.0}))], ["head"], "up")
    assert depth(out.tensors) == 1
    assert not asked
    assert set(out.tensors) == {"head/w", "own/w"}  # names are known without a value
    assert not asked
    assert out.tensors["head/w"].tolist() == [3.0, 6.0]
    assert asked == [1]
    assert depth(out.tensors) == 0


@pytest.mark.parametrize("direction", ["up", "sideways"])
def test_order_of_children_is_the_order_of_the_sum(direction):
    """Float sums see the order: 1e8, -1e8 and 1 in float32."""
    votes = [Vote(str(v), State({"m/w": torch.tensor([v])}, {"m": 1.0})) for v in (1e8, -1e8, 3.0)]
    own = State({"m/w": torch.tensor([0.0])}, {})
    third = torch.tensor(1 / 3)
    expected = (torch.tensor([1e8]) * third + torch.tensor([-1e8]) * third) + torch.tensor([3.0]) * third
    assert torch.equal(merge(own, votes, ["m"], direction).tensors["m/w"], expected)


def test_a_long_chain_of_merges_before_a_training_is_known_is_no_deep_recursion():
    """As rounds of consensus make it: each is a promise made of the one before."""
    wave = Wave()
    trained = Promise(["head/w"], 1, wave, lambda: {"head/w": torch.tensor([1.0, 3.0])})
    copies = [State(trained, {"head": 1.0}), State({"head/w": torch.tensor([3.0, 1.0])}, {"head": 1.0})]
    for _ in range(2000):
        received = [Vote(name, copy) for name, copy in zip("ab", copies, strict=True)]
        copies = [merge(copy, received, ["head"], "sideways") for copy in copies]
    assert copies[0].tensors["head/w"].tolist() == [2.0, 2.0]
