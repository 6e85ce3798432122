"""What is wrong in a scenario, told in the reader's words: where, which key, what, and what was perhaps meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

Keys = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the *place* (``file:line`` or an option), the key, and what is wrong with it."""

    place: str
    key: str
    what: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.key, self.what) if part)


class ScenarioError(ValueError):
    """All the mistakes of one scenario, a line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` with the nearest of the *known* names, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def told(error: ValidationError, model: type[BaseModel]) -> list[tuple[Keys, str]]:
    """The keys and the words of everything that pydantic found wrong with the data for *model*."""
    return [_told(details, model) for details in error.errors(include_url=False)]


def _told(error: ErrorDetails, model: type[BaseModel]) -> tuple[Keys, str]:
    if error["type"] == "extra_forbidden":
        *above, key = error["loc"]
        return (*_keys(above), key), "unknown key" + _instead(model, above, str(key))
    keys = _keys(error["loc"])
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return _kind_told(error, keys, model)
    return keys, _words(error)


def _keys(steps: Sequence[str | int]) -> Keys:
    """The steps without the tags of unions, which are not in the data."""
    return tuple(step for step in steps if not str(step).startswith("="))


def _kind_told(error: ErrorDetails, keys: Keys, model: type[BaseModel]) -> tuple[Keys, str]:
    if not isinstance(error["input"], dict):
        return keys, f"expected a mapping, got {_short(error['input'])}"
    tags = [tag for tag, _ in _members(_at(model, error["loc"])) if tag and ":" in tag]
    key = tags[0][1:].partition(":")[0]
    kinds = [tag.partition(":")[2] for tag in tags]
    if error["type"] == "union_tag_not_found":
        return keys, f"needs a {key}: one of {', '.join(kinds)}"
    given = error["input"].get(key)
    return (*keys, key), f"unknown {key} {_short(given)}{nearest(str(given), kinds) or '; one of ' + ', '.join(kinds)}"


def _words(error: ErrorDetails) -> str:
    given, context = error["input"], error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "is missing"
        case "value_error" | "check":
            return str(context.get("error") or context.get("text"))
        case "literal_error":
            wanted = context["expected"].replace("'", "")
            hint = nearest(str(given), wanted.replace(" or ", ", ").split(", "))
            return f"expected {wanted}, got {_short(given)}{hint}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal" as bound:
            sign = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}[bound]
            return f"must be {sign} {next(iter(context.values())):g}, got {_short(given)}"
        case "finite_number":
            return f"must be finite, got {given}"
        case "too_short" | "string_too_short":
            return "must not be empty"
    return f"expected {_EXPECTED[error['type']]}, got {_short(given)}" if error["type"] in _EXPECTED else error["msg"]


_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _short(given: Any) -> str:
    """What was given, as it would be written in Python, cut where it is long."""
    text = repr(given)
    return text if len(text) <= 60 else text[:57] + "..."


def _members(annotation: Any, tag: str | None = None) -> list[tuple[str | None, Any]]:
    """What *annotation* may be, unions and ``Annotated`` opened, each with its tag."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return _members(inner, next((str(m.tag) for m in metadata if isinstance(m, Tag)), tag))
    if get_origin(annotation) in (None, dict, tuple, list):
        return [(tag, annotation)]
    return [member for part in get_args(annotation) for member in _members(part)]


def _inside(annotation: Any, step: str | int) -> Any:
    """The annotation of what *step*, a key, a place or a tag, leads to."""
    for tag, kind in _members(annotation):
        if tag == step:
            return kind
        if isinstance(kind, type) and issubclass(kind, BaseModel) and step in kind.model_fields:
            return kind.model_fields[str(step)].annotation
        if get_origin(kind) in (dict, tuple):
            return get_args(kind)[1 if get_origin(kind) is dict else 0]
    return None


def _at(annotation: Any, steps: Sequence[str | int]) -> Any:
    for step in steps:
        annotation = _inside(annotation, step)
    return annotation


def _fields_at(model: type[BaseModel], steps: Sequence[str | int]) -> list[str]:
    found = _at(model, steps)
    return [f for _, kind in _members(found) if hasattr(kind, "model_fields") for f in kind.model_fields]


def _instead(model: type[BaseModel], above: Sequence[str | int], key: str) -> str:
    """What was perhaps meant by an unknown *key*: one beside it, the same elsewhere, or else all that are beside it."""
    known = _fields_at(model, above)
    if near := nearest(key, known):
        return near
    places = [place for place in _places(model, key) if place != ".".join(map(str, (*_keys(above), key)))]
    if 0 < len(places) <= 3:
        return f"; did you mean {' or '.join(map(repr, places))}?"
    if "algorithm" in known:
        return f"; a knob goes with its algorithm: {{name: ..., {key}: ...}}"
    return f"; there are {', '.join(known)}" if known else ""


def _places(model: type[BaseModel], key: str, above: str = "", deep: int = 2) -> Iterator[str]:
    """Where in *model* there is such a key: at the top, in a section or in one of its sections."""
    if key in model.model_fields:
        yield above + key
    for name, field in model.model_fields.items() if deep else ():
        for _, kind in _members(field.annotation):
            tiers = get_origin(kind) is dict
            inner = get_args(kind)[1] if tiers else kind
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _places(inner, key, f"{above}{name}.{'<tier>.' if tiers else ''}", deep - 1)
