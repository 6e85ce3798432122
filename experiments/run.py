"""Run a scenario: simulate, score the baselines, write the run folder, draw the plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.apart import Apart, beside
from experiments.build import Built, build
from experiments.condensed import condensed
from experiments.keeper import Keeper
from experiments.ledger import cause_rows, node_rows
from experiments.manifest import begun, figures, now
from experiments.recorded import Recorded
from experiments.scenario import Problem, Scenario, ScenarioError
from experiments.simulation import known_after, tell_diverged
from experiments.store import SCENARIO, Store, UnusableError, locked
from experiments.wall import Wall
from simulator.records import Happening, Log, Span
from simulator.summaries import summarised
from simulator.workloads import CostOnly

if TYPE_CHECKING:
    import pandas as pd

    from experiments.checkpoints import Saved
    from models.states import State

Watch = Callable[[Built, int, Log, str], None]  # what runs, the root's round, what happened so far, the phase


@dataclass
class Result:
    """What a run left: its log, a row per node, and what the run was."""

    built: Built
    log: Log
    node_rows: list[dict[str, Any]]
    footprint: list[dict[str, Any]]
    manifest: dict[str, Any]
    folder: Path | None = None
    notes: list[str] = field(default_factory=list)
    perturbed: pd.DataFrame | None = None  # a row per draw of the profiles' figures, where any were asked for
    states: Mapping[str, State] = field(default_factory=dict)  # what every node knows at the end, if anybody learns

    @property
    def scenario(self) -> Scenario:
        """What was run, as resolved."""
        return self.built.scenario

    @property
    def spans(self) -> pd.DataFrame:
        """Every activity: one row per node and span."""
        return self.log.frame("spans")

    @property
    def metrics(self) -> pd.DataFrame:
        """Every figure of every model that was scored."""
        return self.log.frame("metrics")

    @property
    def nodes(self) -> pd.DataFrame:
        """One row per node, with its energy by cause."""
        import pandas as pd

        return pd.DataFrame(self.node_rows)


def run(
    scenario: Scenario,
    out: Path | None = None,
    watch: Watch = lambda built, round_, log, phase: None,
    *,
    perturb_profiles: int = 0,
) -> Result:
    """Run *scenario*; with *out*, leave a run folder there. *watch* is called after every round and before every phase.

    With *perturb_profiles* the costs, not the learning, are rerun over so many draws of the profiles' uncertain figures
    (:mod:`experiments.uncertainty`), for intervals of seconds and joules. Raises ScenarioError where the scenario does
    not fit its data, or the folder cannot take a run; ValueError for a single draw.
    """
    if perturb_profiles < 0 or perturb_profiles == 1:
        raise ValueError(f"perturb_profiles: an interval needs 2 draws or more, got {perturb_profiles}")
    wall, started = Wall(), now()
    with beside(scenario) as apart:
        with wall.part("start-up"):
            built = build(scenario)
            if perturb_profiles:
                _repeatable(built)
            manifest = begun(built.scenario, started, perturb_profiles)
        with closing_engine(built):
            if out is None:
                return Course(built, manifest, wall, watch, apart=apart).run()
            with _told(), wall.part("writing"):
                store = Store(out, condensing(built))
            with _told(), locked(out):
                store.text(SCENARIO, built.scenario.to_yaml())
                store.manifest(manifest)  # from now on the run can be gone on with
                return Course(built, manifest, wall, watch, store, apart=apart).run()


def _repeatable(built: Built) -> None:
    """Refuse to rerun costs without learning where the plan goes by what is learned."""
    for stage in built.stages:
        for tier, plan in stage.plan.items():
            for what, policy in (("select", plan.select), ("peers", plan.peers)):
                if wanted := sorted(getattr(policy, "signals", ())):
                    why = f"goes by what is learned ({', '.join(wanted)}), and its draws rerun the costs alone"
                    raise ScenarioError([Problem("--perturb-profiles", f"plan.{tier}.{what}", why)])


@contextmanager
def closing_engine(built: Built) -> Iterator[None]:
    """The processes and files that the learning has are given back at the end."""
    try:
        yield
    finally:
        if built.learner:
            built.learner.engine.close()


@contextmanager
def _told() -> Iterator[None]:
    """A folder that cannot take a run is the user's mistake."""
    try:
        yield
    except ValueError as error:
        raise ScenarioError([Problem("", "", str(error))]) from error


def condensing(built: Built) -> Callable[..., Sequence[Span]]:
    """What is written of a round's spans."""
    return partial(summarised, tree=built.hierarchy) if _short(built) else list


class Course:
    """A run under way, or gone on with from where it was saved *at*: at a round, or with None at its beginning."""

    def __init__(
        self,
        built: Built,
        manifest: dict[str, Any],
        wall: Wall,
        watch: Watch,
        store: Store | None = None,
        at: Saved | None = None,
        apart: Apart | None = None,
    ) -> None:
        self.built, self.manifest, self.wall, self.watch, self.store = built, manifest, wall, watch, store
        self.log, self.draws, self.apart = Log(), manifest.get("perturb_profiles", 0), apart
        if apart and built.learner:
            apart.spare(built.learner.engine)
        self.keeper: Keeper | None = None
        if store and built.learner:
            self.keeper = Keeper(built, store, wall, manifest["scenario_hash"], at, self._went_on)
        self.log.happenings.extend(Happening(0.0, *happening) for happening in built.happenings)

    def run(self) -> Result:
        """To its end. What broke off has failed, and can be gone on with."""
        try:
            result = self._run()
        except BaseException:
            if self.store and not self.store.replaying:
                with suppress(OSError):  # as far as the disk takes it: what is told is why it broke off
                    self.store.append(self.log)
                with suppress(OSError):
                    self.store.manifest(self.manifest | {"status": "failed", "ended": now()})
            raise
        if self.store:
            self.store.manifest(result.manifest)
        return result

    def _run(self) -> Result:
        built, log, store = self.built, self.log, self.store
        states, rows = self._simulate()
        energy = cause_rows(built.hierarchy, log)
        if _short(built):
            rows = condensed(rows, built.hierarchy, ["node"])
            energy = condensed(energy, built.hierarchy, ["node", "cause"])
        result = Result(built, log, rows, _footprint(built), self.manifest, store.folder if store else None)
        if built.learner:
            result.states = states
        if store:
            with self.wall.part("writing"):
                store.tables(log, nodes=rows, energy=energy, footprint=result.footprint, **_works(built))
        self._plot(learned=False)  # baselines beside the run are still at work
        result.notes = self._baselines()
        if store:
            with self.wall.part("writing"):
                store.append(log)
        if self.draws:
            with self.wall.part("draws"):
                _perturb(result, self.draws, store, self._tell)
        self._plot(learned=True)
        self.manifest |= figures(built, log, rows, self.wall.figures(built.learner)) | {"status": "done"}
        return result

    def _plot(self, *, learned: bool) -> None:
        if self.store and self.built.scenario.plots:
            if not learned or self.built.scenario.baselines:  # else it has just been told
                self._tell("plots")
            with self.wall.part("plots"):
                from experiments.plots import draw_costs, draw_learned

                (draw_learned if learned else draw_costs)(self.store.folder)

    def _simulate(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What every node knows at the end, and a row per node."""
        learner = self.built.learner
        with self.wall.part("events"):
            states = known_after(self.built, self.log, self._on_round)
            if self.store and self.store.replaying:
                raise UnusableError("the replay is over before the round at which the run was saved")
            if learner:
                learner.settle()  # every training that took place is run, whether anybody looks at it or not
                tell_diverged(self.built, self.log, states)
            return states, node_rows(self.built.hierarchy, self.log)

    def _on_round(self, round_: int, log: Log) -> None:
        if self.store:
            with self.wall.part("writing"):
                self.store.append(log)
        if self.keeper:
            self.keeper.closed()
        if not (self.store and self.store.replaying):
            with self.wall.part("other"):
                self.watch(self.built, round_, log, "rounds")

    def _went_on(self) -> None:
        """The replay is over: the run is running again."""
        assert self.store
        self.store.manifest(self.manifest)
        self._tell(f"going on after round {self.log.spans.last_round}")

    def _tell(self, phase: str) -> None:
        with self.wall.part("other"):
            self.watch(self.built, self.log.spans.last_round, self.log, phase)

    def _baselines(self) -> list[str]:
        if not self.built.scenario.baselines:
            return []
        self._tell("baselines")
        with self.wall.part("baselines"):
            found = self.apart.found() if self.apart else None
            if found is None:
                from experiments.baselines import add_baselines

                return add_baselines(self.built, self.log)
            self.log.metrics.extend(found[0])
            return found[1]


def _perturb(result: Result, draws: int, store: Store | None, tell: Callable[[str], None]) -> None:
    """Rerun the costs with other figures of the profiles; the spread goes into the result, and the run folder."""
    from experiments.intervals import keep, summary
    from experiments.uncertainty import perturb

    tenth = max(draws // 10, 1)
    result.perturbed = perturb(
        result.built, draws, on_draw=lambda done: tell(f"draw {done} of {draws}") if done % tenth == 0 else None
    )
    result.manifest["perturbed"] = summary(result.perturbed)
    if store:
        keep(store, result.perturbed)


def _short(built: Built) -> bool:
    """Whether the tables hold summaries in place of a row for every device."""
    return built.scenario.records.devices == "summary"


def _footprint(built: Built) -> list[dict[str, Any]]:
    if isinstance(built.workload, CostOnly | Recorded):
        sizes = built.workload.sizes
        names = {"flops": "training_flops"}
        return [
            {"module": name} | {names.get(key, key): value for key, value in asdict(size).items()}
            for name, size in sizes.items()
        ]
    from models.footprint import module_costs

    assert built.learner is not None
    return [asdict(cost) for cost in module_costs(built.learner.model)]


def _works(built: Built) -> dict[str, list[dict[str, Any]]]:
    """What each node's training, merging and scoring took, where it was counted on the model: `work.csv`."""
    told = getattr(built.workload, "told", {})
    names = ("stage", "node", "activity")
    rows = [dict(zip(names, key, strict=True)) | asdict(work) for key, work in told.items()]
    return {"work": rows} if rows else {}
