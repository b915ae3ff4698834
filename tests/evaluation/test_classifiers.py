"""The classifiers and normalisations against what the paper's settings mean, written out."""

import numpy as np
import pytest
from scipy import optimize

from nslib.evaluation import classifiers


def vectors(clips=200, classes=2, dim=8):
    rng = np.random.default_rng(0)
    y = np.arange(clips) % classes
    return rng.normal(size=(classes, dim))[y] + rng.normal(size=(clips, dim)), y


def multinomial(x, y, strength):
    """Two-class multinomial regression written out: one weight vector and intercept a class."""
    target = np.eye(2)[y]

    def loss(flat):
        weights = flat.reshape(2, -1)
        z = x @ weights[:, :-1].T + weights[:, -1]
        z -= np.logaddexp(z[:, 0], z[:, 1])[:, None]
        wrong = strength * (np.exp(z) - target)
        gradient = np.column_stack([wrong.T @ x + weights[:, :-1], wrong.sum(0)])
        return -strength * (z * target).sum() + (weights[:, :-1] ** 2).sum() / 2, gradient.ravel()

    best = optimize.minimize(loss, np.zeros(2 * (x.shape[1] + 1)), jac=True, method="L-BFGS-B",
                             options={"maxiter": 20000, "maxfun": 40000, "ftol": 1e-15, "gtol": 1e-9})
    z = x @ best.x.reshape(2, -1)[:, :-1].T + best.x.reshape(2, -1)[:, -1]
    return 1 / (1 + np.exp(z[:, 0] - z[:, 1]))


@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_two_class_regression_is_multinomial(strength):
    x, y = vectors()
    model = classifiers.CLASSIFIERS["LogisticRegression"](200, 2, 0)
    assert model.C == 2e5  # twice the 1e5 of three classes and more
    model.set_params(C=model.C / 1e5 * strength, tol=1e-12, max_iter=20000).fit(x, y)
    ours = model.predict_proba(x)[:, 1]
    assert ours == pytest.approx(multinomial(x, y, strength), abs=1e-5)
    model.set_params(C=strength).fit(x, y)  # what dropping multi_class would compute
    assert np.abs(model.predict_proba(x)[:, 1] - ours).max() > 1e-4


def test_settings_are_the_papers():
    logistic = classifiers.CLASSIFIERS["LogisticRegression"](500, 6, 3)
    assert (logistic.C, logistic.max_iter, logistic.solver) == (1e5, 100, "lbfgs")
    assert logistic.class_weight is None and logistic.fit_intercept
    assert logistic.tol * 500 == pytest.approx(1e-4)
    assert classifiers.CLASSIFIERS["LogisticRegression_balanced"](5, 6, 3).class_weight == "balanced"
    lda = classifiers.CLASSIFIERS["LDA_LSQR_AUTO"](5, 6, 3)
    assert (lda.solver, lda.shrinkage) == ("lsqr", "auto")
    for name, weight in (("Forest_balanced_100", "balanced"), ("Forest_unbalanced_100", None)):
        forest = classifiers.CLASSIFIERS[name](5, 6, 3)
        assert (forest.n_estimators, forest.class_weight, forest.random_state) == (100, weight, 3)


def test_l2_normalisation_keeps_zero_vectors():
    x = classifiers.l2_normalise([[3, 4], [0, 0]])
    assert x.tolist() == [[0.6, 0.8], [0, 0]]


def test_speaker_normalisation_is_a_population_z_score_of_each_speaker():
    rng = np.random.default_rng(0)
    x, speaker = rng.normal(5, 3, (30, 4)), rng.integers(0, 4, 30).astype(str)
    x[:, 3] = 0.1  # constant, and its mean is not exactly 0.1
    before, found = x.copy(), classifiers.speaker_normalise(x, speaker)
    for name in set(speaker):
        own = x[speaker == name, :3]
        assert found[speaker == name, :3] == pytest.approx((own - own.mean(0)) / own.std(0))
    assert np.abs(found[:, 3]).max() < 1e-12 and (x == before).all()
    assert classifiers.speaker_normalise(x[:1], speaker[:1]).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("l2", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_vectors_are_normalised_first_in_length_then_by_speaker(l2, norm):
    x, _ = vectors(40)
    before, speaker = x.copy(), np.arange(40) % 7
    found = classifiers.normalise(x, speaker, l2=l2, speaker_norm=norm)
    expected = classifiers.l2_normalise(before) if l2 else before
    expected = classifiers.speaker_normalise(expected, speaker) if norm else expected
    assert (found == expected).all() and (x == before).all()
    assert (found is x) == (not l2 and not norm)
    short = x.astype(np.float32)
    found = classifiers.normalise(short, speaker, l2=l2, speaker_norm=norm)
    assert found.dtype == np.float64 and found == pytest.approx(expected, abs=1e-5)


def test_forests_of_classes_of_one_size_are_not_one_forest():
    """What keeps them from being shared: should scikit-learn change it, two fits could be one."""
    x, y = vectors(40)
    one, other = (classifiers.CLASSIFIERS[name](40, 2, 0).fit(x, y).predict_proba(-x)
                  for name in classifiers.IN_FLOAT32)
    assert (one != other).any()
