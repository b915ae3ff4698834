"""Sounds with the make-up of speech, made by rule: the same on every machine, free of anybody's rights.

They set the ranges of networks in 8 bits and measure what a backend costs in accuracy. They stand for speech in
pitch, formants, fricatives, pauses, loudness and background, not in words.

Conventions
-----------
A source of pulses at a gliding pitch goes through resonators at the formants of ten English vowels (men's means of
Peterson and Barney, JASA 1952; women's voices have formants 1.17 times as high); fricatives are high-passed noise.
Peak level -30 to 0 dBFS, background noise 20 to 60 dB below the voice. As recordings are: one sound in four has no
noise, so that its pauses are digital silence, and one in four is overdriven and clipped.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nslib.embeddings.base import SAMPLE_RATE, FloatArray

VERSION = 1
"""Raised when a sound changes: networks in 8 bits are then others."""

VOWELS = ((270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440),
          (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390), (490, 1350, 1690))
"""Hz: first three formants."""

BANDWIDTHS = (60, 90, 150)


def speech_like(seed: int, seconds: float = 3.0) -> FloatArray:
    """Make one sound.

    Parameters
    ----------
    seed : int
        Decides everything: voice, pitch, vowels, pauses, level, background.
    seconds : float

    Returns
    -------
    float32 [samples]
        In [-1, 1], 16 kHz.
    """
    rng, samples = np.random.default_rng(seed), round(seconds * SAMPLE_RATE)
    high = bool(rng.integers(2))
    pieces: list[npt.NDArray[np.float64]] = []
    while sum(map(len, pieces)) < samples:
        pieces.append(_piece(rng, high))
    voice = np.concatenate(pieces)[:samples]
    noise = rng.normal(0, 1, samples) * np.abs(voice).max() * 10 ** (-rng.uniform(20, 60) / 20) / 3
    mixed = voice + noise * (seed % 4 != 1)
    level = 10 ** (rng.uniform(3, 15) / 20) if seed % 4 == 2 else 10 ** (-rng.uniform(0, 30) / 20)
    return np.clip(mixed / np.abs(mixed).max() * level, -1, 1).astype(np.float32)


def several(count: int, first: int = 0) -> list[FloatArray]:
    """Make sounds of different seeds.

    Parameters
    ----------
    count : int
    first : int
        The first one's seed.

    Returns
    -------
    list of float32 [samples]
        Three seconds each.
    """
    return [speech_like(seed) for seed in range(first, first + count)]


def wide(count: int, first: int = 0) -> list[FloatArray]:
    """Make sounds as `several` does, and then what lies at the edge of what networks hear.

    Parameters
    ----------
    count, first : int
        As in `several`.

    Returns
    -------
    list of float32 [48000]
        Three more than `count`: digital silence, a sound that ends in it, and noise at full scale.
    """
    made, last = several(count, first), speech_like(first + count)
    last[len(last) // 2:] = 0
    noise = np.random.default_rng(first).uniform(-1, 1, len(last)).astype(np.float32)
    return [*made, np.zeros_like(last), last, noise]


def _piece(rng: np.random.Generator, high: bool) -> npt.NDArray[np.float64]:
    """A vowel, a fricative or a pause of 60 to 300 ms."""
    length = round(rng.uniform(0.06, 0.3) * SAMPLE_RATE)
    kind = rng.choice(3, p=(0.65, 0.2, 0.15))
    if kind == 2:
        return np.zeros(length)
    return _faded(_vowel(rng, length, high) if kind == 0 else 0.15 * _fricative(rng, length))


def _vowel(rng: np.random.Generator, length: int, high: bool) -> npt.NDArray[np.float64]:
    import scipy.signal

    start = rng.uniform(160, 260) if high else rng.uniform(80, 150)
    pitch = np.linspace(start, start * rng.uniform(0.8, 1.2), length)
    turns = np.cumsum(pitch) / SAMPLE_RATE
    # a pulse where a turn is completed, softened as the glottis softens it, with a little breath
    sound = np.diff(np.floor(turns), prepend=0.0) + rng.normal(0, 0.01, length)
    sound = scipy.signal.lfilter([1.0], [1.0, -0.9], sound)
    for formant, width in zip(VOWELS[rng.integers(len(VOWELS))], BANDWIDTHS, strict=True):
        radius = np.exp(-np.pi * width / SAMPLE_RATE)
        angle = 2 * np.pi * formant * (1.17 if high else 1.0) / SAMPLE_RATE
        poles = [1.0, -2 * radius * np.cos(angle), radius**2]
        sound = scipy.signal.lfilter([sum(poles)], poles, sound)
    return _unit(sound)


def _fricative(rng: np.random.Generator, length: int) -> npt.NDArray[np.float64]:
    import scipy.signal

    low = rng.uniform(1500, 5000) / (SAMPLE_RATE / 2)
    return _unit(scipy.signal.sosfilt(scipy.signal.butter(4, low, "high", output="sos"), rng.normal(0, 1, length)))


def _unit(sound: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(sound / max(np.abs(sound).max(), 1e-9))


def _faded(sound: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    ramp = np.minimum(1.0, np.arange(len(sound)) / (0.01 * SAMPLE_RATE))
    return sound * ramp * ramp[::-1]
