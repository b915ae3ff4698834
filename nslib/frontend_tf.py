"""The front end of `nslib.frontend` as TensorFlow functions, for use inside graphs and models.

Constants, conventions and results are those of `nslib.frontend`; the tests hold the two together
to 1e-10 in float64. In float32 they differ by less than 2e-5 where there is a noise floor, as in any
recording, and by up to 0.005 between the lines of pure tones, where only rounding is left. The mel
matrix is the NumPy one, so that there is one definition of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nslib import frontend as numpy_frontend
from nslib.frontend import FFT, HOP, TRILL, WINDOW, Frontend

_NARROW = 8  # bands


def log_mel(wave: tf.Tensor, frontend: Frontend = TRILL, dtype: tf.DType = tf.float64, *,
            narrow: bool = False) -> tf.Tensor:
    """Log-mel spectrogram, without padding.

    Parameters
    ----------
    wave : float tensor [..., samples]
        16 kHz, in [-1, 1].
    frontend : Frontend
    dtype : tf.DType
        Of the computation and the result. TRILL and its students compute in float64 and cast at
        the end, YAMNet in float32.
    narrow : bool
        Multiply by a few bands of the mel matrix at a time, over the lines that these hear. The result is
        the same; a converter that quantises large matrices then leaves this one alone.

    Returns
    -------
    tensor [..., frames, mels]
    """
    frames = tf.signal.frame(tf.cast(wave, dtype), WINDOW, HOP, axis=-1)
    spectrum = tf.signal.rfft(frames * tf.constant(numpy_frontend.hann(), dtype), [FFT])
    weights = numpy_frontend.mel_matrix(frontend.mels, frontend.low, frontend.high)
    magnitude = tf.abs(spectrum)
    bands = _narrow(magnitude, weights) if narrow else tf.tensordot(magnitude, tf.constant(weights, dtype), 1)
    # tf.cast of a Python number would pass through float32
    floor, offset = tf.constant(frontend.floor, dtype), tf.constant(frontend.offset, dtype)
    return tf.math.log(tf.maximum(bands, floor) + offset)


def pad(wave: tf.Tensor, frontend: Frontend = TRILL) -> tf.Tensor:
    """Pad clips of one length as the model does.

    Parameters
    ----------
    wave : tensor [..., samples]
        At least one sample; the length may be unknown when the graph is built.
    frontend : Frontend

    Returns
    -------
    tensor [..., padded samples]
    """
    if frontend.pad == "none":
        return wave
    samples = tf.shape(wave)[-1]
    length = tf.maximum(samples, frontend.min_samples)
    if frontend.whole:
        length += tf.math.floormod(frontend.min_samples - length, frontend.whole)
    if frontend.pad == "symmetric":
        return tf.gather(wave, _mirror(length, samples), axis=-1)
    before = tf.zeros([tf.rank(wave) - 1, 2], tf.int32)
    return tf.pad(wave, tf.concat([before, [[0, length - samples]]], axis=0))


def patches(spectrogram: tf.Tensor, frontend: Frontend = TRILL) -> tf.Tensor:
    """Cut spectrograms into the overlapping patches that a network sees.

    Parameters
    ----------
    spectrogram : tensor [..., frames, mels]
    frontend : Frontend

    Returns
    -------
    tensor [..., patches, frames, mels]
    """
    return tf.signal.frame(spectrogram, frontend.patch, frontend.patch_hop, axis=-2)


def _narrow(magnitude: tf.Tensor, weights: npt.NDArray[np.float64]) -> tf.Tensor:
    parts = []
    for start in range(0, weights.shape[1], _NARROW):
        heard = weights[:, start:start + _NARROW]
        lines = np.flatnonzero(heard.any(axis=1))
        some = slice(int(lines[0]), int(lines[-1]) + 1)
        parts.append(tf.tensordot(magnitude[..., some], tf.constant(heard[some], magnitude.dtype), 1))
    return tf.concat(parts, -1)


def _mirror(length: tf.Tensor, samples: tf.Tensor) -> tf.Tensor:
    # tf.pad's SYMMETRIC mode adds at most one copy of the clip; this goes on as NumPy's does
    at = tf.math.floormod(tf.range(length), 2 * samples)
    return tf.minimum(at, 2 * samples - 1 - at)
