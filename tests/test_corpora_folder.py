from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
import soundfile

from nslib import audio, corpora, splits
from nslib.corpora import decoded, folder
from nslib.errors import BadParameter, UnknownName


def put(path, seed: int = 0, rate: int = 16_000, seconds: float = 0.2, channels: int = 1):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (int(rate * seconds), channels) if channels > 1 else int(rate * seconds)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.3, 0.3, shape), rate)
    return path


def read(path, **options) -> corpora.Corpus:
    return folder.read(path, progress=False, **options)


@pytest.fixture
def tree(tmp_path, cache):
    """Two labels x six speakers x two clips."""
    for i in range(24):
        put(tmp_path / "set" / ("yes", "no")[i % 2] / f"speaker{i // 4}" / f"{i}.wav", i)
    return tmp_path / "set"


# --- folders -----------------------------------------------------------------------------------


def test_label_and_speaker_come_from_the_folders(tree):
    got = read(tree)
    assert len(got.clips) == 24
    assert got.problems.empty
    clip = got.clips.set_index("clip_id").loc["no/speaker0/1"]
    assert (clip["label"], clip["speaker"], clip["sample_rate"]) == ("no", "speaker0", 16_000)
    assert clip["sha256"] == audio.sha256(audio.read(clip["audio"]).wave)
    assert os.path.isabs(clip["audio"])


def test_speakers_are_in_one_split_and_labels_in_all(tree):
    got = read(tree)
    assert got.clips.groupby("speaker")["split"].nunique().eq(1).all()
    assert got.clips.groupby("label")["split"].nunique().eq(3).all()
    assert any("Speakers were drawn" in note and "seed 0" in note for note in got.notes)
    assert splits.audit(got.clips).problems == ()
    pd.testing.assert_frame_equal(read(tree).clips, got.clips)
    assert any(not read(tree, seed=seed).clips["split"].equals(got.clips["split"]) for seed in range(1, 5))


def test_without_speakers_clips_are_drawn_and_it_says_so(tmp_path, cache):
    for i in range(20):
        put(tmp_path / "ab"[i % 2] / f"{i}.wav", i)
    put(tmp_path / "rare" / "1.wav", 99)
    got = read(tmp_path)
    assert got.clips[got.clips["label"] != "rare"].groupby("label")["split"].nunique().eq(3).all()
    assert got.clips.set_index("clip_id").loc["rare/1", "split"] == ""
    said = " ".join(got.notes)
    assert "speakers are not known" in said
    assert "rare (1)" in said


def test_where_the_label_is_the_speaker_clips_are_drawn(tmp_path, cache):
    for i in range(12):
        put(tmp_path / f"p{i % 3}" / f"p{i % 3}" / f"{i}.wav", i)
    assert "the label is the speaker" in " ".join(read(tmp_path).notes)


def test_speakers_of_one_label_each_get_splits_with_every_label(tmp_path, cache):
    for i in range(24):
        put(tmp_path / "ab"[i % 2] / f"{'ab'[i % 2]}{i // 2 % 4}" / f"{i}.wav", i)
    got = read(tmp_path)
    assert got.clips.groupby("speaker")["split"].nunique().eq(1).all()
    assert got.clips.groupby("label")["split"].nunique().eq(3).all()


def test_split_folders_are_taken_as_given(tmp_path, cache):
    for i, split in enumerate(["train", "dev", "test"] * 2):
        put(tmp_path / split / "ab"[i % 2] / "s" / f"{i}.wav", i)
    clips = read(tmp_path).clips
    assert set(clips["split"]) == set(splits.SPLITS)
    assert set(clips["label"]) == {"a", "b"}
    assert set(clips["speaker"]) == {"s"}


def test_audio_without_labels_can_be_read(tmp_path, cache):
    put(tmp_path / "one.wav")
    put(tmp_path / "two.flac", 1)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".DS_Store").write_text("x")
    got = read(tmp_path)
    assert got.clips["clip_id"].tolist() == ["one", "two"]
    assert set(got.clips["label"]) == set(got.clips["split"]) == {""}
    assert any("1 files were not read" in note and ".txt" in note for note in got.notes)
    assert any("cannot" in note or "not benchmarked" in note for note in got.notes)


def test_names_that_differ_in_their_ending_stay_apart(tmp_path, cache):
    put(tmp_path / "one.wav")
    put(tmp_path / "one.flac", 1)
    assert read(tmp_path).clips["clip_id"].tolist() == ["one.flac", "one.wav"]


def test_a_file_beside_label_folders_is_a_problem(tree):
    put(tree / "stray.wav")
    got = read(tree)
    assert got.problems["clip_id"].tolist() == ["stray"]
    assert "outside" in got.problems["reason"][0]


def test_bad_files_are_problems_and_the_rest_goes_on(tree):
    put(tree / "yes" / "speaker0" / "loud.wav", 50, rate=44_100, channels=2)
    (tree / "yes" / "speaker0" / "empty.wav").touch()
    (tree / "yes" / "speaker0" / "text.wav").write_text("not audio at all")
    whole = (tree / "yes" / "speaker0" / "0.wav").read_bytes()
    (tree / "yes" / "speaker0" / "cut.wav").write_bytes(whole[:3000])
    soundfile.write(tree / "yes" / "speaker0" / "nan.wav", np.full(4000, np.nan), 16_000, subtype="FLOAT")
    soundfile.write(tree / "yes" / "speaker0" / "long.wav", np.zeros(4_000 * 3700, "int16"), 4_000)
    got = read(tree)
    assert len(got.clips) == 25
    reasons = got.problems.set_index("clip_id")["reason"]
    names = ("cut", "empty", "long", "nan", "text")
    assert reasons.index.tolist() == [f"yes/speaker0/{name}" for name in names]
    for name, word in (("cut", "cut short"), ("empty", "empty"), ("long", "60 minutes"), ("nan", "NaN")):
        assert word in reasons[f"yes/speaker0/{name}"]
    assert got.problems["remedy"].str.len().min() > 10
    assert any("stereo mixed to mono" in note for note in got.notes)


# --- lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_lists_of_every_kind(tmp_path, cache, ending):
    for i in range(6):
        put(tmp_path / "wav" / f"{i}.wav", i)
    table = pd.DataFrame({"audio": [f"wav/{i}.wav" for i in range(6)], "label": [1, 2] * 3,
                          "speaker": list("aabbcc"),
                          "split": ["train", "train", "val", "val", "test", "test"],
                          "clip_id": [f"clip {i}" for i in range(6)], "age": range(6)})
    path = tmp_path / f"list{ending}"
    if ending == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",", encoding="utf-8-sig")
    got = read(path)
    assert got.clips["clip_id"].tolist() == [f"clip {i}" for i in range(6)]
    assert got.clips["label"].tolist() == ["1", "2"] * 3
    assert got.clips["split"].tolist() == ["train", "train", "validation", "validation", "test", "test"]
    assert "Columns that were not read: age." in got.notes


def write(tmp_path, text: str):
    path = tmp_path / "list.csv"
    path.write_text(text)
    return path


def test_rows_that_name_nothing_are_problems(tmp_path, cache):
    put(tmp_path / "a.wav")
    got = read(write(tmp_path, "audio,label\na.wav,x\n,y\ngone.wav,y\n"))
    assert got.clips["clip_id"].tolist() == ["a.wav"]
    reasons = " ".join(got.problems["reason"])
    assert "row 3 of list.csv" in reasons
    assert "no such file" in reasons


@pytest.mark.parametrize(("text", "error", "says"), [
    ("Audio,label\na.wav,x\n", UnknownName, "Audio"),
    ("path,label\na.wav,x\n", UnknownName, "audio"),
    ("audio,label,speakr\na.wav,x,s\n", UnknownName, "speaker"),
    ("audio,label,split\na.wav,x,tset\n", UnknownName, "row 2.*Did you mean test"),
    ("audio,label\na.wav,x\na.wav,y\n", BadParameter, "rows 2 and 3"),
    ("", BadParameter, "cannot be read"),
    ("audio,label\n", BadParameter, "holds no audio"),
])
def test_lists_that_contradict_themselves_are_refused_with_the_place(tmp_path, cache, text, error, says):
    put(tmp_path / "a.wav")
    with pytest.raises(error, match=says):
        read(write(tmp_path, text))


def test_what_is_not_there_is_said_with_the_nearest(tmp_path, cache):
    (tmp_path / "recordings").mkdir()
    with pytest.raises(BadParameter, match="did you mean recordings"):
        read(tmp_path / "recording")
    with pytest.raises(BadParameter, match="holds no audio"):
        read(tmp_path / "recordings")
    with pytest.raises(BadParameter, match="neither a folder nor a list"):
        read(put(tmp_path / "a.wav"))
    (tmp_path / "broken.parquet").write_text("x")
    with pytest.raises(BadParameter, match="PARQUET"):
        read(tmp_path / "broken.parquet")


# --- memory ----------------------------------------------------------------------------------------


def test_files_are_decoded_once_until_they_change(tree, monkeypatch, cache):
    first = read(tree)
    read_audio, seen = audio.read, []
    monkeypatch.setattr(audio, "read", lambda path: seen.append(str(path)) or read_audio(path))
    pd.testing.assert_frame_equal(read(tree).clips, first.clips)
    assert seen == []
    put(tree / "no" / "speaker0" / "1.wav", 77)
    os.utime(tree / "no" / "speaker0" / "1.wav", ns=(1, 1))
    assert read(tree).clips["sha256"].ne(first.clips["sha256"]).sum() == 1
    assert len(seen) == 1
    with (cache / "corpora" / "decoded.jsonl").open("a") as file:
        file.write('\n["torn')
    read(tree)
    assert len(seen) == 1


def test_a_bad_file_is_tried_again(tmp_path, cache):
    path = tmp_path / "a.wav"
    path.touch()
    assert decoded.facts([path], progress=False)[0].reason
    stamp = path.stat()
    put(path)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert not decoded.facts([path], progress=False)[0].reason


def test_your_recordings_are_a_task(tree):
    task, corpus = corpora.own_task(tree, progress=False)
    assert (task.name, task.kind, task.speaker_is_label) == ("set", "real", False)
    assert len(corpus.clips) == 24
    assert corpora.read(tree, progress=False).clips.equals(corpus.clips)
