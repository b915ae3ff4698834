"""Two convolutional networks of inaSpeechSegmenter: audio events, and gender of the voice.

Reference: Doukhan et al., "An Open-Source Speaker Gender Detection Framework for Monitoring Gender
Equality", ICASSP 2018. The embedding is what comes out of the last convolution, 256 numbers a
patch; the dense layers behind it, which lead to the classes, are only used to check the front end.

The weights are read from the Keras HDF5 file with h5py, layer by layer; of the file's description
only eight kinds of layer are understood, and nothing in it can be run.

Conventions
-----------
Front end, found out from the package's code and written anew here: frames of 25 ms every 10 ms,
pre-emphasis 0.97 inside each frame, symmetric Hann window, power spectrum of 512, 24 bands from 100
Hz to 8 kHz (triangles linear in Hz between corners that are equally spaced on the HTK mel scale, of
equal area; the uppermost FFT line under each triangle is left out, as the networks were trained
so), natural log. The event network sees the lower 21 bands. Patches of 68 frames, each with its own
mean taken off and divided by its own standard deviation, so loudness does not count.

Patches start every 34 frames (0.34 s), half a patch; the package steps by 2 frames, which costs 17
times as much and, averaged over a clip, says the same. Clips below 68 frames are filled up with
their lowest value, as the package does. Bands are raised to the power that rounding to 16 bits
leaves, where the package takes the log of 0 and drops the patch.
"""

from __future__ import annotations

import io
import json
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib.embeddings import patches, weights
from nslib.embeddings.base import EmbedFunction, FloatArray
from nslib.embeddings.cards import Card
from nslib.errors import Unavailable
from nslib.frontend import FFT, WINDOW, frames, mel

PATCH, STEP = 68, 34
BANDS, LOW, HIGH = 24, 100.0, 8000.0
PREEMPHASIS = 0.97

_REMEDY = "Delete the package from the cache and run again."

Arrays = dict[str, npt.NDArray[Any]]


class Layer(NamedTuple):
    """One layer of a network.

    Attributes
    ----------
    kind : str
        Keras class name.
    options : dict
        Keras configuration.
    weights : dict of str to array
        kernel, bias, gamma, beta, moving_mean, moving_variance; those that the layer has.
    """

    kind: str
    options: dict[str, Any]
    weights: Arrays


def load(card: Card) -> EmbedFunction:
    """Give the embed function.

    Parameters
    ----------
    card : Card

    Returns
    -------
    callable

    Raises
    ------
    Unavailable
        If the weights cannot be had or read.
    """
    return embed_with(read_layers(weights.read(card)))


def embed_with(layers: list[Layer]) -> EmbedFunction:
    """Give the embed function of a network, up to its ``Flatten`` layer.

    Parameters
    ----------
    layers : list of Layer
        The first one is a ``Reshape`` to [68, bands, 1].

    Returns
    -------
    callable
    """
    kinds = [layer.kind for layer in layers]
    network, bands = classifier(layers[: kinds.index("Flatten") + 1])
    return patches.embedder(lambda wave: cut(wave, bands), network)


def classifier(layers: list[Layer]) -> tuple[patches.Network, int]:
    """Build a network of layers.

    Parameters
    ----------
    layers : list of Layer
        All of them give class probabilities.

    Returns
    -------
    network : callable
        float32 [patches, 68, bands] to [patches, dim].
    bands : int
    """
    from nslib.embeddings import graphs

    bands = int(layers[0].options["target_shape"][1])
    folded = fold(layers)
    return graphs.frozen(lambda x: _run(folded, x), (PATCH, bands)), bands


def read_layers(data: bytes) -> list[Layer]:
    """Read a sequential Keras model from HDF5.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    list of Layer

    Raises
    ------
    Unavailable
        If it is not such a file, or has a layer that is not understood.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            config = json.loads(file.attrs["model_config"])["config"]
            described = config["layers"] if isinstance(config, dict) else config
            layers = [_layer(d, file["model_weights"]) for d in described if d["class_name"] != "InputLayer"]
    except (OSError, KeyError, ValueError) as error:
        why = f"it is not a sequential Keras model in HDF5 ({error})"
        raise Unavailable("the file of weights", why, _REMEDY) from error
    strange = {layer.kind for layer in layers} - set(_OPERATIONS)
    if strange or not layers or layers[0].kind != "Reshape":
        why = f"it has layers that are not understood: {sorted(strange) or 'no Reshape first'}"
        raise Unavailable("the file of weights", why, _REMEDY)
    return layers


def fold(layers: list[Layer]) -> list[Layer]:
    """Put batch normalisation into the kernel and bias of the linear layer before it.

    Parameters
    ----------
    layers : list of Layer

    Returns
    -------
    list of Layer
        Gives the same up to rounding, with less to compute.
    """
    out: list[Layer] = []
    for layer in layers:
        before = out[-1] if out else layer
        linear = "kernel" in before.weights and before.options["activation"] == "linear"
        if layer.kind == "BatchNormalization" and linear:
            scale, shift = _normalisation(layer)
            kernel, bias = before.weights["kernel"], before.weights["bias"]
            out[-1] = before._replace(weights={"kernel": kernel * scale, "bias": bias * scale + shift})
        else:
            out.append(layer)
    return out


def cut(wave: FloatArray, bands: int = BANDS) -> npt.NDArray[np.float32]:
    """Cut a clip into normalised patches.

    Parameters
    ----------
    wave : float32 [samples]
        At least 400.
    bands : int
        How many bands, from the lowest.

    Returns
    -------
    float32 [patches, 68, bands]
    """
    spectrogram = log_bands(wave)[:, :bands]
    short = PATCH - len(spectrogram)
    if short > 0:
        spectrogram = np.pad(spectrogram, ((0, short), (0, 0)), constant_values=spectrogram.min())
    view = np.lib.stride_tricks.sliding_window_view(spectrogram, PATCH, axis=0)
    view = view[::STEP].transpose(0, 2, 1)
    centred = view - view.mean((1, 2), keepdims=True)
    spread = view.std((1, 2), keepdims=True)
    # a patch of one value, digital silence, is left at zero
    return (centred / np.where(spread > 1e-9, spread, 1)).astype(np.float32)


def log_bands(wave: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Log power in 24 bands.

    Parameters
    ----------
    wave : array [samples]
        In [-1, 1].

    Returns
    -------
    float64 [frames, 24]
    """
    from scipy import fft

    framed = frames(np.asarray(wave, dtype=np.float64))
    before = np.concatenate([framed[:, :1], framed[:, :-1]], axis=1)
    window = np.hanning(WINDOW)
    spectrum = fft.rfft((framed - PREEMPHASIS * before) * window, FFT, axis=-1)
    power = (spectrum.real**2 + spectrum.imag**2) @ band_matrix()
    rounding = (window**2).sum() / 12 / 32767**2 / (16_000 / FFT)
    return np.asarray(np.log(np.maximum(power, rounding)))


@lru_cache(maxsize=1)
def band_matrix() -> npt.NDArray[np.float64]:
    """Weights of the bands; see the module's conventions.

    Returns
    -------
    float64 [257, 24]
    """
    corners = 700 * np.expm1(np.linspace(mel(LOW), mel(HIGH), BANDS + 2) / 1127)
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    index = np.arange(FFT // 2 + 1)[:, None]
    lines = index * (16_000 / FFT)
    slopes = np.minimum((lines - low) / (centre - low), (high - lines) / (high - centre))
    matrix = np.maximum(0, slopes) * (2 / (high - low))
    # the last corner is 8 kHz up to rounding, and must count as line 256, not 255
    matrix[index == np.floor(high * FFT / 16_000 + 1e-6)] = 0
    return np.asarray(matrix)


def _layer(described: dict[str, Any], stored: Any) -> Layer:
    options, found = described["config"], {}

    def visit(name: str, item: Any) -> None:
        if hasattr(item, "shape"):
            found[name.rsplit("/", 1)[-1].removesuffix(":0")] = np.asarray(item, np.float32)

    if options["name"] in stored:
        stored[options["name"]].visititems(visit)
    return Layer(described["class_name"], options, found)


def _run(layers: list[Layer], x: Any) -> Any:
    for layer in layers:
        x = _OPERATIONS[layer.kind](x, layer.options, layer.weights)
    return x


def _activate(x: Any, name: str) -> Any:
    import tensorflow as tf

    return {"linear": lambda v: v, "relu": tf.nn.relu, "softmax": tf.nn.softmax}[name](x)


def _conv(x: Any, options: dict[str, Any], w: Arrays) -> Any:
    import tensorflow as tf

    y = tf.nn.conv2d(x, w["kernel"], options["strides"], options["padding"].upper())
    return _activate(tf.nn.bias_add(y, w["bias"]), options["activation"])


def _pool(x: Any, options: dict[str, Any], _: Arrays) -> Any:
    import tensorflow as tf

    return tf.nn.max_pool2d(x, options["pool_size"], options["strides"], options["padding"].upper())


def _normalisation(layer: Layer) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    w = layer.weights
    scale = w["gamma"] / np.sqrt(w["moving_variance"] + np.float32(layer.options["epsilon"]))
    return scale, w["beta"] - w["moving_mean"] * scale


def _normalise(x: Any, options: dict[str, Any], w: Arrays) -> Any:
    scale, shift = _normalisation(Layer("BatchNormalization", options, w))
    return x * scale + shift


def _flatten(x: Any, *_: Any) -> Any:
    import tensorflow as tf

    return tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])


def _dense(x: Any, options: dict[str, Any], w: Arrays) -> Any:
    return _activate(x @ w["kernel"] + w["bias"], options["activation"])


_OPERATIONS: dict[str, Any] = {
    "Reshape": lambda x, *_: x[..., None],
    "Conv2D": _conv,
    "BatchNormalization": _normalise,
    "Activation": lambda x, options, _: _activate(x, options["activation"]),
    "MaxPooling2D": _pool,
    "Dropout": lambda x, *_: x,
    "Flatten": _flatten,
    "Dense": _dense,
}
