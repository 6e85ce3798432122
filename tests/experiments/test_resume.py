"""A run that was killed and goes on leaves what it would have left: every table, every weight, every count."""

import errno
import fcntl
import gzip
import json
import sys

import pytest

from experiments.benchmarks.killed import killed
from experiments.cli import GALLERY, main
from experiments.keeper import found
from experiments.resume import resume
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError
from experiments.store import Store, locked
from tests.experiments.going_on import STUDY, CutError, cut_after, everything, resumed, same, tables


@pytest.fixture
def edufog(monkeypatch, capsys):
    """Run a command; its exit status, what it printed and what it complained of."""

    def run_command(*arguments):
        monkeypatch.setattr(sys, "argv", ["edufog", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return run_command


def test_twenty_killed_runs_end_as_the_one_that_was_left_alone():
    found = killed(STUDY, 20, seed=1)
    assert found["same"] == found["killed"] == 20
    assert found["killed_again"] > 0


def test_a_run_goes_on_from_where_it_was_saved_last(left, whole):
    assert [path.stem for path in found(left)] == ["000003", "000002"]
    before = json.loads((left / "manifest.json").read_text())
    result, said, rounds = resumed(left)
    same(left, result, whole)
    assert (said, rounds) == ([], [3])
    assert [path.stem for path in found(left)] == ["000005", "000004"]  # after four rounds and at the end
    assert (before["status"], result.manifest["resumed"]) == ("failed", 1)
    assert {name: result.manifest[name] for name in ("started", "command", "git")} == {
        name: before[name] for name in ("started", "command", "git")
    }
    parts = result.manifest["wall_seconds_by_part"]
    assert parts["replay"] > 0
    assert sum(parts.values()) == pytest.approx(result.manifest["wall_seconds"], rel=1e-12)


def test_nothing_is_written_before_the_replay_is_over(left):
    before = everything(left)

    def watch(built, round_, log, phase):
        raise CutError

    with pytest.raises(CutError):  # at the first word, which is after the replay
        resume(left, watch)
    kept = {name: data for name, data in everything(left).items() if name != "manifest.json"}
    cut_off = {name: before[name][: len(kept[name])] for name in ("spans.csv.gz", "metrics.csv", "events.csv")}
    assert kept == {name: data for name, data in before.items() if name != "manifest.json"} | cut_off


def test_a_run_of_costs_alone_is_done_again(tmp_path):
    costs = Scenario.load(GALLERY / "first_classroom.yaml", {"plots": "false"})
    whole = run(costs, tmp_path / "whole", perturb_profiles=3)
    cut_after(4, costs, tmp_path / "cut")
    manifest = json.loads((tmp_path / "cut/manifest.json").read_text())
    (tmp_path / "cut/manifest.json").write_text(json.dumps(manifest | {"perturb_profiles": 3}))
    result = resume(tmp_path / "cut")
    assert tables(tmp_path / "cut") == tables(tmp_path / "whole")
    assert result.perturbed.equals(whole.perturbed)
    assert whole.manifest["perturb_profiles"] == 3
    assert (tmp_path / "cut/perturbed.csv").read_bytes() == (tmp_path / "whole/perturbed.csv").read_bytes()


def test_a_run_that_is_still_going_on_is_left_alone(left):
    before = everything(left)
    with locked(left), pytest.raises(ScenarioError, match="still going on"):
        resume(left)
    assert everything(left) == before


def test_nobody_goes_on_beside_one_who_began_when_another_ended(left, monkeypatch):
    """The lock of the one that ended was opened before it was taken away: it keeps nobody out."""
    real, begun = fcntl.flock, []

    def flock(held, how):
        if not begun:
            (left / "running.lock").unlink()
            begun.append((left / "running.lock").open("a"))
            real(begun[0], how)
        real(held, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(ScenarioError, match="still going on"):
        resume(left)
    begun[0].close()


def test_a_full_disk_is_told_and_the_run_can_go_on_later(edufog, left, whole, monkeypatch):
    add = Store._add

    def full(store, name, data):
        if not store.replaying:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(store, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_add", full)
        status, _, wrong = edufog("run", "--resume", left, "-q")
    assert (status, wrong) == (
        2, f"{left}: No space left on device\nthe run folder is kept; go on with: edufog run --resume {left}\n"
    )  # fmt: skip
    assert json.loads((left / "manifest.json").read_text())["status"] == "failed"
    same(left, resumed(left)[0], whole)


def test_a_run_that_is_done_is_done(edufog, whole):
    out, _ = whole
    before = everything(out)
    assert resume(out) is None
    status, said, wrong = edufog("run", "--resume", out)
    assert (status, said, wrong) == (0, f"{out}: this run has come to its end; nothing is left to do\n", "")
    assert everything(out) == before


REFUSED = [
    ("manifest.json", None, "no run to go on with (manifest.json is not there); run its scenario anew"),
    ("scenario.yaml", None, "no run to go on with (scenario.yaml is not there); run its scenario anew"),
    ("manifest.json", "{}", "not the manifest of a run"),
    ("manifest.json", "\x00", "not the manifest of a run"),
    ("scenario.yaml", "title: x", "changed since its run began; run it anew, with another --out"),
]


@pytest.mark.parametrize(("name", "content", "why"), REFUSED)
def test_what_is_no_run_is_refused(edufog, left, name, content, why):
    (left / name).unlink()
    if content is not None:
        (left / name).write_text(content)
    before = everything(left)
    status, _, wrong = edufog("run", "--resume", left)
    assert (status, wrong.count("\n")) == (2, 1)
    assert wrong.endswith(f"{why}\n")
    assert everything(left) == before


def test_other_versions_are_refused(left):
    manifest = json.loads((left / "manifest.json").read_text())
    manifest["versions"]["torch"] = "1.0"
    (left / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ScenarioError, match=r"begun with torch 1\.0; install"):
        resume(left)


def test_a_resume_takes_no_other_wishes(edufog, left, tmp_path):
    status, _, wrong = edufog("run", "x.yaml", "--resume", left, "--seed", 1, "--out", tmp_path, "--set", "a=b")
    assert (status, wrong) == (
        2, f"--resume {left}: the run goes on as it began; leave out SCENARIO, --set, --seed, --out\n"
    )  # fmt: skip
    assert edufog("run")[0] == 2
    assert edufog("run", "--resume", tmp_path / "nowhere")[0] == 2


def test_the_profile_adds_up_to_the_whole(edufog, left, whole):
    status, said, _ = edufog("run", "--resume", left, "--profile", "-q")
    manifest = json.loads((left / "manifest.json").read_text())
    lines = said.splitlines()
    assert status == 0
    assert lines[0] == f"{manifest['wall_seconds']:.2f} s of wall time:"
    parts = {line.split()[0]: float(line.split()[1]) for line in lines[1:]}
    assert {"start-up", "replay", "training", "writing", "other"} <= parts.keys()
    assert sum(parts.values()) == pytest.approx(manifest["wall_seconds"], abs=0.01 * len(parts))
    assert all(seconds >= 0 for seconds in parts.values())


def test_spans_that_a_round_left_unfinished_are_cut_off(left, whole):
    """A torn member, as a kill in the middle of writing leaves it."""
    with (left / "spans.csv.gz").open("ab") as spans:
        spans.write(gzip.compress(b"compute,nobody")[:-5])
    result, said, rounds = resumed(left)
    same(left, result, whole)
    assert (said, rounds) == ([], [3])


def test_a_file_of_the_scenario_that_has_changed_is_noticed(tmp_path):
    """A run would go on with half of it learned by another network."""
    (tmp_path / "my_small_net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Linear):\n    def __init__(self):\n        super().__init__(64, 10)\n\n"
        "    def forward(self, image):\n        return super().forward(image)\n"
    )
    model = {"kind": "module", "module": "my_small_net:Net", "parameters": {"*": "head.digit"}, "tasks": ["digit"]}
    scenario = Scenario.model_validate(
        {
            "title": "A network that changes",
            "topology": {"kind": "star", "clients": 2, "device": "laptop_i5u"},
            "data": {"source": "digits"},
            "model": {**model, "folder": str(tmp_path)},
            "plan": {"cloud": {"modules": ["*"]}},
            "plots": False,
        }
    )

    def stop(built, round_, log, phase):
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        run(scenario, tmp_path / "out", stop)
    with (tmp_path / "my_small_net.py").open("a") as network:
        network.write("# another\n")
    with pytest.raises(ScenarioError, match=r"my_small_net\.py: changed since the run in .* began; put it back"):
        resume(tmp_path / "out")
