"""Your own recordings in every layout: what becomes of files and rows, their splits, the card and the split file."""

import os
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import soundfile
from helpers import noise

import nslib
from nslib import audio, config
from nslib.datasets import noss
from nslib.datasets.card import audit_clips, make_data_card
from nslib.datasets.folder import read_recordings
from nslib.datasets.layouts import name_recordings, recordings_exist
from nslib.datasets.loading import load_own_task
from nslib.datasets.splits import SPLITS
from nslib.errors import BadParameter, Unavailable, UnknownName


def read(path, **options):
    return read_recordings(path, progress=False, **options)


def by_id(dataset):
    return dataset.clips.set_index("clip_id")


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


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
    assert read(tree).clips.equals(clips)
    assert any(not read(tree, seed=seed).clips["split"].equals(clips["split"]) for seed in range(1, 5))
    clip = by_id(dataset).loc["no/speaker0/1"]
    assert (clip["label"], clip["speaker"], clip["sample_rate"]) == ("no", "speaker0", 16_000)
    assert clip["sha256"] == audio.sha256(audio.read(clip["audio"]).wave)


def test_where_speakers_are_not_known_or_are_the_label_clips_are_drawn_and_it_says_so(tmp_path, cache):
    for i in range(24):
        noise(tmp_path / "own" / f"p{i % 3}" / f"p{i % 3}" / f"{i}.wav", i)
        noise(tmp_path / "set" / "ab"[i % 2] / f"{'ab'[i % 2]}{i // 2 % 4}" / f"{i}.wav", i)
        noise(tmp_path / "none" / "ab"[i % 2] / f"{i}.wav", i)
    noise(tmp_path / "none" / "rare" / "1.wav", 99)
    task, dataset = load_own_task(tmp_path / "own", progress=False)
    assert task.speaker_is_label and "the label is the speaker" in " ".join(dataset.notes)
    clips = read(tmp_path / "set").clips  # each speaker has one label
    assert clips.groupby("speaker")["split"].nunique().eq(1).all()
    assert clips.groupby("label")["split"].nunique().eq(3).all()
    dataset = read(tmp_path / "none")
    assert dataset.clips.groupby("label")["split"].nunique().to_dict() == {"a": 3, "b": 3, "rare": 1}
    assert by_id(dataset).loc["rare/1", "split"] == ""
    assert "speakers are not known" in dataset.notes[0] and "rare (1)" in dataset.notes[0]


def test_split_folders_are_taken_as_given_whatever_other_metadata_there_is(tmp_path, cache):
    for i, split in enumerate(["train", "dev", "test"] * 2):
        noise(tmp_path / split / "ab"[i % 2] / "s" / f"{i}.wav", i)
    lines(tmp_path / "metadata.csv", "LJ001|Printing")
    assert by_id(read(tmp_path)).loc["dev/b/s/1", ["label", "speaker", "split"]].tolist() == ["b", "s", "validation"]


def test_files_are_decoded_once_until_they_change(tree, monkeypatch, cache):
    first = read(tree)
    read_audio, seen = audio.read, []
    monkeypatch.setattr(audio, "read", lambda path: seen.append(str(path)) or read_audio(path))
    assert read(tree).clips.equals(first.clips) and seen == []
    os.utime(noise(tree / "no" / "speaker0" / "1.wav", 77), ns=(1, 1))
    assert read(tree).clips["sha256"].ne(first.clips["sha256"]).sum() == 1
    with (cache / "corpora" / "decoded.jsonl").open("a") as file:
        file.write('\n["torn')
    assert read(tree).problems.empty and len(seen) == 1
    (tree / "no" / "speaker0" / "1.wav").write_bytes(b"RIFF")
    assert len(read(tree).problems) == len(read(tree).problems) == 1 and len(seen) == 3  # what is bad is tried again


def test_a_split_is_saved_and_given_again_whatever_the_seed(tree, tmp_path):
    path = make_data_card(tree, seed=3, progress=False).save_splits(tmp_path / "split.csv")
    again = read(tree, seed=99, splits=path)
    assert again.clips["split"].equals(read(tree, seed=3).clips["split"])
    assert "Splits are those of split.csv." in again.notes
    with pytest.raises(BadParameter, match="own"):
        nslib.benchmark("logmel", "speaker-fillets", splits=path)
    made = nslib.benchmark("logmel", tree, splits=path, params=config.load_params({"smoke": True}), progress=False)
    assert set(made.rows["task"]) == {"set"} and made.rows["value"].notna().any()


def test_a_split_of_other_recordings_is_refused_and_the_card_says_what_the_tables_say(tree, tmp_path):
    path = make_data_card(tree, progress=False).save_splits(tmp_path / "split.csv")
    rows = pd.read_csv(path, dtype=str)
    for frame, error, said in (
            (rows.assign(speaker="you"), BadParameter, "row 2 of split.csv says that the speaker of 'no/.*' is 'you'"),
            (rows.assign(clip_id=rows["clip_id"] + "?"), BadParameter, "other recordings"),
            (rows.assign(split="validaton"), UnknownName, "validation"),
            (pd.concat([rows, rows[:1]]), BadParameter, "rows 2 and 26")):
        frame.to_csv(path, index=False)
        with pytest.raises(error, match=said):
            read(tree, splits=path)
    with pytest.raises(BadParameter, match="data card"):
        read(tree, splits=tmp_path / "none.csv")
    rows[rows["split"] != "test"].to_csv(path, index=False)
    assert (read(tree, splits=path).clips["split"] == "").sum() == (rows["split"] == "test").sum()
    (tree / "no" / "speaker0" / "1.wav").write_bytes(b"RIFF")
    text = make_data_card(tree, progress=False).markdown()
    for words in ("# set", "23 clips", "2 classes, 6 speakers", "1 more were left out", "| yes |", "## Splits"):
        assert words in text, words


def test_audio_without_labels_can_be_read_and_names_stay_apart(tmp_path, cache):
    for seed, name in enumerate(("one.wav", "one.flac", "two.wav")):
        noise(tmp_path / name, seed)
    dataset = read(tmp_path)
    assert dataset.clips["clip_id"].tolist() == ["one.flac", "one.wav", "two"] and "benchmarked" in dataset.notes[0]
    assert set(dataset.clips["label"]) == set(dataset.clips["split"]) == {""}
    assert make_data_card(tmp_path, progress=False).markdown().count("no labels") == 3


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_lists_of_every_kind(tmp_path, cache, ending):
    for i in range(3):
        noise(tmp_path / "wav" / f"{i}.wav", i)
    path, table = tmp_path / f"list{ending}", pd.DataFrame({
        "audio": [f"wav/{i}.wav" for i in range(3)], "label": range(3), "speaker": ["s0", "s1", "s2"], "age": range(3),
        "split": ["train", "val", "test"], "clip_id": ["clip 0", "clip 1", "clip 2"]})
    table.to_parquet(path) if ending == ".parquet" else table.to_csv(
        path, index=False, sep="\t" if ending == ".tsv" else ",", encoding="utf-8-sig")
    dataset = read(path)
    assert dataset.clips[["clip_id", "label", "speaker", "split"]].to_numpy().tolist() == [
        [f"clip {i}", str(i), f"s{i}", split] for i, split in enumerate(SPLITS)]
    assert "Columns that were not read: age." in dataset.notes
    reasons = read(lines(tmp_path / "rows.csv", "audio,label", "wav/0.wav,x", ",y", "gone.wav,y")).problems["reason"]
    assert "row 3 of rows.csv" in " ".join(reasons) and "no such file" in " ".join(reasons)


@pytest.mark.parametrize(("rows", "error", "said"), [
    (["Audio,label", "a.wav,x"], UnknownName, "Audio"), (["audio,label,speakr", "a.wav,x,s"], UnknownName, "speaker"),
    (["audio,label,split", "a.wav,x,tset"], UnknownName, "row 2.*Did you mean test"),
    (["audio,label", "a.wav,x", "a.wav,y"], BadParameter, "rows 2 and 3"), ([], BadParameter, "cannot be read"),
    ("recording", BadParameter, "did you mean recordings"), ("recordings", BadParameter, "holds no audio"),
    ("a.wav", BadParameter, "neither a folder nor a list")])
def test_what_is_not_there_and_lists_that_contradict_themselves_are_refused(tmp_path, cache, rows, error, said):
    noise(tmp_path / "a.wav")
    (tmp_path / "recordings").mkdir()
    with pytest.raises(error, match=said):
        read(tmp_path / rows if isinstance(rows, str) else lines(tmp_path / "list.csv", *rows))
    assert recordings_exist(tmp_path) and recordings_exist("tfds:x") and not recordings_exist(tmp_path / "no")


def test_kaldi_directories_have_labels_speakers_and_paths_from_the_folder_above(tmp_path, cache):
    kaldi, names = tmp_path / "data", [f"s{s}-{i}" for s in range(6) for i in range(2)]
    for seed, name in enumerate(names):
        noise(tmp_path / "wavs" / f"{name}.wav", seed)
    lines(kaldi / "wav.scp", *(f"{name} wavs/{name}.wav" for name in names))
    lines(kaldi / "utt2spk", *(f"{name}\t{name[:2]}" for name in names), "ghost s9")
    lines(kaldi / "utt2lang", *(f"{name} {('cs', 'nl')[int(name[-1])]}" for name in names))
    dataset = read(kaldi)
    assert len(dataset.clips) == 12 and dataset.problems.empty and set(dataset.clips["split"]) == set(SPLITS)
    assert by_id(dataset).loc["s1-0", ["label", "speaker"]].tolist() == ["cs", "s1"]
    assert "utt2lang" in " ".join(dataset.notes) and "1 utterances of utt2spk have no audio" in " ".join(dataset.notes)
    home = tmp_path / "all"  # with a directory a split, which is taken as given
    for split, part in (("train", "012"), ("dev", "3"), ("test", "45")):
        for file in ("wav.scp", "utt2spk", "utt2lang"):
            rows = [row for row in (kaldi / file).read_text().splitlines() if row[1] in part]
            lines(home / split / file, *(row.replace(" wavs", f" {tmp_path}/wavs") for row in rows))
    assert read(home).clips["split"].value_counts().to_dict() == {"train": 6, "test": 4, "validation": 2}
    lines(home / "test" / "wav.scp", "s0-0 x.wav")
    with pytest.raises(BadParameter, match=r"'s0-0' is in (test|train) and in (train|test)"):
        read(home)
    (home / "dev").rename(home / "other")
    with pytest.raises(UnknownName, match="other"):
        read(home)


def test_segments_are_cut_to_the_sample_once_and_what_lies_outside_is_named(tmp_path, cache):
    t = np.arange(32_000) / 16_000  # an MP3 of variable bit rate, of which a decoder that seeks gives other samples
    sound = np.random.default_rng(0).normal(0, 0.05, 32_000) * (np.sin(6 * np.pi * t) > 0.5) + 0.1 * np.sin(1382 * t)
    soundfile.write(tmp_path / "long.mp3", sound, 16_000, bitrate_mode="VARIABLE", compression_level=0.9)
    lines(tmp_path / "d" / "wav.scp", "long ../long.mp3", "bad ../bad.wav")
    lines(tmp_path / "d" / "segments", "a long 0.25 0.75", "b long 1 -1", "c long 1.5 9", "e none 0 1", "f bad 0 1")
    lines(tmp_path / "bad.wav", "RIFF")
    dataset = read(tmp_path / "d")
    clips = by_id(dataset)
    whole, part = (audio.read(path).wave for path in (tmp_path / "long.mp3", clips.loc["a", "audio"]))
    assert len(part) == 8000 and np.abs(part - whole[4000:12000]).max() < 1 / 32767
    assert clips.loc["b", "seconds"] == 1.0
    faults = dataset.problems.set_index("clip_id")["reason"]
    assert "1.5 s to 9 s, but long.mp3 has 2.00 s" in faults["c"] and "no none in wav.scp" in faults["e"]
    assert "its recording cannot be used" in faults["f"]
    assert any("2 clips were cut out of 1 recordings" in note for note in dataset.notes)  # not what was tried
    made = [(path, path.stat().st_mtime_ns) for path in (cache / "corpora").rglob("*.wav")]
    assert by_id(read(tmp_path / "d")).equals(clips)
    assert all(path.stat().st_mtime_ns == when for path, when in made)


@pytest.mark.parametrize(("file", "line", "said"), [
    ("wav.scp", "x sox a.flac -t wav - |", "line 2.*command"), ("wav.scp", "x scream.ark:17 |", "line 2.*command"),
    ("wav.scp", "alone", "line 2.*name and, after a space"), ("wav.scp", "a other.wav", "lines 1 and 2 .* of 'a'"),
    ("segments", "u a 3 1", "line 1.*later end")])
def test_a_bad_line_is_named(tmp_path, cache, file, line, said):
    lines(tmp_path / "wav.scp", "a a.wav")
    with (tmp_path / file).open("a") as out:
        out.write(line + "\n")
    with pytest.raises(BadParameter, match=said):
        read(tmp_path)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_an_audiofolder_with_metadata(tmp_path, cache, ending):
    rows = [(f"clips/{i}.wav" * (i < 6), "ab"[i % 2], f"s{i // 2}", "x") for i in range(7)]
    for i in range(7):
        noise(tmp_path / "clips" / f"{i}.wav", i)
    table = pd.DataFrame(rows, columns=["file_name", "label", "speaker_id", "note"])
    table.to_csv(tmp_path / "metadata.csv", index=False) if ending == "csv" else table.to_json(
        tmp_path / "metadata.jsonl", orient="records", lines=True)
    dataset = read(tmp_path)
    assert by_id(dataset).loc["clips/3.wav", ["label", "speaker"]].tolist() == ["b", "s1"] and len(dataset.clips) == 6
    reasons = dataset.problems.set_index("clip_id")["reason"]
    assert "not read: note" in " ".join(dataset.notes) and "no row in the metadata" in reasons["clips/6.wav"]
    row = 8 if ending == "csv" else 7
    assert f"row {row} of metadata.{ending}: it has nothing in the column audio" == reasons[f"row-{row}"]


def test_an_audiofolder_with_a_folder_a_split_draws_the_validation_part_it_lacks(tmp_path, cache):
    for part, places in (("train", range(20)), ("test", range(20, 26))):
        for i in places:
            noise(tmp_path / part / f"{i}.wav", i)
        lines(tmp_path / part / "metadata.csv", "file_name,label", *(f"{i}.wav,{'ab'[i % 2]}" for i in places))
    dataset = read(tmp_path)
    assert dataset.clips["split"].value_counts().to_dict() == {"train": 16, "test": 6, "validation": 4}
    assert any("no validation part" in note for note in dataset.notes)


def hear(i):
    return np.random.default_rng(i).integers(-9000, 9000, 1600)


@pytest.fixture
def prepared(tmp_path, cache):
    """A data set as TensorFlow Datasets prepares it, in three shards, whose builder is then no longer there."""
    import tensorflow_datasets as tfds

    class TinyVoices(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            kinds = tfds.features
            return tfds.core.DatasetInfo(builder=self, features=kinds.FeaturesDict({
                "speech": kinds.Audio(sample_rate=8000, dtype=np.int64), "speaker_id": kinds.Text(),
                "mood": kinds.ClassLabel(names=["calm", "cross"]), "place": kinds.ClassLabel(names=["in", "out"])}))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(0, 20), "test": self._generate_examples(20, 26)}

        def _generate_examples(self, first=0, last=0):
            for i in range(first, last):
                wave = hear(i) + 30000 * (i == 25)  # the last does not fit into 16 bits
                yield i, {"speech": wave, "mood": i % 2, "place": i % 2, "speaker_id": f"s{i}"}

    TinyVoices(data_dir=tmp_path).download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=3))
    tfds.core.registered._DATASET_REGISTRY.pop("tiny_voices")
    return tmp_path


def test_a_data_set_of_tensorflow_datasets_and_what_is_none(prepared, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setenv("NSLIB_DATA_DIR", str(prepared))
    for name, error, said in (
            ("tiny_voices", BadParameter, r"2 features that could be the label \(mood, place"),
            ("gtsan", UnknownName, "gtzan"), ("savee", BadParameter, "--tasks savee"),
            ("tiny_voices?lable=mood", UnknownName, "label"), ("tiny_voices?label=moot", UnknownName, "mood"),
            ("mnist", BadParameter, "0 features that could be the audio"), ("gtzan", Unavailable, "NSLIB_OFFLINE")):
        with pytest.raises(error, match=said):
            read(f"tfds:{name}")
    dataset = read("tfds:tiny_voices?label=mood")
    clips = by_id(dataset)
    assert set(clips["label"]) == {"calm", "cross"}
    assert clips["split"].value_counts().to_dict() == {"train": 16, "test": 5, "validation": 4}
    assert clips["seconds"].eq(0.2).all()  # of 8 kHz, heard at 16
    assert "do not fit into 16 bits" in dataset.problems["reason"].iloc[0]
    builder = tfds.builder_from_directory(prepared / "tiny_voices" / "1.0.0")
    ids = tfds.as_numpy(builder.as_dataset(split="train", read_config=tfds.ReadConfig(add_tfds_id=True)))
    places = {example["tfds_id"].decode().split("tfrecord-")[1]: example["speaker_id"].decode() for example in ids}
    in_order = [places[key] for key in sorted(places, key=lambda key: (key[:5], int(key.rpartition("__")[2])))]
    assert [clips.loc[f"train/{place:06d}", "speaker"] for place in range(20)] == in_order  # shard after shard
    for clip in clips.itertuples():
        wave = audio.from_array(hear(int(clip.speaker[1:])).astype(np.int16), 8000).wave
        assert np.abs(audio.read(clip.audio).wave - np.clip(wave, -1, 1)).max() < 1 / 32767
    assert name_recordings("tfds:tiny_voices?label=mood") == "tiny_voices"
    monkeypatch.setattr(noss._Prepared, "_read", None)  # the second time nothing is read
    assert by_id(read("tfds:tiny_voices?label=mood")).equals(clips)


WIDTHS = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "ULAW", "ALAW", "FLOAT")


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.float32])
def test_a_data_set_of_every_width_has_the_rate_and_the_scale_of_its_files(tmp_path, cache, monkeypatch, dtype):
    import tensorflow_datasets as tfds

    kinds = tfds.features
    features = kinds.FeaturesDict({"audio": kinds.Audio(file_format="wav", dtype=dtype), "label": kinds.Text()})
    files = {width: tmp_path / f"{width}.wav" for width in WIDTHS}
    for width, path in files.items():
        soundfile.write(path, hear(1) / 32768, 8000, subtype=width)

    class MixedWidths(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for width, path in files.items():
                yield width, {"audio": path, "label": width}

    monkeypatch.setenv("NSLIB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("NSLIB_OFFLINE")
    dataset = read("tfds:mixed_widths?label=label")
    tfds.core.registered._DATASET_REGISTRY.pop("mixed_widths")
    truth = audio.from_array(hear(1).astype(np.int16), 8000).wave

    def compare(dataset):
        for clip in dataset.clips.itertuples():
            error = 1e-3 if clip.label in ("PCM_16", "PCM_24", "PCM_32", "FLOAT") else 0.02
            assert np.abs(audio.read(clip.audio).wave - truth).max() < error, clip.label
        return set(dataset.clips["label"])

    # prepared by the kit every width is what it is
    assert dataset.clips["sample_rate"].eq(8000).all() and compare(dataset) == set(WIDTHS)
    assert any("other widths than 16 bits were brought to 16." in note for note in dataset.notes)
    # prepared by others a width is read in its scale, or refused: pydub reads plain PCM without FFmpeg's program
    rows = [(width, {"audio": files[width], "label": width}) for width in WIDTHS[:4]]
    tfds.dataset_builders.store_as_tfds_dataset(name="others", version="1.0.0", split_datasets={"train": rows},
                                                data_dir=tmp_path / "data", features=features)
    wide = set() if dtype == np.int16 else {"PCM_24", "PCM_32"}
    for bits, expected in (("", {"PCM_16"}), ("&bits=8", {"PCM_U8"}), ("&bits=32", wide)):
        dataset = read(f"tfds:others?label=label&rate=8000{bits}")
        assert compare(dataset) == expected and len(dataset.problems) == 4 - len(expected)


COPIES = {"a.mp3": {}, "a.ogg": {}, "a.opus": {"format": "OGG", "subtype": "OPUS"}, "a.flac": {"subtype": "PCM_24"},
          "ulaw.wav": {"samplerate": 8000, "subtype": "ULAW"}, "44.wav": {"samplerate": 44_100}, "faint.wav": {}}


def test_copies_are_found_by_their_sound_and_other_takes_and_equal_lengths_are_none(tmp_path, cache, monkeypatch):
    t = np.arange(16_000) / 16_000

    def take(seed):
        return 0.1 * np.random.default_rng(seed).normal(size=16_000)

    def write(name, wave, samplerate=16_000, **form):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "d" / name, audio.resample(wave.astype(np.float32), 16_000, samplerate), samplerate,
                        **form)

    for k in range(12):
        for label in "xy":
            write(f"{label}/{k}.wav", take(k + 50 * (label == "y")))  # noise of one length
        write(f"x/said{k}.wav", take(200 + k) * np.exp(-3 * t))  # the same contour, other takes
        write(f"y/tone{k}.wav", 0.2 * np.sin(2 * np.pi * (300 + 50 * k) * t) * np.hanning(16_000))
        write(f"y/none{k}.wav", 0.0 * t)
    for k, (name, form) in enumerate(COPIES.items()):
        write(f"y/copy-{name}", take(k) * (0.2 if "faint" in name else 1), **form)
    card = make_data_card(tmp_path / "d", progress=False)
    said = [problem for problem in card.audit.problems if "sound alike" in problem]
    assert said[0].startswith("7 recordings are under more than one label, in copies that sound alike")
    monkeypatch.setattr(audio, "read", heard := Mock(wraps=audio.read))
    assert make_data_card(tmp_path / "d", progress=False).audit.problems == card.audit.problems
    assert heard.call_count < 30 < len(card.corpus.clips) - 11, "only what is alike is decoded again"
    assert said[0].count("=") == 5 and all("said" not in problem and "tone" not in problem for problem in said)


def test_parts_that_overlap_are_said_and_those_of_one_recording_are_drawn_together(tmp_path, cache):
    for k in range(9):
        noise(tmp_path / f"r{k}.wav", k, 2)
    rows = [f"r{k}.wav,{start},{start + 0.5},{'xy'[k % 2]}" for k in range(9) for start in (0, 0.5, 1, 1.5)]
    dataset = read(lines(tmp_path / "l.csv", "audio,start,end,label", *rows))
    assert dataset.clips.groupby(dataset.clips["clip_id"].str[:2])["split"].nunique().eq(1).all()
    assert set(dataset.clips["split"]) == set(SPLITS)
    assert "Recordings were drawn into the splits, each with all its parts" in dataset.notes[-1]
    assert audit_clips(dataset.clips).problems == ()  # they touch, but do not overlap
    few = [row for row in rows if row[:2] in ("r0", "r1")]
    assert "Parts of one recording are in several splits." in read(
        lines(tmp_path / "few.csv", "audio,start,end,label", *few)).notes[-1]
    rows = [f"r{k}.wav,{start},{end},{label},{split}" for k, (start, end, label, split) in (
        (0, (0, 1, "x", "train")), (0, (0.5, 1.5, "y", "train")), (1, (0, 1, "x", "train")), (1, (0.8, 2, "x", "test")),
        (2, (0, 1, "x", "train")), (2, (1, 2, "y", "test")), (3, ("", "", "y", "dev")), (3, (1.5, 2, "y", "test")))]
    problems = audit_clips(read(lines(tmp_path / "m.csv", "audio,start,end,label,split", *rows)).clips).problems
    assert [problem for problem in problems if "overlap" in problem] == [
        f"{count} {where}, in copies that sound alike though their samples differ or in parts that overlap: {names}."
        for count, where, names in (
            ("1 recording is", "under more than one label", "r0.wav 0 1 = r0.wav 0.5 1.5"),
            ("2 recordings are", "in more than one split", "r1.wav 0 1 = r1.wav 0.8 2, r3.wav = r3.wav 1.5 2"))]


def test_clips_above_full_scale_are_one_note_with_the_highest_peak(tmp_path, cache):
    for label in ("x", "y"):
        for k, peak in enumerate((0.5, 1.1, 1.27, 1.4)):
            (tmp_path / "in" / label).mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / "in" / label / f"{k}.wav", peak * np.sin(np.arange(4000) / 9), 16_000, "FLOAT")
    notes = read_recordings(tmp_path / "in", progress=False).notes
    assert [note for note in notes if "full scale" in note] == [
        "6 of 8 clips: the highest peak 1.4 is above full scale (1.0); kept as it is."]
