"""The stored references in `cases/`: closed forms, SimGrid's cases, the H-FedFM rows."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

CASES = Path(__file__).parent / "cases"


class Case(NamedTuple):
    """A closed form evaluated: its parameters and the values it gives."""

    name: str
    params: dict[str, Any]
    values: dict[str, Any]

    @property
    def title(self) -> str:
        """Name and parameters in a few words; long lists are left out."""
        short = [f"{key} {value}" for key, value in self.params.items() if not isinstance(value, list)]
        return f"{self.name} ({', '.join(short)})"


@cache
def read(name: str) -> Any:
    """The document in `cases/` of this name."""
    return json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))


def closed_forms(*names: str) -> list[Case]:
    """The stored cases of these *names*, in their order there."""
    every = [Case(case["name"], case["params"], case["values"]) for case in read("closed_forms")["cases"]]
    return [case for case in every if case.name in names]
