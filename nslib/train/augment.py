"""Windows to log-mel patches inside a graph, changed at random on the way.

Conventions
-----------
Nothing is drawn from a global stream: the same seed changes the same windows in the same way. What may be changed,
and that the paper mentions none of it, is said in `nslib.train.settings.PairSettings`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nslib import audio
from nslib.frontend import HOP, TRILL, WINDOW
from nslib.train.settings import PairSettings

WINDOW_SAMPLES = (TRILL.patch - 1) * HOP + WINDOW
"""Samples of a window: exactly one patch of TRILL."""

_NOISE_FLOOR = -90.0
_SHORTEST = 0.3 / (WINDOW_SAMPLES / audio.SAMPLE_RATE)


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
