"""The quick forest against scikit-learn's: every node of every tree."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier

from nslib import classifiers, forest
from nslib.forest import QuickForest


def clips(count=60, dim=30, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    y[:classes] = np.arange(classes)
    return rng.normal(size=(count, dim)) + rng.normal(size=(classes, dim))[y], np.char.mod("label %d", y)


def same(found, expected, x):
    assert len(found.estimators_) == len(expected.estimators_)
    for one, other in zip(found.estimators_, expected.estimators_, strict=True):
        assert one.random_state == other.random_state
        assert (one.tree_.__getstate__()["nodes"] == other.tree_.__getstate__()["nodes"]).all()
        assert (one.tree_.value == other.tree_.value).all()
        assert (one.classes_ == other.classes_).all() and one.classes_.dtype == other.classes_.dtype
        for name in ("n_classes_", "n_outputs_", "n_features_in_", "max_features_"):
            assert getattr(one, name) == getattr(other, name)
    assert vars(found).keys() == vars(expected).keys() and found.n_classes_ == expected.n_classes_
    assert (found.feature_importances_ == expected.feature_importances_).all()
    assert (found.predict_proba(x) == expected.predict_proba(x)).all()
    assert (found.predict(x) == expected.predict(x)).all()


@pytest.mark.parametrize(("count", "dim", "classes"), [(60, 30, 4), (20, 2000, 2), (300, 1, 5), (90, 12, 30)])
@pytest.mark.parametrize("weight", [None, "balanced", "balanced_subsample"])
def test_trees_are_scikit_learns(count, dim, classes, weight):
    x, y = clips(count, dim, classes)
    kinds = (kind(30, class_weight=weight, random_state=5) for kind in (QuickForest, RandomForestClassifier))
    same(*(kind.fit(x, y) for kind in kinds), np.concatenate([x, -x]))


@pytest.mark.parametrize("jobs", [None, 2])
@pytest.mark.parametrize("order", ["C", "F"])
def test_float32_by_columns_and_any_number_of_jobs_change_nothing(order, jobs):
    x, y = clips(80, 100)
    expected = RandomForestClassifier(40, random_state=1).fit(x, y)
    found = QuickForest(40, random_state=1, n_jobs=jobs).fit(np.asarray(x, dtype=np.float32, order=order), y)
    same(found.set_params(n_jobs=None), expected, x)


@pytest.mark.parametrize("seed", [None, np.random.RandomState(3)])
def test_a_generator_as_seed_is_used_and_advanced_as_scikit_learn_does(seed):
    x, y = clips()
    one, other = (np.random.RandomState(3) if seed else None for _ in range(2))
    np.random.seed(0)
    found = QuickForest(10, random_state=one).fit(x, y)
    np.random.seed(0)
    same(found, RandomForestClassifier(10, random_state=other).fit(x, y), x)


def test_labels_of_one_class_weights_of_clips_and_wrong_input_are_scikit_learns():
    x, y = clips()
    same(*(kind(5, random_state=0).fit(x, y, np.arange(60) + 1.0) for kind in (QuickForest, RandomForestClassifier)), x)
    same(*(kind(5, random_state=0).fit(x, [1] * 60) for kind in (QuickForest, RandomForestClassifier)), x)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        QuickForest(5).fit(x, y[1:])
    with pytest.raises(ValueError, match="expecting 30 features"):
        QuickForest(5).fit(x, y).predict(x[:, 1:])
    with pytest.raises(ValueError, match="n_estimators"):
        QuickForest(0).fit(x, y)


def test_twins_constants_and_missing_values_are_scikit_learns():
    x, y = clips(50, 20)
    x[:, 3], x[10:20], x[25:, 7] = 0.5, x[9], np.nan
    same(QuickForest(20, random_state=0).fit(x, y), RandomForestClassifier(20, random_state=0).fit(x, y), x)


@pytest.mark.parametrize("options", [{"max_depth": 2}, {"max_features": None}, {"criterion": "entropy"},
                                     {"min_samples_leaf": 4}, {"bootstrap": False}, {"max_samples": 0.5},
                                     {"ccp_alpha": 0.01}, {"max_leaf_nodes": 5}, {"oob_score": True}])
def test_other_settings_are_scikit_learns(options):
    x, y = clips(200)
    same(*(kind(20, random_state=2, **options).fit(x, y) for kind in (QuickForest, RandomForestClassifier)), x)


def test_what_a_release_changes_is_left_to_scikit_learn(monkeypatch):
    def changed(*_):
        raise TypeError("takes 7 positional arguments")

    x, y = clips()
    monkeypatch.setattr(forest._Given, "grown", changed)
    same(QuickForest(10, random_state=0).fit(x, y), RandomForestClassifier(10, random_state=0).fit(x, y), x)


def test_the_steps_that_are_replaced_are_still_scikit_learns(monkeypatch):
    x, y = clips()
    grown, seen = forest._Given.grown, []
    monkeypatch.setattr(forest._Given, "grown", lambda *given: seen.append(1) or grown(*given))
    QuickForest(10, random_state=0).fit(x, y)
    assert len(seen) == 10  # else forests become slow, silently


def test_it_is_an_estimator_like_its_parent_and_the_probe_uses_it():
    x, y = clips()
    model = clone(QuickForest(10, random_state=0, class_weight="balanced"))
    assert model.get_params() == RandomForestClassifier(10, random_state=0, class_weight="balanced").get_params()
    again = pickle.loads(pickle.dumps(model.fit(x, y)))
    assert (again.predict_proba(x) == model.predict_proba(x)).all()
    assert all(isinstance(classifiers.CLASSIFIERS[name](60, 4, 0), QuickForest) for name in classifiers.IN_FLOAT32)
