import numpy as np
import pytest

from models.data.people import CAMPUS_SHARE, CLASSROOM_SHARE, LENIENCY, STUDENT_SHARE, enrol, spread
from models.data.variance import variance_shares


def nested(rng, schools, rooms, students, parts, uneven=False):
    """A population of the random-effects model with these variances of school, class and the rest."""
    values, school, room = [], [], []
    for s in range(schools):
        top = rng.normal(0, np.sqrt(parts[0]))
        for r in range(rooms):
            middle = rng.normal(0, np.sqrt(parts[1]))
            n = students + (rng.integers(-students // 2, students) if uneven else 0)
            values += list(top + middle + rng.normal(0, np.sqrt(parts[2]), n))
            school += [s] * n
            room += [r] * n
    return values, school, room


@pytest.mark.parametrize("uneven", [False, True])
def test_known_shares_are_found_again(uneven):
    found = variance_shares(*nested(np.random.default_rng(0), 800, 4, 20, (2.0, 1.0, 7.0), uneven))
    assert found.school == pytest.approx(0.2, abs=0.02)
    assert found.classroom == pytest.approx(0.1, abs=0.01)
    assert found.school + found.classroom + found.rest == pytest.approx(1.0)


def test_balanced_table_by_hand():
    # two schools of two classes of two: mean squares 32, 2 and 1/2, hence components 7.5, .75 and .5
    values = [0, 1, 1, 2, 4, 5, 5, 6]
    found = variance_shares(values, "aaaabbbb", "11221122")
    rest, room = 0.5, (1.0 - 0.5) / 2
    school = (32.0 - 1.0) / 4
    whole = rest + room + school
    assert (found.school, found.classroom, found.rest) == pytest.approx((school / whole, room / whole, rest / whole))


def test_classes_are_told_apart_by_school_too_and_negative_components_are_zero():
    found = variance_shares([0, 2, 0, 2, 0, 2, 0, 2], "aaaabbbb", "11221122")
    assert (found.school, found.classroom, found.rest) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("schools", "classes"), [("aaaa", "1122"), ("aabb", "1122"), ("abcd", "1212"), ("aabb", "1212")]
)
def test_shares_are_undefined_where_a_level_has_one_member(schools, classes):
    with pytest.raises(ValueError, match="needs several schools"):
        variance_shares([1.0, 2.0, 3.0, 4.0], schools, classes)


def test_spread_is_exact_and_a_single_one_is_zero():
    draws = spread(np.random.default_rng(0), 3, 0.7)
    assert draws.mean() == pytest.approx(0, abs=1e-12)
    assert draws.std(ddof=1) == pytest.approx(0.7)
    assert spread(np.random.default_rng(0), 1, 0.7).tolist() == [0.0]


def test_effects_of_the_enrolled_have_the_stated_variances():
    places = {f"c{c}/r{r}/s{s}": (f"c{c}", f"r{r}") for c in range(5) for r in range(6) for s in range(4)}
    people = enrol(places, seed=2)
    assert list(people) == sorted(places)
    campus = [people[f"c{c}/r0/s0"].campus for c in range(5)]
    assert np.var(campus, ddof=1) == pytest.approx(CAMPUS_SHARE + CLASSROOM_SHARE / 6)
    rooms = [people[f"c1/r{r}/s0"] for r in range(6)]
    assert np.var([s.classroom for s in rooms], ddof=1) == pytest.approx(CLASSROOM_SHARE)
    assert np.std([s.leniency for s in rooms], ddof=1) == pytest.approx(LENIENCY)
    own = [people[f"c1/r2/s{s}"].own for s in range(4)]
    assert np.var(own, ddof=1) == pytest.approx(STUDENT_SHARE)
    assert len({s.classroom for s in people.values()}) == 30
