"""Vectors of a file go to the clips that they were made of, or the file is refused with its row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.extraction.precomputed import is_vector_file, read_vectors

VECTORS = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
CLIPS = pd.DataFrame({"clip_id": [f"c{i}" for i in range(5)], "sha256": [f"{i:064x}" for i in range(5)]})


def write(path, clips=CLIPS, vectors=VECTORS, by="sha256"):
    if path.suffix == ".npz":
        np.savez(path, vectors=vectors, **{by: clips[by].to_numpy(str)})
    else:
        pd.DataFrame({by: clips[by], "vector": list(vectors)}).to_parquet(path)
    return path


@pytest.mark.parametrize("name", ["v.parquet", "v.npz"])
def test_vectors_go_by_key_whatever_their_order(tmp_path, name):
    path = write(tmp_path / name, CLIPS[::-1], VECTORS[::-1])
    assert is_vector_file(path) and not is_vector_file(tmp_path / "none.npz") and not is_vector_file(VECTORS)
    precomputed = read_vectors(path)
    out = precomputed.extraction(CLIPS)
    assert (out.vectors == VECTORS).all() and out.clips["clip_id"].tolist() == CLIPS["clip_id"].tolist()
    assert out.problems.empty and out.cost["computed"] == 0 and precomputed.embedding.name == "v"
    with pytest.raises(Unavailable, match="model itself"):
        precomputed.embedding.embed(np.zeros((1, 16000), np.float32), np.array([16000]))


def test_names_of_clips_are_trusted_and_told(tmp_path):
    with pytest.warns(UserWarning, match="names of clips"):
        named = read_vectors(write(tmp_path / "v.parquet", by="clip_id"), "mine")
    assert named.by == "clip_id" and named.name == "mine"
    assert (named.extraction(CLIPS).vectors == VECTORS).all()


def test_a_file_that_lacks_clips_gives_none(tmp_path):
    path = write(tmp_path / "v.parquet", CLIPS[3:], VECTORS[3:])
    with pytest.raises(NslibError, match=r"no vector of 3 of the 5 clips, the first c0 .*data clips"):
        read_vectors(path).extraction(CLIPS)


def test_a_bad_file_is_told_with_its_row(tmp_path):
    rows = [list(v) for v in VECTORS[:3]]
    table = pd.DataFrame({"sha256": list("abc"), "vector": rows})

    def read(changed):
        changed.to_parquet(tmp_path / "v.parquet")
        return read_vectors(tmp_path / "v.parquet")

    assert read(table).keys == ("a", "b", "c")
    assert read(table.assign(sha256=["a", "b", "a"], vector=[rows[0], rows[1], rows[0]])).keys == ("a", "b")
    for changed, words in [
        (table.rename(columns={"sha256": "name"}), r"vector.*sha256 or clip_id"),
        (table.assign(vector=[rows[0], rows[1][:7], rows[2]]), r"row 2 .* has 7 numbers, the first has 8"),
        (table.assign(vector=[rows[0], [np.nan] * 8, rows[2]]), r"that of b .row 2"),
        (table.assign(sha256=["a", "b", "a"]), r"rows 1 and 3 .* different vectors for the same sha256, a"),
    ]:
        with pytest.raises(BadParameter, match=words):
            read(changed)
    np.savez(tmp_path / "few.npz", sha256=np.array(list("abc")), vectors=VECTORS[:2])
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    np.savez(tmp_path / "pickled.npz", sha256=np.array(["a"], object), vectors=VECTORS[:1])
    for name, words in [("few.npz", "3 sha256s and 2 vectors"), ("broken.parquet", "cannot be read as Parquet"),
                        ("pickled.npz", "without pickles")]:
        with pytest.raises(BadParameter, match=words):
            read_vectors(tmp_path / name)
