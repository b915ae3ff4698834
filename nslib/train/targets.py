"""Targets of a distillation: drawn with their windows, brought to one scale, and compared with what was predicted.

Conventions
-----------
Windows come from `data.Pairs`; both of a pair are simply windows. Targets are computed as they are drawn, so that
the same windows changed differently have targets of their own, and nothing has to be stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib import bootstrap
from nslib.errors import BadParameter
from nslib.train.augment import WINDOW_SAMPLES, features
from nslib.train.data import Pairs
from nslib.train.teachers import Teacher

_AHEAD = 2

Array = npt.NDArray[Any]
Batch = tuple[Any, Any, Array]


def batches(pairs: Pairs, teacher: Teacher, first: int, last: int, *, augment: bool = True) -> Iterator[Batch]:
    """Draw windows and what the teacher says of them.

    Parameters
    ----------
    pairs : Pairs
    teacher : Teacher
    first, last : int
        Steps ``first`` to ``last - 1``.
    augment : bool
        Whether the windows are changed as the settings say.

    Yields
    ------
    log_mel : float32 tensor [windows, 96, 64]
    targets : float32 tensor [windows, dim]
    pieces : int64 array [windows]
        Where each window is from.
    """
    import tensorflow as tf

    count = pairs.settings.batch

    def batch(step: Any) -> tuple[Any, Any, Any]:
        windows, pieces, _ = tf.numpy_function(lambda n: pairs.draw(int(n)), [step], (tf.int16, tf.int64, tf.int64))
        windows = tf.ensure_shape(windows, (count, 2, WINDOW_SAMPLES))
        patches = features(windows, pairs.settings if augment else None, (pairs.seed, step))
        patches = tf.reshape(patches, (2 * count, *patches.shape[2:]))
        heard = tf.reshape(tf.cast(windows, tf.float32) / 32767.0, (2 * count, WINDOW_SAMPLES))
        seen = patches if teacher.sees == "patches" else heard
        said = tf.ensure_shape(tf.numpy_function(teacher.targets, [seen], tf.float32), (2 * count, teacher.dim))
        return patches, said, tf.repeat(pieces, 2)

    rows = tf.data.Dataset.range(first, last).map(batch, _AHEAD, deterministic=True).prefetch(_AHEAD)
    for patches, said, pieces in rows:
        yield patches, said, pieces.numpy()


def standard(targets: Array, scale: str) -> tuple[Array, Array, str]:
    """Centre and scale of targets.

    Parameters
    ----------
    targets : float32 [windows, dim]
    scale : {"all", "dimension", "none"}
        As `DistillSettings.scale`.

    Returns
    -------
    centre, scale : float32 [dim]
    note : str
        How many dimensions never vary, if any.

    Raises
    ------
    BadParameter
        If no dimension varies, or numbers are not finite.
    """
    if not np.isfinite(targets).all():
        raise BadParameter("the teacher gives numbers that are not finite (NaN or infinity).")
    spread = targets.std(0, dtype=np.float64)
    usual = float(np.sqrt(np.mean(spread**2)))
    flat = spread <= 1e-6 * max(usual, float(np.abs(targets).max()))
    if flat.all():
        raise BadParameter("the teacher says the same of every window, so there is nothing to learn from it.")
    note = f"{int(flat.sum())} of {len(flat)} dimensions of the targets never vary." if flat.any() else ""
    if scale == "none":
        return np.zeros_like(targets[0]), np.ones_like(targets[0]), note
    by = np.where(flat, usual, spread) if scale == "dimension" else np.full(len(spread), usual)
    return targets.mean(0, dtype=np.float64).astype(np.float32), by.astype(np.float32), note


def explained(errors: Array, deviations: Array, pieces: Array, seed: int = 0) -> tuple[float, float, float]:
    """Share of variance explained, with an interval over clips.

    Parameters
    ----------
    errors, deviations : float [windows]
        Squared distance of the target from what was predicted, and from the mean target.
    pieces : int [windows]
        Clip of each; windows of a clip are resampled together.
    seed : int
        Of the resampling.

    Returns
    -------
    share, low, high : float
        Percentiles of 1,000 resamples; NaN of a single clip.
    """
    names, index = np.unique(pieces, return_inverse=True)
    wrong, all_of_it = (np.bincount(index, values) for values in (errors, deviations))
    share = 1 - wrong.sum() / all_of_it.sum()
    if len(names) < 2:
        return float(share), math.nan, math.nan
    units = bootstrap.Units("clip", index, np.full(len(names), 1 / len(names)), len(names))
    weights = units.weights(bootstrap.RESAMPLES, np.random.default_rng(seed))
    tail = (1 - bootstrap.LEVEL) / 2
    low, high = np.quantile(1 - (weights @ wrong) / (weights @ all_of_it), (tail, 1 - tail))
    return float(share), float(low), float(high)
