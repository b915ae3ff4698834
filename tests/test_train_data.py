"""Pairs of windows: which, from where, the same again; and their log-mel."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from helpers import clip_table, tone
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib import audio, frontend
from nslib.errors import BadParameter
from nslib.train import augment, data, recorded
from nslib.train.settings import PairSettings

FEW = PairSettings(batch=4, gap=0.1)


def fabricated(lengths: list[int], seed: int = 0) -> recorded.Recordings:
    """Noise in pieces of the given lengths."""
    rng = np.random.default_rng(seed)
    samples = rng.integers(-3000, 3000, sum(lengths)).astype(np.int16)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    return recorded.Recordings(samples, starts, np.array(lengths, np.int64), tuple(map(str, range(len(lengths)))))


@pytest.fixture
def clips(tmp_path) -> pd.DataFrame:
    return clip_table(tmp_path, [0.5, 1.2, 1.5, 2.0], speaker=["ann", "ann", "bob", "bob"])


def test_a_window_is_one_patch():
    assert frontend.patch_count(data.WINDOW_SAMPLES, dataclasses.replace(frontend.TRILL, min_samples=0)) == 1
    assert frontend.patch_count(data.WINDOW_SAMPLES - 1, dataclasses.replace(frontend.TRILL, min_samples=0)) == 0


def test_decoded_once_and_found_again(clips, cache, monkeypatch):
    made = recorded.recordings(clips, progress=False)
    for row, start, length in zip(clips.itertuples(), made.starts, made.lengths, strict=True):
        wave = audio.read(row.audio).wave
        assert np.array_equal(made.samples[start:start + length] / np.float32(32767), wave)
    monkeypatch.setattr("nslib.audio.read", lambda path: pytest.fail("it decoded again"))
    again = recorded.recordings(clips, progress=False)
    assert np.array_equal(again.samples, made.samples) and again.names == made.names
    assert made.hours == pytest.approx(5.2 / 3600)


def test_a_clip_that_cannot_be_read_is_said(clips, cache):
    clips.loc[1, "audio"] = "/nowhere.wav"
    made = recorded.recordings(clips, progress=False)
    assert len(made.names) == 3 and "nowhere" in made.problems[0]
    with pytest.raises(BadParameter, match="none of 1 clips"):
        recorded.recordings(clips[1:2], progress=False)


def test_short_clips_of_a_speaker_can_be_joined(clips, cache):
    made = recorded.recordings(clips, 1.6, progress=False)
    assert list(made.lengths / 16000) == [pytest.approx(1.7), pytest.approx(3.5)]
    assert list(made.lengths / 16000) != list(recorded.recordings(clips, 0.0, progress=False).lengths / 16000)
    unknown = recorded.recordings(clips.assign(speaker=""), 1.6, progress=False)
    assert len(unknown.lengths) == 4
    assert len(list((cache / "train").iterdir())) == 1, "decoded once, whoever speaks and whatever is joined"


@settings(max_examples=60)
@given(st.lists(st.integers(0, 4000), min_size=4, max_size=9), st.integers(1, 3000), st.integers(0, 3000),
       st.sampled_from(["clip", "seconds"]), st.integers(0, 10**6))
def test_every_pair_is_what_the_settings_allow(room, gap, more, weight, step):
    lengths = [data.WINDOW_SAMPLES + extra - 500 for extra in room]
    chosen = PairSettings(batch=2, gap=gap / 16000, tau=(gap + more) / 16000, weight=weight)
    usable = sum(length - data.WINDOW_SAMPLES >= gap for length in lengths)
    made = fabricated(lengths)
    if usable < 2:
        with pytest.raises(BadParameter, match="different clips"):
            data.Pairs(made, chosen)
        return
    pairs = data.Pairs(made, chosen)
    assert sum(pairs.left_out.values()) == len(lengths) - usable
    windows, pieces, starts = pairs.draw(step)
    assert len(set(pieces)) == 2
    for window, piece, (one, other) in zip(windows, pieces, starts, strict=True):
        assert gap <= abs(one - other) <= gap + more
        for k, start in enumerate((one, other)):
            assert 0 <= start <= lengths[piece] - data.WINDOW_SAMPLES
            first = made.starts[piece] + start
            assert np.array_equal(window[k], made.samples[first:first + data.WINDOW_SAMPLES])


def test_a_clip_with_one_window_is_left_out_and_counted():
    pairs = data.Pairs(fabricated([9000, data.WINDOW_SAMPLES, *[20000] * 4]), dataclasses.replace(FEW, gap=0.0))
    assert pairs.left_out == {"shorter than a window": 1, "a single window": 1}
    drawn = np.concatenate([pairs.draw(step)[1] for step in range(20)])
    assert set(drawn) == {2, 3, 4, 5}


def test_a_step_depends_on_seed_and_step_only():
    made = fabricated([30000] * 8)
    one, two = data.Pairs(made, FEW, seed=3), data.Pairs(made, FEW, seed=3)
    for step in (0, 5, 2, 5):
        two.draw(step)
    for mine, yours in zip(one.draw(7), two.draw(7), strict=True):
        assert np.array_equal(mine, yours)
    assert not np.array_equal(one.draw(7)[2], one.draw(8)[2])
    assert not np.array_equal(one.draw(7)[2], data.Pairs(made, FEW, seed=4).draw(7)[2])


def test_long_clips_are_drawn_more_often_if_asked():
    made, share = fabricated([18000] * 6 + [60000] * 2), {}
    for weight in ("clip", "seconds"):
        pairs = data.Pairs(made, dataclasses.replace(FEW, batch=2, weight=weight))
        share[weight] = np.mean([np.isin(pairs.draw(step)[1], [6, 7]).mean() for step in range(200)])
    assert share["clip"] == pytest.approx(0.25, abs=0.08) and share["seconds"] > 0.8


def test_silent_windows_are_drawn_again():
    made = fabricated([40000] * 4)
    samples = made.samples.copy()
    for start in made.starts:
        samples[start:start + 12000] = 0
    pairs = data.Pairs(dataclasses.replace(made, samples=samples), FEW)
    shares = [data.silent(pairs.draw(step)[0], 40).mean() for step in range(20)]
    assert np.mean(shares) < 0.05
    silence = data.Pairs(dataclasses.replace(made, samples=np.zeros_like(samples)), FEW)
    assert data.silent(silence.draw(0)[0], 40).all()


def test_the_batches_are_the_drawn_windows_as_log_mel():
    pairs = data.Pairs(fabricated([30000] * 6), FEW, seed=1)
    for step, batch in enumerate(data.dataset(pairs, 3, 5), start=3):
        windows, pieces, _ = pairs.draw(step)
        expected = frontend.log_mel(windows / np.float32(32767))
        assert batch["log_mel"].shape == (4, 2, 96, 64)
        np.testing.assert_allclose(batch["log_mel"], expected, atol=2e-4)
        assert np.array_equal(batch["clips"], pieces) and not batch["silent"].numpy().any()


def test_augmentation_is_declared_repeats_and_stays_in_its_bounds():
    windows = np.stack([np.stack([audio_int16(300), audio_int16(500)])] * 3)
    plain = augment.features(windows).numpy()
    louder = dataclasses.replace(FEW, gain=12.0)
    one, two, other = (augment.features(windows, louder, seed).numpy() for seed in ((1, 5), (1, 5), (1, 6)))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    moved = (one - plain)[plain > -2]  # far above the offset, where a gain only shifts the logarithm
    assert 0.1 < np.abs(moved).max() <= 12 * np.log(10) / 20 + 1e-3
    tilted = augment.features(windows, dataclasses.replace(FEW, tilt=6.0), (0, 0)).numpy() - plain
    np.testing.assert_allclose(tilted[..., 0], -tilted[..., -1], atol=1e-4)
    assert np.abs(tilted).max() <= 3 * np.log(10) / 20 + 1e-4
    noisy = augment.features(np.zeros_like(windows), dataclasses.replace(FEW, noise=60.0), (0, 0)).numpy()
    assert (noisy.reshape(6, -1).std(1) > 0).all()
    short = augment.features(windows, dataclasses.replace(FEW, short=1.0), (0, 3)).numpy()
    silence = np.isclose(short, np.log(0.001), atol=1e-5).all(-1)
    assert silence[..., -1].mean() > 0.5 and not silence[..., :25].any(), "0.3 s are 30 frames"


def audio_int16(hertz: float) -> np.ndarray:
    return recorded.pcm(tone(1.0, hertz)[: data.WINDOW_SAMPLES])
