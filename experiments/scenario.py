"""A scenario: everything that a run needs to know, read from YAML or made in Python, and checked as a whole."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from ruamel.yaml import YAML

from experiments.schema import checks
from experiments.schema.computing import Cache, CacheSpec, Device, DeviceSpec, Engine, EngineSpec
from experiments.schema.documents import Document, UnreadableError, put, read, value_of
from experiments.schema.keeping import Checkpoints
from experiments.schema.links import Beside
from experiments.schema.memory import Memory
from experiments.schema.mistakes import Keys, Problem, ScenarioError, told
from experiments.schema.physics import AnyPresence, CostsSpec
from experiments.schema.places import AnyTopology
from experiments.schema.plan_checks import resolve
from experiments.schema.plans import StageSpec, TierPlanSpec
from experiments.schema.radio import RadioSpec
from experiments.schema.section import Section
from experiments.schema.sections import Baseline, Evaluation, Learning, Listed, Profiles, Records
from experiments.schema.subjects import Data, FootprintModel, Model, RecordedData

__all__ = ["Problem", "Scenario", "ScenarioError", "module_names", "resolve"]


class Scenario(Section):
    """One study: who is connected to whom, what they learn from what, who merges what, and what is measured."""

    title: Annotated[str, Field(min_length=1)]
    seed: Annotated[int, Field(ge=0)] = 0
    topology: AnyTopology
    radio: RadioSpec | None = None
    d2d: Beside | None = None
    data: Data | None = None
    model: Model
    plan: dict[str, TierPlanSpec]
    learning: Learning = Learning()
    stages: Listed[StageSpec] = ()
    evaluate: Evaluation | None = None
    baselines: Listed[Baseline] = ()
    profiles: Profiles = Profiles()
    memory: Memory = Memory()
    costs: CostsSpec = CostsSpec()
    presence: AnyPresence | None = None
    records: Records = Records()
    engine: Engine = EngineSpec()
    device: Device = DeviceSpec()
    cache: Cache = CacheSpec()
    checkpoints: Checkpoints = Checkpoints()
    plots: bool = True
    final_broadcast: bool = True

    @model_validator(mode="after")
    def _agrees(self, info: ValidationInfo) -> Scenario:
        found = checks.problems(dict(self), (info.context or {}).get("beside", Path.cwd()))
        if found:
            raise ValidationError.from_exception_data("Scenario", [_detail(keys, what) for keys, what in found])
        return self

    @classmethod
    def load(cls, path: Path | str, overrides: Mapping[str, str] | None = None, seed: int | None = None) -> Scenario:
        """The resolved scenario in a YAML file, changed by ``--set`` *overrides* and *seed*.

        Raises ScenarioError with every mistake of the file and the overrides, one line each.
        """
        path = Path(path)
        try:
            document = read(path)
        except UnreadableError as error:
            place = str(path) if error.line is None else f"{path}:{error.line}"
            raise ScenarioError([Problem(place, "", str(error))]) from None
        source = _Source(path, document)
        for dotted, text in (overrides or {}).items():
            source.override(f"--set {dotted}", dotted, text)
        if seed is not None:
            source.override("--seed", "seed", str(seed))
        return source.scenario().resolved()

    def resolved(self) -> Scenario:
        """The same scenario with nothing left to defaults: its stages and what is evaluated are spelled out."""
        update: dict[str, Any] = {}
        tiers = self.topology.tiers
        if not self.stages:
            update["stages"] = (StageSpec(name="federate", at=tiers[0], trainable=self._federated(tiers[0])),)
        if not isinstance(self.model, FootprintModel) or isinstance(self.data, RecordedData):
            evaluation = self.evaluate or Evaluation()
            if not evaluation.tiers:
                evaluation = evaluation.model_copy(update={"tiers": (tiers[0], tiers[-1])})
            update["evaluate"] = evaluation
        return self.model_copy(update=update)

    def _federated(self, leaf: str) -> tuple[str, ...]:
        """Every module that some tier merges or peers exchange, and what a model that learns keeps at the leaves.

        That is heads, adapters, a prompt and their offset. Encoders and a trunk that nobody merges stay as they are.
        """
        patterns = [pattern for tier in self.plan.values() for pattern in tier.modules]
        patterns += [p for tier in self.plan.values() if tier.peers for p in tier.peers.modules or ()]
        if not isinstance(self.model, FootprintModel):
            patterns += ["head.*", "adapter", "expert.*", "router", "prompt", f"offset.{leaf}"]
        return resolve(patterns, module_names(self))

    def dump(self) -> dict[str, Any]:
        """The scenario in plain values, which validate to an equal one."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The scenario as YAML, which loads to an equal one."""
        writer, out = YAML(typ="safe", pure=True), io.StringIO()
        writer.representer.sort_base_mapping_type_on_output = False
        writer.default_flow_style, writer.width = None, 120  # the innermost lists and mappings on one line
        writer.dump(self.dump(), out)
        return out.getvalue()


def module_names(scenario: Scenario) -> tuple[str, ...]:
    """The exact names of the model's modules, in the order of the model."""
    return scenario.model.modules


def _detail(keys: Keys, what: str) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError("check", "{text}", {"text": what}), loc=keys, input=None)


class _Source:
    """A document on its way to a scenario, with the places from which its values and its mistakes come."""

    def __init__(self, path: Path, document: Document) -> None:
        self.path, self.document = path, document
        self.options: dict[Keys, str] = {}
        self.found: list[tuple[int, Keys, Problem]] = []
        for keys, line, what in document.problems:
            self.found.append((line, keys, Problem(f"{path}:{line}", _dotted(keys), what)))

    def override(self, option: str, dotted: str, text: str) -> None:
        """Put *text*, read as a YAML value, in the place of what *dotted* leads to."""
        try:
            keys = put(self.document.data, dotted, value_of(text))
        except UnreadableError as error:
            self.found.append((_LAST, (), Problem(option, "", str(error))))
        else:
            self.options[keys] = option

    def scenario(self) -> Scenario:
        """The scenario; raises ScenarioError with all that was found."""
        context = {"beside": self.path.resolve().parent}
        try:
            scenario = Scenario.model_validate(self.document.data, context=context)
        except ValidationError as error:
            self._tell(told(error, Scenario))
            broken = {str(details["loc"][0]) for details in error.errors(include_url=False)}
            if not any(details["type"] == "check" for details in error.errors(include_url=False)):
                self._tell(checks.problems(_sound(self.document.data, broken, context), context["beside"]))
        if self.found:
            raise ScenarioError(problem for _, _, problem in sorted(self.found, key=lambda item: item[0]))
        return scenario

    def _tell(self, mistakes: Iterable[tuple[Keys, str]]) -> None:
        told_already = {keys for _, keys, _ in self.found if keys}
        for keys, what in mistakes:
            if keys not in told_already:
                self.found.append(self._placed(keys, what))

    def _placed(self, keys: Keys, what: str) -> tuple[int, Keys, Problem]:
        for depth in range(len(keys), 0, -1):
            if keys[:depth] in self.options:
                key = "" if depth == len(keys) else _dotted(keys)
                return _LAST, keys, Problem(self.options[keys[:depth]], key, what)
        line = self.document.line(keys)
        return line, keys, Problem(f"{self.path}:{line}", _dotted(keys), what)


_LAST = 2**31  # options are told after the lines of the file


def _dotted(keys: Keys) -> str:
    return ".".join(map(str, keys))


def _sound(data: Mapping[str, Any], broken: set[str], context: dict[str, Any]) -> dict[str, Any]:
    """The sections in which nothing was wrong, read one by one."""
    kinds = get_type_hints(Scenario, include_extras=True)
    return {
        name: TypeAdapter(kinds[name]).validate_python(data[name], context=context)
        if name in data
        else field.get_default(call_default_factory=True)
        for name, field in Scenario.model_fields.items()
        if name not in broken
    }
