"""Regression in the space of its clips against scikit-learn's, step for step."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from nslib import classifiers, logistic_rows
from nslib.logistic_rows import QuickLogisticRegression


def clips(count, dim, classes, seed=0, spread=0.3):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    y[:classes] = np.arange(classes)
    directions = rng.normal(size=(5, dim))
    return rng.normal(size=(count, dim)) + spread * rng.normal(size=(classes, dim))[y] + rng.normal(
        size=(count, 5)) @ directions, np.char.mod("label %d", y)


def both(x, y, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [kind(**options).fit(x, y) for kind in (QuickLogisticRegression, LogisticRegression)]


def as_probe(count, **options):
    return {"C": 1e5, "tol": 1e-4 / count, "max_iter": 100} | options


@settings(max_examples=25)
@given(count=st.integers(4, 60), classes=st.integers(2, 8), seed=st.integers(0, 99), unit=st.booleans(),
       weight=st.sampled_from([None, "balanced"]), twins=st.booleans(), constant=st.booleans())
def test_steps_and_answers_are_scikit_learns(count, classes, seed, unit, weight, twins, constant):
    classes = min(classes, count)
    x, y = clips(count, 8 * count + seed, classes, seed)
    if twins:
        x[-1] = x[0]
    if constant:
        x[:, :5] = 3.0
    if unit:
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    ours, theirs = both(x, y, **as_probe(count, class_weight=weight))
    new = clips(200, x.shape[1], classes, seed)[0]
    new = new / np.linalg.norm(new, axis=1, keepdims=True) if unit else new
    if theirs.n_iter_ == 100 or twins:  # left to it
        assert (ours.coef_ == theirs.coef_).all()
    expected = theirs.decision_function(new)
    assert ours.n_iter_ == theirs.n_iter_ and (ours.predict(new) == theirs.predict(new)).all()
    np.testing.assert_allclose(ours.decision_function(new), expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("classes", [2, 6])
def test_it_ends_where_scikit_learn_ends_by_the_gradient_in_all_dimensions(classes, monkeypatch):
    x, y = clips(40, 4000, classes)
    monkeypatch.setattr(LogisticRegression, "fit", lambda *_: pytest.fail("left to scikit-learn"))
    quick = QuickLogisticRegression(**as_probe(40)).fit(x, y)
    monkeypatch.undo()
    plain = LogisticRegression(**as_probe(40)).fit(x, y)
    assert quick.n_iter_ == plain.n_iter_ < 100
    np.testing.assert_allclose(quick.coef_, plain.coef_, atol=1e-9 * np.abs(plain.coef_).max())
    np.testing.assert_allclose(quick.intercept_, plain.intercept_, atol=1e-9 * np.abs(plain.coef_).max())
    assert vars(quick).keys() == vars(plain).keys()


def test_what_is_stopped_at_its_cap_is_scikit_learns_to_the_last_bit():
    x, y = clips(40, 4000, 5)
    options = as_probe(40, max_iter=7)
    with pytest.warns(ConvergenceWarning):
        quick = QuickLogisticRegression(**options).fit(x, y)
    _, plain = both(x, y, **options)
    assert quick.n_iter_ == plain.n_iter_ == 7
    assert (quick.coef_ == plain.coef_).all() and (quick.intercept_ == plain.intercept_).all()


def test_a_cap_at_the_very_iteration_that_is_good_enough_counts_as_a_cap_as_in_scikit_learn():
    x, y = clips(40, 4000, 5)
    needed = int(QuickLogisticRegression(**as_probe(40)).fit(x, y).n_iter_[0])
    for kind in (QuickLogisticRegression, LogisticRegression):
        with pytest.warns(ConvergenceWarning):
            kind(**as_probe(40, max_iter=needed)).fit(x, y)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            kind(**as_probe(40, max_iter=needed + 1)).fit(x, y)


def test_vectors_of_zeros_end_at_once():
    ours, theirs = both(np.zeros((6, 60)), np.arange(6) % 2, **as_probe(6))
    assert ours.n_iter_ == theirs.n_iter_ == 0 and not ours.coef_.any() and not ours.intercept_.any()


@pytest.mark.parametrize("change", [{"dim": 200}, {"dtype": np.float32}, {"options": {"fit_intercept": False}},
                                    {"options": {"solver": "newton-cg"}}, {"options": {"warm_start": True}}])
def test_other_cases_are_the_parents(change, monkeypatch):
    x, y = clips(40, change.get("dim", 800), 3)
    monkeypatch.setattr(logistic_rows, "_Objective", lambda *_: pytest.fail("not the parent's"))
    ours, theirs = both(x.astype(change.get("dtype", float)), y, **change.get("options", {}))
    assert (ours.coef_ == theirs.coef_).all()


@pytest.mark.parametrize(("x", "y", "said"), [
    (np.full((4, 40), np.nan), [0, 1, 0, 1], "contains NaN"), (np.ones((4, 40)), [1, 1, 1, 1], "one class"),
    (np.ones((4, 40)), [0, 1, 0], "inconsistent"), (np.ones((4, 40)), [0.1, 0.2, 0.3, 0.4], "continuous")])
def test_wrong_input_is_refused_in_scikit_learns_words(x, y, said):
    for kind in (QuickLogisticRegression, LogisticRegression):
        with pytest.raises(ValueError, match=f"(?i){said}"):
            kind().fit(x, y)


def test_it_is_an_estimator_like_its_parent_and_the_probe_uses_it():
    options = as_probe(40, class_weight="balanced")
    assert clone(QuickLogisticRegression(**options)).get_params() == LogisticRegression(**options).get_params()
    for name in ("LogisticRegression", "LogisticRegression_balanced"):
        assert isinstance(classifiers.CLASSIFIERS[name](40, 3, 0), QuickLogisticRegression)
