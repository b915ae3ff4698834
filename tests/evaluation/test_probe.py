"""The probe against brute force, against its own permutations, and on data that cannot work."""

import pickle
import threading
import time
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info

from nslib.errors import BadParameter, NslibError, UnknownName
from nslib.evaluation import classifiers, probe

LINEAR = probe.PROBES[:3]
VARIANTS = [(l2, norm) for l2 in (False, True) for norm in (False, True)]


def split(name, clips=60, classes=3, dim=8, seed=0, speakers=6):
    """Vectors of classes that overlap, the same classes for every `name`."""
    rng = np.random.default_rng([seed, *name.encode()])
    centres = np.random.default_rng(seed).normal(size=(classes, dim))
    y = np.arange(clips) % classes
    return probe.LabelledVectors(
        (centres[y] + rng.normal(size=(clips, dim))).astype(np.float32), np.array([f"class{k}" for k in y]),
        np.array([f"{name}-{i % speakers}" for i in rng.permutation(clips)]),
        np.array([f"{name}/{i:03}" for i in range(clips)]))


def task(**options):
    return [split(name, **options) for name in ("train", "validation", "test")]


def test_grid_has_every_combination_and_chooses_on_validation():
    parts = task()
    grid = probe.grid(*parts)
    assert len(grid.rows) == 5 * 2 * 2 * 2 and grid.notes == ()
    combination = ["probe", "l2", "speaker_norm"]
    validation, test = (grid.rows.query("split == @name").set_index(combination) for name in ("validation", "test"))
    best = validation["value"].idxmax()  # of ties the first
    assert validation.index[validation["selected"]].tolist() == test.index[test["selected"]].tolist() == [best]
    assert test[test["best_on_test"]].index[0] == test["value"].idxmax()
    row = test.loc[best]
    assert (grid.predictions["y_true"] == grid.predictions["y_pred"]).mean() == row["value"]
    assert grid.predictions["clip_id"].tolist() == sorted(parts[2].clip_id)
    assert test["value"].between(test["low"], test["high"]).all()
    assert row[["n", "n_speakers", "classes", "dim"]].tolist() == [60, 6, 3, 8]
    assert row["chance"] == pytest.approx(1 / 3) and row["interval_by"] == "speaker"


def test_order_of_clips_number_of_jobs_and_choice_of_probes_do_not_matter():
    parts, names = task(), [*LINEAR, "Forest_balanced_100"]
    grid = probe.grid(*parts, probes=names, seed=4)
    again = probe.grid(*(part.take(np.arange(60)[::-1]) for part in parts), probes=names, seed=4, jobs=1)
    assert grid.rows.drop(columns="fit_seconds").equals(again.rows.drop(columns="fit_seconds"))
    assert grid.predictions.equals(again.predictions)
    some = probe.grid(*parts, seed=5, probes=["Forest_balanced_100", "LogisticRegression"], speaker_norm=False).rows
    assert list(dict.fromkeys(some["probe"])) == ["LogisticRegression", "Forest_balanced_100"]
    whole, part = (rows.set_index(["probe", "l2", "speaker_norm", "split"])["value"] for rows in (grid.rows, some))
    assert (whole.loc[part.index] == part).groupby("probe").all().tolist() == [False, True]  # a forest has a seed


def test_names_of_classes_and_scale_of_vectors_do_not_matter_nor_do_test_labels_to_the_choice():
    names, parts = {"class0": "z", "class1": "a", "class2": "m"}, task()
    grid = probe.grid(*parts, probes=LINEAR)
    renamed = probe.grid(*(replace(p, y=np.array([names[y] for y in p.y])) for p in parts), probes=LINEAR)
    assert grid.rows["value"].tolist() == renamed.rows["value"].tolist()
    assert [names[y] for y in grid.predictions["y_pred"]] == renamed.predictions["y_pred"].tolist()
    scaled = probe.grid(*(replace(p, x=p.x * 1024) for p in parts), probes=LINEAR).rows  # exact in floating point
    normalised = grid.rows["l2"] | grid.rows["speaker_norm"]
    assert grid.rows.loc[normalised, "value"].equals(scaled.loc[normalised, "value"])
    blind = probe.grid(*parts[:2], replace(parts[2], y=parts[2].y[::-1]), probes=LINEAR).rows
    columns, validation = ["value", "selected"], blind["split"] == "validation"
    assert grid.rows.loc[validation, columns].equals(blind.loc[validation, columns])


def test_error_rates_are_chosen_lowest_and_need_two_classes():
    rows = probe.grid(*task(classes=2), probes=LINEAR, metric="equal_error_rate").rows.query("split == 'validation'")
    assert rows.loc[rows["selected"], "value"].item() == rows["value"].min()
    with pytest.raises(BadParameter, match="two classes"):
        probe.grid(*task(), metric="equal_error_rate")


# right answers of validation and test of each combination, in the order of choice: made by revision 8eb24cc, whose
# forests, regression and normalisations were other code
GOLDEN = [37, 33, 27, 23, 36, 32, 28, 23, 38, 33, 27, 23, 36, 31, 28, 23, 40, 34, 35, 35, 38, 34, 35, 36, 28, 26, 20,
          23, 24, 28, 22, 29, 26, 27, 24, 29, 25, 33, 22, 30]


def test_scores_of_this_version_are_golden():
    assert probe.PROBE_VERSION == 1, "a new version needs new golden values"
    rng = np.random.default_rng(0)
    parts = [replace(p, x=(p.x + 6 * rng.normal(size=p.x.shape)).astype(np.float32))
             for p in task(clips=61, classes=4, dim=140)]
    rows = probe.grid(*parts, seed=7).rows
    assert (rows["value"] * 61).round(9).tolist() == GOLDEN
    row = rows[rows["selected"] & (rows["split"] == "test")].iloc[0]
    assert row[["low", "high"]].tolist() == pytest.approx([0.3963847552996276, 0.7071534545037621], abs=1e-12)
    rows = probe.grid(*parts, seed=7, metric="auc", probes=["LDA_LSQR_AUTO"]).rows
    row = rows[rows["best_on_test"] & (rows["split"] == "test")].iloc[0]
    assert row[["value", "low", "high"]].tolist() == pytest.approx(
        [0.8177838164251209, 0.6620399797945015, 0.9113644689157482], abs=1e-12)


def test_speaker_norm_is_left_out_where_it_cannot_or_must_not_be():
    parts = task()
    assert not probe.grid(*parts, probes=LINEAR[:1], speaker_norm=False).rows["speaker_norm"].any()
    grid = probe.grid(*parts[:2], replace(parts[2], speaker=np.array([""] * 60)), probes=LINEAR[:1])
    assert len(grid.rows) == 4 and "not every speaker is known" in grid.notes[0]
    assert (grid.rows["interval_by"] == ["speaker", "clip"] * 2).all()
    grid = probe.grid(*(replace(p, speaker=np.char.add("person-", p.y)) for p in parts), probes=LINEAR[:1])
    assert len(grid.rows) == 4 and "speaker is the label" in grid.notes[0]


def test_zero_vectors_labels_that_train_lacks_and_constant_dimensions_are_no_obstacle():
    parts = [replace(p, x=np.column_stack([p.x, np.ones(60, np.float32)])) for p in task()]
    once, x, y = parts[0].y.copy(), parts[2].x.copy(), parts[2].y.copy()
    once[0], x[:2], y[:3] = "once", 0, "new"
    parts = [replace(parts[0], y=once), parts[1], replace(parts[2], x=x, y=y)]
    grid = probe.grid(*parts, probes=LINEAR)
    assert "3 test clips have a label that train lacks, so no answer to them can be right: new." in grid.notes
    assert "2 test vectors are all zero; L2 normalisation leaves them so." in grid.notes
    assert (grid.rows.loc[grid.rows["split"] == "test", "value"] <= 57 / 60).all() and set(grid.rows["classes"]) == {4}
    assert grid.rows["value"].notna().all()
    assert probe.grid(*parts, probes=LINEAR[:1], metric="auc").rows["value"].notna().all()


def test_a_probe_that_fails_says_why_and_the_rest_goes_on(monkeypatch):
    def fail(*_):
        raise np.linalg.LinAlgError("singular matrix")

    monkeypatch.setitem(classifiers.CLASSIFIERS, "LDA_LSQR_AUTO", lambda *_: SimpleNamespace(fit=fail))
    rows = probe.grid(*task(), probes=LINEAR).rows
    failed = rows["probe"] == "LDA_LSQR_AUTO"
    assert (rows.loc[failed, "reason"] == "LinAlgError: singular matrix").all()
    assert rows.loc[failed, ["value", "low", "high"]].isna().all(axis=None)
    assert not rows.loc[failed, ["selected", "best_on_test", "converged"]].any(axis=None)
    assert rows.loc[~failed, "value"].notna().all() and rows["selected"].sum() == 2
    nothing = probe.grid(*task(), probes=["LDA_LSQR_AUTO"])
    assert nothing.predictions.empty and not nothing.rows["selected"].any()


def test_warnings_become_columns_and_the_filters_are_put_back(recwarn, monkeypatch):
    class Talking(LogisticRegression):
        def fit(self, x, y):
            warnings.warn("one line\nmore", UserWarning, stacklevel=1)
            return super().fit(x, y)

    monkeypatch.setitem(classifiers.CLASSIFIERS, "LDA_LSQR_AUTO", lambda *_: Talking(C=1e5, max_iter=1))
    before = warnings.showwarning
    rows = probe.grid(*task(), probes=["LDA_LSQR_AUTO", "Forest_balanced_100"]).rows
    early = rows["probe"] == "LDA_LSQR_AUTO"
    assert not rows.loc[early, "converged"].any() and (rows.loc[early, "reason"] == "one line").all()
    assert rows.loc[~early, "converged"].all() and (rows.loc[~early, "reason"] == "").all()
    assert len(recwarn) == 0 and warnings.showwarning is before


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [({"y": np.array(["one"] * 60)}, NslibError, "two or more"),
     ({"x": np.ones((60, 9), np.float32)}, BadParameter, "equally long"),
     ({"x": np.ones((59, 8), np.float32)}, BadParameter, "one vector, label, speaker"),
     ({"clip_id": np.array(["same"] * 60)}, BadParameter, "59 names of clips come twice"),
     ({"x": np.where(np.arange(60) % 50, 1.0, np.nan)[:, None] * np.ones((60, 8))}, NslibError,
      r"2 of 60 validation vectors hold NaN or infinity.*validation/000")])
def test_bad_splits_are_refused(change, error, message):
    parts = task()
    with pytest.raises(error, match=message):
        probe.grid(parts[0], replace(parts[1], **change), parts[2])
    for probes, error, message in ((["LDA"], UnknownName, "LDA_LSQR_AUTO"), ([], BadParameter, "at least one probe")):
        with pytest.raises(error, match=message):
            probe.grid(*parts, probes=probes)


def test_a_normalisation_that_is_kept_out_of_the_choice_is_scored_all_the_same():
    parts = task()
    free, kept = (probe.grid(*parts, probes=LINEAR, choose_speaker_norm=free) for free in (True, False))
    values = ["probe", "l2", "speaker_norm", "split", "value", "low", "high", "best_on_test"]
    assert kept.rows[values].equals(free.rows[values])
    assert kept.notes[0].startswith("The z-score by speaker is kept out")
    assert kept.rows["reason"].str.contains(probe.KEPT_OUT).equals(kept.rows["speaker_norm"].astype(bool))
    plain = probe.grid(*parts, probes=LINEAR, speaker_norm=False)
    chosen, alone = (grid.rows[grid.rows["selected"]] for grid in (kept, plain))
    assert chosen["value"].tolist() == alone["value"].tolist() and not chosen["speaker_norm"].any()
    assert kept.predictions.equals(plain.predictions)
    both = replace(parts[0], **{name: np.concatenate([getattr(part, name) for part in parts])
                                for name in ("x", "y", "speaker", "clip_id")})
    thirds, none = np.split(np.arange(180), 3), np.array([], int)
    folds = [dict(zip(("train", "validation", "test", "left_out"), (thirds[k], thirds[k - 1], thirds[k - 2], none),
                      strict=True)) for k in range(3)]
    folded = probe.grid_folds(both, folds, probes=LINEAR, choose_speaker_norm=False)
    without = probe.grid_folds(both, folds, probes=LINEAR, speaker_norm=False)
    assert folded.predictions.equals(without.predictions) and not folded.predictions["speaker_norm"].any()
    assert sum("kept out" in note for note in folded.notes) == 1


def fitted(parts, probes, **options):
    settings = probe.FitSettings(np.unique(parts[0].y), "accuracy", 3)
    return probe.fit_probes(probes, VARIANTS, probe.check_splits(*parts), settings, **options)


def test_only_regression_of_classes_of_one_size_is_shared_and_it_says_so():
    even, odd = (fitted(task(clips=clips, classes=2), LINEAR) for clips in (40, 41))
    shared = [fit.probe for fit in even if "the same fit as LogisticRegression" in fit.reason and fit.seconds == 0]
    assert shared == ["LogisticRegression_balanced"] * 4
    assert not any("same fit" in fit.reason or fit.seconds == 0 for fit in odd)


@pytest.mark.parametrize(("jobs", "most"), [(1, 1), (5, 2), (30, 4)])
def test_as_few_copies_are_alive_as_keep_all_jobs_busy(monkeypatch, jobs, most):
    monkeypatch.setattr(probe, "_ROOM", 0)
    made, counts, normalise = [], [], probe.normalise

    def alive():
        return len({of for one, of in made if one() is not None})

    def counted(x, speaker, **variant):
        copy = normalise(x, speaker, **variant).copy()
        made.append((weakref.ref(copy), tuple(variant.values())))
        until = time.monotonic() + 5  # a thread lets go of what it had a moment after it has answered
        while alive() > most and time.monotonic() < until:
            time.sleep(0.01)
        counts.append(alive())
        return copy

    monkeypatch.setattr(probe, "normalise", counted)
    probe.grid(*task(), probes=["LogisticRegression", "LDA_LSQR_AUTO", "Forest_unbalanced_100"], jobs=jobs)
    assert max(counts) == most and len(counts) == 4 * 3


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_vectors_stay_as_short_as_they_are_in_the_order_of_clips(kind):
    parts = task()
    x = (parts[0].x * 4).astype(kind)
    train = probe.check_splits(replace(parts[0], x=x).take(np.arange(60)[::-1]), *parts[1:])["train"]
    assert train.x.dtype == (np.float32 if kind is np.float32 else np.float64) and (train.x == x).all()
    assert train.clip_id.tolist() == sorted(parts[0].clip_id)


def test_fits_elsewhere_come_back_the_same_in_any_order():
    def mapper(function, tasks):
        for sent in reversed([pickle.dumps((function, one)) for one in tasks]):
            function, one = pickle.loads(sent)
            seen.append((one.probe, one.variant))
            yield pickle.loads(pickle.dumps(function(one)))

    for clips, fits in ((40, 8), (41, 12)):
        seen, called = [], iter(range(12))
        here = fitted(task(clips=clips, classes=2), LINEAR)
        there = fitted(task(clips=clips, classes=2), LINEAR, mapper=mapper, progress=called.__next__)
        assert len(seen) == len(set(seen)) == fits and not list(called)
        for one, other in zip(here, there, strict=True):
            assert (one.probe, one.l2, one.speaker_norm) == (other.probe, other.l2, other.speaker_norm)
            assert one.reason == other.reason and (one.labels["test"] == other.labels["test"]).all()


def test_every_fit_hears_its_own_warnings_and_has_one_blas_thread_until_the_last_has_left():
    def blas_threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    def work(n):
        with probe.FIT_CONTEXT:
            barrier.wait()
            for _ in range(n):
                warnings.warn(f"from {n}", stacklevel=1)
        return [text for _, text in probe.FIT_CONTEXT.take_warnings()]

    before, barrier = (warnings.showwarning, blas_threads()), threading.Barrier(3)
    with probe.FIT_CONTEXT:
        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(work, range(3))) == [[], ["from 1"], ["from 2", "from 2"]]
        assert blas_threads() == {1}
    assert (warnings.showwarning, blas_threads()) == before
