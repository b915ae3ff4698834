"""Run a network on the patches of many clips at once.

A batch of clips has as many patches as the clips are long. They are put into one row, sent through
the network in pieces of bounded size, and dealt out again, so that short clips cost no padding and
long ones no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings import threads
from nslib.embeddings.base import EmbedFunction, FloatArray, IntArray

Network = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

AT_ONCE = 64


def embedder(cut: Callable[[FloatArray], npt.NDArray[Any]], network: Network,
             at_once: int = AT_ONCE) -> EmbedFunction:
    """Make an embed function of a front end and a network.

    Parameters
    ----------
    cut : callable
        One clip, float32 [samples], to its patches, float32 [patches, ...]; at least one.
    network : callable
        float32 [patches, ...] to float32 [patches, dim].
    at_once : int
        Patches in one call of `network`.

    Returns
    -------
    callable
        It looks at a clip's true length only, so padding and company change nothing.
    """

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        cuts = threads.over(cut, [wave[:length] for wave, length in zip(waves, lengths, strict=True)])
        everything = np.concatenate(cuts)
        pieces = [network(everything[i:i + at_once]) for i in range(0, len(everything), at_once)]
        return deal(np.concatenate(pieces), [len(c) for c in cuts])

    return embed


def deal(rows: npt.NDArray[Any], counts: Sequence[int]) -> tuple[FloatArray, IntArray]:
    """Give each clip its rows back.

    Parameters
    ----------
    rows : array [sum of counts, dim]
    counts : sequence of int

    Returns
    -------
    frames : float32 [clips, frames, dim]
        Zeros after a clip's own.
    counts : int64 [clips]
    """
    frames = np.zeros((len(counts), max(counts), rows.shape[1]), np.float32)
    start = 0
    for row, count in zip(frames, counts, strict=True):
        row[:count] = rows[start:start + count]
        start += count
    return frames, np.asarray(counts, dtype=np.int64)
