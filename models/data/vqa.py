"""Questions about images as a study: pictures and texts from local files, as a backbone's own processor makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from models.data.questions import Question, read_image, read_questions
from models.data.samples import Client, Samples, Study, Task
from models.data.streams import stream

OTHER = "other"


def vqa_study(
    folder: Path,
    file: str,
    processor: Path,
    leaves: Sequence[str],
    *,
    seed: int,
    images: bool = True,
    size: int | None = None,
    length: int | None = None,
    answers: int | None = None,
    others: Literal["drop", "class"] = "drop",
    holdout: float = 0.25,
) -> Study:
    """A study of the modalities ``image [3, height, width]`` and ``text [length]`` with the task ``answer``.

    *file* in *folder* has a JSON object a line: image, question, answer, student. A student is the leaf of its name,
    or, where no leaf is called like a student, the students are dealt to the leaves in turn. *holdout* of each leaf's
    questions is its test. The classes are the answers of the training part (the *answers* most frequent ones); a
    question with another answer is dropped, or belongs to the class "other". The folder *processor* holds what the
    backbone was published with: a tokenizer, and an image processor where there are *images* to look at. *size*: resize
    every image to a square first. Tokens beyond *length* are cut; -1 stands where there is no token. ValueError names
    file and line.
    """
    questions = read_questions(folder, file)
    mine = dealt(questions, leaves, f"{folder / file}")
    parts = {leaf: _split(len(own), leaf, seed, holdout) for leaf, own in mine.items()}
    taught = Counter(mine[leaf][i].answer for leaf, (train, _) in parts.items() for i in train)
    classes = vocabulary(taught, answers, others)
    known = {leaf: _answerable(own, parts[leaf], classes, others) for leaf, own in mine.items()}
    for leaf, (train, test) in known.items():
        if not train or not test:
            raise ValueError(
                f"{folder / file}: {leaf} has no questions left to {'test' if train else 'train'} on; each needs two "
                f"or more with known answers: raise answers, take others: class, or give it more"
            )
    ordered = [q for part in (1, 0) for two in known.values() for q in two[part]]
    whole = _samples(ordered, classes, _Processor(processor), images, size, length)
    tests = sum(len(test) for _, test in known.values())
    clients, starts = {}, [tests, 0]
    for leaf, two in known.items():
        pieces = [_slice(whole, starts[part], len(two[part])) for part in (0, 1)]
        starts = [starts[part] + len(two[part]) for part in (0, 1)]
        clients[leaf] = Client(*pieces)
    shapes = {m: tuple(x.shape[1:]) for m, x in whole.inputs.items()}
    return Study(shapes, {"answer": Task("answer", len(classes))}, clients, _slice(whole, 0, tests))


def _answerable(
    own: Sequence[Question], two: tuple[Sequence[int], Sequence[int]], classes: Collection[str], others: str
) -> tuple[list[Question], ...]:
    """The questions of both parts whose answers are among the classes, or count as another."""
    return tuple([own[i] for i in part if others == "class" or own[i].answer in classes] for part in two)


def dealt(questions: Sequence[Question], leaves: Sequence[str], where: str) -> dict[str, list[Question]]:
    """Whose questions are whose: by the student's name where leaves are called so, else students in turn."""
    students = list(dict.fromkeys(q.student for q in questions))
    named = {leaf: next((n for n in (leaf, leaf.rpartition("/")[2]) if n in set(students)), None) for leaf in leaves}
    if any(named.values()):
        if lacking := [leaf for leaf, student in named.items() if student is None]:
            raise ValueError(f"{where}: there is no student {lacking[0]}, as there is for other leaves; add questions")
        if unknown := set(students) - set(named.values()):
            raise ValueError(f"{where}: no leaf is called {min(unknown)}, as there is for other students; add it")
        place = {student: leaf for leaf, student in named.items() if student}
        if twice := [leaf for leaf, student in named.items() if place[str(student)] != leaf]:
            student = str(named[twice[0]])
            raise ValueError(
                f"{where}: student {student} could be {twice[0]} or {place[student]}; write the whole name of the leaf"
            )
    elif len(students) < len(leaves):
        raise ValueError(f"{where}: {len(students)} students are too few for {len(leaves)} devices; use fewer devices")
    else:
        place = {student: leaves[i % len(leaves)] for i, student in enumerate(students)}
    out: dict[str, list[Question]] = {leaf: [] for leaf in leaves}
    for question in questions:
        out[place[question.student]].append(question)
    return out


def vocabulary(taught: Mapping[str, int], count: int | None, others: str) -> dict[str, int]:
    """The classes: the most frequent answers first (of equals, by the alphabet), and "other" where it is one."""
    ranked = sorted(taught, key=lambda answer: (-taught[answer], answer))[:count]
    classes = dict(zip(ranked, range(len(ranked)), strict=True))
    if others == "class":
        classes.setdefault(OTHER, len(classes))
    if len(classes) < 2:
        raise ValueError(f"the only answer is {next(iter(classes), '-')!r}; a task needs two or more")
    return classes


def _split(count: int, leaf: str, seed: int, holdout: float) -> tuple[Sequence[int], Sequence[int]]:
    """Which questions train, which test."""
    tests = min(max(1, round(holdout * count)), count - 1)
    order = [int(i) for i in stream(seed, "vqa.holdout", leaf).permutation(count)]
    return sorted(order[tests:]), sorted(order[:tests])


def _slice(samples: Samples, start: int, count: int) -> Samples:
    def part(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: x[start : start + count] for name, x in values.items()}

    return Samples(part(samples.inputs), part(samples.targets))


def _samples(
    questions: Sequence[Question],
    classes: Mapping[str, int],
    processor: _Processor,
    images: bool,
    size: int | None,
    length: int | None,
) -> Samples:
    inputs = {"text": processor.texts([q.question for q in questions], length)}
    if images and (processor.images is not None or size is not None):
        inputs = {"image": _images(questions, processor, size), **inputs}
    targets = torch.tensor([classes.get(q.answer, classes.get(OTHER, -1)) for q in questions])
    return Samples(inputs, {"answer": targets})


def _images(questions: Sequence[Question], processor: _Processor, size: int | None) -> Tensor:
    """One row a question; every picture is read once."""
    rows: dict[Path, int] = {}
    out: list[Tensor] = []
    for q in questions:
        if q.image not in rows:
            rows[q.image] = len(out)
            out.append(processor.image(read_image(q.image, q.line, size), resized=size is not None))
            if out[-1].shape != out[0].shape:
                a, b = (list(x.shape[1:]) for x in (out[-1], out[0]))
                raise ValueError(
                    f"{q.line}: image {q.image.name} comes out as {a} pixels, others as {b}; give data.size"
                )
    return torch.stack(out)[torch.tensor([rows[q.image] for q in questions])]


class _Processor:
    """The tokenizer in a folder, and the image processor if one is there."""

    def __init__(self, folder: Path) -> None:
        from models.nets.families import EXTRA
        from models.nets.hub import quiet

        try:
            from transformers import AutoImageProcessor, AutoTokenizer
        except ImportError:
            raise ValueError(EXTRA) from None
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        configs = ("preprocessor_config.json", "processor_config.json")
        try:
            with quiet():
                self.tokens: Any = AutoTokenizer.from_pretrained(str(folder), **local)
                pictured = any((folder / name).is_file() for name in configs)
                self.images: Any = (
                    AutoImageProcessor.from_pretrained(str(folder), backend="pil", **local) if pictured else None
                )
        except (OSError, ValueError, KeyError) as error:
            why = str(error).strip().splitlines()[0]
            raise ValueError(f"processor {folder}: cannot be read ({why}); give the folder of a tokenizer") from None

    def texts(self, texts: Sequence[str], length: int | None) -> Tensor:
        """``[n, length]`` tokens, by default as many as the longest text has; -1 behind the last.

        Where the tokenizer knows no attention mask, the model was taught with padding in view, so it is put there.
        """
        limit = length or min(int(self.tokens.model_max_length), 4096)
        rows = [self.tokens(text, truncation=True, max_length=limit)["input_ids"] for text in texts]
        empty = next((text for text, row in zip(texts, rows, strict=True) if not row), None)
        if empty is not None:
            raise ValueError(f"the tokenizer makes nothing of the question {empty[:60]!r}")
        masked = "attention_mask" in self.tokens.model_input_names
        out = np.full((len(rows), length or max(map(len, rows))), -1 if masked else self.tokens.pad_token_id or 0)
        for place, row in enumerate(rows):
            out[place, : len(row)] = row
        return torch.from_numpy(out.astype(np.int64))

    def image(self, image: Any, *, resized: bool) -> Tensor:
        """``[3, height, width]``: as the image processor makes it, or 0 to 1 where there is none."""
        if self.images is None:
            return torch.from_numpy(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)
        as_is = {"do_resize": False, "do_center_crop": False, "do_pad": False} if resized else {}
        pixels = self.images(images=image, return_tensors="np", **as_is)["pixel_values"][0]
        return torch.from_numpy(np.ascontiguousarray(pixels, np.float32))
