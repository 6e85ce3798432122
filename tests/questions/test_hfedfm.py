"""The rows of H-FedFM's table, simulated, are the prototype's own figures; each honest count does what it must."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.questions.hfedfm_table import HONEST, ROWS, figures, table

PAPER = json.loads(Path(__file__).with_name("hfedfm_table.json").read_text())
HEADS = tuple(f"user{u}" for u in PAPER["heads"])


@pytest.fixture(scope="module")
def rows():
    return table(HEADS, {})


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_the_prototypes_at_full_precision(rows, row):
    assert rows[row] == pytest.approx(PAPER["rows"][row], rel=1e-9)


def test_the_order_of_the_rows_in_the_prototypes_accounting(rows):
    quickest = sorted(ROWS, key=lambda row: rows[row]["latency_s"])
    assert quickest == ["edge_only_d2d", "edge_only", "hfedfm_d2d_8", "hfedfm_8", "hfedfm_d2d_2", "hfedfm_2", "star"]


def test_downlinks_double_what_is_symmetric_and_receivers_what_is_equal():
    """Links are as quick down as up, and receivers draw as much as users' senders."""
    down = HONEST["what comes down counts"]
    assert figures("star", (), down)["latency_s"] == pytest.approx(2 * 12.1)
    paper, both = PAPER["rows"]["hfedfm_2"], figures("hfedfm_2", (), down)
    assert both["latency_s"] == pytest.approx(2 * paper["latency_s"])
    received = figures("edge_only", (), HONEST["receivers draw power"])
    assert received["energy_j"] == pytest.approx(2 * PAPER["rows"]["edge_only"]["energy_j"])


def test_one_link_of_4_mbit_for_all_serves_them_together():
    """After 0.1 s, forty times 12 s of sending."""
    assert figures("star", (), HONEST["one cloud link for all"])["latency_s"] == pytest.approx(0.1 + 40 * 12)


def test_the_command_prints_the_rows():
    words = [sys.executable, "-m", "experiments.questions.hfedfm_table", "--json", "--heads"]
    heads = ",".join(map(str, PAPER["heads"]))
    done = subprocess.run([*words, heads], capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout)
    assert printed == {row: pytest.approx(PAPER["rows"][row], rel=1e-9) for row in ROWS}
    for wrong, told in (
        ("1,2,3", "needs exactly one"),
        ("99" + heads[1:], "there is no node 'user99'"),
        ("a", "numbers"),
    ):
        done = subprocess.run([*words, wrong], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert told in done.stderr
        assert "Traceback" not in done.stderr
