import pytest

from experiments.schema.documents import UnreadableError, find_file, parse, put, read, value_of


def test_every_key_and_item_remembers_its_line():
    document = parse("a: 1\nb:\n  c:\n    - x\n    - y\n  d: {e: 2,\n      f: 3}\n")
    assert document.data == {"a": 1, "b": {"c": ["x", "y"], "d": {"e": 2, "f": 3}}}
    lines = {"a": ["a"], "c": ["b", "c"], "y": ["b", "c", 1], "e": ["b", "d", "e"], "f": ["b", "d", "f"]}
    assert {name: document.line(keys) for name, keys in lines.items()} == {"a": 1, "c": 3, "y": 5, "e": 6, "f": 7}
    assert document.line(["b", "d", "absent", 3]) == 6


def test_values_are_those_of_yaml_1_2():
    text = "t: 12:30\ny: yes\non: 1\nb: true\nn:\nf: 5e-3\no: 0o17\nz: 010\nd: 2024-01-02\nq: '7'\ni: .inf"
    numbers = {"on": 1, "f": 0.005, "o": 15, "z": 10, "i": float("inf")}
    texts = {"t": "12:30", "y": "yes", "d": "2024-01-02", "q": "7"}
    assert parse(text).data == numbers | texts | {"b": True, "n": None}


def test_anchors_are_understood():
    assert parse("a: &x [1]\nb: *x").data == {"a": [1], "b": [1]}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the file is empty"),
        ("# only a comment\n", 1, "the file is empty"),
        ("- a\n- b\n", 1, "expected a mapping of keys to values, such as 'title: My study'"),
        ("\njust words\n", 2, "expected a mapping of keys to values, such as 'title: My study'"),
        ("a:\n\tb: 1\n", 2, "not valid YAML: a tab where YAML wants spaces"),
        ("a: [1, 2\nb: 3\n", 2, "not valid YAML: expected ',' or ']', but got ':'"),
        ("a: 1\n b: 2\n", 2, "not valid YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", 2, "not valid YAML: but found another document"),
        ("a: *nowhere\n", 1, "not valid YAML: found undefined alias 'nowhere'"),
        ("a: 1\nb: \x01\n", 2, "not valid YAML: a character that may not be in it"),
    ],
)
def test_what_is_no_mapping_has_a_line_and_one_message(text, line, message):
    with pytest.raises(UnreadableError) as error:
        parse(text)
    assert (error.value.line, str(error.value)) == (line, message)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", (("a",), 3, "duplicate key; it is on line 1 already")),
        ("a: {b: 1, b: 2}\n", (("a", "b"), 1, "duplicate key; it is on line 1 already")),
        ("a: 1\n? [b]\n: 2\n", ((), 2, "a key must be a plain text")),
        ("a: &x [*x]\n", (("a", 0), 1, "an alias inside the very thing that it names")),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            (("a",), 1, "the tag !!python/object/apply:os.system is not understood here; write a plain value"),
        ),
        ("a: !mine 3\n", (("a",), 1, "the tag !mine is not understood here; write a plain value")),
        ("a: !!int x\n", (("a",), 1, "the tag !!int is not understood here; write a plain value")),
    ],
)
def test_what_is_wrong_inside_is_collected_with_its_line(text, problem):
    assert parse(text).problems == [problem]


def test_files_that_cannot_be_read_say_why(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    for name, line, message in [
        ("absent.yaml", None, "cannot be read: no such file or directory"),
        ("", None, "cannot be read: is a directory"),
        ("latin.yaml", 2, "not a text in UTF-8"),
    ]:
        with pytest.raises(UnreadableError) as error:
            read(tmp_path / name)
        assert (error.value.line, str(error.value)) == (line, message)


def test_a_value_of_an_option_is_yaml():
    values = {"3": 3, "[K, 1]": ["K", 1], "10 min": "10 min", "": None, "{a: b}": {"a": "b"}}
    assert {text: value_of(text) for text in values} == values
    with pytest.raises(UnreadableError, match="not valid YAML"):
        value_of("[3")
    with pytest.raises(UnreadableError, match="duplicate key"):
        value_of("{a: 1, a: 2}")


def test_put_goes_through_mappings_lists_and_dotted_keys():
    data = {"a": {"b.c": {"d": 1}}, "l": [{"x": 1}], "n": None}
    assert put(data, "a.b.c.d", 2) == ("a", "b.c", "d")
    assert put(data, "l.0.x", 3) == ("l", 0, "x")
    assert put(data, "n.deep.er", 4) == ("n", "deep", "er")
    assert data == {"a": {"b.c": {"d": 2}}, "l": [{"x": 3}], "n": {"deep": {"er": 4}}}
    with pytest.raises(UnreadableError, match=r"l.0.x is 3, which has no 'y' inside; set it as a whole"):
        put(data, "l.0.x.y", 5)
    with pytest.raises(UnreadableError, match=r"which has no '7' inside"):
        put(data, "l.7", 5)


def test_a_file_is_sought_beside_the_scenario_first_and_then_in_the_data_folder(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    monkeypatch.setenv("EDUFOG_DATA", str(there))
    (there / "x.csv").touch()
    assert find_file("x.csv", here) == (there / "x.csv").resolve()
    (here / "x.csv").touch()
    assert find_file("x.csv", here) == (here / "x.csv").resolve()
    with pytest.raises(ValueError, match="not found") as error:
        find_file("y.csv", here)
    assert str(error.value) == (
        f"file 'y.csv' not found: not in {here.resolve()}, nor under $EDUFOG_DATA ({there}); "
        "put it beside the scenario or set EDUFOG_DATA to its folder"
    )
    monkeypatch.delenv("EDUFOG_DATA")
    with pytest.raises(ValueError, match=r"EDUFOG_DATA \(which is not set\)"):
        find_file("y.csv", here)
