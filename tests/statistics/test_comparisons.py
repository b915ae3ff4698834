"""Paired differences, p-values that agree with their intervals, letters that say what the comparisons say."""

import itertools
import math
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

from nslib.errors import BadParameter
from nslib.statistics import comparisons
from nslib.statistics.comparisons import Paired, average_differences, p_value
from nslib.statistics.intervals import Difference
from nslib.statistics.scores import select_scores

ROWS, PREDICTIONS = fabricated.rows(), fabricated.predictions()


def difference(*answers):
    return Paired.of(*answers).at()


def test_a_difference_is_antisymmetric_ignores_row_order_and_agreement_does_not_prove_equality():
    rng = np.random.default_rng(0)
    a, b, who = rng.random(120) < 0.8, rng.random(120) < 0.6, np.arange(120) % 12
    once, turned, order = difference(a, b, who), difference(b, a, who), rng.permutation(120)
    assert once.diff == pytest.approx(a.mean() - b.mean()) and once.low < once.diff < once.high
    assert (-turned.diff, -turned.high, -turned.low) == pytest.approx(once[:3], abs=1e-9)
    assert difference(a[order], b[order], who[order])[:3] == pytest.approx(once[:3])
    assert once.by == "speaker" and difference(a, b).by == "clip" and difference([1], [0]).high <= 1
    # without variation it is Bonett and Price's interval: forty clips, one win and one loss added, for 42 clips
    z, t = stats.norm.ppf(0.975), stats.t.ppf(0.975, 39)
    half = z * np.sqrt(2) / (40 * (z / t) ** 2 + 2)
    assert difference([True] * 40, [True] * 40)[:3] == pytest.approx((0, -half, half))


def test_over_one_split_the_difference_is_that_of_the_clips_and_over_speakers_each_counts_once():
    rng = np.random.default_rng(1)
    a, b, clips = rng.random(90) < 0.8, rng.random(90) < 0.6, np.arange(90)
    who = np.repeat(np.arange(6), [5, 10, 15, 15, 20, 25])
    once, each = (Paired.of(a, b, who, clips=clips, splits=np.zeros(90), over=over).at()
                  for over in ("splits", "speakers"))
    assert once[:3] == pytest.approx(difference(a, b, who)[:3], abs=0.03)
    assert each.diff == pytest.approx(np.mean([a[who == s].mean() - b[who == s].mean() for s in range(6)]))


def test_answers_are_matched_by_clip_and_split_and_only_what_both_have_answered_counts():
    first = pd.DataFrame({"clip_id": list("abcd"), "speaker": list("xxyy"), "y_true": "1", "y_pred": list("1111")})
    second = first.iloc[[3, 1, 0]].assign(y_pred=["1", "0", "1"])
    matched = comparisons.match_answers(first, second)
    assert matched["clip_id"].tolist() == ["a", "b", "d"] and matched["speaker"].tolist() == ["x", "x", "y"]
    assert matched["right_a"].all() and matched["right_b"].tolist() == [True, False, True]
    assert comparisons.pair_matched(matched).diff == pytest.approx(1 / 3)
    assert comparisons.match_answers(first, second.assign(clip_id="z")).empty
    splits = pd.concat([first.assign(split_number=number) for number in "01"])
    assert len(comparisons.match_answers(splits, splits.iloc[:1:-1])) == 6


@pytest.mark.parametrize(("call", "message"), [
    (lambda: difference([1], [1, 0]), "paired clip by clip"), (lambda: average_differences([]), "at least one task"),
    (lambda: Paired.of([1], [1], over="tasks"), "over is 'tasks'; allowed: clips, splits, speakers"),
    (lambda: Paired.of([1], [1], ["s"], over="splits"), "give one of clips a value")])
def test_what_cannot_be_paired_is_refused(call, message):
    with pytest.raises(BadParameter, match=message):
        call()


def test_the_interval_of_an_average_narrows_by_the_root_of_their_number():
    four = average_differences([Difference(0.1, 0.0, 0.3, "speaker")] * 4)
    assert four[:3] == pytest.approx((0.1, 0.05, 0.2)) and four.by == "speaker"
    two = average_differences([four, Difference(0, -0.1, 0.2, "clip")])
    assert two.by == "clip and speaker" and two.low < two.diff == 0.05 < two.high


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_p_is_below_the_error_exactly_where_the_interval_leaves_out_zero(seed, count, level):
    right, of = speakers.answers(np.random.default_rng(seed), count, 12, [0.85, 0.6])
    both = Paired.of(*right, of)
    between, p = both.at(level), p_value(both.at)
    assert (p < 1 - level) == (between.low > 0 or between.high < 0) or abs(p - (1 - level)) < 2e-3 * p
    turned = p_value(Paired.of(*right[::-1], of).at)
    assert turned == pytest.approx(p, rel=0.01 if count >= 5 else 0.3)  # of clips, other ones are drawn


def test_p_of_a_sign_test_without_speakers_is_near_the_binomial_one():
    for wins, losses in ((20, 5), (14, 9)):
        a, b = np.repeat([[True, False, True], [False, True, True]], [wins, losses, 60], axis=1)
        assert p_value(Paired.of(a, b).at) == pytest.approx(stats.binomtest(wins, wins + losses).pvalue, rel=0.6)
    assert p_value(Paired.of([1] * 2000, [0] * 2000).at) == comparisons.SMALLEST


@pytest.mark.parametrize(("count", "clips", "accuracy", "spread"),
                         [(5, 20, 0.6, 0.5), (40, 8, 0.98, 0.5), (3, 60, 0.7, 0.0)])
def test_the_paired_test_keeps_its_rate(count, clips, accuracy, spread):
    rng, trials = np.random.default_rng(count), 120
    own = spread / 2 if count >= 5 else 0.0  # below five speakers clips are resampled, which takes them as independent
    p = []
    for _ in range(trials):
        right, of = speakers.answers(rng, count, clips, [accuracy] * 2, speaker=spread, own=own)
        p.append(p_value(Paired.of(*right, of, resamples=400).at))
    for level in (0.05, 0.01):
        assert (np.array(p) < level).sum() <= stats.binom.ppf(0.999, trials, level)


@settings(max_examples=50)
@given(st.lists(st.one_of(st.floats(0, 1), st.floats(0, 0.02), st.sampled_from([0.05, 0.025, 0.01])), max_size=40),
       st.sampled_from([0.9, 0.95, 0.99]))
def test_holms_procedure_is_that_of_statsmodels(p, level):
    rejected, adjusted = comparisons.holm(p, level)
    if p:
        with mock.patch("gc.collect"):  # which it calls each time: a quarter of a second
            expected, theirs, *_ = multipletests(p, alpha=1 - level, method="holm")
        assert (rejected == expected).all() and np.allclose(adjusted, theirs, rtol=1e-12)
    assert len(rejected) == len(adjusted) == len(p)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.data())
def test_two_names_share_a_letter_exactly_if_they_are_not_told_apart(count, data):
    every = list(itertools.combinations(range(count), 2))
    apart = data.draw(st.lists(st.sampled_from(every), unique=True) if every else st.just([]))
    names = [f"n{i}" for i in range(count)]
    letters = comparisons.assign_letters(names, [(names[i], names[j]) for i, j in apart])
    for i, j in every:
        assert bool(set(letters[names[i]]) & set(letters[names[j]])) == ((i, j) not in apart)
    assert all(letters.values()) and "a" in letters[names[0]]


def test_comparisons_are_paired_differences_held_by_holm_and_letters_say_the_same():
    compared, grouped = (make(ROWS, PREDICTIONS) for make in (comparisons.compare_embeddings,
                                                              comparisons.group_embeddings))
    for task, part in grouped.groupby("task", sort=False):
        pairs, letters = compared[compared["task"] == task], part.set_index("embedding")["letters"]
        assert len(pairs) == math.comb(len(part), 2) and part["value"].is_monotonic_decreasing
        for row in pairs.itertuples():
            assert bool(set(letters[row.first]) & set(letters[row.second])) != row.apart
        assert np.array_equal(comparisons.holm(pairs["p"]), pairs[["apart", "p_adjusted"]].to_numpy().T)
        beaten = set(pairs.loc[(pairs["first"] == part["embedding"].iloc[0]) & pairs["apart"], "second"])
        assert set(part.loc[~part["tied_with_best"], "embedding"]) == beaten
    assert compared["apart"].any() and not compared["apart"].all() and (compared["difference"] >= 0).all()
    answers = comparisons.collect_answers(select_scores(ROWS), PREDICTIONS)["language-five"]
    row = compared[compared["task"] == "language-five"].iloc[3]
    plain = comparisons.pair_matched(comparisons.match_answers(answers[row["first"]], answers[row["second"]])).at()
    assert (row["difference"], row["low"], row["high"]) == plain[:3]

    tasks = [task for task, kind, _ in fabricated.TASKS if kind == "real"]
    few = ROWS[(ROWS["embedding"] != "mfcc") | (ROWS["task"] == tasks[0])]
    fewer = comparisons.find_complete_block(few, PREDICTIONS)
    assert set(fewer[0]) == set(tasks) and set(fewer[1]) == set(fabricated.EMBEDDINGS) - {"mfcc"}
    values = grouped.pivot(index="embedding", columns="task", values="value")
    np.testing.assert_allclose(values[comparisons.AVERAGE], values[list(tasks)].mean(axis=1))


def test_letters_of_a_chain_of_many_of_one_of_nothing_and_without_a_clip_in_common():
    assert comparisons.assign_letters("xyz", [("z", "x")]) == {"x": "a", "y": "ab", "z": "b"}
    assert comparisons.assign_letters(range(54), list(itertools.combinations(range(54), 2)))[53] == "b′"
    rows, answers = speakers.benchmark(*speakers.answers(np.random.default_rng(0), 6, 5, [0.8]))
    assert comparisons.group_embeddings(rows, answers)["letters"].tolist() == ["a"]
    assert comparisons.group_embeddings(rows[:0], answers[:0]).empty
    rows, answers = speakers.benchmark(*speakers.answers(np.random.default_rng(0), 10, 20, [0.95, 0.2]))
    answers.loc[answers["embedding"] == "e1", "clip_id"] += "x"
    assert comparisons.compare_embeddings(rows, answers).empty
    assert comparisons.group_embeddings(rows, answers)["tied_with_best"].all()
