"""The documented call of a published model as a frozen graph: the same numbers, up to twice as fast on a processor.

Only the output that is read is kept, and the weights become constants. The graph takes samples of any length, so it
is traced once. Whether it gives what the model gives is tried on noise when the model is loaded; where it
cannot be made, or gives something else, the model is called as it is, and that is said on stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings import graphs
from nslib.errors import NslibError

TOLERANCE = 1e-5
"""Of the largest number: what rounding may do, once scales are folded into the weights."""

LENGTHS = (16_000, 37_123)

Call = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def call(tensors: Callable[[Any], Any], rank: int, model: str) -> Call:
    """Freeze a call if that is safe.

    Parameters
    ----------
    tensors : callable
        Samples, an array or tensor of float32, to the output's tensor.
    rank : {1, 2}
        Of the samples: [samples] or [clips, samples].
    model : str
        Its name, for messages.

    Returns
    -------
    callable
        Array of samples to array; on the device that graphs are now put on.
    """
    plain = graphs.bound(lambda samples: np.asarray(tensors(samples)))
    try:
        frozen = graphs.bound(graphs.runner(graphs.freeze(tensors, [None] * rank)))
        _same(plain, frozen, rank)
    except Exception as error:  # a model is anybody's code; TensorFlow raises all sorts
        _say(model, error)
        return plain
    return frozen


def _same(plain: Call, frozen: Call, rank: int) -> None:
    for samples in LENGTHS:
        noise = np.random.default_rng(0).normal(0, 0.1, (2, samples)[2 - rank:]).astype(np.float32)
        before, after = plain(noise), frozen(noise)
        if before.shape != after.shape or before.dtype != after.dtype:
            raise NslibError(f"it gives {after.dtype}{list(after.shape)}, the model {before.dtype}{list(before.shape)}")
        apart = float(np.abs(before - after).max(initial=0))
        if not apart <= TOLERANCE * float(np.abs(before).max(initial=0)):
            raise NslibError(f"it differs from the model by {apart:.2g}")


def _say(model: str, error: Exception) -> None:
    from tqdm.std import tqdm

    reason = str(error).strip().splitlines() or [type(error).__name__]
    tqdm.write(f"{model} is called as it is, which is slower: its graph was not frozen ({reason[0][:200]})",
               file=sys.stderr)
