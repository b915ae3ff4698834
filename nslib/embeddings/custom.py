"""Your own function as an embedding."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nslib.embeddings import patches
from nslib.embeddings import revision as revisions
from nslib.embeddings.base import SAMPLE_RATE, Embedding, EmbedFunction, FloatArray, IntArray
from nslib.errors import BadParameter, NslibError

Function = Callable[[FloatArray], Any]


def from_callable(function: Function, name: str, *, revision: str | None = None, min_samples: int = 1_600,
                  pad: str = "end", window: float = 0.0, hop: float = 0.0, parameters: int = 0,
                  licence: str = "not stated", source: str = "not stated", trained_on: str = "not stated",
                  citation: str = "") -> Embedding:
    """Make an embedding of a function.

    Parameters
    ----------
    function : callable
        float32 [clips, samples], 16 kHz, in [-1, 1], all clips of the same true length, to
        ``[clips, dim]`` (one vector a clip) or ``[clips, frames, dim]``; NumPy or anything that
        `numpy.asarray` takes.
    name : str
        As shown in tables.
    revision : str, optional
        Says which version this is; vectors in the store are used again as long as it stays.
        Default: a hash of the function and what it uses (`nslib.embeddings.revision` has the limits).
        If something in it cannot be hashed, a warning says so and the revision is a new one each
        time, so that you never get old vectors.
    min_samples : int
        Shorter clips are padded with zeros to this length, and counted.
    pad : {"end", "centre"}
        Where those zeros go.
    window, hop : float
        Seconds that a frame sees, and between frames; 0 if there is one vector a clip. Given both,
        it is tried whether zeros after a clip leave its frames alone; if so, clips of different
        lengths share a batch (``pads_safely``), which is faster.
    parameters, licence, source, trained_on, citation
        For the report.

    Returns
    -------
    Embedding

    Raises
    ------
    BadParameter
        If a trial call with two clips of noise fails, or does not give floats of a right shape.

    Examples
    --------
    >>> import numpy as np
    >>> loud = from_callable(lambda waves: waves.std(axis=1, keepdims=True), name="loudness")
    >>> loud.dim
    1
    """
    version = revision or _revision(function, name)
    return build(function, name, version, min_samples=min_samples, pad=pad, window=window, hop=hop,
                 parameters=parameters, licence=licence, source=source, trained_on=trained_on, citation=citation)


def build(function: Function, name: str, revision: str, *, together: EmbedFunction | None = None,
          min_samples: int, pad: str, window: float, hop: float, **facts: Any) -> Embedding:
    """Try a function on noise and make an embedding of it: what `from_callable` and `files` share.

    Parameters
    ----------
    function : callable
        As in `from_callable`; it is given clips of one length.
    name, revision : str
    together : callable, optional
        An `Embedding.embed` for clips of different lengths. It is used if it gives what `function` gives
        of each clip alone. Default, where `window` and `hop` say which frames a clip has: `function`
        with zeros after the shorter clips.
    min_samples, pad, window, hop
        As in `from_callable`.
    **facts
        Other attributes of `Embedding`.

    Returns
    -------
    Embedding

    Raises
    ------
    BadParameter
        As `from_callable`.
    """
    if pad not in ("end", "centre"):
        raise BadParameter(f"pad is {pad!r}; allowed: 'end' or 'centre'.")
    if min_samples < 1 or window < 0 or hop < 0:
        raise BadParameter("min_samples must be at least 1, and window and hop at least 0.")
    trial = _frames(function, _noise(2, max(min_samples, SAMPLE_RATE)), name, None)
    dim = trial.shape[2]
    if trial.shape[1] > 1 and not hop:
        warnings.warn(f"{name} gives {trial.shape[1]} frames a second; give window= and hop= (in seconds) "
                      "to have times for them.", stacklevel=3)
    embedding = Embedding(name, revision, dim, _alone(function, name, dim), window, hop, min_samples, pad, **facts)
    if together is None and window and hop:
        together = _together(function, name, dim, window, hop)
    if together is not None and _proved(embedding, together):
        return replace(embedding, embed=together, pads_safely=True)
    return embedding


def one_by_one(function: Function, name: str) -> EmbedFunction:
    """Call a function for each clip alone, at its true length.

    Parameters
    ----------
    function : callable
        As in `from_callable`; it is given one clip at a time, [1, samples].
    name : str
        For messages.

    Returns
    -------
    callable
        An `Embedding.embed` that takes clips of different lengths.
    """

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        clips = zip(waves, np.asarray(lengths), strict=True)
        rows = [_frames(function, wave[None, :length], name, None)[0] for wave, length in clips]
        return patches.deal(np.concatenate(rows), [len(row) for row in rows])

    return embed


def _revision(function: Function, name: str) -> str:
    digest, unseen = revisions.of(function)
    if not unseen:
        return digest
    warnings.warn(f"{name} uses what cannot be hashed: {', '.join(unseen)}. Its vectors will be computed "
                  "anew in every session; give revision= and change it when the function changes.",
                  stacklevel=3)
    return secrets.token_hex(8)


def _noise(clips: int, samples: int) -> FloatArray:
    return np.random.default_rng(0).normal(0, 0.1, (clips, samples)).astype(np.float32)


def _frames(function: Function, waves: FloatArray, name: str, dim: int | None) -> FloatArray:
    asked = f"{name} was called with float32 of shape {list(waves.shape)}"
    try:
        found = np.asarray(function(waves))
    except NslibError:
        raise
    except Exception as error:  # the function is anybody's
        short = " If that is too short for it, raise min_samples." if waves.shape[1] < SAMPLE_RATE else ""
        raise BadParameter(f"{asked} and failed: {type(error).__name__}: {error}{short}") from error
    if found.dtype.kind != "f":
        raise BadParameter(f"{asked} and returned {found.dtype}; return floating point numbers.")
    if found.ndim not in (2, 3) or found.shape[0] != len(waves) or 0 in found.shape:
        wanted = f"[{len(waves)}, dim] or [{len(waves)}, frames, dim]"
        hint = " It looks as if it takes one clip; loop over the clips." if found.ndim < 2 else ""
        raise BadParameter(f"{asked} and returned shape {list(found.shape)}; return {wanted}.{hint}")
    if dim is not None and found.shape[-1] != dim:
        raise BadParameter(f"{asked} and returned vectors of {found.shape[-1]} numbers, before of {dim}; "
                           "the size must not depend on the length of the clip.")
    if not np.isfinite(found).all():
        raise BadParameter(f"{asked} and returned NaN or infinite numbers; mind log(0) and division by 0.")
    return found.reshape(len(waves), -1, found.shape[-1]).astype(np.float32)


def _alone(function: Function, name: str, dim: int) -> EmbedFunction:
    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        if len(set(np.asarray(lengths).tolist())) > 1:
            raise BadParameter(f"{name} was given clips of different lengths in one batch; its pads_safely "
                               "is False, so give clips of one length.")
        found = _frames(function, waves[:, : int(lengths[0])], name, dim)
        return found, np.full(len(found), found.shape[1], np.int64)

    return embed


def _together(function: Function, name: str, dim: int, window: float, hop: float) -> EmbedFunction:
    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        found = _frames(function, waves, name, dim)
        # a sample of tolerance, for a window or hop that is no whole number of samples
        counts = 1 + (np.asarray(lengths) + 1 - window * SAMPLE_RATE) // (hop * SAMPLE_RATE)
        return found, np.clip(counts, 1, found.shape[1]).astype(np.int64)

    return embed


def _proved(alone: Embedding, together: EmbedFunction) -> bool:
    """Whether `together`, given clips with zeros after them, says what the function says of each alone."""
    longest = max(alone.min_samples, 2 * SAMPLE_RATE)
    lengths = np.unique(np.linspace(alone.min_samples, longest, 7).astype(np.int64))
    waves = _noise(len(lengths), longest) * (np.arange(longest) < lengths[:, None])
    found, counts = together(waves, lengths)
    for wave, length, row, count in zip(waves, lengths, found, counts, strict=True):
        single = alone.embed(wave[None, :length], np.array([length]))[0][0]
        if len(single) != count or np.abs(single - row[:count]).max() > 1e-5 * max(1, np.abs(single).max()):
            return False
    return True
