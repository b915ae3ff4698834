"""Log-mel spectrograms and patches of TRILL, TRILLsson, YAMNet and VGGish, in NumPy and in TensorFlow.

Frames of 400 samples every 160, none that reaches beyond the end: ``1 + (n - 400) // 160``. Periodic Hann window,
zero-padding to 512, real FFT, *magnitude* (not power), mel matrix, log (Shor et al., arXiv:2002.12764; the models'
published constants). Everything is computed in float64 and returned as float32 unless told otherwise. YAMNet and the
hub's VGGish compute in float32 themselves; on recordings the difference is below 2e-5.

`log_mel_tf`, `pad_tf` and `patches_tf` are the same functions for TensorFlow graphs and models. The tests hold the two
together to 1e-10 in float64; in float32 they differ by less than 2e-5 where there is a noise floor, and by up to 0.005
between the lines of pure tones, where only rounding is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib.errors import BadParameter

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["FFT", "HOP", "SAMPLE_RATE", "TRILL", "TRILLSSON", "VGGISH", "WINDOW", "YAMNET", "Frontend", "frames",
           "hann", "log_mel", "log_mel_tf", "mel", "mel_matrix", "pad", "pad_tf", "patch_count", "patch_seconds",
           "patch_starts", "patches", "patches_tf", "spectra"]

SAMPLE_RATE = 16_000
WINDOW, HOP, FFT = 400, 160, 512
_BLOCK = 4096  # frames computed at once, 41 s: an hour of sound needs no gigabytes
_NARROW = 8  # bands of the mel matrix at a time

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Frontend:
    """Constants of one model's input.

    - ``mels``: bands between ``low`` and ``high`` Hz
    - ``offset``: added to the mel magnitudes before the natural log; ``floor``: what they are raised to before that
    - ``patch``, ``patch_hop``: frames in a patch, and between the starts of patches
    - ``min_samples``: shorter clips are padded to this length
    - ``pad``: how: "zeros" at the end, "symmetric" (mirrored at the end, edge sample repeated), or "none"
    - ``whole``: if above 0, what goes beyond ``min_samples`` is padded to a multiple of this too
    """

    name: str
    mels: int = 64
    low: float = 125.0
    high: float = 7500.0
    offset: float = 0.001
    floor: float = 0.0
    patch: int = 96
    patch_hop: int = 96
    min_samples: int = 0
    pad: str = "zeros"
    whole: int = 0


TRILL = Frontend("TRILL", floor=1e-12, patch_hop=17, min_samples=16_000)
TRILLSSON = Frontend("TRILLsson", mels=80, floor=1e-12, patch=195, patch_hop=195, min_samples=32_000, pad="symmetric")
YAMNET = Frontend("YAMNet", patch_hop=48, min_samples=15_600, whole=7_680)
# The TF Hub export of VGGish may pad as YAMNet does; the authors' Python code, followed here, does not.
VGGISH = Frontend("VGGish", offset=0.01, patch_hop=96, pad="none")


def mel(frequency: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Pitch in HTK mel of frequencies in Hz, in an array of the same shape."""
    return np.asarray(1127.0 * np.log1p(np.asarray(frequency, dtype=np.float64) / 700.0))


@lru_cache(maxsize=32)
def mel_matrix(mels: int = 64, low: float = 125.0, high: float = 7500.0) -> npt.NDArray[np.float64]:
    """Weights that sum FFT magnitudes to mel bands, [257, mels] float64, read-only.

    With ``m(f) = 1127 ln(1 + f / 700)`` (S. Young et al., *The HTK Book*) and ``mels + 2`` points equally spaced in mel
    from `low` to `high` Hz, a band weighs an FFT line at mel ``x`` by ``max(0, 1 - |x - centre| / spacing)``: linear in
    mel, not in Hz, and not normalised. The line at 0 Hz weighs nothing.
    """
    lines = mel(np.arange(FFT // 2 + 1) * (SAMPLE_RATE / FFT))[:, None]
    points = np.linspace(mel(low), mel(high), mels + 2)
    spacing = (mel(high) - mel(low)) / (mels + 1)
    weights = np.maximum(0.0, 1.0 - np.abs(lines - points[1:-1]) / spacing)
    weights[0] = 0.0
    weights.flags.writeable = False
    return weights


@lru_cache(maxsize=8)
def hann(window: int = WINDOW) -> npt.NDArray[np.float64]:
    """Periodic Hann window [window], read-only: the symmetric one of ``window + 1`` points without its last."""
    values = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    values.flags.writeable = False
    return values


def frames(wave: npt.ArrayLike, window: int = WINDOW, hop: int = HOP) -> FloatArray:
    """Overlapping frames [..., frames, window] of a signal [..., samples]: a read-only view, empty if too short."""
    signal = np.asarray(wave)
    if signal.shape[-1] < window:
        return np.empty((*signal.shape[:-1], 0, window), signal.dtype)
    return np.lib.stride_tricks.sliding_window_view(signal, window, axis=-1)[..., ::hop, :]


def spectra(framed: FloatArray, window: FloatArray, fft: int = FFT) -> npt.NDArray[np.complex128]:
    """Spectra [..., frames, fft // 2 + 1] of frames [..., frames, samples], windowed and zero-padded, complex128."""
    padded = np.zeros((*framed.shape[:-1], fft))  # twice as fast as to let rfft pad
    np.multiply(framed, window, out=padded[..., : len(window)])
    return np.fft.rfft(padded, axis=-1)


def log_mel(wave: npt.ArrayLike, frontend: Frontend = TRILL, *, dtype: npt.DTypeLike = np.float32) -> FloatArray:
    """Log-mel spectrogram, without padding.

    Parameters
    ----------
    wave : array [..., samples]
        16 kHz, in [-1, 1].
    dtype : dtype
        Of the result; the computation is in float64.

    Returns
    -------
    array [..., frames, mels]
        Natural log; digital silence is ``ln(offset)``, -6.9078 for TRILL.
    """
    framed = frames(np.asarray(wave, dtype=np.float64))
    count = framed.shape[-2]
    out = np.empty((*framed.shape[:-1], frontend.mels), dtype)
    for start in range(0, count, _BLOCK):
        some = slice(start, start + _BLOCK)
        bands = np.abs(spectra(framed[..., some, :], hann())) @ mel_matrix(frontend.mels, frontend.low, frontend.high)
        out[..., some, :] = np.log(np.maximum(bands, frontend.floor) + frontend.offset)
    return out


def padded_samples(samples: int, frontend: Frontend = TRILL) -> int:
    """Length of a clip after the model's padding."""
    length = max(samples, frontend.min_samples)
    if frontend.whole:
        length += -(length - frontend.min_samples) % frontend.whole
    return length


def pad(wave: npt.ArrayLike, frontend: Frontend = TRILL) -> FloatArray:
    """Pad clips [..., samples] as the model does, maybe by nothing; BadParameter if they are empty."""
    signal = np.asarray(wave)
    if not signal.shape[-1]:
        raise BadParameter("an empty clip cannot be padded; give at least one sample.")
    extra = padded_samples(signal.shape[-1], frontend) - signal.shape[-1]
    if not extra or frontend.pad == "none":
        return signal
    mode: Any = "constant" if frontend.pad == "zeros" else "symmetric"
    return np.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, extra)], mode=mode)


def patch_count(samples: int, frontend: Frontend = TRILL) -> int:
    """Number of patches of a clip after padding; VGGish gives 0 for clips below 0.975 s."""
    length = samples if frontend.pad == "none" else padded_samples(samples, frontend)
    count = 1 + (length - WINDOW) // HOP if length >= WINDOW else 0
    return max(0, 1 + (count - frontend.patch) // frontend.patch_hop)


def patches(spectrogram: npt.ArrayLike, frontend: Frontend = TRILL) -> FloatArray:
    """Cut the spectrogram [..., frames, mels] of padded clips into the overlapping patches that a network sees.

    Given are [..., patches, frames, mels]; frames after the last whole patch are dropped, as the models do.
    """
    values = np.asarray(spectrogram)
    if values.shape[-2] < frontend.patch:
        return np.empty((*values.shape[:-2], 0, frontend.patch, values.shape[-1]), values.dtype)
    view = np.lib.stride_tricks.sliding_window_view(values, frontend.patch, axis=-2)
    return np.ascontiguousarray(view[..., :: frontend.patch_hop, :, :].swapaxes(-2, -1))


def patch_starts(count: int, frontend: Frontend = TRILL) -> npt.NDArray[np.float64]:
    """Seconds at which `count` patches start; each covers `patch_seconds`."""
    return np.arange(count, dtype=np.float64) * (frontend.patch_hop * HOP / SAMPLE_RATE)


def patch_seconds(frontend: Frontend = TRILL) -> float:
    """Seconds of audio under one patch, 0.975 for 96 frames."""
    return ((frontend.patch - 1) * HOP + WINDOW) / SAMPLE_RATE


def log_mel_tf(wave: tf.Tensor, frontend: Frontend = TRILL, dtype: tf.DType | str = "float64", *,
               narrow: bool = False) -> tf.Tensor:
    """Log-mel spectrogram [..., frames, mels] of waves [..., samples] as a TensorFlow function, without padding.

    ``dtype`` is of the computation and the result: TRILL and its students compute in float64 and cast at the end,
    YAMNet in float32. ``narrow`` multiplies by a few bands of the mel matrix at a time, over the lines that these hear.
    The result is the same; a converter that quantises large matrices then leaves this one alone.
    """
    import tensorflow as tf

    framed = tf.signal.frame(tf.cast(wave, dtype), WINDOW, HOP, axis=-1)
    magnitude = tf.abs(tf.signal.rfft(framed * tf.constant(hann(), dtype), [FFT]))
    weights = mel_matrix(frontend.mels, frontend.low, frontend.high)
    bands = _multiply_narrow(magnitude, weights) if narrow else tf.tensordot(magnitude, tf.constant(weights, dtype), 1)
    # tf.cast of a Python number would pass through float32
    floor, offset = tf.constant(frontend.floor, dtype), tf.constant(frontend.offset, dtype)
    return tf.math.log(tf.maximum(bands, floor) + offset)


def _multiply_narrow(magnitude: tf.Tensor, weights: npt.NDArray[np.float64]) -> tf.Tensor:
    """Multiply by a few bands at a time, over the FFT lines that they hear."""
    import tensorflow as tf

    parts = []
    for bands in np.split(weights, range(_NARROW, weights.shape[1], _NARROW), axis=1):
        lines = np.flatnonzero(bands.any(axis=1))
        some = slice(int(lines[0]), int(lines[-1]) + 1)
        parts.append(tf.tensordot(magnitude[..., some], tf.constant(bands[some], magnitude.dtype), 1))
    return tf.concat(parts, -1)


def pad_tf(wave: tf.Tensor, frontend: Frontend = TRILL) -> tf.Tensor:
    """Pad clips [..., samples] of one length, maybe unknown when the graph is built, as a TensorFlow function."""
    import tensorflow as tf

    if frontend.pad == "none":
        return wave
    samples = tf.shape(wave)[-1]
    length = tf.maximum(samples, frontend.min_samples)
    if frontend.whole:
        length += tf.math.floormod(frontend.min_samples - length, frontend.whole)
    if frontend.pad == "symmetric":
        # tf.pad's SYMMETRIC mode adds at most one copy of the clip; this goes on as NumPy's does
        place = tf.math.floormod(tf.range(length), 2 * samples)
        return tf.gather(wave, tf.minimum(place, 2 * samples - 1 - place), axis=-1)
    before = tf.zeros([tf.rank(wave) - 1, 2], tf.int32)
    return tf.pad(wave, tf.concat([before, [[0, length - samples]]], axis=0))


def patches_tf(spectrogram: tf.Tensor, frontend: Frontend = TRILL) -> tf.Tensor:
    """Cut spectrograms [..., frames, mels] into patches [..., patches, frames, mels], as a TensorFlow function."""
    import tensorflow as tf

    return tf.signal.frame(spectrogram, frontend.patch, frontend.patch_hop, axis=-2)
