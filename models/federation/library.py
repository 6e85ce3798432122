"""The algorithms that there are: found by listing their folder, or named ``module:Name``."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from models import algorithms
from models.federation.algorithm import Algorithm

Make = Callable[..., Algorithm]


def names() -> tuple[str, ...]:
    """Of the algorithms in the folder, in alphabetical order."""
    found = (module.name for module in pkgutil.iter_modules(algorithms.__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def find(name: str) -> Make:
    """The function that makes the algorithm of this *name*; ``module:Name`` is imported.

    Raises ValueError where there is none.
    """
    place, _, attribute = name.partition(":")
    if not attribute and name not in names():
        near = get_close_matches(name.lower(), names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names())}, or give module:Name"
        raise ValueError(f"there is no algorithm {name!r}; {hint}")
    try:
        module = import_module(place if attribute else f"{algorithms.__name__}.{name}")
        make = getattr(module, attribute or name)
    except Exception as error:  # of somebody else's file
        raise ValueError(f"algorithm {name}: {type(error).__name__}: {error}") from error
    if not callable(make):
        raise ValueError(f"algorithm {name}: not something that makes an algorithm")
    return make


def knobs(make: Make) -> Mapping[str, Any]:
    """What can be set, with its default (``inspect.Parameter.empty`` where it must be given)."""
    return {name: parameter.default for name, parameter in inspect.signature(make).parameters.items()}


def made(name: str, values: Mapping[str, Any]) -> Algorithm:
    """The algorithm with its knobs so set. Raises ValueError for a knob that it lacks, or a value it cannot take."""
    make = find(name)
    known = knobs(make)
    unknown = next((knob for knob in values if knob not in known), None)
    if unknown is not None:
        has = f"its knobs are {', '.join(known)}" if known else "it has no knobs"
        raise ValueError(f"algorithm {name} has no knob {unknown!r}; {has}")
    missing = next((k for k, default in known.items() if default is inspect.Parameter.empty and k not in values), None)
    if missing is not None:
        raise ValueError(f"algorithm {name}: {missing} must be given")
    kinds = get_type_hints(make)
    for knob, value in values.items():
        _check(name, knob, kinds.get(knob, Any), value)
    try:
        algorithm = make(**values)
    except ValueError:
        raise
    except Exception as error:  # of somebody else's function
        raise ValueError(f"algorithm {name}: {type(error).__name__}: {error}") from error
    if not isinstance(algorithm, Algorithm):
        raise ValueError(f"algorithm {name}: made {type(algorithm).__name__}, not an Algorithm")
    return algorithm


def _check(name: str, knob: str, kind: Any, value: Any) -> None:
    """Refuse a text for a number, a number for a yes or no, and what is not finite."""
    if isinstance(value, str) and get_origin(kind) is Sequence:
        raise ValueError(f"algorithm {name}: {knob}: must be a list, such as [{value}], got {value!r}")
    try:
        TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False)).validate_python(value)
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"]
        raise ValueError(f"algorithm {name}: {knob}: {said[0].lower()}{said[1:]}, got {value!r}") from error


def paper(make: Make) -> str:
    """The first line of what is said of it, where its paper is named."""
    return (inspect.getdoc(make) or "").partition("\n")[0]
