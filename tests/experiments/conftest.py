"""The small study of `going_on`: its run that nobody stopped, and what is left of one that broke off."""

import shutil

import pytest

from experiments.run import run
from experiments.scenario import Scenario
from tests.experiments.going_on import STUDY, cut_after


@pytest.fixture(scope="module")
def study():
    return Scenario.model_validate(STUDY)


@pytest.fixture(scope="module")
def whole(study, tmp_path_factory):
    """The run that nobody stopped: its folder and its result."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, run(study, out)


@pytest.fixture(scope="module")
def cut(study, tmp_path_factory):
    return cut_after(3, study, tmp_path_factory.mktemp("cut") / "run")


@pytest.fixture
def left(cut, tmp_path):
    """What a run left that broke off after three rounds, saved after the second and the third."""
    return shutil.copytree(cut, tmp_path / "left")
