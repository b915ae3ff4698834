"""Pairs of windows from recordings (`nslib.train.recorded`): drawn at random, log-mel on the fly.

Conventions
-----------
A window is `WINDOW_SAMPLES` long: exactly one patch of TRILL. What step ``n`` sees depends on the seed and
``n`` only, so that training can be taken up at any step; nothing has to be replayed or saved.

Pieces with a single possible window, or without two that are `PairSettings.gap` apart, cannot be a
pair: they are left out and counted, never paired with themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nslib import audio
from nslib.errors import BadParameter
from nslib.train.augment import WINDOW_SAMPLES, features
from nslib.train.recorded import Ints, Recordings, Samples
from nslib.train.settings import PairSettings

_TRIES = 3
_AHEAD = 2


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
