"""Uncertainty of a score on a small test set: resampling whole speakers, and its known failures.

Clips of one speaker resemble each other, so that n clips tell less than n independent draws. The resampled unit is
therefore the speaker where the test set has at least `MIN_SPEAKERS` of them (Efron and Tibshirani, *An Introduction to
the Bootstrap*, 1993), else the clip, and the interval then says nothing about other speakers. A percentile bootstrap
alone is too short: at a true accuracy of 0.80 and 5 to 10 speakers a nominal 95 % interval held it in 80 to 90 % of
simulations, and where every clip is right it has no width at all. `bounds` brought simulations to 93 % and more (the
tests repeat some). What no interval can see is a kind of speaker that the test set lacks: with accuracy near 1 and
errors in a few rare speakers (intraclass correlation 0.2), coverage fell to 86 % at 0.95 and to 75 % at 0.99.

Where the label is the speaker, the interval is for another set of equally many speakers to be told apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from nslib.errors import BadParameter
from nslib.statistics import scores
from nslib.statistics.scores import Classes, Floats, Ints, Names, keep_newest, select_scores

__all__ = ["LEVEL", "MIN_SPEAKERS", "RESAMPLES", "SPREADS", "Difference", "Interval", "RepeatedTest", "interval",
           "interval_over_splits", "recall_by_class", "scores_of_splits", "spread_over_splits"]

MIN_SPEAKERS = 5
"""With fewer speakers, clips are resampled."""

LEVEL = 0.95
RESAMPLES = 1000

RECALLS = ["task", "embedding", "label", "n", "n_speakers", "recall", "low", "high", "by", "taken_for", "times"]

SPREADS = ["task", "corpus_kind", "embedding", "splits", "value", "low", "high", "lowest", "highest", "spread",
           "standard_error", "ratio", "held"]

_CHUNK = 2_000_000  # weights (resamples x clips) held at a time
_REPEATED = "repeated"  # the protocol of splits that are drawn anew


class Interval(NamedTuple):
    """Bounds in the unit of the score, and the resampled unit: ``"speaker"`` or ``"clip"``."""

    low: float
    high: float
    by: str


class Difference(NamedTuple):
    """Accuracy of the first minus that of the second, its bounds, and the resampled unit or units.

    If 0 lies between the bounds, the two are not told apart by this test set.
    """

    diff: float
    low: float
    high: float
    by: str


@dataclass(frozen=True)
class Units:
    """What is drawn with replacement: speakers or clips."""

    by: str  # "speaker" or "clip"
    index: Ints  # [rows]: unit of each row
    shares: Floats  # [units]: probability of each unit in one draw
    draws: int  # in a resample: the number of speakers, or of clips

    def weights(self, resamples: int, seed: int) -> Floats:
        """How often each unit was drawn, [resamples, units]: whole numbers; each row sums to `draws`."""
        if self.by == "speaker":  # the same for all scores of a split
            return _draw_speakers(self.draws, resamples, seed)
        return np.random.default_rng(seed).multinomial(self.draws, self.shares, size=resamples).astype(np.float64)


@lru_cache(maxsize=4)
def _draw_speakers(speakers: int, resamples: int, seed: int) -> Floats:
    """How often each of some speakers was drawn, [resamples, speakers]; not to be changed, as it is shared."""
    shares = np.full(speakers, 1 / speakers)
    weights = np.random.default_rng(seed).multinomial(speakers, shares, size=resamples).astype(np.float64)
    weights.flags.writeable = False
    return weights


def speaker_units(speakers: npt.ArrayLike | None, clips: int) -> Units | None:
    """Resample speakers; None if one is unknown (``""``) or there are fewer than `MIN_SPEAKERS`."""
    if speakers is None:
        return None
    names, index = np.unique(np.asarray(speakers, dtype=str), return_inverse=True)
    if index.shape != (clips,):
        raise BadParameter(f"give one speaker a clip; got {index.shape} for {clips} clips.")
    if len(names) < MIN_SPEAKERS or "" in names:
        return None
    return Units("speaker", index, np.full(len(names), 1 / len(names)), len(names))


def clip_units(rows: npt.ArrayLike) -> tuple[Units, Floats]:
    """Resample clips, those with equal rows [clips, values] together; also give the distinct rows."""
    # Clips with equal rows are interchangeable: drawing among distinct rows is faster, and the same in any order.
    distinct, counts = np.unique(np.asarray(rows, dtype=np.float64), axis=0, return_counts=True)
    total = int(counts.sum())
    return Units("clip", np.arange(len(distinct)), counts / total, total), distinct


@dataclass(frozen=True)
class UnitSums:
    """Sums [units, values] of values over the clips of each unit, and how many clips [units] it has."""

    units: Units
    sums: Floats
    clips: Floats

    @classmethod
    def of(cls, values: Floats, speakers: npt.ArrayLike | None) -> UnitSums:
        """Sum values [clips, values] over speakers if they can be resampled, else over clips."""
        units = speaker_units(speakers, len(values))
        if units is None:
            units, values = clip_units(values)
            return cls(units, values, np.ones(len(values)))
        sums = np.stack([np.bincount(units.index, column) for column in values.T], axis=1)
        return cls(units, sums.astype(np.float64), np.bincount(units.index).astype(np.float64))

    def mean(self) -> Floats:
        """Mean over clips of each value."""
        return np.asarray(self.units.shares @ self.sums / (self.units.shares @ self.clips), dtype=np.float64)

    def resample(self, resamples: int, seed: int) -> Floats:
        """Mean of each value on each resample, [resamples, values]."""
        weights = self.units.weights(resamples, seed)
        return np.asarray((weights @ self.sums) / (weights @ self.clips)[:, None], dtype=np.float64)


def bounds(value: float, resampled: Floats, units: Units, size: float | None, level: float = LEVEL) -> Interval:
    """Interval of a score in [0, 1], which rests on `size` clips (None: of one without such bounds), from resamples."""
    # The hull of two intervals. (1) Percentiles of the resamples, their level set so that a normal quantile times the
    # bootstrap's standard error becomes a t quantile times the unbiased one (T. Hesterberg, Am. Stat. 69(4), 2015).
    # (2) Wilson's interval with `size` replaced by the number of independent clips that would vary as much as the
    # bootstrap does, times (z / t)**2 (E. Korn and B. Graubard, Survey Methodology 24, 1998). Where nothing varies,
    # that number is `size`: a test set without an error cannot show whether errors come together. Only shares have it.
    # NaN where the score is not defined.
    defined = resampled[np.isfinite(resampled)]
    if not math.isfinite(value) or not len(defined):
        return Interval(math.nan, math.nan, units.by)
    z, t, inflation = quantiles(units.draws, level)
    low, high = percentiles(defined, t, inflation)
    if size is None:
        return Interval(min(low, value), max(high, value), units.by)
    variance = float(np.var(defined)) * inflation
    clips_worth = min(size, value * (1 - value) / variance) if variance > 0 else size
    wilson_low, wilson_high = _wilson(value, clips_worth * (z / t) ** 2, z)
    return Interval(min(low, wilson_low, value), max(high, wilson_high, value), units.by)


def check_level(level: float, resamples: int = RESAMPLES) -> None:
    """Raise BadParameter unless `level` lies in (0, 1) and `resamples` is positive."""
    if not 0 < level < 1 or resamples < 1:
        raise BadParameter(f"level {level!r} must lie in (0, 1) and resamples {resamples!r} be at least 1.")


def quantiles(draws: int, level: float) -> tuple[float, float, float]:
    """Two-sided normal and Student quantile (``draws - 1`` degrees), and the unbiased variance over a bootstrap's."""
    from scipy import special

    tail, freedom = (1 + level) / 2, max(draws - 1, 1)
    return float(special.ndtri(tail)), float(special.stdtrit(freedom, tail)), draws / freedom


def percentiles(resampled: Floats, t: float, inflation: float) -> tuple[float, float]:
    """Expanded percentiles (Hesterberg): a normal tail as far out as `t` unbiased standard errors."""
    from scipy import special

    tail = float(special.ndtr(-t * math.sqrt(inflation)))
    last = len(resampled) - 1
    # np.quantile, many times faster for so few numbers: a comparison of many pairs asks for thousands of these
    low, high = np.interp([tail * last, (1 - tail) * last], np.arange(last + 1), np.sort(resampled))
    return float(low), float(high)


def _wilson(value: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's interval of a share of n clips."""
    if n <= 0:
        return 0.0, 1.0
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def interval(y_true: npt.ArrayLike, answer: npt.ArrayLike, speakers: npt.ArrayLike | Units | None = None,
             metric: str = "accuracy", *, classes: Classes = None, level: float = LEVEL,
             resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Confidence interval of a score on a test set; UnknownName or BadParameter for what does not fit.

    Parameters
    ----------
    y_true, answer, metric, classes
        As of `nslib.statistics.scores.score`.
    speakers : array-like of str [clips], optional
        Speaker of each clip, ``""`` if unknown: with at least `MIN_SPEAKERS` known ones they are resampled, else clips.
        For many answers to the same clips `speaker_units` of them, found once.
    level, resamples, seed
        Confidence level, in (0, 1); number of resamples, and the seed of their draws.
    """
    check_level(level, resamples)
    test = _Answers.of(y_true, answer, metric, classes)
    units = speakers if isinstance(speakers, Units) else speaker_units(speakers, len(test.true))
    columns = test.columns
    if units is None:
        units, columns = clip_units(columns)
    resampled = test.resample(columns, units.index, units.weights(resamples, seed))
    return test.bounds(test.value, resampled, units, test.worth(), level)


def interval_over_splits(y_true: npt.ArrayLike, answer: npt.ArrayLike, clips: npt.ArrayLike, speakers: npt.ArrayLike,
                         splits: npt.ArrayLike, metric: str = "accuracy", *, classes: Classes = None,
                         seed: int = 0) -> tuple[float, Interval]:
    """Mean of a score over splits that share clips, and its interval: each of a clip's answers counts when it is drawn.

    As of `interval`, of which this is the mean over `splits`; units are speakers, else the different `clips`.
    """
    (true, given), (names, who, numbers) = map(np.asarray, (y_true, answer)), (
        np.asarray(values, dtype=str) for values in (clips, speakers, splits))
    units, (_, first, clip) = speaker_units(who, len(names)), np.unique(names, return_index=True, return_inverse=True)
    if units is None:
        units = Units("clip", clip, np.full(len(first), 1 / len(first)), len(first))
    weights, values, resampled = units.weights(RESAMPLES, seed), [], []
    for number in np.unique(numbers):
        rows = numbers == number
        test = _Answers.of(true[rows], given[rows], metric, classes)
        values.append(test.value)
        with np.errstate(invalid="ignore"):  # a resample can lack all that one split tests
            resampled.append(test.resample(test.columns, units.index[rows], weights))
    value, once = float(np.mean(values)), _Answers.of(true[first], given[first], metric, classes)
    defined = np.isfinite(resampled)
    with np.errstate(invalid="ignore"):
        means = np.where(defined, resampled, 0).sum(0) / defined.sum(0)
    return value, once.bounds(value, means, units, once.worth(), LEVEL)


@dataclass(frozen=True)
class _Answers:
    """What was answered in one test, checked, as numbers of which any rows can be drawn again."""

    metric: str
    value: float
    true: npt.NDArray[Any]  # [clips]: names, or numbers
    columns: npt.NDArray[Any]  # [clips, values]: truth and answer
    names: Names  # of the columns of scores; else empty

    @classmethod
    def of(cls, y_true: npt.ArrayLike, answer: npt.ArrayLike, metric: str, classes: Classes) -> _Answers:
        """Check what was answered, and score it."""
        kind, none = scores.get_metric(metric), np.zeros(0, dtype=str)
        value = scores.score(y_true, answer, metric, classes=classes)
        if kind.needs == "scores":
            true, table, names = scores.check_scores(y_true, answer, classes)
            return cls(kind.name, value, true, np.column_stack([np.searchsorted(names, true), table]), names)
        if kind.needs == "numbers":
            numbers, pred = scores.check_numbers(y_true, answer)
            return cls(kind.name, value, numbers, np.column_stack([numbers, pred]), none)
        true, labels = scores.check_labels(y_true, answer)
        if kind.name == "accuracy":  # as the recall of the only class, "a clip": no table of clips by class
            columns = np.column_stack([np.zeros(len(true), np.int64), true != labels])
        else:
            columns = np.unique(np.stack([true, labels]), return_inverse=True)[1].reshape(2, -1).T
        return cls(kind.name, value, true, columns, none)

    def resample(self, columns: npt.NDArray[Any], index: Ints, weights: Floats) -> Floats:
        """Value (of d' the area) on each resample: `weights` [resamples, units], and the unit `index` of each row."""
        if scores.METRICS[self.metric].needs == "labels":
            codes = columns.astype(np.int64)
            return _from_counts(self.metric, codes[:, 0], codes[:, 1], index, weights)
        step = max(1, _CHUNK // len(columns))
        some = (part[:, index] for part in np.split(weights, range(step, len(weights), step)))
        if not len(self.names):
            true, pred = columns.T
            return np.concatenate([scores.weigh_numbers(self.metric, true, pred, part) for part in some])
        named = self.names[columns[:, 0].astype(np.int64)]
        return np.concatenate([_from_curves(self.metric, named, columns[:, 1:], self.names, part) for part in some])

    def worth(self) -> float | None:
        """Size of the test, as `bounds` takes it: clips in classes of equal size that a mean over classes varies as."""
        if scores.METRICS[self.metric].needs == "numbers":
            return None
        counts = np.unique(self.true, return_counts=True)[1]
        by_clip = self.metric in ("accuracy", "f1_weighted")
        return float(counts.sum() if by_clip else len(counts) ** 2 / np.sum(1 / counts))

    def bounds(self, value: float, resampled: Floats, units: Units, size: float | None, level: float) -> Interval:
        """Interval of a value; d' has no bounds of its own, but rises with the area, whose interval is carried over."""
        if not self.metric.startswith("dprime"):
            return bounds(value, resampled, units, size, level)
        area = bounds(scores.area_of_dprime(value), resampled, units, size, level)
        return Interval(scores.dprime_of_area(area.low), scores.dprime_of_area(area.high), area.by)


def _from_counts(metric: str, true: Ints, pred: Ints, index: Ints, weights: Floats) -> Floats:
    """Value of a metric of labels on each resample of units."""
    kinds = int(max(true.max(), pred.max())) + 1

    def count(codes: Ints, where: npt.NDArray[np.bool_]) -> Floats:
        flat = index[where] * kinds + codes[where]
        return weights @ np.bincount(flat, minlength=weights.shape[1] * kinds).reshape(-1, kinds)

    always = np.ones(len(true), dtype=bool)
    hits, of_class = count(true, true == pred), count(true, always)
    if metric.startswith("f1"):
        either = of_class + count(pred, always)
        f1, share = 2 * hits / np.maximum(either, 1), of_class if metric == "f1_weighted" else either > 0
        return (f1 * share).sum(1) / share.sum(1)
    return (hits / np.maximum(of_class, 1)).sum(1) / (of_class > 0).sum(1)


def _from_curves(metric: str, true: Names, table: Floats, names: Names, weights: Floats) -> Floats:
    """Value of a metric of scores on each resample; of d' the area."""
    if metric == "equal_error_rate":
        return scores.weigh_equal_error_rates(true == names[1], table[:, 1], weights)
    problems = scores.split_into_pairs(true, table, names, pairwise=metric == "dprime_ovo")
    areas = np.stack([scores.weigh_areas(t[clips], s[clips], weights[:, clips]) for t, s, clips in problems])
    defined = np.isfinite(areas)
    # A resample can lack a class; as in the point value, its area is then left out.
    with np.errstate(invalid="ignore"):
        return np.where(defined, areas, 0).sum(0) / defined.sum(0)


@dataclass(frozen=True)
class RepeatedTest:
    """Values of clips that were tested in one or several splits, and which mean of them counts.

    The mean over *speakers* is of the accuracy of each speaker, averaged over splits (within-speaker protocols); that
    over *splits* of the accuracy of each split over its clips (all other protocols). Speakers are resampled, each with
    all its clips in all splits; below `MIN_SPEAKERS` of them clips, for the mean over speakers those of each speaker on
    their own. Splits are never resampled: they share clips, so that more of them do not make a test set larger.
    """

    values: Floats  # [rows], one a tested clip and split: 1 if it was right, or a difference of two such
    clips: Names  # [rows], as speakers and splits
    speakers: Names
    splits: Names
    over: str  # what counts equally: "speakers" or "splits"

    def __post_init__(self) -> None:
        for name in ("clips", "speakers", "splits"):
            column = np.asarray(getattr(self, name), dtype=str)
            if column.shape != self.values.shape or not len(column):
                raise BadParameter(f"give one of {name} a value; got {column.shape} for {self.values.shape}.")
            object.__setattr__(self, name, column)

    def mean(self) -> float:
        """Mean over all splits."""
        rows = pd.DataFrame({"speaker": self.speakers, "split": self.splits, "value": self.values})
        cells = rows.groupby(["speaker", "split"] if self.over == "speakers" else ["split"])["value"].mean()
        return float(cells.groupby(level=0).mean().mean())

    def interval(self, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
        """Confidence interval of a mean in [0, 1], by `bounds`, the number of *different* clips as its size."""
        check_level(level, resamples)
        resampled, units = self.resample(resamples, seed)
        return bounds(self.mean(), resampled, units, 1 / float(np.sum(self.clip_means()[1] ** 2)), level)

    def resample(self, resamples: int, seed: int) -> tuple[Floats, Units]:
        """Mean on each resample, and what was resampled."""
        units = speaker_units(self.speakers, len(self.values))
        names, speaker = np.unique(self.speakers, return_inverse=True)
        index, owner = speaker, np.arange(len(names))
        if units is None:
            _, first, index = np.unique(self.clips, return_index=True, return_inverse=True)
            owner = speaker[first]
            units = Units("clip", np.arange(len(first)), np.full(len(first), 1 / len(first)), len(first))
        split = np.unique(self.splits, return_inverse=True)[1]
        flat, shape = split * len(owner) + index, (int(split.max()) + 1, len(owner))
        values, counts = (np.bincount(flat, given, math.prod(shape)).reshape(shape).astype(np.float64)
                          for given in (self.values, None))
        if self.over == "splits":
            weights = units.weights(resamples, seed)
            return _mean_of_tested(weights @ values.T, weights @ counts.T), units
        if units.by == "speaker":
            each = _mean_of_tested(values.T, counts.T)
            return units.weights(resamples, seed) @ each / units.draws, units
        rng, means = np.random.default_rng(seed), []
        for number in np.unique(owner):
            mine = owner == number
            weights = rng.multinomial(mine.sum(), np.full(mine.sum(), 1 / mine.sum()), size=resamples).astype(float)
            means.append(_mean_of_tested(weights @ values[:, mine].T, weights @ counts[:, mine].T))
        return np.asarray(np.mean(means, axis=0), dtype=np.float64), units

    def clip_means(self) -> tuple[Floats, Floats]:
        """Mean value of each different clip, and its share in the mean if all were tested in equally many splits."""
        _, first, index = np.unique(self.clips, return_index=True, return_inverse=True)
        means = np.bincount(index, self.values) / np.bincount(index)
        if self.over == "splits":
            return means, np.full(len(first), 1 / len(first))
        names, speaker = np.unique(self.speakers[first], return_inverse=True)
        return means, 1 / (np.bincount(speaker)[speaker] * len(names))


def _mean_of_tested(values: Floats, counts: Floats) -> Floats:
    """Mean over the splits (last axis) in which anything was tested."""
    tested = counts > 0
    with np.errstate(invalid="ignore"):
        return np.where(tested, values / np.maximum(counts, 1), 0).sum(-1) / tested.sum(-1)


def scores_of_splits(rows: pd.DataFrame) -> pd.DataFrame:
    """Score of each split that was drawn anew, with its own interval, from rows of protocols; the newest run counts."""
    columns = ["task", "corpus_kind", "embedding", "split_number", "value", "low", "high"]
    single = rows["key"].isin(_over_all_splits(rows)["key"]) & (rows["split_number"] != "") & (rows["speaker"] == "")
    chosen = rows[single & rows["selected"] & rows["value"].notna()]
    return chosen.drop_duplicates(["key", *columns[:4]])[columns].reset_index(drop=True)


def spread_over_splits(rows: pd.DataFrame) -> pd.DataFrame:
    """How far a score moves with the split, beside what the interval of a single split allows.

    A single split's interval speaks of other test speakers; the scores of many splits also move with who was trained
    on. If they spread more than the intervals say (ratio above 1), a difference between two numbers from two splits is
    worth less than their intervals claim. The spread describes; it is no standard error of the mean.

    One row a task and embedding, columns `SPREADS`: splits (how many), value (mean over them) with low and high, lowest
    and highest (of single splits), spread (standard deviation), standard_error (what intervals of single splits say it
    is), ratio (of the two) and held (share of single splits whose interval holds the mean).
    """
    each, spreads = scores_of_splits(rows), []
    for row in _over_all_splits(rows).to_dict("records"):
        part = each[(each["task"] == row["task"]) & (each["embedding"] == row["embedding"])]
        error = float((part["high"] - part["low"]).mean()) / (2 * quantiles(2, LEVEL)[0])
        spread, inside = float(part["value"].std()), part["low"].le(row["value"]) & part["high"].ge(row["value"])
        spreads.append({name: row[name] for name in ("task", "corpus_kind", "embedding", "value", "low", "high")} | {
            "splits": len(part), "lowest": part["value"].min(), "highest": part["value"].max(), "spread": spread,
            "standard_error": error, "ratio": spread / error if error else float("nan"), "held": inside.mean()})
    return pd.DataFrame(spreads, columns=SPREADS)


def _over_all_splits(rows: pd.DataFrame) -> pd.DataFrame:
    """Newest rows over all splits that were drawn anew."""
    whole = (rows["split_number"] == "") & (rows["speaker"] == "") & (rows["protocol"] == _REPEATED)
    chosen = rows[whole & rows["selected"] & rows["value"].notna()]
    first = chosen.drop_duplicates(["key", "task", "embedding", "shots"])  # the metric of the choice, none beside it
    return keep_newest(first, ["task", "embedding", "shots"])


def recall_by_class(rows: pd.DataFrame, predictions: pd.DataFrame, task: str | None = None,
                    embedding: str | None = None) -> pd.DataFrame:
    """Recall of each class: which labels an embedding gets right, and how sure one can be of that.

    The interval is that of an accuracy on the clips of the class, over its speakers where five or more have it; it is
    not widened for classes being several. One row a task, embedding and class, the highest recall first, columns
    `RECALLS`: taken_for is the label most often answered instead (empty if none was), how many times.
    """
    recalls: list[dict[str, Any]] = []
    for row in select_scores(rows).to_dict("records"):
        if task in (None, row["task"]) and embedding in (None, row["embedding"]):
            classes: list[dict[str, Any]] = []
            for label, part in predictions[predictions["key"] == row["key"]].groupby("y_true"):
                right, speaker = part["y_true"] == part["y_pred"], part["speaker"]
                wrong = part.loc[~right, "y_pred"].value_counts().sort_index()
                wrong = wrong.sort_values(ascending=False, kind="stable")
                taken_for, times = (str(wrong.index[0]), int(wrong.iloc[0])) if len(wrong) else ("", 0)
                classes.append({"task": row["task"], "embedding": row["embedding"], "label": str(label),
                                "n": len(part), "n_speakers": speaker[speaker != ""].nunique(),
                                "recall": float(right.mean()), "taken_for": taken_for, "times": times,
                                **interval(part["y_true"], part["y_pred"], speaker)._asdict()})
            recalls += sorted(classes, key=lambda one: (-one["recall"], one["label"]))
    return pd.DataFrame(recalls, columns=RECALLS)
