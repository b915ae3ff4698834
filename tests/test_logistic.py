"""Regression in blocks of rows against scikit-learn's: the way there, where it ends, and what it answers."""

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import optimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from nslib import logistic
from nslib.large import matrix
from nslib.logistic import StreamedLogisticRegression

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch, cache):
    monkeypatch.setattr(logistic, "_BLOCK", 6000)


def clips(count=300, dim=40, classes=4, seed=0):
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(classes)
    y = rng.choice(classes, count, p=fixed.dirichlet(np.full(classes, 5.0)))
    x = rng.normal(size=(count, dim)) + 0.4 * fixed.normal(size=(classes, dim))[y]
    return x.astype(np.float32), np.array([f"label {k:03}" for k in range(classes)])[y]


def fitted(x, y, **settings):
    ours = StreamedLogisticRegression(**settings).fit(x, y)
    theirs = LogisticRegression(**settings).fit(x.astype(np.float64), y)
    return ours, theirs


def objective(model, x, y, strength, weight=None):
    """What both minimise, written out: the sum of losses, weighted, and the penalty, over C times the weights."""
    share = np.ones(len(y))
    if weight == "balanced":
        names, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
        share = (len(y) / len(names) / counts)[codes]
    right = np.searchsorted(model.classes_, y)
    loss = -np.log(model.predict_proba(x)[np.arange(len(y)), right])
    return (strength * (share * loss).sum() + (model.coef_**2).sum() / 2) / (strength * share.sum())


@pytest.mark.parametrize(("classes", "count", "dim"), [(2, 300, 40), (3, 90, 120), (30, 500, 40)])
@pytest.mark.parametrize("weight", [None, "balanced"])
def test_where_it_ends_is_where_scikit_learn_ends(classes, count, dim, weight):
    x, y = clips(count, dim, classes)
    new = clips(500, dim, classes, seed=1)[0]
    ours, theirs = fitted(x, y, C=0.01, tol=1e-8, max_iter=5000, class_weight=weight)
    scale = np.abs(theirs.coef_).max()
    assert ours.coef_ == pytest.approx(theirs.coef_, abs=1e-6 * scale) and ours.coef_.shape == theirs.coef_.shape
    assert ours.intercept_ == pytest.approx(theirs.intercept_, abs=1e-6)
    assert ours.intercept_.shape == theirs.intercept_.shape
    assert (ours.predict(new) == theirs.predict(new)).all() and (ours.classes_ == theirs.classes_).all()
    assert ours.predict_proba(new) == pytest.approx(theirs.predict_proba(new), abs=1e-6)
    assert ours.decision_function(new) == pytest.approx(theirs.decision_function(new), abs=1e-5)


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("cap", [1, 5, 20, 100])
def test_the_way_is_scikit_learns_at_every_cap(classes, cap):
    x, y = clips(classes=classes)
    settings = {"C": 1e5, "tol": 1e-4 / len(y), "max_iter": cap, "class_weight": "balanced"}
    ours, theirs = fitted(x, y, **settings)
    assert ours.n_iter_.tolist() == theirs.n_iter_.tolist() and ours.n_iter_.dtype == theirs.n_iter_.dtype
    expected = objective(theirs, x, y, 1e5, "balanced")
    assert ours.loss_ == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert objective(ours, x, y, 1e5, "balanced") == pytest.approx(ours.loss_, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_gradient_is_that_of_the_loss(classes):
    x, y = clips(60, 6, classes)
    codes, rng = np.unique(y, return_inverse=True)[1], np.random.default_rng(0)
    weights, units = rng.uniform(0.5, 2, 60), 1 if classes == 2 else classes
    function = logistic._Objective(x, codes, weights, units, 0.3)
    flat = rng.normal(size=function.size)
    numeric = optimize.approx_fprime(flat, lambda w: function(w)[0], 1e-7)
    assert function(flat)[1] == pytest.approx(numeric, abs=1e-5)


def test_it_repeats_to_the_last_bit_and_blocks_change_rounding_only(monkeypatch):
    x, y = clips(900, 40, 5)
    one, again = (StreamedLogisticRegression(1.0).fit(x, y).coef_ for _ in range(2))
    assert (one == again).all()
    monkeypatch.setattr(logistic, "_BLOCK", 1 << 24)
    assert StreamedLogisticRegression(1.0).fit(x, y).coef_ == pytest.approx(one, abs=1e-9)


def test_vectors_may_lie_in_a_file_and_only_blocks_of_them_are_held(monkeypatch):
    x, y = clips(20_000, 64, 3)
    filed = matrix.gathered(x, np.arange(len(x)))
    monkeypatch.setattr(logistic, "_BLOCK", 1 << 16)
    StreamedLogisticRegression(max_iter=1).fit(filed, y)  # TensorFlow's own, once
    tracemalloc.start()
    try:
        found = StreamedLogisticRegression(max_iter=5).fit(filed, y)
        assert tracemalloc.get_traced_memory()[1] < 0.5 * x.nbytes
    finally:
        tracemalloc.stop()
    assert (found.coef_ == StreamedLogisticRegression(max_iter=5).fit(x, y).coef_).all()


def test_a_fit_that_is_cut_off_warns_and_one_that_ends_does_not():
    x, y = clips()
    with pytest.warns(ConvergenceWarning, match="after 3 of 3 iterations"):
        StreamedLogisticRegression(max_iter=3).fit(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        StreamedLogisticRegression(0.001, max_iter=1000).fit(x, y)


def test_it_is_an_estimator():
    x, y = clips()
    model = clone(StreamedLogisticRegression(2.0, tol=1e-3, class_weight={"label 000": 2.0}))
    assert model.get_params() == {"C": 2.0, "tol": 1e-3, "max_iter": 100, "class_weight": {"label 000": 2.0}}
    expected = LogisticRegression(**model.get_params() | {"tol": 1e-10, "max_iter": 5000}).fit(x.astype(float), y)
    model.set_params(tol=1e-10, max_iter=5000).fit(x, y)
    assert model.coef_ == pytest.approx(expected.coef_, abs=1e-4) and 0 < model.score(x, y) <= 1


def test_what_cannot_be_fitted_is_refused():
    x, y = clips()
    for given, labels, words in ((x, y[:5], "one class a row"), (x, np.ones(len(x)), "two classes")):
        with pytest.raises(ValueError, match=words):
            StreamedLogisticRegression().fit(given, labels)
    broken = x.copy()
    broken[7, 3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        StreamedLogisticRegression().fit(broken, y)
    with pytest.raises(ValueError, match="X has 5 features, but the fit saw 40"):
        StreamedLogisticRegression().fit(x, y).predict(x[:, :5])
