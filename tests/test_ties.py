"""Pairs and groups of ties: letters say what the comparisons say, and error rates are those that are promised."""

from __future__ import annotations

import itertools
from unittest import mock

import fabricated
import numpy as np
import pandas as pd
import pytest
import speakers
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from nslib import paired, pairs, plots, ties
from nslib.errors import BadParameter

ROWS, ANSWERS = fabricated.rows(), fabricated.predictions()


# ------------------------------------------------------------------ the p-value

@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_p_is_below_the_error_exactly_where_the_interval_leaves_out_zero(seed, count, level):
    right, of = speakers.answers(np.random.default_rng(seed), count, 12, [0.85, 0.6])
    both = paired.Paired.of(*right, of)
    found, p = both.at(level), paired.p_value(both.at)
    assert (p < 1 - level) == (found.low > 0 or found.high < 0) or abs(p - (1 - level)) < 2e-3 * p
    turned = paired.p_value(paired.Paired.of(*right[::-1], of).at)
    assert turned == pytest.approx(p, rel=0.01 if count >= 5 else 0.3)  # of clips, other ones are drawn


def test_p_of_a_sign_test_without_speakers_is_near_the_binomial_one():
    for wins, losses in ((20, 5), (30, 12), (14, 9)):
        a = np.array([True] * wins + [False] * losses + [True] * 60)
        b = np.array([False] * wins + [True] * losses + [True] * 60)
        exact = stats.binomtest(wins, wins + losses).pvalue
        assert paired.p_value(paired.Paired.of(a, b).at) == pytest.approx(exact, rel=0.6)


def test_equal_answers_have_p_one_and_opposite_ones_the_smallest():
    a = np.ones(2000, dtype=bool)
    assert paired.p_value(paired.Paired.of(a, a).at) == pytest.approx(1)
    assert paired.p_value(paired.Paired.of(a, ~a).at) == paired.SMALLEST


# ------------------------------------------------------------------ letters

def cliques(count, apart):
    """All largest sets of names none of which are told apart, by trying every set."""
    sets = [set(s) for n in range(1, count + 1) for s in itertools.combinations(range(count), n)
            if not any({i, j} <= set(s) for i, j in apart)]
    return [s for s in sets if not any(s < t for t in sets)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.data())
def test_two_names_share_a_letter_exactly_if_they_are_not_told_apart(count, data):
    every = list(itertools.combinations(range(count), 2))
    apart = data.draw(st.lists(st.sampled_from(every), unique=True) if every else st.just([]))
    names = [f"n{i}" for i in range(count)]
    found = ties.letters(names, [(names[i], names[j]) for i, j in apart])
    for i, j in every:
        assert bool(set(found[names[i]]) & set(found[names[j]])) == ((i, j) not in apart)
    assert all(found.values()) and "a" in found[names[0]]
    used = {letter: {i for i in range(count) if letter in found[names[i]]} for letter in "".join(found.values())}
    largest = cliques(count, apart)
    assert all(group in largest for group in used.values()) and len(used) <= len(largest)


def test_letters_of_a_chain_and_of_nothing_told_apart():
    assert ties.letters("xyz", [("z", "x")]) == {"x": "a", "y": "ab", "z": "b"}
    assert set(ties.letters("xyz", []).values()) == {"a"}
    assert ties.letters("xyz", itertools.combinations("xyz", 2)) == {"x": "a", "y": "b", "z": "c"}
    many = [f"n{i}" for i in range(54)]
    assert ties.letters(many, list(itertools.combinations(many, 2)))["n53"] == "b′"


# ------------------------------------------------------------------ tables

def test_letters_are_what_the_comparisons_say():
    compared, grouped = ties.comparisons(ROWS, ANSWERS), ties.groups(ROWS, ANSWERS)
    assert list(compared) == ties.COMPARISONS and list(grouped) == ties.GROUPS
    for task, part in grouped.groupby("task", sort=False):
        own = compared[compared["task"] == task]
        count = len(part)
        assert len(own) == count * (count - 1) // 2 and part["value"].is_monotonic_decreasing
        letters = dict(zip(part["embedding"], part["letters"], strict=True))
        for row in own.itertuples():
            assert bool(set(letters[row.first]) & set(letters[row.second])) != row.apart
        best = part.iloc[0]["embedding"]
        beaten = set(own.loc[(own["first"] == best) & own["apart"], "second"])
        assert set(part.loc[~part["tied_with_best"], "embedding"]) == beaten
    assert compared["apart"].any() and not compared["apart"].all()


def test_comparisons_are_those_of_pairs_and_holm_by_hand():
    compared = ties.comparisons(ROWS, ANSWERS)
    answered = pairs.answered(plots.chosen(ROWS), ANSWERS)
    own = compared[compared["task"] == "language-five"].sort_values("p", ignore_index=True)
    row = own.iloc[3]
    plain = pairs.difference(*(answered["language-five"][row[n]] for n in ("first", "second")))
    assert (row["difference"], row["low"], row["high"]) == plain[:3]
    adjusted = np.maximum.accumulate(np.minimum(own["p"] * (len(own) - np.arange(len(own))), 1))
    assert own["p_adjusted"].tolist() == pytest.approx(adjusted.tolist())
    assert (own["apart"] == (own["p_adjusted"] <= 0.05)).all() and (own["difference"] >= 0).all()


def test_the_average_is_over_recorded_tasks_that_all_of_its_embeddings_have():
    tasks, embeddings = ties.averaged(ROWS, ANSWERS)
    assert set(tasks) == {t for t, kind, _ in fabricated.TASKS if kind == "real"}
    assert set(embeddings) == set(fabricated.EMBEDDINGS)
    few = ROWS[(ROWS["embedding"] != "mfcc") | (ROWS["task"] == tasks[0])]
    found = ties.averaged(few, ANSWERS)
    assert set(found[0]) == set(tasks) and set(found[1]) == set(embeddings) - {"mfcc"}
    grouped = ties.groups(few, ANSWERS)
    mean = grouped[grouped["task"] == ties.AVERAGE].set_index("embedding")["value"]
    single = grouped[grouped["task"].isin(tasks)].groupby("embedding")["value"].mean()
    assert "mfcc" not in mean.index and mean.to_dict() == pytest.approx(single.drop("mfcc").to_dict())


def test_one_embedding_one_task_and_nothing_at_all():
    rows, answers = speakers.benchmark(*speakers.answers(np.random.default_rng(0), 6, 5, [0.8]))
    assert ties.comparisons(rows, answers).empty and ties.averaged(rows, answers) == ((), ())
    assert ties.groups(rows, answers)[["embedding", "letters"]].to_numpy().tolist() == [["e0", "a"]]
    assert ties.groups(rows[:0], answers[:0]).empty
    with pytest.raises(BadParameter, match="must lie in"):
        ties.groups(rows, answers, level=1.0)


def test_embeddings_without_a_clip_in_common_are_not_told_apart_and_have_no_row():
    rows, answers = speakers.benchmark(*speakers.answers(np.random.default_rng(0), 10, 20, [0.95, 0.2]))
    answers.loc[answers["embedding"] == "e1", "clip_id"] += "x"
    assert ties.comparisons(rows, answers).empty and ties.groups(rows, answers)["tied_with_best"].all()


# ------------------------------------------------------------------ error rates

@pytest.mark.parametrize(
    ("count", "clips", "accuracy", "spread"),
    [(5, 20, 0.6, 0.5), (8, 12, 0.8, 1.0), (14, 12, 0.95, 0.8), (40, 8, 0.98, 0.5), (3, 60, 0.7, 0.0)])
def test_the_paired_test_keeps_its_rate(count, clips, accuracy, spread):
    rng, trials = np.random.default_rng(count), 200
    own = spread / 2 if count >= 5 else 0.0  # below five speakers clips are resampled, which takes them as independent
    p = []
    for _ in range(trials):
        right, of = speakers.answers(rng, count, clips, [accuracy] * 2, speaker=spread, own=own)
        p.append(paired.p_value(paired.Paired.of(*right, of, resamples=400).at))
    below = (np.array(p) < 0.05).sum()
    assert below <= stats.binom.ppf(0.999, trials, 0.05)  # 22 of 200
    assert (np.array(p) < 0.01).sum() <= stats.binom.ppf(0.999, trials, 0.01)


def test_a_difference_that_is_there_is_found():
    rng, found = np.random.default_rng(1), 0
    for _ in range(60):
        right, of = speakers.answers(rng, 20, 12, [0.85, 0.65])
        found += paired.p_value(paired.Paired.of(*right, of, resamples=400).at) < 0.05
    assert found >= 54


@given(st.lists(st.one_of(st.floats(0, 1), st.floats(0, 0.02), st.sampled_from([0.05, 0.025, 0.01])), max_size=40),
       st.sampled_from([0.9, 0.95, 0.99]))
def test_holms_procedure_is_that_of_statsmodels(p, level):
    found, adjusted = paired.holm(p, level)
    if p:
        with mock.patch("gc.collect"):  # which it calls each time: a quarter of a second
            expected, theirs, *_ = multipletests(p, alpha=1 - level, method="holm")
        assert (found == expected).all() and np.allclose(adjusted, theirs, rtol=1e-12)
    assert len(found) == len(adjusted) == len(p)


def test_the_chance_of_any_wrong_pair_is_what_the_level_leaves():
    """Five embeddings: three alike, and two alike that are better; only pairs of unlike ones may be told apart."""
    rng, trials, wrong, right_ones = np.random.default_rng(2), 40, 0, 0
    alike = [{f"e{i}", f"e{j}"} for i, j in ((0, 1), (0, 2), (1, 2), (3, 4))]
    for _ in range(trials):
        compared = ties.comparisons(*speakers.benchmark(*speakers.answers(rng, 16, 15, [0.6] * 3 + [0.9] * 2)))
        told = [{row.first, row.second} for row in compared[compared["apart"]].itertuples()]
        wrong += any(pair in alike for pair in told)
        right_ones += sum(pair not in alike for pair in told)
    assert wrong <= stats.binom.ppf(0.999, trials, 0.05)  # 7 of 40
    assert right_ones >= 0.8 * 6 * trials


# ------------------------------------------------------------------ the figure

TWO = ROWS[ROWS["task"].isin(["language-five", "phrase-hedgewars"])]


def test_the_figure_says_what_its_table_says():
    figure, grouped = plots.ties(TWO, ANSWERS), ties.groups(TWO, ANSWERS)
    pd.testing.assert_frame_equal(figure.table[list(grouped)], grouped)
    assert len([a for a in figure.fig.axes if a.get_visible()]) == 3
    best = grouped[grouped["task"] == "language-five"].iloc[0]
    assert f"language-five: {best['embedding']} has the highest score, {100 * best['value']:.0f} %" in figure.alt
    assert "mean of 2 tasks" in figure.alt
    average = figure.table[figure.table["task"] == ties.AVERAGE]
    drawn = [t.get_text() for t in figure.fig.axes[0].texts if t.get_text().isalpha()]
    assert "".join(drawn) == "".join(average["letters"]) and (average["low"] < average["value"]).all()
    width = (average["high"] - average["low"]).to_numpy()
    single = figure.table[figure.table["task"] == "language-five"]
    assert width.max() < (single["high"] - single["low"]).max()  # of a mean, hence narrower


def test_one_task_has_one_panel_is_drawn_alike_twice_and_an_unknown_one_is_refused():
    synthetic = plots.ties(ROWS[ROWS["task"] == "style-espeak"], ANSWERS, "style-espeak")
    again = plots.ties(ROWS[ROWS["task"] == "style-espeak"], ANSWERS, "style-espeak")
    assert len(synthetic.fig.axes) == 1 and "style-espeak (synthetic)" in synthetic.alt
    assert again.render("svg") == synthetic.render("svg")
    with pytest.raises(ValueError, match="no answers to 'nothing'"):
        plots.ties(TWO, ANSWERS, "nothing")
