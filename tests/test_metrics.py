"""Metrics against golden values, scikit-learn and brute force; intervals against simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from sklearn import metrics as sk

from nslib import bootstrap, metrics, scores
from nslib.errors import BadParameter, UnknownName

LABELS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcde")), min_size=1, max_size=40)
BINARY = st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(t for t, _ in rows) < len(rows))


def authors_eer(labels, values):
    """Equal error rate by the authors' definition, a threshold between any two clips."""
    order = np.argsort(values, kind="stable")
    target = np.asarray(labels, dtype=float)[order]
    miss = np.concatenate([[0], np.cumsum(target) / target.sum()])
    alarm = np.concatenate([np.cumsum((1 - target)[::-1])[::-1] / (1 - target).sum(), [0]])
    best = np.argmin(np.abs(miss - alarm))
    return (miss[best] + alarm[best]) / 2


def answers(n=300, kinds=4, seed=0, per_speaker=10):
    """True and predicted names, scores and speakers of an imperfect classifier."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, kinds, n)
    table = rng.normal(size=(n, kinds)) + 1.5 * np.eye(kinds)[codes]
    table = np.exp(table) / np.exp(table).sum(1, keepdims=True)
    names = np.array(list("abcdefgh"[:kinds]))
    return names[codes], names[table.argmax(1)], table, np.array([f"s{i // per_speaker}" for i in range(n)])


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "expected"), [([0.1, 0.2, 0.8, 0.9], 0.0), ([0.9, 0.8, 0.2, 0.1], 1.0),
                                                  ([0.1, 0.8, 0.2, 0.9], 0.5), ([0.3] * 4, 0.5)])
def test_equal_error_rate_golden(values, expected):
    assert metrics.equal_error_rate([0, 0, 1, 1], values) == expected


def test_equal_error_rate_curve_golden():
    miss, alarm = metrics.equal_error_rate_curve([0, 0, 1, 1], [0.1, 0.8, 0.2, 0.9])
    assert miss.tolist() == [0, 0, 0.5, 0.5, 1] and alarm.tolist() == [1, 0.5, 0.5, 0, 0]
    miss, alarm = metrics.equal_error_rate_curve([0, 0, 1, 1], [3, 3, 3, 3])
    assert miss.tolist() == [0, 1] and alarm.tolist() == [1, 0]


@given(BINARY, st.randoms())
def test_equal_error_rate_is_the_authors_without_ties_and_ignores_row_order(rows, random):
    labels = [target for target, _ in rows]
    untied = random.sample(range(1000), len(rows))
    assert metrics.equal_error_rate(labels, untied) == authors_eer(labels, untied)
    shuffled = random.sample(rows, len(rows))
    assert metrics.equal_error_rate(*zip(*shuffled, strict=True)) == metrics.equal_error_rate(
        *zip(*rows, strict=True))


@settings(max_examples=40)
@given(BINARY)
def test_area_is_scikit_learns_and_turns_over_with_the_scores(rows):
    labels, values = (np.array(column) for column in zip(*rows, strict=True))
    area = metrics.auc(labels, values)
    assert area == pytest.approx(sk.roc_auc_score(labels, values), abs=1e-12)
    assert metrics.auc(labels, -values) == pytest.approx(1 - area, abs=1e-12)
    assert metrics.auc(labels, 3 * values + 7) == area
    assert metrics.dprime(labels, values) == pytest.approx(math.sqrt(2) * special.ndtri(area))


def test_areas_beyond_two_classes_are_scikit_learns():
    true, _, table, _ = answers()
    assert metrics.auc(true, table) == pytest.approx(
        sk.roc_auc_score(true, table, multi_class="ovr", average="macro"), abs=1e-12)
    ovo = sk.roc_auc_score(true, table, multi_class="ovo", average="macro")
    assert metrics.dprime_ovo(true, table) == pytest.approx(math.sqrt(2) * special.ndtri(ovo), abs=1e-9)
    some = true != "b"  # a class that the test set lacks is left out of the mean
    ovr = [sk.roc_auc_score(true[some] == name, table[some, k]) for k, name in ((0, "a"), (2, "c"), (3, "d"))]
    assert metrics.auc(true[some], table[some], list("abcd")) == pytest.approx(np.mean(ovr), abs=1e-12)


@settings(max_examples=25)
@given(LABELS, st.randoms(), st.permutations("abcde"))
def test_label_metrics_stay_in_range_ignore_order_names_and_doubling(rows, random, names):
    true, pred = zip(*rows, strict=True)
    mixed = list(zip(*random.sample(rows, len(rows)), strict=True))
    renamed = [[names["abcde".index(name)] for name in column] for column in (true, pred)]
    for name in ("accuracy", "balanced_accuracy", "f1_weighted"):
        value = metrics.score(name, true, pred)
        assert 0 <= value <= 1
        for other in (mixed, renamed, (true * 2, pred * 2)):
            assert metrics.score(name, *other) == pytest.approx(value, abs=1e-12)
        assert metrics.score(name, true, true) == 1
    assert metrics.accuracy(true, pred) == metrics.accuracy(pred, true)


@settings(max_examples=40)
@given(LABELS)
def test_balanced_accuracy_is_the_mean_recall(rows):
    true, pred = (np.array(column) for column in zip(*rows, strict=True))
    recalls = [np.mean(pred[true == name] == name) for name in sorted(set(true))]
    assert metrics.balanced_accuracy(true, pred) == pytest.approx(np.mean(recalls), abs=1e-12)
    assert metrics.score("unweighted_average_recall", true, pred) == metrics.balanced_accuracy(true, pred)


def test_chance_is_what_an_answer_scores_that_does_not_listen():
    true = ["a"] * 6 + ["b"] * 3 + ["c"]
    assert metrics.chance("accuracy", true) == pytest.approx(0.6)
    assert metrics.chance("balanced_accuracy", true) == pytest.approx(1 / 3)
    assert metrics.chance("auc", true) == metrics.auc(true, np.ones((10, 3))) == 0.5
    assert metrics.chance("equal_error_rate", true) == metrics.equal_error_rate([0, 1, 1], np.ones(3)) == 0.5
    assert metrics.chance("dprime", true) == metrics.dprime(true, np.ones((10, 3))) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [(lambda: metrics.accuracy([], []), "one predicted name"),
     (lambda: metrics.accuracy(["a"], ["a", "b"]), "one predicted name"),
     (lambda: metrics.equal_error_rate(["a", "b", "c"], np.eye(3)), "two classes"),
     (lambda: metrics.equal_error_rate_curve([1, 1], [0.1, 0.2]), "both kinds"),
     (lambda: metrics.auc(["a", "a"], np.eye(2), ["a", "b"]), "at least two classes"),
     (lambda: metrics.dprime_ovo(["a", "a"], np.eye(2), ["a", "b"]), "at least two classes"),
     (lambda: metrics.auc(["a", "b"], [0.1, math.nan]), "1 scores are not finite|2 scores are not finite"),
     (lambda: metrics.auc(["a", "b"], np.ones((3, 2))), "must be"),
     (lambda: metrics.auc(["a", "z"], np.eye(2), ["a", "b"]), "no column of scores for z"),
     (lambda: metrics.auc(["a", "b"], np.eye(2), ["b", "a"]), "order of the sorted"),
     (lambda: metrics.interval(["a"], ["a"], level=1), "level"),
     (lambda: metrics.interval(["a"], ["a"], ["s", "t"]), "one speaker a clip"),
     (lambda: metrics.difference([1], [1, 0]), "paired clip by clip"),
     (lambda: metrics.difference([], []), "paired clip by clip")])
def test_bad_input_is_refused(call, message):
    with pytest.raises(BadParameter, match=message):
        call()


def test_unknown_metric_names_the_nearest():
    with pytest.raises(UnknownName, match="accuracy"):
        metrics.score("acuracy", ["a"], ["a"])


# --- intervals --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", metrics.METRICS)
@pytest.mark.parametrize("by", ["speaker", "clip"])
def test_resampled_values_are_the_metric_on_resampled_clips(name, by, monkeypatch):
    kinds = 2 if name == "equal_error_rate" else 4
    true, pred, table, speaker = answers(60, kinds, per_speaker=6)
    answer = pred if metrics.get(name).needs == "labels" else np.round(table, 2)
    seen = {}
    monkeypatch.setattr(bootstrap.Units, "weights", lambda units, n, rng: seen.setdefault(
        "weights", rng.multinomial(units.draws, units.shares, size=n).astype(float)))
    monkeypatch.setattr(bootstrap, "bounds", lambda value, resampled, units, *_: seen.update(
        value=value, resampled=resampled, units=units) or bootstrap.Interval(0.0, 1.0, units.by))
    metrics.interval(true, answer, speaker if by == "speaker" else None, name, resamples=8)
    if by == "clip":  # clips with equal outcomes are drawn together, so count them back out
        codes = np.searchsorted(np.unique(true), true)
        outcome = answer if answer.ndim == 2 else np.searchsorted(np.unique(true), pred)
        rows = np.column_stack([codes, outcome])
        if name == "accuracy":
            rows = np.column_stack([np.zeros(60), true != pred])
        member = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
    else:
        member = np.unique(speaker, return_inverse=True)[1]
    for weights, value in zip(seen["weights"], seen["resampled"], strict=True):
        if by == "speaker":
            drawn = np.repeat(np.arange(60), weights[member].astype(int))
        else:
            drawn = np.repeat([np.flatnonzero(member == unit)[0] for unit in range(len(weights))],
                              weights.astype(int))
        arguments = (true[drawn], answer[drawn]) if answer.ndim == 1 else (
            true[drawn], answer[drawn], np.unique(true))
        again = metrics.get(name).function(*arguments)
        expected = scores.area_of_dprime(again) if name.startswith("dprime") else again
        assert value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_interval_holds_the_value_is_repeatable_and_ignores_row_order(name):
    kinds = 2 if name == "equal_error_rate" else 4
    true, pred, table, speaker = answers(200, kinds)
    answer = pred if metrics.get(name).needs == "labels" else table
    order = np.random.default_rng(1).permutation(200)
    for groups in (speaker, None):
        found = metrics.interval(true, answer, groups, name)
        mixed = None if groups is None else groups[order]
        again = metrics.interval(true[order], answer[order], mixed, name)
        assert found.low <= metrics.score(name, true, answer) <= found.high
        assert again[:2] == pytest.approx(found[:2])
        assert found.low < found.high and found.by == ("clip" if groups is None else "speaker")


def test_speakers_are_resampled_from_five_on():
    true, pred, _, _ = answers(60)
    for count, unit in ((4, "clip"), (5, "speaker")):
        groups = np.arange(60) % count
        assert metrics.interval(true, pred, groups).by == unit
    groups = groups.astype(str)
    groups[0] = ""
    assert metrics.interval(true, pred, groups).by == "clip"


def test_clips_of_one_speaker_alike_widen_the_interval():
    speaker = np.repeat(np.arange(20), 10)
    right = np.arange(200) % 10 < speaker / 2  # from always wrong to always right
    true, pred = np.full(200, "a"), np.where(right, "a", "b")
    by_speaker, by_clip = metrics.interval(true, pred, speaker), metrics.interval(true, pred)
    assert by_speaker.high - by_speaker.low > 1.5 * (by_clip.high - by_clip.low)
    assert metrics.interval(true, pred, speaker, seed=1) != by_speaker


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1_weighted", "auc", "equal_error_rate"])
def test_perfect_answers_still_have_a_width(name):
    true = np.array(["a", "b"] * 20)
    answer = true if metrics.get(name).needs == "labels" else (true == "b").astype(float)
    for groups in (None, np.arange(40) // 4):
        low, high, _ = metrics.interval(true, answer, groups, name)
        if name == "equal_error_rate":
            low, high = 1 - high, 1 - low
        assert high == 1 and 0.7 < low < 0.95


def test_more_perfect_clips_narrow_the_interval_like_the_rule_of_three():
    widths = [1 - metrics.interval(["a"] * n, ["a"] * n).low for n in (30, 300, 3000)]
    assert widths == pytest.approx([3.84 / (n + 3.84) for n in (30, 300, 3000)], rel=0.1)


def test_one_clip_and_an_undefined_score():
    assert metrics.interval(["a"], ["b"])[:2] == (0.0, pytest.approx(1, abs=0.02))
    units = bootstrap.Units("clip", np.zeros(1, int), np.ones(1), 1)
    assert all(map(math.isnan, bootstrap.bounds(math.nan, np.ones(3), units, 3)[:2]))
    assert all(map(math.isnan, bootstrap.bounds(0.5, np.full(3, np.nan), units, 3)[:2]))


def simulate(speakers, clips, rate, likeness, trials, seed=0):
    """Share of trials whose interval holds the true rate; clips of a speaker share a beta rate."""
    rng = np.random.default_rng(seed)
    shape = (1 - likeness) / likeness
    groups, held, bare = np.repeat(np.arange(speakers), clips), 0, 0
    for _ in range(trials):
        rates = rng.beta(rate * shape, (1 - rate) * shape, speakers)
        right = rng.random(speakers * clips) < np.repeat(rates, clips)
        low, high, _ = metrics.interval(np.full(len(right), "a"), np.where(right, "a", "b"), groups)
        held += low <= rate <= high
        counts = right.reshape(speakers, clips).sum(1)
        means = rng.choice(counts, (1000, speakers)).mean(1) / clips
        low, high = np.quantile(means, [0.025, 0.975])
        bare += low <= rate <= high
    return held / trials, bare / trials


@pytest.mark.parametrize(("speakers", "clips", "rate", "likeness"),
                         [(5, 10, 0.8, 0.1), (10, 10, 0.95, 0.05), (20, 20, 0.6, 0.2), (10, 8, 0.99, 0.05)])
def test_coverage_is_near_nominal_where_a_percentile_bootstrap_fails(speakers, clips, rate, likeness):
    held, bare = simulate(speakers, clips, rate, likeness, trials=300)
    assert held >= 0.925  # 300 trials at 0.95: standard error 0.013
    assert bare < held


# --- paired differences -----------------------------------------------------------------------


def test_difference_is_antisymmetric_and_ignores_row_order():
    rng = np.random.default_rng(0)
    a, b, groups = rng.random(120) < 0.8, rng.random(120) < 0.6, np.arange(120) % 12
    found, turned = metrics.difference(a, b, groups), metrics.difference(b, a, groups)
    assert found.diff == pytest.approx(a.mean() - b.mean()) and found.low < found.diff < found.high
    assert turned.diff == -found.diff
    assert (-turned.high, -turned.low) == pytest.approx((found.low, found.high), abs=1e-9)
    order = rng.permutation(120)
    assert metrics.difference(a[order], b[order], groups[order])[:3] == pytest.approx(found[:3])
    assert found.by == "speaker" and metrics.difference(a, b).by == "clip"


def test_pairing_narrows_and_agreement_does_not_prove_equality():
    rng = np.random.default_rng(0)
    a = rng.random(400) < 0.7
    b = a ^ (rng.random(400) < 0.03)
    paired, apart = metrics.difference(a, b), metrics.difference(a, rng.permutation(b))
    assert paired.high - paired.low < (apart.high - apart.low) / 2
    same = metrics.difference(a, a)
    assert same.diff == 0 and -0.02 < same.low < 0 < same.high < 0.02


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30), st.integers(1, 8))
def test_difference_stays_in_range(rows, speakers):
    a, b = zip(*rows, strict=True)
    found = metrics.difference(a, b, [i % speakers for i in range(len(rows))], resamples=50)
    assert -1 <= found.low <= found.diff <= found.high <= 1


def test_difference_covers():
    rng, held, trials = np.random.default_rng(0), 0, 300
    groups = np.repeat(np.arange(8), 10)
    for _ in range(trials):
        shift = np.repeat(rng.normal(0, 0.05, 8), 10)
        a, b = rng.random(80) < 0.85 + shift, rng.random(80) < 0.75 - shift
        found = metrics.difference(a, b, groups)
        held += found.low <= 0.1 <= found.high
    assert held / trials >= 0.92
