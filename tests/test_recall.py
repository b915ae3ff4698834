"""Recall of each class, and repeated splits: numbers by hand, coverage, and figures that say what their tables say."""

from __future__ import annotations

import fabricated
import numpy as np
import pandas as pd
import pytest
import speakers
from scipy import stats

from nslib import metrics, plots, protocols, recall, stability
from nslib.schema import PROTOCOL_ROWS

ROWS, ANSWERS = fabricated.rows(), fabricated.predictions()


def cell(truth, answer, speaker):
    """Rows and predictions of one embedding with these answers."""
    rows, predictions = speakers.benchmark(np.ones((1, len(truth)), dtype=bool), np.arange(len(truth)))
    return rows, predictions.assign(y_true=truth, y_pred=answer, speaker=speaker)


# ------------------------------------------------------------------ recall

def test_recall_by_hand():
    rows, predictions = cell(list("aaaabbbc"), list("aabcbbbb"), list("12341231"))
    table = recall.table(rows, predictions).set_index("label")
    assert table.index.tolist() == ["b", "a", "c"] and table["recall"].tolist() == [1.0, 0.5, 0.0]
    assert table["n"].tolist() == [3, 4, 1] and table["n_speakers"].tolist() == [3, 4, 1]
    assert table["taken_for"].tolist() == ["", "b", "b"] and table["times"].tolist() == [0, 1, 1]
    assert (table["low"] <= table["recall"]).all() and (table["recall"] <= table["high"]).all()


def test_the_mean_over_classes_is_balanced_accuracy_and_filters_filter():
    table = recall.table(ROWS, ANSWERS, "language-five")
    assert set(table["task"]) == {"language-five"} and set(table["embedding"]) == set(fabricated.EMBEDDINGS)
    for embedding, part in table.groupby("embedding"):
        own = ANSWERS[(ANSWERS["task"] == "language-five") & (ANSWERS["embedding"] == embedding)]
        assert part["recall"].mean() == pytest.approx(metrics.balanced_accuracy(own["y_true"], own["y_pred"]))
    pd.testing.assert_frame_equal(recall.table(ROWS, ANSWERS, "language-five", "mfcc"),
                                  table[table["embedding"] == "mfcc"].reset_index(drop=True))


def test_speakers_are_resampled_where_five_have_the_class():
    truth = np.array(["a", "b"] * 30)
    speaker = np.where(truth == "a", np.arange(60) // 2 % 6, np.arange(60) // 2 % 3).astype(str)
    table = recall.table(*cell(truth, truth, speaker)).set_index("label")
    assert table["by"].to_dict() == {"a": "speaker", "b": "clip"}


def test_intervals_of_a_class_hold_the_truth_as_often_as_they_say():
    rng, trials, held = np.random.default_rng(0), 80, 0
    for _ in range(trials):
        right, of = speakers.answers(rng, 10, 6, [0.75])
        rows, predictions = cell(np.full(60, "a"), np.where(right[0], "a", "b"), of.astype(str))
        found = recall.table(rows, predictions).iloc[0]
        held += found["low"] <= 0.75 <= found["high"]
    assert held >= stats.binom.ppf(0.002, trials, 0.95)  # 70 of 80


def test_the_figure_of_recall_has_a_dot_a_class_and_its_numbers():
    figure = plots.recall(ROWS, ANSWERS, "style-espeak", "mfcc")
    pd.testing.assert_frame_equal(figure.table, recall.table(ROWS, ANSWERS, "style-espeak", "mfcc"))
    first = figure.table.iloc[0]
    assert f"{first['label']} {100 * first['recall']:.0f} % ({100 * first['low']:.0f} to" in figure.alt
    dots = [line.get_xdata()[0] for line in figure.fig.axes[0].get_lines() if line.get_marker() == "o"]
    assert dots == pytest.approx((100 * figure.table["recall"]).tolist())
    assert figure.fig.axes[0].get_title(loc="left") == "mfcc on style-espeak (synthetic)"
    assert plots.recall(ROWS, ANSWERS, "style-espeak", "mfcc").render("svg") == figure.render("svg")
    with pytest.raises(ValueError, match="no predictions of 'nobody'"):
        plots.recall(ROWS, ANSWERS, "style-espeak", "nobody")


def test_the_confusion_is_recall_and_says_so_in_numbers():
    own, table = recall.table(ROWS, ANSWERS, "language-five", "mfcc"), plots.confusion(ANSWERS, "language-five", "mfcc")
    counts = table.table.set_index("y_true")
    for row in own.itertuples():
        assert counts.at[row.label, row.label] == round(row.recall * row.n) and counts.loc[row.label].sum() == row.n
    right = int(sum(counts.at[label, label] for label in counts.index))
    assert f"{right} of 120 clips right over {len(own)} labels" in table.alt


# ------------------------------------------------------------------ repeated splits

def repeated(scores, mean=None, key="k", when="2026-01-01", **facts):
    """Protocol rows of so many splits: selected ones, one that was not chosen, and the row over all splits."""
    scores = np.asarray(scores)
    shared = {"key": key, "task": "t", "corpus_kind": "real", "embedding": "e", "protocol": protocols.REPEATED,
              "when": when, "selected": True} | facts
    rows = [shared | {"split_number": str(i), "value": v, "low": v - 0.1, "high": v + 0.1}
            for i, v in enumerate(scores)]
    rows.append(shared | {"split_number": "0", "value": 0.01, "low": 0.0, "high": 0.1, "selected": False})
    whole = scores.mean() if mean is None else mean
    rows.append(shared | {"split_number": "", "value": whole, "low": whole - 0.05, "high": whole + 0.05})
    return fabricated._filled(pd.DataFrame(rows), PROTOCOL_ROWS)


def test_spread_beside_the_interval_by_hand():
    row = stability.table(repeated([0.5, 0.6, 0.7, 0.9])).iloc[0]
    assert (row["splits"], row["lowest"], row["highest"]) == (4, 0.5, 0.9)
    assert row["value"] == pytest.approx(0.675) and row["spread"] == pytest.approx(np.std([0.5, 0.6, 0.7, 0.9], ddof=1))
    assert row["standard_error"] == pytest.approx(0.1 / stats.norm.ppf(0.975))
    assert row["ratio"] == pytest.approx(row["spread"] / row["standard_error"]) and row["held"] == 0.5


def test_the_newest_run_counts_and_other_protocols_do_not():
    old, new = repeated([0.1, 0.2], key="old"), repeated([0.8, 0.9], key="new", when="2026-02-02")
    other = repeated([0.3, 0.4], key="other", protocol=protocols.WITHIN, when="2026-03-03")
    every = pd.concat([new, old, other], ignore_index=True)
    assert stability.splits(every)["value"].tolist() == [0.8, 0.9] and len(stability.table(every)) == 1
    assert stability.table(other).empty


def test_the_figure_of_repeated_splits_has_a_tick_a_split():
    rows = pd.concat([repeated([0.5, 0.6, 0.9]), repeated([0.2, 0.3, 0.3], embedding="f", key="l")], ignore_index=True)
    figure = plots.stability(rows)
    pd.testing.assert_frame_equal(figure.table, stability.table(rows))
    ticks = [len(line.get_xdata()) for line in figure.fig.axes[0].get_lines() if line.get_marker() == "|"]
    assert ticks[:2] == [3, 3]
    assert "t, e: 67 % over 3 splits, from 50 to 90 %, a standard deviation of 20.8 points" in figure.alt
    assert plots.stability(rows).render("svg") == figure.render("svg")
    with pytest.raises(ValueError, match="no result of repeated splits"):
        plots.stability(rows[:0])
