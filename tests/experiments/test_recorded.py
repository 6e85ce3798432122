"""Recorded accuracies beside simulated costs: of the epoch that a node has trained for, and labelled as recorded."""

import pytest

from experiments.recorded import read_accuracies
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError

HEAD = "run,epoch,task,acc_mean,acc_mean_if_offgrid_shifted_back\n"
ROWS = "gaf2,1,0,10.0,9.5\ngaf2,1,1,20.0,20.0\ngaf2,2,0,30.0,29.0\ngaf8,1,0,99.0,99.0\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "recorded.csv"
    path.write_text(HEAD + ROWS)
    return path


def scenario(path, **changes):
    return Scenario.model_validate(
        {
            "title": "recorded",
            "topology": {"kind": "classroom", "devices": 2},
            "data": {"source": "recorded", "file": str(path), "run": "gaf2"} | changes.pop("data", {}),
            "model": {"footprint": {"model": {"bytes": 1000, "flops": 1e9}}},
            "plan": {"classroom": {"modules": ["model"], "rounds": 3}},
            "evaluate": {"tiers": ["device"], "moments": ["before_merge"]},
            "plots": False,
        }
        | changes
    )


def test_each_round_has_the_figures_of_its_epoch_and_says_that_they_were_recorded(table):
    metrics = run(scenario(table)).metrics
    assert set(metrics["model"]) == set(metrics["split"]) == {"recorded"}
    found = {(m.round, m.node, m.task): m.value for m in metrics.itertuples()}
    recorded = {(1, "0"): 0.1, (1, "1"): 0.2, (2, "0"): 0.3}  # epoch 3 was not recorded
    devices = ("room0/chromebook0", "room0/chromebook1")
    assert found == {(turn, node, task): value for (turn, task), value in recorded.items() for node in devices}


def test_costs_are_those_without_them(table):
    recorded = run(scenario(table))
    costs = run(scenario(table, data={}, evaluate=None).model_copy(update={"data": None, "evaluate": None}))
    spans = recorded.spans[recorded.spans["activity"] != "evaluate"].reset_index(drop=True)
    assert spans.equals(costs.spans[costs.spans["activity"] != "evaluate"].reset_index(drop=True))
    assert recorded.footprint == costs.footprint


def test_mended_figures_are_those_of_the_other_column(table):
    assert read_accuracies(table, "gaf2", mended=True)[1] == {"0": 0.095, "1": 0.2}


@pytest.mark.parametrize(
    ("text", "run_", "what"),
    [
        (HEAD + ROWS, "gaf3", "recorded.csv has no run 'gaf3'; it has gaf2, gaf8"),
        ("run,epoch\n", "gaf2", "recorded.csv:1 has no column 'task'"),
        (HEAD + "gaf2,one,0,1,1\n", "gaf2", "recorded.csv:2: epoch and acc_mean must be numbers"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(table, text, run_, what):
    table.write_text(text)
    with pytest.raises(ScenarioError, match=what):
        run(scenario(table, data={"run": run_}))


def test_nobody_learns_from_it(table):
    with pytest.raises(ValueError, match="recorded accuracies teach nobody"):
        scenario(table, model={"kind": "m3t"}, plan={"classroom": {"modules": ["trunk"]}})
