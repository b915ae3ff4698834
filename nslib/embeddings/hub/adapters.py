"""How each published model is called and what comes out: one record an embedding, nothing guessed.

Reference: the models' pages (`nslib.embeddings.hub.sources`); for YAMNet and VGGish also the Model
Garden's code.

Conventions
-----------
Every model is given float32 in [-1, 1] at 16 kHz. All of them cut a log-mel spectrogram into patches
and give a vector a patch, so vector ``t`` starts at ``t`` times the patch hop: 0.17 s for TRILL and its
students, 0.48 s for YAMNet, 0.96 s for VGGish. How many patches a clip has is computed from its length
(`nslib.frontend.patch_count`) and compared with what comes out of every call. TRILLsson alone
averages over its patches inside: one vector a clip.

A clip of more than `AT_ONCE` patches is sent in pieces that start and end where patches do, which bounds the
memory and changes no patch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings import patches
from nslib.embeddings.base import SAMPLE_RATE, EmbedFunction, FloatArray, IntArray
from nslib.errors import BadParameter, NslibError
from nslib.frontend import HOP, TRILL, TRILLSSON, VGGISH, YAMNET, Frontend, pad, patch_count, patch_seconds

Call = Callable[[FloatArray], FloatArray]

AT_ONCE = 256
SHORT_FOR_MIRROR = TRILLSSON.min_samples // 2
"""Samples; the graph of TRILLsson cannot mirror shorter clips up to its minimum."""

VGGISH_PADDED = replace(VGGISH, min_samples=15_600, pad="zeros", whole=VGGISH.patch_hop * HOP)
"""If the published graph pads as YAMNet's does, which is found out when it is loaded."""


@dataclass(frozen=True)
class Inside:
    """A tensor inside a model's graph.

    Attributes
    ----------
    op : str
        How the name of the operation that makes it ends.
    shape : tuple of int
        Of one patch; it is flattened.
    """

    op: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Adapter:
    """How one embedding is got out of a published model.

    Attributes
    ----------
    model : str
        A key of `nslib.embeddings.hub.sources.SOURCES`.
    output : str, int, None or Inside
        Key of the dict, place in the tuple, the bare tensor, or a tensor inside the graph.
    ranks : tuple of int
        Ranks of the samples that the call takes, the preferred one first. Of several, the model's own
        declared signatures decide: the 2-D form of TRILL is optional in the authors' exporter.
    rate : bool
        The call takes ``sample_rate`` too, and fails if it is not 16000.
    merged : bool
        The output has clips and patches on one axis.
    frontend : Frontend
        Patches, their hop, and the padding inside the model.
    whole : bool
        One vector a clip.
    """

    model: str
    output: str | int | Inside | None
    ranks: tuple[int, ...]
    frontend: Frontend
    rate: bool = False
    merged: bool = False
    whole: bool = False


_TRILLSSONS = {f"trillsson{k}": Adapter(f"trillsson{k}", "embedding", (2,), TRILLSSON, whole=True)
               for k in range(1, 6)}

ADAPTERS: dict[str, Adapter] = {
    "trill-layer19": Adapter("trill", "layer19", (2, 1), TRILL, rate=True),
    "trill-top": Adapter("trill", "embedding", (2, 1), TRILL, rate=True),
    "trill-distilled": Adapter("trill-distilled", "embedding", (2, 1), TRILL, rate=True),
    "frill": Adapter("frill", "embedding", (2,), TRILL, merged=True),
    **_TRILLSSONS,
    "yamnet-top": Adapter("yamnet", 1, (1,), YAMNET),
    "yamnet-scores": Adapter("yamnet", 0, (1,), YAMNET),
    "yamnet-layer10": Adapter("yamnet", Inside("layer10/pointwise_conv/relu/Relu", (6, 4, 512)), (1,), YAMNET),
    "vggish-top": Adapter("vggish", None, (1,), VGGISH),
    "vggish-fc1": Adapter("vggish", Inside("vggish/fc1/fc1_1/Relu", (4096,)), (1,), VGGISH),
}


def rank(module: Any, adapter: Adapter) -> int:
    """Rank of the samples that a model is given at a time.

    Parameters
    ----------
    module : object
        From ``tensorflow_hub.load``.
    adapter : Adapter

    Returns
    -------
    int
        The adapter's only one, or the first of them that the model declares for float32.

    Raises
    ------
    NslibError
        If it declares none of them.
    """
    if len(adapter.ranks) == 1:
        return adapter.ranks[0]
    if not callable(module):
        raise NslibError("it cannot be called")
    concretes = getattr(module.__call__, "concrete_functions", ())
    declared = {spec.shape.rank for concrete in concretes for spec in _samples(concrete)}
    for wanted in adapter.ranks:
        if wanted in declared or None in declared:
            return wanted
    raise NslibError(f"it declares calls with float32 samples of rank {sorted(declared)}, not of "
                     f"{' or '.join(map(str, adapter.ranks))}")


def _samples(concrete: Any) -> list[Any]:
    import tensorflow as tf

    given, named = concrete.structured_input_signature
    first = named.get("samples", given[0] if given else None)
    return [first] if isinstance(first, tf.TensorSpec) and first.dtype == tf.float32 else []


def invoke(module: Any, adapter: Adapter, samples: Any, rate: int = SAMPLE_RATE) -> Any:
    """Call a model in the one form that its page documents.

    Parameters
    ----------
    module : object
    adapter : Adapter
    samples : array or tensor
        Of a rank that the model takes.
    rate : int
        Hz; only for models that are told.

    Returns
    -------
    dict, tuple or tensor
    """
    import tensorflow as tf

    if adapter.rate:
        return module(samples=tf.convert_to_tensor(samples), sample_rate=tf.constant(rate, tf.int32))
    return module(tf.convert_to_tensor(samples))


def caller(module: Any, adapter: Adapter, at_a_time: int) -> Call:
    """Make a function of arrays of a loaded model.

    Parameters
    ----------
    module : object
    adapter : Adapter
    at_a_time : int
        From `rank`.

    Returns
    -------
    callable
        float32 [clips, samples], all of them real, to float32 [clips, frames, dim].

    Raises
    ------
    Unavailable
        If the output is inside the graph, and the graph has it not.
    """
    if isinstance(adapter.output, Inside):
        from nslib.embeddings.hub import inside

        one = inside.function(module, adapter.model, adapter.output)
        return lambda waves: np.stack([one(wave) for wave in waves])
    from nslib.embeddings.hub import frozen

    found = frozen.call(lambda samples: _output(invoke(module, adapter, samples), adapter), at_a_time, adapter.model)
    if at_a_time == 1:
        return lambda waves: np.stack([found(wave) for wave in waves])
    return lambda waves: _by_clip(found(waves), len(waves), adapter)


def _output(found: Any, adapter: Adapter) -> Any:
    return found if adapter.output is None else found[adapter.output]


def _by_clip(found: npt.NDArray[Any], clips: int, adapter: Adapter) -> npt.NDArray[Any]:
    if adapter.whole:
        return found[:, None]
    if not adapter.merged:
        return found
    if len(found) % clips:
        raise NslibError(f"{clips} clips gave {len(found)} rows, which cannot be shared out evenly")
    return found.reshape(clips, -1, *found.shape[1:])


def embedder(call: Call, adapter: Adapter, at_a_time: int) -> EmbedFunction:
    """Make the embed function.

    Parameters
    ----------
    call : callable
        From `caller`.
    adapter : Adapter
    at_a_time : int
        From `rank`.

    Returns
    -------
    callable
        Raises `NslibError` if the model gives another number of frames than it should.
    """

    def together(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        counts = np.array([patch_count(int(n), adapter.frontend) for n in lengths], np.int64)
        return _pieces(call, np.asarray(waves, np.float32), adapter.frontend), counts

    def one_by_one(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        cut = [np.asarray(wave[None, :n], np.float32) for wave, n in zip(waves, lengths, strict=True)]
        rows = [_pieces(call, wave, adapter.frontend)[0] for wave in cut]
        return patches.deal(np.concatenate(rows), [len(row) for row in rows])

    if adapter.whole:
        return lambda waves, lengths: _whole(call, waves, lengths)
    return one_by_one if at_a_time == 1 else together


def _pieces(call: Call, waves: FloatArray, frontend: Frontend) -> FloatArray:
    """Frames of clips of one length, at most `AT_ONCE` in a call."""
    total, hop = patch_count(waves.shape[1], frontend), frontend.patch_hop * HOP
    window = round(patch_seconds(frontend) * SAMPLE_RATE)
    step = max(1, AT_ONCE // len(waves))
    parts = []
    for first in range(0, max(total, 1), step):
        last = min(first + step, total)
        stop = waves.shape[1] if last == total else (last - 1) * hop + window
        found = call(waves[:, first * hop:stop])
        if found.shape[1] != last - first:
            raise NslibError(f"{stop - first * hop} samples gave {found.shape[1]} frames, not {last - first}")
        parts.append(found)
    return np.concatenate(parts, axis=1)


def _whole(call: Call, waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
    if len(set(np.asarray(lengths).tolist())) > 1:
        raise BadParameter("clips of different lengths were given in one batch; this model averages over time "
                           "inside and would count the zeros, so give clips of one length.")
    cut = np.asarray(waves[:, : int(lengths[0])], np.float32)
    if cut.shape[1] < SHORT_FOR_MIRROR:
        # TensorFlow's symmetric padding at most doubles a clip; NumPy's rule goes on
        cut = np.stack([pad(wave, TRILLSSON) for wave in cut])
    return call(cut), np.ones(len(cut), np.int64)
