"""Calibration: values by hand, intervals that hold the truth, the refit that gives probabilities, the figures."""

from __future__ import annotations

import fabricated
import numpy as np
import pandas as pd
import pytest
import speakers
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from nslib import calibration, confidence, extract, kept, plots, probe, tasks
from nslib.errors import BadParameter, Unavailable
from nslib.probe_data import Split
from nslib.results import complete


def answers(sure, right, speaker=None):
    """Answers of one probe to clips of two classes."""
    sure, right = np.asarray(sure, dtype=float), np.asarray(right, dtype=bool)
    return pd.DataFrame({"task": "t", "embedding": "e", "probe": "p", "confidence": sure,
                         "brier": 2 * np.where(right, 1 - sure, sure) ** 2, "y_true": "yes",
                         "y_pred": np.where(right, "yes", "no"), "speaker": speaker if speaker is not None else ""})


# ------------------------------------------------------------------ numbers

def test_errors_by_hand():
    """Bins of four: 0.6 sure and half right, 0.9 sure and always right: gaps 0.1 and -0.1 cancel, the ECE is 0.1."""
    found = calibration.errors(answers([0.6] * 4 + [0.9] * 4, [1, 1, 0, 0, 1, 1, 1, 1]), 2).iloc[0]
    assert (found["n"], found["accuracy"], found["confidence"]) == (8, 0.75, pytest.approx(0.75))
    assert found["gap"] == pytest.approx(0) and found["ece"] == pytest.approx(0.1)
    assert found["brier"] == pytest.approx((2 * 2 * 0.16 + 2 * 2 * 0.36 + 4 * 2 * 0.01) / 8)
    assert found["gap_low"] < 0 < found["gap_high"] and found["ece_low"] == 0 and found["by"] == "clip"


def test_the_table_has_bins_of_equal_counts_and_what_was_right_in_each():
    table = calibration.table(answers([0.9, 0.5, 0.6, 0.95], [1, 0, 1, 1]), 2)
    assert table["bin"].tolist() == [1, 2] and table["n"].tolist() == [2, 2]
    assert table["confidence"].tolist() == pytest.approx([0.55, 0.925]) and table["accuracy"].tolist() == [0.5, 1.0]
    assert (table["low"] <= table["accuracy"]).all() and (table["accuracy"] <= table["high"]).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(2, 12))
def test_bins_are_ordered_and_equal_confidences_share_one(steps, bins):
    sure = np.array(steps) / 20
    place = calibration.binned(sure, bins)
    assert set(place) == set(range(place.max() + 1)) and place.max() < bins
    assert all(place[i] <= place[j] for i in range(len(sure)) for j in range(len(sure)) if sure[i] <= sure[j])
    if len(set(steps)) == len(steps) >= bins:
        assert np.ptp(np.bincount(place)) <= 1


def test_a_probe_that_is_always_right_and_sure_is_calibrated_and_one_that_is_always_wrong_is_not():
    for right, ece in ((1, 0.0), (0, 1.0)):
        found = calibration.errors(answers([1.0] * 30, [right] * 30)).iloc[0]
        assert found["ece"] == pytest.approx(ece) and found["brier"] == pytest.approx(2 * ece)
        assert found["ece_low"] <= ece <= found["ece_high"] and found["gap_low"] <= ece <= found["gap_high"]


def test_errors_ignore_the_order_of_rows_and_bad_settings_are_refused():
    table = speakers.sure(np.random.default_rng(0), 8, 10, 0.5)
    mixed = table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(calibration.errors(table), calibration.errors(mixed))
    assert calibration.errors(table)["by"].item() == "speaker"
    for wrong in ({"bins": 1}, {"level": 1.0}):
        with pytest.raises(BadParameter):
            calibration.table(table, **wrong)
    assert calibration.errors(table[:0]).empty and calibration.table(table[:0]).empty


# ------------------------------------------------------------------ coverage

def truth(over, bins=calibration.BINS):
    """Gap, expected calibration error and Brier score of `speakers.sure`, from a million clips."""
    logit = np.random.default_rng(9).normal(1.5, 1.2, 1_000_000)
    sure, right = special.expit(logit), special.expit(logit - over)
    gap, place = sure - right, calibration.binned(sure, bins)
    ece = np.abs(np.bincount(place, gap)).sum() / len(sure)
    return {"gap": gap.mean(), "ece": ece, "brier": 2 * np.mean(right * (1 - sure) ** 2 + (1 - right) * sure**2)}


@pytest.mark.parametrize(("count", "clips", "over"),
                         [(5, 20, 0.0), (12, 14, 0.0), (12, 14, 0.7), (30, 10, 1.5), (3, 50, 0.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(count, clips, over):
    rng, trials, true = np.random.default_rng(count), 120, truth(over)
    alike = 0.1 if count >= 5 else 0.0
    held = dict.fromkeys(true, 0)
    for _ in range(trials):
        found = calibration.errors(speakers.sure(rng, count, clips, over, alike)).iloc[0]
        for name, value in true.items():
            held[name] += found[f"{name}_low"] <= value + 1e-9 and value - 1e-9 <= found[f"{name}_high"]
    assert min(held.values()) >= stats.binom.ppf(0.002, trials, 0.94), held


def test_what_chance_adds_is_foretold():
    rng = np.random.default_rng(3)
    found = pd.concat([calibration.errors(speakers.sure(rng, 20, 8, 0.0)) for _ in range(30)])
    assert found["by_chance"].mean() == pytest.approx(found["ece"].mean(), rel=0.35) and found["ece"].mean() > 0.04


# ------------------------------------------------------------------ probabilities

def clusters(seed=0, clips=120):
    """Vectors of three classes that overlap, and who spoke."""
    rng = np.random.default_rng(seed)
    y = np.arange(clips) % 3
    x = rng.normal(0, 1, (clips, 6)) + 0.8 * np.eye(3, 6)[y]
    return [Split(x[i::3], np.array([f"c{v}" for v in y])[i::3], np.array([f"s{v % 7}" for v in range(clips)])[i::3],
                  np.array([f"clip{v:03d}" for v in range(clips)])[i::3]) for i in range(3)]


def split_clusters():
    whole = clusters()
    return [Split(*(np.concatenate([getattr(s, a)[k::3] for s in whole]) for a in ("x", "y", "speaker", "clip_id")))
            for k in range(3)]


@pytest.fixture(scope="module")
def found():
    parts = split_clusters()
    grids = {name: probe.grid(*parts, probes=[name], jobs=1) for name in probe.PROBES}
    origin = {"task": "t", "embedding": "e", "data_hash": "d", "split_hash": "s", "weights_hash": "w"}
    made = {name: complete(grid, key=f"k{i}", corpus_kind="real", **origin)
            for i, (name, grid) in enumerate(grids.items())}
    return parts, made


@pytest.mark.parametrize("name", probe.PROBES)
def test_the_refit_answers_what_the_benchmark_answered_and_says_how_sure(name, found):
    parts, made = found
    rows, predictions = made[name]
    row = rows[rows["selected"] & (rows["split"] == "test")].iloc[0]
    again = confidence.of(row, *parts)
    assert again["y_pred"].tolist() == predictions["y_pred"].tolist() and again["clip_id"].is_monotonic_increasing
    assert again["confidence"].between(1 / 3, 1).all() and again["brier"].between(0, 2).all()
    right = again["y_true"] == again["y_pred"]
    # of three classes, the other two share what is left
    least = np.where(right, (1 - again["confidence"]) ** 2, again["confidence"] ** 2)
    assert (again["brier"] >= least - 1e-12).all() and list(again) == [c.name for c in confidence.COLUMNS]


def test_a_network_trained_for_the_task_has_no_probe_to_ask(found):
    parts, made = found
    row = made["LDA_LSQR_AUTO"][0].iloc[0].copy()
    row["probe"] = "finetuned-mean"
    with pytest.raises(Unavailable, match="no probe on stored vectors"):
        confidence.of(row, *parts)


@pytest.fixture
def stored(found, monkeypatch):
    """A benchmark whose vectors are at hand."""
    parts, made = found
    rows, predictions = made["LDA_LSQR_AUTO"]
    rows, predictions = (f.assign(task="style-synthetic", embedding="logmel") for f in (rows, predictions))
    clips = pd.concat([pd.DataFrame({"clip_id": s.clip_id, "label": s.y, "speaker": s.speaker, "split": name})
                       for s, name in zip(parts, ("train", "validation", "test"), strict=True)], ignore_index=True)
    vectors = np.concatenate([s.x for s in parts])
    corpus = type("Corpus", (), {"clips": clips})
    monkeypatch.setattr(confidence.measure, "load_tasks", lambda *a, **k: [(tasks.REGISTRY["style-synthetic"], corpus)])
    calls = []

    def vectors_of(*_, **__):
        calls.append(1)
        return extract.Extraction(vectors, clips, clips[:0], {})

    monkeypatch.setattr(confidence, "enter", lambda name: type("Entrant", (), {"vectors": staticmethod(vectors_of)}))
    return rows, predictions, calls


def test_what_was_found_is_kept_and_not_computed_again(stored, tmp_path):
    rows, predictions, calls = stored
    assert confidence.load(rows, tmp_path).empty
    first, left_out = confidence.find(rows, predictions, progress=False, folder=tmp_path)
    again, _ = confidence.find(rows, predictions, progress=False, folder=tmp_path)
    assert len(first) == 39 and left_out.empty and len(calls) == 1
    pd.testing.assert_frame_equal(first, again)
    pd.testing.assert_frame_equal(first, confidence.load(rows, tmp_path))
    path = kept.place(rows["key"].iloc[0], "confidence", tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="not used"):
        third, _ = confidence.find(rows, predictions, progress=False, folder=tmp_path)
    pd.testing.assert_frame_equal(first, third)


def test_other_answers_than_those_kept_are_not_described(stored, tmp_path):
    rows, predictions, _ = stored
    turned = predictions.copy()
    turned.loc[0, "y_pred"] = {"c0": "c1", "c1": "c2", "c2": "c0"}[predictions["y_pred"].iloc[0]]
    found, left_out = confidence.find(rows, turned, progress=False, folder=tmp_path)
    assert found.empty and "1 of 39 answers are not those that were kept" in left_out["why"].item()
    strange = rows.assign(embedding="somebody's own"), predictions
    assert "no embedding of this name" in confidence.find(*strange, progress=False, folder=tmp_path)[1]["why"].item()
    tuned = rows.assign(probe="finetuned-mean"), predictions
    assert "trained for the task" in confidence.find(*tuned, progress=False, folder=tmp_path)[1]["why"].item()
    foreign = rows.assign(task="mine"), predictions
    assert "own recordings" in confidence.find(*foreign, progress=False, folder=tmp_path)[1]["why"].item()


# ------------------------------------------------------------------ figures

@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(5)
    return pd.concat([speakers.sure(rng, 8, 10, over).assign(task=task, embedding=f"e{over:g}")
                      for task in ("one", "two") for over in (0.0, 1.5)], ignore_index=True)


def test_the_diagram_says_what_the_table_says(many):
    figure, off = plots.calibration(many, "one"), calibration.errors(many[many["task"] == "one"])
    pd.testing.assert_frame_equal(figure.table, calibration.table(many[many["task"] == "one"]))
    for row in off.itertuples():
        assert f"expected calibration error {100 * row.ece:.1f} points" in figure.alt
    dots = [line for line in figure.fig.axes[0].get_lines() if line.get_marker() == "o"]
    first = figure.table[figure.table["embedding"] == "e0"]
    np.testing.assert_allclose(dots[0].get_ydata(), 100 * first["accuracy"])
    assert len(plots.calibration(many, "one", ["e1.5"]).fig.axes) == 1
    with pytest.raises(ValueError, match="no answers of e9"):
        plots.calibration(many, "one", ["e9"])


def test_the_gaps_are_those_of_the_table(many):
    figure = plots.calibration_gaps(many)
    pd.testing.assert_frame_equal(figure.table, calibration.errors(many))
    assert "one: 1 of 2 probes are too sure and 0 not sure enough, furthest off e1.5" in figure.alt
    assert plots.calibration_gaps(many).render("svg") == figure.render("svg")
    with pytest.raises(ValueError, match=r"nslib\.confidence"):
        plots.calibration_gaps(many[:0])


def test_schema_of_kept_answers_is_that_of_predictions_and_two_more():
    assert [c.name for c in confidence.COLUMNS][:-2] == list(fabricated.predictions())
