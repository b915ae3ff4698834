"""Accuracy over several splits of the same clips, its interval, and paired differences.

Conventions
-----------
A table of *answers* has one row a tested clip and split: ``split_number, speaker, clip_id, y_true,
y_pred``. Two means are in use:

- of *speakers*: accuracy of each speaker, averaged over the splits, then over speakers with equal
  weight (within-speaker protocols);
- of *splits*: accuracy of each split over its clips, averaged over splits (all other protocols).

What is resampled are speakers, each with all its clips in all splits, where there are at least
`nslib.bootstrap.MIN_SPEAKERS`; below that, the clips, for the mean of speakers those of each speaker
on their own. Splits are never resampled: they share clips, so that more of them do not make a
test set larger. An interval says how much a score would move with other test speakers (or clips), for
probes as they were trained; how much it moves from split to split is stated beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nslib import bootstrap
from nslib.bootstrap import LEVEL, RESAMPLES, Difference, Interval, Units
from nslib.errors import BadParameter

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_PAIR = ["split_number", "clip_id"]


@dataclass(frozen=True)
class _Sums:
    """Sum and number of values of each split and unit; of each unit its speaker, for clips."""

    values: Floats
    counts: Floats
    speaker: Ints
    units: Units


def accuracy(answers: pd.DataFrame, *, of_speakers: bool) -> float:
    """Accuracy over all splits.

    Parameters
    ----------
    answers : DataFrame
        As in the conventions.
    of_speakers : bool
        Which of the two means.

    Returns
    -------
    float
        In [0, 1].
    """
    return _mean(answers, _right(answers), of_speakers)


def interval(answers: pd.DataFrame, *, of_speakers: bool, level: float = LEVEL, resamples: int = RESAMPLES,
             seed: int = 0) -> Interval:
    """Confidence interval of `accuracy`.

    Parameters
    ----------
    answers, of_speakers
        As for `accuracy`.
    level, resamples, seed
        As in `nslib.metrics.interval`.

    Returns
    -------
    Interval
        Made by `nslib.bootstrap.bounds`, with the number of *different* clips as the size of the test.
    """
    bootstrap.refuse_bad_level(level, resamples)
    right = _right(answers)
    sums = _sums(answers, right)
    resampled = _resampled(sums, of_speakers, resamples, seed)
    size = 1 / float(np.sum(_clip_weights(answers, of_speakers) ** 2))
    return bootstrap.bounds(_mean(answers, right, of_speakers), resampled, sums.units, size, level)


def difference(first: pd.DataFrame, second: pd.DataFrame, *, of_speakers: bool, level: float = LEVEL,
               resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """Difference in accuracy between two sets of answers to the same clips in the same splits.

    Parameters
    ----------
    first, second : DataFrame
        As in the conventions, in any order of rows.
    of_speakers, level, resamples, seed
        As for `interval`.

    Returns
    -------
    Difference
        First minus second.

    Raises
    ------
    BadParameter
        If a clip was answered in one of the two only.

    Notes
    -----
    The bootstrap of the differences, corrected for few speakers as `nslib.bootstrap.bounds` does, and
    never inside the interval of Bonett and Price for differences of clips, one win and one loss added
    (an answer that is right in some splits counts in part).
    """
    bootstrap.refuse_bad_level(level, resamples)
    both = first.merge(second[[*_PAIR, "y_pred"]], on=_PAIR, suffixes=("", "_second"))
    if not len(both) == len(first) == len(second) or not len(both):
        raise BadParameter(f"answers must be paired clip by clip: {len(first)} and {len(second)} answers have "
                           f"{len(both)} clips and splits in common.")
    delta = _right(both) - (both["y_true"] == both["y_pred_second"]).to_numpy(np.float64)
    value, sums = _mean(both, delta, of_speakers), _sums(both, delta)
    resampled = _resampled(sums, of_speakers, resamples, seed)
    # bounds() is for scores in [0, 1]; infinitely many clips leave the speakers as its only source of doubt
    found = bootstrap.bounds((value + 1) / 2, (resampled + 1) / 2, sums.units, np.inf, level)
    low, high = _bonett_price(both, delta, of_speakers, sums.units, level)
    return Difference(value, min(2 * found.low - 1, low), max(2 * found.high - 1, high), sums.units.by)


def _right(answers: pd.DataFrame) -> Floats:
    return (answers["y_true"] == answers["y_pred"]).to_numpy(np.float64)


def _mean(answers: pd.DataFrame, values: Floats, of_speakers: bool) -> float:
    outer, inner = ("speaker", "split_number") if of_speakers else ("split_number", "split_number")
    by_cell = answers.assign(_v=values).groupby(list(dict.fromkeys((outer, inner))))["_v"].mean()
    return float(by_cell.groupby(level=0).mean().mean())


def _sums(answers: pd.DataFrame, values: Floats) -> _Sums:
    units = bootstrap.speakers(answers["speaker"], len(answers))
    names, speaker = np.unique(answers["speaker"].to_numpy(str), return_inverse=True)
    index, owner = speaker, np.arange(len(names))
    if units is None:
        _, first, index = np.unique(answers["clip_id"].to_numpy(str), return_index=True, return_inverse=True)
        owner = speaker[first]
        units = Units("clip", np.arange(len(first)), np.full(len(first), 1 / len(first)), len(first))
    split = np.unique(answers["split_number"].to_numpy(str), return_inverse=True)[1]
    flat, shape = split * len(owner) + index, (split.max() + 1, len(owner))

    def table(weights: Floats | None) -> Floats:
        return np.bincount(flat, weights, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)

    return _Sums(table(values), table(None), owner, units)


def _resampled(sums: _Sums, of_speakers: bool, resamples: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    if not of_speakers:
        weights = sums.units.weights(resamples, rng)
        return _over_splits(weights @ sums.values.T, weights @ sums.counts.T)
    if sums.units.by == "speaker":
        each = _over_splits(sums.values.T, sums.counts.T)
        return sums.units.weights(resamples, rng) @ each / sums.units.draws
    means = []
    for speaker in np.unique(sums.speaker):
        own = sums.speaker == speaker
        weights = rng.multinomial(own.sum(), np.full(own.sum(), 1 / own.sum()), size=resamples).astype(np.float64)
        means.append(_over_splits(weights @ sums.values[:, own].T, weights @ sums.counts[:, own].T))
    return np.asarray(np.mean(means, axis=0), dtype=np.float64)


def _over_splits(values: Floats, counts: Floats) -> Floats:
    """Mean over the splits (last axis) in which anything was tested."""
    tested = counts > 0
    with np.errstate(invalid="ignore"):
        return np.where(tested, values / np.maximum(counts, 1), 0).sum(-1) / tested.sum(-1)


def _clip_weights(answers: pd.DataFrame, of_speakers: bool) -> Floats:
    """Share of each different clip in the mean, as if all were tested in equally many splits."""
    clips = answers.drop_duplicates("clip_id")
    if not of_speakers:
        return np.full(len(clips), 1 / len(clips))
    per_speaker = clips.groupby("speaker")["clip_id"].transform("size").to_numpy(np.float64)
    return 1 / (per_speaker * clips["speaker"].nunique())


def _bonett_price(both: pd.DataFrame, delta: Floats, of_speakers: bool, units: Units,
                  level: float) -> tuple[float, float]:
    from scipy import special

    z, t = float(special.ndtri((1 + level) / 2)), float(special.stdtrit(max(units.draws - 1, 1), (1 + level) / 2))
    clips = both.assign(_d=delta).groupby("clip_id", sort=False)["_d"].mean().to_numpy()
    weights = _clip_weights(both, of_speakers)
    n = (z / t) ** 2 / float(np.sum(weights**2))
    centre = n * float(weights @ clips) / (n + 2)
    spread = (n * float(weights @ clips**2) + 2) / (n + 2) - centre**2
    half = z * np.sqrt(max(spread, 0.0) / (n + 2))
    return max(centre - half, -1.0), min(centre + half, 1.0)
