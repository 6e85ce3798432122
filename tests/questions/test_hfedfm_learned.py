"""The rows of H-FedFM with real learning: their costs are the table's, and a relay learns what an edge would."""

from itertools import pairwise

import pytest
import torch

from experiments.build import build
from experiments.questions.hfedfm_learned import HEADS, SMALL, by_round, per_round, result, scenario
from experiments.questions.hfedfm_table import prototypes

ORDER = ("edge_only_d2d", "edge_only", "hfedfm_d2d_8", "hfedfm_8", "hfedfm_d2d_2", "hfedfm_2", "star")


@pytest.fixture(scope="module")
def results():
    return {row: result(row, 1, 8, True) for row in ORDER}


def test_with_real_training_the_order_of_the_rows_is_the_tables(results):
    seconds = [per_round(row, by_round(results[row].spans))[0] for row in ORDER]
    assert all(quick < slow for quick, slow in pairwise(seconds))
    assert all(results[row].manifest["client_updates"] == 40 * 8 for row in ORDER)


def test_every_message_counts_as_6_mb_so_the_costs_are_the_tables(results):
    """Apart from a 200th of the upload to the cloud, and from relays that wait for all clusters in every round."""
    paper = prototypes(tuple(f"user{head}" for head in HEADS))
    for row in ("star", "hfedfm_2", "hfedfm_8"):
        found = per_round(row, by_round(results[row].spans))
        assert found == pytest.approx(tuple(paper[row].values()), rel=1e-9)
    for row in ("hfedfm_d2d_2", "hfedfm_d2d_8"):
        seconds, joules = per_round(row, by_round(results[row].spans))
        assert joules == pytest.approx(paper[row]["energy_j"], rel=1e-9)
        assert paper[row]["latency_s"] <= seconds < 1.003 * paper[row]["latency_s"]
    seconds, joules = per_round("edge_only", by_round(results["edge_only"].spans))
    assert seconds == pytest.approx(paper["edge_only"]["latency_s"] - 12.1 / 200, rel=1e-9)
    assert joules == pytest.approx(paper["edge_only"]["energy_j"], rel=1e-9)


@pytest.mark.parametrize("row", ["hfedfm_2", "hfedfm_8"])
def test_what_a_head_merges_by_votes_is_what_its_edge_would_have(results, row):
    plain, relayed = results[row].states, results[row.replace("_", "_d2d_")].states
    for node in ("cloud", *(f"edge{c}" for c in range(10))):
        for key, value in plain[node].tensors.items():
            assert torch.allclose(relayed[node].tensors[key], value, rtol=0, atol=1e-6), (node, key)


def test_without_a_cloud_the_members_end_with_what_their_edge_would_have(results):
    plain, relayed = results["edge_only"].states, results["edge_only_d2d"].states
    for user in range(40):
        for key, value in plain[f"edge{user // 4}"].tensors.items():
            assert torch.allclose(relayed[f"user{user}"].tensors[key], value, rtol=0, atol=1e-6), (user, key)


def test_the_star_has_the_same_students(results):
    star, tree = results["star"].built.study, results["hfedfm_2"].built.study
    assert star.clients.keys() == tree.clients.keys()
    for user, client in star.clients.items():
        for name, value in client.train.inputs.items():
            assert torch.equal(value, tree.clients[user].train.inputs[name])
    places = {}
    for user, client in tree.clients.items():
        places.setdefault(int(user[4:]) // 4, []).append(client.train.targets["answer"].bincount(minlength=10))
    mixes = [sum(counts) for counts in places.values()]
    assert max(int((a - b).abs().sum()) for a in mixes for b in mixes) > 50  # clusters differ in their digits


def test_without_a_stated_payload_messages_are_what_is_in_them():
    built = build(scenario("star", 1, 1, SMALL | {"learning.payload": "null"}))
    model = built.learner.initial
    own = sum(4 * value.numel() for key, value in model.items() if not key.startswith("decoder."))
    built.workload.enter(built.stages[0])
    state = built.workload.start("user0")
    assert built.workload.pack("user0", "cloud", state, built.stages[0].plan["cloud"].modules).nbytes == own
