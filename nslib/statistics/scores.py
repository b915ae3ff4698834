"""Scores of NOSS by name, and which of several results counts.

The metrics of the authors' scikit-learn evaluation: accuracy (the paper's), balanced accuracy, which they also call
unweighted average recall, weighted F1, equal error rate, area under the ROC curve and d'. Beside them the field's:
macro F1, and of labels that are numbers (age, arousal) the concordance correlation and the mean absolute error.

``y_true`` and ``y_pred`` are class names, ``[clips]``, or numbers, maybe as text. ``scores`` are ``[clips, classes]``,
larger meaning more likely, with columns in the order of `classes` (default: sorted names in ``y_true``); for two
classes also ``[clips]``, the score of the second class. Point values come from scikit-learn where it has the metric;
resampled ones from weights ``[resamples, clips]`` (how often each clip counts), many at once. The tests hold the two
together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from nslib.errors import BadParameter, UnknownName

__all__ = ["CHOSEN_BY_FOLD", "METRICS", "accuracy", "chance", "get_metric", "keep_newest", "score", "select_scores"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]
Classes = Sequence[str] | Names | None


def accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Share of clips named right, in [0, 1]."""
    true, pred = check_labels(y_true, y_pred)
    return float((true == pred).mean())


def balanced_accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Recall averaged over the classes that `y_true` holds, in [0, 1]; also called UAR."""
    from sklearn.metrics import recall_score

    true, pred = check_labels(y_true, y_pred)
    # Not balanced_accuracy_score: the same number, but it warns of a class that is only predicted.
    return float(recall_score(true, pred, labels=np.unique(true), average="macro", zero_division=0))


def f1(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, average: str) -> float:
    """F1 averaged ("macro") over the classes that are true or answered, or "weighted" by their clips, in [0, 1]."""
    from sklearn.metrics import f1_score

    return float(f1_score(*check_labels(y_true, y_pred), average=average, zero_division=0))


def concordance(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Concordance correlation (Lin, Biometrics 45, 1989), in [-1, 1]: 1 only for equal numbers; of a constant 0."""
    true, pred = check_numbers(y_true, y_pred)
    return float(weigh_numbers("concordance", true, pred, np.ones((1, len(true))))[0])


def mean_absolute_error(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Mean distance of the answers from the truth, in its unit."""
    return float(np.abs(np.subtract(*check_numbers(y_true, y_pred))).mean())


def weigh_numbers(metric: str, true: Floats, pred: Floats, weights: Floats) -> Floats:
    """Value of a metric of numbers on each resample, of weights [resamples, clips]."""
    total = weights.sum(1)
    if metric == "mean_absolute_error":
        return np.asarray(weights @ np.abs(true - pred) / total, dtype=np.float64)
    true, pred = true - true.mean(), pred - true.mean()  # near 0, squares keep their digits
    means = weights @ np.stack([true, pred, true**2, pred**2, true * pred], axis=1) / total[:, None]
    of_true, of_pred, spread_true, spread_pred, both = means.T
    below = spread_true + spread_pred - 2 * of_true * of_pred
    return np.where(below > 0, 2 * (both - of_true * of_pred) / np.where(below > 0, below, 1), 0 * below)


def equal_error_rate(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes = None) -> float:
    """Mean of misses and false alarms where they are first closest, in [0, 1]."""
    true, table, names = check_scores(y_true, scores, classes)
    if len(names) != 2:
        # The authors' code takes the second column whatever the number of classes.
        raise BadParameter(f"an equal error rate is defined for two classes; these are {len(names)}.")
    target = true == names[1]
    if target.all() or not target.any():
        raise BadParameter("an equal error rate needs clips of both kinds, with one score each.")
    return float(weigh_equal_error_rates(target, table[:, 1], np.ones((1, len(true))))[0])


def auc(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes = None, *, pairwise: bool = False) -> float:
    """Area under the ROC curve, in [0, 1]; beyond two classes the mean of one-vs-rest (or `pairwise`) areas."""
    from sklearn.metrics import roc_auc_score

    problems = split_into_pairs(*check_scores(y_true, scores, classes), pairwise=pairwise)
    return float(np.mean([roc_auc_score(target[clips], values[clips]) for target, values, clips in problems]))


def dprime(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes = None) -> float:
    """Separation of two unit normal distributions with the same `auc`; infinite at 0 and 1."""
    return dprime_of_area(auc(y_true, scores, classes))


def dprime_ovo(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes = None) -> float:
    """`dprime` of the area averaged over pairs of classes (macro one-vs-one)."""
    return dprime_of_area(auc(y_true, scores, classes, pairwise=True))


def area_of_dprime(d: float) -> float:
    """Area under the ROC curve of two unit normal distributions `d` apart."""
    from scipy import special

    return float(special.ndtr(d / math.sqrt(2)))


def dprime_of_area(area: float) -> float:
    """Distance of two unit normal distributions with this area under the ROC curve."""
    from scipy import special

    return float(math.sqrt(2) * special.ndtri(area))


@dataclass(frozen=True)
class Metric:
    """A metric and what must be known to use it."""

    name: str
    needs: str  # "labels", "scores" or "numbers": what it is computed from
    higher_is_better: bool
    function: Callable[..., float]  # (y_true, y_pred) or (y_true, scores, classes) to float
    is_share: bool = True  # from 0 to 1, and told in percent

    @property
    def words(self) -> str:
        """Its name as people read it, and which way is better where that is not up."""
        return self.name.replace("_", " ") + ("" if self.higher_is_better else " (less is better)")


METRICS: dict[str, Metric] = {m.name: m for m in (
    Metric("accuracy", "labels", True, accuracy),
    Metric("balanced_accuracy", "labels", True, balanced_accuracy),
    Metric("unweighted_average_recall", "labels", True, balanced_accuracy),
    Metric("f1_weighted", "labels", True, partial(f1, average="weighted")),
    Metric("f1_macro", "labels", True, partial(f1, average="macro")),
    Metric("equal_error_rate", "scores", False, equal_error_rate),
    Metric("auc", "scores", True, auc),
    Metric("dprime", "scores", True, dprime, False),
    Metric("dprime_ovo", "scores", True, dprime_ovo, False),
    Metric("concordance", "numbers", True, concordance, False),
    Metric("mean_absolute_error", "numbers", False, mean_absolute_error, False),
)}

SHORT_NAMES = {"uar": "unweighted_average_recall", "macro_f1": "f1_macro", "eer": "equal_error_rate",
               "ccc": "concordance", "mae": "mean_absolute_error"}
"""How the field calls some of the metrics."""


def get_metric(name: str) -> Metric:
    """Metric by name, maybe a short one as ``UAR`` or ``macro-F1``; raises UnknownName with the nearest names."""
    plain = str(name).lower().replace("-", "_")
    if SHORT_NAMES.get(plain, plain) not in METRICS:
        raise UnknownName("metric", name, (*METRICS, *SHORT_NAMES))
    return METRICS[SHORT_NAMES.get(plain, plain)]


def score(y_true: npt.ArrayLike, answer: npt.ArrayLike, metric: str = "accuracy", *, classes: Classes = None) -> float:
    """Compute the metric of this name from the truth [clips] and predicted names, scores or numbers, as it needs.

    `UnknownName` for another metric, `BadParameter` for answers that do not fit the clips or the classes.
    """
    chosen = get_metric(metric)
    return chosen.function(y_true, answer, classes) if chosen.needs == "scores" else chosen.function(y_true, answer)


def chance(y_true: npt.ArrayLike, metric: str = "accuracy") -> float:
    """Score of the best answer that does not listen: always the most frequent class, one score, or one number.

    For accuracy the share of the largest class, 1 / classes for balanced accuracy, 0.5 for `auc` and
    `equal_error_rate`, 0 for d'; of numbers always the median, whose concordance is 0.
    """
    metric, needs = get_metric(metric).name, get_metric(metric).needs
    if needs == "labels":
        names, counts = np.unique(np.asarray(y_true, dtype=str), return_counts=True)
        return score(y_true, np.full(counts.sum(), names[np.argmax(counts)]), metric)
    if needs == "numbers":
        middle = np.full(len(np.asarray(y_true)), np.median(read_numbers(y_true)))
        return 0.0 if metric == "concordance" else score(y_true, middle, metric)
    return 0.0 if metric.startswith("dprime") else 0.5


def _weigh_levels(target: Flags, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of target and of other clips at each distinct score, rising: two arrays [resamples, levels]."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
    return (np.add.reduceat((weights * target)[:, order], starts, axis=1),
            np.add.reduceat((weights * ~target)[:, order], starts, axis=1))


def weigh_equal_error_rates(target: Flags, scores: Floats, weights: Floats) -> Floats:
    """Equal error rate of each resample; NaN where it has no clip of a kind."""
    # Clips of equal score lie on the same side of every threshold. The authors' code puts one between any two clips,
    # so that with ties its answer depends on the order of rows; without ties the two are identical.
    targets, others = _weigh_levels(target, scores, weights)
    edge = np.zeros((len(weights), 1))
    with np.errstate(invalid="ignore"):
        miss = np.hstack([edge, np.cumsum(targets, axis=1) / targets.sum(1, keepdims=True)])
        alarm = np.hstack([np.cumsum(others[:, ::-1], axis=1)[:, ::-1] / others.sum(1, keepdims=True), edge])
    best = np.argmin(np.abs(miss - alarm), axis=1)[:, None]
    return np.take_along_axis((miss + alarm) / 2, best, axis=1)[:, 0]


def weigh_areas(target: Flags, scores: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve of each resample: chance that a target outscores another; NaN without a kind."""
    targets, others = _weigh_levels(target, scores, weights)
    below = np.cumsum(others, axis=1) - others / 2  # a tie is half won
    with np.errstate(invalid="ignore"):
        return (targets * below).sum(1) / (targets.sum(1) * others.sum(1))


def split_into_pairs(true: Names, table: Floats, names: Names, *,
                     pairwise: bool) -> list[tuple[Flags, Floats, Flags | slice]]:
    """Two-class problems whose areas are averaged, as (target, scores, clips that count): one-vs-one or -rest."""
    present = [k for k, name in enumerate(names) if (true == name).any()]
    if len(present) < 2:
        raise BadParameter("an area under the ROC curve needs clips of at least two classes.")
    if pairwise:
        return [(true == names[k], table[:, k], (true == names[i]) | (true == names[j]))
                for i, j in combinations(present, 2) for k in (i, j)]
    # of two classes the second one is enough
    return [(true == names[k], table[:, k], slice(None)) for k in ([1] if len(names) == 2 else present)]


def check_scores(y_true: npt.ArrayLike, scores: npt.ArrayLike, classes: Classes) -> tuple[Names, Floats, Names]:
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
    if not np.isfinite(table).all():
        raise BadParameter(f"{int((~np.isfinite(table)).sum())} scores are not finite.")
    return true, table, names


def check_labels(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[Names, Names]:
    """Check what a metric of labels is given: one predicted name for each true one."""
    true, pred = np.asarray(y_true, dtype=str), np.asarray(y_pred, dtype=str)
    if true.shape != pred.shape or true.ndim != 1 or not len(true):
        raise BadParameter(f"give one predicted name a clip; got {true.shape} and {pred.shape}.")
    return true, pred


def read_numbers(values: npt.ArrayLike) -> Floats:
    """Read labels as numbers; BadParameter names the first that is none."""
    given = np.asarray(values)
    if given.dtype.kind in "iuf":
        numbers = given.astype(np.float64)
    else:
        numbers = np.array([parse_number(text) for text in given.tolist()])
    if not np.isfinite(numbers).all():
        first = given[~np.isfinite(numbers)][0]
        raise BadParameter(f"{int((~np.isfinite(numbers)).sum())} of {len(given)} labels are no finite numbers, the "
                           f"first is {str(first)!r}. Correct them, leave these clips out, or choose a metric of "
                           "classes.")
    return numbers


def parse_number(text: object) -> float:
    """Read a number; NaN for what is none."""
    try:
        return float(str(text))
    except ValueError:
        return math.nan


def check_numbers(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Check what a metric of numbers is given: one answer for each true number."""
    true, pred = read_numbers(y_true), read_numbers(y_pred)
    if true.shape != pred.shape or true.ndim != 1 or not len(true):
        raise BadParameter(f"give one predicted number a clip; got {true.shape} and {pred.shape}.")
    return true, pred


CHOSEN_BY_FOLD = "chosen-by-fold"
"""In place of a probe's name: of clips in folds, the combination that was chosen in each fold."""


def select_scores(rows: pd.DataFrame, *, every_metric: bool = False) -> pd.DataFrame:
    """Select the result of each embedding on each task: the test score of what validation chose.

    One row a task, embedding and metric, in order of first appearance; of several runs the newest, and of several
    metrics of a run the one by which was chosen, which comes first, unless `every_metric` is asked for.
    """
    chosen = rows[rows["selected"] & (rows["split"] == "test")]
    if not every_metric:
        chosen = chosen[chosen["metric"] == chosen.groupby("key")["metric"].transform("first")]
    return keep_newest(chosen, ["task", "embedding", "metric"])


def keep_newest(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Keep the newest row (column ``when``) of each combination of the columns `by`, in order of appearance."""
    newest = rows.sort_values("when", kind="stable").drop_duplicates(by, keep="last")
    return newest.sort_index().reset_index(drop=True)
