"""Scores of NOSS by name, each with its interval over speakers.

Reference
---------
The metrics of the authors' scikit-learn evaluation, which are accuracy (the paper's), balanced
accuracy, equal error rate, area under the ROC curve, d' and weighted F1.

Conventions
-----------
``y_true`` and ``y_pred`` are class names, ``[clips]``. ``scores`` are ``[clips, classes]``, larger
meaning more likely, with columns in the order of `classes` (default: sorted names in ``y_true``);
for two classes also ``[clips]``, the score of the second class. Point values come from
scikit-learn where it has the metric; resampled ones from counts or weights, many at once. The
tests hold the two together.

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

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nslib import bootstrap
from nslib import scores as _scores
from nslib.bootstrap import LEVEL, RESAMPLES, Difference, Interval
from nslib.errors import UnknownName
from nslib.paired import difference
from nslib.scores import (
    Classes,
    Floats,
    Ints,
    Names,
    accuracy,
    auc,
    balanced_accuracy,
    dprime,
    dprime_ovo,
    equal_error_rate,
    equal_error_rate_curve,
    f1_weighted,
)

__all__ = [
    "METRICS", "Difference", "Interval", "Metric", "accuracy", "auc", "balanced_accuracy", "chance",
    "difference", "dprime", "dprime_ovo", "equal_error_rate", "equal_error_rate_curve", "f1_weighted", "get",
    "interval", "score",
]

_CHUNK = 2_000_000
"""Weights (resamples x clips) held at a time."""


@dataclass(frozen=True)
class Metric:
    """A metric and what must be known to use it.

    Attributes
    ----------
    name : str
        As in tables.
    needs : {"labels", "scores"}
        What it is computed from.
    higher_is_better : bool
        False for an error rate.
    function : callable
        ``(y_true, y_pred)`` or ``(y_true, scores, classes)`` to float.
    """

    name: str
    needs: str
    higher_is_better: bool
    function: Callable[..., float]


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


def get(name: str) -> Metric:
    """Metric by name; raises UnknownName with the nearest names."""
    if name not in METRICS:
        raise UnknownName("metric", name, METRICS)
    return METRICS[name]


def score(metric: str, y_true: npt.ArrayLike, answer: npt.ArrayLike, classes: Classes = None) -> float:
    """Value of any metric.

    Parameters
    ----------
    metric : str
        A name in `METRICS`.
    y_true : array-like of str [clips]
        True classes.
    answer : array-like
        Predicted names or scores, as the metric needs.
    classes : sequence of str, optional
        Columns of scores.

    Returns
    -------
    float
    """
    chosen = get(metric)
    if chosen.needs == "labels":
        return chosen.function(y_true, answer)
    return chosen.function(y_true, answer, classes)


def chance(metric: str, y_true: npt.ArrayLike) -> float:
    """Score of the best answer that does not listen: always the most frequent class, or one score.

    Parameters
    ----------
    metric : str
        A name in `METRICS`.
    y_true : array-like of str [clips]
        True classes.

    Returns
    -------
    float
        For accuracy the share of the largest class (1 / classes if all are equally frequent), 1 / classes
        for balanced accuracy, 0.5 for `auc` and `equal_error_rate`, 0 for d'.
    """
    if get(metric).needs == "labels":
        names, counts = np.unique(np.asarray(y_true, dtype=str), return_counts=True)
        return score(metric, y_true, np.full(counts.sum(), names[np.argmax(counts)]))
    return 0.0 if metric.startswith("dprime") else 0.5


def interval(
    y_true: npt.ArrayLike,
    answer: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    metric: str = "accuracy",
    *,
    classes: Classes = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Confidence interval of a score on a test set.

    Parameters
    ----------
    y_true : array-like of str [clips]
        True classes.
    answer : array-like
        Predicted names or scores, as the metric needs.
    groups : array-like of str [clips], optional
        Speaker of each clip. With at least `bootstrap.MIN_SPEAKERS` known speakers, speakers are
        resampled, else clips.
    metric : str
        A name in `METRICS`.
    classes : sequence of str, optional
        Columns of scores.
    level : float
        Confidence level.
    resamples, seed : int
        Number of resamples, and the seed of their draws.

    Returns
    -------
    Interval
        Method and limits are described in `nslib.bootstrap`. Where the label is the speaker, it is
        classes that are resampled: the interval is for another set of speakers to be told apart,
        equally many.
    """
    bootstrap.refuse_bad_level(level, resamples)
    rng = np.random.default_rng(seed)
    if get(metric).needs == "labels":
        return _label_interval(metric, *_scores.as_labels(y_true, answer), groups, level, resamples, rng)
    return _score_interval(metric, y_true, answer, classes, groups, level, resamples, rng)


def _label_interval(metric: str, true: Names, pred: Names, groups: npt.ArrayLike | None, level: float,
                    resamples: int, rng: np.random.Generator) -> Interval:
    codes = np.unique(np.stack([true, pred]), return_inverse=True)[1].reshape(2, -1)
    if metric == "accuracy":  # as the recall of the only class, "a clip": no table of clips by class
        codes = np.stack([np.zeros_like(codes[0]), (codes[0] != codes[1]).astype(np.int64)])
    units = bootstrap.speakers(groups, len(true))
    if units is None:
        units, rows = bootstrap.clips(codes.T)
        codes = rows.T.astype(np.int64)
    resampled = _from_counts(metric, codes[0], codes[1], units, units.weights(resamples, rng))
    return bootstrap.bounds(score(metric, true, pred), resampled, units, _clips_worth(metric, true), level)


def _from_counts(metric: str, true: Ints, pred: Ints, units: bootstrap.Units, weights: Floats) -> Floats:
    kinds = int(max(true.max(), pred.max())) + 1

    def count(codes: Ints, where: npt.NDArray[np.bool_]) -> Floats:
        flat = units.index[where] * kinds + codes[where]
        return weights @ np.bincount(flat, minlength=weights.shape[1] * kinds).reshape(-1, kinds)

    always = np.ones(len(true), dtype=bool)
    hits, of_class = count(true, true == pred), count(true, always)
    if metric == "f1_weighted":
        f1 = 2 * hits / np.maximum(of_class + count(pred, always), 1)
        return (f1 * of_class).sum(1) / of_class.sum(1)
    return (hits / np.maximum(of_class, 1)).sum(1) / (of_class > 0).sum(1)


def _score_interval(metric: str, y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes,
                    groups: npt.ArrayLike | None, level: float, resamples: int,
                    rng: np.random.Generator) -> Interval:
    true, table, names = _scores.as_scores(y_true, scores, classes)
    value, size = score(metric, true, table, names), _clips_worth(metric, true)
    units = bootstrap.speakers(groups, len(true))
    if units is None:
        units, rows = bootstrap.clips(np.column_stack([np.searchsorted(names, true), table]))
        true, table = names[rows[:, 0].astype(np.int64)], rows[:, 1:]
    weights, step = units.weights(resamples, rng), max(1, _CHUNK // len(true))
    resampled = np.concatenate([_weighted(metric, true, table, names, weights[i:i + step][:, units.index])
                                for i in range(0, resamples, step)])
    if not metric.startswith("dprime"):
        return bootstrap.bounds(value, resampled, units, size, level)
    # d' has no bounds of its own; it rises with the area, so the area's interval is carried over.
    found = bootstrap.bounds(_scores.area_of_dprime(value), resampled, units, size, level)
    return Interval(_scores.dprime_of_area(found.low), _scores.dprime_of_area(found.high), found.by)


def _weighted(metric: str, true: Names, table: Floats, names: Names, weights: Floats) -> Floats:
    if metric == "equal_error_rate":
        return _scores.balance(*_scores.curve(*_scores.levels(true == names[1], table[:, 1], weights)))
    if metric == "dprime_ovo":
        pairs = _scores.one_vs_one(true, table, names)
        areas = [_scores.areas(t[k], s[k], weights[:, k]) for t, s, k in pairs]
    else:
        areas = [_scores.areas(t, s, weights) for t, s in _scores.one_vs_rest(true, table, names)]
    stacked = np.stack(areas)
    defined = np.isfinite(stacked)
    # A resample can lack a class; as in the point value, its area is then left out.
    with np.errstate(invalid="ignore"):
        return np.where(defined, stacked, 0).sum(0) / defined.sum(0)


def _clips_worth(metric: str, true: Names) -> float:
    counts = np.unique(true, return_counts=True)[1]
    if metric in ("accuracy", "f1_weighted"):
        return float(counts.sum())
    # A mean over classes varies as this many clips in classes of equal size do.
    return float(len(counts) ** 2 / np.sum(1 / counts))
