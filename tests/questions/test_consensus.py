"""MH-FL and TT-HF as the papers have them, on the very federations that the question scripts run."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from experiments.build import build
from experiments.questions import mhfl_consensus, tthf
from experiments.questions.mhfl_consensus import ADAPTIVE, costs, gaps, learned, network, study
from experiments.simulation import known_after
from experiments.workload import LearningWorkload
from simulator.records import Log

ROUNDS, RATE = 4, 0.3


def ring_matrix(size):
    """I - L/4 of a ring, whose largest degree is 2."""
    out = np.eye(size) / 2
    for i in range(size):
        out[i, (i + 1) % size] += 0.25
        out[i, i - 1] += 0.25
    return out


def with_ones(data):
    x = data.inputs["record"].numpy()
    return np.c_[x, np.ones(len(x))], data.targets["score"].numpy()


def by_hand(theta, log, data):
    """arXiv 2007.09511: z = |D| w at the leaves, Z <- V^theta Z, |C| z of who is drawn, 1/D at the root."""
    tree, weights, out = network(), np.zeros(mhfl_consensus.FEATURES + 1), []
    sent = {(span.round, span.node) for span in log.spans if span.kind == "transmit" and span.activity == "up"}
    pooled, truth = with_ones(data.test)
    least = np.mean((pooled @ np.linalg.lstsq(pooled, truth, rcond=None)[0] - truth) ** 2)
    for number in range(1, ROUNDS + 1):
        sums = {}
        for leaf in tree.lowest:
            x, y = with_ones(data.clients[leaf].train)
            sums[leaf] = len(x) * (weights - RATE * 2 * x.T @ (x @ weights - y) / len(x))
        for tier in reversed(tree.tiers[:-1]):
            for node in tree.nodes(tier):
                members = tree.children(node)
                mixed = np.linalg.matrix_power(ring_matrix(len(members)), theta) @ np.stack([sums[m] for m in members])
                (drawn,) = [i for i, m in enumerate(members) if (number, m) in sent]
                sums[node] = len(members) * mixed[drawn]
        weights = sums[tree.root] / len(pooled)
        out.append(np.mean((pooled @ weights - truth) ** 2) - least)
    return out


@pytest.mark.parametrize("theta", [0, 1, 3])
def test_the_whole_is_the_papers_scheme(theta):
    log, data = learned(theta, 1, ROUNDS, RATE)
    np.testing.assert_allclose(gaps(log, data), by_hand(theta, log, data), rtol=1e-10)


def test_a_broadcast_is_counted_once_and_learns_the_same():
    (log, data), (once, _) = (learned(2, 1, ROUNDS, RATE, energy) for energy in ("link", "broadcast"))
    counted = costs(once, ROUNDS)["energy per link J"]  # in which every broadcast has one transmission
    assert costs(log, ROUNDS)["energy per broadcast J"] == pytest.approx(counted, rel=1e-12)
    assert counted == pytest.approx(ROUNDS * (16 * 0.25 * 0.25 + 2 * 75 * 0.25 * 0.01))
    np.testing.assert_array_equal(gaps(log, data), gaps(once, data))


def test_the_gap_falls_as_theta_grows_whatever_the_draw():
    for seed in (1, 2, 3):
        one, five = (gaps(*learned(theta, seed, 8, RATE))[-1] for theta in (1, 5))
        assert 0 < five < one / 3
    assert gaps(*learned(ADAPTIVE, 1, 8, RATE))[-1] < 1e-3 * gaps(*learned(1, 1, 8, RATE))[-1]


def test_devices_differ_so_that_there_is_something_to_agree_on():
    data = study(network().lowest, 1)
    assert len({len(client.train) for client in data.clients.values()}) > 10


class Noting(LearningWorkload):
    """Notes the consensus error of a classroom, turn by turn."""

    noted = None

    def signal(self, name, states, modules):
        answer = super().signal(name, states, modules)
        self.noted[next(iter(states)).rpartition("/")[0]].append(answer["inf"])
        return answer


def test_gamma_is_zero_below_the_tolerance_and_grows_with_the_error():
    """TT-HF: |C| eps <= eta phi needs no round; above it, more error takes more rounds."""
    scenario = tthf.scenario(tthf.TTHF, 1, 2)
    built, log = build(scenario), Log()
    workload = Noting(built.learner)
    workload.noted = defaultdict(list)
    known_after(replace(built, workload=workload), log, lambda round_, log: None)
    started = defaultdict(set)
    for span in log.spans:
        if span.kind == "transmit" and span.activity == "sideways":
            turn = (span.round - 1) * tthf.PERIOD + int(span.turn)
            started[span.node.rpartition("/")[0], turn].add(span.start_s)
    pairs = [
        (tthf.TABLETS * error, len(started[room, turn]))
        for room, errors in workload.noted.items()
        for turn, error in enumerate(errors)
    ]
    limit = [tthf.RATE * 1000 / (turn + 1 + 1000) * tthf.PHI for e in workload.noted.values() for turn in range(len(e))]
    assert len(pairs) == 2 * tthf.PERIOD * tthf.ROOMS
    assert [gamma == 0 for _, gamma in pairs] == [error <= most for (error, _), most in zip(pairs, limit, strict=True)]
    assert {gamma == 0 for _, gamma in pairs} == {True, False}
    gammas = [gamma for _, gamma in sorted(pairs)]
    assert np.mean(gammas[: len(gammas) // 2]) < np.mean(gammas[len(gammas) // 2 :])
