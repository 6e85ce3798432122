"""YAML text as plain values that remember their lines, and the files that a scenario brings along."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Keys = tuple[str | int, ...]  # keys and places that lead to a value
_SCALARS = {
    "tag:yaml.org,2002:null": SafeConstructor.construct_yaml_null,
    "tag:yaml.org,2002:bool": SafeConstructor.construct_yaml_bool,
    "tag:yaml.org,2002:int": SafeConstructor.construct_yaml_int,
    "tag:yaml.org,2002:float": SafeConstructor.construct_yaml_float,
}
_TEXTS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge", "tag:yaml.org,2002:value")


class UnreadableError(ValueError):
    """A text that is no YAML mapping; *line* counts from 1, or is None where there is no text."""

    def __init__(self, line: int | None, what: str) -> None:
        super().__init__(what)
        self.line = line


@dataclass(frozen=True)
class Document:
    """A YAML mapping in plain values, with what was wrong in it as (path, line, text), and the line of everything."""

    data: dict[str, Any]
    root: MappingNode
    problems: list[tuple[Keys, int, str]] = field(default_factory=list)

    def line(self, path: Sequence[str | int]) -> int:
        """The line of the key or item at *path*, or of the nearest thing that holds it; places may be text."""
        node: Node = self.root
        line = _line(node)
        for step in path:
            inside = next((pair for pair in _pairs(node) if str(pair[0]) == str(step)), None)
            if inside is None:
                break
            _, line, node = inside
        return line


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _pairs(node: Node) -> Iterator[tuple[str | int, int, Node]]:
    """Key or place, its line and its value, of everything directly inside *node*."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield str(key.value), _line(key), value
    elif isinstance(node, SequenceNode):
        for place, value in enumerate(node.value):
            yield place, _line(value), value


def parse(text: str) -> Document:
    """The YAML 1.2 mapping that *text* holds; raises UnreadableError. No tag ever builds an object."""
    root = _compose(text)
    if root is None:
        raise UnreadableError(1, "the file is empty")
    if not isinstance(root, MappingNode):
        raise UnreadableError(_line(root), "expected a mapping of keys to values, such as 'title: My study'")
    document = Document({}, root)
    document.data.update(_mapping(root, (), document.problems, frozenset()))
    return document


def read(path: Path) -> Document:
    """The YAML mapping in the file at *path*; raises UnreadableError."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UnreadableError(line, "not a text in UTF-8") from None
    except OSError as error:
        raise UnreadableError(None, f"cannot be read: {(error.strerror or str(error)).lower()}") from None


def value_of(text: str) -> Any:
    """What *text* means as a YAML value, as after ``--set key=``; raises UnreadableError."""
    root = _compose(text)
    if root is None:
        return None
    problems: list[tuple[Keys, int, str]] = []
    value = _value(root, (), problems, frozenset())
    if problems:
        raise UnreadableError(None, problems[0][2])
    return value


def _compose(text: str) -> Node | None:
    try:
        root: Node | None = YAML(typ="safe", pure=True).compose(text)
        return root
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = "a tab where YAML wants spaces" if "'\\t'" in str(error.problem) else error.problem
        raise UnreadableError(mark.line + 1 if mark else None, f"not valid YAML: {what or error.context}") from None
    except YAMLError as error:  # a control character; it knows its position only
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        raise UnreadableError(line, "not valid YAML: a character that may not be in it") from None


def _value(node: Node, path: Keys, problems: list[tuple[Keys, int, str]], above: frozenset[int]) -> Any:
    if id(node) in above:
        problems.append((path, _line(node), "an alias inside the very thing that it names"))
        return None
    above |= {id(node)}
    if isinstance(node, MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return _mapping(node, path, problems, above)
    if isinstance(node, SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_value(item, (*path, place), problems, above) for place, item in enumerate(node.value)]
    return _scalar(node, path, problems)


def _mapping(
    node: MappingNode, path: Keys, problems: list[tuple[Keys, int, str]], above: frozenset[int]
) -> dict[str, Any]:
    out: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            problems.append((path, _line(key), "a key must be a plain text"))
            continue
        name = str(key.value)
        if name in lines:
            problems.append(((*path, name), _line(key), f"duplicate key; it is on line {lines[name]} already"))
            continue
        lines[name] = _line(key)
        out[name] = _value(value, (*path, name), problems, above)
    return out


def _scalar(node: Node, path: Keys, problems: list[tuple[Keys, int, str]]) -> Any:
    if node.tag in _TEXTS:
        return node.value
    if node.tag in _SCALARS:
        try:
            return _SCALARS[node.tag](YAML(typ="safe", pure=True).constructor, node)
        except (ValueError, KeyError, YAMLError):
            pass  # a tag such as !!int before what is none
    tag = str(node.tag).replace("tag:yaml.org,2002:", "!!")
    problems.append((path, _line(node), f"the tag {tag} is not understood here; write a plain value"))
    return None


def find_file(name: str, beside: Path) -> Path:
    """The file that a scenario calls *name*: in the folder *beside* it, else under ``$EDUFOG_DATA``.

    Raises ValueError that names both places and the remedy.
    """
    home = os.environ.get("EDUFOG_DATA")
    for folder in (beside, *([Path(home)] if home else [])):
        if (folder / name).is_file():
            return (folder / name).resolve()
    places = f"not in {beside.resolve()}, nor under $EDUFOG_DATA ({home or 'which is not set'})"
    raise ValueError(f"file {name!r} not found: {places}; put it beside the scenario or set EDUFOG_DATA to its folder")


def put(data: dict[str, Any], dotted: str, value: Any) -> Keys:
    """Set what *dotted* leads to and return its keys; a key that itself has dots is found where it exists already.

    Raises UnreadableError where the way is barred by a plain value.
    """
    parts, keys, inside = dotted.split("."), list[str | int](), data
    while True:
        step, parts = _step(inside, parts)
        if step is None:
            here = ".".join(map(str, keys))
            raise UnreadableError(None, f"{here} is {inside!r}, which has no {parts[0]!r} inside; set it as a whole")
        keys.append(step)
        if not parts:
            inside[step] = value
            return tuple(keys)
        if isinstance(inside, dict) and inside.get(step) is None:
            inside[step] = {}
        inside = inside[step]


def _step(inside: Any, parts: list[str]) -> tuple[Any, list[str]]:
    """The key or place that the beginning of *parts* names, the longest that exists, and the rest."""
    if isinstance(inside, list):
        place = parts[0]
        return (int(place), parts[1:]) if place.isdigit() and int(place) < len(inside) else (None, parts)
    if not isinstance(inside, dict):
        return None, parts
    count = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in inside), 1)
    return ".".join(parts[:count]), parts[count:]
