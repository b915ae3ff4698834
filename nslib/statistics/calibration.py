"""Is the chosen probe as often right as it says? Reliability, calibration error and Brier score, with intervals.

Answers have one row a clip: task, embedding, probe, speaker, y_true, y_pred, confidence (probability of the answered
class) and brier (of this clip, over all classes; G. Brier, Mon. Weather Rev. 78(1), 1950). The *gap* of some clips is
their mean confidence minus the share that was right: above zero the probe is too sure of itself. Bins hold as many
clips each (K. Nguyen and B. O'Connor, EMNLP 2015), as far as equal confidences stay together. The expected calibration
error (ECE; C. Guo et al., ICML 2017) is the mean size of the gap, bins counting by their clips. It is never below zero,
so that chance adds to it: ten bins of 16 clips show 0.07 where nothing is wrong. The gap is the sharper number: its
interval may leave out zero where that of the error does not. Speakers are resampled where there are five or more, else
clips; bins stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nslib.statistics import intervals
from nslib.statistics.intervals import LEVEL, RESAMPLES, Interval, Units, UnitSums
from nslib.statistics.scores import Floats

__all__ = ["assign_bins", "calibration_errors", "reliability_table"]

BINS = 10
RELIABILITY = ["task", "embedding", "probe", "bin", "n", "confidence", "accuracy", "low", "high", "by"]
CALIBRATION_ERRORS = ["task", "embedding", "probe", "n", "accuracy", "confidence", "gap", "gap_low", "gap_high", "ece",
                      "ece_low", "ece_high", "by_chance", "brier", "brier_low", "brier_high", "by"]

_CHUNK = 2_000_000  # drawn answers (draws x clips) that are held at a time
_PROBE = ["task", "embedding", "probe"]


def reliability_table(answers: pd.DataFrame, bins: int = BINS) -> pd.DataFrame:
    """Tabulate how often each probe was right, by how sure it was, in at most so many bins of equal counts.

    One row a task, embedding and bin, the least sure first, columns `RELIABILITY`: bin counts from 1, n clips, by is
    what was resampled.
    """
    table = []
    for names, part in _split_by_probe(answers):
        for number, clips in part.groupby(assign_bins(part["confidence"], bins)):
            bounds = intervals.interval(clips["y_true"], clips["y_pred"], clips["speaker"])
            table.append({**names, "bin": number + 1, "n": len(clips), "confidence": float(clips["confidence"].mean()),
                          "accuracy": float((clips["y_true"] == clips["y_pred"]).mean()), **bounds._asdict()})
    return pd.DataFrame(table, columns=RELIABILITY)


def calibration_errors(answers: pd.DataFrame, bins: int = BINS, *, seed: int = 0) -> pd.DataFrame:
    """Calibration of each probe in numbers, with 95 % intervals; arguments as of `reliability_table`.

    One row a task and embedding, columns `CALIBRATION_ERRORS`: accuracy, confidence (mean), gap (their difference), ece
    (0 to 1), brier (over all classes, 0 to 2), each with low and high; by_chance (the ece that such a test set would
    show of a perfect probe), by (what was resampled).
    """
    table = [names | _errors(part, bins, seed) for names, part in _split_by_probe(answers)]
    return pd.DataFrame(table, columns=CALIBRATION_ERRORS)


def assign_bins(confidence: npt.ArrayLike, bins: int = BINS) -> npt.NDArray[np.int64]:
    """Cut confidences [clips] into at most so many bins of equal counts, 0 the least sure; equal ones share a bin."""
    sure = np.asarray(confidence, dtype=np.float64)
    ordered = np.sort(sure)
    starts = ordered[np.arange(1, bins) * len(sure) // bins]
    return np.unique(np.searchsorted(np.unique(starts), sure, side="right"), return_inverse=True)[1].astype(np.int64)


def _split_by_probe(answers: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Task, embedding and probe with their answers."""
    for names, part in answers.groupby(_PROBE, sort=False):
        yield dict(zip(_PROBE, names, strict=True)), part


def _errors(part: pd.DataFrame, bins: int, seed: int) -> dict[str, Any]:
    """Row of `calibration_errors` of one probe."""
    right = (part["y_true"] == part["y_pred"]).to_numpy(np.float64)
    sure, brier = (part[name].to_numpy(np.float64) for name in ("confidence", "brier"))
    gap, place = sure - right, assign_bins(sure, bins)
    in_bins = gap[:, None] * (place[:, None] == np.arange(place.max() + 1))
    sums = UnitSums.of(np.column_stack([gap, brier, in_bins]), part["speaker"])
    mean, resampled = sums.mean(), sums.resample(RESAMPLES, seed)
    gaps = _bounds_within((-1, 1), mean[0], resampled[:, 0], sums.units)
    briers = _bounds_within((0, 2), mean[1], resampled[:, 1], sums.units)
    ece, low, high, by_chance = _ece(mean[2:], resampled[:, 2:], _draw_perfect(sure, place, seed), sums.units)
    return {"n": len(part), "accuracy": right.mean(), "confidence": sure.mean(),
            "gap": mean[0], "gap_low": gaps.low, "gap_high": gaps.high, "ece": ece, "ece_low": low, "ece_high": high,
            "by_chance": by_chance, "brier": mean[1], "brier_low": briers.low, "brier_high": briers.high,
            "by": sums.units.by}


def _bounds_within(span: tuple[float, float], value: float, resampled: Floats, units: Units) -> Interval:
    """Interval of a mean that lies in `span`; infinitely many clips leave the resamples as its only doubt."""
    low, size = span[0], span[1] - span[0]
    share = float(np.clip((value - low) / size, 0, 1))
    inside = intervals.bounds(share, (resampled - low) / size, units, np.inf)
    return Interval(low + size * inside.low, low + size * inside.high, inside.by)


def _ece(gaps: Floats, resampled: Floats, perfect: Floats, units: Units) -> tuple[float, float, float, float]:
    """Expected calibration error with low and high, and what chance makes of a perfect probe."""
    # Percentiles of the bootstrap add chance a second time: in simulations of a perfect probe they never held the
    # truth. So the interval reaches down to zero unless the error is larger than 95 % of what chance makes, and else to
    # the lower of the percentile and its mirror image (the basic bootstrap). What chance makes is drawn in two ways, of
    # which the larger counts: resampled gaps around the measured ones, in which clips of a speaker stay together, and
    # answers that are right as often as they are sure. ``benchmarks/intervals.py`` says how often it holds.
    value, each = float(np.abs(gaps).sum()), np.abs(resampled).sum(axis=1)
    z, t, inflation = intervals.quantiles(units.draws, LEVEL)
    low, high = intervals.percentiles(each, t, inflation)
    # The error differs from the true one by no more than this: |sum |a| - sum |b|| <= sum |a - b|.
    off = np.abs(resampled - gaps).sum(axis=1) * np.sqrt(inflation)
    if value <= max(float(np.quantile(off, LEVEL)) * t / z, float(np.quantile(perfect, LEVEL))):
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
