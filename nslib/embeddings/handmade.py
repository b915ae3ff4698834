"""Hand-made features: statistics over time of log-mel bands and of MFCC.

References: Davis and Mermelstein, IEEE TASSP 28 (1980), for MFCC; the HTK Book for the regression
formula of the differences.

Conventions
-----------
Extraction averages over time, and a mean alone would forget all dynamics. So these embeddings
return one frame a clip, which holds the mean and the standard deviation (of the population) over
the frames of the clip's true length; the padding of a batch is never looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings import patches, threads
from nslib.embeddings.base import EmbedFunction, FloatArray, IntArray
from nslib.embeddings.cards import Card
from nslib.frontend import TRILL, log_mel

COEFFICIENTS = 20
DELTA_REACH = 2

Features = npt.NDArray[np.floating[Any]]


def load(card: Card) -> EmbedFunction:
    """Give the embed function of a card.

    Parameters
    ----------
    card : Card
        Named ``logmel`` or ``mfcc``.

    Returns
    -------
    callable
    """
    return _statistics({"logmel": logmel, "mfcc": mfcc}[card.name])


def logmel(wave: FloatArray) -> Features:
    """Log-mel bands of TRILL's front end.

    Parameters
    ----------
    wave : float32 [samples]
        At least 400.

    Returns
    -------
    float64 [frames, 64]
    """
    return log_mel(wave, TRILL, dtype=np.float64)


def mfcc(wave: FloatArray) -> Features:
    """MFCC 0 to 19 of TRILL's log-mel bands, with first and second differences.

    Parameters
    ----------
    wave : float32 [samples]
        At least 400.

    Returns
    -------
    float64 [frames, 60]
    """
    from scipy import fft

    cepstra = fft.dct(logmel(wave), type=2, norm="ortho", axis=-1)[:, :COEFFICIENTS]
    first = delta(cepstra)
    return np.concatenate([cepstra, first, delta(first)], axis=1)


def delta(features: Features) -> Features:
    """Slope over time: the least-squares line through each frame and its neighbours.

    Parameters
    ----------
    features : float64 [frames, dim]

    Returns
    -------
    float64 [frames, dim]
        Change a frame; the first and the last frame are repeated beyond the ends.
    """
    steps = range(1, DELTA_REACH + 1)
    padded = np.pad(features, ((DELTA_REACH, DELTA_REACH), (0, 0)), mode="edge")
    total = np.zeros_like(features)
    for k in steps:
        later = padded[DELTA_REACH + k:DELTA_REACH + k + len(features)]
        total += k * (later - padded[DELTA_REACH - k:DELTA_REACH - k + len(features)])
    return total / (2 * sum(k * k for k in steps))


def _statistics(features: Callable[[FloatArray], Features]) -> EmbedFunction:
    def row(wave: FloatArray) -> Features:
        found = features(wave)
        return np.concatenate([found.mean(0), found.std(0)])

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        rows = threads.over(row, [wave[:length] for wave, length in zip(waves, lengths, strict=True)])
        return np.stack(rows)[:, None].astype(np.float32), np.ones(len(rows), np.int64)

    return patches.mark_ragged(embed)
