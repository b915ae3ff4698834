"""Vectors computed elsewhere: the list of clips that goes out, the file that comes in, models given by options."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from shell import call

import nslib
from nslib import audio, config, embeddings
from nslib.datasets import loading, tasks
from nslib.errors import BadAudio, BadParameter, NslibError, Unavailable
from nslib.evaluation import tfrecords
from nslib.evaluation.benchmark import specify_embedding
from nslib.extraction import precomputed

TASK = "style-synthetic"
SETTINGS = config.load_params({"smoke": True, "corpus": "synthetic"})


@pytest.fixture(scope="module")
def clips():
    return loading.load_clips(tasks.get_task(TASK), SETTINGS, progress=False).clips


@pytest.fixture(scope="module")
def vectors(clips):
    rng = np.random.default_rng(0)
    centre = {label: rng.normal(size=8) for label in sorted(clips["label"].unique())}
    return np.stack([centre[label] + 0.3 * rng.normal(size=8) for label in clips["label"]]).astype(np.float32)


def write(path, clips, vectors, by="sha256"):
    if path.suffix == ".npz":
        np.savez(path, vectors=vectors, **{by: clips[by].to_numpy(str)})
    else:
        pd.DataFrame({by: clips[by], "vector": list(vectors)}).to_parquet(path)
    return path


@pytest.mark.parametrize(("name", "by"), [("mine.parquet", "sha256"), ("mine.npz", "clip_id")])
def test_vectors_of_a_file_score_as_the_same_vectors_from_a_function(tmp_path, clips, vectors, name, by):
    of = {sha: vector for sha, vector in zip(clips["sha256"], vectors, strict=True)}
    path = write(tmp_path / name, clips, vectors, by)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        mine = nslib.benchmark(path, TASK, params=SETTINGS, progress=False)
    assert any("names of clips" in str(w.message) for w in told) == (by == "clip_id")
    known = embeddings.from_callable(
        lambda waves: np.stack([of.get(audio.sha256(wave), np.ones(8, np.float32)) for wave in waves]),
        name="looked-up", revision="1", min_samples=1)
    other = nslib.benchmark(known, TASK, params=SETTINGS, progress=False)
    one, two = (r.rows.drop(columns=["embedding", "key", "weights_hash", "when", "fit_seconds"]) for r in (mine, other))
    assert one.equals(two) and set(mine.rows["embedding"]) == {"mine"} and mine.rows["value"].max() > 0.5


def test_a_file_that_lacks_clips_gets_no_score_and_their_order_does_not_matter(tmp_path, clips, vectors):
    path = write(tmp_path / "v.parquet", clips[3:], vectors[3:])
    first = clips["clip_id"][0]
    with pytest.raises(NslibError, match=rf"no vector of 3 of the {len(clips)} clips, the first {first} .*data clips"):
        precomputed.read_vectors(path).extraction(clips)
    ran = nslib.benchmark([path, "logmel"], TASK, params=SETTINGS, progress=False)
    assert ran.not_run["embedding"].tolist() == ["v"] and "no vector of 3" in ran.not_run["why"].iloc[0]
    assert set(ran.rows["embedding"]) == {"logmel"}
    with pytest.raises(Unavailable, match="model itself"):
        precomputed.read_vectors(path).embedding.embed(np.zeros((1, 16000), np.float32), np.array([16000]))
    found = precomputed.read_vectors(write(path, clips[::-1], vectors[::-1])).extraction(clips)
    assert (found.vectors == vectors).all() and found.clips["clip_id"].tolist() == clips["clip_id"].tolist()


def test_clips_are_listed_without_labels_and_their_audio_gives_the_very_hash_back(tmp_path, monkeypatch, capsys):
    to = ("--out", tmp_path / "c.parquet", "--wav", tmp_path / "wav")
    code, out, _ = call(monkeypatch, capsys, "data", "clips", TASK, "--corpus", "synthetic", "--smoke", *to)
    listed = pd.read_parquet(tmp_path / "c.parquet")
    assert list(listed) == [*tfrecords.CLIP_LIST_COLUMNS, "wav"] and len(listed) > 8
    assert [audio.sha256(audio.read(path).wave) for path in listed["wav"]] == listed["sha256"].tolist()
    assert code == 0 and f"{len(listed)} clips of 1 tasks" in out
    with pytest.raises(BadAudio, match="when the clips were listed"):
        tfrecords.write_clip_audio(listed.assign(sha256="0" * 64), tmp_path / "other")
    with pytest.raises(NslibError, match=r"savee cannot be had here.*data status"):
        tfrecords.list_clips(["savee"], config.load_params({"profile": "paper"}))


def test_a_bad_file_is_told_with_its_row(tmp_path, clips, vectors):
    def read(table, **arrays):
        path = tmp_path / ("v.npz" if arrays else "v.parquet")
        np.savez(path, **arrays) if arrays else table.to_parquet(path)
        return precomputed.read_vectors(path)

    rows = [list(v) for v in vectors[:3]]
    table = pd.DataFrame({"sha256": list("abc"), "vector": rows})
    assert read(table).keys == ("a", "b", "c")
    with pytest.raises(BadParameter, match=r"vector.*sha256 or clip_id"):
        read(table.rename(columns={"sha256": "name"}))
    with pytest.raises(BadParameter, match=r"row 2 .* has 7 numbers, the first has 8"):
        read(table.assign(vector=[rows[0], rows[1][:7], rows[2]]))
    with pytest.raises(BadParameter, match=r"that of b .row 2"):
        read(table.assign(vector=[rows[0], [np.nan] * 8, rows[2]]))
    with pytest.raises(BadParameter, match=r"rows 1 and 3 .* different vectors for the same sha256, a"):
        read(table.assign(sha256=["a", "b", "a"]))
    assert read(table.assign(sha256=["a", "b", "a"], vector=[rows[0], rows[1], rows[0]])).keys == ("a", "b")
    with pytest.raises(BadParameter, match="3 sha256s and 2 vectors"):
        read(None, sha256=np.array(list("abc")), vectors=vectors[:2])
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadParameter, match="cannot be read as Parquet"):
        precomputed.read_vectors(tmp_path / "broken.parquet")
    np.savez(tmp_path / "pickled.npz", sha256=np.array(["a"], object), vectors=vectors[:1])
    with pytest.raises(BadParameter, match="without pickles"):
        precomputed.read_vectors(tmp_path / "pickled.npz")


def test_options_of_a_file_are_written_behind_its_name(monkeypatch, tmp_path):
    asked = {}
    (tmp_path / "m.onnx").write_bytes(b"")
    monkeypatch.setattr(embeddings, "from_file",
                        lambda path, name=None, **options: asked.update(options) or embeddings.get("logmel"))
    specify_embedding(f"{tmp_path}/m.onnx?window=0.96&key=layer19&one_by_one=true&min_samples=1600")
    assert asked == {"window": 0.96, "key": "layer19", "one_by_one": True, "min_samples": 1600}


def test_an_address_elsewhere_and_one_without_a_network_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("NSLIB_MODELS", str(tmp_path))
    with pytest.raises(BadParameter, match="no address of a model"):
        specify_embedding("https://example.org/model.tar.gz")
    with pytest.raises(Unavailable, match="NSLIB_OFFLINE"):
        specify_embedding("https://tfhub.dev/someone/something/1?key=embedding")
