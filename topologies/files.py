"""A hierarchy as a JSON file, in and out.

What is written holds all its profiles, so it reads back the same whatever the catalogue says then. Files are not
trusted: every mistake is one ValueError that names the file and the line, node, edge or key.
"""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any

from .hierarchy import Hierarchy
from .nodelink import as_dict, from_dict


def write_json(hierarchy: Hierarchy, path: Path | str) -> None:
    """Write *hierarchy* to *path*, a node or an edge a line; nothing is written if an attribute is not plain JSON."""
    sections = []
    for key, value in as_dict(hierarchy).items():
        items = [json.dumps(item, ensure_ascii=False) for item in value] if isinstance(value, list) else None
        text = json.dumps(value, ensure_ascii=False) if items is None else "[\n" + ",\n".join(items) + "\n]"
        sections.append(f'"{key}": {text}')
    try:
        Path(path).write_bytes(("{\n" + ",\n".join(sections) + "\n}\n").encode())
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{path}: cannot be written: {error}") from error


def read_json(path: Path | str) -> Hierarchy:
    """The hierarchy in the file at *path*."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_number, parse_float=_number)
        json.dumps(document, ensure_ascii=False).encode()  # half of a surrogate pair could never be written again
        return from_dict(document)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} is there twice")
        found[key] = value
    return found


def _number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"a number must be finite, got {text}")
    return value
