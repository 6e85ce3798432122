import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from models.data.star import feature_names, star_study
from models.data.star_table import COLUMNS, read_star
from models.data.variance import variance_shares

STAR = Path(os.environ.get("EDUFOG_DATA", "")) / "star.csv"
needs_star = pytest.mark.skipif(
    "EDUFOG_DATA" not in os.environ or not STAR.is_file(), reason="star.csv is not in the folder EDUFOG_DATA names"
)
PUPIL = {
    "id": "1",
    "sch": "28",
    "gr": "K",
    "cltype": "small",
    "hdeg": "BS/BA",
    "clad": "1",
    "exp": "3",
    "trace": "B",
    "read": "476",
    "math": "602",
    "ses": "F",
    "schtype": "inner",
    "sx": "F",
    "eth": "B",
    "birthq": "1980:1",
    "tch": "478",
}


def write(path, rows, columns=COLUMNS):
    """A file in the format of star.csv: each row is what differs from PUPIL."""
    lines = [",".join(columns), *(",".join({**PUPIL, **row}[c] for c in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def classes(sizes=(8, 10), grade="K", first=1):
    """Pupils of as many classes of one school, with scores that differ."""
    rng = np.random.default_rng(first)
    return [
        {
            "id": str(first + 100 * c + i),
            "tch": str(10 * first + c),
            "gr": grade,
            "read": str(rng.integers(400, 600)),
            "math": str(rng.integers(400, 600)),
            "exp": str(c),
        }
        for c, n in enumerate(sizes)
        for i in range(n)
    ]


def test_small_classes_and_pupils_without_both_scores_take_no_part(tmp_path):
    rows = classes((8, 10, 7, 9))
    rows[-1]["math"] = ""
    rows[-2]["read"] = ""
    rosters, study = star_study(write(tmp_path / "star.csv", rows), grades=["K"], seed=0)
    assert list(study.clients) == ["school28/class10", "school28/class11"]
    assert list(rosters.columns) == ["student", "class", "school"]
    assert rosters.groupby(["school", "class"], sort=False).size().tolist() == [8, 10]
    assert {f"{s}/{c}" for s, c in zip(rosters["school"], rosters["class"], strict=True)} == set(study.clients)
    assert [(len(c.train), len(c.test)) for c in study.clients.values()] == [(6, 2), (8, 2)]
    assert study.modalities == {"record": (31,)}
    assert len(study.test) == 4
    assert study.public is None


def test_scores_are_z_scored_within_grade_by_the_training_pupils(tmp_path):
    rows = classes((12, 12), "K") + [r | {"read": str(int(r["read"]) + 300)} for r in classes((12, 12), "1", first=5)]
    _, study = star_study(write(tmp_path / "star.csv", rows), seed=0)
    by_grade = {0.0: [], 1.0: []}
    for client in study.clients.values():
        by_grade[float(client.train.inputs["record"][0, 2])].append(client.train.targets["read"])
    for scores in by_grade.values():
        assert float(torch.cat(scores).mean()) == pytest.approx(0, abs=1e-6)
        assert float(torch.cat(scores).std(correction=0)) == pytest.approx(1, abs=1e-6)


def test_what_is_missing_is_coded(tmp_path):
    rows = classes((8,))
    rows[0] |= {"exp": "", "birthq": "NA:NA", "hdeg": "", "clad": "NA", "ses": "", "eth": "", "sx": "", "trace": ""}
    _, study = star_study(write(tmp_path / "star.csv", rows), grades=["K"], seed=0)
    (client,) = study.clients.values()
    record = torch.cat([client.train.inputs["record"], client.test.inputs["record"]])
    coded = [r for r in record if r[feature_names().index("ses:missing")]]
    assert len(coded) == 1
    ones = {n for n, v in zip(feature_names(), coded[0].tolist(), strict=True) if v}
    assert ones == {"cltype:small", "hdeg:missing", "clad:missing", "ses:missing", "schtype:inner", "eth:other"}


def test_seed_decides_who_is_held_out(tmp_path):
    path = write(tmp_path / "star.csv", classes((20, 20)))
    one, two, other = (star_study(path, grades=["K"], seed=s)[1].test.targets["read"] for s in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"exp": "three"}, r"star\.csv:4: column exp: expected a number >= 0, got 'three'"),
        ({"read": "nan"}, r"star\.csv:4: column read: expected a number >= 0, got 'nan'"),
        ({"math": "-5"}, r":4: column math: expected a number"),
        ({"sch": "2.5"}, r":4: column sch: expected a"),
        ({"gr": "4"}, r":4: column gr: '4' is none of K, 1, 2, 3"),
        ({"cltype": "big"}, r":4: column cltype: 'big'"),
        ({"tch": ""}, r":4: column tch: the value is missing"),
        ({"birthq": "spring"}, r":4: column birthq: expected year"),
        ({"birthq": "1980:7"}, r":4: column birthq: the quarter"),
        ({"eth": "B,W"}, r":4: 17 cells where the header has 16"),
        ({"sx": "\ufffd"}, r":4: column sx"),
    ],
)
def test_a_malformed_value_is_named_by_line_and_column(tmp_path, wrong, message):
    rows = classes((8,))
    rows[2] |= wrong
    with pytest.raises(ValueError, match=message):
        read_star(write(tmp_path / "star.csv", rows))


def test_a_quoted_line_break_does_not_shift_the_line_number(tmp_path):
    rows = classes((8,))
    rows[0]["ses"], rows[2]["sx"] = '"F\n"', "X"
    with pytest.raises(ValueError, match=r"star\.csv:5: column sx"):
        read_star(write(tmp_path / "star.csv", rows))


def test_a_missing_file_or_column_names_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.csv: no such file; take star\.csv of the R package mlmRev"):
        read_star(tmp_path / "absent.csv")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_star(tmp_path)
    with pytest.raises(ValueError, match=r"star\.csv:1: missing columns tch, math; take star\.csv"):
        read_star(write(tmp_path / "star.csv", classes((8,)), [c for c in COLUMNS if c not in ("math", "tch")]))
    with pytest.raises(ValueError, match=r"star\.csv:2: there are no pupils"):
        read_star(write(tmp_path / "star.csv", []))
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match=r"empty\.csv:1: missing columns id"):
        read_star(tmp_path / "empty.csv")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"grades": ["K", "7"]}, "grades must be some of K, 1, 2, 3"),
        ({"grades": []}, "grades"),
        ({"grades": "K"}, "grades"),
        ({"minimum": 1}, "minimum must be >= 2"),
        ({"holdout": 1.0}, "holdout must be between 0 and 1"),
        ({"grades": ["3"]}, "no class of grades 3 has 8 pupils with both scores"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        star_study(write(tmp_path / "star.csv", classes()), **({"seed": 0} | wrong))


@needs_star
def test_real_classrooms_and_schools_reach_the_known_errors():
    rosters, study = star_study(STAR, seed=0)
    assert len(study.clients) == 656
    assert len({name.split("/")[0] for name in study.clients}) == rosters["school"].nunique() == 80
    train = [c.train for c in study.clients.values()]
    x, y = (np.concatenate([f(s) for s in train]) for f in (features, scores))
    home = np.repeat(list(study.clients), [len(s) for s in train])
    x_test, y_test = (np.concatenate([f(c.test) for c in study.clients.values()]) for f in (features, scores))
    home_test = np.repeat(list(study.clients), [len(c.test) for c in study.clients.values()])
    pooled = np.mean((Ridge(1.0).fit(x, y).predict(x_test) - y_test) ** 2)
    mixed = [np.concatenate([a, dummies(h, home)], 1) for a, h in ((x, home), (x_test, home_test))]
    both = np.mean((Ridge(3.0).fit(mixed[0], y).predict(mixed[1]) - y_test) ** 2)
    assert pooled == pytest.approx(0.87, abs=0.03)
    assert both == pytest.approx(0.69, abs=0.03)


@needs_star
def test_kindergarten_mathematics_has_the_shares_that_the_generator_aims_at():
    table = read_star(STAR)
    table = table[(table["gr"] == "K") & table["math"].notna()]
    found = variance_shares(table["math"], table["sch"], table["tch"])
    assert found.school == pytest.approx(0.17, abs=0.01)
    assert found.classroom == pytest.approx(0.124, abs=0.01)
    between = table.groupby("sch")["math"].transform("mean").var() / table["math"].var()
    assert between == pytest.approx(0.21, abs=0.005)


def features(samples):
    return samples.inputs["record"].numpy()


def scores(samples):
    return np.stack([samples.targets[t].numpy() for t in ("read", "math")], 1)


def dummies(homes, known):
    """0/1 columns of school and class."""
    school = np.array([h.split("/")[0] for h in homes])
    schools = np.unique([h.split("/")[0] for h in known])
    return np.concatenate([school[:, None] == schools, homes[:, None] == np.unique(known)], 1).astype(np.float32)
