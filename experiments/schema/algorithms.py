"""How a scenario names algorithms: one, or several of which each changes another part."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationInfo

from experiments.schema.mistakes import Keys
from experiments.schema.section import Section

if TYPE_CHECKING:
    from models.federation.algorithm import Algorithm


class AlgorithmSpec(Section):
    """An algorithm by its *name*, or ``module:Name`` in the scenario's *folder*; its other keys are knobs."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    name: Annotated[str, Field(min_length=1)]
    folder: str = ""

    @property
    def knobs(self) -> dict[str, Any]:
        """What is set."""
        return dict(self.model_extra or {})


def _several(value: Any, info: ValidationInfo) -> Any:
    beside = str((info.context or {}).get("beside", Path.cwd()).resolve())

    def one(item: Any) -> Any:
        item = {"name": item} if isinstance(item, str) else item
        if isinstance(item, dict) and ":" in str(item.get("name", "")):
            return {"folder": beside, **item}
        return item

    if isinstance(value, list | tuple):
        return tuple(map(one, value))
    if not isinstance(value, str | dict | AlgorithmSpec):
        raise ValueError(f"expected a name such as fedavg, {{name: fedprox, mu: 0.1}}, or a list, got {value!r}")
    return (one(value),)


def _short(specs: tuple[AlgorithmSpec, ...]) -> Any:
    """As a user would write it."""
    out: list[Any] = []
    for spec in specs:
        values = {"name": spec.name, **({"folder": spec.folder} if spec.folder else {}), **spec.knobs}
        out.append(values if len(values) > 1 else spec.name)
    return out[0] if len(out) == 1 else out


Algorithms = Annotated[
    tuple[AlgorithmSpec, ...], BeforeValidator(_several), Field(min_length=1), PlainSerializer(_short)
]
FEDAVG = (AlgorithmSpec(name="fedavg"),)


def algorithm_problems(specs: tuple[AlgorithmSpec, ...], keys: Keys) -> Iterator[tuple[Keys, str]]:
    """Names and knobs that no algorithm has, and algorithms that do not go together."""
    if specs == FEDAVG:
        return  # and nothing of models is loaded
    sound = True
    for place, spec in enumerate(specs):
        try:
            _made(spec)
        except ValueError as error:
            sound = False
            yield (*keys, place) if len(specs) > 1 else keys, str(error)
    if sound:
        try:
            algorithm_of(specs)
        except ValueError as error:
            yield keys, str(error)


def algorithm_of(specs: tuple[AlgorithmSpec, ...]) -> Algorithm:
    """The one that they are together. Raises ValueError."""
    from models.federation.algorithm import composed

    names = [spec.name for spec in specs]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise ValueError(f"{twice} is named twice; give it once, with its knobs")
    return composed({spec.name: _made(spec) for spec in specs})


def needs(specs: tuple[AlgorithmSpec, ...]) -> Iterator[tuple[str, str, str]]:
    """The name of each that is for certain plans, and their key and value; what cannot be made is told elsewhere."""
    for spec in () if specs == FEDAVG else specs:
        with suppress(ValueError):
            for key, value in _made(spec).needs:
                yield spec.name, key, value


def _made(spec: AlgorithmSpec) -> Algorithm:
    from models.federation.library import made

    if spec.folder and spec.folder not in sys.path:
        sys.path.append(spec.folder)  # never before what is installed
    return made(spec.name, spec.knobs)
