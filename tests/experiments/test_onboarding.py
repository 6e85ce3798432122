"""A stage with tasks of its own: a new head and a shared adapter arrive, what was learned before is frozen."""

import pytest

from experiments.run import run
from experiments.scenario import Scenario
from models.model import module

SMALL = {
    "topology.classrooms": "1",
    "topology.devices": "6",
    "model.width": "16",
    "stages.0.plan.campus.rounds": "2",
    "stages.1.plan.campus.rounds": "2",
    "data.missing_task": "0.4",
    "plots": "false",
}
PATH = "experiments/scenarios/onboarding.yaml"


@pytest.fixture(scope="module")
def result():
    return run(Scenario.load(PATH, SMALL))


def test_only_what_the_stage_trains_travels_and_only_from_who_has_the_task(result):
    study, spans = result.built.study, result.spans
    has = {node for node, client in study.clients.items() if "outcome" in client.train.targets}
    assert 0 < len(has) < 6
    second = spans[spans["round"] > 2]
    up = second[(second.activity == "up") & (second.kind == "transmit") & (second.tier == "device")]
    assert set(up.node) == has
    assert set(up.modules) == {"adapter+head.outcome"}
    assert set(second[second.activity == "train"].node) == has


def test_what_was_learned_before_stays(result):
    """Of what the campus knows, one more round of the second stage changes the new head and the adapter."""
    before = run(Scenario.load(PATH, SMALL | {"stages.1.plan.campus.rounds": "1"}))
    ours, theirs = (r.states["campus0"].tensors for r in (result, before))
    changed = {module(key) for key in ours if not ours[key].equal(theirs[key])}
    assert changed == {"adapter", "head.outcome"}


def test_the_new_task_is_scored_only_when_it_has_been_taught(result):
    table = result.metrics
    assert table[table.task == "outcome"]["round"].min() > 2
    assert table[table.task == "answer"]["round"].min() == 2


def test_a_task_that_the_model_lacks_is_told():
    with pytest.raises(ValueError, match="the model has no task 'attention'"):
        Scenario.load(PATH, SMALL | {"stages.1.tasks": "[attention]"})
