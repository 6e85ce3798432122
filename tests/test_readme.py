"""What the README shows works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from experiments import Scenario, build

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language):
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.S | re.M)
    return code


def test_the_example_runs_and_has_sixty_lines_at_most():
    code = block("python")
    assert len(code.splitlines()) <= 60
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    everybody, hurried, learned = re.findall(r"^wait for .*|^\d.* simulated seconds.*", done.stdout, re.M)
    assert float(re.search(r": ([\d.]+) s", hurried)[1]) < float(re.search(r": ([\d.]+) s", everybody)[1])
    assert re.search(r"^left behind: nobody$", done.stdout, re.M)
    assert re.search(r"^left behind: \[.*chromebook_n4500.*\]$", done.stdout, re.M)
    assert re.search(r"^cloud +after_merge +answer +accuracy", done.stdout, re.M)
    assert learned


def test_the_scenario_of_ones_own_is_one(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(block("yaml"), encoding="utf-8")
    built = build(Scenario.load(path))
    assert len(built.hierarchy.nodes("device")) == 24
    assert "trunk" in built.stages[0].trainable


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target
