"""Resemblyzer's speaker encoder: three LSTM layers, trained for speaker verification.

Reference: Wan et al., "Generalized End-to-End Loss for Speaker Verification", ICASSP 2018,
arXiv:1710.10467. The weights are read by `nslib.embeddings.torch_file`; network and front end are
written here in NumPy, which is as fast as TensorFlow for this network.

Conventions
-----------
Power spectrogram of 25 ms every 10 ms (Hann, frames centred, zeros beyond the ends), 40 mel bands
from 0 to 8 kHz on Slaney's scale with triangles of equal area, no logarithm. Windows of 160 frames
every 77 (the package's 1.3 a second); the last one is kept if at least three quarters of it lie in
the clip, and zeros fill it up; a clip shorter than a window is one window. Clips below -30 dBFS are
raised to that level.

One difference from the package: it cuts long silences with a voice activity detector first; here
the clip is taken as it is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nslib.embeddings import patches, threads, torch_file, weights
from nslib.embeddings.base import EmbedFunction, FloatArray
from nslib.embeddings.cards import Card
from nslib.errors import Unavailable
from nslib.frontend import frames, hann, spectra

WINDOW, STEP, HOP = 160, 77, 160
COVERAGE = 0.75
MELS, FFT = 40, 400
AT_ONCE = 32
LEVEL = 10 ** (-30 / 20)


class Layer(NamedTuple):
    """One LSTM layer with its gates in the order input, forget, output, candidate.

    Attributes
    ----------
    inputs : float32 [input, 4 * units]
    recurrent : float32 [units, 4 * units]
    bias : float32 [4 * units]
    """

    inputs: FloatArray
    recurrent: FloatArray
    bias: FloatArray


class Network(NamedTuple):
    """The encoder.

    Attributes
    ----------
    layers : list of Layer
    dense : float32 [units, dim]
    bias : float32 [dim]
    """

    layers: list[Layer]
    dense: FloatArray
    bias: FloatArray


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
    encoder = network(torch_file.read(weights.read(card)))
    return patches.embedder(windows, lambda mels: encode(mels, encoder), at_once=AT_ONCE * threads.count())


def network(tensors: dict[str, FloatArray]) -> Network:
    """Arrange a checkpoint's tensors.

    Parameters
    ----------
    tensors : dict
        PyTorch names and layout: ``lstm.weight_ih_l0`` and so on, ``linear.weight``, ``linear.bias``.

    Returns
    -------
    Network

    Raises
    ------
    Unavailable
        If a tensor is missing.
    """
    try:
        layers, k = [], 0
        while f"lstm.weight_ih_l{k}" in tensors:
            layers.append(_layer(*(tensors[f"lstm.{n}_l{k}"] for n in
                                   ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))))
            k += 1
        return Network(layers, np.ascontiguousarray(tensors["linear.weight"].T), tensors["linear.bias"])
    except KeyError as error:
        why = f"the checkpoint has no tensor {error}"
        raise Unavailable("resemblyzer", why, "Delete the package from the cache and run again.") from error


def windows(wave: FloatArray) -> FloatArray:
    """Cut a clip into the mel spectrograms that the network sees.

    Parameters
    ----------
    wave : float32 [samples]
        At least one.

    Returns
    -------
    float32 [windows, 160, 40]
    """
    starts = window_starts(len(wave))
    end = (starts[-1] + WINDOW) * HOP
    mels = mel_spectrogram(np.pad(_raised(wave), (0, max(0, end - len(wave)))))
    return np.stack([mels[s:s + WINDOW] for s in starts])


def window_starts(samples: int) -> list[int]:
    """First frames of a clip's windows.

    Parameters
    ----------
    samples : int

    Returns
    -------
    list of int
        At least one.
    """
    count = -(-(samples + 1) // HOP)
    starts = list(range(0, max(1, count - WINDOW + STEP + 1), STEP))
    covered = (samples - starts[-1] * HOP) / (WINDOW * HOP)
    return starts[:-1] if covered < COVERAGE and len(starts) > 1 else starts


def mel_spectrogram(wave: npt.ArrayLike) -> FloatArray:
    """Mel power spectrogram with centred frames.

    Parameters
    ----------
    wave : array [samples]

    Returns
    -------
    float32 [1 + samples // 160, 40]
    """
    padded = np.pad(np.asarray(wave, dtype=np.float64), FFT // 2)
    power = np.abs(spectra(frames(padded, FFT, HOP), hann(FFT), FFT)) ** 2
    return (power @ slaney_matrix()).astype(np.float32)


@lru_cache(maxsize=1)
def slaney_matrix() -> npt.NDArray[np.float64]:
    """Weights of 40 bands from 0 to 8 kHz, after M. Slaney's Auditory Toolbox (1998).

    The scale is linear (3 mel in 200 Hz) up to 1 kHz and logarithmic (27 mel in a factor of 6.4)
    above; triangles are linear in Hz and have an area of 1.

    Returns
    -------
    float64 [201, 40]
    """
    top = 15 + 27 * np.log(8.0) / np.log(6.4)
    points = np.linspace(0, top, MELS + 2)
    corners = np.where(points < 15, points * 200 / 3, 1000 * 6.4 ** ((points - 15) / 27))
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    lines = np.linspace(0, 8000, FFT // 2 + 1)[:, None]
    slopes = np.minimum((lines - low) / (centre - low), (high - lines) / (high - centre))
    return np.asarray(np.maximum(0, slopes) * (2 / (high - low)))


def encode(mels: FloatArray, encoder: Network) -> FloatArray:
    """Run the network, on some windows in each thread.

    Parameters
    ----------
    mels : float32 [windows, frames, 40]
    encoder : Network

    Returns
    -------
    float32 [windows, dim]
        Non-negative, of length 1.
    """
    parts = [mels[i:i + AT_ONCE] for i in range(0, len(mels), AT_ONCE)]
    return np.concatenate(threads.over(lambda part: _encode(part, encoder), parts))


def _encode(mels: FloatArray, encoder: Network) -> FloatArray:
    states = np.ascontiguousarray(mels.transpose(1, 0, 2))
    for layer in encoder.layers:
        states = _lstm(states, layer)
    found = np.maximum(states[-1] @ encoder.dense + encoder.bias, 0)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def _raised(wave: FloatArray) -> npt.NDArray[np.float64]:
    level = np.sqrt(np.mean(wave.astype(np.float64) ** 2))
    return wave * (LEVEL / level if 0 < level < LEVEL else 1.0)


def _layer(weight_ih: FloatArray, weight_hh: FloatArray, bias_ih: FloatArray, bias_hh: FloatArray) -> Layer:
    # PyTorch's order is input, forget, candidate, output; with the three sigmoids side by side, one
    # call computes them
    def ordered(rows: FloatArray) -> FloatArray:
        i, f, g, o = np.split(rows, 4)
        return np.concatenate([i, f, o, g])

    return Layer(np.ascontiguousarray(ordered(weight_ih).T), np.ascontiguousarray(ordered(weight_hh).T),
                 ordered(bias_ih + bias_hh))


def _lstm(inputs: FloatArray, layer: Layer) -> FloatArray:
    """float32 [frames, windows, input] to [frames, windows, units]."""
    steps, clips, width = inputs.shape
    units = layer.recurrent.shape[0]
    gates = (inputs.reshape(-1, width) @ layer.inputs + layer.bias).reshape(steps, clips, 4 * units)
    outputs = np.empty((steps, clips, units), np.float32)
    state, cell = np.zeros((2, clips, units), np.float32)
    for gate, output in zip(gates, outputs, strict=True):
        gate += state @ layer.recurrent
        opening = gate[:, :3 * units]
        opening *= 0.5  # the logistic function is (1 + tanh(x / 2)) / 2, and one tanh does for all gates
        np.tanh(gate, out=gate)
        opening += 1
        opening *= 0.5
        cell = gate[:, units:2 * units] * cell + gate[:, :units] * gate[:, 3 * units:]
        state = np.multiply(gate[:, 2 * units:3 * units], np.tanh(cell), out=output)
    return outputs
