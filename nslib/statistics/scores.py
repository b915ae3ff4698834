"""Scores of NOSS by name, and which of several results counts.

Reference
---------
The metrics of the authors' scikit-learn evaluation, which are accuracy (the paper's), balanced
accuracy, equal error rate, area under the ROC curve, d' and weighted F1.

Conventions
-----------
``y_true`` and ``y_pred`` are class names, ``[clips]``. ``scores`` are ``[clips, classes]``, larger
meaning more likely, with columns in the order of `classes` (default: sorted names in ``y_true``);
for two classes also ``[clips]``, the score of the second class. Point values come from
scikit-learn where it has the metric; resampled ones from weights ``[resamples, clips]`` (how often
each clip counts), many at once. The tests hold the two together.

Metrics
-------
=========================  ======  ======  =============================================
name                       needs   better  meaning
=========================  ======  ======  =============================================
accuracy                   labels  high    share of clips named right
balanced_accuracy          labels  high    recall averaged over the classes present (UAR)
unweighted_average_recall  labels  high    the same under the authors' other name
f1_weighted                labels  high    F1 averaged over classes, weighted by clips
equal_error_rate           scores  low     where misses and false alarms balance; 2 classes
auc                        scores  high    area under ROC; macro one-vs-rest beyond 2 classes
dprime                     scores  high    sqrt(2) times the normal quantile of `auc`
dprime_ovo                 scores  high    the same from the macro one-vs-one area
=========================  ======  ======  =============================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nslib.errors import BadParameter, UnknownName

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "METRICS", "Metric", "accuracy", "auc", "balanced_accuracy", "chance", "dprime", "dprime_ovo",
    "equal_error_rate", "equal_error_rate_curve", "f1_weighted", "get_metric", "keep_newest", "score",
    "select_scores",
]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]
Classes = Sequence[str] | Names | None


# ------------------------------------------------------------------ metrics of labels

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


# ------------------------------------------------------------------ metrics of scores

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
    miss, false_alarm : ndarray [levels + 1] float64
        Share of target clips below the threshold, 0 to 1, and of other clips above it, 1 to 0.

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
    _check_finite(values)
    miss, alarm = error_curves(*weigh_levels(target, values, np.ones((1, len(target)))))
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
    return float(balance_errors(miss[None], alarm[None])[0])


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


def area_of_dprime(d: float) -> float:
    """Area under the ROC curve of two unit normal distributions `d` apart."""
    from scipy import special

    return float(special.ndtr(d / math.sqrt(2)))


def dprime_of_area(area: float) -> float:
    """Distance of two unit normal distributions with this area under the ROC curve."""
    from scipy import special

    return float(math.sqrt(2) * special.ndtri(area))


# ------------------------------------------------------------------ metrics by name

@dataclass(frozen=True)
class Metric:
    """A metric and what must be known to use it."""

    name: str
    needs: str  # "labels" or "scores": what it is computed from
    higher_is_better: bool
    function: Callable[..., float]  # (y_true, y_pred) or (y_true, scores, classes) to float


METRICS: dict[str, Metric] = {m.name: m for m in (
    Metric("accuracy", "labels", True, accuracy),
    Metric("balanced_accuracy", "labels", True, balanced_accuracy),
    Metric("unweighted_average_recall", "labels", True, balanced_accuracy),
    Metric("f1_weighted", "labels", True, f1_weighted),
    Metric("equal_error_rate", "scores", False, equal_error_rate),
    Metric("auc", "scores", True, auc),
    Metric("dprime", "scores", True, dprime),
    Metric("dprime_ovo", "scores", True, dprime_ovo),
)}


def get_metric(name: str) -> Metric:
    """Metric by name; raises UnknownName with the nearest names."""
    if name not in METRICS:
        raise UnknownName("metric", name, METRICS)
    return METRICS[name]


def score(metric: str, y_true: npt.ArrayLike, answer: npt.ArrayLike, classes: Classes = None) -> float:
    """Compute the metric of this name from true classes [clips] and predicted names or scores, as it needs.

    Raises
    ------
    UnknownName, BadParameter
        For another metric; for answers that do not fit the clips or the classes.
    """
    chosen = get_metric(metric)
    if chosen.needs == "labels":
        return chosen.function(y_true, answer)
    return chosen.function(y_true, answer, classes)


def chance(metric: str, y_true: npt.ArrayLike) -> float:
    """Score of the best answer that does not listen: always the most frequent class, or one score.

    For accuracy the share of the largest class in `y_true` [clips] (1 / classes if all are equally frequent),
    1 / classes for balanced accuracy, 0.5 for `auc` and `equal_error_rate`, 0 for d'.
    """
    if get_metric(metric).needs == "labels":
        names, counts = np.unique(np.asarray(y_true, dtype=str), return_counts=True)
        return score(metric, y_true, np.full(counts.sum(), names[np.argmax(counts)]))
    return 0.0 if metric.startswith("dprime") else 0.5


# ------------------------------------------------------------------ weighted values, many at once

def weigh_levels(target: Flags, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of target and of other clips at each distinct score, rising: two arrays [resamples, levels]."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
    return (np.add.reduceat((weights * target)[:, order], starts, axis=1),
            np.add.reduceat((weights * ~target)[:, order], starts, axis=1))


def error_curves(targets: Floats, others: Floats) -> tuple[Floats, Floats]:
    """Miss and false alarm rates [resamples, levels + 1] from `weigh_levels`; NaN where a kind has no clip."""
    edge = np.zeros((len(targets), 1))
    with np.errstate(invalid="ignore"):
        miss = np.cumsum(targets, axis=1) / targets.sum(1, keepdims=True)
        alarm = np.cumsum(others[:, ::-1], axis=1)[:, ::-1] / others.sum(1, keepdims=True)
    return np.hstack([edge, miss]), np.hstack([alarm, edge])


def balance_errors(miss: Floats, false_alarm: Floats) -> Floats:
    """Equal error rate of each curve [resamples]: the mean of the two rates where they are first closest."""
    best = np.argmin(np.abs(miss - false_alarm), axis=1)[:, None]
    return np.take_along_axis((miss + false_alarm) / 2, best, axis=1)[:, 0]


def weigh_areas(target: Flags, scores: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve of each resample: chance that a target outscores another; NaN without a kind."""
    targets, others = weigh_levels(target, scores, weights)
    below = np.cumsum(others, axis=1) - others / 2  # a tie is half won
    with np.errstate(invalid="ignore"):
        return (targets * below).sum(1) / (targets.sum(1) * others.sum(1))


# ------------------------------------------------------------------ checks and shapes

def one_vs_rest(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes) -> list[tuple[Flags, Floats]]:
    """Two-class problems whose areas `auc` averages, as (target, scores).

    Classes that `y_true` lacks have none; of two classes the second one is enough.
    """
    true, table, names = as_scores(y_true, scores, classes)
    present = _present_classes(true, names)
    return [(true == names[k], table[:, k]) for k in ([1] if len(names) == 2 else present)]


def one_vs_one(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes) -> list[tuple[Flags, Floats, Flags]]:
    """Two-class problems whose areas `dprime_ovo` averages, as (target, scores, clips of the pair)."""
    true, table, names = as_scores(y_true, scores, classes)
    return [(true == names[k], table[:, k], (true == names[i]) | (true == names[j]))
            for i, j in combinations(_present_classes(true, names), 2) for k in (i, j)]


def _present_classes(true: Names, names: Names) -> list[int]:
    """Places of the classes that have clips; at least two."""
    present = [k for k, name in enumerate(names) if (true == name).any()]
    if len(present) < 2:
        raise BadParameter("an area under the ROC curve needs clips of at least two classes.")
    return present


def as_scores(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes) -> tuple[Names, Floats, Names]:
    """Check what a metric of scores is given, and shape it: true [clips], scores [clips, classes], sorted classes."""
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
    _check_finite(table)
    return true, table, names


def _check_finite(scores: Floats) -> None:
    """Refuse scores that are NaN or infinite."""
    if not np.isfinite(scores).all():
        raise BadParameter(f"{int((~np.isfinite(scores)).sum())} scores are not finite.")


def as_labels(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[Names, Names]:
    """Check what a metric of labels is given: one predicted name for each true one."""
    true, pred = np.asarray(y_true, dtype=str), np.asarray(y_pred, dtype=str)
    if true.shape != pred.shape or true.ndim != 1 or not len(true):
        raise BadParameter(f"give one predicted name a clip; got {true.shape} and {pred.shape}.")
    return true, pred


# ------------------------------------------------------------------ which result counts

def select_scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the result of each embedding on each task: the test score of what validation chose.

    One row a task, embedding and metric, in order of first appearance; of several runs the newest.
    """
    return keep_newest(rows[rows["selected"] & (rows["split"] == "test")], ["task", "embedding", "metric"])


def keep_newest(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Keep the newest row (column ``when``) of each combination of the columns `by`, in order of appearance."""
    newest = rows.sort_values("when", kind="stable").drop_duplicates(by, keep="last")
    return newest.sort_index().reset_index(drop=True)
