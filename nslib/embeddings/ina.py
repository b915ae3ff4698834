"""Two convolutional networks of inaSpeechSegmenter: audio events, and gender of the voice.

Reference: Doukhan et al., "An Open-Source Speaker Gender Detection Framework for Monitoring Gender
Equality", ICASSP 2018. The embedding is what comes out of the last convolution, 256 numbers a
patch; the dense layers behind it, which lead to the classes, are only used to check the front end.

The weights are read by `nslib.embeddings.keras_file`.

Conventions
-----------
Front end, found out from the package's code and written anew here: frames of 25 ms every 10 ms,
pre-emphasis 0.97 inside each frame, symmetric Hann window, power spectrum of 512, 24 bands from 100
Hz to 8 kHz (triangles linear in Hz between corners that are equally spaced on the HTK mel scale, of
equal area; the uppermost FFT line under each triangle is left out, as the networks were trained
so), natural log. The event network sees the lower 21 bands. Patches of 68 frames, each with its own
mean taken off and divided by its own standard deviation, so loudness does not count.

Patches start every 34 frames (0.34 s), half a patch. The package steps by 2 frames, which costs 17
times as much; averages over 30 clips of dialogue have a cosine of 0.997 (gender) and 0.995 (events)
to those, and 0.98 and 0.97 after every dimension was standardised. Clips below 68 frames are filled up with
their lowest value, as the package does. Bands are raised to the power that rounding to 16 bits
leaves, where the package takes the log of 0 and drops the patch.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nslib.embeddings import graphs, keras_file, weights
from nslib.embeddings.base import EmbedFunction, FloatArray
from nslib.embeddings.cards import Card
from nslib.embeddings.keras_file import Layer
from nslib.frontend import FFT, WINDOW, frames, mel, spectra

PATCH, STEP = 68, 34
BANDS, LOW, HIGH = 24, 100.0, 8000.0
PREEMPHASIS = 0.97


def parts(card: Card) -> graphs.Patched:
    """Give the network behind its front end.

    Parameters
    ----------
    card : Card

    Returns
    -------
    Patched

    Raises
    ------
    Unavailable
        If the weights cannot be had or read.
    """
    return parts_of(keras_file.read(weights.read(card)))


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
    return graphs.embedder(parts_of(layers))


def parts_of(layers: list[Layer]) -> graphs.Patched:
    """Put a network, up to its ``Flatten`` layer, behind its front end.

    Parameters
    ----------
    layers : list of Layer
        As in `embed_with`.

    Returns
    -------
    Patched
    """
    kinds = [layer.kind for layer in layers]
    shape = layers[0].options["target_shape"]
    operations = keras_file.operations(layers[: kinds.index("Flatten") + 1])
    return graphs.Patched(lambda wave: cut(wave, int(shape[1])), operations, shape[:2])


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
    framed = frames(np.asarray(wave, dtype=np.float64))
    before = np.concatenate([framed[:, :1], framed[:, :-1]], axis=1)
    window = np.hanning(WINDOW)
    spectrum = spectra(framed - PREEMPHASIS * before, window)
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
