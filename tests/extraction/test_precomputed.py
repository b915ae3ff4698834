"""Vectors of a file go to the clips that they were made of, or the file is refused with its row."""

import numpy as np
import pandas as pd
import pytest

from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.extraction.precomputed import is_vector_file, read_vectors

VECTORS = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
CLIPS = pd.DataFrame({"clip_id": [f"c{i}" for i in range(5)], "sha256": [f"{i:064x}" for i in range(5)]})
ROWS = [list(v) for v in VECTORS[:3]]


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
    ({"sha256": None}, r"vector.*sha256 or clip_id"),
    ({"vector": [ROWS[0], ROWS[1][:7], ROWS[2]]}, r"row 2 .* has 7 numbers, the first has 8"),
    ({"vector": [ROWS[0], [np.nan] * 8, ROWS[2]]}, r"that of b .row 2"),
    ({"sha256": ["a", "b", "a"]}, r"rows 1 and 3 .* different vectors for the same sha256, a")])
def test_a_bad_table_is_told_with_its_row(tmp_path, changes, words):
    table = {name: column for name, column in ({"sha256": list("abc"), "vector": ROWS} | changes).items() if column}
    pd.DataFrame(table).to_parquet(tmp_path / "v.parquet")
    with pytest.raises(BadParameter, match=words):
        read_vectors(tmp_path / "v.parquet")


def test_a_file_that_is_none(tmp_path):
    np.savez(tmp_path / "few.npz", sha256=np.array(list("abc")), vectors=VECTORS[:2])
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    np.savez(tmp_path / "pickled.npz", sha256=np.array(["a"], object), vectors=VECTORS[:1])
    for name, words in (("few.npz", "3 sha256s and 2 vectors"), ("broken.parquet", "cannot be read as Parquet"),
                        ("pickled.npz", "without pickles")):
        with pytest.raises(BadParameter, match=words):
            read_vectors(tmp_path / name)
