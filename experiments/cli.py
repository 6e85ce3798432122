"""The command line: ``edufog run | check | calibrate | list``. Heavy imports sit inside the commands."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from experiments.scenario import Scenario

GALLERY = Path(__file__).parent / "scenarios"
PACKAGES = ("topologies", "simulator", "models", "experiments")

app = typer.Typer(
    help="Simulate hierarchical federated learning: real training, a simulated clock, an energy ledger.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
SCENARIO_HELP = "A YAML file, or a name that `list` shows."
ScenarioFile = Annotated[str, typer.Argument(metavar="SCENARIO", help=SCENARIO_HELP)]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key: learning.local_epochs=2.")
]
Seed = Annotated[int | None, typer.Option(help="Use another seed.")]


@app.command()
def run(
    scenario: Annotated[str | None, typer.Argument(metavar="SCENARIO", help=SCENARIO_HELP)] = None,
    settings: Settings = None,
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder; by default results/<scenario>/<time>-s<seed>.")
    ] = None,
    perturb_profiles: Annotated[
        int | None,
        typer.Option(metavar="N", help="Rerun the costs over N draws of the profiles' uncertain figures."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Go on with the run in this folder that was killed.")
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Print where the wall time went.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but mistakes.")] = False,
) -> None:
    """Run a scenario and leave tables and plots in a run folder."""
    if resume is not None:
        others = {"SCENARIO": scenario, "--set": settings, "--seed": seed, "--out": out}
        _resume(resume, others | {"--perturb-profiles": perturb_profiles}, profile=profile, quiet=quiet)
        return
    if scenario is None:
        raise typer.BadParameter("give a file or a name, or --resume DIR to go on with a run", param_hint="SCENARIO")
    from datetime import datetime

    from experiments.progress import Progress, kept
    from experiments.run import run as run_scenario
    from experiments.schema.placing import placed
    from experiments.summary import end

    if perturb_profiles is not None and perturb_profiles < 2:
        _fail(f"--perturb-profiles {perturb_profiles}: an interval needs 2 draws or more")
    path, loaded = _load(scenario, settings, seed)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = out or Path("results") / path.stem / f"{stamp}-s{loaded.seed}"
    with kept(folder), placed(path, settings or ()), Progress(quiet) as progress:
        result = run_scenario(loaded, folder, progress, perturb_profiles=perturb_profiles or 0)
    again = " ".join([scenario, *(f"--set {shlex.quote(setting)}" for setting in settings or [])])
    end(result, again, quiet=quiet, profile=profile)


def _resume(folder: Path, others: Mapping[str, object], *, profile: bool, quiet: bool) -> None:
    """Go on with the run in *folder*, which was told everything else when it began."""
    from experiments.progress import Progress, kept
    from experiments.resume import resume
    from experiments.summary import end

    given = [name for name, value in others.items() if value not in (None, [])]
    if given:
        _fail(f"--resume {folder}: the run goes on as it began; leave out {', '.join(given)}")
    with kept(folder), Progress(quiet) as progress:
        result = resume(folder, progress, lambda line: print(line, file=sys.stderr))
    if result:
        end(result, shlex.quote(str(folder / "scenario.yaml")), quiet=quiet, profile=profile)
    elif not quiet:
        print(f"{folder}: this run has come to its end; nothing is left to do")


@app.command()
def check(scenario: ScenarioFile, settings: Settings = None, seed: Seed = None) -> None:
    """Say what is wrong in a scenario, all at once, or that nothing is."""
    from experiments.build import build
    from experiments.schema.placing import placed
    from experiments.summary import beforehand

    path, loaded = _load(scenario, settings, seed)
    with placed(path, settings or ()):
        built = build(loaded)
    tree = built.hierarchy
    print(f"{path}: fine ({loaded.title}, {len(tree)} nodes, one of them {next(iter(tree.lowest))})")
    for line in beforehand(built.happenings):
        print(line)


@app.command()
def calibrate(
    out: Annotated[Path | None, typer.Option(help="Write the profile to this file; by default it is printed.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and shorter measurements.")] = False,
    name: Annotated[str, typer.Option(help="What to call the profile.")] = "this_machine",
) -> None:
    """Measure this machine and write it down as a device profile for a scenario's `profiles`."""
    from experiments.calibrate import calibrate as measure
    from experiments.calibrate import profile_yaml, report

    def tell(line: str) -> None:
        print(line, file=sys.stderr)

    if not name.isidentifier():
        _fail(f"--name {name!r}: letters, digits and _ only, such as my_laptop")
    if out is not None and (out.exists() or not out.absolute().parent.is_dir()):
        why = "is there already; name a new file" if out.exists() else "its folder does not exist; make it first"
        _fail(f"--out {out}: {why}")
    found = measure(quick, tell)
    text = profile_yaml(found, name)
    if out is None:
        print(text, end="")
        return
    out.write_text(text, encoding="utf-8")
    for line in (*report(found), f"{out}: profile {name}"):
        tell(line)


@app.command(name="list")
def list_(what: Annotated[str, typer.Argument(help="scenarios, devices, links or algorithms.")] = "scenarios") -> None:
    """List the gallery's scenarios, the device or link profiles with their figures, or algorithms with their knobs."""
    from experiments.listing import LISTS

    if what not in LISTS:
        _fail(f"list {what}: there is no such list; there are {', '.join(LISTS)}")
    LISTS[what](GALLERY)


def _load(scenario: str, settings: list[str] | None, seed: int | None) -> tuple[Path, Scenario]:
    """The scenario of that file, or of that name in the gallery."""
    from experiments.scenario import Scenario
    from experiments.schema.mistakes import nearest

    path = Path(scenario)
    if not path.exists() and (GALLERY / f"{scenario}.yaml").exists():
        path = GALLERY / f"{scenario}.yaml"
    if not path.exists() and not path.suffix:
        known = [found.stem for found in GALLERY.glob("*.yaml")]
        _fail(f"{scenario}: no such file, nor a scenario of that name in the gallery{nearest(scenario, known)}")
    overrides = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            _fail(f"--set {setting}: expected KEY=VALUE, such as learning.local_epochs=2")
        overrides[key] = value
    return path, Scenario.load(path, overrides, seed)


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(2)


def _shadowed() -> str | None:
    """What is wrong if one of the four packages resolves to somebody else's module of that name."""
    home = Path(__file__).resolve().parents[1]
    for name in PACKAGES:
        spec = find_spec(name)
        origin = spec.origin if spec else None
        if origin is None or Path(origin).resolve().parent.parent != home:
            folder = next(iter(spec.submodule_search_locations or ()), None) if spec else None  # without __init__.py
            found = origin or folder or name
            return f"{found} hides EduFog's package {name!r}; rename it, or take its folder off PYTHONPATH"
    return None


def main() -> None:
    """The ``edufog`` command: a user's mistake is one message and exit status 2, never a traceback."""
    from experiments.schema.mistakes import ScenarioError

    hidden = _shadowed()
    if hidden:
        _fail(hidden)
    try:
        app()
    except ScenarioError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        print("interrupted; edufog run --resume DIR goes on with what is in the run folder", file=sys.stderr)
        raise SystemExit(130) from None
