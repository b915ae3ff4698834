"""Audio to learn from, wherever it comes from; pairs of windows: which, from where, the same again; their log-mel."""

import dataclasses
from pathlib import Path
from unittest.mock import Mock

import debs
import numpy as np
import pandas as pd
import pytest
from helpers import clip_table, noise, tone
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import make_bank

from nslib import audio, config, frontend
from nslib.datasets import debian, loading, tasks
from nslib.datasets.table import Dataset
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.training import data
from nslib.training.settings import PairSettings

FEW = PairSettings(batch=4, gap=0.1)


def test_decoded_once_and_found_again(tmp_path, cache, monkeypatch):
    clips = clip_table(tmp_path, [0.5, 1.2, 1.5, 2.0], speaker=["ann", "ann", "bob", "bob"])
    made = data.decode_clips(clips, progress=False)
    for row, start, length in zip(clips.itertuples(), made.starts, made.lengths, strict=True):
        wave = audio.read(row.audio).wave
        assert np.array_equal(made.samples[start:start + length] / np.float32(32767), wave)
    lost = data.decode_clips(clips[:2].assign(audio=[clips["audio"][0], "/nowhere.wav"]), progress=False)
    assert len(lost.names) == 1 and "nowhere" in lost.problems[0]
    monkeypatch.setattr("nslib.audio.read", lambda path: pytest.fail("it decoded again"))
    again = data.decode_clips(clips, progress=False)
    assert np.array_equal(again.samples, made.samples) and again.names == made.names
    assert made.hours == pytest.approx(5.2 / 3600)
    joined, unknown = (data.decode_clips(some, 1.6, progress=False) for some in (clips, clips.assign(speaker="")))
    assert (joined.lengths / 16000).tolist() == pytest.approx([1.7, 3.5]) and len(unknown.lengths) == 4


def test_no_package_and_no_recording_is_in_a_task():
    recorded = [name for name, task in tasks.REGISTRY.items() if (task.kind, task.profile) == ("real", "quick")]
    heard = data.read_manifest()
    assert len(recorded) == 9
    for task in recorded:
        other = debian.read_manifest(debian.manifest_path(task))
        for column in ("package", "sha256", "file_sha256", "speaker", "clip_id"):
            assert not set(heard[column]) & set(other[column]), (task, column)


def test_clips_come_from_packages_in_order_and_are_checked(cache, tmp_path, monkeypatch):
    files = {f"x/{name}.wav": noise(tmp_path / f"{name}.wav", ord(name), 1.1) for name in "cba"}
    path = debs.deb(tmp_path / "festvox-ru_1_all.deb", {name: file.read_bytes() for name, file in files.items()})
    monkeypatch.setattr(debian, "fetch_packages", lambda names, progress: dict.fromkeys(names, path))
    waves = [audio.read(tmp_path / f"{name}.wav").wave for name in "ab"]
    rows = pd.DataFrame({"clip_id": list("abcd"), "member": [f"x/{name}.wav" for name in "abcd"],
                         "sha256": [*map(audio.sha256, waves), "other", "other"], "speaker": "s"})
    usual = {"seconds": 1.0, "sample_rate": 16_000, "label": "ru", "file_sha256": "", "licence": "x"}
    monkeypatch.setattr(data, "read_manifest", lambda: rows.assign(split="train", package="festvox-ru", **usual))
    made = data.load_sources("train", progress=False)
    assert made.names == ("a", "b") and np.array_equal(made.samples[:17_600], data.round_to_int16(waves[0]))
    assert "another one" in made.problems[0] and "no such file" in made.problems[1]
    assert data.load_sources("train", 5.0, progress=False).names == ("a",), "clips of a speaker are joined"
    assert data.load_sources("train", sources=["festvox-ru"], progress=False).names == made.names
    rows["speaker"] = list("stst")
    assert data.load_sources("train", every=2, progress=False).names == ("a",), "every other voice, of clips in order"
    with pytest.raises(BadParameter, match="none of 0 clips"):
        data.load_sources("train", sources=["beneath-a-steel-sky"], progress=False)


def test_only_clips_of_one_voice_are_joined(cache, monkeypatch):
    """Scenes of the games hold several people; what is joined is a reader."""
    monkeypatch.setattr(data, "_read_packages", lambda clips, progress: (tone(0.1) for _ in range(len(clips))))
    made = data.load_sources("validation", 10.0, sources=data.PACKAGES, progress=False)
    held_out = data.read_manifest().query("split == 'validation' and package in @data.PACKAGES").set_index("clip_id")
    held_out["scene"] = held_out["speaker"].str.startswith("sky-")
    first = held_out.loc[list(made.names)].assign(samples=made.lengths)
    assert first["scene"].sum() == held_out["scene"].sum() > 200 and (first[first["scene"]]["samples"] == 1600).all()
    assert first[~first["scene"]]["samples"].max() > 1600 and made.lengths.sum() == 1600 * len(held_out)


def test_a_folder_or_a_list_of_your_own_has_no_speaker_on_both_sides(tmp_path):
    names = [noise(tmp_path / f"clip{k:02d}.wav", k, 0.5).name for k in range(40)]
    (tmp_path / "list.csv").write_text("\n".join(["audio,speaker", *(f"{name},{name[5]}" for name in names)]))
    learn, held_out = data.load_folder(tmp_path / "list.csv", progress=False)
    digits = [{Path(name).stem[5] for name in part.names} for part in (learn, held_out)]  # there are ten speakers
    assert not digits[0] & digits[1] and len(digits[0]) == 9
    joined, _ = data.load_folder(tmp_path / "list.csv", join=5.0, progress=False)
    assert len(joined.names) == 9, "the clips of a speaker became one piece"
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    (tmp_path / "labels of the split.pdf").write_bytes(b"%PDF")
    (tmp_path / "mute.wav").write_bytes((tmp_path / "clip00.wav").read_bytes()[:9000] + bytes(7044))
    learn, held_out = data.load_folder(tmp_path, progress=False)
    notes = data.Pairs(dataclasses.replace(learn, lengths=9 * learn.lengths), PairSettings(batch=2)).notes
    assert notes[0].endswith("labels of the split.pdf, list.csv.") and set(learn.notes) < set(notes)
    assert learn.notes[-1] == "1 of 41 clips: digital silence from 0.28 s to the end."
    assert (len(learn.names), len(held_out.names)) == (38, 3) and not set(learn.names) & set(held_out.names)
    assert learn.problems[0].startswith("broken: ") and "no labels" not in str(notes)
    with pytest.raises(BadParameter, match="two are needed"):
        data.load_folder(noise(tmp_path / "alone" / "clip.wav").parent, progress=False)


def test_computer_voices_if_there_is_nothing_else_and_mistakes_are_not_covered_by_them(tmp_path, cache, monkeypatch):
    table = clip_table(tmp_path, [1.5] * 4, speaker=list("abcd"), split=["train", "train", "validation", "test"])
    monkeypatch.setattr(loading, "load_clips", lambda task, params, progress: Dataset(table, table[:0]))
    with pytest.raises(UnknownName, match="beneath-a-steel-sky"):
        data.load_audio(config.load_params({}), ["beneath-a-steal-sky"])
    no_packages = Mock(side_effect=Unavailable("festvox-ru", "there is no apt-get", "Use Debian."))
    monkeypatch.setattr(data, "load_sources", no_packages)
    heard = data.load_audio(config.load_params({}), ["festvox-ru"], progress=False)
    assert heard.kind == "synthetic" and "no apt-get" in heard.note and len(heard.learn.names) == 2
    heard = data.load_audio(config.load_params({"corpus": "synthetic"}), ["festvox-ru"], progress=False)
    assert heard.kind == "synthetic" and "asked for" in heard.note
    assert heard.learn.names == ("clip000", "clip001") and heard.held_out.names == ("clip002",)


def fabricate(lengths, sources=()):
    """Noise in pieces of the given lengths."""
    return make_bank(np.random.default_rng(0).uniform(-0.1, 0.1, sum(lengths)), lengths, sources)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 25), min_size=4, max_size=9), st.integers(1, 20), st.integers(0, 20),
       st.sampled_from(["clip", "root", "seconds"]), st.integers(0, 10**6))
def test_every_pair_is_what_the_settings_allow(room, gap, more, weight, step):
    lengths = [data.WINDOW_SAMPLES + 160 * (extra - 3) + 7 for extra in room]
    chosen = PairSettings(batch=2, gap=gap / 100, tau=(gap + more) / 100, weight=weight)
    usable = sum(extra - 3 >= gap for extra in room)
    made = fabricate(lengths)
    if usable < 2:
        with pytest.raises(BadParameter, match="different clips"):
            data.Pairs(made, chosen)
        return
    pairs = data.Pairs(made, chosen)
    assert sum(pairs.left_out.values()) == len(lengths) - usable and bool(pairs.notes) == (len(lengths) > usable)
    windows, pieces, starts = pairs.draw(step)
    apart = np.abs(np.diff(starts, axis=1)) / 160
    assert len(set(pieces)) == 2 and gap <= apart.min() and apart.max() <= gap + more
    assert starts.min() >= 0 and (starts.max(1) <= made.lengths[pieces] - data.WINDOW_SAMPLES).all()
    for window, first in zip(windows.reshape(4, -1), (made.starts[pieces, None] + starts).ravel(), strict=True):
        assert np.array_equal(window, made.samples[first:first + data.WINDOW_SAMPLES])


def test_short_clips_are_used_with_silence_behind_them_if_windows_may_overlap():
    made = fabricate([3000, 8000, 9000, 20_000])
    pairs = data.Pairs(made, PairSettings(batch=3, gap=0.0))
    assert pairs.left_out == {"shorter than 0.3 s": 1} and "shorter than 0.3 s" in pairs.notes[0]
    windows, pieces, starts = pairs.draw(0)
    log_mel = data.cut_patches(pairs, 0, pieces, starts)
    for window, patch, piece in zip(windows[:, 0], log_mel[:, 0], pieces, strict=True):
        heard = min(made.lengths[piece], data.WINDOW_SAMPLES)
        assert not window[heard:].any() and window[:heard].any()
        silent = np.isclose(patch, np.log(0.001)).all(1)
        assert silent.sum() == max(0, 96 - (1 + (heard - 400) // 160)) and not silent[:20].any()


def test_near_pairs_are_of_one_moment_and_a_share_of_a_batch_is_of_one_source():
    made = fabricate([80_000] * 30, tuple("abc" * 10))
    pairs = data.Pairs(made, PairSettings(batch=12, gap=0.5, near=0.5, same_source=0.75))
    drawn = [pairs.draw(step) for step in range(40)]
    apart = np.abs(np.diff(np.concatenate([starts for _, _, starts in drawn]), axis=1)) / 16_000
    assert ((apart <= 0.1) | (apart >= 0.5)).all() and 0.4 < (apart <= 0.1).mean() < 0.6
    most = [np.bincount(pieces % 3).max() for _, pieces, _ in drawn]
    assert min(most) >= 9 and all(len(set(pieces)) == 12 for _, pieces, _ in drawn)
    few = data.Pairs(made, PairSettings(batch=64), fewer=True)
    assert few.batch == 30 and len(set(few.draw(0)[1])) == 30


@pytest.mark.parametrize("alike", [False, True])
def test_two_moments_stay_of_one_voice_if_asked_and_one_moment_may_be_of_two(alike):
    made = make_bank(np.tile(tone(3.0, 1000), 40), [48_000] * 40)
    pairs = data.Pairs(made, PairSettings(batch=40, gap=0.5, near=0.5, warp=0.12, alike=alike))
    _, pieces, starts = pairs.draw(0)
    loudest = data.cut_patches(pairs, 0, pieces, starts).mean(2).argmax(2)
    same, far = loudest[:, 0] == loudest[:, 1], np.abs(np.diff(starts)[:, 0]) > 1600
    assert len(set(loudest.ravel())) > 3, "each pair is moved elsewhere"
    assert same[~far].mean() < 0.5 and (same[far].all() if alike else same[far].mean() < 0.5)


def test_silent_windows_are_drawn_again_and_long_clips_more_often_if_asked():
    made = fabricate([40000] * 4)
    samples = np.where(np.arange(160_000) % 40_000 < 12_000, 0, made.samples).astype(np.int16)
    pairs = data.Pairs(dataclasses.replace(made, samples=samples), FEW)
    shares = [data.find_silent(pairs.draw(step)[0], 40).mean() for step in range(20)]
    assert np.mean(shares) < 0.05
    silence = data.Pairs(dataclasses.replace(made, samples=0 * samples), FEW)
    assert data.find_silent(silence.draw(0)[0], 40).all()
    made = fabricate([18000] * 6 + [60000] * 2)
    drawn = [data.Pairs(made, dataclasses.replace(FEW, batch=2, weight=weight)) for weight in ("clip", "seconds")]
    shares = [np.mean([pairs.draw(step)[1] >= 6 for step in range(200)]) for pairs in drawn]
    assert shares[0] == pytest.approx(0.25, abs=0.08) and shares[1] == pytest.approx(0.53, abs=0.08)


def test_the_batches_are_the_drawn_windows_as_log_mel():
    pairs = data.Pairs(fabricate([30000] * 6), FEW, seed=1)
    for step, batch in enumerate(data.make_dataset(pairs, 3, 5, windows=True), start=3):
        windows, pieces, _ = pairs.draw(step)
        np.testing.assert_allclose(batch["log_mel"], frontend.log_mel(windows / np.float32(32767)), atol=4e-3)
        assert np.array_equal(batch["clips"], pieces) and np.array_equal(batch["windows"], windows)
    changed = data.Pairs(pairs.bank, dataclasses.replace(FEW, gain=12.0, stretch=0.1), seed=1)
    one, two = (next(iter(data.make_dataset(changed, 3, 4)))["log_mel"].numpy() for _ in range(2))
    assert np.array_equal(one, two), "a step sees the same again"
    plain = next(iter(data.make_dataset(changed, 3, 4, augment=False)))["log_mel"].numpy()
    np.testing.assert_allclose(plain, next(iter(data.make_dataset(pairs, 3, 4)))["log_mel"])
    assert not np.allclose(one, plain, atol=0.1)
