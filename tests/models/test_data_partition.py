import numpy as np
import pytest

from models.data.partition import fit_table, partition, round_table, stratified_order
from models.data.streams import stream

LABELS = np.repeat(np.arange(10), 110)


def tree(campuses=3, rooms=4, students=10):
    return {
        f"c{c}/r{r}/s{s}": (f"c{c}", f"r{r}") for c in range(campuses) for r in range(rooms) for s in range(students)
    }


def mixes(held, places, level):
    """Label shares ``[groups, 10]`` by campus (level 1) or room (level 2)."""
    groups = sorted({places[s][:level] for s in held})
    counts = [
        np.bincount(np.concatenate([LABELS[i] for s, i in held.items() if places[s][:level] == g]), minlength=10)
        for g in groups
    ]
    return np.array([c / c.sum() for c in counts])


def skew(shares):
    """Mean total variation distance to the even mix."""
    return float(np.abs(shares - 0.1).sum(1).mean() / 2)


@pytest.mark.parametrize("kind", ["dirichlet", "iid"])
@pytest.mark.parametrize("students", [1, 7, 45])
def test_every_sample_goes_to_exactly_one_student(kind, students):
    held = partition(LABELS, tree(students=students), seed=1, kind=kind)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(held.values()))), np.arange(len(LABELS)))
    sizes = {len(i) for i in held.values()}
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2


@pytest.mark.parametrize("alpha", [1e-3, 0.05, 0.5, 100.0])
def test_sizes_stay_equal_however_skewed_the_labels(alpha):
    held = partition(LABELS, tree(students=45), seed=3, alpha=alpha)
    assert sorted(held) == sorted(tree(students=45))
    assert {len(i) for i in held.values()} == {2, 3}


def test_a_smaller_alpha_skews_more_and_a_room_more_than_its_campus():
    places = tree()
    rooms = {a: skew(mixes(partition(LABELS, places, seed=5, alpha=a), places, 2)) for a in (0.1, 0.5, 5.0)}
    campuses = skew(mixes(partition(LABELS, places, seed=5, alpha=0.5), places, 1))
    iid = skew(mixes(partition(LABELS, places, seed=5, kind="iid"), places, 2))
    assert rooms[0.1] > rooms[0.5] > campuses > iid
    assert rooms[0.5] > rooms[5.0] > iid


def test_seed_and_names_decide_and_the_order_of_names_does_not():
    places = tree()
    backwards = dict(reversed(places.items()))
    one, two, other = (partition(LABELS, p, seed=s) for p, s in ((places, 7), (backwards, 7), (places, 8)))
    assert all(np.array_equal(one[s], two[s]) for s in places)
    assert not all(np.array_equal(one[s], other[s]) for s in places)


def test_uneven_trees_share_in_proportion_to_their_students():
    places = {"a": ("north", "1"), "b": ("north", "1"), "c": ("north", "2"), "d": ("south", "1")}
    held = partition(np.repeat([0, 1, 2], 20), places, seed=0)
    assert {s: len(i) for s, i in held.items()} == dict.fromkeys("abcd", 15)


def test_exactly_the_minimum_is_enough_and_one_less_is_not():
    places = tree(students=1)
    assert {len(i) for i in partition(LABELS[:24], places, seed=0, minimum=2).values()} == {2}
    with pytest.raises(ValueError, match=r"23 samples are too few for 12 students with at least 2 each; at most 11"):
        partition(LABELS[:23], places, seed=0, minimum=2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "pathological"}, "dirichlet, iid"),
        ({"alpha": 0.0}, "alpha must be > 0"),
        ({"alpha": float("nan")}, "alpha must be > 0"),
        ({"campus_alpha": -1.0}, "campus_alpha must be > 0"),
        ({"minimum": 0}, "minimum must be >= 1"),
    ],
)
def test_a_wrong_setting_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        partition(LABELS, tree(), seed=0, **wrong)


def test_nobody_to_share_among():
    with pytest.raises(ValueError, match="no students"):
        partition(LABELS, {}, seed=0)


def test_fitting_keeps_the_odds_ratio_and_meets_the_sums():
    shares = np.array([[0.8, 0.2], [0.5, 0.5]])
    table = fit_table(shares, np.array([30, 70]), np.array([40, 60]))
    np.testing.assert_allclose(table.sum(1), [30, 70])
    np.testing.assert_allclose(table.sum(0), [40, 60])
    assert table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0]) == pytest.approx(4.0)


def test_rounding_meets_both_sums_exactly():
    rng = np.random.default_rng(0)
    for _ in range(50):
        counts = rng.integers(0, 5, size=(6, 9))
        rows, columns = counts.sum(1), counts.sum(0)
        rounded = round_table(fit_table(rng.dirichlet([0.1] * 9, size=6), rows, columns), rows, columns)
        np.testing.assert_array_equal(rounded.sum(1), rows)
        np.testing.assert_array_equal(rounded.sum(0), columns)
        assert rounded.min() >= 0


def test_every_stretch_of_a_stratified_order_has_the_mix_of_the_whole():
    order = stratified_order(LABELS, 0, "test")
    np.testing.assert_array_equal(np.sort(order), np.arange(len(LABELS)))
    for part in np.array_split(order, 5):
        assert np.ptp(np.bincount(LABELS[part], minlength=10)) <= 1


def test_streams_differ_in_each_of_the_four_values():
    keys = [(0, "a"), (1, "a"), (0, "b"), (0, "a", "n"), (0, "a", "n", 1), (0, "", "a")]
    assert len({stream(*key).random() for key in keys}) == 6
    assert stream(3, "fading", "tablet", 2).random() == stream(3, "fading", "tablet", 2).random()
