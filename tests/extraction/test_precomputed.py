"""Vectors of a file go to the clips that they were made of, or the file is refused with its row."""

import numpy as np
import pandas as pd
import pytest

from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName
from nslib.extraction.precomputed import is_vector_file, read_vectors

VECTORS = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
CLIPS = pd.DataFrame({"clip_id": [f"c{i}" for i in range(5)], "sha256": [f"{i:064x}" for i in range(5)]})
ROWS = [list(v) for v in VECTORS[:3]]
NO_VECTORS = ["a b c d", "[0.1 ... 0.2]", {"x": 1.0}, None, [], [[1.0], [2.0, 3.0]], pd.Timestamp(0), b"x"]


def write(path, clips=CLIPS, vectors=VECTORS, by="sha256"):
    if path.suffix == ".npz":
        np.savez(path, vectors=vectors, **{by: clips[by].to_numpy(str)})
    else:
        pd.DataFrame({by: clips[by], "vector": list(vectors)}).to_parquet(path)
    return path


@pytest.mark.parametrize("name", ["v.parquet", "v.npz"])
def test_vectors_go_by_key_whatever_their_order(tmp_path, name):
    order = [4, 3, 2, 1, 0, 4]  # the same vector twice is no contradiction
    path = write(tmp_path / name, CLIPS.iloc[order], VECTORS[order])
    assert is_vector_file(path) and not is_vector_file(tmp_path / "none.npz") and not is_vector_file(VECTORS)
    precomputed = read_vectors(path)
    out = precomputed.extraction(CLIPS)
    assert (out.vectors == VECTORS).all() and out.clips["clip_id"].tolist() == CLIPS["clip_id"].tolist()
    assert out.problems.empty and out.cost["computed"] == 0 and precomputed.embedding.name == "v"
    with pytest.raises(Unavailable, match="model itself"):
        precomputed.embedding.embed(np.zeros((1, 16000), np.float32), np.array([16000]))
    with pytest.warns(UserWarning, match="names of clips"):
        named = read_vectors(write(tmp_path / name, by="clip_id"), "mine")
    assert (named.by, named.name) == ("clip_id", "mine") and (named.extraction(CLIPS).vectors == VECTORS).all()
    with pytest.raises(NslibError, match=r"no vector of 3 of the 5 clips, the first c0 .*data clips"):
        read_vectors(write(tmp_path / name, CLIPS[3:], VECTORS[3:])).extraction(CLIPS)


@pytest.mark.parametrize(("changes", "words"), [
    ({"sha256": None}, r"vector.*sha256 or clip_id"), *(({"vector": [cell] * 3}, r"v\.parquet") for cell in NO_VECTORS),
    ({"vector": [ROWS[0], ROWS[1][:7], ROWS[2]]}, r"row 2 .* has 7 numbers, the first has 8"),
    ({"vector": [ROWS[0], [np.nan] * 8, ROWS[2]]}, r"that of b .row 2"),
    ({"sha256": ["a", "b", "a"]}, r"rows 1 and 3 .* different vectors for the same sha256, a")])
def test_a_bad_table_is_told_with_its_row(tmp_path, changes, words):
    table = {name: column for name, column in ({"sha256": list("abc"), "vector": ROWS} | changes).items() if column}
    pd.DataFrame(table).to_parquet(tmp_path / "v.parquet")
    with pytest.raises(BadParameter, match=words):
        read_vectors(tmp_path / "v.parquet")


FILES = [f"smile/{i}.wav" for i in range(5)]
PATHS = CLIPS.assign(audio=[f"/somewhere/{file}" for file in FILES])


def write_table(path, **columns):
    """Write a table as its ending says; `index` names the columns that openSMILE has there."""
    index, separator = columns.pop("index", []), columns.pop("sep", ",")
    table = pd.DataFrame(columns)
    table = table.set_index(index) if index else table
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=bool(index), sep="\t" if path.suffix == ".tsv" else separator)
    return path


def features(vectors=VECTORS):
    return {f"F0_{k}": column for k, column in enumerate(vectors.T)}


TIMES = {"start": pd.to_timedelta([0] * 5), "end": pd.to_timedelta([1] * 5, "s")}


@pytest.mark.parametrize(("name", "columns", "by"), [
    ("v.csv", {"sha256": CLIPS["sha256"], "vector": [str(v.tolist()) for v in VECTORS]}, "sha256"),
    ("v.tsv", {"clip_id": CLIPS["clip_id"], "label": "x", "seconds": 1.0, **features()}, "clip_id"),
    ("v.csv", {"clip_id": CLIPS["clip_id"], "vector": [" ".join(map(repr, v.tolist())) for v in VECTORS]}, "clip_id"),
    ("smile.parquet", {"file": FILES, **TIMES, **features(), "index": ["file", "start", "end"]}, "file"),
    ("smile.csv", {"file": FILES, **TIMES, **features(), "index": ["file", "start", "end"]}, "file"),
    ("v.csv", {"audio": ["./" + file for file in FILES], **features(), "sep": ";"}, "audio")])
@pytest.mark.filterwarnings("ignore:.* has names of clips", "ignore:.*the vector is 8 columns")
def test_tables_of_numbers_are_read_as_spreadsheets_and_opensmile_write_them(name, columns, by, tmp_path):
    found = read_vectors(write_table(tmp_path / name, **columns))
    assert found.by == by
    np.testing.assert_allclose(found.extraction(PATHS[::-1]).vectors, VECTORS[::-1], rtol=1e-6)


def test_what_is_taken_for_the_vector_is_said_and_paths_must_tell_clips_apart(tmp_path):
    path = write_table(tmp_path / "v.csv", file=["0.wav"], age=[3], F0=[0.5], mood=["x"])
    with (pytest.warns(UserWarning, match=r"2 columns of numbers, age to F0; not of it are: file, mood"),
          pytest.warns(UserWarning, match="names of clips")):
        found = read_vectors(path)
    with pytest.raises(NslibError, match=r"names 0\.wav, which is the end of the paths of several clips"):
        found.extraction(PATHS[:2].assign(audio=["/a/0.wav", "/b/0.wav"]))


def test_an_array_needs_the_names_of_its_rows(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS[::-1])
    with pytest.raises(BadParameter, match=r"v\.npy does not say whose .* v\.csv beside it.*\?names=clips\.parquet"):
        read_vectors(tmp_path / "v.npy")
    given = write_table(tmp_path / "clips.parquet", sha256=CLIPS["sha256"][::-1], seconds=1.0)
    beside = read_vectors(tmp_path / "v.npy", names=str(given))
    assert (beside.extraction(CLIPS).vectors == VECTORS).all()
    write_table(tmp_path / "v.csv", sha256=CLIPS["sha256"])
    other = read_vectors(tmp_path / "v.npy")
    assert (other.extraction(CLIPS).vectors == VECTORS[::-1]).all() and other.digest != beside.digest
    with pytest.raises(UnknownName, match=r"option of \.npy files of vectors 'window'"):
        read_vectors(tmp_path / "v.npy", window=1.0)


@pytest.mark.parametrize(("columns", "words"), [
    ({"clip_id": ["a", None, "c"], "F0": 1.0}, "row 2 of v.csv has no clip_id"),
    ({"file": ["a.wav"] * 3, "start": ["0 days", "0 days 00:00:01", "0 days"], "F0": 1.0}, "parts of files"),
    ({"file": ["a.wav", "a.wav", "b.wav"], "F0": [1.0, 2.0, 3.0]}, "one row a clip is needed"),
    ({"speaker": ["x"] * 3, "F0": 1.0}, "v.csv has speaker, F0; it needs"),
    ({"clip_id": list("abc"), "mood": "x"}, "v.csv has clip_id, mood; it needs vectors")])
@pytest.mark.filterwarnings("ignore:.*the vector is 1 columns")
def test_a_table_without_keys_or_numbers_is_told(columns, words, tmp_path):
    with pytest.raises(BadParameter, match=words):
        read_vectors(write_table(tmp_path / "v.csv", **columns))


def test_a_file_that_is_none(tmp_path):
    np.savez(tmp_path / "few.npz", sha256=np.array(list("abc")), vectors=VECTORS[:2])
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    np.savez(tmp_path / "pickled.npz", sha256=np.array(["a"], object), vectors=VECTORS[:1])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "few.npz").read_bytes()[:99])
    np.savez(tmp_path / "complex.npz", sha256=np.array(["a"]), vectors=VECTORS[:1] * 1j)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "latin.csv").write_bytes(b"clip_id,F0\n\xe4,1\n")
    np.savez(tmp_path / "bytes.npz", clip_id=np.array([b"c0"]), vectors=VECTORS[:1])
    with pytest.warns(UserWarning, match="names of clips"):
        assert read_vectors(tmp_path / "bytes.npz").keys == ("c0",)
    for name, words in (("few.npz", "3 sha256s and 2 vectors"), ("broken.parquet", "cannot be read as Parquet"),
                        ("pickled.npz", "without pickles"), ("cut.npz", "without pickles"),
                        ("complex.npz", "no numbers"),
                        ("empty.csv", "cannot be read as Csv"), ("latin.csv", "cannot be read as Csv: 'utf-8'")):
        with pytest.raises(BadParameter, match=words):
            read_vectors(tmp_path / name)
