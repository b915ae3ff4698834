"""Metrics against golden values, scikit-learn and brute force."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from sklearn import metrics as sk

from nslib.errors import BadParameter, UnknownName
from nslib.statistics import scores

LABELS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcde")), min_size=1, max_size=40)
BINARY = st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(t for t, _ in rows) < len(rows))


def authors_eer(labels, values):
    """Equal error rate by the authors' definition, a threshold between any two clips."""
    target = np.asarray(labels, dtype=float)[np.argsort(values, kind="stable")]
    miss = np.concatenate([[0], np.cumsum(target) / target.sum()])
    alarm = np.concatenate([np.cumsum((1 - target)[::-1])[::-1] / (1 - target).sum(), [0]])
    best = np.argmin(np.abs(miss - alarm))
    return (miss[best] + alarm[best]) / 2


@settings(max_examples=25)
@given(BINARY, st.randoms())
def test_equal_error_rate_is_the_authors_without_ties_and_ignores_row_order(rows, random):
    labels = [target for target, _ in rows]
    untied = random.sample(range(1000), len(rows))
    assert scores.equal_error_rate(labels, untied) == authors_eer(labels, untied)
    shuffled = random.sample(rows, len(rows))
    assert scores.equal_error_rate(*zip(*shuffled, strict=True)) == scores.equal_error_rate(*zip(*rows, strict=True))


@settings(max_examples=15)
@given(BINARY)
def test_area_is_scikit_learns_and_turns_over_with_the_scores(rows):
    labels, values = (np.array(column) for column in zip(*rows, strict=True))
    area = scores.auc(labels, values)
    assert area == pytest.approx(sk.roc_auc_score(labels, values), abs=1e-12)
    assert scores.auc(labels, -values) == pytest.approx(1 - area, abs=1e-12)
    assert scores.auc(labels, 3 * values + 7) == area
    assert scores.dprime(labels, values) == pytest.approx(math.sqrt(2) * special.ndtri(area))


def test_areas_beyond_two_classes_are_scikit_learns():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 300)
    table = np.exp(rng.normal(size=(300, 4)) + 1.5 * np.eye(4)[codes])
    table, true = table / table.sum(1, keepdims=True), np.array(list("abcd"))[codes]
    ovr, ovo = (sk.roc_auc_score(true, table, multi_class=how) for how in ("ovr", "ovo"))
    assert scores.auc(true, table) == pytest.approx(ovr, abs=1e-12)
    assert scores.dprime_ovo(true, table) == pytest.approx(math.sqrt(2) * special.ndtri(ovo), abs=1e-9)
    some = true != "b"  # a class that the test set lacks is left out of the mean
    ovr = [sk.roc_auc_score(true[some] == name, table[some, k]) for k, name in ((0, "a"), (2, "c"), (3, "d"))]
    assert scores.auc(true[some], table[some], list("abcd")) == pytest.approx(np.mean(ovr), abs=1e-12)


@settings(max_examples=10)
@given(LABELS, st.randoms(), st.permutations("abcde"))
def test_label_metrics_stay_in_range_ignore_order_names_and_doubling(rows, random, names):
    true, pred = zip(*rows, strict=True)
    mixed = list(zip(*random.sample(rows, len(rows)), strict=True))
    renamed = [[names["abcde".index(name)] for name in column] for column in (true, pred)]
    for name in ("accuracy", "balanced_accuracy", "f1_weighted", "macro-F1"):
        value = scores.score(true, pred, name)
        assert 0 <= value <= 1 and scores.score(true, true, name) == 1
        for other in (mixed, renamed, (true * 2, pred * 2)):
            assert scores.score(*other, name) == pytest.approx(value, abs=1e-12)
    recalls = [np.mean(np.array(pred)[np.array(true) == name] == name) for name in sorted(set(true))]
    assert scores.score(true, pred, "unweighted_average_recall") == scores.balanced_accuracy(true, pred)
    assert scores.balanced_accuracy(true, pred) == pytest.approx(np.mean(recalls), abs=1e-12)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=30))
def test_metrics_of_numbers_are_their_definitions_and_take_text(rows):
    true, pred = np.array(rows, float).T
    gap = np.mean((true - pred) ** 2)  # Lin's definition: 1 - (expected squared distance) / (that without correlation)
    apart = true.var() + pred.var() + (true.mean() - pred.mean()) ** 2
    assert scores.concordance(true, pred) == pytest.approx(1 - gap / apart if apart else 0, abs=1e-9)
    assert scores.score(true.astype(str), pred, "MAE") == pytest.approx(sk.mean_absolute_error(true, pred))
    assert scores.chance(true, "ccc") == 0 == pytest.approx(scores.concordance(true, np.full(len(true), 3)), abs=1e-9)
    assert all(scores.chance(true, "mae") <= np.abs(true - guess).mean() + 1e-12 for guess in pred)


def test_macro_f1_is_scikit_learns_short_names_are_the_fields_and_chance_is_what_does_not_listen():
    true, pred = list("aabbc"), list("abbbd")
    assert scores.score(true, pred, "f1_macro") == pytest.approx(sk.f1_score(true, pred, average="macro"))
    assert {short: scores.get_metric(short).name for short in ("UAR", "EER", "AUC", "macro-F1")} == {
        "UAR": "unweighted_average_recall", "EER": "equal_error_rate", "AUC": "auc", "macro-F1": "f1_macro"}
    true = ["a"] * 6 + ["b"] * 3 + ["c"]
    assert scores.chance(true, "accuracy") == pytest.approx(0.6)
    assert scores.chance(true, "balanced_accuracy") == pytest.approx(1 / 3)
    assert scores.chance(true, "auc") == scores.auc(true, np.ones((10, 3))) == 0.5
    assert scores.chance(true, "equal_error_rate") == scores.equal_error_rate([0, 1, 1], np.ones(3)) == 0.5
    assert scores.chance(true, "dprime") == scores.dprime(true, np.ones((10, 3))) == 0


@pytest.mark.parametrize(("metric", "arguments", "message"), [
    ("f1_weighted", (["a"], ["a", "b"]), "one predicted name"), ("auc", (["a", "b"], np.ones((3, 2))), "must be"),
    ("equal_error_rate", (["a", "b", "c"], np.eye(3)), "two classes; these are 3"),
    ("equal_error_rate", (["a", "a"], [0.1, 0.2], ["a", "b"]), "both kinds"),
    ("dprime_ovo", (["a", "a"], np.eye(2), ["a", "b"]), "at least two classes"),
    ("auc", (["a", "b"], [0.1, math.nan]), "2 scores are not finite"),
    ("auc", (["a", "z"], np.eye(2), ["a", "b"]), "no column of scores for z"),
    ("auc", (["a", "b"], np.eye(2), ["b", "a"]), "order of the sorted"),
    ("ccc", ([1, 2], [1, 2, 3]), "one predicted number a clip"), ("ccc", (["1"], ["nan"]), "the first is 'nan'"),
    ("mae", (["young", "31"], ["30", "31"]), "1 of 2 labels are no finite numbers, the first is 'young'"),
    ("acuracy", (["a"], ["a"]), "Did you mean accuracy")])
def test_bad_input_is_refused(metric, arguments, message):
    with pytest.raises(UnknownName if metric == "acuracy" else BadParameter, match=message):
        scores.score(*arguments[:2], metric, classes=arguments[2] if arguments[2:] else None)
