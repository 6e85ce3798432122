"""Questions about images in a folder: JSON lines and pictures, read with care and checked; nothing in them is code."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEYS = ("image", "question", "answer", "student")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
PIXELS = 50_000_000  # of one picture, at most
LONGEST = 10_000  # characters of one value


@dataclass(frozen=True, slots=True)
class Question:
    """One line, which stands at *line*: *student* answered *question* about the picture at *image* with *answer*."""

    image: Path
    question: str
    answer: str
    student: str
    line: str


def read_questions(folder: Path, file: str) -> list[Question]:
    """The lines of *file* in *folder*; ValueError with file and line where one is not as it should be."""
    path = folder / file
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a text in UTF-8 ({error})") from None
    out = [_question(folder, f"{path}:{n}", line) for n, line in _lines(text)]
    if not out:
        raise ValueError(f"{path}: there are no questions in it; a line is {_example()}")
    return out


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return ((n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip())


def _example() -> str:
    return json.dumps(dict(zip(KEYS, ("a.png", "What is it?", "cat", "s1"), strict=True)))


def _question(folder: Path, where: str, line: str) -> Question:
    try:
        values: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON ({error}); a line is {_example()}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected a mapping such as {_example()}")
    for key in KEYS:
        value = values.get(key)
        if not isinstance(value, str) or not 0 < len(value.strip()) <= LONGEST:
            raise ValueError(f"{where}: {key} must be a text that is not empty, got {str(value)[:40]!r}")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError(f"{where}: {key} has half a character in it, got {value[:40]!r}; write it in full")
    image, question, answer, student = (str(values[key]).strip() for key in KEYS)
    return Question(inside(folder, image, where), question, answer, student, where)


def inside(folder: Path, name: str, where: str) -> Path:
    """The file *name* in *folder*, links followed; ValueError where that leads out of it, or nowhere."""
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    try:
        path = (folder / name).resolve()
        inner, there = path.is_relative_to(folder.resolve()), path.is_file()
    except (OSError, ValueError) as error:  # a name too long, or with a zero byte
        raise ValueError(f"{where}: image {shown!r} cannot be a file: {error}") from None
    if not inner:
        raise ValueError(f"{where}: image {shown!r} lies outside of {folder}; put it inside")
    if not there:
        raise ValueError(f"{where}: image {shown!r} is not in {folder}")
    return path


def read_image(path: Path, where: str, side: int | None = None) -> Any:
    """The picture in RGB, *side* pixels wide and high if given; ValueError where it is none or too large."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
            image = Image.open(path, formats=FORMATS)
        with image:
            if image.width * image.height > PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are more than {PIXELS:,}; make it smaller")
            rgb = image.convert("RGB")
            return rgb if side is None else rgb.resize((side, side), Image.Resampling.BICUBIC)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{where}: image {path.name}: {error}") from None
