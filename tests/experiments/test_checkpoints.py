"""What a run keeps is believed as far as it agrees with the replay; else the one before is taken, or the beginning."""

import json
from hashlib import sha256

import pytest
import torch

from experiments.checkpoints import DIGEST
from experiments.keeper import found
from experiments.run import run
from experiments.scenario import Scenario
from experiments.store import Store, UnusableError
from models.promises import Ghost
from tests.experiments.going_on import STUDY, resumed, same


def spoil(path, how):
    data = bytearray(path.read_bytes())
    if how == "cut short":
        data = data[: len(data) // 2]
    elif how == "empty":
        data = b""
    elif how == "one bit":
        data[len(data) // 3] ^= 1
    else:
        path.with_suffix(".open").write_bytes(data[:-DIGEST])
        values = torch.load(path.with_suffix(".open"), weights_only=True)
        path.with_suffix(".open").unlink()
        change(values, how)
        torch.save(values, path)
        content = path.read_bytes()
        data = content + sha256(content).digest()
    path.write_bytes(data)


class Bomb:
    def __reduce__(self):
        return print, ("boom",)


def change(values, how):
    if how == "code":
        values["wall"] = Bomb()
    elif how == "another shape":
        values["tensors"][0] = torch.zeros(3)
    elif how == "another type":
        values["tensors"][0] = values["tensors"][0].double()
    elif how == "another scenario":
        values["scenario"] = "0" * 64
    elif how == "a key more":
        values["more"] = 1
    elif how == "a place that is not there":
        values["states"][0] = (values["states"][0][0], (10**6, ()), None)
    elif how == "fewer states":
        values["given"] -= 1
    elif how == "other weights":
        values["weights"] = [
            (entry[0], entry[1][:1], entry[2][:1]) if entry[0] == "plain" else entry for entry in values["weights"]
        ]


BROKEN = [
    "cut short", "empty", "one bit", "code", "another shape", "another type", "another scenario", "a key more",
    "a place that is not there", "fewer states", "other weights",
]  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_or_foreign_checkpoint_is_passed_over_for_the_one_before(left, whole, capfd, how):
    spoil(found(left)[0], how)
    result, said, rounds = resumed(left)
    same(left, result, whole)
    assert rounds == [2]
    assert len(said) == 1
    assert "boom" not in capfd.readouterr().out


def test_without_any_sound_checkpoint_the_run_begins_again(left, whole):
    for path in found(left):
        spoil(path, "cut short")
    result, said, rounds = resumed(left)
    same(left, result, whole)
    assert rounds == []
    assert len(said) == 2


@pytest.mark.parametrize("table", ["spans.csv.gz", "metrics.csv"])
def test_tables_that_were_changed_are_noticed(left, whole, table):
    """One bit: of scores, the last digit of one, as good a score as any. Or nothing is left."""
    path = left / table
    data = bytearray(path.read_bytes())
    at = data.rindex(b"\n", 0, -1) - 1 if table == "metrics.csv" else len(data) // 2
    data[at] ^= 1
    path.write_bytes(data)
    result, said, _ = resumed(left)
    same(left, result, whole)
    assert said
    (left / "manifest.json").write_text(json.dumps(result.manifest | {"status": "running"}))
    path.write_bytes(b"")
    result, said, rounds = resumed(left)
    same(left, result, whole)
    assert (len(said), rounds, result.manifest["resumed"]) == (2, [], 2)


def test_scores_of_a_node_that_was_not_asked_are_noticed_before_the_replay(left, whole):
    path = left / "metrics.csv"
    path.write_bytes(path.read_bytes().replace(b",campus0/room0/chromebook0,", b",campus0/room0/chromebook9,", 1))
    result, said, rounds = resumed(left)
    same(left, result, whole)
    assert (len(said), rounds) == (1, [2])  # the first of these scores came in the third round
    assert "metrics.csv does not begin as it was" in said[0]


def test_a_checkpoint_that_cannot_be_read_is_passed_over(left, whole):
    (left / "checkpoints/000009.pt").symlink_to("000009.pt")  # it leads nowhere
    (left / "checkpoints/²²²²²².pt").touch()
    result, said, rounds = resumed(left)
    same(left, result, whole)
    assert rounds == [3]
    assert [line.partition(" (")[0] for line in said] == [f"{left}/checkpoints/000009.pt cannot be read"]


def test_what_a_replay_does_not_know_it_does_not_make_up():
    with pytest.raises(RuntimeError, match="no checkpoint"):
        Ghost(["head/weight"])["head/weight"]


def test_when_a_run_is_saved_is_the_scenarios_choice(study, tmp_path):
    seldom = study.model_copy(update={"checkpoints": study.checkpoints.model_copy(update={"rounds": 3, "keep": 1})})
    run(seldom, tmp_path / "seldom")
    assert [path.stem for path in found(tmp_path / "seldom")] == ["000003"]
    patient = study.model_copy(update={"checkpoints": study.checkpoints.model_copy(update={"seconds": 3600.0})})
    run(patient, tmp_path / "patient")
    assert found(tmp_path / "patient") == []
    with pytest.raises(ValueError, match="must be >= 0, got -1"):
        Scenario.model_validate(STUDY | {"checkpoints": {"seconds": -1}})


def test_a_replay_that_goes_otherwise_is_no_replay(left):
    """The rows are compared as they come, so a table of another run is noticed at its first row."""
    store = Store(left, fresh=False, replayed=dict.fromkeys(("spans.csv.gz", "metrics.csv", "events.csv"), (9, "")))
    with pytest.raises(UnusableError, match="not as they were when the run was saved"):
        store.go_on()
