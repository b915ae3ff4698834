"""The classifiers and normalisations against what the paper's settings mean, written out."""

import numpy as np
import pytest
from scipy import optimize
from sklearn.preprocessing import StandardScaler

from nslib.errors import BadParameter
from nslib.evaluation import classifiers, probe
from nslib.evaluation.classifiers import CLASSIFIERS, OTHER_PROBES


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
    rng, y = np.random.default_rng(0), np.arange(200) % 2
    x = rng.normal(size=(2, 8))[y] + rng.normal(size=(200, 8))
    model = CLASSIFIERS["LogisticRegression"](200, 2, 0)
    assert model.C == 2e5  # twice the 1e5 of three classes and more
    model.set_params(C=model.C / 1e5 * strength, tol=1e-12, max_iter=20000).fit(x, y)
    assert model.predict_proba(x)[:, 1] == pytest.approx(multinomial(x, y, strength), abs=1e-5)


def test_settings_are_the_papers():
    logistic, balanced, lda, *forests = (make(500, 6, 3) for make in CLASSIFIERS.values())
    assert (logistic.C, logistic.max_iter, logistic.solver, logistic.class_weight) == (1e5, 100, "lbfgs", None)
    assert logistic.fit_intercept and logistic.tol * 500 == pytest.approx(1e-4) and balanced.class_weight == "balanced"
    assert (lda.solver, lda.shrinkage) == ("lsqr", "auto")
    assert [(f.trees, f.class_weight, f.seed) for f in forests] == [(100, "balanced", 3), (100, None, 3)]


@pytest.mark.parametrize("l2", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_vectors_are_normalised_first_in_length_then_by_speaker(l2, norm):
    rng = np.random.default_rng(0)
    x, speaker = rng.normal(5, 3, (40, 4)), np.arange(40) % 7
    x[:, 3], x[0] = 0.1, 0  # one that hardly varies, whose mean is not exactly 0.1; and a vector of zeros
    before = x.copy()
    expected = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300) if l2 else x.copy()
    for who in range(7) if norm else ():
        own = expected[speaker == who]
        expected[speaker == who] = (own - own.mean(0)) / np.where(own.std(0) > 1e-12, own.std(0), 1)
    normalised = classifiers.normalise(x, speaker, l2=l2, speaker_norm=norm)
    assert normalised == pytest.approx(expected, abs=1e-12) and (x == before).all()


@pytest.mark.parametrize("scale", [1e-12, 1e8])
@pytest.mark.parametrize("clips", [1, 7, 150])
def test_the_z_score_is_scikit_learns_to_the_last_bit(clips, scale):
    rng = np.random.default_rng(clips)
    x = scale * rng.normal(3, 1, (clips, 60))
    x[:, :40] = scale * np.repeat([0.0, 0.1, -3.7, 1e-9], 10)
    x[:, 20:40] += 1e-17 * scale * rng.normal(size=(clips, 20))  # as rounding leaves of a constant
    ours = classifiers.normalise(x, [""] * clips, l2=False, speaker_norm=True)
    assert (ours == StandardScaler().fit_transform(x)).all()


def test_a_vote_between_equals_goes_to_the_nearest():
    codes = np.arange(12) % 6
    x = np.eye(8)[codes] + 0.05 * np.random.default_rng(0).normal(size=(12, 8))
    for one in (6, 12):  # clips to learn from: one or two of a class
        assert (OTHER_PROBES["kNN_5"](one, 6, 0).fit(x[:one], codes[:one]).predict(x) == codes).all()


@pytest.mark.parametrize("name", OTHER_PROBES)
@pytest.mark.parametrize("classes", [2, 3])
def test_probes_of_other_benchmarks_learn_and_are_scored_by_any_metric_but_are_never_in_the_usual_choice(name, classes):
    rng, codes = np.random.default_rng(0), np.arange(60) % classes
    parts = [probe.LabelledVectors(3 * np.eye(8)[codes] + 0.6 * rng.normal(size=(60, 8)), np.char.mod("c%d", codes),
                                   np.full(60, "s"), np.char.mod("%03d", np.arange(60))) for _ in range(3)]
    grid = probe.grid(*parts, probes=[name], metric="uar", also=("auc", "f1_macro"), speaker_norm=False)
    chosen = grid.rows[grid.rows["selected"] & (grid.rows["split"] == "test")].set_index("metric")
    assert chosen.index.tolist() == ["unweighted_average_recall", "auc", "f1_macro"] and (chosen["value"] > 0.9).all()
    assert set(chosen["probe"]) == {name} and grid.scores.columns.tolist() == [f"c{k}" for k in range(classes)]
    assert name not in probe.check_probes(None)
    with pytest.raises(BadParameter, match="in two runs"):
        probe.check_probes([name, "LogisticRegression"])
