"""Forests: every node is scikit-learn's, whatever the vectors are like."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from nslib.evaluation import forest

TREES = 12


def draw(clips, dim, classes, seed=1):
    """Vectors that tell something of their classes, each of which has a clip."""
    rng = np.random.default_rng(seed)
    y = np.r_[np.arange(classes), rng.integers(0, classes, clips - classes)]
    return rng.normal(size=(clips, dim)) + 0.3 * rng.normal(size=(classes, dim))[y], y


def compare(x, y, weight=None, seed=3):
    """Grow both, hold each node to its counterpart, and each answer to new clips."""
    theirs = RandomForestClassifier(TREES, class_weight=weight, random_state=seed).fit(x, y)
    ours = forest.RandomForest(TREES, weight, seed).fit(x, y)
    for mine, tree in zip(ours._trees, (one.tree_ for one in theirs.estimators_), strict=True):
        inner = tree.children_left >= 0
        assert np.array_equal(mine.feature, np.where(inner, tree.feature, -1))
        assert np.array_equal(mine.threshold, np.where(inner, tree.threshold, 0))
        assert np.array_equal(mine.link[inner], tree.children_right[inner])
    new = np.concatenate([x, np.random.default_rng(2).normal(size=(40, x.shape[1]))])
    assert (ours.predict_proba(new) == theirs.predict_proba(new)).all()
    assert (ours.predict(new) == theirs.predict(new)).all()
    return ours


@pytest.mark.parametrize(("clips", "dim", "classes"), [(30, 5, 2), (97, 300, 7), (400, 20, 40), (1500, 64, 3)])
@pytest.mark.parametrize("weight", [None, "balanced"])
def test_the_forest_is_scikit_learns_to_the_last_bit(clips, dim, classes, weight):
    compare(*draw(clips, dim, classes), weight)


@pytest.mark.parametrize("change", [
    np.round, lambda x: np.round(x).clip(0, 1), lambda x: np.repeat(x[:30], 4, axis=0), lambda x: 1e-7 * x,
    lambda x: 1e30 * x, lambda x: np.where(np.arange(x.shape[1]) % 3, 5.0, x), lambda x: np.zeros_like(x),
    lambda x: np.round(x, 7) + 3, lambda x: x * [1, *[0] * (x.shape[1] - 1)]],
    ids=["ties", "two values", "repeated clips", "as near as is not told apart", "large", "constants", "nothing",
         "nearly ties", "one dimension"])
def test_ties_constants_and_extremes_are_told_apart_as_scikit_learn_does(change):
    x, y = draw(120, 9, 4)
    ours = compare(change(x), y, "balanced")
    assert all(len(tree.feature) == 1 for tree in ours._trees) == (not change(x).any())


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 90), st.integers(1, 12), st.integers(2, 4), st.integers(0, 9), st.integers(0, 3))
def test_any_vectors(clips, dim, classes, seed, digits):
    x, y = draw(clips, dim, classes, seed)
    compare(np.round(x, digits), y, [None, "balanced"][seed % 2], seed)


@pytest.mark.filterwarnings("ignore:overflow")
def test_what_float32_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="infinity"):
        forest.RandomForest(2, None, 0).fit(np.full((2, 2), 1e300), [0, 1])
