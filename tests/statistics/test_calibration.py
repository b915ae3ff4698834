"""Calibration: values by hand, and intervals that hold the truth."""

import numpy as np
import pandas as pd
import pytest
import speakers
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from nslib.statistics.calibration import assign_bins, calibration_errors, reliability_table


def answers(sure, right):
    """Answers of one probe to clips of two classes."""
    sure, right = np.asarray(sure, dtype=float), np.asarray(right, dtype=bool)
    return pd.DataFrame({"confidence": sure, "brier": 2 * np.where(right, 1 - sure, sure) ** 2, "y_true": "yes",
                         "y_pred": np.where(right, "yes", "no")}).assign(task="t", embedding="e", probe="p", speaker="")


def test_errors_and_bins_by_hand():
    """Bins of four: 0.6 sure and half right, 0.9 sure and always right: gaps 0.1 and -0.1 cancel, the ECE is 0.1."""
    row = calibration_errors(answers([0.6] * 4 + [0.9] * 4, [1, 1, 0, 0, 1, 1, 1, 1]), 2).iloc[0]
    assert (row["n"], row["accuracy"], row["confidence"]) == (8, 0.75, pytest.approx(0.75))
    assert row["gap"] == pytest.approx(0) and row["ece"] == pytest.approx(0.1)
    assert row["brier"] == pytest.approx((2 * 2 * 0.16 + 2 * 2 * 0.36 + 4 * 2 * 0.01) / 8)
    assert row["gap_low"] < 0 < row["gap_high"] and row["ece_low"] == 0 and row["by"] == "clip"
    table = reliability_table(answers([0.9, 0.5, 0.6, 0.95], [1, 0, 1, 1]), 2)
    assert table["bin"].tolist() == [1, 2] and table["n"].tolist() == [2, 2]
    assert table["confidence"].tolist() == pytest.approx([0.55, 0.925]) and table["accuracy"].tolist() == [0.5, 1.0]
    assert (table["low"] <= table["accuracy"]).all() and (table["accuracy"] <= table["high"]).all()
    row = calibration_errors(answers([1.0] * 30, [0] * 30)).iloc[0]  # always sure, never right
    assert row[["ece", "gap", "brier"]].tolist() == [1, 1, 2]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(2, 12))
def test_bins_are_ordered_and_equal_confidences_share_one(steps, bins):
    sure = np.array(steps) / 20
    place = assign_bins(sure, bins)
    assert set(place) == set(range(place.max() + 1)) and place.max() < bins
    assert (np.diff(place[np.argsort(sure)]) >= 0).all() and all(np.ptp(place[sure == one]) == 0 for one in sure)
    if len(set(steps)) == len(steps) >= bins:
        assert np.ptp(np.bincount(place)) <= 1


def test_errors_ignore_the_order_of_rows_and_what_chance_adds_is_foretold():
    table = speakers.sure(np.random.default_rng(0), 8, 10, 0.5)
    mixed = table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(calibration_errors(table), calibration_errors(mixed))
    assert calibration_errors(table)["by"].item() == "speaker"
    assert calibration_errors(table[:0]).empty and reliability_table(table[:0]).empty
    rng = np.random.default_rng(3)
    rows = pd.concat([calibration_errors(speakers.sure(rng, 20, 8, 0.0)) for _ in range(20)])
    assert rows["by_chance"].mean() == pytest.approx(rows["ece"].mean(), rel=0.35) and rows["ece"].mean() > 0.04


@pytest.mark.parametrize(("count", "clips", "over"), [(5, 20, 0.0), (12, 14, 0.7), (3, 20, 0.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(count, clips, over):
    logit = np.random.default_rng(9).normal(1.5, 1.2, 300_000)  # the truth, from very many clips
    sure, right = special.expit(logit), special.expit(logit - over)
    true = {"gap": (sure - right).mean(), "ece": np.abs(np.bincount(assign_bins(sure), sure - right)).sum() / len(sure),
            "brier": 2 * np.mean(right * (1 - sure) ** 2 + (1 - right) * sure**2)}
    rng, trials, held = np.random.default_rng(count), 60, dict.fromkeys(true, 0)
    for _ in range(trials):
        row = calibration_errors(speakers.sure(rng, count, clips, over, 0.1 if count >= 5 else 0.0)).iloc[0]
        for name, value in true.items():
            held[name] += row[f"{name}_low"] <= value + 1e-9 and value - 1e-9 <= row[f"{name}_high"]
    assert min(held.values()) >= stats.binom.ppf(0.002, trials, 0.94), held
