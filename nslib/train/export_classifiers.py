"""Fitted classifiers of scikit-learn as TensorFlow functions that give the same probabilities.

References: scikit-learn's ``predict_proba``: of logistic regression and discriminant analysis, the logistic function
of the one score of two classes, else softmax over the scores; of forests, the mean over trees of the classes' shares
in a leaf.

Conventions
-----------
Computed is in float64. Forests look at vectors in float32 and compare them with thresholds in float64, as
scikit-learn does: a vector that lies on a threshold must fall on the same side.

What is exported is compared with ``predict_proba`` before anything is written, so that another version of scikit-learn
cannot make it wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.errors import BadParameter, NslibError

Floats = npt.NDArray[np.float64]

TOLERANCE = 1e-5
_TRIALS = 64


@dataclass(frozen=True)
class Graph:
    """A classifier as a part of a graph.

    Attributes
    ----------
    probabilities : callable
        float64 tensor [clips, dim] to float64 tensor [clips, classes], in the order of ``classes_``.
    parts : tuple of tf.Variable
        That it uses.
    dim, classes : int
    """

    probabilities: Callable[[Any], Any]
    parts: tuple[Any, ...]
    dim: int
    classes: int


def graph(classifier: Any, examples: npt.ArrayLike | None = None) -> Graph:
    """Translate a fitted classifier, and compare the two.

    Parameters
    ----------
    classifier : object
        Fitted; logistic regression, linear discriminant analysis or a forest of scikit-learn or of
        `nslib.classifiers`.
    examples : array-like [clips, dim], optional
        Vectors on which to compare. Default: drawn around what the classifier tells apart.

    Returns
    -------
    Graph

    Raises
    ------
    BadParameter
        For another or an unfitted classifier.
    NslibError
        If probabilities differ by more than `TOLERANCE`.
    """
    made, drawn = _forest(classifier) if _is_forest(classifier) else _linear(classifier)
    _compare(made, classifier, drawn if examples is None else np.asarray(examples, np.float64))
    return made


def _is_forest(classifier: Any) -> bool:
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    return isinstance(classifier, RandomForestClassifier | ExtraTreesClassifier)


def _linear(classifier: Any) -> tuple[Graph, Floats]:
    import tensorflow as tf
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression

    known = isinstance(classifier, LogisticRegression | LinearDiscriminantAnalysis)
    if not known or not hasattr(classifier, "coef_"):
        state = "is not fitted" if known else "cannot be exported"
        raise BadParameter(f"{type(classifier).__name__} {state}; give a fitted LogisticRegression, "
                           "LinearDiscriminantAnalysis (nslib.lda.ShrinkageLDA), RandomForestClassifier or "
                           "ExtraTreesClassifier.")
    weights, offset = np.asarray(classifier.coef_, np.float64), np.asarray(classifier.intercept_, np.float64)
    parts = tuple(tf.Variable(values, trainable=False) for values in (weights, offset))

    def probabilities(x: Any) -> Any:
        scores = tf.matmul(x, parts[0], transpose_b=True) + parts[1]
        if len(weights) > 1:
            return tf.nn.softmax(scores)
        second = tf.sigmoid(scores)
        return tf.concat([1 - second, second], 1)

    made = Graph(probabilities, parts, weights.shape[1], len(classifier.classes_))
    return made, _about(weights, offset)


def _about(weights: Floats, offset: Floats) -> Floats:
    """Vectors about the borders between classes, where probabilities are neither 0 nor 1."""
    drawn = np.random.default_rng(0).normal(size=(_TRIALS, weights.shape[1]))
    few = len(weights) <= _TRIALS  # of many classes it takes long
    border = np.linalg.lstsq(weights, -offset, rcond=None)[0] if few else np.zeros(weights.shape[1])
    spread = np.std(drawn @ weights.T)
    return np.asarray(border + drawn * (2 / spread if spread else 1.0), np.float64)


def _forest(classifier: Any) -> tuple[Graph, Floats]:
    import tensorflow as tf

    if not hasattr(classifier, "estimators_") or classifier.n_outputs_ != 1:
        raise BadParameter("the forest is not fitted, or answers several questions at once; fit it on one column of "
                           "labels.")
    trees = [estimator.tree_ for estimator in classifier.estimators_]
    starts = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])
    table = _nodes(trees, starts)
    feature, threshold, left, right, leaf, shares = (tf.Variable(values, trainable=False) for values in table)
    depth = max(tree.max_depth for tree in trees)

    def probabilities(x: Any) -> Any:
        seen = tf.cast(tf.cast(x, tf.float32), tf.float64)
        node = tf.tile(tf.constant(starts[None], tf.int32), [tf.shape(x)[0], 1])
        for _ in range(depth):
            value = tf.gather(seen, tf.gather(feature, node), axis=1, batch_dims=1)
            node = tf.where(value <= tf.gather(threshold, node), tf.gather(left, node), tf.gather(right, node))
        return tf.reduce_mean(tf.cast(tf.gather(shares, tf.gather(leaf, node)), tf.float64), 1)

    made = Graph(probabilities, (feature, threshold, left, right, leaf, shares), classifier.n_features_in_,
                 len(classifier.classes_))
    return made, _among(table[0], table[1], made.dim)


def _nodes(trees: list[Any], starts: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
    """All trees in one table of nodes: feature, threshold, left, right, row of the leaf, shares of the leaves.

    A leaf leads to itself, so that every tree can be walked as far as the deepest.
    """
    each = [(tree, start, tree.children_left < 0) for tree, start in zip(trees, starts, strict=True)]

    def child(side: str) -> npt.NDArray[Any]:
        return np.concatenate([np.where(ends, np.arange(len(ends)), getattr(tree, side)) + start
                               for tree, start, ends in each]).astype(np.int32)

    feature = np.concatenate([np.where(ends, 0, tree.feature) for tree, _, ends in each]).astype(np.int32)
    threshold = np.concatenate([np.where(ends, np.inf, tree.threshold) for tree, _, ends in each])
    before = np.cumsum(np.concatenate([ends for *_, ends in each])) - 1
    leaf = np.maximum(before, 0).astype(np.int32)  # of other nodes it is never read
    shares = np.concatenate([tree.value[ends, 0] for tree, _, ends in each])
    shares = shares / shares.sum(axis=1, keepdims=True)  # older versions keep counts there
    return feature, threshold, child("children_left"), child("children_right"), leaf, shares.astype(np.float32)


def _among(feature: npt.NDArray[Any], threshold: Floats, dim: int) -> Floats:
    """Vectors of numbers on and about the thresholds that the forest has for each."""
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(_TRIALS, dim))
    inner = np.isfinite(threshold)
    order = np.argsort(feature[inner], kind="stable")
    found, first = np.unique(feature[inner][order], return_index=True)
    for column, values in zip(found, np.split(threshold[inner][order], first[1:]), strict=True):
        drawn[:, column] = rng.choice(values, _TRIALS) + rng.choice([0, 1], _TRIALS) * drawn[:, column] * values.std()
    return drawn


def _compare(made: Graph, classifier: Any, examples: Floats) -> None:
    import tensorflow as tf

    found = made.probabilities(tf.constant(examples, tf.float64)).numpy()
    apart = float(np.abs(found - classifier.predict_proba(examples)).max())
    if not apart <= TOLERANCE:
        raise NslibError(f"the graph's probabilities differ by {apart:.2g} from those of this "
                         f"{type(classifier).__name__}, so it is not exported; this version of scikit-learn computes "
                         "them in a way that is not known here.")
