"""The definitions behind `nslib.metrics`: single values, and weighted values many at once.

Conventions
-----------
As in `nslib.metrics`. Weights are ``[resamples, clips]``: how often each clip counts. Weights of one
give the single value; the tests hold the two together, and both to scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from nslib.errors import BadParameter

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]
Classes = Sequence[str] | Names | None
Table = tuple[Names, Floats, Names]
Pair = tuple[Flags, Floats, Flags]


def accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Share of clips named right, in [0, 1]."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(*as_labels(y_true, y_pred)))


def balanced_accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Recall averaged over the classes that `y_true` holds, in [0, 1]; also called UAR."""
    from sklearn.metrics import recall_score

    true, pred = as_labels(y_true, y_pred)
    # Not balanced_accuracy_score: the same number, but it warns of a class that is only predicted.
    return float(recall_score(true, pred, labels=np.unique(true), average="macro", zero_division=0))


def f1_weighted(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """F1 of each class averaged with the class's number of clips as weight, in [0, 1]."""
    from sklearn.metrics import f1_score

    return float(f1_score(*as_labels(y_true, y_pred), average="weighted", zero_division=0))


def equal_error_rate_curve(is_target: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Misses and false alarms as the threshold rises through the scores.

    Parameters
    ----------
    is_target : array-like of bool [clips]
        True for clips of the class that `scores` speak for.
    scores : array-like of float [clips]
        Larger means more likely.

    Returns
    -------
    miss : ndarray [levels + 1] float64
        Share of target clips below the threshold, 0 to 1.
    false_alarm : ndarray [levels + 1] float64
        Share of other clips above it, 1 to 0.

    Raises
    ------
    BadParameter
        If a score is not finite, or all clips are of one kind.

    Notes
    -----
    Clips of equal score lie on the same side of every threshold. The authors' code puts a threshold
    between any two clips, so that with ties its answer depends on the order of rows; without ties
    the two are identical.
    """
    target, values = np.asarray(is_target, dtype=bool), np.asarray(scores, dtype=np.float64)
    if target.shape != values.shape or target.all() or not target.any():
        raise BadParameter("an equal error rate needs clips of both kinds, with one score each.")
    _refuse_unfinite(values)
    miss, alarm = curve(*levels(target, values, np.ones((1, len(target)))))
    return miss[0], alarm[0]


def equal_error_rate(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes = None) -> float:
    """Error rate where misses and false alarms are closest, in [0, 1]; 0.5 is no information.

    The mean of the two at the first point of the curve where their gap is smallest. Two classes only.

    Examples
    --------
    >>> equal_error_rate([0, 0, 1, 1], [0.1, 0.8, 0.2, 0.9])
    0.5
    """
    true, table, names = as_scores(y_true, scores, classes)
    if len(names) != 2:
        # The authors' code takes the second column whatever the number of classes.
        raise BadParameter(f"an equal error rate is defined for two classes; these are {len(names)}.")
    miss, alarm = equal_error_rate_curve(true == names[1], table[:, 1])
    return float(balance(miss[None], alarm[None])[0])


def auc(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes = None) -> float:
    """Area under the ROC curve, in [0, 1]; beyond two classes the mean of one-vs-rest areas.

    A class that `y_true` lacks has no area and is left out of the mean.
    """
    from sklearn.metrics import roc_auc_score

    return float(np.mean([roc_auc_score(t, s) for t, s in one_vs_rest(y_true, scores, classes)]))


def dprime(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes = None) -> float:
    """Separation of two unit normal distributions with the same `auc`; infinite at 0 and 1."""
    return dprime_of_area(auc(y_true, scores, classes))


def dprime_ovo(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes = None) -> float:
    """`dprime` of the area averaged over pairs of classes (macro one-vs-one)."""
    from sklearn.metrics import roc_auc_score

    pairs = one_vs_one(y_true, scores, classes)
    return dprime_of_area(float(np.mean([roc_auc_score(t[k], s[k]) for t, s, k in pairs])))


def levels(target: Flags, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of target and of other clips at each distinct score, rising.

    Parameters
    ----------
    target : ndarray [clips] bool
        True for the class that the scores speak for.
    scores : ndarray [clips] float64
        Larger means more likely.
    weights : ndarray [resamples, clips] float64
        How often each clip counts.

    Returns
    -------
    targets, others : ndarray [resamples, levels] float64
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
    return (np.add.reduceat((weights * target)[:, order], starts, axis=1),
            np.add.reduceat((weights * ~target)[:, order], starts, axis=1))


def curve(targets: Floats, others: Floats) -> tuple[Floats, Floats]:
    """Miss and false alarm rates below, between and above the `levels`.

    Parameters
    ----------
    targets, others : ndarray [resamples, levels] float64
        From `levels`.

    Returns
    -------
    miss, false_alarm : ndarray [resamples, levels + 1] float64
        NaN where a resample has no clip of the kind.
    """
    edge = np.zeros((len(targets), 1))
    with np.errstate(invalid="ignore"):
        miss = np.cumsum(targets, axis=1) / targets.sum(1, keepdims=True)
        alarm = np.cumsum(others[:, ::-1], axis=1)[:, ::-1] / others.sum(1, keepdims=True)
    return np.hstack([edge, miss]), np.hstack([alarm, edge])


def balance(miss: Floats, false_alarm: Floats) -> Floats:
    """Equal error rate of each curve: the mean of the two rates where they are first closest.

    Parameters
    ----------
    miss, false_alarm : ndarray [resamples, levels + 1] float64
        From `curve`.

    Returns
    -------
    ndarray [resamples] float64
    """
    best = np.argmin(np.abs(miss - false_alarm), axis=1)[:, None]
    return np.take_along_axis((miss + false_alarm) / 2, best, axis=1)[:, 0]


def areas(target: Flags, scores: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve of each resample: chance that a target outscores another clip.

    Parameters
    ----------
    target, scores, weights
        As for `levels`.

    Returns
    -------
    ndarray [resamples] float64
        NaN where a resample has no clip of a kind.
    """
    targets, others = levels(target, scores, weights)
    below = np.cumsum(others, axis=1) - others / 2  # a tie is half won
    with np.errstate(invalid="ignore"):
        return (targets * below).sum(1) / (targets.sum(1) * others.sum(1))


def one_vs_rest(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes) -> list[tuple[Flags, Floats]]:
    """Two-class problems whose areas `auc` averages: ``(target, scores)`` of each.

    Classes that `y_true` lacks have none; of two classes the second one is enough.
    """
    true, table, names = as_scores(y_true, scores, classes)
    present = _present(true, names)
    return [(true == names[k], table[:, k]) for k in ([1] if len(names) == 2 else present)]


def one_vs_one(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes) -> list[Pair]:
    """Two-class problems whose areas `dprime_ovo` averages: ``(target, scores, clips of the pair)``."""
    true, table, names = as_scores(y_true, scores, classes)
    return [(true == names[k], table[:, k], (true == names[i]) | (true == names[j]))
            for i, j in combinations(_present(true, names), 2) for k in (i, j)]


def _present(true: Names, names: Names) -> list[int]:
    present = [k for k, name in enumerate(names) if (true == name).any()]
    if len(present) < 2:
        raise BadParameter("an area under the ROC curve needs clips of at least two classes.")
    return present


def as_scores(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes) -> Table:
    """Check and shape what a metric of scores is given.

    Returns
    -------
    true : ndarray [clips] str
    table : ndarray [clips, classes] float64
    names : ndarray [classes] str
        Sorted.

    Raises
    ------
    BadParameter
        If shapes disagree, a score is not finite, or a class has no column.
    """
    true, table = np.asarray(y_true, dtype=str), np.asarray(scores, dtype=np.float64)
    names = np.unique(true if classes is None else np.asarray(classes, dtype=str))
    if table.ndim == 1 and len(names) == 2:
        table = np.column_stack([-table, table])
    if table.shape != (len(true), len(names)) or not len(true):
        raise BadParameter(f"scores must be [clips, classes] = {len(true), len(names)}; got {table.shape}.")
    if classes is not None and names.tolist() != list(classes):
        raise BadParameter("columns of scores must be in the order of the sorted class names, each once.")
    if not set(true) <= set(names):
        raise BadParameter(f"no column of scores for {', '.join(sorted(set(true) - set(names)))}.")
    _refuse_unfinite(table)
    return true, table, names


def _refuse_unfinite(scores: Floats) -> None:
    if not np.isfinite(scores).all():
        raise BadParameter(f"{int((~np.isfinite(scores)).sum())} scores are not finite.")


def as_labels(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[Names, Names]:
    """Check what a metric of labels is given: one predicted name for each true one.

    Raises
    ------
    BadParameter
        If the lengths disagree or there are no clips.
    """
    true, pred = np.asarray(y_true, dtype=str), np.asarray(y_pred, dtype=str)
    if true.shape != pred.shape or true.ndim != 1 or not len(true):
        raise BadParameter(f"give one predicted name a clip; got {true.shape} and {pred.shape}.")
    return true, pred


def area_of_dprime(d: float) -> float:
    """Area under the ROC curve of two unit normal distributions `d` apart."""
    from scipy import special

    return float(special.ndtr(d / math.sqrt(2)))


def dprime_of_area(area: float) -> float:
    """Distance of two unit normal distributions with this area under the ROC curve."""
    from scipy import special

    return float(math.sqrt(2) * special.ndtri(area))
