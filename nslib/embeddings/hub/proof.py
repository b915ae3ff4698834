"""Try a model when it is loaded, and compare it with what its card and its adapter say.

The published weights were not at hand when this kit was written, so what the adapters say of them comes
from their pages and from the authors' code. A second of noise shows whether it holds; if it
does not, the embedding is *not available* and the error says what was met instead.

Tried are: form, size and type of the output; the number of frames of two clips; that a wrong rate is refused
where the model checks it; that zeros after a shorter clip leave its frames alone, where clips of
different lengths share a batch; how TRILLsson and VGGish pad.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nslib.embeddings.base import FloatArray
from nslib.embeddings.cards import Card
from nslib.embeddings.hub import adapters, sources
from nslib.embeddings.hub.adapters import VGGISH_PADDED, Adapter, Call
from nslib.errors import NslibError, Unavailable
from nslib.frontend import TRILLSSON, VGGISH, pad, patch_count

TOLERANCE = 1e-4
LENGTHS = (16_000, 64_000)
"""Samples: the second is long enough for a patch hop that is off by one frame to change the count."""

SHORT, BETWEEN = 8_000, 19_200


def opened(module: Any, card: Card) -> tuple[Adapter, int, Call]:
    """Try a loaded model.

    Parameters
    ----------
    module : object
        From ``tensorflow_hub.load``.
    card : Card
        Of an embedding of the hub.

    Returns
    -------
    adapter : Adapter
        With the padding that was found, where the pages leave it open.
    rank : int
        Of the samples that the model takes at a time.
    call : callable
        See `nslib.embeddings.hub.adapters.caller`.

    Raises
    ------
    Unavailable
        If the model is not what the card says.
    """
    adapter = adapters.ADAPTERS[card.name]
    try:
        rank = adapters.rank(module, adapter)
        call = adapters.caller(module, adapter, rank)
        if adapter.frontend is VGGISH:
            adapter = _vggish(call, adapter)
        _frames(call, adapter, card)
        _rate(module, adapter, rank)
        if adapter.whole:
            _mirrors(call)
        elif rank == 2:
            _zeros_after(call)
    except Unavailable:
        raise
    except Exception as error:  # a model is anybody's code; TensorFlow raises all sorts
        raise _differs(card, str(error) if isinstance(error, NslibError) else
                       f"trying it raised {type(error).__name__}: {_first_line(error)}") from error
    return adapter, rank, call


def _noise(*shape: int) -> FloatArray:
    return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)


def _frames(call: Call, adapter: Adapter, card: Card) -> None:
    for samples in LENGTHS:
        found = call(_noise(2, samples))
        count = 1 if adapter.whole else patch_count(samples, adapter.frontend)
        if found.dtype != np.float32:
            raise NslibError(f"it gives {found.dtype}, not float32")
        if found.shape != (2, count, card.dim):
            raise NslibError(f"2 clips of {samples} samples give {_shape(found)}, not [2, {count}, {card.dim}]")
        if not np.isfinite(found).all():
            raise NslibError("noise gives NaN or infinite numbers")


def _rate(module: Any, adapter: Adapter, rank: int) -> None:
    if not adapter.rate:
        return
    try:
        adapters.invoke(module, adapter, _noise(*(1, 16_000)[2 - rank:]), rate=8_000)
    except Exception:  # which error it is, is TensorFlow's affair
        return
    raise NslibError("it takes 8000 Hz for 16000 Hz without an error")


def _zeros_after(call: Call) -> None:
    short, long = LENGTHS
    batch = _noise(2, long)
    batch[0, short:] = 0
    alone, among = call(batch[:1, :short])[0], call(batch)[0]
    if _apart(alone, among[: len(alone)]) > TOLERANCE:
        raise NslibError("zeros after a clip change its frames, so clips of different lengths cannot share a batch")


def _mirrors(call: Call) -> None:
    wave = _noise(BETWEEN)
    mirrored = np.asarray(pad(wave, TRILLSSON), np.float32)
    if _apart(call(wave[None]), call(mirrored[None])) > TOLERANCE:
        raise NslibError(f"it does not mirror a clip of {BETWEEN} samples up to {TRILLSSON.min_samples}")


def _vggish(call: Call, adapter: Adapter) -> Adapter:
    """Find out whether the graph pads: of the exporter, versions with and without padding are public."""
    import tensorflow as tf

    try:
        padded = call(_noise(1, SHORT)).shape[1] > 0
    except tf.errors.InvalidArgumentError:  # a network that cannot stand a batch of no patches
        padded = False
    return replace(adapter, frontend=VGGISH_PADDED) if padded else adapter


def _apart(one: FloatArray, other: FloatArray) -> float:
    return float(np.abs(one - other).max() / max(np.abs(one).max(), 1e-12))


def _shape(found: FloatArray) -> list[int]:
    return list(found.shape)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or ["no message"])[0][:200]


def _differs(card: Card, what: str) -> Unavailable:
    source = sources.get(card.hub)
    return Unavailable(f"embedding {card.name}", f"the model found as {card.hub} is not what its card says: {what}",
                       f"Use the published files: {source.by_hand} A model of your own goes through "
                       "nslib.embeddings.from_saved_model.")
