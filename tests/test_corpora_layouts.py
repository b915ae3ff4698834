"""Own recordings in the layouts of others: Kaldi's, audiofolder's, TensorFlow Datasets', and splits as files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import soundfile

from nslib import audio, corpora, data_card, params
from nslib.corpora import layouts
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.splits import SPLITS

SPEAKERS = [f"s{i}" for i in range(6)]


def put(path, seed=0, seconds=0.2, rate=16_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.3, 0.3, int(rate * seconds)), rate)
    return path


def read(path, **options):
    return corpora.read(path, progress=False, **options)


def by_id(corpus):
    return corpus.clips.set_index("clip_id")


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))


# ------------------------------------------------------------------ Kaldi


@pytest.fixture
def kaldi(tmp_path, cache):
    """Twelve utterances of six speakers, two classes, paths from the folder above."""
    home, names = tmp_path / "data", [f"{s}-{i}" for s in SPEAKERS for i in range(2)]
    for seed, name in enumerate(names):
        put(tmp_path / "wavs" / f"{name}.wav", seed)
    lines(home / "wav.scp", [f"{name} wavs/{name}.wav" for name in names])
    lines(home / "utt2spk", [f"{name}\t{name[:2]}" for name in names])
    lines(home / "utt2lang", [f"{name} {'cs' if name.endswith('0') else 'nl'}" for name in names])
    lines(home / "text", [f"{name} some words" for name in names])
    return home


def test_a_kaldi_directory_has_labels_speakers_and_paths_from_the_folder_above(kaldi):
    found = read(kaldi)
    clips = by_id(found)
    assert len(clips) == 12 and found.problems.empty
    assert clips.loc["s1-0", ["label", "speaker"]].tolist() == ["cs", "s1"]
    assert clips.groupby("speaker")["split"].nunique().eq(1).all() and set(clips["split"]) == set(SPLITS)
    assert any("utt2lang" in note for note in found.notes)


def test_one_directory_a_split_is_taken_as_given(kaldi, tmp_path):
    home = tmp_path / "all"
    for split, part in (("train", SPEAKERS[:3]), ("dev", SPEAKERS[3:4]), ("test", SPEAKERS[4:])):
        for file in ("wav.scp", "utt2spk", "utt2lang"):
            kept = [row for row in (kaldi / file).read_text().splitlines() if row[:2] in part]
            lines(home / split / file, [row.replace(" wavs", f" {tmp_path}/wavs") for row in kept])
    clips = by_id(read(home))
    assert clips.loc["s3-1", "split"] == "validation" and clips["split"].value_counts().to_dict() == {
        "train": 6, "test": 4, "validation": 2}
    (home / "dev").rename(home / "other")
    with pytest.raises(UnknownName, match="other"):
        read(home)


def test_segments_are_cut_to_the_sample_once_and_what_lies_outside_is_named(tmp_path, cache):
    put(tmp_path / "long.wav", 5, seconds=2)
    lines(tmp_path / "d" / "wav.scp", ["long ../long.wav"])
    lines(tmp_path / "d" / "segments", ["a long 0.25 0.75", "b long 1 -1", "c long 1.5 9", "e none 0 1"])
    lines(tmp_path / "d" / "utt2label", ["a x", "b y", "c x", "e y"])
    found = read(tmp_path / "d")
    clips = by_id(found)
    whole = audio.read(tmp_path / "long.wav").wave
    heard = audio.read(clips.loc["a", "audio"]).wave
    assert len(heard) == 8000 and np.abs(heard - whole[4000:12000]).max() < 1 / 32767
    assert clips.loc["b", "seconds"] == 1.0
    faults = found.problems.set_index("clip_id")["reason"]
    assert "1.5 s to 9 s" in faults["c"] and "no none in wav.scp" in faults["e"]
    assert any("3 clips were cut out of 1 recordings" in note for note in found.notes)
    before = {path: path.stat().st_mtime_ns for path in (cache / "corpora").rglob("*.wav")}
    assert by_id(read(tmp_path / "d")).equals(clips)
    assert before == {path: path.stat().st_mtime_ns for path in (cache / "corpora").rglob("*.wav")}


@pytest.mark.parametrize(("file", "line", "said"), [
    ("wav.scp", "x sox a.flac -t wav - |", "line 2.*command"),
    ("wav.scp", "x feats.ark:17", "line 2.*archive"),
    ("wav.scp", "alone", "line 2.*name and, after a space"),
    ("wav.scp", "a other.wav", "lines 1 and 2 .* of 'a'"),
    ("segments", "u a 3 1", "line 1.*later end"),
    ("segments", "u a one two", "line 1.*START END"),
])
def test_a_bad_line_is_named(tmp_path, cache, file, line, said):
    lines(tmp_path / "wav.scp", ["a a.wav"])
    with (tmp_path / file).open("a") as out:
        out.write(line + "\n")
    with pytest.raises(BadParameter, match=said):
        read(tmp_path)


def test_of_a_missing_file_and_of_what_is_only_listed(kaldi, tmp_path):
    (tmp_path / "wavs" / "s0-0.wav").unlink()
    with (kaldi / "utt2spk").open("a") as out:
        out.write("ghost s9\n")
    found = read(kaldi)
    assert found.problems["clip_id"].tolist() == ["s0-0"]
    assert any("1 utterances of utt2spk have no audio" in note for note in found.notes)


# ------------------------------------------------------------------ audiofolder


def metadata(folder, rows, name="metadata.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows)
    if name.endswith("jsonl"):
        frame.to_json(folder / name, orient="records", lines=True)
    else:
        frame.to_csv(folder / name, index=False)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_an_audiofolder_with_metadata(tmp_path, cache, name):
    rows = []
    for i in range(12):
        put(tmp_path / "clips" / f"{i}.wav", i)
        rows.append({"file_name": f"clips/{i}.wav", "label": "ab"[i % 2], "speaker_id": SPEAKERS[i // 2], "note": "x"})
    put(tmp_path / "clips" / "extra.wav")
    metadata(tmp_path, rows, name)
    found = read(tmp_path)
    assert by_id(found).loc["clips/3.wav", ["label", "speaker"]].tolist() == ["b", "s1"] and len(found.clips) == 12
    told = " ".join(found.notes)
    assert "not read: note" in told and "1 audio files have no row" in told


def test_an_audiofolder_with_a_folder_a_split_draws_the_validation_part_it_lacks(tmp_path, cache):
    for part, count in (("train", 20), ("test", 6)):
        for i in range(count):
            put(tmp_path / part / f"{i}.wav", i + 100 * (part == "test"))
        metadata(tmp_path / part, [{"file_name": f"{i}.wav", "label": "ab"[i % 2]} for i in range(count)])
    found = read(tmp_path)
    assert found.clips["split"].value_counts().to_dict() == {"train": 16, "test": 6, "validation": 4}
    assert set(by_id(found).loc[["test/0.wav"], "split"]) == {"test"}
    assert any("no validation part" in note for note in found.notes)


def test_another_metadata_file_leaves_a_folder_a_folder(tmp_path, cache):
    for i in range(6):
        put(tmp_path / "ab"[i % 2] / f"{i}.wav", i)
    (tmp_path / "metadata.csv").write_text("LJ001|Printing\n")
    assert set(read(tmp_path).clips["label"]) == {"a", "b"}


def test_a_row_without_a_file_name_is_named_by_its_number(tmp_path, cache):
    put(tmp_path / "1.wav")
    metadata(tmp_path, [{"file_name": "1.wav", "label": "a"}, {"file_name": "", "label": "b"}])
    found = read(tmp_path)
    assert "row 3 of metadata.csv" in found.problems["reason"].iloc[0]


# ------------------------------------------------------------------ TensorFlow Datasets


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data set as TensorFlow Datasets prepares it, whose builder is then no longer there."""
    import tensorflow_datasets as tfds

    class TinyVoices(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
                "speech": tfds.features.Audio(sample_rate=8000, dtype=np.int64),
                "mood": tfds.features.ClassLabel(names=["calm", "cross"]),
                "place": tfds.features.ClassLabel(names=["in", "out"]),
                "speaker_id": tfds.features.Text()}))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(0, 20), "test": self._generate_examples(20, 26)}

        def _generate_examples(self, first=0, last=0):
            for i in range(first, last):
                wave = np.random.default_rng(i).integers(-9000, 9000, 1600)
                yield i, {"speech": wave, "mood": i % 2, "place": i % 2, "speaker_id": f"s{i // 2}"}

    where = tmp_path_factory.mktemp("tfds")
    TinyVoices(data_dir=where).download_and_prepare()
    tfds.core.registered._DATASET_REGISTRY.pop("tiny_voices")
    return where


def test_a_data_set_of_tensorflow_datasets(prepared, cache, monkeypatch):
    monkeypatch.setenv("NSLIB_DATA_DIR", str(prepared))
    with pytest.raises(BadParameter, match=r"2 features that could be the label \(mood, place"):
        read("tfds:tiny_voices")
    found = read("tfds:tiny_voices?label=mood")
    clips = by_id(found)
    assert set(clips["label"]) == {"calm", "cross"} and clips.loc["test/000000", "split"] == "test"
    assert clips["split"].value_counts().to_dict() == {"train": 16, "test": 6, "validation": 4}
    assert clips["seconds"].eq(0.2).all()  # of 8 kHz, heard at 16
    assert layouts.name("tfds:tiny_voices?label=mood") == "tiny_voices"
    monkeypatch.setattr("nslib.corpora.own_tfds._examples", None)  # the second time nothing is read
    assert by_id(read("tfds:tiny_voices?label=mood")).equals(clips)


def test_what_tensorflow_datasets_has_not_is_said(prepared, cache, monkeypatch):
    monkeypatch.setenv("NSLIB_DATA_DIR", str(prepared))
    with pytest.raises(UnknownName, match="gtzan"):
        read("tfds:gtsan")
    with pytest.raises(BadParameter, match="--tasks savee"):
        read("tfds:savee")
    with pytest.raises(UnknownName, match="mood"):
        read("tfds:tiny_voices?label=moot")
    with pytest.raises(BadParameter, match="0 features that could be the audio"):
        read("tfds:mnist")
    with pytest.raises(Unavailable, match="NSLIB_OFFLINE"):
        read("tfds:gtzan")


# ------------------------------------------------------------------ splits as files, and the card


def test_a_split_is_saved_and_given_again_whatever_the_seed(kaldi, tmp_path):
    card = data_card.make(kaldi, seed=3, progress=False)
    path = card.save_splits(tmp_path / "split.csv")
    again = read(kaldi, seed=99, splits=path)
    assert by_id(again)["split"].equals(card.corpus.clips.set_index("clip_id")["split"])
    assert "Splits are those of split.csv." in again.notes


def test_a_split_of_other_recordings_is_refused(kaldi, tmp_path):
    path = data_card.make(kaldi, progress=False).save_splits(tmp_path / "split.csv")
    rows = pd.read_csv(path, dtype=str)

    def given(frame):
        frame.to_csv(path, index=False)
        return read(kaldi, splits=path)

    with pytest.raises(BadParameter, match=r"row 2 of split\.csv says that the speaker of 's0-0' is 'you'"):
        given(rows.assign(speaker="you"))
    with pytest.raises(BadParameter, match="other recordings"):
        given(rows.assign(clip_id=rows["clip_id"] + "?"))
    with pytest.raises(UnknownName, match="validation"):
        given(rows.assign(split="validaton"))
    with pytest.raises(BadParameter, match="rows 2 and 14"):
        given(pd.concat([rows, rows[:1]]))
    with pytest.raises(BadParameter, match="data card"):
        read(kaldi, splits=tmp_path / "none.csv")
    some = given(rows[rows["split"] != "test"])
    assert (by_id(some)["split"] == "").sum() == (rows["split"] == "test").sum()


def test_the_card_says_what_the_tables_say(kaldi, tmp_path):
    (tmp_path / "wavs" / "s0-0.wav").write_bytes(b"RIFF")
    text = data_card.make(kaldi, progress=False).markdown()
    for said in ("# data", "11 clips", "2 classes, 6 speakers", "1 files could not be used", "s0-0", "16000",
                 "To be filled in", "| cs |", "## Splits", "## Identity"):
        assert said in text, said


def test_a_list_of_splits_belongs_to_own_recordings(kaldi, tmp_path):
    import nslib

    path = data_card.make(kaldi, progress=False).save_splits(tmp_path / "split.csv")
    with pytest.raises(BadParameter, match="own"):
        nslib.benchmark("logmel", "speaker-fillets", splits=path, progress=False)
    made = nslib.benchmark("logmel", kaldi, splits=path, params=params.load({"smoke": True}), progress=False)
    assert set(made.rows["task"]) == {"data"} and made.rows["value"].notna().any()
