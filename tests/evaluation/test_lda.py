"""Discriminant analysis of long vectors against scikit-learn's, and where scikit-learn's answer is noise."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from nslib.evaluation import classifiers, lda

SETTINGS = {"solver": "lsqr", "shrinkage": "auto"}


def ours():
    return lda.ShrinkageLDA(**SETTINGS)


def theirs():
    return LinearDiscriminantAnalysis(**SETTINGS)


@pytest.fixture
def every_size(monkeypatch):
    """Our own solver below the size at which it takes over, in blocks of a few numbers."""
    monkeypatch.setattr(lda, "SMALL", 1)
    monkeypatch.setattr(lda, "_BLOCK", 256)
    monkeypatch.setattr(lda, "_COLUMNS", 7)


def clips(counts, dim, seed=0):
    """Overlapping classes of correlated dimensions of different scale."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    mix = rng.normal(size=(dim, dim)) * np.exp(rng.normal(size=dim))
    x = rng.normal(size=(len(y), dim)) @ mix + 2 * rng.normal(size=(len(counts), dim))[y]
    order = rng.permutation(len(y))
    return x[order], y[order]


def same(found, expected, x, tolerance=1e-6):
    """Decisions to `tolerance` of their scale, and the same answers but where two are as good."""
    ours, theirs = (model.decision_function(x) for model in (found, expected))
    scale = np.abs(theirs).max()
    assert np.abs(ours - theirs).max() <= tolerance * scale
    assert found.predict_proba(x) == pytest.approx(expected.predict_proba(x), abs=tolerance * max(scale, 1))
    table = theirs if theirs.ndim > 1 else np.column_stack([np.zeros(len(x)), theirs])
    best = np.sort(table, axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-9 * scale
    assert (found.predict(x) == expected.predict(x))[clear].all()


@st.composite
def problems(draw):
    """Shapes around clips = dim; classes of one clip, twins, constant, repeated and scaled dimensions."""
    counts = draw(st.lists(st.integers(1, 12), min_size=2, max_size=draw(st.sampled_from([2, 3, 8, 100]))))
    counts[draw(st.integers(0, len(counts) - 1))] += draw(st.integers(2, 60))  # one class has a covariance
    dim, seed = draw(st.integers(2, 90)), draw(st.integers(0, 2**32 - 1))
    x, y = clips(counts, dim, seed)
    rng = np.random.default_rng(seed)
    some = [rng.choice(dim, draw(st.integers(0, max(1, dim // 3))), replace=False) for _ in range(4)]
    x[:, some[0]] *= 10.0 ** rng.uniform(-2, 1, len(some[0]))
    x[:, some[1]] = x[:, rng.choice(dim, len(some[1]))]
    x[np.ix_(y == y[0], some[2])] = 0.7
    x[:, some[3]] = draw(st.sampled_from([0.0, 0.1, -3.0]))
    twins = rng.choice(len(x), draw(st.integers(0, len(x) // 3)))
    same_class = [rng.choice(np.flatnonzero(y == label)) for label in y[twins]]
    x[twins] = x[same_class]
    return x, y, rng


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture,
                                                   HealthCheck.filter_too_much])
@given(problem=problems())
def test_any_shape_decides_as_scikit_learn(every_size, problem):
    x, y, rng = problem
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs().fit(x, y)
        assume(np.linalg.cond(expected.covariance_) < 1e9)  # else scikit-learn's own answer is not good to 1e-6
        found = ours().fit(x, y)
    same(found, expected, np.concatenate([x, x + rng.normal(size=x.shape), rng.normal(size=x.shape)]))
    assert found.means_ == pytest.approx(expected.means_) and (found.priors_ == expected.priors_).all()
    assert found.coef_.shape == expected.coef_.shape and found.intercept_.shape == expected.intercept_.shape


@pytest.mark.parametrize(("counts", "dim"), [([40, 30, 50], 650), ([9] * 20, 520), ([70, 50], 513), ([500, 400], 520),
                                             ([600, 60, 3, 1, 40], 513)])
def test_sizes_that_take_it_decide_as_scikit_learn(counts, dim):
    assert dim > lda.SMALL
    x, y = clips(counts, dim)
    labels = np.array([f"label {k}" for k in range(len(counts))])[::-1][y]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, expected = ours().fit(x, labels), theirs().fit(x, labels)
    assert found.classes_.tolist() == sorted(set(labels)) and not hasattr(found, "covariance_")
    same(found, expected, x + np.random.default_rng(1).normal(size=x.shape), 1e-9)


def test_small_vectors_and_other_settings_are_scikit_learns_to_the_last_bit():
    x, y = clips([30, 20, 25], 40)
    assert (ours().fit(x, y).coef_ == theirs().fit(x, y).coef_).all()
    x, y = clips([30, 20, 25], 520)
    for options in ({"solver": "lsqr", "shrinkage": 0.3}, {"solver": "svd"}):
        found = lda.ShrinkageLDA(**options).fit(x, y)
        assert (found.coef_ == LinearDiscriminantAnalysis(**options).fit(x, y).coef_).all()


def test_the_step_that_is_replaced_is_still_the_parents():
    assert callable(LinearDiscriminantAnalysis._solve_lstsq)  # else long vectors become slow, silently


def test_a_class_of_one_clip_warns_as_scikit_learn(every_size):
    x, y = clips([10, 12, 1], 20)
    said = []
    for model in (ours(), theirs()):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            model.fit(x, y)
        said.append({str(w.message) for w in heard})
    assert said[0] == said[1] != set()


def test_float32_is_computed_in_float64():
    x, y = clips([30, 20, 25], 600)
    short = x.astype(np.float32)
    found = ours().fit(short, y)
    double = ours().fit(short.astype(float), y).coef_
    assert found.coef_ == pytest.approx(double, rel=0, abs=1e-6 * np.abs(double).max())  # the priors are float32
    both = np.abs(found.decision_function(x) - theirs().fit(x, y).decision_function(x)).max()
    assert both < 1e-4 * np.abs(found.decision_function(x)).max()


def test_priors_are_used(every_size):
    x, y = clips([30, 20, 25], 100)
    found, expected = (m.set_params(priors=[0.2, 0.5, 0.3]).fit(x, y) for m in (ours(), theirs()))
    same(found, expected, x)


# --- where rounding decides -------------------------------------------------------------------


@pytest.mark.parametrize("counts", [[20, 30, 25], [100, 80, 90]])
def test_dimensions_of_rounding_noise_get_no_weight(every_size, counts):
    x, y = clips(counts, 100)
    noise = 1e-17 * np.random.default_rng(1).normal(size=(len(x), 3))  # as a z-score leaves of a constant
    found, expected, without = ours(), theirs(), ours().fit(x, y)
    wide = np.column_stack([noise, x])
    found.fit(wide, y)
    assert (found.coef_[:, :3] == 0).all()
    same(found, expected.fit(wide, y), wide)
    assert np.argmax(without.decision_function(x), 1).tolist() == found.predict(wide).tolist()


@pytest.mark.parametrize("counts", [[20, 30, 25], [100, 80, 90]])
def test_scale_of_dimensions_does_not_matter_even_where_it_does_to_scikit_learn(every_size, counts):
    x, y = clips(counts, 100)
    scales = np.where(np.arange(100) < 5, 2.0**-18, 1)  # powers of two: exact in floating point
    decided, again = ours().fit(x, y).decision_function(x), ours().fit(x * scales, y).decision_function(x * scales)
    assert again == pytest.approx(decided, abs=1e-11 * np.abs(decided).max())
    assert theirs().fit(x, y).decision_function(x) == pytest.approx(decided, abs=1e-9 * np.abs(decided).max())
    off = np.abs(theirs().fit(x * scales, y).decision_function(x * scales) - decided).max() / np.abs(decided).max()
    assert off > 1e-5


@pytest.mark.parametrize("dim", [30, 300])
def test_pairs_of_clips_get_the_solution_of_least_norm(every_size, dim):
    rng = np.random.default_rng(0)
    y = np.arange(40) % 20
    x = rng.normal(size=(40, dim)) + rng.normal(size=(20, dim))[y]  # two a class: no shrinkage, rank 20
    found = ours().fit(x, y)
    covariance = theirs().fit(x, y).covariance_
    expected = found.means_ @ np.linalg.pinv(covariance, rcond=1e-12, hermitian=True)
    assert found.coef_ == pytest.approx(expected, rel=1e-7, abs=1e-9 * np.abs(expected).max())


def test_vectors_without_any_variance_have_no_weights():
    for count in (20, 1400):
        x, y = np.ones((count, 600)), np.arange(count) % 2
        found = ours().fit(x, y)
        assert not found.coef_.any() and np.isfinite(found.decision_function(x)).all()


def test_variances_that_overflow_are_refused():
    x, y = clips([10, 12], 600)
    with np.errstate(all="ignore"), warnings.catch_warnings(), pytest.raises(ValueError, match=r"inf|NaN|finite"):
        warnings.simplefilter("ignore")
        ours().fit(x * 1e200, y)


# --- cost and company -------------------------------------------------------------------------


def peak(model, x, y):
    tracemalloc.start()
    try:
        model.fit(x, y)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_a_copy_of_the_vectors_and_never_dim_squared(monkeypatch):
    monkeypatch.setattr(lda, "_BLOCK", 1 << 16)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(90, 6000)), np.arange(90) % 3
    assert peak(ours(), x, y) < 2.5 * x.nbytes  # a matrix [dim, dim] is 67 times as large as x


def test_memory_for_many_clips_is_two_matrices_and_no_copy_of_the_vectors(monkeypatch):
    monkeypatch.setattr(lda, "_BLOCK", 1 << 16)
    monkeypatch.setattr(lda, "_COLUMNS", 64)
    x, y = np.random.default_rng(0).normal(size=(5000, 520)), np.arange(5000) % 2
    assert peak(ours(), x, y) < 3 * 520**2 * 8 < x.nbytes / 2


def test_it_is_an_estimator_like_its_parent_and_the_probe_uses_it():
    assert isinstance(classifiers.CLASSIFIERS["LDA_LSQR_AUTO"](5, 6, 3), lda.ShrinkageLDA)
    x, y = clips([20, 15, 30], 600)
    model = clone(ours())
    assert model.get_params() == theirs().get_params()
    again = pickle.loads(pickle.dumps(model.fit(x, y)))
    assert (again.predict_log_proba(x) == model.predict_log_proba(x)).all()
    with pytest.raises(ValueError, match="features"):
        model.predict(x[:, :5])
    with pytest.raises(ValueError, match="number of samples"):
        ours().fit(x[:3], np.arange(3))
