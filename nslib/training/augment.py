"""Random channels: windows are changed so that microphone, room and level do not say which belong together.

Each window gets a channel of its own, also the two of a pair; tempo and vocal tract (`cut_windows`, `warp`) may be the
pair's. Everything happens in log-mel, on whole batches in NumPy: a filter is a weight a band, sounds that are added add
their power, a room is a tail that decays from frame to frame. What a codec does is imitated by noise that follows the
level and by bands that it drops; no codec is run. This costs a few per cent of a training step, where changed waveforms
and their spectra would cost as much as the step.

The settings say how often or how far (`nslib.training.settings.PairSettings`); how strong is drawn from `RANGES`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.frontend import HOP, SAMPLE_RATE, TRILL, mel
from nslib.training.settings import PairSettings

__all__ = ["augment", "cut_windows", "warp"]

RANGES = {
    "mix": (0.0, 20.0),  # dB by which what is mixed in is softer than the window
    "noise": (5.0, 40.0),  # the same for noise
    "tilt": (-5.0, 2.0),  # of that noise, dB an octave
    "room": (0.15, 0.9),  # s in which the tail falls by 60 dB
    "tail": (-15.0, 0.0),  # dB, power of the tail against the sound itself
    "low": (80.0, 500.0),  # Hz below which a band-limited window falls off
    "high": (2500.0, 7500.0),  # Hz above which it does: 3.4 kHz is a telephone
    "slope": (6.0, 100.0),  # dB an octave, of both
    "codec": (12.0, 40.0),  # dB by which a codec's noise is softer than the frame
    "dropped": (25.0, 60.0),  # dB under a frame's strongest band at which a codec drops a band
    "short": (0.3, 1.0),  # share of a window that is left of it
}
"""What a change draws from, evenly; frequencies by their logarithm."""

SILENCE = math.log(TRILL.offset)  # what log-mel is where there is no sound

_ORDERS = np.arange(1, 6)  # of cosines over the bands, of which an equaliser's curve is made
_CURVES = np.cos(np.pi * np.outer(_ORDERS, np.linspace(0, 1, TRILL.mels))) / np.sqrt(_ORDERS)[:, None]
_LEAST = 1e-12

FloatArray = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def cut_windows(frames: npt.NDArray[Any], first: Ints, ends: Ints, starts: npt.NDArray[Any],
                rates: npt.NDArray[Any] | float = 1.0) -> FloatArray:
    """Cut windows [windows, 96, 64] out of a long log-mel [frames, 64], maybe stretched in time; behind it is silence.

    ``first`` and ``ends`` say where the piece of each window begins, and where the next one does; ``starts`` at which
    frame of the piece the window begins; ``rates`` how many frames of the piece one of the window is: 1.1 makes speech
    faster. Between frames values are interpolated.
    """
    at = (first + starts)[:, None] + np.arange(TRILL.patch) * np.reshape(rates, (-1, 1))
    below = np.minimum(np.floor(at).astype(np.int64), ends[:, None] - 1)
    windows = frames[below].astype(np.float32)
    share = (at - below).astype(np.float32)[..., None]
    if share.any():
        above = frames[np.minimum(below + 1, ends[:, None] - 1)].astype(np.float32)
        windows += np.clip(share, 0, 1) * (above - windows)
    windows[at >= ends[:, None]] = SILENCE
    return windows


def augment(windows: FloatArray, settings: PairSettings, rng: np.random.Generator) -> FloatArray:
    """Give each window [windows, 96, 64] a random channel; what is mixed in is another window of the batch."""
    count = len(windows)

    def happens(share: float) -> npt.NDArray[np.bool_]:
        return rng.random(count) < share

    def draw(name: str, *, even: bool = True) -> npt.NDArray[np.float64]:
        low, high = RANGES[name] if even else np.log(RANGES[name])
        drawn = rng.uniform(low, high, count)
        return drawn if even else np.exp(drawn)

    power = np.square(np.exp(windows) - np.float32(TRILL.offset))
    level = power.mean((1, 2), dtype=np.float64) + _LEAST
    if settings.mix:
        other = rng.permutation(count)
        share = np.where(happens(settings.mix), level / level[other] * _from_db(-draw("mix")), 0)
        power += _widen(share) * power[other]
    if settings.room:
        add_tail(power, draw("room"), np.where(happens(settings.room), _from_db(draw("tail")), 0))
    curve = rng.uniform(-settings.gain, settings.gain, count)[:, None]
    curve = curve + rng.normal(0, settings.equaliser, (count, len(_CURVES))) @ _CURVES  # a smooth equaliser
    if settings.band:
        limited = happens(settings.band)[:, None]
        below = np.maximum(0, np.log2(draw("low", even=False)[:, None] / _HERTZ)) * draw("slope")[:, None]
        above = np.maximum(0, np.log2(_HERTZ / draw("high", even=False)[:, None])) * draw("slope")[:, None]
        curve -= limited * (below + above)
    power *= _from_db(curve).astype(np.float32)[:, None, :]
    if settings.noise:
        level = power.mean((1, 2), dtype=np.float64)
        shape = _from_db(draw("tilt")[:, None] * np.log2(_HERTZ / 1000))
        share = np.where(happens(settings.noise), level * _from_db(-draw("noise")), 0)
        power += (share[:, None] * shape / shape.mean(1, keepdims=True)).astype(np.float32)[:, None, :]
    if settings.codec:
        coded = happens(settings.codec)
        some = power[coded]
        some[some < some.max(2, keepdims=True) * _widen(_from_db(-draw("dropped"))[coded])] = 0
        power[coded] = some + some.mean(2, keepdims=True) * _widen(_from_db(-draw("codec"))[coded])
    out = np.log(np.sqrt(power) + np.float32(TRILL.offset))
    if settings.short:
        ends = np.where(happens(settings.short), draw("short"), 1.0) * TRILL.patch
        out[np.arange(TRILL.patch) >= ends[:, None]] = SILENCE
    return out


_PLACES = np.linspace(mel(TRILL.low), mel(TRILL.high), TRILL.mels + 2)[1:-1]
_HERTZ = 700 * np.expm1(_PLACES / 1127)


def warp(windows: FloatArray, factors: npt.NDArray[np.float64]) -> FloatArray:
    """Move bands up or down in frequency by a factor a window, as a shorter or longer vocal tract does."""
    at = np.clip((mel(_HERTZ * factors[:, None]) - _PLACES[0]) / (_PLACES[1] - _PLACES[0]), 0, TRILL.mels - 1)
    below = np.minimum(at.astype(np.int64), TRILL.mels - 2)
    share = (at - below).astype(np.float32)
    # as a product with a matrix of two weights a band, which is faster than to gather single numbers
    weights = np.zeros((len(windows), TRILL.mels, TRILL.mels), np.float32)
    rows, bands = np.arange(len(windows))[:, None], np.arange(TRILL.mels)
    weights[rows, below, bands] = 1 - share
    weights[rows, below + 1, bands] = share
    return np.matmul(windows, weights)


def add_tail(power: FloatArray, seconds: npt.NDArray[np.float64], strength: npt.NDArray[np.float64]) -> None:
    """Add to each frame what decays of all frames before it; in place, where the strength is not 0."""
    rows = np.flatnonzero(strength)
    falls = 10 ** (-6 * HOP / SAMPLE_RATE / seconds[rows])
    share, decay = ((of[:, None]).astype(np.float32) for of in (strength[rows] * (1 - falls), falls))
    some, tail = power[rows], np.zeros((len(rows), power.shape[2]), np.float32)
    for frame in range(power.shape[1]):
        sound = some[:, frame].copy()
        some[:, frame] += share * tail
        tail = decay * tail + sound
    power[rows] = some


def _from_db(decibels: Any) -> Any:
    return 10 ** (decibels / 10)


def _widen(values: npt.NDArray[Any]) -> FloatArray:
    """Bring a number a window into a shape that multiplies windows."""
    return values.astype(np.float32)[:, None, None]
