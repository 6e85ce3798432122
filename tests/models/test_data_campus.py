import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from models.data.campus import campus_study
from models.data.exercises import CLICK_FEATURES, exercises
from models.data.people import enrol
from models.data.streams import stream
from models.data.subsets import accuracies
from models.data.variance import variance_shares


def tree(campuses=3, rooms=4, devices=10):
    return {
        f"campus{c}/room{r}/device{d}": (f"campus{c}", f"room{r}")
        for c in range(campuses)
        for r in range(rooms)
        for d in range(devices)
    }


@pytest.fixture(scope="module")
def study():
    return campus_study(tree(), seed=0)


def images(samples):
    return {x.numpy().tobytes() for x in samples.inputs["handwriting"]} if "handwriting" in samples.inputs else set()


def parts(study):
    return [s for c in study.clients.values() for s in (c.train, c.test)] + [study.test, study.public]


def equal(one, two):
    return (
        one.inputs.keys() == two.inputs.keys()
        and one.targets.keys() == two.targets.keys()
        and all(torch.equal(one.inputs[m], two.inputs[m]) for m in one.inputs)
        and all(torch.equal(one.targets[t], two.targets[t]) for t in one.targets)
    )


def test_shapes_types_and_sizes(study):
    assert study.modalities == {"handwriting": (8, 8), "clickstream": (12, 8), "record": (12,)}
    assert {t: task.classes for t, task in study.tasks.items()} == {"answer": 10, "engagement": 4, "outcome": 0}
    assert list(study.clients) == list(tree())
    for samples in parts(study):
        for m, x in samples.inputs.items():
            assert x.dtype == torch.float32
            assert x.shape == (len(samples), *study.modalities[m])
            assert x.isfinite().all()
        for t, y in samples.targets.items():
            assert y.dtype == (torch.int64 if study.tasks[t].classes else torch.float32)
            assert not study.tasks[t].classes or 0 <= int(y.min()) <= int(y.max()) < study.tasks[t].classes
    assert len(study.test) == 360
    assert len(study.public) == 300
    assert sum(len(c.train) for c in study.clients.values()) == 1797 - 360 - 300
    assert {len(c.test) for c in study.clients.values()} == {9}


def test_handwriting_is_the_real_digits_and_nothing_held_out_is_trained_on():
    study = campus_study(tree(), seed=0, missing_modality=0.0)
    trained = set().union(*(images(c.train) for c in study.clients.values()))
    tested = set().union(*(images(c.test) for c in study.clients.values()))
    assert tested <= images(study.test)
    assert not trained & images(study.test)
    assert not images(study.public) & (trained | images(study.test))
    pixels, answers = load_digits(return_X_y=True)
    real = {(x / 16).astype(np.float32).tobytes(): y for x, y in zip(pixels, answers, strict=True)}
    assert trained | images(study.test) | images(study.public) == set(real)
    for samples in [study.test, *(c.train for c in study.clients.values())]:
        digits = zip(samples.inputs["handwriting"], samples.targets["answer"], strict=True)
        assert all(real[x.numpy().tobytes()] == y for x, y in digits)


def test_the_pool_has_all_classes_in_proportion_and_the_open_data_no_targets(study):
    assert study.public.targets == {}
    assert list(study.public.inputs) == ["handwriting", "clickstream", "record"]
    assert np.ptp(np.bincount(study.test.targets["answer"], minlength=10)) <= 3


def test_students_are_tested_in_their_own_mix(study):
    shares = [np.isin(c.test.targets["answer"], c.train.targets["answer"]).mean() for c in study.clients.values()]
    assert np.mean(shares) == 1.0
    counts = [
        np.stack([np.bincount(s.targets["answer"], minlength=10) / len(s) for s in (c.train, c.test)])
        for c in study.clients.values()
    ]
    assert np.corrcoef(np.concatenate(counts, 1))[0, 1] > 0.7


def test_who_lacks_a_modality_or_a_task_holds_none_of_it():
    study = campus_study(tree(), seed=4, missing_modality=0.2, missing_task=0.1)
    lacks = {"inputs": [], "targets": []}
    for client in study.clients.values():
        for kind, names in (("inputs", study.modalities), ("targets", study.tasks)):
            assert getattr(client.train, kind).keys() == getattr(client.test, kind).keys()
            missing = set(names) - set(getattr(client.train, kind))
            assert len(missing) <= 1
            lacks[kind] += missing
    assert sorted(lacks["inputs"].count(m) for m in study.modalities) == [8, 8, 8]
    assert sorted(lacks["targets"].count(t) for t in study.tasks) == [4, 4, 4]


def test_seed_and_names_decide_everything(study):
    again = campus_study(dict(reversed(tree().items())), seed=0)
    other = campus_study(tree(), seed=1)
    assert equal(study.test, again.test)
    assert equal(study.public, again.public)
    for name, client in study.clients.items():
        assert equal(client.train, again.clients[name].train)
        assert equal(client.test, again.clients[name].test)
    assert not equal(study.test, other.test)


@pytest.mark.parametrize("places", [{"solo": ("home", "desk")}, tree(1, 1, 8), tree(2, 1, 3), tree(5, 8, 14)])
def test_any_tree_will_do(places):
    study = campus_study(places, seed=0)
    assert list(study.clients) == list(places)
    assert min(len(c.train) for c in study.clients.values()) >= 2
    assert all(s.isfinite().all() for c in study.clients.values() for s in c.train.targets.values())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"places": tree(10, 10, 10)}, "1137 of the 1797 digits are left for 1000 devices.*at most 568 devices"),
        ({"places": {}}, "no devices"),
        ({"test": 1797}, "0 of the 1797"),
        ({"test": 3}, "test must be >= 20"),
        ({"public": -1}, "public must be >= 0"),
        ({"own_test": 0}, "own_test must be >= 1"),
        ({"missing_modality": 1.2}, "missing_modality must be from 0 to 1"),
        ({"missing_task": -0.1}, "missing_task"),
        ({"partition": "shards"}, "dirichlet, iid"),
        ({"alpha": 0}, "alpha must be > 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(wrong, message):
    with pytest.raises(ValueError, match=message):
        campus_study(**({"places": tree(), "seed": 0} | wrong))


def test_outcome_has_the_calibrated_shares_of_school_and_class():
    places = tree(20, 8, 10)
    people = enrol(places, seed=0)
    values, schools, classes = [], [], []
    for name, student in people.items():
        done = exercises(np.arange(10), [student] * 10, stream(0, "test", name))
        values += list(done.outcome)
        schools += [places[name][0]] * 10
        classes += [places[name][1]] * 10
    found = variance_shares(values, schools, classes)
    assert np.var(values) == pytest.approx(1.0, abs=0.06)
    assert found.school == pytest.approx(0.20, abs=0.02)
    assert found.classroom == pytest.approx(0.115, abs=0.015)


def test_the_study_itself_keeps_the_shares_over_seeds():
    found = []
    for seed in range(8):
        study = campus_study(tree(), seed=seed, public=0)
        rows = [(y, *tree()[n]) for n, c in study.clients.items() for y in c.train.targets["outcome"].tolist()]
        found.append(variance_shares(*zip(*rows, strict=True)))
    assert np.mean([f.school for f in found]) == pytest.approx(0.20, abs=0.03)
    assert np.mean([f.classroom for f in found]) == pytest.approx(0.115, abs=0.02)


def test_outcome_is_z_scored_over_the_training_population(study):
    outcome = torch.cat([c.train.targets["outcome"] for c in study.clients.values()])
    assert float(outcome.mean()) == pytest.approx(0, abs=1e-5)
    assert float(outcome.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_a_key_is_a_row_of_the_keypad_and_an_event_is_one_thing(study):
    clicks = study.test.inputs["clickstream"]
    assert CLICK_FEATURES[-2:] == ("log_dwell", "log_elapsed")
    assert set(clicks[..., :6].unique().tolist()) == {0.0, 1.0}
    assert int(clicks[..., :6].sum(-1).max()) == 1
    assert torch.equal(clicks[:, -1, 2:6].sum(-1), torch.ones(len(clicks)))
    dwell, elapsed = clicks[..., -2].double(), clicks[..., -1].double()
    assert torch.allclose(elapsed[:, -1].exp(), dwell.exp().mean(-1), rtol=1e-5)


def test_no_modality_alone_is_enough(study):
    table = accuracies(study)
    alone, whole = table.loc[list(study.modalities)].max(), table.iloc[-1]
    assert len(table) == 7
    assert whole.name == "handwriting+clickstream+record"
    assert whole.answer >= 0.90
    assert 0.30 <= table.answer["clickstream"] <= 0.45
    assert whole.engagement >= max(0.70, alone.engagement + 0.15)
    assert whole.outcome >= alone.outcome + 0.10
