"""Intervals against brute force and simulation; recall of classes and repeated splits by hand."""

import fabricated
import numpy as np
import pandas as pd
import pytest
import speakers
from scipy import stats

from nslib.errors import BadParameter
from nslib.statistics import intervals, scores


def answers(name, n, per_speaker):
    """True names, answers (names or scores, as the metric needs) and speakers of an imperfect classifier."""
    rng, kinds = np.random.default_rng(0), 2 if name == "equal_error_rate" else 4
    if scores.get_metric(name).needs == "numbers":
        true = np.round(rng.normal(size=n))
        return true, true + np.round(rng.normal(size=n)), np.array([f"s{i // per_speaker}" for i in range(n)])
    codes = rng.integers(0, kinds, n)
    table = rng.normal(size=(n, kinds)) + 1.5 * np.eye(kinds)[codes]
    table = np.exp(table) / np.exp(table).sum(1, keepdims=True)
    names = np.array(list("abcd"[:kinds]))
    answer = names[table.argmax(1)] if scores.get_metric(name).needs == "labels" else np.round(table, 2)
    return names[codes], answer, np.array([f"s{i // per_speaker}" for i in range(n)])


@pytest.mark.parametrize("name", [name for name in scores.METRICS if name != "unweighted_average_recall"])
@pytest.mark.parametrize("by", ["speaker", "clip"])
def test_resampled_values_are_the_metric_on_resampled_clips(name, by, monkeypatch):
    true, answer, speaker = answers(name, 60, 6)
    seen = {}
    monkeypatch.setattr(intervals.Units, "weights", lambda units, n, seed: seen.setdefault(
        "weights", np.random.default_rng(seed).multinomial(units.draws, units.shares, size=n).astype(float)))
    monkeypatch.setattr(intervals, "bounds", lambda value, resampled, units, *_: seen.update(
        resampled=resampled) or intervals.Interval(0.0, 1.0, units.by))
    intervals.interval(true, answer, speaker if by == "speaker" else None, name, resamples=6)
    if by == "speaker":
        first, member = np.arange(60), np.unique(speaker, return_inverse=True)[1]
    else:  # clips with equal outcomes are drawn together, so count them back out
        rows = np.column_stack([true, answer] if name != "accuracy" else [np.zeros(60), true != answer])
        first = np.unique(rows, axis=0, return_index=True)[1]
        member = np.arange(len(first))
    for weights, value in zip(seen["weights"], seen["resampled"], strict=True):
        drawn = np.repeat(first, weights[member].astype(int))
        again = scores.score(true[drawn], answer[drawn], name, classes=None if answer.ndim == 1 else np.unique(true))
        expected = scores.area_of_dprime(again) if name.startswith("dprime") else again
        assert value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in scores.METRICS if name != "unweighted_average_recall"])
def test_an_interval_holds_the_value_is_repeatable_and_ignores_row_order(name):
    true, answer, speaker = answers(name, 120, 10)
    order = np.random.default_rng(1).permutation(120)
    for who, mixed, by in ((speaker, speaker[order], "speaker"), (None, None, "clip")):
        once = intervals.interval(true, answer, who, name)
        assert once.low <= scores.score(true, answer, name) <= once.high and once.low < once.high and once.by == by
        assert intervals.interval(true[order], answer[order], mixed, name)[:2] == pytest.approx(once[:2])


def test_speakers_are_resampled_from_five_known_ones_on_and_are_wider_if_their_clips_are_alike():
    true, pred, _ = answers("accuracy", 60, 6)
    for count, unit in ((4, "clip"), (5, "speaker")):
        assert intervals.interval(true, pred, np.arange(60) % count).by == unit
    assert intervals.interval(true, pred, ["", *(np.arange(59) % 5).astype(str)]).by == "clip"
    speaker, true = np.repeat(np.arange(20), 10), np.full(200, "a")
    pred = np.where(np.arange(200) % 10 < speaker / 2, "a", "b")  # from always wrong to always right
    by_speaker, by_clip = intervals.interval(true, pred, speaker), intervals.interval(true, pred)
    assert by_speaker.high - by_speaker.low > 1.5 * (by_clip.high - by_clip.low)
    assert intervals.interval(true, pred, speaker, seed=1) != by_speaker


@pytest.mark.parametrize("name", ["accuracy", "unweighted_average_recall", "auc", "concordance"])
@pytest.mark.parametrize("count", [4, 12])
def test_over_splits_the_interval_is_that_of_the_mean_on_common_resamples(name, count):
    true, answer, _ = answers(name, 60, 5)
    rng, speaker = np.random.default_rng(1), np.char.mod("s%d", np.arange(60) % count)
    rows = np.concatenate([rng.permutation(60)[:40] for _ in range(3)])  # a clip is tested in some of three splits
    split, given = np.repeat(np.arange(3), 40), dict(classes=None if answer.ndim == 1 else np.unique(true))
    value, bounds = intervals.interval_over_splits(true[rows], answer[rows], rows, speaker[rows], split, name, **given)
    each = [scores.score(true[rows[split == k]], answer[rows[split == k]], name, **given) for k in range(3)]
    assert value == pytest.approx(np.mean(each)) and bounds.low < value < bounds.high
    assert bounds.by == ("speaker" if count > 4 else "clip")
    if name == "accuracy":
        right = (true == answer)[rows].astype(float)
        plain = intervals.RepeatedTest(right, rows, speaker[rows], split, "splits")
        assert (value, *bounds) == pytest.approx((plain.mean(), *plain.interval()))
    once = intervals.interval_over_splits(true, answer, np.arange(60), speaker, np.zeros(60), name, **given)
    if count > 4:
        assert once[1][:2] == pytest.approx(intervals.interval(true, answer, speaker, name)[:2])


def test_few_clips_many_perfect_ones_and_an_undefined_score():
    for n in (30, 300, 3000):  # like the rule of three
        assert 1 - intervals.interval(["a"] * n, ["a"] * n).low == pytest.approx(3.84 / (n + 3.84), rel=0.1)
    for name in ("auc", "equal_error_rate"):
        low, high, _ = intervals.interval(["a", "b"] * 20, [0.0, 1.0] * 20, np.arange(40) // 4, name)
        assert 0.05 < high - low < 0.3 and (low == 0 or high == 1)
    assert intervals.interval(["a"], ["b"])[:2] == (0.0, pytest.approx(1, abs=0.02))
    assert np.isnan(intervals.bounds(0.5, np.full(3, np.nan), intervals.clip_units(np.ones((3, 1)))[0], 3)[:2]).all()


@pytest.mark.parametrize(("changed", "message"), [({"level": 1}, "level 1 must lie"), ({"resamples": 0}, "at least 1"),
                                                  ({"speakers": ["s", "t"]}, "one speaker a clip")])
def test_bad_settings_are_refused(changed, message):
    with pytest.raises(BadParameter, match=message):
        intervals.interval(["a"], ["a"], **changed)


@pytest.mark.parametrize(("count", "clips", "rate", "likeness"), [(5, 10, 0.8, 0.1), (10, 8, 0.99, 0.05)])
def test_coverage_is_near_nominal_where_a_percentile_bootstrap_fails(count, clips, rate, likeness):
    """Clips of a speaker share a beta rate; how often is the true rate in the interval?"""
    rng, shape, trials = np.random.default_rng(0), (1 - likeness) / likeness, 250
    who, held, bare = np.repeat(np.arange(count), clips), 0, 0
    for _ in range(trials):
        right = rng.random(len(who)) < rng.beta(rate * shape, (1 - rate) * shape, count)[who]
        low, high, _ = intervals.interval(np.ones(len(who)), right.astype(float), who)
        held += low <= rate <= high
        means = rng.choice(right.reshape(count, clips).sum(1), (500, count)).mean(1) / clips
        low, high = np.quantile(means, [0.025, 0.975])
        bare += low <= rate <= high
    assert held / trials >= 0.92 and bare < held  # 250 trials at 0.95: standard error 0.014


def test_recall_by_hand_its_mean_and_its_filters():
    rows, predictions = speakers.benchmark(np.ones((1, 8), dtype=bool), np.array([1, 2, 3, 4, 1, 2, 3, 1]))
    answers = predictions.assign(y_true=list("aaaabbbc"), y_pred=list("aabcbbbb"))
    table = intervals.recall_by_class(rows, answers).set_index("label")
    assert table.index.tolist() == ["b", "a", "c"] and table["recall"].tolist() == [1.0, 0.5, 0.0]
    assert table["n"].tolist() == table["n_speakers"].tolist() == [3, 4, 1]
    assert table["taken_for"].tolist() == ["", "b", "b"] and table["times"].tolist() == [0, 1, 1]
    assert (table["low"] <= table["recall"]).all() and (table["recall"] <= table["high"]).all()
    # the mean over classes is balanced accuracy
    rows, predictions = fabricated.rows(), fabricated.predictions()
    table = intervals.recall_by_class(rows, predictions, "language-five", "mfcc")
    assert set(table["task"]) == {"language-five"} and set(table["by"]) == {"speaker"}
    one = predictions.query("task == 'language-five' and embedding == 'mfcc'")
    assert table["recall"].mean() == pytest.approx(scores.balanced_accuracy(one["y_true"], one["y_pred"]))


def repeated(values, key="k", when="2026-01-01", protocol="repeated"):
    """Protocol rows of so many splits: selected ones, one that was not chosen, and the row over all splits."""
    numbers, values = [*map(str, range(len(values))), "0", ""], np.array([*values, 0.01, np.mean(values)])
    half = np.where(np.array(numbers) == "", 0.05, 0.1)
    return pd.DataFrame({"split_number": numbers, "value": values, "low": values - half, "high": values + half}).assign(
        selected=values != 0.01, key=key, task="t", corpus_kind="real", embedding="e", protocol=protocol, when=when,
        shots=0, speaker="")


def test_spread_beside_the_interval_by_hand_of_the_newest_run_and_no_other_protocol():
    row = intervals.spread_over_splits(repeated([0.5, 0.6, 0.7, 0.9])).iloc[0]
    assert (row["splits"], row["lowest"], row["highest"]) == (4, 0.5, 0.9)
    assert row["value"] == pytest.approx(0.675) and row["spread"] == pytest.approx(np.std([0.5, 0.6, 0.7, 0.9], ddof=1))
    assert row["standard_error"] == pytest.approx(0.1 / stats.norm.ppf(0.975))
    assert row["ratio"] == pytest.approx(row["spread"] / row["standard_error"]) and row["held"] == 0.5
    old, new = repeated([0.1, 0.2], key="old"), repeated([0.8, 0.9], key="new", when="2026-02-02")
    other = repeated([0.3, 0.4], key="other", protocol="within-speaker", when="2026-03-03")
    every = pd.concat([new, old, other], ignore_index=True)
    assert intervals.scores_of_splits(every)["value"].tolist() == [0.8, 0.9]
    assert len(intervals.spread_over_splits(every)) == 1 and intervals.spread_over_splits(other).empty


def test_two_means_over_splits_by_hand_and_one_split_is_a_plain_test():
    right, clips = np.array([1.0, 1, 0, 1, 0]), np.array(list("abcab"))
    who, split = np.array(list("xxyxx")), np.array(["0", "0", "0", "1", "1"])
    for over, mean in (("splits", (2 / 3 + 1 / 2) / 2), ("speakers", ((1 + 0.5) / 2 + 0) / 2)):
        few = intervals.RepeatedTest(right, clips, who, split, over)  # too few speakers: clips are resampled
        assert few.mean() == pytest.approx(mean) and few.interval().by == "clip"
        assert 0 <= few.interval().low < mean < few.interval().high <= 1
    right_80, who_80 = (np.random.default_rng(0).random(80) < 0.7).astype(float), np.arange(80) // 8
    once = intervals.RepeatedTest(right_80, np.arange(80), who_80, np.zeros(80), "splits").interval()
    assert once[:2] == pytest.approx(intervals.interval(np.ones(80), right_80, who_80)[:2])
