"""Discriminant analysis of long vectors against scikit-learn's, and where scikit-learn's answer is noise."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from nslib.evaluation import classifiers, lda

SETTINGS = {"solver": "lsqr", "shrinkage": "auto"}


def fit_ours(x, y, **options):
    return lda.ShrinkageLDA(**SETTINGS, **options).fit(x, y)


def fit_theirs(x, y, **options):
    return LinearDiscriminantAnalysis(**SETTINGS, **options).fit(x, y)


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


def compare(model, expected, x, tolerance=1e-6):
    """Decisions and probabilities to `tolerance` of the decisions' scale."""
    theirs = expected.decision_function(x)
    scale = np.abs(theirs).max()
    assert np.abs(model.decision_function(x) - theirs).max() <= tolerance * scale
    assert model.predict_proba(x) == pytest.approx(expected.predict_proba(x), abs=tolerance * max(scale, 1))


@st.composite
def problems(draw):
    """Shapes around clips = dim; classes of one clip, twins, constant, repeated and scaled dimensions."""
    counts = draw(st.lists(st.integers(1, 12), min_size=2, max_size=draw(st.sampled_from([2, 3, 8, 100]))))
    counts[draw(st.integers(0, len(counts) - 1))] += draw(st.integers(2, 60))  # one class has a covariance
    dim, seed = draw(st.integers(2, 90)), draw(st.integers(0, 2**32 - 1))
    x, y = clips(counts, dim, seed)
    rng = np.random.default_rng(seed)
    some = [rng.choice(dim, draw(st.integers(0, max(1, dim // 3))), replace=False) for _ in range(3)]
    x[:, some[0]] *= 10.0 ** rng.uniform(-2, 1, len(some[0]))
    x[:, some[1]] = x[:, rng.choice(dim, len(some[1]))]
    x[:, some[2]] = draw(st.sampled_from([0.0, 0.1, -3.0]))
    twins = rng.choice(len(x), draw(st.integers(0, len(x) // 3)))
    x[twins] = x[[rng.choice(np.flatnonzero(y == label)) for label in y[twins]]]
    return x, y, rng


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(problem=problems())
@pytest.mark.filterwarnings("ignore")
def test_any_shape_decides_as_scikit_learn(every_size, problem):
    x, y, rng = problem
    expected = fit_theirs(x, y)
    assume(np.linalg.cond(expected.covariance_) < 1e9)  # else scikit-learn's own answer is not good to 1e-6
    model = fit_ours(x, y)
    compare(model, expected, np.concatenate([x, x + rng.normal(size=x.shape), rng.normal(size=x.shape)]))
    assert model.means_ == pytest.approx(expected.means_) and (model.priors_ == expected.priors_).all()


@pytest.mark.parametrize(("counts", "dim"), [([500, 400], 150), ([160, 60, 3, 1, 40], 131), ([70, 50], 513)])
@pytest.mark.filterwarnings("ignore")
def test_sizes_that_take_it_decide_as_scikit_learn(counts, dim):
    x, y = clips(counts, dim)
    labels = np.array([f"label {k}" for k in range(len(counts))])[::-1][y]
    model, new = fit_ours(x, labels), x + np.random.default_rng(1).normal(size=x.shape)
    assert model.classes_.tolist() == sorted(set(labels)) and not hasattr(model, "covariance_")
    compare(model, fit_theirs(x, labels), new, 1e-9)
    single, scores = fit_ours(x.astype(np.float32), labels), model.decision_function(new)  # computed in float64
    assert single.decision_function(new) == pytest.approx(scores, abs=1e-4 * np.abs(scores).max())


def test_the_probe_is_an_estimator_like_its_parent_and_small_vectors_and_other_settings_are_its_to_the_last_bit():
    assert isinstance(classifiers.CLASSIFIERS["LDA_LSQR_AUTO"](5, 6, 3), lda.ShrinkageLDA)
    assert clone(lda.ShrinkageLDA(**SETTINGS)).get_params() == LinearDiscriminantAnalysis(**SETTINGS).get_params()
    x, y = clips([30, 20, 25], 40)
    assert (fit_ours(x, y).coef_ == fit_theirs(x, y).coef_).all()
    x, y = clips([30, 20, 25], 150)
    ours, theirs = (kind(solver="svd").fit(x, y) for kind in (lda.ShrinkageLDA, LinearDiscriminantAnalysis))
    assert (ours.coef_ == theirs.coef_).all()
    assert callable(LinearDiscriminantAnalysis._solve_lstsq)  # the step that is replaced, else all becomes slow


def test_a_class_of_one_clip_warns_as_scikit_learn_and_priors_are_used(every_size):
    x, y = clips([10, 12, 1], 20)
    texts = []
    for fit in (fit_ours, fit_theirs):
        with pytest.warns(UserWarning) as heard:
            fit(x, y)
        texts.append({str(w.message) for w in heard})
    assert texts[0] == texts[1]
    x, y = clips([30, 20, 25], 100)
    compare(*(fit(x, y, priors=[0.2, 0.5, 0.3]) for fit in (fit_ours, fit_theirs)), x)


def test_noise_of_rounding_and_the_scale_of_dimensions_do_not_matter(every_size):
    x, y = clips([100, 80, 90], 100)
    model = fit_ours(x, y)
    noise = 1e-17 * np.random.default_rng(1).normal(size=(len(x), 3))  # as a z-score leaves of a constant
    wide = np.column_stack([noise, x])
    noisy = fit_ours(wide, y)
    assert (noisy.coef_[:, :3] == 0).all() and model.predict(x).tolist() == noisy.predict(wide).tolist()
    compare(noisy, fit_theirs(wide, y), wide)
    scales = np.where(np.arange(100) < 5, 2.0**-18, 1)  # powers of two: exact in floating point
    decided, again = model.decision_function(x), fit_ours(x * scales, y).decision_function(x * scales)
    assert again == pytest.approx(decided, abs=1e-11 * np.abs(decided).max())  # scikit-learn's are off by 1e-5


@pytest.mark.parametrize("dim", [30, 150])
def test_pairs_of_clips_get_the_solution_of_least_norm(every_size, dim):
    rng = np.random.default_rng(0)
    y = np.arange(40) % 20
    x = rng.normal(size=(40, dim)) + rng.normal(size=(20, dim))[y]  # two a class: no shrinkage, rank 20
    model = fit_ours(x, y)
    expected = model.means_ @ np.linalg.pinv(fit_theirs(x, y).covariance_, rcond=1e-12, hermitian=True)
    assert model.coef_ == pytest.approx(expected, rel=1e-7, abs=1e-9 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore")
def test_without_variance_there_are_no_weights_and_one_that_overflows_is_refused():
    for count in (20, 400):
        x, y = np.ones((count, 150)), np.arange(count) % 2
        model = fit_ours(x, y)
        assert not model.coef_.any() and np.isfinite(model.decision_function(x)).all()
    x, y = clips([10, 12], 150)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"inf|NaN|finite"):
        fit_ours(x * 1e200, y)


@pytest.mark.parametrize(("shape", "classes", "most"), [
    ((90, 6000), 3, 2.5 * 90 * 6000),  # a copy of the vectors: a matrix [dim, dim] is 67 times as large
    ((3000, 400), 2, 3 * 400**2)])  # two matrices, and no copy of the vectors, which are ten times as large
def test_memory(monkeypatch, shape, classes, most):
    monkeypatch.setattr(lda, "_BLOCK", 1 << 14)
    monkeypatch.setattr(lda, "_COLUMNS", 64)
    x, y = np.random.default_rng(0).normal(size=shape), np.arange(shape[0]) % classes
    tracemalloc.start()
    fit_ours(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * most
