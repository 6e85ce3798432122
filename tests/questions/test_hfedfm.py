"""The rows of H-FedFM's table, simulated, are the prototype's own figures; each full count does what it must."""

import json
import sys

import pytest

from experiments.questions.hfedfm_table import IN_FULL, ROWS, figures, main
from experiments.validation.stored import read

PAPER = read("hfedfm")["expected"]
HEADS = ",".join(map(str, read("hfedfm")["heads"]))


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the script with these heads; what it printed and what it complained of."""

    def run_command(heads):
        monkeypatch.setattr(sys, "argv", ["hfedfm_table", "--json", "--heads", heads])
        main()
        return capsys.readouterr()

    return run_command


def test_the_command_prints_the_prototypes_rows_at_full_precision_in_its_order(command):
    rows = json.loads(command(HEADS).out)
    assert rows == {row: pytest.approx(PAPER[row], rel=1e-9) for row in ROWS}
    quickest = sorted(ROWS, key=lambda row: rows[row]["latency_s"])
    assert quickest == ["edge_only_d2d", "edge_only", "hfedfm_d2d_8", "hfedfm_8", "hfedfm_d2d_2", "hfedfm_2", "star"]


@pytest.mark.parametrize(
    ("heads", "told"),
    [("1,2,3", "needs exactly one"), ("99" + HEADS[1:], "there is no node 'user99'"), ("a", "numbers")],
)
def test_heads_that_cannot_be_are_refused(command, capsys, heads, told):
    with pytest.raises(SystemExit) as ended:
        command(heads)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_downlinks_double_what_is_symmetric_and_receivers_what_is_equal():
    """Links are as quick down as up, and receivers draw as much as users' senders."""
    down = IN_FULL["what comes down counts"]
    assert figures("star", (), down)["latency_s"] == pytest.approx(2 * 12.1)
    both = figures("hfedfm_2", (), down)
    assert both["latency_s"] == pytest.approx(2 * PAPER["hfedfm_2"]["latency_s"])
    received = figures("edge_only", (), IN_FULL["receivers draw power"])
    assert received["energy_j"] == pytest.approx(2 * PAPER["edge_only"]["energy_j"])


def test_one_link_of_4_mbit_for_all_serves_them_together():
    """After 0.1 s, forty times 12 s of sending."""
    assert figures("star", (), IN_FULL["one cloud link for all"])["latency_s"] == pytest.approx(0.1 + 40 * 12)
