"""A small study, runs of it that break off, and what has to be the same after they went on."""

import pytest

from experiments.resume import resume
from experiments.run import run
from tests.experiments.mixing import weights_hash

TABLES = ("spans.csv.gz", "metrics.csv", "nodes.csv", "events.csv", "footprint.csv", "energy.csv", "work.csv")
STUDY = {
    "title": "Digits",
    "seed": 5,
    "topology": {"kind": "district", "campuses": 1, "classrooms": 2, "devices": 3},
    "data": {"source": "digits", "partition": {"kind": "dirichlet", "alpha": 0.5}, "test": 1500},
    "model": {"kind": "mlp", "hidden": [16]},
    "plan": {
        "classroom": {"modules": ["*"], "rounds": 2},
        "campus": {"modules": ["*"]},
        "cloud": {"modules": ["*"], "rounds": 4},
    },
    "learning": {"optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}, "batch_size": 16},
    "evaluate": {"every": 2},
    "baselines": ["local"],
    "plots": False,
    "checkpoints": {"seconds": 0, "keep": 2},
}


class CutError(BaseException):
    """Nobody catches it."""


def cut_after(rounds, study, out):
    """Run *study* until so many rounds of the root are closed; what is left says that it failed."""

    def watch(built, round_, log, phase):
        if round_ == rounds:
            raise CutError

    with pytest.raises(CutError):
        run(study, out, watch)
    return out


def tables(folder):
    return {name: (folder / name).read_bytes() for name in TABLES if (folder / name).exists()}


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def resumed(folder):
    """The result of going on, what was said on the way, and at which round that was."""
    said, rounds = [], []

    def watch(built, round_, log, phase):
        if phase.startswith("going on"):
            assert built.learner.seconds == 0  # nothing was trained or scored on the way
            rounds.append(round_)

    return resume(folder, watch, said.append), said, rounds


def same(folder, result, whole):
    out, alone = whole
    assert tables(folder) == tables(out)
    assert weights_hash(result.states) == weights_hash(alone.states)
    assert result.manifest["client_updates"] == alone.manifest["client_updates"] == 6 * 2 * 4
    assert result.manifest["status"] == "done"
    assert not list(folder.glob("*.lock")) + list(folder.rglob("*.part"))
