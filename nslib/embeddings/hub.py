"""The published models: TRILL, TRILL-distilled, FRILL, TRILLsson, YAMNet and VGGish (`downloads` fetches them).

Every model gets float32 in [-1, 1] at 16 kHz, cuts a log-mel spectrogram into patches and gives a vector a patch, so
vector ``t`` starts at ``t`` times the patch hop: 0.17 s for TRILL and its students, 0.48 s for YAMNet, 0.96 s for
VGGish; TRILLsson alone averages inside. A clip of more than `AT_ONCE` patches is sent in pieces that start and end
where patches do, which bounds the memory and changes no patch.

The published weights were not at hand when this kit was written: all this comes from the models' pages
(github.com/tensorflow/tfhub.dev, assets/docs/google/models) and the authors' code. So a model is tried when it is
loaded; if it is not what its card says, the embedding is *not available* and the error says what was met instead.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings.base import JOIN, SAMPLE_RATE, EmbedFunction, FloatArray, IntArray
from nslib.embeddings.downloads import fetch_model, find_source, read_record, verify_checksum
from nslib.embeddings.runtime import bind_device, current_device, freeze_graph, group_by_clip, make_noise, make_runner
from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.frontend import HOP, TRILL, TRILLSSON, VGGISH, YAMNET, Frontend, pad, patch_count, patch_seconds

if TYPE_CHECKING:
    from nslib.embeddings.registry import EmbeddingInfo

__all__ = ["ADAPTERS", "Adapter", "InnerLayer", "choose_rank"]


Call = Callable[[FloatArray], npt.NDArray[Any]]

AT_ONCE = 256
_SHORT_FOR_MIRROR = TRILLSSON.min_samples // 2
"""Samples; the graph of TRILLsson cannot mirror shorter clips up to its minimum."""

_VGGISH_PADDED = replace(VGGISH, min_samples=15_600, pad="zeros", whole=VGGISH.patch_hop * HOP)
"""If the published graph pads as YAMNet's does, which is found out when it is loaded."""


@dataclass(frozen=True)
class InnerLayer:
    """A tensor inside a model's graph: how the name of its operation ends, and its shape of one patch (flattened).

    The paper compares inner layers of YAMNet and VGGish too, after their ReLU. Names are those of the Model Garden's
    code: Keras calls the tenth layer of YAMNet ``layer10`` (the first, plain convolution counts as the first), TF-Slim
    calls VGGish's first fully connected layer ``vggish/fc1/fc1_1``.
    """

    op: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Adapter:
    """How one embedding is got out of a published model, a key of `nslib.embeddings.downloads.SOURCES`."""

    model: str
    # key of the dict, place in the tuple, inside the graph, or the bare tensor; keys or places of several side by side
    output: str | int | InnerLayer | tuple[str | int, ...] | None
    # of the samples that the call takes, the preferred one first. Of several, the model's own declared signatures
    # decide: the 2-D form of TRILL is optional in the authors' exporter
    ranks: tuple[int, ...]
    frontend: Frontend  # patches, their hop, and the padding inside the model
    rate: bool = False  # the call takes sample_rate too, and fails if it is not 16000
    merged: bool = False  # the output has clips and patches on one axis
    whole: bool = False  # one vector a clip


ADAPTERS: dict[str, Adapter] = {
    "trill-layer19": Adapter("trill", "layer19", (2, 1), TRILL, rate=True),
    "trill-top": Adapter("trill", "embedding", (2, 1), TRILL, rate=True),
    "trill-distilled": Adapter("trill-distilled", "embedding", (2, 1), TRILL, rate=True),
    "frill": Adapter("frill", "embedding", (2,), TRILL, merged=True),
    **{f"trillsson{k}": Adapter(f"trillsson{k}", "embedding", (2,), TRILLSSON, whole=True) for k in range(1, 6)},
    "yamnet-top": Adapter("yamnet", 1, (1,), YAMNET),
    "yamnet-scores": Adapter("yamnet", 0, (1,), YAMNET),
    "yamnet-layer10": Adapter("yamnet", InnerLayer("layer10/pointwise_conv/relu/Relu", (6, 4, 512)), (1,), YAMNET),
    "vggish-top": Adapter("vggish", None, (1,), VGGISH),
    "vggish-fc1": Adapter("vggish", InnerLayer("vggish/fc1/fc1_1/Relu", (4096,)), (1,), VGGISH),
}


def find_adapter(name: str) -> Adapter:
    """Find the adapter of an embedding, or of several outputs of one model that are joined."""
    first, *others = (ADAPTERS[one] for one in name.split(JOIN))
    keys = (one.output for one in (first, *others))
    return replace(first, output=tuple(key for key in keys if isinstance(key, str | int))) if others else first


def choose_rank(module: Any, adapter: Adapter) -> int:
    """Return the rank of the samples that a loaded model is given: the first of the adapter's that it declares."""
    import tensorflow as tf

    if len(adapter.ranks) == 1:
        return adapter.ranks[0]
    if not callable(module):
        raise NslibError("it cannot be called")
    declared = set()
    for concrete in getattr(module.__call__, "concrete_functions", ()):
        given, named = concrete.structured_input_signature
        first = named.get("samples", given[0] if given else None)
        if isinstance(first, tf.TensorSpec) and first.dtype == tf.float32:
            declared.add(first.shape.rank)
    for wanted in adapter.ranks:
        if wanted in declared or None in declared:
            return wanted
    raise NslibError(f"it declares calls with float32 samples of rank {sorted(declared)}, not of "
                     f"{' or '.join(map(str, adapter.ranks))}")


def _invoke(module: Any, adapter: Adapter, samples: Any, rate: int = SAMPLE_RATE) -> Any:
    """Call a model in the one form that its page documents, and pick the output."""
    import tensorflow as tf

    samples = tf.convert_to_tensor(samples)
    given = module(samples=samples, sample_rate=tf.constant(rate, tf.int32)) if adapter.rate else module(samples)
    if isinstance(adapter.output, tuple):
        return [given[key] for key in adapter.output]
    return given if adapter.output is None else given[adapter.output]


def make_call(module: Any, adapter: Adapter, rank: int) -> Call:
    """Make a function of a loaded model: float32 [clips, samples], all of them real, to [clips, frames, dim]."""
    if isinstance(adapter.output, InnerLayer):
        inner = _inner_layer(module, adapter.model, adapter.output)
        return lambda waves: np.stack([inner(wave) for wave in waves])
    call = freeze_call(lambda samples: _invoke(module, adapter, samples), rank, adapter.model)
    if rank == 1:
        return lambda waves: np.stack([call(wave) for wave in waves])

    def by_clip(waves: FloatArray) -> npt.NDArray[Any]:
        rows, clips = call(waves), len(waves)
        if adapter.whole:
            return rows[:, None]
        if not adapter.merged:
            return rows
        if len(rows) % clips:
            raise NslibError(f"{clips} clips gave {len(rows)} rows, which cannot be shared out evenly")
        return rows.reshape(clips, -1, *rows.shape[1:])

    return by_clip


def freeze_call(tensors: Callable[[Any], Any], rank: int, model: str) -> Call:
    """Freeze a call, float32 samples of a rank to a tensor, if that changes nothing; else return it as it is."""
    from tqdm.std import tqdm

    plain = bind_device(make_runner(tensors))
    try:
        # samples of any length, so it is traced once
        frozen = bind_device(make_runner(freeze_graph(tensors, [None] * rank)))
        for samples in (16_000, 37_123):
            noise = make_noise(*(2, samples)[2 - rank:])
            before, after = plain(noise), frozen(noise)
            if before.shape != after.shape or before.dtype != after.dtype:
                raise NslibError(f"it gives {after.dtype}{list(after.shape)}, the model "
                                 f"{before.dtype}{list(before.shape)}")
            apart = float(np.abs(before - after).max(initial=0))
            # what rounding may do, once scales are folded into the weights
            if not apart <= 1e-5 * float(np.abs(before).max(initial=0)):
                raise NslibError(f"it differs from the model by {apart:.2g}")
    except Exception as error:  # a model is anybody's code; TensorFlow raises all sorts
        tqdm.write(f"{model} is called as it is, which is slower: its graph was not frozen ({_first_line(error)})",
                   file=sys.stderr)
        return plain
    return frozen


def _inner_layer(module: Any, model: str, layer: InnerLayer) -> Call:
    """Cut a model's graph at an operation: float32 [samples] to [frames, values of a patch]."""
    import tensorflow as tf

    def absent(why: str) -> Unavailable:
        top = "yamnet-top" if model == "yamnet" else "vggish-top"
        return Unavailable(f"the inner layer of {model}", f"in the graph that was found here, {why}",
                           f"Use the published files, or the model's own outputs ({top}).")

    graph = freeze_graph(lambda samples: module(samples), [None])
    ends = re.compile(rf"(^|/){re.escape(layer.op)}(_\d+)?$")
    ops = [op for op in graph.graph.get_operations() if ends.search(op.name) and op.type in ("Relu", "Relu6")]
    if len(ops) != 1:
        there = ", ".join(op.name for op in ops) or "none"
        raise absent(f"one operation that ends in {layer.op} was looked for, and {there} found")
    shape = ops[0].outputs[0].shape
    if not shape.is_compatible_with([None, *layer.shape]):
        raise absent(f"{layer.op} gives {shape}, not [patches, {', '.join(map(str, layer.shape))}]")
    noise = tf.constant(make_noise(32_000))
    for before, after in zip(tf.nest.flatten(module(noise)), tf.nest.flatten(graph(noise)), strict=True):
        if not (apart := np.abs(np.asarray(before) - np.asarray(after)).max()) <= 1e-4 * np.abs(before).max():
            raise absent(f"the frozen graph differs from the model by {apart:.2g}")
    cut = bind_device(make_runner(graph.prune(graph.inputs, ops[0].outputs[0])))
    size = int(np.prod(layer.shape))
    return lambda wave: cut(wave).reshape(-1, size)


def embed_calls(call: Call, adapter: Adapter, rank: int) -> EmbedFunction:
    """Make the embed function of a call; it raises NslibError if the model gives another number of frames."""

    def together(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        counts = np.array([patch_count(int(n), adapter.frontend) for n in lengths], np.int64)
        return _call_in_pieces(call, np.asarray(waves, np.float32), adapter.frontend), counts

    def one_by_one(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        cut = [np.asarray(wave[None, :n], np.float32) for wave, n in zip(waves, lengths, strict=True)]
        rows = [_call_in_pieces(call, wave, adapter.frontend)[0] for wave in cut]
        return group_by_clip(np.concatenate(rows), [len(row) for row in rows])

    def whole(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        if len(set(np.asarray(lengths).tolist())) > 1:
            raise BadParameter("clips of different lengths were given in one batch; this model averages over time "
                               "inside and would count the zeros, so give clips of one length.")
        cut = np.asarray(waves[:, : int(lengths[0])], np.float32)
        if cut.shape[1] < _SHORT_FOR_MIRROR:
            # TensorFlow's symmetric padding at most doubles a clip; NumPy's rule goes on
            cut = np.stack([pad(wave, TRILLSSON) for wave in cut])
        return call(cut), np.ones(len(cut), np.int64)

    if adapter.whole:
        return whole
    return one_by_one if rank == 1 else together


def _call_in_pieces(call: Call, waves: FloatArray, frontend: Frontend) -> FloatArray:
    """Compute the frames of clips of one length, at most `AT_ONCE` in a call."""
    total, hop = patch_count(waves.shape[1], frontend), frontend.patch_hop * HOP
    window = round(patch_seconds(frontend) * SAMPLE_RATE)
    step = max(1, AT_ONCE // len(waves))
    parts = []
    for first in range(0, max(total, 1), step):
        last = min(first + step, total)
        stop = waves.shape[1] if last == total else (last - 1) * hop + window
        part = call(waves[:, first * hop:stop])
        if part.shape[1] != last - first:
            raise NslibError(f"{stop - first * hop} samples gave {part.shape[1]} frames, not {last - first}")
        parts.append(part)
    return np.concatenate(parts, axis=1)


TOLERANCE = 1e-4
_LENGTHS = (16_000, 64_000)
"""Samples: the second is long enough for a patch hop that is off by one frame to change the count."""


def _test_model(module: Any, info: EmbeddingInfo) -> EmbedFunction:
    """Try a loaded model on noise and make its embed function; raises Unavailable if it is not what the card says."""
    adapter = find_adapter(info.name)
    try:
        rank = choose_rank(module, adapter)
        call = make_call(module, adapter, rank)
        if adapter.frontend is VGGISH and _pads(call):
            adapter = replace(adapter, frontend=_VGGISH_PADDED)
        _test_frames(call, adapter, info.dim)
        if adapter.rate:
            _test_rate(module, adapter, rank)
        if adapter.whole or rank == 2:
            _test_company(call, adapter)
    except Unavailable:
        raise
    except Exception as error:  # a model is anybody's code; TensorFlow raises all sorts
        met = str(error) if isinstance(error, NslibError) else \
            f"trying it raised {type(error).__name__}: {_first_line(error) or 'no message'}"
        raise Unavailable(f"embedding {info.name}", f"the model found as {info.hub} is not what its card says: {met}",
                          f"Use the published files: {find_source(info.hub).by_hand} A model of your own goes through "
                          "nslib.embeddings.from_saved_model.") from error
    return embed_calls(call, adapter, rank)


def _test_frames(call: Call, adapter: Adapter, dim: int) -> None:
    """Test form, size and type of the output, and the number of frames of clips of two lengths."""
    for samples in _LENGTHS:
        frames = call(make_noise(2, samples))
        count = 1 if adapter.whole else patch_count(samples, adapter.frontend)
        if frames.dtype != np.float32:
            raise NslibError(f"it gives {frames.dtype}, not float32")
        if frames.shape != (2, count, dim):
            raise NslibError(f"2 clips of {samples} samples give {list(frames.shape)}, not [2, {count}, {dim}]")
        if not np.isfinite(frames).all():
            raise NslibError("noise gives NaN or infinite numbers")


def _test_rate(module: Any, adapter: Adapter, rank: int) -> None:
    """Test that a wrong rate is refused where the model is told the rate."""
    try:
        _invoke(module, adapter, make_noise(*(1, 16_000)[2 - rank:]), rate=8_000)
    except Exception:  # which error it is, is TensorFlow's affair
        return
    raise NslibError("it takes 8000 Hz for 16000 Hz without an error")


def _test_company(call: Call, adapter: Adapter) -> None:
    """Test that TRILLsson mirrors short clips, and of others that zeros after a clip leave its frames alone."""
    if adapter.whole:
        wave = make_noise(19_200)
        if _distance(call(wave[None]), call(np.asarray(pad(wave, TRILLSSON), np.float32)[None])) > TOLERANCE:
            raise NslibError(f"it does not mirror a clip of {len(wave)} samples up to {TRILLSSON.min_samples}")
        return
    short, long = _LENGTHS
    batch = make_noise(2, long)
    batch[0, short:] = 0
    alone, among = call(batch[:1, :short])[0], call(batch)[0]
    if _distance(alone, among[: len(alone)]) > TOLERANCE:
        raise NslibError("zeros after a clip change its frames, so clips of different lengths cannot share a batch")


def _pads(call: Call) -> bool:
    """Whether VGGish's graph pads: of the exporter, versions with and without padding are public."""
    import tensorflow as tf

    try:
        return call(make_noise(1, 8_000)).shape[1] > 0
    except tf.errors.InvalidArgumentError:  # a network that cannot stand a batch of no patches
        return False


def _distance(one: FloatArray, other: FloatArray) -> float:
    return float(np.abs(one - other).max() / max(np.abs(one).max(), 1e-12))


def _first_line(error: Exception) -> str:
    """Return the first line of a message that says something."""
    return next((line.strip()[:200] for line in str(error).splitlines() if line.strip()), "")


OPEN = 2
"""Models that are kept in memory; the largest take more than a gigabyte."""


def read_revision(info: EmbeddingInfo, *, fully: bool = False) -> str:
    """Return an embedding's revision: checksum of the model's files, fetched if need be, and which output is read."""
    output = find_adapter(info.name).output
    sha256 = verify_checksum(info.hub, fetch_model(info.hub), fully=fully)
    return f"{sha256[:16]} {output.op if isinstance(output, InnerLayer) else output}"


def load_builtin(info: EmbeddingInfo) -> EmbedFunction:
    """Load an embedding of a published model, of the revision that `read_revision` gives."""
    if current_device():
        return _open(info)
    _open_shared(info)
    return lambda waves, lengths: _open_shared(info)(waves, lengths)


def _open(info: EmbeddingInfo) -> EmbedFunction:
    """Check, announce, load and try a model."""
    import tensorflow as tf
    from tqdm.std import tqdm

    what, source = f"embedding {info.name}", find_source(info.hub)
    if read_revision(info, fully=True) != info.revision:
        raise Unavailable(what, "its model was replaced while this program ran", "Start the program again.")
    folder, record = str(fetch_model(info.hub)), read_record(info.hub)
    known = f"sha256 {record.sha256} recorded {record.recorded}, {record.origin}" if record else "unrecorded"
    tqdm.write(f"Loading {info.name} from {folder} ({source.handles[0]}; {known})", file=sys.stderr)
    try:
        module = bind_device(tf.saved_model.load)(folder)
    except Exception as error:  # TensorFlow raises all sorts for files that are no model
        why = f"TensorFlow cannot load {folder}: {type(error).__name__}: {str(error).strip()[:200]}"
        raise Unavailable(what, why, source.by_hand) from error
    return _test_model(module, info)


_open_shared = lru_cache(maxsize=OPEN)(_open)
