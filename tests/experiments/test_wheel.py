"""A built wheel carries its data, and works away from the clone."""

import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("experiments", "models", "simulator", "topologies")
FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
pytestmark = pytest.mark.skipif(
    not (find_spec("build") and find_spec("setuptools")), reason="needs build and setuptools: pip install build"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that nothing is left in the clone."""
    clone, out = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("dist")
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, clone)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, clone]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel's files in a folder of their own."""
    home = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(home)
    return home


def test_the_wheel_has_every_source_and_every_piece_of_data_and_no_tests(installed):
    wanted = {
        path.relative_to(ROOT)
        for package in PACKAGES
        for pattern in ("*.py", "*.pyi", "*.yaml", "*.csv", "*.json", "py.typed")
        for path in (ROOT / package).rglob(pattern)
    }
    assert {path.suffix for path in wanted} == {".py", ".pyi", ".yaml", ".csv", ".json", ".typed"}
    missing = [str(path) for path in wanted if not (installed / path).is_file()]
    assert missing == []
    tops = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == set(PACKAGES)
    assert not list(installed.rglob("test_*"))


def test_the_wheel_names_its_command_and_its_licence(installed):
    (info,) = installed.glob("*.dist-info")
    assert "edufog = experiments.cli:main" in (info / "entry_points.txt").read_text()
    assert "Apache-2.0" in (info / "METADATA").read_text()


def test_the_gallery_runs_from_the_wheel(installed, tmp_path):
    """Away from the clone, with the wheel before everything else on the path."""
    code = "from experiments.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "first_classroom", "--set", "plots=false", "--out", tmp_path / "run"],
        cwd=tmp_path, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/nodes.csv").is_file()
