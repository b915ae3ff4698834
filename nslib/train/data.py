"""Pairs of windows from a clip table: decoded once, drawn at random, log-mel on the fly.

Conventions
-----------
A *piece* is a clip, or several short ones of the same speaker name after each other
(`PairSettings.join`). All pieces lie in one file of 16-bit samples that is mapped into memory. A
window is `WINDOW_SAMPLES` long: exactly one patch of TRILL. What step ``n`` sees depends on the seed and
``n`` only, so that training can be taken up at any step; nothing has to be replayed or saved.

Pieces with a single possible window, or without two that are `PairSettings.gap` apart, cannot be a
pair: they are left out and counted, never paired with themselves.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib import audio, files, params
from nslib.errors import BadAudio, BadParameter, Unavailable
from nslib.frontend import HOP, TRILL, WINDOW
from nslib.train.settings import PairSettings

if TYPE_CHECKING:
    import pandas as pd

WINDOW_SAMPLES = (TRILL.patch - 1) * HOP + WINDOW
_TRIES = 3
_DECODERS, _AT_ONCE = 2, 256
_AHEAD = 2
_NOISE_FLOOR = -90.0
_SHORTEST = 0.3 / (WINDOW_SAMPLES / audio.SAMPLE_RATE)

Ints = npt.NDArray[np.int64]
Samples = npt.NDArray[np.int16]
Waves = Iterator[npt.NDArray[np.float32] | BadAudio]
Reader = Callable[["pd.DataFrame"], Waves]


@dataclass(frozen=True)
class Recordings:
    """Pieces of audio in one file.

    Attributes
    ----------
    samples : int16 [all samples]
        Memory-mapped, read-only; 16 kHz, full scale 32767.
    starts, lengths : int64 [pieces]
        Of the pieces, in samples.
    names : tuple of str
        clip_id of the first clip of each piece.
    problems : tuple of str
        One line a clip that could not be read.
    """

    samples: Samples = field(repr=False)
    starts: Ints = field(repr=False)
    lengths: Ints = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    problems: tuple[str, ...] = ()

    @property
    def hours(self) -> float:
        """float: length of everything."""
        return float(self.lengths.sum()) / audio.SAMPLE_RATE / 3600


def recordings(clips: pd.DataFrame, join: float = 0.0, *, waves: Reader | None = None,
               progress: bool = True) -> Recordings:
    """Decode clips into one file, or find that file in the cache.

    Parameters
    ----------
    clips : DataFrame
        Clip table: ``clip_id, audio, sha256, speaker``; only neighbours in it can be joined.
    join : float
        See `PairSettings.join`.
    waves : callable, optional
        Gives the waveform of each row of `clips`, or what is wrong with it. Default: reads ``audio``.
    progress : bool

    Returns
    -------
    Recordings

    Raises
    ------
    BadParameter
        If no clip can be read.
    NslibError
        If the disk is full.
    """
    made_of = json.dumps([list(clips[name]) for name in ("clip_id", "sha256", "speaker")])
    folder = params.cache_dir("train") / hashlib.sha256(made_of.encode()).hexdigest()[:16]
    index = folder / "index.json"
    if not index.exists():  # the index is written last, so what has one is complete
        folder.mkdir(parents=True, exist_ok=True)
        known = _decode(clips, (waves or _waves)(clips), folder / "samples.i16", progress)
        files.write(index, json.dumps(known))
    known = json.loads(index.read_text(encoding="utf-8"))
    samples: Samples = np.memmap(folder / "samples.i16", np.int16, "r")
    starts, lengths, names = _joined(known, join)
    return Recordings(samples, np.array(starts, np.int64), np.array(lengths, np.int64), tuple(names),
                      tuple(known["problems"]))


def _decode(clips: pd.DataFrame, waves: Waves, path: Path, progress: bool) -> dict[str, list[Any]]:
    from tqdm.std import tqdm

    index: dict[str, list[Any]] = {"names": [], "speakers": [], "lengths": [], "problems": []}
    partial = path.with_suffix(f".{os.getpid()}")
    bar = tqdm(waves, "decoding", len(clips), unit="clip", disable=not progress)
    try:
        with partial.open("wb") as file:
            for row, wave in zip(clips.itertuples(), bar, strict=True):
                if isinstance(wave, BadAudio):
                    index["problems"].append(str(wave))
                    continue
                file.write(pcm(wave).tobytes())
                for key, value in (("names", row.clip_id), ("speakers", row.speaker), ("lengths", len(wave))):
                    index[key].append(value)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        remedy = "Free some space, or set NSLIB_CACHE to another disk."
        raise Unavailable(f"a place for {path}", error.strerror or str(error), remedy) from error
    if not index["names"]:
        first = (index["problems"] or ["there is none"])[0]
        raise BadParameter(f"none of {len(clips)} clips can be read. {first}")
    return index


def pcm(wave: npt.NDArray[np.float32]) -> Samples:
    """Round a waveform to 16 bits, as the kit's WAV files do; what is above full scale is cut off there.

    Parameters
    ----------
    wave : float32 [samples]

    Returns
    -------
    int16 [samples]
    """
    return np.rint(np.clip(wave.astype(np.float64), -1, 1) * 32767).astype(np.int16)


def _joined(index: dict[str, list[Any]], join: float) -> tuple[list[int], list[int], list[str]]:
    """Starts, lengths and names of pieces: neighbours of one speaker lie next to each other in the file."""
    starts: list[int] = []
    lengths: list[int] = []
    names: list[str] = []
    place, before = 0, ""
    for name, speaker, length in zip(index["names"], index["speakers"], index["lengths"], strict=True):
        if speaker and speaker == before and lengths[-1] < join * audio.SAMPLE_RATE:
            lengths[-1] += length
        else:
            starts.append(place)
            lengths.append(length)
            names.append(name)
        place, before = place + length, speaker
    return starts, lengths, names


def _waves(clips: pd.DataFrame) -> Waves:
    def read(path: str) -> npt.NDArray[np.float32] | BadAudio:
        try:
            return audio.read(path).wave
        except BadAudio as error:
            return error

    paths = list(clips["audio"])
    with ThreadPoolExecutor(_DECODERS) as pool:
        for start in range(0, len(paths), _AT_ONCE):  # few in memory
            yield from pool.map(read, paths[start:start + _AT_ONCE])


class Pairs:
    """Draws the pairs of a step.

    Parameters
    ----------
    recordings : Recordings
    settings : PairSettings
    seed : int

    Attributes
    ----------
    pieces : int64 array
        Which pieces can give a pair.
    left_out : dict of str to int
        Pieces that cannot: ``shorter than a window``, ``a single window`` (or none `gap` apart).

    Raises
    ------
    BadParameter
        If there are fewer usable pieces than pairs in a batch.
    """

    def __init__(self, recordings: Recordings, settings: PairSettings, seed: int = 0):
        self.recordings, self.settings, self.seed = recordings, settings, seed
        self.gap, self.tau = max(1, round(settings.gap * audio.SAMPLE_RATE)), round(settings.tau * audio.SAMPLE_RATE)
        room = recordings.lengths - WINDOW_SAMPLES
        self.pieces = np.flatnonzero(room >= self.gap)
        self.left_out = {"shorter than a window": int((room < 0).sum()),
                         "a single window": int(((room >= 0) & (room < self.gap)).sum())}
        if len(self.pieces) < settings.batch:
            raise BadParameter(f"a batch needs {settings.batch} different clips, and {len(self.pieces)} have two "
                               f"windows {settings.gap} s apart. Take fewer pairs or longer clips.")
        self._room = room[self.pieces]
        self._weights = np.ones(len(self.pieces)) if settings.weight == "clip" else self._room.astype(float)
        self._quiet = 32767.0 * 10 ** (settings.quiet / 20)

    def draw(self, step: int) -> tuple[Samples, Ints, Ints]:
        """Draw the windows of a step.

        Parameters
        ----------
        step : int

        Returns
        -------
        windows : int16 [pairs, 2, WINDOW_SAMPLES]
        pieces : int64 [pairs]
            Number of each pair's piece; all different.
        starts : int64 [pairs, 2]
            Of the windows in their piece, in samples.
        """
        rng = np.random.default_rng([self.seed, step])
        # exponential keys divided by weights: the smallest are a weighted draw without replacement
        keys = rng.exponential(size=len(self.pieces)) / self._weights
        chosen = np.argpartition(keys, self.settings.batch - 1)[: self.settings.batch]
        chosen = chosen[np.argsort(keys[chosen])]
        windows = np.empty((len(chosen), 2, WINDOW_SAMPLES), np.int16)
        starts = np.empty((len(chosen), 2), np.int64)
        for row, place in enumerate(chosen):
            starts[row] = self._pair(rng, place, windows[row])
        return windows, self.pieces[chosen], starts

    def _pair(self, rng: np.random.Generator, place: int, out: Samples) -> tuple[int, int]:
        first, room = int(self.recordings.starts[self.pieces[place]]), int(self._room[place])
        at = (0, 0)
        for _ in range(_TRIES):
            at = self._starts(rng, room)
            for slot, start in enumerate(at):
                out[slot] = self.recordings.samples[first + start:first + start + WINDOW_SAMPLES]
            if not silent(out, self._quiet).any():
                break
        return at

    def _starts(self, rng: np.random.Generator, room: int) -> tuple[int, int]:
        """Draw two starts that are `gap` to `tau` apart."""
        anchor = int(rng.integers(0, room + 1))
        if anchor < self.gap and room - anchor < self.gap:  # no partner on either side: take an end
            anchor = 0 if anchor * 2 < room else room
        before = range(max(0, anchor - self.tau), anchor - self.gap + 1)
        after = range(anchor + self.gap, min(room, anchor + self.tau) + 1)
        at = int(rng.integers(0, len(before) + len(after)))
        return anchor, before[at] if at < len(before) else after[at - len(before)]


def silent(windows: npt.NDArray[Any], level: float) -> npt.NDArray[np.bool_]:
    """Tell which windows are quieter than a level.

    Parameters
    ----------
    windows : array [..., samples]
    level : float
        Root mean square.

    Returns
    -------
    bool array [...]
    """
    return np.asarray(np.sqrt(np.mean(np.square(windows, dtype=np.float32), axis=-1)) < level)


def dataset(pairs: Pairs, first: int, last: int, *, augment: bool = True) -> Any:
    """Make the batches of steps as a `tf.data.Dataset`.

    Parameters
    ----------
    pairs : Pairs
    first, last : int
        Steps ``first`` to ``last - 1``.
    augment : bool
        Whether the windows are changed as the settings say.

    Returns
    -------
    tf.data.Dataset
        Of dicts: ``log_mel`` float32 [pairs, 2, 96, 64], ``clips`` int64 [pairs], ``silent`` bool [pairs, 2].
    """
    import tensorflow as tf

    settings, level = pairs.settings, pairs._quiet

    def drawn(step: Any) -> tuple[Any, ...]:
        windows, pieces, _ = pairs.draw(int(step))
        return windows, pieces, silent(windows, level)

    def batch(step: Any) -> dict[str, Any]:
        windows, pieces, quiet = tf.numpy_function(drawn, [step], (tf.int16, tf.int64, tf.bool))
        windows = tf.ensure_shape(windows, (settings.batch, 2, WINDOW_SAMPLES))
        return {"log_mel": features(windows, settings if augment else None, (pairs.seed, step)),
                "clips": tf.ensure_shape(pieces, (settings.batch,)),
                "silent": tf.ensure_shape(quiet, (settings.batch, 2))}

    return tf.data.Dataset.range(first, last).map(batch, _AHEAD, deterministic=True).prefetch(_AHEAD)


def features(windows: Any, settings: PairSettings | None = None, seed: tuple[Any, Any] = (0, 0)) -> Any:
    """Log-mel patches of windows, changed as the settings say.

    Parameters
    ----------
    windows : int16 tensor [pairs, 2, samples]
    settings : PairSettings, optional
        None changes nothing.
    seed : (int, int)
        The same seed changes them in the same way.

    Returns
    -------
    float32 tensor [pairs, 2, 96, 64]
    """
    import tensorflow as tf

    from nslib import frontend_tf

    wave = tf.cast(windows, tf.float32) / 32767.0
    draw = _Draws(tf.shape(wave)[:2], seed)
    if settings and settings.gain:
        wave *= 10 ** (draw(-1.0, 1.0)[..., None] * settings.gain / 20)
    if settings and settings.noise:
        level = 10 ** ((_NOISE_FLOOR + draw(0.0, 1.0) * settings.noise) / 20)
        wave += level[..., None] * tf.random.stateless_normal(tf.shape(wave), draw.next_seed())
    if settings and settings.short:
        ends = tf.where(draw(0.0, 1.0) < settings.short, draw(_SHORTEST, 1.0), 1.0) * WINDOW_SAMPLES
        wave *= tf.cast(tf.range(WINDOW_SAMPLES, dtype=tf.float32) < ends[..., None], tf.float32)
    patches = frontend_tf.log_mel(wave, TRILL, tf.float32)
    if settings and settings.tilt:
        slope = draw(-1.0, 1.0)[..., None, None] * tf.linspace(-0.5, 0.5, TRILL.mels)
        patches += slope * (settings.tilt * np.log(10) / 20)
    return patches


class _Draws:
    """Uniform numbers, one a window, each call from a stream of its own."""

    def __init__(self, shape: Any, seed: tuple[Any, Any]):
        import tensorflow as tf

        self.shape, self.calls = shape, 0
        self.seed = tf.stack([tf.cast(part, tf.int64) for part in seed])

    def next_seed(self) -> Any:
        import tensorflow as tf

        self.calls += 1
        return self.seed + tf.constant([1_000_003 * self.calls, 0], tf.int64)

    def __call__(self, low: float, high: float) -> Any:
        import tensorflow as tf

        return tf.random.stateless_uniform(self.shape, self.next_seed(), low, high)
