"""tfrecords: tables of the authors' pipeline are read as they are, ours are the same bytes every time."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nslib import audio, config
from nslib.datasets import loading
from nslib.errors import BadAudio, BadParameter, NslibError
from nslib.evaluation import probe, tfrecords
from nslib.evaluation.tfrecords import BadRecord, read_tfrecords, split_for_probes, write_tfrecords

SPLITS = ("train", "validation", "test")


def clip_rows(n, splits=SPLITS, **columns):
    """A clip table of n clips, in an order that is not that of clip_id."""
    names = [f"clip{(7 * k) % n:03d}" for k in range(n)]
    rows = [{"clip_id": names[k], "sha256": f"{k:064x}", "seconds": k / 4 + 1, "label": ("sad", "happy")[k % 2],
             "speaker": f"s{k % 5}", "split": splits[k % len(splits)]} for k in range(n)]
    return pd.DataFrame(rows).assign(**columns)


def numbers(n, dim=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def example(**fields):
    """A tf.Example made of plain values, as any other program would make it."""
    import tensorflow as tf

    made = tf.train.Example()
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        kind = {bytes: "bytes_list", int: "int64_list", float: "float_list"}[type(values[0])]
        getattr(made.features.feature[name.replace("__", "/")], kind).value.extend(values)
    return made.SerializeToString()


def save(path, *records):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


def theirs(k, label, speaker, vector):
    """A record of the authors' pipeline for a clip of one of their data sets."""
    return example(embedding__trill=vector, embedding__trill__shape=[1, len(vector)], label=label, speaker_id=speaker,
                   key_adhoc=str(k).encode(), audio=[k, 5, -3])


def test_round_trip_in_the_same_bytes_whatever_the_order_of_clips(tmp_path):
    clips = clip_rows(20, splits=(*SPLITS, ""), label=["é", ""] * 10, speaker=["", "ß"] * 10)
    clips.loc[3, "seconds"] = np.nan
    vectors = {"x": numbers(20), "y": np.float32([[1e-45, 3.4e38]] * 20)}
    mixed = np.random.default_rng(1).permutation(20)
    first = write_tfrecords(tmp_path / "a", clips, vectors, shards=3)
    second = write_tfrecords(tmp_path / "b", clips.iloc[mixed], {k: v[mixed] for k, v in vectors.items()}, shards=3)
    assert len(first) == 12 and [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in first + second)
    table, ordered = read_tfrecords(tmp_path / "a", progress=False), clips.sort_values("clip_id")
    columns = ["clip_id", "sha256", "seconds", "label", "speaker", "split"]
    pd.testing.assert_frame_equal(table.clips[columns], ordered[columns].reset_index(drop=True), check_dtype=False)
    for name, matrix in vectors.items():
        np.testing.assert_array_equal(table.vectors[name], matrix[ordered.index])


def test_files_and_fields_are_those_of_the_authors(tmp_path):
    import tensorflow as tf

    clips, vectors = clip_rows(6), numbers(6)
    paths = write_tfrecords(tmp_path / "out" / "savee", clips, {"trill": vectors}, label_numbers=["happy", "sad"])
    assert [p.name for p in paths] == [*(f"savee.{split}-00000-of-00001" for split in SPLITS), "savee.label_list.txt"]
    assert paths[-1].read_text() == "happy\nsad\n"
    (record, *_) = tf.data.TFRecordDataset(str(paths[0])).as_numpy_iterator()
    found = tf.train.Example.FromString(record).features.feature
    row = clips.index[clips["clip_id"] == "clip000"][0]
    np.testing.assert_array_equal(np.float32(found["embedding/trill"].float_list.value), vectors[row])
    assert list(found["embedding/trill/shape"].int64_list.value) == [1, 4]
    assert found["label"].bytes_list.value[0] == b"1"
    assert found["speaker_id"].bytes_list.value[0] == clips["speaker"][row].encode()
    # by other means: printf 'clip000\0<sha256>' | sha256sum
    assert found["key"].bytes_list.value[0] == b"4a868bceaa9273a8ce0d7acd065fb83e"


def test_shards_of_two_runs_are_not_mixed_and_what_cannot_be_written_is_refused(tmp_path):
    clips, vectors = clip_rows(6), {"x": numbers(6)}
    write_tfrecords(tmp_path / "t", clips, vectors, shards=2)
    for prefix, given, options, words in (
            ("t", vectors, {}, r"other shards of t, e\.g\. t\.test-00000-of-00002"),
            ("u", {"x/y": numbers(6)}, {}, "leave out '/'"), ("u", vectors, {"shards": 0}, "1 or more"),
            ("u", vectors, {"label_numbers": ["happy", "s\nad"]}, "on one line")):
        with pytest.raises(BadParameter, match=words):
            write_tfrecords(tmp_path / prefix, clips, given, **options)
    write_tfrecords(tmp_path / "t2", clips, vectors)
    Path(tmp_path / "t2.test-00000-of-00001").rename(tmp_path / "t.test-00000-of-00001")
    with pytest.raises(BadParameter, match="shards of 1 and of 2 files"):
        read_tfrecords(tmp_path / "t", progress=False)


def test_shards_that_are_missing(tmp_path):
    write_tfrecords(tmp_path / "t", clip_rows(9, splits=("train",)), {"x": numbers(9)}, shards=3)
    (tmp_path / "t.train-00001-of-00003").unlink()
    for paths in ("t", "t.train@3", "t.train@*", "t.*", "."):
        with pytest.raises(BadParameter, match="has 2 of 3 shards; missing: 00001"):
            read_tfrecords(f"{tmp_path}/{paths}", progress=False)
    assert len(read_tfrecords([tmp_path / "t.train-00000-of-00003"] * 2, progress=False).clips) == 3
    for paths, words in ((f"{tmp_path}/none@*", "no file is"), ([], "empty list")):
        with pytest.raises(BadParameter, match=words):
            read_tfrecords(paths, progress=False)


@pytest.fixture(scope="module")
def authors_table(tmp_path_factory):
    """Three files as the pipeline makes them of a TFDS data set: no ids, labels as bytes of numbers."""
    folder, x = tmp_path_factory.mktemp("authors"), numbers(120, 6) + 4 * (np.arange(120) % 2)[:, None]
    records = [theirs(k, b"%d" % (k % 2), b"%d-%d" % (k // 40, k % 4), x[k].tolist()) for k in range(120)]
    for i, split in enumerate(SPLITS):
        save(folder / f"savee.{split}@*-00000-of-00001", *records[40 * i:40 * i + 40])
    return folder


def test_an_authors_table_is_found_told_and_probed_and_what_lacks_a_part_is_not(authors_table, tmp_path):
    for paths in ("savee", "savee@*", "savee.*@*-00000-of-00001", "."):
        table = read_tfrecords(authors_table / paths, progress=False)
        assert table.vectors["trill"].shape == (120, 6)
    assert table.notes == (
        "Records without clip_id, named by the hash of their content and numbered if it is the same: 120 of 120.",)
    grid = probe.grid(**split_for_probes(table), probes=["LDA_LSQR_AUTO"])
    chosen = grid.rows[grid.rows["selected"] & (grid.rows["split"] == "test")]
    assert chosen["value"].item() == 1.0 and chosen["n_speakers"].item() == 4
    write_tfrecords(tmp_path / "t", clip_rows(4, splits=("train", "test")), {"x": numbers(4), "y": numbers(4)})
    table = read_tfrecords(tmp_path / "t", progress=False)
    for name, words in ((None, "has x, y; name one"), ("z", "unknown embedding"), ("y", "'validation': 0")):
        with pytest.raises(BadParameter, match=words):
            split_for_probes(table, name)
    assert list(read_tfrecords(tmp_path / "t", ["y"], progress=False).vectors) == ["y"]


def test_ids_do_not_depend_on_files_and_records_that_are_alike_are_numbered(tmp_path):
    records = [theirs(k, b"0", b"s", [float(k), 1.0]) for k in range(5)]
    one = read_tfrecords(save(tmp_path / "x.train-00000-of-00001", *records), progress=False)
    save(tmp_path / "y.train-00000-of-00002", *records[3:], records[0])
    save(tmp_path / "y.train-00001-of-00002", *records[1:3])
    two = read_tfrecords(tmp_path / "y", progress=False)
    assert one.clips["clip_id"].tolist() == two.clips["clip_id"].tolist()
    np.testing.assert_array_equal(one.vectors["trill"], two.vectors["trill"])
    three = read_tfrecords(save(tmp_path / "x.train", records[0], records[0], records[0]), progress=False)
    first = three.clips["clip_id"][0]
    assert three.clips["clip_id"].tolist() == [first, f"{first}-2", f"{first}-3"]


def test_variants(tmp_path):
    """Number as label, no speaker, no shape, frames."""
    path = save(tmp_path / "mixed", example(embedding__e=[1.0, 2.0], label=3),
                example(embedding__e=[1.0, 3.0, 3.0, 3.0], embedding__e__shape=[2, 2], label=b"1", speaker_id=7),
                example(embedding__e=[5.0, 6.0], embedding__e__shape=[2], label=b"2", speaker_id=b"s"))
    table = read_tfrecords(path, progress=False)
    found = zip(table.clips["label"], table.clips["speaker"], table.vectors["e"].tolist(), strict=True)
    assert sorted(found) == [("1", "7", [2.0, 3.0]), ("2", "s", [5.0, 6.0]), ("3", "", [1.0, 2.0])]
    for note in ("Records that do not tell the shape of their vectors, taken as averaged over time: 1 of 3.",
                 "Records with several frames, averaged over time: 1 of 3."):
        assert note in table.notes


@pytest.mark.parametrize(("record", "words"), [
    (lambda: example(embedding__e=[1.0, 2.0, 3.0], label=b"0"), "has 3 numbers, those before it have 2"),
    (lambda: example(embedding__e=[1.0, 2.0], embedding__e__shape=[1, 3], label=b"0"), "and the shape [1, 3]"),
    (lambda: example(embedding__f=[1.0, 2.0], label=b"0"), "has no embedding/e; it has f"),
    (lambda: example(embedding__e=[1.0, 2.0]), "has no field label; it has embedding/e"),
    (lambda: example(embedding__e=[1.0, 2.0], label=0.5), "not one text or whole number"),
    (lambda: example(embedding__e=[1.0, 2.0], label=[b"0", b"1"]), "2 values of bytes_list"),
    (lambda: example(embedding__e=[1.0, 2.0], label=b"\xff"), "no UTF-8 text"),
    (lambda: example(embedding__e=[1, 2], label=b"0"), "embedding/e is empty"),
    (lambda: b"\xff\xff\xff", "is no tf.Example"),
    (lambda: example(embedding__e=[0.0, 0.0], label=b"0", clip_id=b"same"), "clip_id 'same' is also that of record 0")])
def test_a_record_that_cannot_be_used_is_named(record, words, tmp_path):
    path = save(tmp_path / "t.train-00000-of-00001", example(embedding__e=[1.0, 2.0], label=b"0", clip_id=b"same"),
                record(), example(embedding__e=[3.0, 4.0], label=b"1"))
    with pytest.raises(BadRecord, match=re.escape(words)) as caught:
        read_tfrecords(path, progress=False)
    assert str(caught.value).startswith(f"{path}, record 1: ")


def test_what_is_no_table_is_told_with_the_record(tmp_path):
    records = [example(embedding__e=[float(k), 1.0], label=str(k).encode()) for k in range(5)]
    path = save(tmp_path / "t.train-00000-of-00001", *records)
    whole, start = path.read_bytes(), 2 * (16 + len(records[0]))
    for place in (3, 20, None):  # a length, a byte of data, the end
        data = bytearray(whole if place else whole[: start + 30])
        data[start + (place or 0)] ^= place is not None
        path.write_bytes(data)
        with pytest.raises(BadRecord, match=r"record 2: it is damaged or cut short.*make the file again"):
            read_tfrecords(path, progress=False)
    (tmp_path / "text").write_text("clip,label\n" * 9)
    (tmp_path / "empty").touch()
    save(tmp_path / "t", *(example(embedding__e=[1.0], label=label) for label in (0, 2)))
    (tmp_path / "names").write_text("a\nb\n")
    for name, labels, words in (("text", None, r"record 0: .*this is no TFRecord file"),
                                ("empty", None, "1 files hold no record"), ("t", "none.txt", "which is no file"),
                                ("t", "names", "record 1: its label is '2', which is no place in a list of 2 names")):
        with pytest.raises(NslibError, match=words):
            read_tfrecords(tmp_path / name, label_list=labels and tmp_path / labels, progress=False)


def test_clips_of_a_task_are_listed_without_labels_and_exported_with_their_vectors(tmp_path):
    settings = config.load_params({"corpus": "synthetic", "smoke": True, "tasks": ("word-synthetic",)})
    corpus = loading.load_clips(loading.resolve_tasks(settings, progress=False).tasks[0], settings, progress=False)
    listed, problems = tfrecords.list_clips(["word-synthetic"], settings)
    assert list(listed) == list(tfrecords.CLIP_LIST_COLUMNS) and len(listed) == len(corpus.clips) and problems.empty
    written = tfrecords.write_clip_audio(listed.head(3), tmp_path / "wav")
    assert [audio.sha256(audio.read(path).wave) for path in written["wav"]] == listed["sha256"].tolist()[:3]
    with pytest.raises(BadAudio, match="when the clips were listed"):
        tfrecords.write_clip_audio(listed.assign(sha256="0" * 64), tmp_path / "other")
    with pytest.raises(NslibError, match=r"savee cannot be had here.*data status"):
        tfrecords.list_clips(["savee"], config.load_params({"profile": "paper"}))

    def loud(waves):
        return waves.std(axis=1, keepdims=True)

    def picky(waves):
        if corpus.clips["sha256"].iloc[0] in map(audio.sha256, waves):
            raise ValueError("not this one")
        return loud(waves)

    told = []
    paths = tfrecords.export_vectors([loud, picky], tmp_path / "out", settings, numbers=True, progress=False,
                                     say=told.append)
    table = read_tfrecords(tmp_path / "out", label_list=paths[-1], progress=False)
    assert list(table.vectors) == ["loud", "picky"] and len(table.clips) == len(corpus.clips) - 1
    assert told == ["word-synthetic: 1 clips are left out, because they cannot be read or embedded"]
    assert len(table.clips.merge(corpus.clips, on=["clip_id", "label", "split"])) == len(table.clips)
