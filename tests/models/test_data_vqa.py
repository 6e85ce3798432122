"""Questions about images from files: who gets which, which answers are classes, and what is refused."""

import json
import os

import pytest
import torch

pytest.importorskip("transformers")

import tiny
from PIL import Image

from models.data import questions
from models.data.vqa import dealt, vocabulary, vqa_study

LEAVES = ("a", "b", "c")


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    return tiny.save_processor(tmp_path_factory.mktemp("processor"))


@pytest.fixture
def folder(tmp_path):
    return tiny.save_questions(tmp_path / "pictures")


def lines(folder):
    return [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]


def write(folder, rows):
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def study(folder, processor, leaves=LEAVES, **keys):
    return vqa_study(folder, "questions.jsonl", processor, leaves, seed=3, **keys)


def test_every_question_is_in_one_part_of_one_client(folder, processor):
    some = study(folder, processor)
    assert some.modalities == {"image": (3, 16, 16), "text": (6,)}
    assert list(some.clients) == list(LEAVES)
    # a quarter of twelve is held out
    assert [(len(c.train), len(c.test)) for c in some.clients.values()] == [(9, 3)] * 3
    assert len(some.test) == 9
    assert torch.equal(some.test.inputs["text"], torch.cat([c.test.inputs["text"] for c in some.clients.values()]))
    classes = vocabulary({line["answer"]: 1 for line in lines(folder)}, None, "drop")
    seen = sorted(int(y) for c in some.clients.values() for s in (c.train, c.test) for y in s.targets["answer"])
    assert len(seen) == len(lines(folder))
    assert set(seen) == set(classes.values())


def test_a_row_is_its_picture_its_words_and_its_answer(folder, processor):
    """The colour that the image processor makes of one-coloured pictures goes with the answer that names it."""
    some = study(folder, processor)
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    made = {}
    for x, text, y in zip(*some.test.inputs.values(), some.test.targets["answer"], strict=True):
        colour = (x.mean((1, 2)) * std + mean) * 255
        assert text.dtype == torch.int64
        made.setdefault(int(y), colour.round().tolist())
        assert colour.round().tolist() == made[int(y)]
    assert {tuple(c) for c in made.values()} <= set(tiny.COLOURS.values())
    ids = {word: i for i, word in enumerate(tiny.WORDS)}
    short = [ids[word] for word in ("what", "colour", "is", "it", "?")]
    long = [ids[word] for word in ("which", "colour", "is", "this", "thing", "?")]
    assert {tuple(row) for row in some.test.inputs["text"].tolist()} == {(*short, -1), tuple(long)}


def test_texts_are_cut_and_filled_to_the_length(folder, processor):
    assert study(folder, processor, length=4).test.inputs["text"].min() >= 0
    text = study(folder, processor, length=9).test.inputs["text"]
    assert text.shape[1] == 9
    assert (text[:, 6:] == -1).all()


def test_the_split_follows_from_seed_and_name(folder, processor):
    one, again = (study(folder, processor) for _ in range(2))
    assert torch.equal(one.test.targets["answer"], again.test.targets["answer"])
    alone = study(folder, processor, leaves=("x",))
    assert len(alone.clients["x"].test) == 9


def test_without_an_image_processor_pixels_are_from_0_to_1_if_a_size_is_given(folder, tmp_path):
    plain = tiny.save_processor(tmp_path / "tokens", image=False)
    assert set(study(folder, plain).modalities) == {"text"}
    some = study(folder, plain, size=8)
    assert some.modalities["image"] == (3, 8, 8)
    assert 0 <= some.test.inputs["image"].min() < some.test.inputs["image"].max() <= 1


def test_students_by_name_or_in_turn():
    def q(student):
        return questions.Question(None, "?", "a", student, f"x:{student}")

    three = [q("s0"), q("s1"), q("s2"), q("s0")]
    assert [[x.student for x in own] for own in dealt(three, ["a", "b"], "f").values()] == [["s0", "s2", "s0"], ["s1"]]
    named = dealt(three, ["k/s1", "k/s0", "k/s2"], "f")
    assert {leaf: {x.student for x in own} for leaf, own in named.items()} == {
        "k/s1": {"s1"}, "k/s0": {"s0"}, "k/s2": {"s2"}
    }  # fmt: skip
    with pytest.raises(ValueError, match="f: there is no student k/s9, as there is for other leaves"):
        dealt(three, ["k/s1", "k/s9"], "f")
    with pytest.raises(ValueError, match="f: no leaf is called s2"):
        dealt(three, ["k/s1", "k/s0"], "f")
    with pytest.raises(ValueError, match="f: student s0 could be k/s0 or l/s0; write the whole name"):
        dealt(three, ["k/s1", "k/s0", "k/s2", "l/s0"], "f")
    with pytest.raises(ValueError, match="3 students are too few for 4 devices"):
        dealt(three, list("abcd"), "f")


def test_classes_are_the_most_frequent_answers():
    taught = {"cat": 2, "dog": 5, "ant": 2, "cow": 1}
    assert vocabulary(taught, None, "drop") == {"dog": 0, "ant": 1, "cat": 2, "cow": 3}
    assert vocabulary(taught, 2, "drop") == {"dog": 0, "ant": 1}
    assert vocabulary(taught, 2, "class") == {"dog": 0, "ant": 1, "other": 2}
    with pytest.raises(ValueError, match="the only answer is 'yes'; a task needs two or more"):
        vocabulary({"yes": 4}, None, "drop")


@pytest.mark.parametrize(("others", "left", "classes"), [("drop", 36 - 7, 2), ("class", 36, 3)])
def test_rare_answers_are_dropped_or_a_class(folder, processor, others, left, classes):
    rows = lines(folder)
    rows = [row | {"answer": "green" if i % 2 else "red"} for i, row in enumerate(rows)]
    write(folder, [row | {"answer": f"odd{i}"} if i % 5 == 0 and i < 35 else row for i, row in enumerate(rows)])
    some = study(folder, processor, answers=2, others=others)
    assert sum(len(c.train) + len(c.test) for c in some.clients.values()) == left
    assert some.tasks["answer"].classes == classes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("nonsense", r"questions.jsonl:2: not JSON \(.*\); a line is {"),
        ("[" * 5000, r"questions.jsonl:2: not JSON"),
        ("[1]", r"questions.jsonl:2: expected a mapping such as"),
        ({"question": 3}, r"questions.jsonl:2: question must be a text that is not empty, got '3'"),
        ({"answer": " "}, "questions.jsonl:2: answer must be a text"),
        ({"question": "what \ud83d ?"}, "questions.jsonl:2: question has half a character in it"),
        ({"image": "none.png"}, "questions.jsonl:2: image 'none.png' is not in"),
        ({"image": "../outside.png"}, "questions.jsonl:2: image '../outside.png' lies outside of"),
        ({"image": "link.png"}, "questions.jsonl:2: image 'link.png' lies outside of"),
        ({"image": "/etc/hostname"}, "questions.jsonl:2: image '/etc/hostname' lies outside of"),
        ({"image": "a\0b"}, "questions.jsonl:2: image"),
        ({"image": "x" * 5000 + ".png"}, "questions.jsonl:2: image 'x+"),
        ({"image": "text.png"}, "questions.jsonl:2: image text.png: cannot identify"),
        ({"image": "half.png"}, "questions.jsonl:2: image half.png: .*"),
        ({"image": "huge.png"}, "questions.jsonl:2: image huge.png: 64 x 64 pixels are more than 1,000"),
    ],
)
def test_mistakes_are_one_message_with_file_and_line(folder, processor, monkeypatch, change, message):
    Image.new("RGB", (9, 9)).save(folder.parent / "outside.png")
    os.symlink(folder.parent / "outside.png", folder / "link.png")
    (folder / "text.png").write_text("no picture")
    Image.new("RGB", (64, 64)).save(folder / "huge.png")
    whole = (folder / "red.png").read_bytes()
    (folder / "half.png").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setattr(questions, "PIXELS", 1000)
    rows = (folder / "questions.jsonl").read_text().splitlines()
    rows[1] = change if isinstance(change, str) else json.dumps(json.loads(rows[1]) | change)
    (folder / "questions.jsonl").write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        study(folder, processor)
    assert "\n" not in str(caught.value)


def test_other_mistakes(folder, processor, tmp_path):
    (folder / "empty.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="there are no questions in it"):
        vqa_study(folder, "empty.jsonl", processor, LEAVES, seed=1)
    with pytest.raises(ValueError, match=r"processor .*: cannot be read"):
        study(folder, tmp_path)
    write(folder, [row for row in lines(folder) if row["student"] != "s1"] + [lines(folder)[1]])
    with pytest.raises(ValueError, match="c has no questions left to test on; each needs two or more"):
        study(folder, processor)
