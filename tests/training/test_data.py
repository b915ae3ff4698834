"""Audio to learn from, wherever it comes from; pairs of windows: which, from where, the same again; their log-mel."""

import dataclasses
from pathlib import Path

import debs
import numpy as np
import pandas as pd
import pytest
import soundfile
from helpers import clip_table, tone
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import make_bank

from nslib import audio, config, frontend
from nslib.datasets import debian, loading
from nslib.datasets.table import Dataset
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.training import data
from nslib.training.settings import PairSettings

DATA = Path(__file__).parents[2] / "data"
TASKS = ("speaker-hedgewars", "phrase-hedgewars", "language-5", "speaker-fillets")
FEW = PairSettings(batch=4, gap=0.1)


@pytest.fixture
def clips(tmp_path) -> pd.DataFrame:
    return clip_table(tmp_path, [0.5, 1.2, 1.5, 2.0], speaker=["ann", "ann", "bob", "bob"])


def test_decoded_once_and_found_again(clips, cache, monkeypatch):
    made = data.decode_clips(clips, progress=False)
    for row, start, length in zip(clips.itertuples(), made.starts, made.lengths, strict=True):
        wave = audio.read(row.audio).wave
        assert np.array_equal(made.samples[start:start + length] / np.float32(32767), wave)
    monkeypatch.setattr("nslib.audio.read", lambda path: pytest.fail("it decoded again"))
    again = data.decode_clips(clips, progress=False)
    assert np.array_equal(again.samples, made.samples) and again.names == made.names
    assert made.hours == pytest.approx(5.2 / 3600)


def test_a_clip_that_cannot_be_read_is_said(clips, cache):
    clips.loc[1, "audio"] = "/nowhere.wav"
    made = data.decode_clips(clips, progress=False)
    assert len(made.names) == 3 and "nowhere" in made.problems[0]
    with pytest.raises(BadParameter, match="none of 1 clips"):
        data.decode_clips(clips[1:2], progress=False)


def test_short_clips_of_a_speaker_can_be_joined(clips, cache):
    made = data.decode_clips(clips, 1.6, progress=False)
    assert list(made.lengths / 16000) == [pytest.approx(1.7), pytest.approx(3.5)]
    assert len(data.decode_clips(clips, 0.0, progress=False).lengths) == 4
    unknown = data.decode_clips(clips.assign(speaker=""), 1.6, progress=False)
    assert len(unknown.lengths) == 4
    assert len(list((cache / "train").iterdir())) == 1, "decoded once, whoever speaks and whatever is joined"


@pytest.fixture(scope="module")
def manifest() -> pd.DataFrame:
    return data.read_manifest()


def test_no_package_and_no_recording_is_in_a_task(manifest):
    for task in TASKS:
        other = debian.read_manifest(debian.manifest_path(task))
        for column in ("package", "sha256", "file_sha256", "speaker", "clip_id"):
            assert not set(manifest[column]) & set(other[column]), (task, column)


def test_clips_come_from_packages_in_order_and_are_checked(cache, tmp_path, monkeypatch):
    waves = {name: tone(1.0 + 0.1 * k, 200 + 100 * k) for k, name in enumerate("abc")}
    for name, wave in waves.items():
        audio.write_wav(tmp_path / f"{name}.wav", wave)
    files = {f"x/{name}.wav": (tmp_path / f"{name}.wav").read_bytes() for name in "cba"}
    path = debs.deb(tmp_path / "festvox-ru_1_all.deb", files)
    monkeypatch.setattr(debian, "fetch_packages", lambda names, progress: dict.fromkeys(names, path))
    hashes = {name: audio.sha256(audio.read(tmp_path / f"{name}.wav").wave) for name in "ab"}
    rows = [{"clip_id": f"train/{name}", "member": f"x/{name}.wav", "seconds": 1.0, "sample_rate": 16_000,
             "label": "ru", "sha256": hashes.get(name, "other"), "file_sha256": "", "speaker": "s", "split": "train",
             "package": "festvox-ru", "licence": "x"} for name in "abcd"]
    monkeypatch.setattr(data, "read_manifest", lambda: pd.DataFrame(rows))
    made = data.load_packages("train", progress=False)
    assert made.names == ("train/a", "train/b")
    assert np.array_equal(made.samples[:len(waves["a"])], data.round_to_int16(waves["a"]))
    assert "another one" in made.problems[0] and "no such file" in made.problems[1]
    assert data.load_packages("train", 5.0, progress=False).names == ("train/a",)
    assert data.load_packages("train", packages=["festvox-ru"], progress=False).names == made.names
    with pytest.raises(BadParameter, match="none of 0 clips"):
        data.load_packages("train", packages=["beneath-a-steel-sky"], progress=False)


def test_only_clips_of_one_voice_are_joined(manifest, cache, monkeypatch):
    """Scenes of the games hold several people; what is joined is an actor, a reader, a language's volunteer."""
    monkeypatch.setattr(data, "_read_packages", lambda clips, progress: (tone(0.1) for _ in range(len(clips))))
    made = data.load_packages("validation", 10.0, progress=False)
    held_out = manifest[manifest["split"] == "validation"].set_index("clip_id")
    alone = held_out["speaker"].str.match("sky-|queen-") & (held_out["speaker"] != "queen-joe")
    first = held_out.loc[list(made.names)].assign(samples=made.lengths)
    scene = first["speaker"].str.match("sky-|queen-") & (first["speaker"] != "queen-joe")
    assert scene.sum() == alone.sum() > 300 and (first[scene]["samples"] == 1600).all()
    joined = first[~scene].groupby("speaker")["samples"].agg(["size", "max"])
    assert {"queen-joe", "festvox-ru", "tuxpaint-en"} <= set(joined.index) and joined["max"].max() > 1600
    assert made.lengths.sum() == 1600 * len(held_out)


@pytest.fixture
def recordings(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["audio,speaker"]
    for k in range(40):
        name = f"clip{k:02d}.wav"
        soundfile.write(tmp_path / name, rng.normal(0, 0.1, 8_000 + 100 * k), 16_000)
        rows.append(f"{name},{f'speaker{k % 20}'}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    return tmp_path


def test_a_folder_without_labels(recordings):
    (recordings / "broken.wav").write_bytes(b"RIFF")
    learn, held_out = data.load_folder(recordings, progress=False)
    assert (len(learn.names), len(held_out.names)) == (38, 2) and not set(learn.names) & set(held_out.names)
    assert len(learn.problems) == 1 and learn.problems[0].startswith("broken: ")
    for path in sorted(recordings.glob("*.wav"))[:-1]:
        path.unlink()
    with pytest.raises(BadParameter, match="two are needed"):
        data.load_folder(recordings, progress=False)


def test_speakers_stay_on_one_side(recordings):
    learn, held_out = data.load_folder(recordings / "list.csv", progress=False)
    of = {f"clip{k:02d}": k % 20 for k in range(40)}
    sides = [{of[name.split("/")[-1].removesuffix(".wav")] for name in part.names} for part in (learn, held_out)]
    assert not sides[0] & sides[1] and len(sides[0]) == 19
    joined, _ = data.load_folder(recordings / "list.csv", join=5.0, progress=False)
    assert len(joined.names) == 19, "two clips of a speaker became one piece"


@pytest.fixture
def voices(tmp_path, cache, monkeypatch):
    """Four computer voices, of which one is for testing."""
    table = clip_table(tmp_path, [1.5] * 4, speaker=list("abcd"), split=["train", "train", "validation", "test"])
    monkeypatch.setattr(loading, "load_clips", lambda task, params, progress: Dataset(table, table[:0]))


def test_computer_voices_if_there_is_nothing_else(voices, monkeypatch):
    def fail(part, join, packages, progress):
        raise Unavailable("festvox-ru", "there is no apt-get", "Use Debian.")

    monkeypatch.setattr(data, "load_packages", fail)
    heard = data.load_audio(config.load_params({}), ["festvox-ru"], progress=False)
    assert heard.kind == "synthetic" and "no apt-get" in heard.note and len(heard.learn.names) == 2
    heard = data.load_audio(config.load_params({"corpus": "synthetic"}), ["festvox-ru"], progress=False)
    assert heard.kind == "synthetic" and "asked for" in heard.note
    assert heard.learn.names == ("clip000", "clip001") and heard.held_out.names == ("clip002",)


def test_mistakes_are_not_covered_by_computer_voices(voices):
    with pytest.raises(UnknownName, match="beneath-a-steel-sky"):
        data.load_audio(config.load_params({}), ["beneath-a-steal-sky"])
    with pytest.raises(UnknownName, match="validation"):
        data.load_packages("test")


def fabricate(lengths: list[int]) -> data.AudioBank:
    """Noise in pieces of the given lengths."""
    return make_bank(np.random.default_rng(0).uniform(-0.1, 0.1, sum(lengths)), lengths)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 4000), min_size=4, max_size=9), st.integers(1, 3000), st.integers(0, 3000),
       st.sampled_from(["clip", "seconds"]), st.integers(0, 10**6))
def test_every_pair_is_what_the_settings_allow(room, gap, more, weight, step):
    lengths = [data.WINDOW_SAMPLES + extra - 500 for extra in room]
    chosen = PairSettings(batch=2, gap=gap / 16000, tau=(gap + more) / 16000, weight=weight)
    usable = sum(length - data.WINDOW_SAMPLES >= gap for length in lengths)
    made = fabricate(lengths)
    if usable < 2:
        with pytest.raises(BadParameter, match="different clips"):
            data.Pairs(made, chosen)
        return
    pairs = data.Pairs(made, chosen)
    assert sum(pairs.left_out.values()) == len(lengths) - usable
    assert len(pairs.notes) == sum(map(bool, pairs.left_out.values()))
    windows, pieces, starts = pairs.draw(step)
    assert len(set(pieces)) == 2
    for window, piece, (one, other) in zip(windows, pieces, starts, strict=True):
        assert gap <= abs(one - other) <= gap + more
        for k, start in enumerate((one, other)):
            assert 0 <= start <= lengths[piece] - data.WINDOW_SAMPLES
            first = made.starts[piece] + start
            assert np.array_equal(window[k], made.samples[first:first + data.WINDOW_SAMPLES])


def test_long_clips_are_drawn_more_often_if_asked():
    made, share = fabricate([18000] * 6 + [60000] * 2), {}
    for weight in ("clip", "seconds"):
        pairs = data.Pairs(made, dataclasses.replace(FEW, batch=2, weight=weight))
        share[weight] = np.mean([np.isin(pairs.draw(step)[1], [6, 7]).mean() for step in range(200)])
    assert share["clip"] == pytest.approx(0.25, abs=0.08) and share["seconds"] > 0.8


def test_silent_windows_are_drawn_again():
    made = fabricate([40000] * 4)
    samples = made.samples.copy()
    for start in made.starts:
        samples[start:start + 12000] = 0
    pairs = data.Pairs(dataclasses.replace(made, samples=samples), FEW)
    shares = [data.find_silent(pairs.draw(step)[0], 40).mean() for step in range(20)]
    assert np.mean(shares) < 0.05
    silence = data.Pairs(dataclasses.replace(made, samples=np.zeros_like(samples)), FEW)
    assert data.find_silent(silence.draw(0)[0], 40).all()


def test_the_batches_are_the_drawn_windows_as_log_mel():
    pairs = data.Pairs(fabricate([30000] * 6), FEW, seed=1)
    for step, batch in enumerate(data.make_dataset(pairs, 3, 5), start=3):
        windows, pieces, _ = pairs.draw(step)
        expected = frontend.log_mel(windows / np.float32(32767))
        assert batch["log_mel"].shape == (4, 2, 96, 64)
        np.testing.assert_allclose(batch["log_mel"], expected, atol=2e-4)
        assert np.array_equal(batch["clips"], pieces) and np.array_equal(batch["windows"], windows)
        assert not batch["silent"].numpy().any()


def test_augmentation_is_declared_repeats_and_stays_in_its_bounds():
    def features(windows, seed=(0, 0), **changes):
        return data.compute_features(windows, dataclasses.replace(FEW, **changes), seed).numpy()

    pair = [data.round_to_int16(tone(1.0, hertz)[: data.WINDOW_SAMPLES]) for hertz in (300, 500)]
    windows = np.stack([np.stack(pair)] * 3)
    plain = features(windows)
    one, two, other = (features(windows, seed, gain=12.0) for seed in ((1, 5), (1, 5), (1, 6)))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    moved = (one - plain)[plain > -2]  # far above the offset, where a gain only shifts the logarithm
    assert 0.1 < np.abs(moved).max() <= 12 * np.log(10) / 20 + 1e-3
    tilted = features(windows, tilt=6.0) - plain
    np.testing.assert_allclose(tilted[..., 0], -tilted[..., -1], atol=1e-4)
    assert np.abs(tilted).max() <= 3 * np.log(10) / 20 + 1e-4
    assert (features(np.zeros_like(windows), noise=60.0).reshape(6, -1).std(1) > 0).all()
    silence = np.isclose(features(windows, (0, 3), short=1.0), np.log(0.001), atol=1e-5).all(-1)
    assert silence[..., -1].mean() > 0.5 and not silence[..., :25].any(), "0.3 s are 30 frames"
