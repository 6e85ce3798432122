"""The house: who may import whom, held by import-linter as setup.cfg configures it; and what the root holds."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["experiments", "models", "simulator", "topologies"]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages in *folder* (before any that are installed) with the project's contracts."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports("
               f"config_filename={str(ROOT / 'setup.cfg')!r}, cache_dir=None))"]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_the_contracts_are_kept():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("simulator/run.py", "import torch"),
        ("models/learner.py", "import simulator.plan"),
        ("topologies/hierarchy.py", "import simulator.plan"),
        ("models/federate.py", "import networkx"),
    ],
)
def test_an_arrow_that_may_not_exist_breaks_one(tmp_path, file, line):
    """The test above would notice: a small house of the same four rooms, with one bad arrow in it."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "simulator/plan.py").touch()
    (tmp_path / file).write_text(f"{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert "broken" in done.stdout


def test_the_root_holds_exactly_the_four_packages():
    assert sorted(path.parent.name for path in ROOT.glob("*/__init__.py")) == PACKAGES
    assert not (ROOT / "tests/__init__.py").exists()
