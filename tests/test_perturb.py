"""Worse conditions: what is asked for is what is there, for every clip, the same for everybody."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers import clip_table, tone
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from nslib import audio, perturb, perturbed
from nslib.errors import BadAudio, BadParameter, NslibError, UnknownName

RATE = 16_000
GOLDEN = [16327, -3889, -8770, 19056]
QUARTER = 13 * perturb.BLOCK
SPEECH = tone(4 * QUARTER / RATE, 300.0) * np.repeat([1.0, 0.0, 0.6, 0.02], QUARTER).astype(np.float32)


def decibels(ratio):
    return 10 * np.log10(ratio)


def power(wave, low, high):
    """Energy between two frequencies, over the whole clip."""
    spectrum = np.abs(np.fft.rfft(wave)) ** 2
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    return spectrum[(hertz >= low) & (hertz < high)].sum()


@pytest.mark.parametrize("condition", [perturb.WHITE, perturb.SHAPED])
@pytest.mark.parametrize("snr", [30.0, 20.0, 10.0, 0.0, -5.0])
def test_the_ratio_is_what_was_asked_for(condition, snr):
    taps = perturb.shape([tone(0.5, 250), tone(0.5, 800)])
    clip = SPEECH * np.float32(0.1)  # soft enough that nothing is clipped
    changed = perturb.change(clip, condition, snr, name="a", taps=taps)
    noise = changed.wave.astype(np.float64) - clip
    loud = np.repeat([True, False, True, False], QUARTER)  # the last lies 34 dB below the first
    assert changed.clipped == 0
    assert decibels(np.mean(clip[loud] ** 2.0) / np.mean(noise[loud] ** 2)) == pytest.approx(snr, abs=0.1)


def test_pauses_do_not_count():
    """A whole-clip ratio would make the noise softer the longer the pause."""
    spoken = tone(1.0)
    paused = np.concatenate([spoken, np.zeros(3 * RATE, np.float32)])
    levels = []
    for clip in (spoken, paused):
        noise = perturb.change(clip * 0.1, perturb.WHITE, 10.0, name="a").wave - clip * 0.1
        levels.append(decibels(np.mean(noise[:RATE] ** 2)))
    assert levels[0] == pytest.approx(levels[1], abs=0.2)
    assert perturb.active(paused).sum() == RATE


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5000), st.integers(0, 2**32 - 1), st.floats(-20, 40))
def test_the_ratio_holds_for_any_clip(samples, seed, snr):
    rng = np.random.default_rng(seed)
    clip = rng.normal(0, 1, samples) * rng.uniform(0, 1, samples) ** 8
    noise = rng.normal(0, 1, samples)
    mixed = perturb.with_noise(clip, noise, snr)
    where = perturb.active(clip)
    assert where.any() and len(mixed) == samples
    assert decibels(np.mean(clip[where] ** 2) / np.mean((mixed - clip)[where] ** 2)) == pytest.approx(snr, abs=1e-6)
    np.testing.assert_allclose(perturb.with_noise(8 * clip, noise, snr), 8 * mixed)  # a ratio, not a level


def test_two_levels_differ_by_the_level_alone():
    clip = SPEECH * np.float32(0.05)
    strong, weak = (perturb.change(clip, perturb.WHITE, snr, name="a").wave.astype(float) - clip for snr in (0, 20))
    np.testing.assert_allclose(strong / 10, weak, atol=1.1 / 32767)


def test_noise_has_the_spectrum_of_the_training_clips():
    rng = np.random.default_rng(0)
    low = signal.sosfilt(signal.butter(4, 1000, fs=RATE, output="sos"), rng.normal(0, 0.1, 4 * RATE))
    clip = 0.3 * tone(4.0)
    shaped = perturb.change(clip, perturb.SHAPED, 0.0, name="a", taps=perturb.shape([low, 5 * low]))
    white = perturb.change(clip, perturb.WHITE, 0.0, name="a")
    assert shaped.clipped == white.clipped == 0
    noise, flat = (changed.wave.astype(float) - clip for changed in (shaped, white))
    for bottom, top in ((600, 900), (1500, 1900), (2500, 3000)):
        wanted = decibels(power(low, bottom, top) / power(low, 0, 400))
        assert decibels(power(noise, bottom, top) / power(noise, 0, 400)) == pytest.approx(wanted, abs=1.5)
    assert decibels(power(flat, 4000, 4400) / power(flat, 3000, 3400)) == pytest.approx(0, abs=1)


def test_a_telephone_keeps_its_band_and_nothing_else():
    wave = np.random.default_rng(0).normal(0, 0.1, 2 * RATE)
    passed = perturb.change(wave, perturb.TELEPHONE, 8000.0, name="a").wave
    for low, high in ((400, 1000), (1000, 2000), (2000, 3300)):
        assert decibels(power(passed, low, high) / power(wave, low, high)) == pytest.approx(0, abs=0.2)
    for low, high in ((0, 250), (3500, 4000), (4000, 5000), (5000, 8001)):
        assert decibels(power(passed, low, high) / power(wave, low, high)) < -30


def test_a_telephone_does_not_delay():
    wave = tone(0.5, 1000.0) * np.hanning(8000)
    passed = perturb.telephone(wave)
    shift = np.argmax(np.correlate(passed, wave, "full")) - (len(wave) - 1)
    assert shift == 0 and np.abs(passed - wave).max() < 0.05


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 700))
def test_every_length_comes_back_as_long(samples):
    wave = np.random.default_rng(samples).normal(0, 0.1, samples)
    assert len(perturb.telephone(wave)) == samples
    assert len(perturb.change(wave, perturb.SHAPED, 5.0, name="a", taps=perturb.shape([wave])).wave) == samples


@pytest.mark.parametrize("gain", [-30.0, -20.0, -10.0, 6.0])
def test_a_gain_is_exact(gain):
    clip = SPEECH * np.float32(0.4)
    changed = perturb.change(clip, perturb.GAIN, gain, name="a")
    np.testing.assert_allclose(changed.wave, clip * 10 ** (gain / 20), atol=0.51 / 32767)
    assert changed.clipped == 0
    assert decibels(np.mean(changed.wave**2.0) / np.mean(clip**2.0)) == pytest.approx(gain, abs=0.01)


def test_clipped_samples_are_counted():
    clip = np.array([0.4, 0.6, -0.4, -0.6, 0.0, 0.49], np.float32)
    changed = perturb.change(clip, perturb.GAIN, 20 * np.log10(2), name="a")
    assert changed.clipped == 2
    np.testing.assert_allclose(changed.wave, [0.8, 1.0, -0.8, -32768 / 32767, 0.0, 0.98], atol=1e-4)


def test_a_gain_of_zero_is_the_clip_itself(tmp_path):
    clips = clip_table(tmp_path / "clips", [0.5, 0.7])
    same = perturbed.copies(clips, perturb.GAIN, 0.0, tmp_path)
    assert same.clips["sha256"].tolist() == clips["sha256"].tolist() and same.clipped == 0


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([("white-noise", 3.0), ("telephone", 8000.0), ("gain", -41.0), ("gain", 50.0)]),
       st.integers(0, 2**32 - 1))
def test_a_file_is_read_as_it_was_listed(tmp_path_factory, step, seed):
    wave = np.random.default_rng(seed).normal(0, 0.3, 900)
    changed = perturb.change(wave, *step, name="a")
    path = audio.write_wav(tmp_path_factory.mktemp("wav") / "a.wav", changed.wave)
    assert audio.sha256(audio.read(path).wave) == audio.sha256(changed.wave)


def test_the_same_clip_gives_the_same_bytes_and_another_clip_others():
    def noise(**changes):
        facts = {"condition": perturb.WHITE, "level": 10.0, "name": "a", "seed": 0} | changes
        return audio.sha256(perturb.change(SPEECH * 0.1, **facts).wave)

    assert noise() == noise()
    assert len({noise(), noise(name="b"), noise(seed=1), noise(level=11.0)}) == 4
    flat = np.full(1000, 0.25)
    start = np.rint(perturb.change(flat, perturb.WHITE, 0.0, name="a").wave[:4] * 32767).astype(int)
    assert start.tolist() == GOLDEN  # on any machine


def test_a_silent_clip_is_named_and_not_scored(tmp_path):
    clips = clip_table(tmp_path / "clips", [0.5, 0.6, 0.7])
    audio.write_wav(clips.loc[1, "audio"], np.zeros(8000))
    noisy = perturbed.copies(clips, perturb.WHITE, 10.0, tmp_path)
    assert noisy.clips["clip_id"].tolist() == ["clip000", "clip002"]
    assert noisy.problems["clip_id"].tolist() == ["clip001"]
    assert "digital silence" in noisy.problems.loc[0, "reason"] and noisy.problems.loc[0, "remedy"]
    assert noisy.samples == 8000 + 11200
    louder = perturbed.copies(clips, perturb.GAIN, 6.0, tmp_path)
    assert len(louder.clips) == 3 and louder.problems.empty  # silence can be made louder


def test_copies_keep_who_and_what(tmp_path):
    clips = clip_table(tmp_path / "clips", [0.5, 0.6], label=["x", "y"], speaker=["p", "q"])
    noisy = perturbed.copies(clips, perturb.WHITE, 10.0, tmp_path)
    kept = [c for c in clips.columns if c not in ("audio", "sha256")]
    pd.testing.assert_frame_equal(noisy.clips[kept], clips[kept])
    assert (noisy.clips["sha256"] != clips["sha256"]).all()
    for row in noisy.clips.itertuples():
        assert audio.sha256(audio.read(row.audio).wave) == row.sha256


def test_a_copy_in_which_every_clip_is_silent_is_empty(tmp_path):
    clips = clip_table(tmp_path / "clips", [0.5])
    audio.write_wav(clips.loc[0, "audio"], np.zeros(8000))
    noisy = perturbed.copies(clips, perturb.WHITE, 10.0, tmp_path)
    assert noisy.clips.empty and list(noisy.clips.columns) == list(clips.columns) and len(noisy.problems) == 1


@pytest.mark.parametrize(("condition", "level", "error"), [
    ("whitenoise", 10.0, UnknownName), (perturb.WHITE, float("nan"), BadParameter),
    (perturb.WHITE, 1000.0, BadParameter), (perturb.TELEPHONE, 4000.0, BadParameter),
    (perturb.CLEAN, 1.0, BadParameter), (perturb.SHAPED, 10.0, BadParameter)])
def test_refusals(condition, level, error):
    with pytest.raises(error, match=r"white-noise|allowed|taps"):
        perturb.change(SPEECH, condition, level, name="a")


def test_silence_has_no_ratio_and_no_spectrum():
    with pytest.raises(BadAudio, match="digital silence has no signal-to-noise ratio"):
        perturb.change(np.zeros(100), perturb.WHITE, 10.0, name="a")
    with pytest.raises(NslibError, match="every training clip is silent"):
        perturb.shape([np.zeros(1000)])
    np.testing.assert_array_equal(perturb.shape([np.zeros(1000), SPEECH]), perturb.shape([SPEECH]))


def test_loud_clips_do_not_decide_the_spectrum(tmp_path):
    first, second = tone(0.5, 200), tone(0.5, 3000)
    np.testing.assert_allclose(perturb.shape([first, second]), perturb.shape([first, 0.01 * second]), rtol=1e-6)
    clips = clip_table(tmp_path, [0.5, 0.5])
    waves = [audio.read(path).wave for path in clips["audio"]]
    np.testing.assert_allclose(perturbed.mean_spectrum(clips), perturb.shape(waves), atol=1e-12)
