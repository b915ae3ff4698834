"""Changes of windows: each does what its name says, within its range, and is the same again for the same seed."""

import numpy as np
import pytest
from helpers import tone

from nslib import frontend
from nslib.training import augment
from nslib.training.data import WINDOW_SAMPLES
from nslib.training.settings import CHANGES, PairSettings

FULL = {name: 1.0 for name in CHANGES} | {"stretch": 0.1, "warp": 0.06, "gain": 10.0, "equaliser": 3.0}


def windows(count=16):
    """Log-mel of noise whose level goes up and down, each window another."""
    rng = np.random.default_rng(0)
    level = 0.02 * (1.2 + np.sin(np.arange(WINDOW_SAMPLES) / 1500))
    waves = level * rng.normal(size=(count, WINDOW_SAMPLES))
    return np.stack([frontend.log_mel(wave) for wave in waves])


def change(given, seed=0, **settings):
    return augment.augment(given, PairSettings(**settings), np.random.default_rng(seed))


@pytest.mark.parametrize("name", [name for name in CHANGES if name not in ("stretch", "warp")])
def test_a_change_changes_repeats_and_keeps_what_it_is_given(name):
    given = windows()
    before = given.copy()
    one, two, other = (change(given, seed, **{name: FULL[name]}) for seed in (0, 0, 1))
    assert np.array_equal(one, two) and not np.array_equal(one, other) and np.array_equal(given, before)
    assert one.shape == given.shape and one.dtype == np.float32 and np.isfinite(one).all()
    assert one.min() >= augment.SILENCE - 1e-5 and np.abs(one - given).max() > 0.05
    np.testing.assert_allclose(change(given), given, atol=1e-4)


def test_a_gain_is_what_a_louder_recording_would_give():
    wave = np.random.default_rng(1).normal(0, 0.05, WINDOW_SAMPLES)
    given = np.stack([frontend.log_mel(wave)] * 8)
    louder = np.stack([frontend.log_mel(wave * 10 ** (g / 20)) for g in np.arange(-10, 10, 0.1)])
    for patch in change(given, gain=10.0):
        assert 0 < abs(20 * np.log10(np.exp(np.median(patch - given[0])))) < 10.5
        assert np.abs(louder - patch).max((1, 2)).min() < 0.02


def test_what_is_added_adds_power_in_its_range():
    given = windows(64)

    def power(log_mel):
        return np.square(np.exp(log_mel.astype(float)) - 0.001)

    for name in ("mix", "noise"):
        added = power(change(given, **{name: 1.0})) - power(given)
        ratio = 10 * np.log10(power(given).mean((1, 2)) / added.mean((1, 2)))
        low, high = augment.RANGES[name]
        assert added.min() > -1e-4 and low - 0.1 <= ratio.min() and ratio.max() <= high + 0.1
        some = power(change(given, **{name: 0.5})) - power(given)
        assert 0.25 < (some.mean((1, 2)) > 1e-6).mean() < 0.75


def test_a_room_fills_the_pause_behind_a_sound():
    given = windows()
    given[:, 48:] = augment.SILENCE
    tail = change(given, room=1.0)[:, 48:].mean(2)
    assert (tail[:, 0] > augment.SILENCE + 0.5).all() and (np.diff(tail, axis=1) <= 1e-5).all()
    np.testing.assert_allclose(change(given, room=1.0)[:, 0], given[:, 0], atol=1e-4)


def test_limited_bands_lose_the_ends_and_an_equaliser_is_smooth():
    given = windows(64)
    lost = (given - change(given, band=1.0)).mean(1)
    assert (lost[:, 0] > 0).mean() > 0.5 and (lost[:, -1] > 0).mean() > 0.9 and np.abs(lost[:, 28:32]).max() < 1e-4
    curves = (change(given, equaliser=3.0) - given).mean(1)
    assert np.abs(np.diff(curves, axis=1)).max() < 0.3 < np.abs(curves).max()


def test_a_codec_drops_weak_bands_and_adds_noise_that_follows_the_level():
    given = np.full((32, 96, 64), np.log(0.001 + 0.00002), np.float32)
    level = np.where(np.arange(96) < 48, 1.0, 0.1).astype(np.float32)
    given[:, :, 20] = np.log(level + 0.001)
    power = np.square(np.exp(np.delete(change(given, codec=1.0), 20, axis=2).astype(float)) - 0.001)
    np.testing.assert_allclose(power, power[:, :, :1].repeat(63, 2), rtol=1e-3)
    below = 10 * np.log10((level**2 / 64) / power[:, :, 0])
    assert below.min() > 11.5 and below[:, :48].max() < 40.1
    np.testing.assert_allclose(power[:, 0], 100 * power[:, -1], rtol=0.05)


def test_warp_moves_a_tone_as_far_as_its_factor():
    given = np.stack([frontend.log_mel(tone(1.0, 1000)[:WINDOW_SAMPLES])] * 2)
    moved = augment.warp(given, np.array([1.1, 1 / 1.1])).mean(1).argmax(1)
    for band, hertz in zip(moved, (1000 / 1.1, 1100), strict=True):
        assert abs(band - frontend.log_mel(tone(1.0, hertz)[:WINDOW_SAMPLES]).mean(0).argmax()) <= 1


def test_windows_are_cut_stretched_and_end_in_silence():
    frames = np.arange(300, dtype=np.float16)[:, None] * np.ones(64, np.float16)
    first, ends = np.array([0, 100, 100]), np.array([100, 300, 160])
    plain = augment.cut_windows(frames, first, ends, np.array([2, 50, 10]))
    assert np.array_equal(plain[:2, :, 0], [np.arange(2, 98), np.arange(150, 246)])
    assert plain[2, :50, 3].tolist() == list(range(110, 160)) and np.allclose(plain[2, 50:], augment.SILENCE)
    fast = augment.cut_windows(frames, first[1:2], ends[1:2], np.array([0]), np.array([1.5]))
    np.testing.assert_allclose(fast[0, :, 0], 100 + 1.5 * np.arange(96))


def test_short_windows_end_early():
    left = (~np.isclose(change(windows(200), short=0.5), augment.SILENCE, atol=1e-4).all(2)).sum(1)
    assert 0.3 < (left < 96).mean() < 0.7 and left.min() == 29 and np.median(left) > 60
