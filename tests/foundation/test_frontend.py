"""The front end in NumPy and TensorFlow: golden values, an independent derivation, equality of the two."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib import frontend as fe
from nslib.errors import BadParameter

ALL = [fe.TRILL, fe.TRILLSSON, fe.YAMNET, fe.VGGISH]
RNG = np.random.default_rng(3)


def golden_wave(samples=32000):
    t = np.arange(samples) / 16000
    return (0.5 * np.sin(2 * np.pi * 440 * t) + 0.1 * np.sin(2 * np.pi * 3000 * t)).astype(np.float32)


# golden: by the authors' formula in TensorFlow
@pytest.mark.parametrize(("frontend", "shape", "mean", "spread", "first"), [
    (fe.TRILL, (198, 64), -4.232589339, 3.006730854, [-4.21001724, -2.89423705, -2.28968648, -2.12519239]),
    (fe.TRILLSSON, (198, 80), -4.405370747, 2.927416244, [])])
def test_golden_spectrograms(frontend, shape, mean, spread, first):
    x = fe.log_mel(golden_wave(), frontend, dtype=np.float64)
    assert x.shape == shape and x.mean() == pytest.approx(mean, abs=1e-8) and x.std() == pytest.approx(spread, abs=1e-8)
    assert np.allclose(x[0, :len(first)], first, atol=1e-7)


@pytest.mark.parametrize(("frontend", "value"), [(fe.TRILL, -6.907755278), (fe.VGGISH, math.log(0.01))])
def test_golden_silence_and_patch_times(frontend, value):
    x = fe.log_mel(np.zeros(16000, np.float32), frontend)
    assert x.dtype == np.float32 and np.allclose(x, value, atol=1e-6)
    assert np.allclose(fe.patch_starts(3), [0, 0.17, 0.34]) and np.allclose(fe.patch_starts(2, fe.YAMNET), [0, 0.48])
    assert fe.patch_seconds() == 0.975


@pytest.mark.parametrize(("frontend", "seconds", "count"), [
    (fe.TRILL, 0.1, 1), (fe.TRILL, 1.49, 4), (fe.TRILL, 6.6, 34), (fe.TRILL, 30.0, 171), (fe.YAMNET, 0.1, 1),
    (fe.YAMNET, 0.975, 1), (fe.YAMNET, 0.976, 2), (fe.YAMNET, 10, 20), (fe.VGGISH, 0.01, 0), (fe.VGGISH, 0.9, 0),
    (fe.VGGISH, 0.975, 1), (fe.VGGISH, 10, 10), (fe.TRILLSSON, 0.3, 1), (fe.TRILLSSON, 2, 1), (fe.TRILLSSON, 4, 2)])
def test_golden_patch_counts(frontend, seconds, count):
    wave = np.zeros(round(16000 * seconds), np.float32)
    assert fe.patch_count(len(wave), frontend) == count
    patches = fe.patches(fe.log_mel(fe.pad(wave, frontend), frontend), frontend)
    assert patches.shape == (count, frontend.patch, frontend.mels)


def define_log_mel(samples, frontend):
    """One frame by a plain DFT and triangles built from their three corners."""
    n, k = np.arange(400), np.arange(257)
    lines = np.abs(np.exp(-2j * np.pi * np.outer(k, n) / 512) @ (np.sin(np.pi * n / 400) ** 2 * samples))
    low, high, *pitch = (1127 * math.log(1 + hertz / 700) for hertz in (frontend.low, frontend.high, *(31.25 * k)))
    edges, bands = np.linspace(low, high, frontend.mels + 2), []
    for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
        rise, fall = (pitch - left) / (centre - left), (right - pitch) / (right - centre)
        energy = np.maximum(np.minimum(rise, fall), 0)[1:] @ lines[1:]
        bands.append(math.log(max(energy, frontend.floor) + frontend.offset))
    return bands


@pytest.mark.parametrize("frontend", [fe.TRILL, fe.TRILLSSON, fe.VGGISH])
def test_agrees_with_the_definition(frontend):
    wave = RNG.normal(size=1200)
    fast = fe.log_mel(wave, frontend, dtype=np.float64)
    assert np.allclose(fast[3], define_log_mel(wave[480:880], frontend), atol=1e-9)


@settings(max_examples=40)
@given(st.integers(1, 80_000), st.sampled_from(ALL))
def test_padding_only_adds_at_the_end(samples, frontend):
    wave = np.arange(1, samples + 1, dtype=np.float64)
    padded = fe.pad(wave, frontend)
    assert np.array_equal(padded[:samples], wave)
    assert frontend.pad == "none" or len(padded) == fe.padded_samples(samples, frontend) >= frontend.min_samples
    if frontend.pad == "zeros":
        assert not padded[samples:].any()
    if frontend.pad == "symmetric" and samples < 32_000:
        assert padded[samples] == samples


def test_a_batch_is_its_clips_and_an_empty_clip_is_refused():
    waves = RNG.normal(size=(3, 4000))
    together = fe.log_mel(waves, dtype=np.float64)
    assert np.array_equal(together, np.stack([fe.log_mel(w, dtype=np.float64) for w in waves]))
    with pytest.raises(BadParameter, match="empty"):
        fe.pad(np.zeros(0))


@pytest.mark.parametrize("frontend", ALL, ids=lambda f: f.name)
def test_tensorflow_agrees_and_pads_alike(frontend):
    import tensorflow as tf

    wave = np.stack([golden_wave(36800), 0.1 * RNG.normal(size=36800)]).astype(np.float32)
    spectrograms = [fe.log_mel(fe.pad(w, frontend), frontend, dtype=np.float64) for w in wave]
    ours = np.stack([fe.patches(s, frontend) for s in spectrograms])
    for precision, tones, noise in (("float64", 1e-10, 1e-10), ("float32", 5e-3, 2e-5)):
        graph = tf.function(lambda w, precision=precision: fe.patches_tf(
            fe.log_mel_tf(fe.pad_tf(w, frontend), frontend, tf.as_dtype(precision)), frontend))
        theirs = graph(tf.constant(wave)).numpy()
        assert theirs.dtype == precision and theirs.shape == ours.shape
        assert np.abs(theirs - ours)[0].max() <= tones and np.abs(theirs - ours)[1].max() <= noise
    for samples in (1, 399, 9000, 15600, 15601, 40000):
        short = np.arange(1.0, samples + 1)
        assert np.array_equal(np.asarray(fe.pad_tf(short, frontend)), fe.pad(short, frontend))


def test_our_mel_matrix_is_tensorflows_and_narrow_bands_are_the_same_bands():
    import tensorflow as tf

    theirs = tf.signal.linear_to_mel_weight_matrix(80, 257, 16000, 125.0, 7500.0, tf.float64).numpy()
    assert np.abs(theirs - fe.mel_matrix(80)).max() < 1e-12
    wave = (0.1 * RNG.normal(size=8000)).astype(np.float32)
    narrow, whole = (np.asarray(fe.log_mel_tf(wave, narrow=narrow)) for narrow in (True, False))
    assert np.abs(narrow - whole).max() < 1e-12
