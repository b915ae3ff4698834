"""The law of every door: what is there became a clip, or was left out by name with a reason, or was refused."""

import contextlib
import csv
import gzip
import io
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile
from helpers import noise
from hypothesis import given, settings
from hypothesis import strategies as st

import nslib
from nslib import audio
from nslib.datasets import layouts
from nslib.datasets.folder import read_recordings
from nslib.errors import BadParameter, NslibError

CALL = {"call.wav": 5, "b.wav": 6}
DOCS = Path(__file__).parents[2] / "docs" / "your_dataset.md"


def read(path):
    return read_recordings(path, progress=False)


def build(home, files):
    """Write noise of a seed, text, bytes, links (paths), or whatever a function makes; clear the way first."""
    for name, content in files.items():
        path = Path(os.fsdecode(os.fsencode(home) + b"/" + os.fsencode(name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, int):
            os.replace(noise(home / "made.wav", content), path)
        elif isinstance(content, Path):
            path.symlink_to(content)
        else:
            path.write_bytes(content) if isinstance(content, bytes) else content(path) if callable(content) else \
                path.write_text(content)


def sound(seed=0, channels=1, **facts):
    buffer = io.BytesIO()
    wave = np.random.default_rng(seed).uniform(-0.3, 0.3, (1600, channels))
    soundfile.write(buffer, wave, 16000, **{"format": "WAV", **facts})
    return buffer.getvalue()


def parquet(**columns):
    return lambda path: pd.DataFrame(columns).to_parquet(path)


def stereo(path):
    noise(path, 3, channels=2)


def arrow(**columns):
    def write(path):
        table = pa.Table.from_pydict(columns)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    return write


def archive(*members):
    """What is written one behind the other, each behind its name, as Kaldi does; and the lines that lead there."""
    content, lines = b"", ""
    for k, member in enumerate(members):
        content += f"u{k} ".encode()
        lines += f"u{k} a.ark:{len(content)}\n"
        content += member
    return {"a.ark": content, "wav.scp": lines}


def database(**tables):
    """Of audformat: a header in YAML, and a table a CSV; the name of a table tells its split."""
    about = {name.replace("_", "."): {"split_id": name.partition("_")[2] or None, "columns": {
        key: {} for key in {*text.split("\n")[0].split(",")} - {"file", "start", "end"}}}
             for name, text in tables.items()}
    header = {"name": "calls", "splits": {"test": {"type": "test"}, "train": {"type": "train"}}, "tables": about}
    return CALL | {"db.yaml": json.dumps(header), **{f"db.{name.replace('_', '.')}.csv": text
                                                     for name, text in tables.items()}}


def manifests(recordings, supervisions):
    """Of lhotse: sources and other fields by recording; recording and other fields by supervision."""
    lines = [[{"id": name, "sources": [{"type": "file", "channels": [0], "source": name, **about.pop("from", {})}],
               "sampling_rate": 16000, **about} for name, about in recordings.items()],
             [{"id": name, "start": 0.0, "duration": 0.2, "channel": 0, **about}
              for name, about in supervisions.items()]]
    return CALL | {f"{kind}.jsonl.gz": gzip.compress("\n".join(map(json.dumps, those)).encode())
                   for kind, those in zip(("recordings", "supervisions"), lines, strict=True)}


def sphere(coding):
    header = "NIST_1A\n   1024\nsample_count -i 1600\nsample_rate -i 16000\nchannel_count -i 1\nsample_n_bytes -i 2\n" \
             f"sample_byte_format -s2 01\nsample_coding -s{len(coding)} {coding}\nend_head\n"
    return header.encode().ljust(1024) + np.random.default_rng(1).integers(-999, 999, 1600).astype("<i2").tobytes()


def store_tfds(path, rate, most, *channels, dtype=np.int64):
    import tensorflow_datasets as tfds

    kinds = tfds.features
    rows = [(k, {"audio": np.random.default_rng(k).integers(-most, most, (1600, *channels)), "label": k % 2})
            for k in range(4)]
    tfds.dataset_builders.store_as_tfds_dataset(
        name=path.name, version="1.0.0", split_datasets={"train": rows}, data_dir=path.parent,
        features=kinds.FeaturesDict({"audio": kinds.Audio(shape=(None, *channels), sample_rate=rate, dtype=dtype),
                                     "label": kinds.ClassLabel(num_classes=2)}))


SPLITS_TOP = {f"{split}/{label}/{i}.wav": 10 * i + ord(label) + len(split)
              for split in ("Training", "valid") for label in "xy" for i in range(3)}
SPLITS_BELOW = {f"{label}/{split}/{i}.wav": seed for name, seed in SPLITS_TOP.items()
                for split, label, i in [name.removesuffix(".wav").split("/")]}
# layout, what is there, what becomes of it, words that are said, files; where it is not none, none and the list l.* (or
# the folder): clips, clips left out, what is read
ROWS = [
    ("folder", "`train`, `valid` at the top", "read as splits", "no test part", SPLITS_TOP, 12),
    ("folder", "`train`, `valid` below each label", "read as splits", "no test part", SPLITS_BELOW, 12),
    ("folder", "a file outside the splits", "left out", "outside the folders of the splits",
     SPLITS_TOP | {"a.wav": 1, "more/x/a.wav": 2}, 12, 2),
    ("folder", "a file outside the labels", "left out", "outside the label folders", {"x/a.wav": 1, "b.wav": 2}, 1, 1),
    ("folder", "one folder around all others", "noted", "All clips lie in set, which so is their label",
     {"set/x/a.wav": 1, "set/y/b.wav": 2}, 2),
    ("folder", "a link to a folder", "read", "", {"x/s/a.wav": 1, "far/b.wav": 2, "x/t": Path("../far")}, 2, 0, "x"),
    ("folder", "a link into itself", "noted", "links were not followed", {"x/a.wav": 1, "x/up": Path("..")}, 1),
    ("folder", "a link to nothing", "left out", "it points to gone.wav, which is not there",
     {"x/a.wav": 1, "x/b.wav": Path("gone.wav"), "y": Path("gone.wav")}, 1, 2),
    ("folder", "a name that is not UTF-8", "left out", "is not UTF-8", {"x/a.wav": 1, b"x/\xe4.wav": 2}, 1, 1),
    ("folder", "files with other endings", "noted", "because of their endings (.txt)", {"x/a.wav": 1, "x/b.txt": ""},
     1),
    ("folder", "hidden files and folders", "noted", "hidden files or folders", {"x/a.wav": 1, ".x/b.wav": 2}, 1),
    ("folder", "`metadata.csv` without `file_name`", "noted", "no column file_name (filename?)",
     {"a.wav": 1, "metadata.csv": "filename,label\na.wav,x\n"}, 1),
    ("folder", "a list whose columns are to be named", "noted", "/l.csv?audio=file&label=emotion)",
     {"a.wav": 1, "l.csv": "file,emotion\na.wav,x\n"}, 1, 0, "."),
    ("folder", "a list, or `wav.scp`, deeper in it", "noted", "s/t/wav.scp was not read: a list is read if its folder",
     {"a.wav": 1, "s/t/wav.scp": "a a.wav\n"}, 1),
    ("folder", "a file that cannot be decoded", "left out", "the file is empty", {"x/a.wav": 1, "x/b.wav": b""}, 1, 1),
    ("folder", "SPHERE files, not compressed", "read", "", {"x/a.sph": sphere("pcm")}, 1),
    ("folder", "SPHERE files, compressed", "left out", "compressed (shorten-v2.00)",
     {"x/a.wav": 1, "x/a.sph": sphere("pcm,embedded-shorten-v2.00")}, 1, 1),
    ("folder", "files called as those of EmoDB", "noted", "--recipe emodb", {"x/03a01Fa.wav": 1, "x/08a02Wb.wav": 2},
     2),
    ("recipe", "files called as the recipe says", "noted", "EmoDB: not complete, 2 of 535 clips (anger 1 of 127,",
     {"03a01Fa.wav": 1, "x/08a02Wb.wav": 2}, 2, 0, ".?recipe=emodb"),
    ("recipe", "a name that does not fit", "left out", "its name is none of EmoDB, such as 03a01Fa.wav",
     {"03a01Fa.wav": 1, "17a01Fa.wav": 2}, 1, 1, ".?recipe=emodb"),
    ("recipe", "the same name twice", "left out", "it is called as 03a01Fa.wav",
     {"03a01Fa.wav": 1, "copy/03a01Fa.wav": 1}, 1, 1, ".?recipe=emodb"),
    ("recipe", "a label that names do not tell", "refused", "Known: emotion, sex, speaker, text", {"03a01Fa.wav": 1}, 0,
     0, ".?recipe=emodb&label=intensity"),
    ("recipe", "a list", "refused", "reads the names of files in a folder", {"l.csv": "audio\na.wav\n"}, 0, 0,
     "l.csv?recipe=emodb"),
    ("list", "a quote in a TSV", "read", "", CALL | {"l.tsv": 'audio\ts\tlabel\ncall.wav\t"a\tx\nb.wav\t"b\ty\n'}, 2),
    ("list", "a cell with a line break", "read", "",
     CALL | {"l.csv": 'audio,label,s\ncall.wav,x,"a\nb"\nb.wav,y,c\n'}, 2),
    ("list", "a quote that is not closed", "refused", "row 2 of l.csv goes on to line 3 and takes whole rows in",
     {"l.csv": 'audio,label\na.wav,"x\nb.wav,y"\n'}),
    ("list", "a quote within a cell", "refused", "line 2 of l.csv cannot be read (',' expected after '\"')",
     {"l.csv": 'audio,label\na.wav,"x"y\n'}),
    ("list", "a Git LFS pointer in its place", "refused", "not the file itself. Fetch the file: git lfs pull",
     {"l.csv": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"}),
    ("list", "a row with more cells", "refused", "row 3 of l.csv has 3 cells", {"l.csv": "audio,s\na,b\na,b,c\n"}),
    ("list", "semicolons", "refused", "separated by ';'", {"l.csv": "audio;label\na.wav;x\n"}),
    ("list", "other letters than UTF-8", "refused", "save it as CSV UTF-8", {"l.csv": b"audio,label\na.wav,\xe4\n"}),
    ("list", "two columns of one name", "refused", "several columns label", {"l.csv": "audio,label,label\na,b,c\n"}),
    ("list", "no column `audio`", "refused", "--audio names one", {"l.csv": "path,label\na.wav,x\n"}),
    ("list", "no column `label`", "noted", "--label COLUMN", CALL | {"l.csv": "audio,mood\ncall.wav,x\n"}, 1),
    ("list", "`?label=emotion` behind it", "read", "not read: s", CALL | {"l.csv": "audio,emotion,s\ncall.wav,x,y\n"},
     1, 0, "l.csv?label=emotion"),
    ("list", "`start` and `end`, seconds", "read", "2 clips were cut out of 1 recordings",
     CALL | {"l.csv": "audio,start,end,label\ncall.wav,0,.1,x\ncall.wav,.1,.2,y\n"}, 2),
    ("list", "`offset` and `duration`", "read", "cut out of",
     CALL | {"l.csv": "audio,offset,duration\ncall.wav,.1,.1\nb.wav,,.2\n"}, 2),
    ("list", "`Start Time` and `endTime`", "read", "cut out of",
     CALL | {"l.csv": "audio,Start Time,endTime\ncall.wav,0,.1\n"}, 1),
    ("list", "`end` alone", "read", "were cut out of", CALL | {"l.csv": "audio,end\ncall.wav,.1\n"}, 1),
    ("list", "`duration` without `start`", "noted", "how long a file is. 1 of 2 clips: the list tells another length",
     CALL | {"l.csv": "audio,duration\ncall.wav,.1\nb.wav,.2\n"}, 2),
    ("list", "times as pandas writes them", "read", "1 clips were cut out of", CALL | {
        "l.csv": "audio,start,end\ncall.wav,0 days 00:00:00.050000,0 days 00:00:00.1\nb.wav,,\n"}, 2),
    ("list", "`speaker_id`", "refused", "--speaker speaker_id", {"l.csv": "audio,speaker_id\na,b\n"}),
    ("list", "`client_id`, `spk`", "noted", "(client_id, spk), say so: --speaker COLUMN", CALL | {
        "l.csv": "audio,label,client_id,spk\nb.wav,x,1,2\n"}, 1),
    ("list", "a time that is no number", "left out", "wanted are seconds",
     CALL | {"l.csv": "audio,start,end\ncall.wav,0:01,0:02\ncall.wav,.1,.05\nb.wav,,\n"}, 1, 2),
    ("list", "a part behind the end", "left out", "but call.wav has 0.20 s",
     CALL | {"l.csv": "audio,start,end\ncall.wav,1,2\nb.wav,,\n"}, 1, 1),
    ("list", "a part without a sample", "left out", "and no sample between",
     CALL | {"l.csv": "audio,start,end\ncall.wav,.1,.10001\nb.wav,,\n"}, 1, 1),
    ("list", "`start_ms`, `channel_id` and such", "refused", "may change what a row is",
     {"l.csv": "audio,start_ms\na.wav,10\n"}),
    ("list", "several parts of each recording", "read",
     "Recordings were drawn into the splits, each with all its parts", {f"{i}.wav": i for i in range(6)} | {
         "l.csv": "audio,start,end,label\n" + "".join(f"{i}.wav,{start},{start + 0.1},{'xy'[i % 2]}\n"
                                                      for i in range(6) for start in (0, 0.1))}, 12),
    ("list", "`channel`, counted from 0", "read", "channel 1 of 2",
     {"s.wav": stereo, "l.csv": "audio,channel\ns.wav,0\ns.wav,1.0\n"}, 2),
    ("list", "`channel`, counted from 1", "refused", "channels are counted from 0",
     {"s.wav": stereo, "l.csv": "audio,channel\ns.wav,1\ns.wav,2\n"}),
    ("list", "one file with two labels", "refused", "are both of call.wav, with the labels 'x' and 'y'",
     CALL | {"l.csv": "audio,label,clip_id\ncall.wav,x,1\ncall.wav,y,2\n"}),
    ("list", "rows without a label among others", "noted", "1 clips have no label and are in no split",
     CALL | {"l.csv": "audio,label,split\ncall.wav,x,train\nb.wav,,train\n"}, 2),
    ("list", "a path in other capitals", "left out", "one that is spelt otherwise: 'call.wav'",
     CALL | {"l.csv": "audio\nCall.WAV\nb.wav\n"}, 1, 1),
    ("list", "a path with backslashes", "left out", "backslashes",
     {"d/a.wav": 1, "l.csv": "audio\nd\\a.wav\nd/a.wav\n"}, 1, 1),
    ("list", "an address", "left out", "it is an address", CALL | {"l.csv": "audio\nhttps://x.org/a.wav\nb.wav\n"}, 1,
     1),
    ("list", "a path that no disk can have", "left out", "null byte",
     CALL | {"l.csv": f"audio,end\na\0.wav,\n{'w' * 300},\n{'v' * 300},1\nb.wav,\n"}, 1, 3),
    ("list", "JSON Lines with a name twice", "refused", "line 1 of l.jsonl is no object whose names are apart",
     {"l.jsonl": '{"audio": "a.wav", "label": "x", "label": "y"}\n'}),
    ("list", "JSON Lines", "read", "cut out of",
     CALL | {"l.jsonl": '{"audio": "call.wav", "offset": 0.1, "duration": 0.1, "label": 1}\n{"audio": "b.wav"}\n'},
     2),
    ("Parquet", "recordings in cells (`datasets`)", "read", "", {"b.wav": 2, "l.parquet": parquet(
        audio=[{"bytes": sound(), "path": "a.wav"}, {"bytes": None, "path": "b.wav"}])}, 2),
    ("Parquet", "a cell that is no text", "left out", "is no text",
     {"b.wav": 2, "l.parquet": parquet(audio=[[0.1, 0.2], None])}, 0, 2),
    ("Parquet", "a file of several that is not there", "left out", "this file of the data set is not there",
     {"train-00001-of-00002.parquet": parquet(audio=[{"bytes": sound(), "path": "a.wav"}])}, 1, 1),
    ("Parquet", "a train part only", "read as splits", "only a train part, so it is divided. Clips were drawn into", {
        "train-00000-of-00001.parquet": parquet(label=[*"xyxyxy"], audio=[*map(sound, range(6))])}, 6),
    ("Arrow", "a folder of `save_to_disk`", "read as splits", "no validation part", {
        f"{split}/data-00000-of-00001.arrow": arrow(label=["x", "y", "x"], audio=[
            {"bytes": sound(k + 3 * (split == "test")), "path": f"{k}.wav"} for k in range(3)])
        for split in ("train", "test")}, 6),
    ("Arrow", "a file of several that is not there", "left out", "this file of the data set is not there",
     {"data-00001-of-00002.arrow": arrow(audio=[{"bytes": sound(), "path": "a.wav"}])}, 1, 1),
    ("audformat", "tables with parts of files", "read", "Labels are those of the column emotion in mood", database(
        mood="file,start,end,emotion\ncall.wav,0 days 00:00:00.1,,sad\ncall.wav,,0 days 00:00:00.1,glad\n"
             "b.wav,,,sad\n", files="file,speaker,age\ncall.wav,1,9\nb.wav,2,9\n"), 3),
    ("audformat", "a table a split", "read as splits", "no validation part", database(
        mood_train="file,emotion\ncall.wav,sad\n0.wav,glad\n", mood_test="file,emotion\nb.wav,sad\n1.wav,glad\n")
     | {"0.wav": 1, "1.wav": 2}, 4),
    ("audformat", "a test table beside one of all", "noted", "1 clips have no split and are not used", database(
        mood="file,emotion\ncall.wav,sad\nb.wav,glad\n", mood_test="file,emotion\nb.wav,glad\n"), 2),
    ("audformat", "a file that is in no table", "left out", "no row in the metadata",
     database(mood="file,emotion\ncall.wav,sad\n"), 1, 1),
    ("audformat", "tables that contradict each other", "refused", "?table=other",
     database(mood="file,emotion\nb.wav,sad\n", other="file,emotion\nb.wav,glad\n")),
    ("audformat", "`?table=mood` behind it", "read", "in mood.",
     database(mood="file,emotion\nb.wav,sad\ncall.wav,\n", other="file,emotion\nb.wav,glad\n"), 2, 0, ".?table=mo*"),
    ("audformat", "tables as pickles only", "refused", "it may run code",
     {"db.yaml": "{name: a, tables: {t: {columns: {}}}}"}),
    ("lhotse", "supervisions", "read", "2 clips were cut out of 2 recordings", manifests({
        "call.wav": {}, "b.wav": {}}, {"a": {"recording_id": "call.wav", "start": 0.05, "duration": 0.1,
                                             "custom": {"emotion": "sad"}},
                                       "b": {"recording_id": "b.wav", "duration": 0.1, "speaker": "p"}}), 2),
    ("lhotse", "cuts, or a Shar folder", "refused", "cuts.decompose(FOLDER)", {
        "cuts.000000.jsonl.gz": gzip.compress(b'{"id": "a", "supervisions": []}')}),
    ("lhotse", "a file alone", "refused", "not read alone", {"l.jsonl": '{"id": "", "recording_id": 1}'}),
    ("lhotse", "a recording without supervisions", "noted", "1 recordings are in no supervision", manifests(
        {"call.wav": {}, "b.wav": {}, "far.wav": {}}, {"a": {"recording_id": "b.wav"},
                                                       "c": {"recording_id": "call.wav"}}), 2),
    ("lhotse", "a recording that is to be changed", "left out", "is to be changed", manifests(
        {"call.wav": {}, "b.wav": {"transforms": [{"name": "Speed", "kwargs": {"factor": 0.9}}]}},
        {"a": {"recording_id": "b.wav"}, "b": {"recording_id": "call.wav"}}), 1, 1),
    ("lhotse", "a command or an address", "left out", "its sound is a command", manifests(
        {"call.wav": {}, "b.wav": {"from": {"type": "command", "source": "cat b.wav"}}},
        {"a": {"recording_id": "b.wav"}, "b": {"recording_id": "call.wav"}}) | {"b.wav": ""}, 1, 2),
    ("lhotse", "one channel of several", "read", "channel 1 of 2", manifests(
        {"call.wav": {}, "s.wav": {"from": {"channels": [0, 1]}}}, {"a": {"recording_id": "s.wav", "channel": 1}, "b": {
            "recording_id": "call.wav"}, "c": {"recording_id": "s.wav", "channel": [0, 1]}})
     | {"s.wav": stereo, "b.wav": Path("call.wav")}, 3),
    ("folder", "lists and headers of other programs beside it", "read", "",
     {"x/a.wav": 1, "list_of_recordings.jsonl": '{"file": "a"}\n', "db.yaml": "tables: [users]\n"}, 1),
    ("Kaldi", "two names at one place of an archive", "read", "",
     archive(sound()) | {"wav.scp": "u0 a.ark:3\nalias a.ark:3\n"}, 2),
    ("Kaldi", "`x.ark:17` in `wav.scp`", "read", "stereo mixed to mono", archive(
        sound(), sound(1, subtype="ULAW"), b"AUDIO\5" + len(sound(2)).to_bytes(5, "little") + sound(2),
        sound(3, format="FLAC"), sound(4, channels=2)), 5),
    ("Kaldi", "numbers or a range in an archive", "left out", "no sound there",
     archive(sound(), b"\0BFM \4" + bytes(20)), 1, 1),
    ("Kaldi", "a command in `wav.scp`", "refused", "is a command", {"wav.scp": "a sox a.wav - |\n"}),
    ("Kaldi", "a channel in `segments`", "read", "channel 1 of 2",
     {"s.wav": stereo, "wav.scp": "s s.wav\n", "segments": "a s 0 .1 1\nb s .1 -1 0\n"}, 2),
    ("Kaldi", "a segment that ends too late", "left out", "but call.wav has 0.20 s",
     CALL | {"wav.scp": "s call.wav\n", "segments": "a s 0 .1\nb s .1 .6\n"}, 1, 1),
    ("Kaldi", "a recording without segments", "noted", "1 recordings of wav.scp are in no line",
     CALL | {"wav.scp": "s call.wav\nt b.wav\n", "segments": "a s 0 .1\n"}, 1),
    ("audiofolder", "a file without a row", "left out", "no row in the metadata",
     CALL | {"metadata.csv": "file_name,label\ncall.wav,x\n"}, 1, 1),
    ("audiofolder", "a link to nothing, in a row", "left out", "which is not there",
     CALL | {"c.wav": Path("gone.wav"), "metadata.csv": "file_name\ncall.wav\nb.wav\nc.wav\n"}, 2, 1),
    ("audiofolder", "`train`, `valid` in the paths", "read as splits", "no test part", {
        "a.wav": 1, **{f"{split}/{i}.wav": i + len(split) for split in ("train", "valid") for i in range(3)},
        "metadata.csv": "file_name,label\n" + "".join(f"{split}/{i}.wav,{'xy'[i % 2]}\n" for split in ("train", "valid")
                                                      for i in range(3))}, 6, 1),
    ("audiofolder", "`train.csv`, `test.csv`, and `?audio=file`", "read as splits", "no validation part", {
        f"{i}.wav": i for i in range(6)} | {"test.csv": "file,label\n5.wav,x\n", "train.csv": "file,label\n" + "".join(
            f"{i}.wav,{'xy'[i % 2]}\n" for i in range(5))}, 6, 0, ".?audio=file"),
    ("tfds", "audio without a rate", "refused", "has no sample rate",
     {"calls": lambda path: store_tfds(path, None, 9999)}, 0, 0, "tfds:calls"),
    ("tfds", "samples of 8 bits", "left out", "are of 8 bits", {"faint": lambda path: store_tfds(path, 16000, 99)}, 0,
     4, "tfds:faint"),
    ("tfds", "samples of 24 or 32 bits, cut to 16", "left out", "the last 16 bits of wider ones",
     {"cut": lambda path: store_tfds(path, 16000, 1 << 15, dtype=np.int16)}, 0, 4, "tfds:cut"),
    ("tfds", "samples of 24 or 32 bits", "left out", "do not fit into 16 bits",
     {"wide": lambda path: store_tfds(path, 16000, 1 << 31)}, 0, 4, "tfds:wide"),
    ("tfds", "a feature of a type without sign", "refused", "wraps samples round",
     {"odd": lambda path: store_tfds(path, 16000, 99, dtype=np.uint8)}, 0, 0, "tfds:odd"),
    ("tfds", "several channels", "read", "4 of 4 clips: stereo mixed to mono",
     {"pairs": lambda path: store_tfds(path, 16000, 9999, 2)}, 4, 0, "tfds:pairs"),
    ("tfds", "a label of many values", "refused", "has many values an example",
     {"many": lambda path: store_tfds(path, 16000, 9999)}, 0, 0, "tfds:many?label=audio"),
    ("tfds", "`?rate=48000&bits=8` behind it", "read", "resampled 48000 -> 16000 Hz",
     {"told": lambda path: store_tfds(path, None, 99)}, 4, 0, "tfds:told?rate=48000&bits=8"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}".replace(" ", "-"))
def test_what_is_read_refused_and_said_is_what_the_docs_say(tmp_path, cache, monkeypatch, row):
    layout, there, becomes, said, files, *given = row
    usual = 0, 0, next((name for name in files if name[:2] == "l."), ".")
    clips, left_out, source = *given, *usual[len(given):]
    assert f"| {layout} | {there} | {becomes} | {said and f'“{said}”'} |" in DOCS.read_text(encoding="utf-8")
    build(tmp_path / "d", files)
    monkeypatch.setenv("NSLIB_DATA_DIR", str(tmp_path / "d"))
    source = source if layout == "tfds" else tmp_path / "d" / source
    if becomes == "refused":
        with pytest.raises(NslibError) as error:
            read(source)
        assert said in str(error.value)
        return
    dataset = read(source)
    reasons = " ".join(dataset.problems["reason"])
    assert (len(dataset.clips), len(dataset.problems)) == (clips, left_out), (reasons, dataset.notes)
    assert said in (reasons if becomes == "left out" else " ".join(dataset.notes))
    assert dataset.problems["remedy"].ne("").all()


def test_the_docs_have_no_row_that_is_not_tried():
    lines = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.count(" | ") == 3]
    assert len(lines) == len(ROWS) + 1


def test_what_rows_and_cells_say_reaches_the_clips(tmp_path, cache):
    build(tmp_path, {"s.wav": stereo, "l.csv": "path,from,who,Start,end,channel,label\n"
                     "s.wav,x,p1,0.05,0.1,0,u\ns.wav,x,p2,0.1,0.2,1,v\n"})
    clips = read(f"{tmp_path / 'l.csv'}?audio=path&speaker=who").clips
    assert clips[["clip_id", "label", "speaker"]].to_numpy().tolist() == [
        ["s.wav 0.05 0.1 0", "u", "p1"], ["s.wav 0.1 0.2 1", "v", "p2"]]
    samples = soundfile.read(tmp_path / "s.wav", dtype="float32")[0]
    for path, first, last, channel in zip(clips["audio"], (800, 1600), (1600, 3200), (0, 1), strict=True):
        assert np.abs(audio.read(path).wave - samples[first:last, channel]).max() < 2 / 32767
    assert clips["sample_rate"].eq(16000).all()
    embedded = nslib.embed(tmp_path / "l.csv?audio=path", progress=False)
    assert len(embedded) == 2 and "Columns that were not read: from, who." in embedded.attrs["notes"]
    for asked in ("l.csv?lable=x", "l.csv?label=x", "w" * 300, "~nobody/x", "a\0"):
        with pytest.raises(BadParameter, match=r"unknown (word|column)|there is no "):
            read(f"{tmp_path}/{asked}")


def test_a_folder_that_cannot_be_opened_and_a_file_too_large_are_left_out(tmp_path, cache, monkeypatch):
    build(tmp_path, {"d/x/a.wav": 1, "d/y/b.wav": 2, "d/x/c.wav": 3})
    scandir, decode, tries = os.scandir, audio.read, []

    def refuse(path):
        if str(path).endswith("/y"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    def take(path):
        tries.append(path.name)
        if path.name == "c.wav" or len(tries) == 1:  # the first beside others, the other always
            raise MemoryError
        return decode(path)

    monkeypatch.setattr(layouts.os, "scandir", refuse)
    monkeypatch.setattr(audio, "read", take)
    dataset = read(tmp_path / "d")
    assert dataset.clips["clip_id"].tolist() == ["x/a"]
    assert dataset.problems["clip_id"].tolist() == ["x/c", "y"]
    assert "memory" in dataset.problems["reason"][0] and "Permission denied" in dataset.problems["reason"][1]


def test_columns_that_may_change_what_a_row_is_are_known_by_their_words(tmp_path, cache):
    plain = ["end_date", "friend", "channels", "timestamp", "segment_id", "to", "length", "length_class", "dur_ms"]
    for name in ("start (s)", "begin_time", "tMin", "x_max", "Onset (ms)", "segment_start", "channelID", "ch",
                 "From (sec)", "to_ms", "finish", "t0", "len_frames", "start,to", "onset,length", *plain):
        build(tmp_path, CALL | {"l.csv": f"audio,{name}\ncall.wav{',1' * (1 + name.count(','))}\n"})
        refused = name not in plain
        with pytest.raises(BadParameter, match="may change") if refused else contextlib.nullcontext():
            assert f"not read: {name}." in " ".join(read(tmp_path / "l.csv").notes)


# ------------------------------------------------------------------ the law, over what hypothesis makes of parts

NAMES = st.sampled_from(["a", "B b", "é", "e\u0301", "x\ny", "%s", "-", "~q", "'\"", "n" * 200, "train", "test_1",
                         "\u2028", "\\", "#", "None"])
CELLS = st.sampled_from(["x", "y", "", "NA", "1", '"', 'q"q', "a,b", "line\nbreak", "\ud800", "tab\t", " ", "Ä", "nan"])
KINDS = {"one": sound(), "two": sound(1), "empty": b"", "cut": sound()[:900], "text": b"text", "link": None}
FILES = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.sampled_from(list(KINDS)),
                        min_size=1, max_size=7)


def hold_law(layout, files, cells, unlisted):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSLIB_CACHE", f"{folder}/cache")
        home = Path(folder, "d")
        home.mkdir()
        paths = []
        for number, (name, kind) in enumerate(files.items()):
            path, content = home / f"{name}{number}.wav", KINDS[kind]
            with contextlib.suppress(OSError):  # a name that is too long
                path.parent.mkdir(parents=True, exist_ok=True)
                # of two links to one file that is not there one counts
                path.symlink_to(f"nowhere-{number}") if content is None else path.write_bytes(content)
                paths.append(path)
        cells = [(cells * len(paths))[i] for i in range(len(paths))]
        names = [str(path.relative_to(home)) for path in paths]
        listed, expected = len(paths) - (unlisted if layout == "audiofolder" else 0), len(paths)
        source = home
        if layout in ("csv", "audiofolder"):
            source = home / "metadata.csv"
            with source.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
                csv.writer(file).writerows([["audio" if layout == "csv" else "file_name", "label"],
                                            *zip(names[:listed], cells, strict=False)])
            source = source if layout == "csv" else home
        elif layout == "parquet":
            source = home / "l.parquet"
            cells = [cell.encode("utf-8", "replace").decode() for cell in cells]
            pd.DataFrame({"audio": names, "label": cells}).to_parquet(source)
        elif layout == "audformat":
            (home / "db.yaml").write_text("{name: a, tables: {t: {columns: {label: {}}}}}")
            with (home / "db.t.csv").open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
                csv.writer(file).writerows([["file", "label"], *zip(names[unlisted:], cells, strict=False)])
        elif layout == "lhotse":
            (home / "recordings.jsonl").write_text("\n".join(json.dumps({
                "id": f"{i}", "sources": [{"type": "file", "channels": [0], "source": name}]})
                for i, name in enumerate(names)))
            (home / "supervisions.jsonl").write_text("\n".join(json.dumps({
                "id": f"s{i}", "recording_id": f"{i}", "label": cell}) for i, cell in enumerate(cells)))
        elif layout == "ark":
            build(home, archive(*(path.read_bytes() for path in paths if path.exists())))
            expected = sum(path.exists() for path in paths)
        elif layout == "kaldi":
            text = "".join(f"u{i} {path}\n" for i, path in enumerate(paths))
            expected = sum(map(bool, map(str.strip, text.split("\n"))))  # a name may be two lines
            (home / "wav.scp").write_text(text, encoding="utf-8")
        try:
            dataset = read(source)
        except NslibError:
            assert layout != "folder" or not paths
            return
        assert len(dataset.clips) + len(dataset.problems) == expected, (dataset.problems, dataset.notes)
        assert dataset.problems["reason"].ne("").all() and dataset.problems["remedy"].ne("").all()
        assert len({*dataset.clips["clip_id"], *dataset.problems["clip_id"]}) == expected
        if layout in ("csv", "parquet"):
            label = dict(zip(names, cells, strict=True))
            assert all(clip.label == label[clip.clip_id].strip() for clip in dataset.clips.itertuples()
                       if clip.clip_id in label)
        if "Speakers were drawn" in " ".join(dataset.notes):
            assert dataset.clips.query("split != ''").groupby("speaker")["split"].nunique().eq(1).all()


LAYOUTS = ["folder", "csv", "audiofolder", "parquet", "kaldi", "ark", "audformat", "lhotse"]
PARTS = (st.sampled_from(LAYOUTS), FILES, st.lists(CELLS, min_size=1), st.integers(0, 1))


test_the_law_of_accounting_holds = settings(max_examples=40)(given(*PARTS)(hold_law))
test_the_law_of_accounting_holds_thousands_of_times = pytest.mark.heavy(
    settings(max_examples=2000)(given(*PARTS)(hold_law)))
