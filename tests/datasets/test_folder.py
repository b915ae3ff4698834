"""Your own recordings: what becomes of files and rows, how they are split, and the card and the split file of them."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
import soundfile
from helpers import noise

import nslib
from nslib import audio, config
from nslib.datasets.card import audit_clips, make_data_card
from nslib.datasets.folder import read_recordings
from nslib.datasets.loading import load_own_task
from nslib.datasets.splits import SPLITS
from nslib.errors import BadParameter, UnknownName


def read(path, **options):
    return read_recordings(path, progress=False, **options)


def by_id(dataset):
    return dataset.clips.set_index("clip_id")


@pytest.fixture
def tree(tmp_path, cache):
    """Two labels x six speakers x two clips."""
    for i in range(24):
        noise(tmp_path / "set" / ("yes", "no")[i % 2] / f"speaker{i // 4}" / f"{i}.wav", i)
    return tmp_path / "set"


def test_speakers_are_in_one_split_and_labels_in_all(tree):
    task, dataset = load_own_task(tree, progress=False)
    clips = dataset.clips
    assert (task.name, task.kind, task.speaker_is_label, len(clips)) == ("set", "real", False, 24)
    assert clips.groupby("speaker")["split"].nunique().eq(1).all()
    assert clips.groupby("label")["split"].nunique().eq(3).all()
    assert any("Speakers were drawn" in note and "seed 0" in note for note in dataset.notes)
    assert audit_clips(clips).problems == ()
    pd.testing.assert_frame_equal(read(tree).clips, clips)
    assert any(not read(tree, seed=seed).clips["split"].equals(clips["split"]) for seed in range(1, 5))
    clip = by_id(dataset).loc["no/speaker0/1"]
    assert (clip["label"], clip["speaker"], clip["sample_rate"]) == ("no", "speaker0", 16_000)
    assert clip["sha256"] == audio.sha256(audio.read(clip["audio"]).wave) and os.path.isabs(clip["audio"])


def test_without_speakers_clips_are_drawn_and_it_says_so(tmp_path, cache):
    for i in range(20):
        noise(tmp_path / "ab"[i % 2] / f"{i}.wav", i)
    noise(tmp_path / "rare" / "1.wav", 99)
    dataset = read(tmp_path)
    clips = by_id(dataset)
    assert clips[clips["label"] != "rare"].groupby("label")["split"].nunique().eq(3).all()
    assert clips.loc["rare/1", "split"] == ""
    assert "speakers are not known" in dataset.notes[0] and "rare (1)" in dataset.notes[0]


def test_where_the_label_is_the_speaker_clips_are_drawn_and_else_every_label_is_in_every_split(tmp_path, cache):
    for i in range(24):
        noise(tmp_path / "own" / f"p{i % 3}" / f"p{i % 3}" / f"{i}.wav", i)
        noise(tmp_path / "set" / "ab"[i % 2] / f"{'ab'[i % 2]}{i // 2 % 4}" / f"{i}.wav", i)
    assert "the label is the speaker" in " ".join(read(tmp_path / "own").notes)
    clips = read(tmp_path / "set").clips  # each speaker has one label
    assert clips.groupby("speaker")["split"].nunique().eq(1).all()
    assert clips.groupby("label")["split"].nunique().eq(3).all()


def test_split_folders_are_taken_as_given(tmp_path, cache):
    for i, split in enumerate(["train", "dev", "test"] * 2):
        noise(tmp_path / split / "ab"[i % 2] / "s" / f"{i}.wav", i)
    clips = by_id(read(tmp_path))
    assert clips["split"].value_counts().to_dict() == dict.fromkeys(SPLITS, 2)
    assert clips.loc["dev/b/s/1", ["label", "speaker", "split"]].tolist() == ["b", "s", "validation"]


def test_bad_files_are_problems_and_the_rest_goes_on(tree):
    place = tree / "yes" / "speaker0"
    noise(place / "loud.wav", 50, rate=44_100, channels=2)
    noise(tree / "stray.wav")
    (place / "cut.wav").write_bytes((place / "0.wav").read_bytes()[:3000])
    soundfile.write(place / "nan.wav", np.full(4000, np.nan), 16_000, subtype="FLOAT")
    dataset = read(tree)
    assert len(dataset.clips) == 25
    reasons = dataset.problems.set_index("clip_id")["reason"].rename(lambda name: name.rpartition("/")[2])
    assert set(reasons.index) == {"cut", "nan", "stray"}
    for name, word in (("cut", "cut short"), ("nan", "NaN"), ("stray", "outside the label folders")):
        assert word in reasons[name]
    assert dataset.problems["remedy"].str.len().min() > 10
    assert any("1 of 25 clips: stereo mixed to mono" in note for note in dataset.notes)


def test_files_are_decoded_once_until_they_change(tree, monkeypatch, cache):
    first = read(tree)
    read_audio, seen = audio.read, []
    monkeypatch.setattr(audio, "read", lambda path: seen.append(str(path)) or read_audio(path))
    pd.testing.assert_frame_equal(read(tree).clips, first.clips)
    assert seen == []
    noise(tree / "no" / "speaker0" / "1.wav", 77)
    os.utime(tree / "no" / "speaker0" / "1.wav", ns=(1, 1))
    assert read(tree).clips["sha256"].ne(first.clips["sha256"]).sum() == 1
    with (cache / "corpora" / "decoded.jsonl").open("a") as file:
        file.write('\n["torn')
    assert read(tree).problems.empty and len(seen) == 1
    (tree / "no" / "speaker0" / "1.wav").write_bytes(b"RIFF")
    for _ in range(2):  # what cannot be used is tried again
        assert len(read(tree).problems) == 1
    assert len(seen) == 3


def test_a_split_is_saved_and_given_again_whatever_the_seed(tree, tmp_path):
    card = make_data_card(tree, seed=3, progress=False)
    path = card.save_splits(tmp_path / "split.csv")
    again = read(tree, seed=99, splits=path)
    assert again.clips["split"].equals(card.corpus.clips["split"])
    assert "Splits are those of split.csv." in again.notes
    with pytest.raises(BadParameter, match="own"):
        nslib.benchmark("logmel", "speaker-fillets", splits=path, progress=False)
    made = nslib.benchmark("logmel", tree, splits=path, params=config.load_params({"smoke": True}), progress=False)
    assert set(made.rows["task"]) == {"set"} and made.rows["value"].notna().any()


def test_a_split_of_other_recordings_is_refused(tree, tmp_path):
    path = make_data_card(tree, progress=False).save_splits(tmp_path / "split.csv")
    rows = pd.read_csv(path, dtype=str)

    def give(frame):
        frame.to_csv(path, index=False)
        return read(tree, splits=path)

    for frame, error, said in (
            (rows.assign(speaker="you"), BadParameter,
             r"row 2 of split\.csv says that the speaker of 'no/speaker0/1' is 'you'"),
            (rows.assign(clip_id=rows["clip_id"] + "?"), BadParameter, "other recordings"),
            (rows.assign(split="validaton"), UnknownName, "validation"),
            (pd.concat([rows, rows[:1]]), BadParameter, "rows 2 and 26")):
        with pytest.raises(error, match=said):
            give(frame)
    with pytest.raises(BadParameter, match="data card"):
        read(tree, splits=tmp_path / "none.csv")
    some = give(rows[rows["split"] != "test"])
    assert (some.clips["split"] == "").sum() == (rows["split"] == "test").sum()


def test_the_card_says_what_the_tables_say(tree):
    (tree / "no" / "speaker0" / "1.wav").write_bytes(b"RIFF")
    text = make_data_card(tree, progress=False).markdown()
    for words in ("# set", "23 clips", "2 classes, 6 speakers", "1 files could not be used", "no/speaker0/1", "16000",
                  "To be filled in", "| yes |", "## Splits", "## Identity"):
        assert words in text, words
