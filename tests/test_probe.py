"""The probe against brute force, against its own permutations, and on data that cannot work."""

import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize

from nslib import classifiers, metrics, probe
from nslib.errors import BadParameter, NslibError, UnknownName

LINEAR = probe.PROBES[:3]


def split(name, clips=60, classes=3, dim=8, seed=0, speakers=6):
    """Vectors of classes that overlap, the same classes for every `name`."""
    rng = np.random.default_rng([seed, *name.encode()])
    centres = np.random.default_rng(seed).normal(size=(classes, dim))
    y = np.arange(clips) % classes
    return probe.Split(
        (centres[y] + rng.normal(size=(clips, dim))).astype(np.float32), np.array([f"class{k}" for k in y]),
        np.array([f"{name}-{i % speakers}" for i in rng.permutation(clips)]),
        np.array([f"{name}/{i:03}" for i in range(clips)]))


def task(**options):
    return [split(name, **options) for name in ("train", "validation", "test")]


def mixed(one, seed=1):
    order = np.random.default_rng(seed).permutation(len(one.y))
    return probe.Split(one.x[order], one.y[order], one.speaker[order], one.clip_id[order])


def scores(found):
    return found.rows.drop(columns="fit_seconds")


# --- the classifiers --------------------------------------------------------------------------


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
    one = split("train", 200, classes=2)
    x, y = one.x.astype(float), (one.y == "class1").astype(int)
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


# --- the grid ---------------------------------------------------------------------------------


def test_grid_has_every_combination_and_chooses_on_validation():
    parts = task()
    found = probe.grid(*parts)
    assert len(found.rows) == 5 * 2 * 2 * 2 and found.notes == ()
    validation, test = (found.rows[found.rows["split"] == name] for name in ("validation", "test"))
    chosen = validation[validation["selected"]]
    assert len(chosen) == 1 and chosen["value"].item() == validation["value"].max()
    assert chosen.index[0] == validation["value"].idxmax()  # of ties the first
    assert test[test["best_on_test"]].index[0] == test["value"].idxmax()
    row = test[test["selected"]].iloc[0]
    combination = ["probe", "l2", "speaker_norm"]
    assert row[combination].tolist() == chosen.iloc[0][combination].tolist()
    assert (found.predictions["y_true"] == found.predictions["y_pred"]).mean() == row["value"]
    assert found.predictions["clip_id"].tolist() == sorted(parts[2].clip_id)
    assert (test["low"] <= test["value"]).all() and (test["value"] <= test["high"]).all()
    assert row[["n", "n_speakers", "classes", "dim"]].tolist() == [60, 6, 3, 8]
    assert row["chance"] == pytest.approx(1 / 3) and row["interval_by"] == "speaker"


def test_a_row_is_what_fitting_by_hand_gives():
    parts = task()
    rows = probe.grid(*parts, probes=["LDA_LSQR_AUTO"]).rows
    ready = [classifiers.speaker_normalise(classifiers.l2_normalise(p.x), p.speaker) for p in parts]
    model = classifiers.CLASSIFIERS["LDA_LSQR_AUTO"](60, 3, 0).fit(ready[0], parts[0].y)
    row = rows[rows["l2"] & rows["speaker_norm"]].set_index("split")["value"]
    assert row["test"] == model.score(ready[2], parts[2].y)
    assert row["validation"] == model.score(ready[1], parts[1].y)


def test_order_of_clips_number_of_jobs_and_choice_of_probes_do_not_matter():
    parts = task()
    found, again = probe.grid(*parts, seed=4), probe.grid(*(mixed(p) for p in parts), seed=4, jobs=1)
    assert scores(found).equals(scores(again)) and found.predictions.equals(again.predictions)
    some = probe.grid(*parts, seed=4, probes=["Forest_balanced_100", "LogisticRegression"]).rows
    assert list(dict.fromkeys(some["probe"])) == ["LogisticRegression", "Forest_balanced_100"]
    whole = found.rows.set_index(["probe", "l2", "speaker_norm", "split"])["value"]
    part = some.set_index(["probe", "l2", "speaker_norm", "split"])["value"]
    assert (whole.loc[part.index] == part).all()


def test_the_seed_moves_forests_only():
    parts, names = task(), [*LINEAR, "Forest_balanced_100"]
    grids = [probe.grid(*parts, probes=names, speaker_norm=False, seed=seed) for seed in (0, 1)]
    one, other = (found.rows.set_index("probe")["value"] for found in grids)
    assert (one[list(LINEAR)] == other[list(LINEAR)]).all()
    assert (one.filter(like="Forest") != other.filter(like="Forest")).any()


def test_renaming_classes_renames_the_answers_of_linear_probes():
    names = {"class0": "z", "class1": "a", "class2": "m"}
    parts = task()
    renamed = [replace(p, y=np.array([names[y] for y in p.y])) for p in parts]
    found, again = probe.grid(*parts, probes=LINEAR), probe.grid(*renamed, probes=LINEAR)
    assert found.rows["value"].tolist() == again.rows["value"].tolist()
    assert [names[y] for y in found.predictions["y_pred"]] == again.predictions["y_pred"].tolist()


def test_scale_of_vectors_does_not_matter_after_normalisation():
    parts = task()
    scaled = [replace(p, x=p.x * 1024) for p in parts]  # a power of two: exact in floating point
    found, again = (probe.grid(*p, probes=[*LINEAR, "Forest_balanced_100"]).rows for p in (parts, scaled))
    normalised = found["l2"] | found["speaker_norm"]
    assert found.loc[normalised, "value"].equals(again.loc[normalised, "value"])


def test_a_combination_does_not_see_test_labels():
    parts = task()
    rng = np.random.default_rng(0)
    found = probe.grid(*parts, probes=LINEAR).rows
    guessed = replace(parts[2], y=rng.permutation(parts[2].y))
    blind = probe.grid(*parts[:2], guessed, probes=LINEAR).rows
    kept, validation = ["value", "selected"], found["split"] == "validation"
    assert found.loc[validation, kept].equals(blind.loc[validation, kept])


@pytest.mark.parametrize("metric", ["balanced_accuracy", "auc", "dprime_ovo"])
def test_other_metrics(metric):
    rows = probe.grid(*task(), probes=LINEAR, metric=metric).rows
    assert rows["value"].notna().all() and (rows["low"] <= rows["high"]).all()
    assert rows["chance"].iloc[0] == pytest.approx(metrics.chance(metric, split("test").y))


def test_error_rates_are_chosen_lowest_and_need_two_classes():
    rows = probe.grid(*task(classes=2), probes=LINEAR, metric="equal_error_rate").rows
    validation = rows[rows["split"] == "validation"]
    assert validation.loc[validation["selected"], "value"].item() == validation["value"].min()
    with pytest.raises(BadParameter, match="two classes"):
        probe.grid(*task(), metric="equal_error_rate")


# --- data that cannot work, or not fully --------------------------------------------------------


def test_speaker_norm_is_left_out_where_it_cannot_or_must_not_be():
    parts = task()
    assert not probe.grid(*parts, probes=LINEAR[:1], speaker_norm=False).rows["speaker_norm"].any()
    nameless = [*parts[:2], replace(parts[2], speaker=np.array([""] * 60))]
    found = probe.grid(*nameless, probes=LINEAR[:1])
    assert len(found.rows) == 4 and "not every speaker is known" in found.notes[0]
    assert (found.rows["interval_by"] == ["speaker", "clip"] * 2).all()
    found = probe.grid(*(replace(p, speaker=np.char.add("person-", p.y)) for p in parts), probes=LINEAR[:1])
    assert len(found.rows) == 4 and "speaker is the label" in found.notes[0]


def test_broken_vectors_are_counted_and_named():
    parts = task()
    x = parts[1].x.copy()
    x[7, 0], x[9, 1] = np.nan, np.inf
    with pytest.raises(NslibError, match=r"2 of 60 validation vectors hold NaN or infinity.*validation/007"):
        probe.grid(parts[0], replace(parts[1], x=x), parts[2])


def test_zero_vectors_and_labels_that_train_lacks_are_noted():
    parts = task()
    x, y = parts[2].x.copy(), parts[2].y.copy()
    x[:2], y[:3] = 0, "new"
    found = probe.grid(*parts[:2], replace(parts[2], x=x, y=y), probes=LINEAR[:1])
    assert found.notes == (
        "3 test clips have a label that train lacks, so no answer to them can be right: new.",
        "2 test vectors are all zero; L2 normalisation leaves them so.")
    assert probe.notes(*parts[:2], replace(parts[2], x=x, y=y)) == found.notes
    assert (found.rows.loc[found.rows["split"] == "test", "value"] <= 57 / 60).all()
    rows = probe.grid(*parts[:2], replace(parts[2], y=y), probes=LINEAR[:1], metric="auc").rows
    assert rows["value"].notna().all()


def test_constant_dimensions_and_single_clips_of_a_class_are_no_obstacle():
    parts = [replace(p, x=np.column_stack([p.x, np.ones(60)])) for p in task()]
    y = parts[0].y.copy()
    y[0] = "once"
    rows = probe.grid(replace(parts[0], y=y), *parts[1:]).rows
    assert rows["value"].notna().all() and (rows["classes"] == 4).all()


def test_a_probe_that_fails_says_why_and_the_rest_goes_on(monkeypatch):
    class Singular:
        def fit(self, x, y):
            raise np.linalg.LinAlgError("singular matrix")

    monkeypatch.setitem(classifiers.CLASSIFIERS, "LDA_LSQR_AUTO", lambda *_: Singular())
    rows = probe.grid(*task(), probes=LINEAR).rows
    failed = rows["probe"] == "LDA_LSQR_AUTO"
    assert (rows.loc[failed, "reason"] == "LinAlgError: singular matrix").all()
    assert rows.loc[failed, ["value", "low", "high"]].isna().all(axis=None)
    assert not rows.loc[failed, ["selected", "best_on_test", "converged"]].any(axis=None)
    assert rows.loc[~failed, "value"].notna().all() and rows["selected"].sum() == 2
    nothing = probe.grid(*task(), probes=["LDA_LSQR_AUTO"])
    assert nothing.predictions.empty and list(nothing.predictions) == probe.PREDICTED
    assert not nothing.rows["selected"].any()


def test_warnings_become_columns_and_the_filters_are_put_back(recwarn, monkeypatch):
    class Talking:
        def __init__(self, clips, classes, seed):
            self.model = classifiers._logistic(clips, classes, seed).set_params(max_iter=1)

        def fit(self, x, y):
            warnings.warn(f"thread {threading.get_ident() > 0}\nmore", UserWarning, stacklevel=1)
            self.model.fit(x, y)

        def predict(self, x):
            return self.model.predict(x)

    monkeypatch.setitem(classifiers.CLASSIFIERS, "LDA_LSQR_AUTO", Talking)
    before = warnings.showwarning
    rows = probe.grid(*task(), probes=["LDA_LSQR_AUTO", "Forest_balanced_100"]).rows
    early = rows["probe"] == "LDA_LSQR_AUTO"
    assert not rows.loc[early, "converged"].any() and (rows.loc[early, "reason"] == "thread True").all()
    assert rows.loc[~early, "converged"].all() and (rows.loc[~early, "reason"] == "").all()
    assert len(recwarn) == 0 and warnings.showwarning is before


def test_progress_is_called_once_a_fit():
    called = []
    probe.grid(*task(), probes=LINEAR, progress=lambda: called.append(1))
    assert len(called) == 12


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [({"y": np.array(["one"] * 60)}, NslibError, "two or more"),
     ({"x": np.ones((60, 9), np.float32)}, BadParameter, "equally long"),
     ({"x": np.ones((59, 8), np.float32)}, BadParameter, "one vector, label, speaker"),
     ({"x": np.ones(60, np.float32)}, BadParameter, "one vector, label, speaker"),
     ({"clip_id": np.array(["same"] * 60)}, BadParameter, "59 names of clips come twice")])
def test_bad_splits_are_refused(change, error, message):
    parts = task()
    with pytest.raises(error, match=message):
        probe.grid(parts[0], replace(parts[1], **change), parts[2])


def test_bad_settings_are_refused():
    with pytest.raises(UnknownName, match="LogisticRegression"):
        probe.grid(*task(), probes=["LogisticRegresion"])
    with pytest.raises(BadParameter, match="at least one probe"):
        probe.grid(*task(), probes=[])
    with pytest.raises(UnknownName, match="accuracy"):
        probe.grid(*task(), metric="acuracy")
