"""Merge rules by hand, on a few numbers."""

import math

import numpy as np
import pytest
import torch

from models import State, Vote, merge
from models.algorithms.afl import MIXTURE, afl, projected
from models.algorithms.fedadagrad import fedadagrad
from models.algorithms.fedadam import fedadam
from models.algorithms.fedasync import fedasync
from models.algorithms.fedbuff import fedbuff
from models.algorithms.fednova import STEPS, effective, fednova
from models.algorithms.fedyogi import fedyogi
from models.algorithms.flora import FACTORS, MAPS, flora
from models.algorithms.krum import krum
from models.algorithms.median import median
from models.algorithms.norm_clip import norm_clip
from models.algorithms.qffl import LOSS, qffl
from models.algorithms.scaffold import ALL, CHANGE, scaffold
from models.algorithms.trimmed_mean import trimmed_mean
from models.federation.tally import single

RULES = [fedadagrad(), fedadam(), fedyogi(), fedasync(), fedbuff(), fednova(), krum(), median(), norm_clip()]
RULES += [qffl(), trimmed_mean(), afl()]


def own(*values, dtype=torch.float64, **extra):
    return State({"m/w": torch.tensor(values, dtype=dtype)}, {}, None, extra)


def vote(name, *values, votes=1.0, staleness=0, base=None, dtype=torch.float64, **figures):
    state = State(
        {"m/w": torch.tensor(values, dtype=dtype)}, {"m": votes}, base, {k: single(v) for k, v in figures.items()}
    )
    return Vote(name, state, staleness)


def up(algorithm, state, votes, registered=None):
    return merge(state, votes, ["m"], "up", algorithm.rule, registered)


def weights(algorithm, state, votes):
    return up(algorithm, state, votes).tensors["m/w"].tolist()


def many(count, seed=0, votes=1.0, dtype=torch.float32):
    rng = np.random.default_rng(seed)
    return [vote(f"n{i}", *rng.normal(size=5).tolist(), votes=votes, dtype=dtype) for i in range(count)]


@pytest.mark.parametrize("algorithm", RULES)
def test_where_nobody_voted_the_very_tensor_stays(algorithm):
    state = State({"m/w": torch.tensor([1.0]), "other/w": torch.tensor([2.0])}, {})
    nobody = Vote("a", State({"m/w": torch.tensor([5.0]), "other/w": torch.tensor([7.0])}, {"other": 3.0}))
    out = merge(state, [nobody], ["m", "other"], "up", algorithm.rule)
    assert out.tensors["m/w"] is state.tensors["m/w"]
    assert out.tensors["other/w"] is not state.tensors["other/w"]
    apart = merge(state, [nobody], ["m"], "up", algorithm.rule)
    assert apart.tensors["other/w"] is state.tensors["other/w"]
    assert merge(state, [], ["m"], "up", algorithm.rule, 3).tensors["m/w"] is state.tensors["m/w"]


@pytest.mark.parametrize("algorithm", RULES)
def test_who_lacks_a_module_has_no_say_in_it(algorithm):
    state = State({"m/w": torch.tensor([1.0]), "other/w": torch.tensor([2.0])}, {})
    both = Vote("a", State({"m/w": torch.tensor([3.0]), "other/w": torch.tensor([7.0])}, {"m": 1.0, "other": 1.0}))
    lacks = Vote("b", State({"m/w": torch.tensor([3.0])}, {"m": 1.0, "other": 9.0}))
    two = merge(state, [both, lacks], ["m", "other"], "up", algorithm.rule, 2).tensors["other/w"]
    alone = merge(state, [both], ["other"], "up", algorithm.rule, 2).tensors["other/w"]
    if algorithm.rule not in (qffl().rule, norm_clip().rule):  # whose norms go over all that a report has
        assert torch.equal(two, alone)


@pytest.mark.parametrize("count", [1, 3, 7, 49])
@pytest.mark.parametrize("algorithm", [fedbuff(), qffl(q=0.0), qffl(q=0.0, lipschitz=0.3)])
def test_all_fresh_is_the_uniform_mean_bit_for_bit(algorithm, count):
    """Where votes are equal that is plain averaging."""
    state = own(*range(5), dtype=torch.float32)
    equal, unequal = many(count, votes=17.0), [*many(count - 1, votes=3.0), *many(1, 9, votes=5.0)]
    assert torch.equal(up(algorithm, state, equal).tensors["m/w"], merge(state, equal, ["m"], "up").tensors["m/w"])
    uniform = [Vote(v.sender, v.state, uniform=frozenset({"m"})) for v in unequal]
    assert torch.equal(up(algorithm, state, unequal).tensors["m/w"], merge(state, uniform, ["m"], "up").tensors["m/w"])


def test_fedbuff_with_old_models():
    """w += (eta_g / K) sum s D: a has come from 1 to 5, b, two versions late, from -3 to 0."""
    old = State({"m/w": torch.tensor([-3.0], dtype=torch.float64)}, {})
    fresh = vote("a", 5.0, base=own(1.0))
    found = weights(fedbuff(server_lr=0.5), own(1.0), [fresh, vote("b", 0.0, staleness=2, base=old)])
    assert found == pytest.approx([1 + 0.5 / 2 * (4 + 3 / 3**0.5)], rel=1e-14)


def test_fedasync_mixes_one_after_the_other():
    first, second = 0.6, 0.6 * 4**-0.5
    found = weights(fedasync(rate=0.6, power=0.5), own(1.0), [vote("a", 3.0), vote("b", -2.0, staleness=3)])
    assert found == pytest.approx([((1 - first) * 1 + first * 3) * (1 - second) - second * 2], rel=1e-14)


def test_fednova_with_equal_steps_is_fedavg_bit_for_bit():
    votes = [
        vote(f"n{i}", *v.state.tensors["m/w"].tolist(), votes=i + 2, **{STEPS: 6.0}) for i, v in enumerate(many(7))
    ]
    state = own(*range(5))
    assert torch.equal(up(fednova(), state, votes).tensors["m/w"], merge(state, votes, ["m"], "up").tensors["m/w"])


def test_fednova_with_unequal_steps():
    """w - tau_eff sum p_i (w - w_i) / a_i; what the node itself reports are tau_eff steps."""
    votes = [vote("a", 3.0, votes=1.0, **{STEPS: 2.0}), vote("b", 7.0, votes=3.0, **{STEPS: 8.0})]
    out = up(fednova(), own(1.0), votes)
    mean = 0.25 * 2 + 0.75 * 8
    assert out.tensors["m/w"].tolist() == pytest.approx([1 + mean * (0.25 * 2 / 2 + 0.75 * 6 / 8)], rel=1e-14)
    assert out.extra[STEPS]["value"] == mean
    again = up(fednova(), out, votes)  # the node's second gathering before it reports
    assert again.extra[STEPS]["value"] == 2 * mean


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_what_steps_with_momentum_count(momentum):
    """Of tau steps, the gradient of step k is in the velocities of k, ..., tau: 1 + rho + ... + rho^(tau - k)."""
    tau = 7
    expected = sum(momentum**j for k in range(1, tau + 1) for j in range(tau - k + 1))
    assert effective(tau, momentum) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", ["fedadagrad", "fedadam", "fedyogi"])
def test_server_optimizers_over_three_rounds(name):
    lr, b1, b2, tau = 0.1, 0.8, 0.9, 0.05
    make = {"fedadagrad": lambda: fedadagrad(lr, b1, tau), "fedadam": lambda: fedadam(lr, b1, b2, tau)}
    algorithm = make.get(name, lambda: fedyogi(lr, b1, b2, tau))()
    state, w, m, v = own(1.0, -2.0), np.array([1.0, -2.0]), np.zeros(2), np.full(2, tau**2)
    for a, b in [((2.0, -1.0), (4.0, 0.0)), ((0.5, -3.0), (0.0, 1.0)), ((1.0, 1.0), (1.0, -1.0))]:
        state = up(algorithm, state, [vote("a", *a, votes=1.0), vote("b", *b, votes=3.0)])
        d = 0.25 * np.array(a) + 0.75 * np.array(b) - w
        m = b1 * m + (1 - b1) * d
        v = {
            "fedadagrad": v + d**2,
            "fedadam": b2 * v + (1 - b2) * d**2,
            "fedyogi": v - (1 - b2) * d**2 * np.sign(v - d**2),
        }[name]
        w = w + lr * m / (np.sqrt(v) + tau)
        assert state.tensors["m/w"].tolist() == pytest.approx(w.tolist(), rel=1e-13)


def test_fedadam_as_flower_steps():
    """v from 0, and in round t lr sqrt(1 - b2^(t+1)) / (1 - b1^(t+1))."""
    lr, b1, b2, tau, state, w, m, v = 0.1, 0.8, 0.9, 0.05, own(1.0, -2.0), np.array([1.0, -2.0]), 0.0, 0.0
    for t, ends in enumerate([(2.0, -1.0), (0.5, -3.0), (1.0, 1.0)], 1):
        state = up(fedadam(lr, b1, b2, tau, v0=0.0, debias=2), state, [vote("a", *ends, votes=1.0)])
        d = np.array(ends) - w
        m, v = b1 * m + (1 - b1) * d, b2 * v + (1 - b2) * d**2
        w = w + lr * np.sqrt(1 - b2 ** (t + 1)) / (1 - b1 ** (t + 1)) * m / (np.sqrt(v) + tau)
        assert state.tensors["m/w"].tolist() == pytest.approx(w.tolist(), rel=1e-12)


def test_qffl_by_hand():
    """D_i = L (w - w_i), h_i = q F^(q-1) ||D||^2 + L F^q, w - sum F^q D / sum h."""
    q, lipschitz, losses, w, ends = 2.0, 4.0, [0.5, 3.0], 1.0, [2.0, -1.0]
    d = [lipschitz * (w - end) for end in ends]
    h = [q * f ** (q - 1) * x**2 + lipschitz * f**q for f, x in zip(losses, d, strict=True)]
    expected = w - sum(f**q * x for f, x in zip(losses, d, strict=True)) / sum(h)
    votes = [vote(str(i), end, votes=1.0 + i, **{LOSS: f}) for i, (end, f) in enumerate(zip(ends, losses, strict=True))]
    out = up(qffl(q, lipschitz), own(w), votes)
    assert out.tensors["m/w"].tolist() == pytest.approx([expected], rel=1e-8)
    assert out.extra[LOSS]["value"] == pytest.approx((1 * 0.5 + 2 * 3.0) / 3)  # what an edge reports
    assert up(qffl(q, lipschitz), out, votes[:1]).extra[LOSS]["value"] == out.extra[LOSS]["value"]  # of its first


def test_projection_on_the_simplex():
    """Of two numbers, (1 +- (a - b)) / 2 within 0 and 1; of more, what is left of each after one threshold."""
    for a, b in [(0.2, 0.9), (0.0, 3.0), (-1.0, -1.5)]:
        expected = min(max((1 + a - b) / 2, 0), 1)
        assert projected([a, b]) == pytest.approx([expected, 1 - expected], abs=1e-15)
    values = np.random.default_rng(3).normal(size=20)
    found = np.array(projected(values.tolist()))
    assert found.sum() == pytest.approx(1)
    (threshold,) = set(np.round(values[found > 0] - found[found > 0], 12))
    assert (found == np.maximum(values - (values - found)[found > 0][0], 0)).sum() >= 19
    assert values[found == 0].max() <= threshold


def test_afl_turns_to_the_worst():
    """From 1/N each, lambda moves by g (F - mean F) while none of it is at the edge of the simplex."""
    losses, rate = np.array([1.0, 2.0, 6.0]), 0.05
    votes = [vote(f"n{i}", float(i), votes=10.0**i, **{LOSS: f}) for i, f in enumerate(losses.tolist())]
    out = up(afl(rate), own(9.0), votes, 3)
    assert out.tensors["m/w"].tolist() == pytest.approx([1.0])  # (0 + 1 + 2) / 3, whatever the votes
    mixture = np.array([float(out.extra[MIXTURE][v.sender]) for v in votes])
    assert mixture == pytest.approx(1 / 3 + rate * (losses - losses.mean()), rel=1e-12)
    assert out.extra[LOSS]["value"] == pytest.approx(losses.mean())
    second = up(afl(rate), out, votes, 3)
    assert second.tensors["m/w"].tolist() == pytest.approx([float(mixture @ np.arange(3))])
    for _ in range(20):
        second = up(afl(rate), second, votes, 3)
    assert [float(second.extra[MIXTURE][v.sender]) for v in votes] == pytest.approx([0, 0, 1])


def test_the_mixture_is_one_where_only_some_report():
    """With those who have not been heard of, each 1/N; also when a child that has been heard of is not there."""
    state, algorithm = own(0.0), afl(0.3)
    for names in ("ab", "ab", "bc", "d", "ad"):
        votes = [vote(name, 1.0, loss=i + 0.5) for i, name in enumerate(names)]
        state = up(algorithm, state, votes, 4)
        mixture = {name: float(value) for name, value in state.extra[MIXTURE].items()}
        assert sum(mixture.values()) == pytest.approx(len(mixture) / 4)
        assert min(mixture.values()) >= 0
    assert len(mixture) == 4


def test_a_large_q_is_the_worst_child_alone():
    """F_i^q / F_max^q vanishes: w moves by D / (1 + q L ||D||^2 / F) of the worst, however large the powers."""
    votes, q, lipschitz = [vote("a", 3.0, 4.0, loss=9.0), vote("b", 1.0, 0.0, loss=2.0)], 1000.0, 0.5
    share = 1 / (1 + q * lipschitz * 25 / 9)
    found = weights(qffl(q, lipschitz), own(0.0, 0.0), votes)
    assert found == pytest.approx([3 * share, 4 * share], rel=1e-9)


@pytest.mark.parametrize("algorithm", [fedadam(), fedyogi(), fedadagrad()])
def test_a_stale_report_is_an_update_of_what_it_was_sent(algorithm):
    base = State({"m/w": torch.tensor([1.0, 1.0], dtype=torch.float64)}, {})
    stale = [vote("a", 2.0, 0.5, staleness=3, base=base)]
    fresh = [vote("a", 5.0 + 1.0, 5.0 - 0.5)]
    assert weights(algorithm, own(5.0, 5.0), stale) == weights(algorithm, own(5.0, 5.0), fresh)


@pytest.mark.parametrize("count", [1, 4, 9])
def test_median_and_trimmed_mean_of_each_number(count):
    votes = many(count, dtype=torch.float64)
    rows = np.array([v.state.tensors["m/w"].tolist() for v in votes])
    assert weights(median(), own(*range(5)), votes) == pytest.approx(np.median(rows, 0).tolist(), rel=1e-14)
    cut = int(0.3 * count)
    kept = np.sort(rows, 0)[cut : count - cut]
    assert weights(trimmed_mean(0.3), own(*range(5)), votes) == pytest.approx(kept.mean(0).tolist(), rel=1e-13)


@pytest.mark.parametrize("said", [1e6, math.inf, math.nan])
@pytest.mark.parametrize("algorithm", [median(), trimmed_mean(0.3), krum(faults=2), krum(faults=2, keep=5)])
def test_robust_rules_do_not_see_the_planted_outliers(algorithm, said):
    """Two of nine say anything: the result stays among the others."""
    honest = many(7, dtype=torch.float64)
    planted = [vote(f"x{i}", *[said * (i + 1)] * 5) for i in range(2)]
    found = np.array(weights(algorithm, own(*range(5)), [*honest[:3], *planted, *honest[3:]]))
    rows = np.array([v.state.tensors["m/w"].tolist() for v in honest])
    assert (found >= rows.min(0) - 1e-12).all()
    assert (found <= rows.max(0) + 1e-12).all()


def test_krum_takes_those_with_the_nearest_others():
    votes, faults, keep = many(8, dtype=torch.float64), 2, 3
    rows = np.array([v.state.tensors["m/w"].tolist() for v in votes])
    apart = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    scores = np.sort(apart, 1)[:, 1 : 1 + 8 - faults - 2].sum(1)  # the first is its own
    best = np.argsort(scores)[:keep]
    assert weights(krum(faults, keep), own(*range(5)), votes) == pytest.approx(rows[best].mean(0).tolist(), rel=1e-13)
    assert weights(krum(faults), own(*range(5)), votes) == rows[best[0]].tolist()


@pytest.mark.parametrize(("faults", "chosen"), [(1, 0.0), (0, 1.0)])
def test_krum_counts_n_less_faults_less_two(faults, chosen):
    """Of -1, 0, 1, 4 and 10 the scores (Blanchard et al. 2017) are the squared distances to the 5 - f - 2 nearest.

    To two: 5, 2, 5, 25, 117. To three: 1 + 4 + 25 = 30, 1 + 1 + 16 = 18, 1 + 4 + 9 = 14, 50 and 217.
    """
    votes = [vote(str(value), value) for value in (10.0, 1.0, -1.0, 4.0, 0.0)]
    assert weights(krum(faults), own(9.0), votes) == [chosen]


def test_norm_clip():
    """(3, 4) is 5 long and becomes 2 long, (0, 1) stays; where nothing is clipped it is the mean, bit for bit."""
    state, votes = own(1.0, 1.0), [vote("a", 4.0, 5.0, votes=1.0), vote("b", 1.0, 2.0, votes=3.0)]
    expected = [1 + 0.25 * 3 * 2 / 5, 1 + 0.25 * 4 * 2 / 5 + 0.75 * 1]
    assert weights(norm_clip(2.0), state, votes) == pytest.approx(expected, rel=1e-14)
    some = many(9, votes=3.0)
    state = own(*range(5), dtype=torch.float32)
    assert torch.equal(up(norm_clip(1e3), state, some).tensors["m/w"], merge(state, some, ["m"], "up").tensors["m/w"])


@pytest.mark.parametrize("said", [math.inf, math.nan])
def test_what_is_not_finite_cannot_be_clipped(said):
    """It has no say; nobody's is the node's own."""
    votes = [vote("a", 4.0, 5.0), vote("x", said, 0.0, votes=7.0)]
    assert weights(norm_clip(2.0), own(1.0, 1.0), votes) == weights(norm_clip(2.0), own(1.0, 1.0), votes[:1])
    assert weights(norm_clip(2.0), own(1.0, 1.0), votes[1:]) == [1.0, 1.0]


def test_control_variates_of_a_module_that_some_lack():
    """c is the mean over those who can have one: a child that reported without the weight is not among them."""
    state = State({"m/w": torch.zeros(1), "other/w": torch.zeros(1)}, {})
    change = {"m/w": torch.tensor([6.0]), "other/w": torch.tensor([12.0])}
    both = Vote("a", State(state.tensors, {"m": 1.0, "other": 1.0}, None, {CHANGE: change}))
    lacks = Vote("b", State({"m/w": torch.zeros(1)}, {"m": 1.0}, None, {CHANGE: {"m/w": torch.tensor([3.0])}}))
    out = merge(state, [both, lacks], ["m", "other"], "up", scaffold().rule, 3)  # a third has not reported
    assert {key: value.item() for key, value in out.extra[ALL].items()} == {"m/w": 3.0, "other/w": 6.0}


def test_flora_beside_factors_that_were_not_zero():
    """W + c A B is the mean of what the children compute, and A and B of the node stay."""
    rng, keys = np.random.default_rng(1), ("adapter/0.qkv.a", "adapter/0.qkv.b", "trunk/0.qkv.weight")
    shapes = ((5, 2), (2, 6), (5, 6))

    def draw(name, votes):
        tensors = {key: torch.tensor(rng.normal(size=shape)) for key, shape in zip(keys, shapes, strict=True)}
        return Vote(name, State(tensors, {"adapter": votes}))

    node, (a, b, weight) = draw("me", 0.0).state, keys
    votes = [draw("x", 1.0), draw("y", 3.0)]
    out = merge(node, votes, ["adapter"], "up", flora(alpha=1.0).rule).tensors
    products = [vote.state.tensors[a] @ vote.state.tensors[b] / 2 for vote in votes]
    expected = node.tensors[weight] + 0.25 * products[0] + 0.75 * products[1]
    assert torch.allclose(out[weight] + out[a] @ out[b] / 2, expected, rtol=0, atol=1e-12)
    assert out[a] is node.tensors[a]


def test_an_edge_that_folded_into_an_old_map():
    """What it has added since then is added now."""
    a, b, weight = "adapter/0.qkv.a", "adapter/0.qkv.b", "trunk/0.qkv.weight"
    fresh = {a: torch.ones(3, 1), b: torch.zeros(1, 2)}
    base = State({}, {}, None, {MAPS: {a: torch.full((3, 2), 1.0)}})
    edge = State(fresh, {"adapter": 2.0}, base, {MAPS: {a: torch.full((3, 2), 5.0)}})
    node = State({**fresh, weight: torch.full((3, 2), 10.0)}, {})
    device = State({**fresh, b: torch.ones(1, 2)}, {"adapter": 2.0})
    out = merge(node, [Vote("edge", edge, 1), Vote("device", device)], ["adapter"], "up", flora().rule)
    assert torch.equal(out.tensors[weight], torch.full((3, 2), 10 + 0.5 * 4 + 0.5 * 1))
    assert list(out.extra[FACTORS]) == ["edge", "device"]
