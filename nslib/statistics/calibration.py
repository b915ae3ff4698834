"""Is the chosen probe as often right as it says? Reliability, calibration error and Brier score, with intervals.

References
----------
C. Guo et al., *On calibration of modern neural networks*, ICML 2017 (expected calibration error, of the answered
class). K. Nguyen and B. O'Connor, *Posterior calibration and exploratory analysis for natural language processing
models*, EMNLP 2015 (bins of equal counts). G. Brier, *Verification of forecasts expressed in terms of probability*,
Mon. Weather Rev. 78(1), 1950.

Conventions
-----------
Answers have one row a clip: task, embedding, probe, speaker, y_true, y_pred, confidence (probability of the answered
class) and brier (of this clip, over all classes). The *gap* of some clips is their mean confidence minus the share that
was right: above zero the probe is too sure of itself. Bins hold as many clips each, as far as equal confidences stay
together. Speakers are resampled where there are five or more, else clips; bins stay as they are.

The expected calibration error (ECE) is the mean size of the gap, bins counting by their clips. It is never below
zero, so that chance adds to it: ten bins of 16 clips show 0.07 where nothing is wrong. Percentiles of the bootstrap
add chance a second time: in simulations of a perfect probe they never held the truth, zero. Here the interval reaches
down to zero unless the error is larger than 95 % of what chance makes, and else to the lower of the percentile and
its mirror image (the basic bootstrap). What chance makes is drawn in two ways, of which the larger counts: resampled
gaps around the measured ones, in which clips of a speaker stay together, and answers that are right as often as they
are sure. The tests and ``benchmarks/coverage.py`` say how often it holds. The gap is the sharper number: its interval
may leave out zero where that of the error does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib.errors import BadParameter
from nslib.statistics.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    Units,
    UnitSums,
    bounds,
    check_level,
    interval,
    percentiles,
    quantiles,
)
from nslib.statistics.scores import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BINS", "CALIBRATION_ERRORS", "RELIABILITY", "assign_bins", "calibration_errors", "reliability_table"]

BINS = 10
RELIABILITY = ["task", "embedding", "probe", "bin", "n", "confidence", "accuracy", "low", "high", "by"]
CALIBRATION_ERRORS = ["task", "embedding", "probe", "n", "accuracy", "confidence", "gap", "gap_low", "gap_high", "ece",
                      "ece_low", "ece_high", "by_chance", "brier", "brier_low", "brier_high", "by"]

_CHUNK = 2_000_000  # drawn answers (draws x clips) that are held at a time
_PROBE = ["task", "embedding", "probe"]


def reliability_table(answers: pd.DataFrame, bins: int = BINS, *, level: float = LEVEL) -> pd.DataFrame:
    """Reliability: how often the probe was right, by how sure it was.

    Parameters
    ----------
    answers : DataFrame
        As in the module's conventions, of one or more tasks and embeddings.
    bins : int
        Bins of equal counts, at most; 2 or more.
    level : float
        Confidence level of the intervals, in (0, 1).

    Returns
    -------
    DataFrame
        Columns `RELIABILITY`, one row a task, embedding and bin, the least sure first: bin (from 1), n (clips),
        confidence (mean), accuracy with low and high, by (what was resampled).

    Raises
    ------
    BadParameter
        If `bins` or `level` is out of range.
    """
    import pandas as pd

    _check(bins, level)
    table = [dict(zip(_PROBE, names, strict=True)) | row for names, part in answers.groupby(_PROBE, sort=False)
             for row in _reliability(part, bins, level)]
    return pd.DataFrame(table, columns=RELIABILITY)


def calibration_errors(answers: pd.DataFrame, bins: int = BINS, *, level: float = LEVEL, seed: int = 0) -> pd.DataFrame:
    """Calibration of each probe in numbers.

    Parameters
    ----------
    answers, bins, level
        As for `reliability_table`.
    seed : int
        Of the resamples.

    Returns
    -------
    DataFrame
        Columns `CALIBRATION_ERRORS`, one row a task and embedding: n (clips), accuracy, confidence (mean), gap (their
        difference), ece (expected calibration error, 0 to 1), brier (Brier score over all classes, 0 to 2), each with
        low and high; by_chance (the ece that such a test set would show of a perfect probe), by (what was resampled).

    Raises
    ------
    BadParameter
        If `bins` or `level` is out of range.
    """
    import pandas as pd

    _check(bins, level)
    table = [dict(zip(_PROBE, names, strict=True)) | _errors(part, bins, level, seed)
             for names, part in answers.groupby(_PROBE, sort=False)]
    return pd.DataFrame(table, columns=CALIBRATION_ERRORS)


def assign_bins(confidence: npt.ArrayLike, bins: int = BINS) -> npt.NDArray[np.int64]:
    """Cut confidences [clips] into at most so many bins of equal counts, 0 the least sure; equal ones share a bin."""
    sure = np.asarray(confidence, dtype=np.float64)
    ordered = np.sort(sure)
    starts = ordered[np.arange(1, bins) * len(sure) // bins]
    return np.unique(np.searchsorted(np.unique(starts), sure, side="right"), return_inverse=True)[1].astype(np.int64)


def _check(bins: int, level: float) -> None:
    """Refuse settings out of range."""
    check_level(level)
    if bins < 2:
        raise BadParameter(f"bins {bins!r} must be 2 or more.")


def _reliability(part: pd.DataFrame, bins: int, level: float) -> list[dict[str, Any]]:
    """Rows of `reliability_table` of one probe."""
    rows, place = [], assign_bins(part["confidence"], bins)
    for number in range(place.max() + 1):
        clips = part[place == number]
        found = interval(clips["y_true"], clips["y_pred"], clips["speaker"], level=level)
        rows.append({"bin": number + 1, "n": len(clips), "confidence": float(clips["confidence"].mean()),
                     "accuracy": float((clips["y_true"] == clips["y_pred"]).mean()), **found._asdict()})
    return rows


def _errors(part: pd.DataFrame, bins: int, level: float, seed: int) -> dict[str, Any]:
    """Row of `calibration_errors` of one probe."""
    right = (part["y_true"] == part["y_pred"]).to_numpy(np.float64)
    sure, brier = (part[name].to_numpy(np.float64) for name in ("confidence", "brier"))
    gap = sure - right
    place = assign_bins(sure, bins)
    in_bins = gap[:, None] * (place[:, None] == np.arange(place.max() + 1))
    sums = UnitSums.of(np.column_stack([gap, brier, in_bins]), part["speaker"])
    mean, resampled = sums.mean(), sums.resample(RESAMPLES, seed)
    gaps = _bounds_within(mean[0], resampled[:, 0], sums.units, level, (-1, 1))
    briers = _bounds_within(mean[1], resampled[:, 1], sums.units, level, (0, 2))
    ece, low, high, by_chance = _ece(mean[2:], resampled[:, 2:], _draw_perfect(sure, place, seed), sums.units, level)
    return {"n": len(part), "accuracy": right.mean(), "confidence": sure.mean(),
            "gap": mean[0], "gap_low": gaps.low, "gap_high": gaps.high, "ece": ece, "ece_low": low, "ece_high": high,
            "by_chance": by_chance, "brier": mean[1], "brier_low": briers.low, "brier_high": briers.high,
            "by": sums.units.by}


def _bounds_within(value: float, resampled: Floats, units: Units, level: float,
                   span: tuple[float, float]) -> Interval:
    """Interval of a mean that lies in `span`; infinitely many clips leave the resamples as its only doubt."""
    low, size = span[0], span[1] - span[0]
    share = float(np.clip((value - low) / size, 0, 1))
    inside = bounds(share, (resampled - low) / size, units, np.inf, level)
    return Interval(low + size * inside.low, low + size * inside.high, inside.by)


def _ece(gaps: Floats, resampled: Floats, perfect: Floats, units: Units,
         level: float) -> tuple[float, float, float, float]:
    """Expected calibration error with low and high, and what chance makes of a perfect probe."""
    value, each = float(np.abs(gaps).sum()), np.abs(resampled).sum(axis=1)
    z, t, inflation = quantiles(units.draws, level)
    low, high = percentiles(each, t, inflation)
    # The error differs from the true one by no more than this: |sum |a| - sum |b|| <= sum |a - b|.
    off = np.abs(resampled - gaps).sum(axis=1) * np.sqrt(inflation)
    if value <= max(float(np.quantile(off, level)) * t / z, float(np.quantile(perfect, level))):
        low = 0.0
    chance = max(float(off.mean()), float(perfect.mean()))
    return value, max(min(low, 2 * value - high), 0.0), min(max(high, value), 1.0), chance


def _draw_perfect(sure: Floats, place: npt.NDArray[np.int64], seed: int) -> Floats:
    """Calibration errors that a perfect probe shows on so many independent clips, drawn `RESAMPLES` times."""
    rng, order = np.random.default_rng(seed), np.argsort(sure, kind="stable")  # by bins, too
    starts, ordered = np.flatnonzero(np.diff(place[order], prepend=-1)), sure[order]
    step, errors = max(1, _CHUNK // len(sure)), []
    for begin in range(0, RESAMPLES, step):
        gap = ordered - (rng.random((min(step, RESAMPLES - begin), len(sure))) < ordered)
        errors.append(np.abs(np.add.reduceat(gap, starts, axis=1)).sum(axis=1) / len(sure))
    return np.asarray(np.concatenate(errors), dtype=np.float64)
