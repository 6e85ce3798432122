"""The command line: a mistake is one clear message and exit status 2, nothing is written, nothing heavy is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cli import GALLERY, main
from models.data.star_table import COLUMNS

EDUFOG = Path(sys.executable).with_name("edufog")
COSTS = """\
title: Costs
topology: {kind: district, campuses: 1, classrooms: 1, devices: 2}
model: {footprint: {encoder: {bytes: 1 MB, flops: 1 GFLOP}, head: {bytes: 1 kB, flops: 1 MFLOP}}}
plan:
  classroom: {modules: [encoder, head]}
  cloud: {modules: [head], rounds: 2}
plots: false
"""
SCHOOLS = """\
title: Schools
topology: {kind: data}
data: {source: star, minimum: 2}
model: {kind: linear}
plan: {cloud: {modules: ["head.*"]}}
"""
PUPIL = {
    "id": "1", "sch": "1", "tch": "1", "gr": "K", "cltype": "small", "hdeg": "BS/BA", "clad": "1", "trace": "W",
    "ses": "F", "schtype": "rural", "sx": "F", "eth": "W", "exp": "7", "read": "430", "math": "470", "birthq": "1980:2",
}  # fmt: skip


@pytest.fixture
def edufog(monkeypatch, capsys):
    """Run a command; its exit status, what it printed and what it complained of."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["edufog", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in, where no data is known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDUFOG_DATA", raising=False)
    return tmp_path


def here(folder: Path) -> dict[str, bytes]:
    """Everything below *folder*, byte for byte."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


def star(*pupils: dict[str, str]) -> str:
    """A table of these pupils, one a line from line 2."""
    return "\n".join([",".join(COLUMNS), *(",".join((PUPIL | p)[c] for c in COLUMNS) for p in pupils)]) + "\n"


def tree(*edges: str, nodes: str = "sab", link: str = "eth_1g", root: str = "s") -> str:
    """A node-link file of one-letter nodes, the tier of a node being its capital, a node or an edge a line."""
    some = [f'{{"id": "{n}", "tier": "{n.upper()}", "profile": "raspberry_pi5"}}' for n in nodes]
    pairs = [f'{{"source": "{e[0]}", "target": "{e[1]}", "link": "{link}"}}' for e in edges]
    return '{"nodes": [\n' + ",\n".join(some) + '\n],\n"edges": [\n' + ",\n".join(pairs) + "\n]}\n"


MISTAKES = [
    ("unknown key", "rounds: 2", "round: 2", "6: plan.cloud.round: unknown key; did you mean 'rounds'?"),
    ("wrong type", "devices: 2", "devices: two", "2: topology.devices: expected a whole number, got 'two'"),
    ("wrong unit", "bytes: 1 MB", "bytes: 1 W",
     "3: model.footprint.encoder.bytes: '1 W' is a power; expected bytes, such as 1 kB or 8 GiB"),
    ("growing plan", "[encoder, head]}", "[head]}", None),  # sound: the cloud merges no more than the classroom
    ("growing plan", "cloud: {modules: [head]", "cloud: {modules: [head, encoder]", None),  # sound, likewise
    ("growing plan", "[encoder, head]}\n  cloud: {modules: [head]", "[head]}\n  cloud: {modules: [encoder]",
     "6: plan.cloud.modules: merges encoder, which classroom below does not; modules may only shrink going up"),
    ("unknown profile", "devices: 2", "devices: 2, device: laptop_i5",
     "2: topology.device: unknown device profile 'laptop_i5'; did you mean 'laptop_i5u'?"),
    ("zero rate", "plots: false", "profiles: {links: {wan_cloud_near: {up_bits_per_s: 0 Mbit/s}}}",
     "7: profiles.links.wan_cloud_near.up_bits_per_s: must be > 0, got 0 Mbit/s"),
    ("negative rate", "plots: false", "profiles: {devices: {raspberry_pi5: {flops_per_s: -3}}}",
     "7: profiles.devices.raspberry_pi5.flops_per_s: must be > 0, got -3"),
    ("missing file", "{kind: district, campuses: 1, classrooms: 1, devices: 2}", "{kind: file, file: no.json}",
     "2: topology.file: file 'no.json' not found: not in {folder}, nor under $EDUFOG_DATA (which is not set); "
     "put it beside the scenario or set EDUFOG_DATA to its folder"),
    ("no YAML", "title: Costs", "title: [Costs",
     "2: not valid YAML: expected ',' or ']', but got ':'"),
]  # fmt: skip


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(("good", "bad", "line"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_mistake_in_a_scenario_is_one_line_with_file_line_and_key(edufog, folder, command, good, bad, line):
    (folder / "s.yaml").write_text(COSTS.replace(good, bad, 1))
    before = here(folder)
    status, out, err = edufog(command, "s.yaml", *(["--out", "run", "-q"] if command == "run" else []))
    if line is None:
        assert (status, err) == (0, "")
    else:
        assert (status, out, err) == (2, "", f"s.yaml:{line.replace('{folder}', str(folder))}\n")
        assert here(folder) == before


def test_all_mistakes_of_a_scenario_come_at_once_whatever_their_kind(edufog, folder):
    (folder / "s.yaml").write_text(
        COSTS.replace("title", "titel").replace("devices: 2", "devices: 0").replace("1 GFLOP", "1 GFLIP")
    )
    status, _, err = edufog("run", "s.yaml", "--set", "plots=maybe", "--seed", "-1", "--out", "run")
    assert status == 2
    assert [line.partition(" ")[0] for line in err.splitlines()] == [
        "s.yaml:1:", "s.yaml:1:", "s.yaml:2:", "s.yaml:3:", "--seed:", "--set",
    ]  # fmt: skip
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (tree("sa", "ab", nodes="sabc"), "node 'c' is an orphan: no edge leads to it"),
        (tree("ab", "bs", "sa"), "there is a cycle: 'a' -> 'b' -> 's' -> 'a'"),
        (tree("sa", "bc", nodes="sabc"), "there are two roots: 's' and 'b'"),
        (tree("sa", "ab", link="eth_1gg"), "edge to 'a': unknown link profile 'eth_1gg'"),
        (tree("sa", "ab").replace('"eth_1g"', '{"based_on": "eth_1g", "up_bits_per_s": 0}', 1), "must be > 0, got 0"),
        (tree("sa", "ab").replace("},", "}", 1), "not JSON: Expecting ',' delimiter"),
    ],
    ids=["orphan", "cycle", "two roots", "unknown profile", "zero rate", "no JSON"],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_file_that_holds_no_tree_is_named_with_what_is_wrong_in_it(edufog, folder, command, text, what):
    (folder / "tree.json").write_text(text)
    (folder / "s.yaml").write_text(
        COSTS.replace("{kind: district, campuses: 1, classrooms: 1, devices: 2}", "{kind: file, file: tree.json}")
        .replace("classroom:", "A:").replace("cloud:", "S:")
    )  # fmt: skip
    before = here(folder)
    status, out, err = edufog(command, "s.yaml")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"s.yaml:2: topology.file: {folder}/tree.json:")
    assert what in err
    assert here(folder) == before


def test_a_tree_from_a_file_is_compared_with_the_plan_and_runs(edufog, folder):
    (folder / "tree.json").write_text(tree("sa", "ab"))
    text = COSTS.replace("{kind: district, campuses: 1, classrooms: 1, devices: 2}", "{kind: file, file: tree.json}")
    (folder / "s.yaml").write_text(text.replace("classroom:", "A:").replace("cloud:", "SS:"))
    assert edufog("run", "s.yaml")[::2] == (2, "s.yaml:6: plan.SS: no tier 'SS' in this topology; "
                                               "did you mean 'S'?\n")  # fmt: skip
    (folder / "s.yaml").write_text(text.replace("classroom:", "A:").replace("cloud:", "S:"))
    assert edufog("run", "s.yaml", "--quiet", "--out", "run") == (0, "", "")
    assert "at: B" in (folder / "run/scenario.yaml").read_text()  # the leaves train, whatever their tier is called


def test_nobody_trains_on_data_that_is_not_there(edufog, folder):
    (folder / "tree.json").write_text(tree("sa", "ab"))
    (folder / "s.yaml").write_text(
        "title: T\ntopology: {kind: file, file: tree.json}\ndata: {source: campus}\nmodel: {}\n"
        'plan: {S: {modules: ["head.*"]}}\nstages: [{name: up, at: A, trainable: ["head.*"]}]\n'
    )
    assert edufog("run", "s.yaml", "--out", "run") == (
        2, "", "s.yaml:6: stages.0.at: a has no data of its own for stage up; train at the leaves, or on public\n"
    )  # fmt: skip
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (star({}, {"id": "2", "read": "good"}), "3: column read: expected a number >= 0, got 'good'; mend this"),
        (star({}, {"id": "2", "sch": ""}), "3: column sch: the value is missing, and this column needs one; mend"),
        (star({}, {}) + "3,1\n", f"4: 2 cells where the header has {len(COLUMNS)}; mend this line"),
        (star(), "2: there are no pupils after the header"),
        (star({}).replace("math", "maths"), "1: missing column math"),
        (star({}, {"id": '"2'}), "3: 1 cells where the header has 16; mend this line"),
    ],
    ids=["value", "missing", "short", "empty", "column", "quote"],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_malformed_table_is_named_with_its_line(edufog, folder, command, table, what):
    (folder / "star.csv").write_text(table)
    (folder / "s.yaml").write_text(SCHOOLS)
    before = here(folder)
    status, out, err = edufog(command, "s.yaml")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"{folder}/star.csv:")
    assert what in err
    assert here(folder) == before


def test_a_data_file_that_is_nowhere_says_where_it_was_sought(edufog, folder, monkeypatch):
    monkeypatch.setenv("EDUFOG_DATA", str(folder / "data"))
    (folder / "s.yaml").write_text(SCHOOLS)
    status, _, err = edufog("run", "s.yaml")
    assert (status, err) == (2, f"s.yaml:3: data.file: file 'star.csv' not found: not in {folder}, nor under "
        f"$EDUFOG_DATA ({folder}/data); put it beside the scenario or set EDUFOG_DATA to its folder\n")  # fmt: skip
    assert [p.name for p in folder.iterdir()] == ["s.yaml"]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ("ann,1a,north\n,1a,north\n", "roster, row 2: student is empty"),
        ("ann,1a,north\nann,1b,north\n", "roster, row 2: student 'ann' is in 'north/1b', before in 'north/1a'"),
        ("ann,1a,north\nbob,1a,north,x\n", "line 3"),
        ("", "roster: there are no rows"),
    ],
    ids=["empty", "two classes", "cells", "no rows"],
)
def test_a_malformed_roster_is_named_with_its_row(edufog, folder, rows, what):
    (folder / "pupils.csv").write_text("student,classroom,school\n" + rows)
    (folder / "s.yaml").write_text(
        COSTS.replace("{kind: district, campuses: 1, classrooms: 1, devices: 2}", "{kind: rosters, file: pupils.csv}")
    )
    status, _, err = edufog("check", "s.yaml")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"{folder}/pupils.csv: ")
    assert what in err


def test_data_that_does_not_go_round_is_refused_before_anything_is_written(edufog, folder):
    (folder / "s.yaml").write_text(
        "title: T\ntopology: {kind: star, clients: 900}\ndata: {source: campus}\nmodel: {}\n"
        'plan: {cloud: {modules: ["head.*"]}}\n'
    )
    for command in ("check", "run"):
        status, out, err = edufog(command, "s.yaml")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "too few for 2 each; use at most" in err
    assert [p.name for p in folder.iterdir()] == ["s.yaml"]


@pytest.mark.parametrize("out", ["taken", "taken/below", "/proc/edufog"])
def test_a_folder_that_cannot_be_written_is_named(edufog, folder, out):
    (folder / "taken").write_text("mine")
    status, _, err = edufog("run", "first_classroom", "--out", out)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"{out}: cannot write there (")
    assert here(folder) == {"taken": b"mine"}


def test_a_folder_that_holds_a_run_stays_as_it_is(edufog, folder):
    (folder / "s.yaml").write_text(COSTS)
    assert edufog("run", "s.yaml", "--out", "run", "--quiet") == (0, "", "")
    before = here(folder)
    assert {"run/spans.csv.gz", "run/metrics.csv", "run/nodes.csv", "run/events.csv"} <= before.keys()
    status, out, err = edufog("run", "s.yaml", "--out", "run", "--seed", "3")
    assert (status, out, err) == (2, "", "run: not empty; choose another --out, or move what is there away\n")
    assert here(folder) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml: cannot be read: no such file or directory"),
        (["check", "."], ".: cannot be read: is a directory"),
        (["run", "first_classroom", "--set", "seed"],
         "--set seed: expected KEY=VALUE, such as learning.local_epochs=2"),
        (["run", "first_classroom", "--set", "=3"], "--set =3: expected KEY=VALUE, such as learning.local_epochs=2"),
        (["run", "first_classroom", "--set", "topology.device=8"],
         "--set topology.device: expected a text, got 8"),
        (["list", "planets"], "list planets: there is no such list; there are scenarios, devices, links, algorithms"),
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_is_one_line(edufog, folder, arguments, message):
    assert edufog(*arguments) == (2, "", f"{message}\n")
    assert not here(folder)


@pytest.mark.parametrize("arguments", [["run"], ["rn"], ["run", "first_classroom", "--seed", "x"], ["run", "--nope"]])
def test_a_command_that_is_none_has_exit_status_2(edufog, folder, arguments):
    status, out, err = edufog(*arguments)
    assert (status, out) == (2, "")
    assert "Error" in err
    assert "Traceback" not in err
    assert not here(folder)


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_gallery_is_fine(edufog, path):
    if path.stem == "star_schools" and not (Path(os.environ.get("EDUFOG_DATA", "nowhere")) / "star.csv").is_file():
        pytest.skip("star.csv is not under $EDUFOG_DATA")
    status, out, err = edufog("check", path.stem)
    assert (status, err) == (0, "")
    assert out.startswith(f"{path}: fine (")


@pytest.mark.parametrize("what", ["scenarios", "devices", "links"])
def test_lists_name_everything(edufog, what):
    from topologies.profiles import devices, links

    names = {"scenarios": [p.stem for p in GALLERY.glob("*.yaml")], "devices": devices(), "links": links()}[what]
    status, out, _ = edufog("list", what)
    assert status == 0
    assert all(name in out for name in names)


def test_a_run_says_what_it_left_and_what_to_try_next(edufog, folder):
    (folder / "s.yaml").write_text(COSTS)
    status, out, err = edufog("run", "s.yaml", "--seed", "5", "--set", "title=Another")
    assert status == 0
    (run,) = (folder / "results/s").iterdir()
    assert run.name.endswith("-s5")
    assert f"run folder: results/s/{run.name}" in out
    assert "try next:\n  edufog run s.yaml --set title=Another --seed 6\n" in out
    assert "round 2/2" in err  # not a terminal: plain lines
    assert "title: Another" in (run / "scenario.yaml").read_text()


def loaded(*arguments: str, **options) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """A Python process, and the packages that it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, timeout=300, **options
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done, {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_help_and_the_simulator_load_no_torch():
    done, packages = loaded(str(EDUFOG), "--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("run", "check", "list"))
    assert "typer" in packages
    assert not packages & {"torch", "sklearn", "pandas", "matplotlib", "simpy"}
    done, packages = loaded("-c", "import simulator, topologies; [getattr(p, n) for p in (simulator, topologies) "
                                  "for n in p.__all__]")  # fmt: skip
    assert done.returncode == 0
    assert {"simpy", "networkx"} <= packages
    assert not packages & {"torch", "models", "experiments", "sklearn"}


@pytest.mark.parametrize("plots", ["true", "false"])
def test_costs_alone_load_neither_torch_nor_scikit_learn(tmp_path, plots):
    out = tmp_path / "run"
    done, packages = loaded(str(EDUFOG), "run", "first_classroom", "--set", f"plots={plots}", "--out", str(out))
    assert done.returncode == 0
    assert (out / "plots").exists() == (plots == "true")
    assert not packages & {"torch", "sklearn", "models", *(["matplotlib", "pandas"] if plots == "false" else [])}


@pytest.mark.parametrize("shadow", ["models.py", "models/notes.txt", "simulator/__init__.py"])
def test_somebody_elses_module_of_our_name_is_refused_by_its_path(tmp_path, shadow):
    """A file, a bare folder and a package, each before EduFog on the path."""
    (tmp_path / shadow).parent.mkdir(exist_ok=True)
    (tmp_path / shadow).touch()
    done = subprocess.run(
        [EDUFOG, "run", "first_classroom", "--out", tmp_path / "run"],
        capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    found = tmp_path / ("models" if shadow == "models/notes.txt" else shadow)
    name = shadow.partition("/")[0].removesuffix(".py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{found} hides EduFog's package {name!r}; rename it, or take its folder off PYTHONPATH\n"
    assert not (tmp_path / "run").exists()


def test_a_mistake_of_set_that_shows_only_when_the_tree_is_there_is_told_as_its_own(edufog):
    """Not with a line of the file, which does not say it."""
    text = "learning.algorithm={name: krum, faults: 30}"
    status, _, told = edufog("check", "campus", "--set", text)
    assert status == 2
    assert told.startswith("--set learning.algorithm: krum takes 33 reports or more, and no node gets as many: ")
