"""Tasks in folds: against a loop of plain scikit-learn, and everywhere that a score by folds is read."""

import dataclasses
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers import write_pitches
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from nslib import config, figures
from nslib.datasets import folder as recordings
from nslib.datasets import splits, tasks
from nslib.errors import BadParameter, NslibError
from nslib.evaluation import benchmark, classifiers, probe, protocols, results, robustness
from nslib.evaluation.probe import LabelledVectors
from nslib.extraction import extract
from nslib.report import html, leaderboard, verify
from nslib.statistics import intervals
from nslib.statistics.calibration import calibration_errors
from nslib.statistics.scores import CHOSEN_BY_FOLD, select_scores
from nslib.training.classifier import choose_combination

PAIR = ["LDA_LSQR_AUTO", "LogisticRegression"]
COMBINATION = ["probe", "l2", "speaker_norm"]
SMOKE = config.load_params({"smoke": True})
TASK = dataclasses.replace(tasks.get_task("style-synthetic"), name="folded", caution="")


def make_clips(folds=4, clips=200, classes=5, texts=60, noise=1.6, seed=0, dim=12):
    """Clips of two speakers a fold, who say texts that others say too, and vectors of classes that overlap."""
    rng = np.random.default_rng(seed)
    label, speaker = np.arange(clips) % classes, rng.integers(2 * folds, size=clips)
    text = rng.integers(texts, size=clips)
    x = rng.normal(size=(classes, dim))[label] + 0.8 * rng.normal(size=(2 * folds, dim))[speaker]
    table = pd.DataFrame({
        "clip_id": [f"clip{i:03}" for i in range(clips)], "label": np.char.mod("c%d", label),
        "speaker": np.char.mod("s%d", speaker), "fold": np.char.mod("%d", speaker % folds),
        "text": np.where(text < texts // 4, "", np.char.mod("t%d", text))})
    table["sha256"] = "h" + table["clip_id"]
    return split_first(table), (x + noise * rng.normal(size=x.shape)).astype(np.float32)


def split_first(table):
    """Write the division of fold 0 into the column split."""
    split = np.full(len(table), "", object)
    for name in splits.SPLITS:
        split[splits.divide_fold(table, 0)[name]] = name
    return table.assign(split=split)


def run(table, x, task=TASK, **options):
    options = {"probes": PAIR} | options
    return probe.grid_folds(LabelledVectors.of(table, x), benchmark.divide_folds(task, table), **options)


def split_by_hand(table, k):
    """Train, validation and test of a fold, clip by clip."""
    count, parts = table["fold"].astype(int).max() + 1, {"train": [], "validation": [], "test": []}
    fold = table["fold"].astype(int).tolist()
    heard = [i for i in range(len(table)) if fold[i] in (k, (k + 1) % count)]
    speakers, texts = ({table[name].iloc[i] for i in heard} for name in ("speaker", "text"))
    for i in range(len(table)):
        if i in heard:
            parts["test" if fold[i] == k else "validation"].append(i)
        elif table["speaker"].iloc[i] not in speakers and (table["text"].iloc[i] or None) not in texts:
            parts["train"].append(i)
    return parts


def normalise_by_hand(x, speaker, l2, norm):
    x = x.astype(float)
    if l2:
        x = x / np.sqrt((x**2).sum(1, keepdims=True))
    for name in set(speaker) if norm else ():
        x[speaker == name] = (x[speaker == name] - x[speaker == name].mean(0)) / x[speaker == name].std(0)
    return x


def answer_by_hand(table, x):
    """Validation and test answers to all clips of each combination, and which was chosen in each fold."""
    y, speaker = table["label"].to_numpy(str), table["speaker"].to_numpy(str)
    answers, chosen = {}, []
    for k in range(table["fold"].nunique()):
        parts, scores = split_by_hand(table, k), {}
        for name in ("LogisticRegression", "LDA_LSQR_AUTO"):
            for l2 in (False, True):
                for norm in (False, True):
                    ready = {part: normalise_by_hand(x[rows], speaker[rows], l2, norm) for part, rows in parts.items()}
                    model = (LinearDiscriminantAnalysis("lsqr", shrinkage="auto") if name == "LDA_LSQR_AUTO" else
                             LogisticRegression(C=1e5, tol=1e-4 / len(parts["train"])))
                    model.fit(ready["train"], y[parts["train"]])
                    for part in ("validation", "test"):
                        all_of = answers.setdefault((name, l2, norm, part), np.full(len(y), "", object))
                        all_of[parts[part]] = model.predict(ready[part])
                    asked = parts["validation"]
                    scores[name, l2, norm] = (answers[name, l2, norm, "validation"][asked] == y[asked]).mean()
        chosen.append(max(scores, key=scores.get))
    return answers, chosen


def test_scores_answers_and_choice_are_those_of_a_plain_loop():
    table, x = make_clips()
    grid, (answers, chosen) = run(table, x), answer_by_hand(table, x)
    assert len(set(chosen)) > 1, "the example must choose differently in different folds"
    y, speaker = table["label"].to_numpy(str), table["speaker"].to_numpy(str)
    *others, last_validation, last = grid.rows.to_dict("records")
    for row in others:
        which = (row["probe"], row["l2"], row["speaker_norm"], row["split"])
        assert row["value"] == (answers[which] == y).mean(), which
        assert not row["selected"] and (row["n"], row["n_speakers"], row["classes"]) == (200, 8, 5)
    picked = {split: np.array([answers[*chosen[int(k)], split][i] for i, k in enumerate(
        table["fold"] if split == "test" else (table["fold"].astype(int) - 1) % 4)], str)
        for split in ("validation", "test")}
    bounds = intervals.interval(y, picked["test"], speaker, "accuracy", seed=0)
    assert (last["probe"], last["selected"], last["best_on_test"]) == (CHOSEN_BY_FOLD, True, False)
    assert (last["value"], last_validation["value"]) == tuple((picked[s] == y).mean() for s in ("test", "validation"))
    assert (last["low"], last["high"], last["interval_by"]) == bounds == (bounds.low, bounds.high, "speaker")
    counts = Counter(f"{name}, l2 {l2}, speaker_norm {norm}" for name, l2, norm in chosen)
    assert last["reason"] == "; ".join(f"{name} in {n} of 4 folds" for name, n in counts.items())
    assert grid.predictions["clip_id"].tolist() == table["clip_id"].tolist()
    assert grid.predictions["y_pred"].tolist() == picked["test"].tolist()
    assert [tuple(row) for row in grid.predictions[COMBINATION].to_numpy()] == [chosen[int(k)] for k in table["fold"]]
    tested = {which[:3]: (answers[which] == y).mean() for which in answers if which[3] == "test"}
    best = grid.rows[grid.rows["best_on_test"] & (grid.rows["split"] == "test")].iloc[0]
    assert tuple(best[COMBINATION]) == max(tested, key=tested.get)
    sizes = [len(split_by_hand(table, k)["train"]) for k in range(4)]
    lost = [len(splits.divide_fold(table, k)["left_out"]) for k in range(4)]
    assert grid.notes == (f"Every clip was tested once, in 4 folds: {min(sizes)} to {max(sizes)} clips were in "
                          f"training, {min(lost)} to {max(lost)} were left out of it for their text.",)


@pytest.mark.parametrize("seed", range(3))
def test_nobody_and_nothing_that_is_asked_was_heard_and_every_clip_is_asked_once_wherever_it_is_fitted(seed):
    table, x = make_clips(folds=3 + seed, seed=seed)
    speaker, text = (dict(zip(table["clip_id"], table[name], strict=True)) for name in ("speaker", "text"))
    asked = Counter()

    def mapper(function, given):
        for one in reversed(list(given)):
            heard = set(one.splits["train"].clip_id)
            for part in ("validation", "test"):
                clips = one.splits[part].clip_id
                assert heard and not heard & set(clips)
                for of in (speaker, text):
                    assert not ({of[c] for c in heard} & {of[c] for c in clips}) - {""}
                asked.update((part, one.probe, one.variant, clip) for clip in clips)
            yield function(one)

    there, here = run(table, x, mapper=mapper), run(table, x, jobs=1)
    assert set(asked.values()) == {1} and len(asked) == 2 * 2 * 4 * len(table)
    assert there.rows.drop(columns="fit_seconds").equals(here.rows.drop(columns="fit_seconds"))
    order = np.random.default_rng(seed).permutation(len(table))
    shuffled = run(table.iloc[order].reset_index(drop=True), x[order])
    assert shuffled.rows.drop(columns="fit_seconds").equals(here.rows.drop(columns="fit_seconds"))
    assert shuffled.predictions.equals(here.predictions) and shuffled.notes == here.notes


class Planted:
    """Right on what it is told to be, by fold; x has the class, the clip's fold and its place within the fold."""

    def __init__(self, share_right):
        self.share_right = share_right  # (fold that is tested, whether the test is asked) to share

    def fit(self, x, y):
        missing = sorted({0, 1, 2, 3} - set(x[:, 1].astype(int)))
        self.tested = missing[1] if missing == [0, 3] else missing[0]

    def predict(self, x):
        share = self.share_right(self.tested, int(x[0, 1]) == self.tested)
        return np.where(x[:, 2] < share, x[:, 0], 1 - x[:, 0]).astype(int)


def test_each_fold_chooses_on_its_own_validation_clips_only(monkeypatch):
    # A is right on all test clips, and best on validation in fold 0 by so much that it is best over all folds too
    plans = {"LogisticRegression": lambda fold, test: 1.0 if test or fold == 0 else 0.6,
             "LDA_LSQR_AUTO": lambda fold, test: 0.5 if test else 0.0 if fold == 0 else 0.7}
    for name, plan in plans.items():
        monkeypatch.setitem(classifiers.CLASSIFIERS, name, lambda *_, plan=plan: Planted(plan))
    monkeypatch.setattr(probe, "normalise", lambda x, *_, **__: x)
    i = np.arange(80)
    table = pd.DataFrame({"clip_id": np.char.mod("%02d", i), "label": np.char.mod("%d", i % 2), "speaker": i % 8,
                          "fold": i // 2 % 4, "text": ""}).astype(str)
    grid = run(table, np.stack([i % 2, i // 2 % 4, (i // 8) / 10], 1).astype(float), speaker_norm=False)
    value = grid.rows.drop_duplicates(["probe", "split"]).set_index(["probe", "split"])["value"]
    assert value["LogisticRegression", "validation"] > value["LDA_LSQR_AUTO", "validation"]
    assert value["LogisticRegression", "test"] == 1 and value["LDA_LSQR_AUTO", "test"] == 0.5
    assert value[CHOSEN_BY_FOLD, "test"] == (1 + 3 * 0.5) / 4
    chosen = grid.rows[grid.rows["selected"]]
    assert set(chosen["probe"]) == {CHOSEN_BY_FOLD}
    assert "LDA_LSQR_AUTO, l2 False, speaker_norm False in 3 of 4 folds" in chosen["reason"].iloc[0]
    assert (grid.predictions["probe"] == np.where(table["fold"] == "0", "LogisticRegression", "LDA_LSQR_AUTO")).all()
    assert set(grid.rows.loc[grid.rows["best_on_test"], "probe"]) == {"LogisticRegression"}


def test_a_combination_that_fails_in_one_fold_has_no_score_and_is_not_chosen_there(monkeypatch):
    made = []

    def make(*given):
        made.append(given)
        if len(made) == 6:
            raise ValueError("singular matrix")
        return real(*given)

    (table, x), real = make_clips(), classifiers.CLASSIFIERS["LDA_LSQR_AUTO"]
    monkeypatch.setitem(classifiers.CLASSIFIERS, "LDA_LSQR_AUTO", make)
    rows = run(table, x, jobs=1).rows
    failed = rows["value"].isna()
    assert (rows.loc[failed, "reason"] == "ValueError: singular matrix (in 1 of 4 folds)").all() and failed.sum() == 2
    assert rows.loc[rows["selected"], "value"].notna().all() and rows["selected"].sum() == 2
    monkeypatch.setitem(classifiers.CLASSIFIERS, "LDA_LSQR_AUTO", lambda *_: made.append(1) or 1 / 0)
    nothing = run(table, x, probes=PAIR[:1])
    assert nothing.predictions.empty and not nothing.rows["selected"].any() and nothing.rows["value"].isna().all()
    assert (nothing.rows["reason"] == "ZeroDivisionError: division by zero").all()


def test_a_class_that_a_training_part_lacks_is_said_with_the_fold_and_other_metrics_are_scored_too():
    table, x = make_clips()
    rare = (table["fold"] == "2") & (table["label"] == "c0")
    grid = run(table.assign(label=table["label"].mask(rare, "rare")), x, metric="auc")
    assert (f"Fold 2: {rare.sum()} test clips have a label that train lacks, so no answer to them can be right: rare."
            in grid.notes)
    assert grid.rows["value"].between(0.5, 1).all() and (grid.rows["low"] < grid.rows["value"]).all()


@pytest.mark.parametrize(("change", "error", "message"), [
    (lambda t: t.assign(label=t["label"].mask(t["fold"] == "3", "c1")), NslibError,
     "validation of fold 2 holds .* of 1 classes; a task needs two or more"),
    (lambda t: t.assign(text="the same"), NslibError, "train of fold 0 holds 0 clips"),
    (lambda t: t.assign(fold=t["fold"].replace("1", "")), BadParameter, "'0', '2', '3'"),
    (lambda t: t.assign(fold=t["fold"].replace("3", "")), BadParameter, "each of 200 clips once. Give every clip")])
def test_folds_that_cannot_be_scored_are_named(change, error, message):
    table, x = make_clips()
    with pytest.raises(error, match=message):
        run(change(table), x)


def test_a_task_whose_label_is_the_speaker_keeps_speakers_and_no_z_score():
    table, x = make_clips(classes=8, clips=240, texts=12)
    table = table.assign(label=table["speaker"], fold=(table.index // 3 % 4).astype(str))
    grid = run(table, x, dataclasses.replace(TASK, speaker_is_label=True), speaker_norm=True)
    assert not grid.rows["speaker_norm"].any() and "speaker is the label" in grid.notes[0]
    assert grid.rows["value"].notna().all()


# ------------------------------------------------------------------ what reads a score by folds

@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Recordings in folds as the task ``style-synthetic``, with a cache and reports of their own."""
    home = tmp_path_factory.mktemp("folded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSLIB_CACHE", str(home / "cache"))
        (home / "cache").mkdir()
        corpus = recordings.read_recordings(write_pitches(home / "pitches", takes=4), progress=False)
    clips = corpus.clips
    number = clips["speaker"].str.extract(r"(\d+)")[0].astype(int)
    said = [f"t{i % 4}" if i % 8 == 1 else "" for i in range(len(clips))]
    label = clips["label"].where(clips.index % 5 != 0, "low")  # so that no answer is certain
    return home, split_first(clips.assign(fold=(number % 3).astype(str), text=said, label=label))


@pytest.fixture
def folded(place, monkeypatch):
    home, clips = place
    monkeypatch.setenv("NSLIB_CACHE", str(home / "cache"))
    monkeypatch.setenv("NSLIB_REPORTS", str(home / "reports"))  # what was measured once is found again
    task = dataclasses.replace(tasks.get_task("style-synthetic"), caution="")
    corpus = SimpleNamespace(clips=clips, problems=clips[:0].assign(reason="", remedy=""), notes=())

    def load(given, params, specs, builder, progress, splits=None, numbers=False):
        builder.add_clips(task, corpus)
        return [(task, corpus)]

    monkeypatch.setattr(benchmark, "load_tasks", load)
    return clips


def measure(which="logmel", **given):
    return benchmark.benchmark(which, "style-synthetic", params=SMOKE, progress=False, **given)


def test_a_benchmark_by_folds_is_stored_found_again_and_verified(folded, tmp_path, monkeypatch):
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    first = measure()
    row = select_scores(first.rows).iloc[0]
    assert (row["probe"], row["n"], row["n_speakers"], row["classes"]) == (CHOSEN_BY_FOLD, len(folded), 6, 2)
    assert len(first.predictions) == len(folded) and any("in 3 folds" in note for note in first.notes)
    for name in ("results.csv", "results.parquet"):
        results.export_rows(first.rows, tmp_path / "reports" / name)
    checks = verify.verify_report(level="all", progress=False)
    assert checks["ok"].all(), checks[~checks["ok"].fillna(False).astype(bool)]
    monkeypatch.setattr(extract, "extract_vectors", lambda *a, **k: pytest.fail("embedded again"))
    monkeypatch.setattr(probe, "grid_folds", lambda *a, **k: pytest.fail("fitted again"))
    pd.testing.assert_frame_equal(measure().rows, first.rows)
    other = splits.hash_split(folded.assign(fold=folded["fold"].map({"0": "0", "1": "2", "2": "1"})))
    assert row["split_hash"] == splits.hash_split(folded) != other
    stored = results.table_path(row["key"], "predictions")
    results.write_table(stored, first.predictions.assign(probe="Forest_balanced_100"))
    checks = verify.verify_report(progress=False)
    assert set(checks.loc[~checks["ok"].astype(bool), "what"]) == {"whose answers"}


def test_a_probe_of_each_fold_fitted_again_says_how_sure_it_was(folded, tmp_path):
    rows, predictions = (part := measure()).rows, part.predictions
    sure, left_out = benchmark.find_confidence(rows, predictions, SMOKE, progress=False)
    assert left_out.empty and sure["y_pred"].tolist() == predictions["y_pred"].tolist()
    assert set(sure["probe"]) == {CHOSEN_BY_FOLD} and len(calibration_errors(sure)) == 1
    out = benchmark.specify_embedding("logmel").vectors(folded, progress=False)
    for k in range(3):  # one fit by itself
        train, _, test = (LabelledVectors.of(folded.iloc[rows], out.vectors[rows])
                          for rows in split_by_hand(folded, k).values())
        used, = predictions[predictions["clip_id"].isin(test.clip_id)][COMBINATION].drop_duplicates().to_dict("records")
        ready = [classifiers.normalise(p.x, p.speaker, l2=used["l2"], speaker_norm=used["speaker_norm"])
                 for p in (train, test)]
        model = classifiers.CLASSIFIERS[used["probe"]](len(train.y), 2, 0).fit(ready[0], train.y)
        mine = sure.set_index("clip_id").loc[test.clip_id, "confidence"]
        assert mine.to_numpy() == pytest.approx(model.predict_proba(ready[1]).max(1), abs=1e-9)


def test_clips_that_an_embedding_loses_are_counted_and_the_rest_is_in_folds(folded, monkeypatch):
    whole, vectors = measure(), benchmark.EmbeddingSpec.vectors

    def lose(self, clips, **options):
        out, kept = vectors(self, clips, **options), np.arange(len(clips)) % 11 != 5
        problems = out.clips[~kept].assign(reason="too short", remedy="")
        return extract.Extraction(out.vectors[kept], out.clips[kept].reset_index(drop=True), problems, {})

    monkeypatch.setattr(benchmark.EmbeddingSpec, "vectors", lose)
    results.table_path(whole.rows["key"].iloc[0], "rows").unlink()
    fewer, kept = measure(), folded[np.arange(len(folded)) % 11 != 5]
    row = select_scores(fewer.rows).iloc[0]
    assert row["n"] == len(kept) < len(folded) and len(fewer.problems) == len(folded) - len(kept)
    assert fewer.predictions["clip_id"].tolist() == kept["clip_id"].tolist()
    assert row["key"] != whole.rows["key"].iloc[0] and row["split_hash"] == splits.hash_split(kept)


def test_pages_and_figures_show_what_was_chosen_by_fold_and_an_exported_classifier_is_one_combination(folded):
    done = measure()
    row, note = choose_combination(done.rows)
    assert row["probe"] in benchmark.SMOKE_PROBES and not note
    table = html.build_result_table(done.rows, done.predictions)
    cell, = table["cells"]
    assert cell["normalised"] == "by fold" and cell["setting"].startswith(f"{CHOSEN_BY_FOLD}: ")
    assert "in 3 of 3 folds" in cell["setting"] or "of 3 folds; " in cell["setting"]
    drawn = figures.choice(done.rows, "style-synthetic", "logmel")
    assert f"Chosen on validation: {CHOSEN_BY_FOLD}, test" in drawn.alt
    assert any(f"Best on test: {name}" in drawn.alt for name in benchmark.SMOKE_PROBES)
    audit = figures.split_audit(folded.assign(task="t", corpus_kind="real")).table
    assert (audit["split"] == "").any() and (audit["shared_speakers"] == 0).all()


def test_a_shared_score_follows_from_the_answers_to_all_clips_of_the_folds(folded, tmp_path, monkeypatch):
    done, hashes = measure(), (splits.hash_data(folded), splits.hash_split(folded))
    monkeypatch.setattr(leaderboard, "_read_manifest", lambda _: (folded, hashes))
    path = leaderboard.export_scores(done.rows, "logmel", tmp_path / "row.parquet", predictions=done.predictions)
    table = leaderboard.build_table(done.rows[:0], leaderboard.read_scores(path))
    assert table["trust"].item() == leaderboard.RECOMPUTED
    with pytest.raises(BadParameter, match="not those of the 48 test clips: 1 lack one"):
        leaderboard.export_scores(done.rows, "logmel", tmp_path / "b.parquet", predictions=done.predictions[1:])


def test_noise_and_the_protocols_take_the_first_fold_and_let_be_what_is_in_no_part(folded):
    done = measure()
    curves = robustness.measure_curves("style-synthetic", ["logmel"], params=SMOKE, progress=False,
                                       conditions={robustness.GAIN: (0.0,)})
    assert not curves.attrs["not_run"] and (folded["split"] == "").any()
    tested = folded.loc[folded["split"] == "test", "clip_id"]
    right = done.predictions.set_index("clip_id").loc[tested].eval("y_true == y_pred").mean()
    assert curves["value"].tolist() == [right, right] and set(curves["n"]) == {len(tested)}
    out = benchmark.specify_embedding("logmel").vectors(folded, progress=False)
    data = protocols.make_task_vectors(TASK, folded, out.vectors, embedding="logmel", fingerprint="x")
    outcome = protocols.run_one("switch", data, params=SMOKE, progress=False, probes=PAIR[:1], draws=1)
    of = outcome.rows[outcome.rows["split_number"] != ""].drop_duplicates("protocol").set_index("protocol")
    train = (folded["split"] == "train").sum()
    assert of.loc["by-speaker", ["n", "n_train"]].tolist() == [len(tested), train]
    assert of.loc["by-clip", "n_train"] <= train + 1
