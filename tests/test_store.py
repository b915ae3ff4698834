"""The store keeps vectors whole, finds them by what was heard, and says when they are damaged."""

from __future__ import annotations

import errno
import os
import time

import numpy as np
import pytest
from helpers import embedding
from hypothesis import given
from hypothesis import strategies as st

from nslib.errors import NslibError
from nslib.index import Index, split
from nslib.store import Store, every


def _filled(root, n=5, unit="u0"):
    store = Store(embedding(), root)
    keys = [f"{unit}-{i}" for i in range(n)]
    vectors = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    store.write(unit, keys, vectors)
    return store, keys, vectors


def test_vectors_come_back_in_the_order_asked_for(tmp_path):
    store, keys, vectors = _filled(tmp_path)
    store.write("u1", ["x", "y"], np.array([[9, 9], [8, 8]], np.float32))
    order = [keys[3], "y", keys[0], keys[3], "x"]
    expected = [vectors[3], [8, 8], vectors[0], vectors[3], [9, 9]]
    np.testing.assert_array_equal(store.read(order), expected)
    np.testing.assert_array_equal(Store(embedding(), tmp_path).read(order), expected)
    assert store.read([]).shape == (0, 2)


def test_missing_lists_each_unknown_clip_once_in_order(tmp_path):
    store, keys, _ = _filled(tmp_path)
    assert store.missing(["b", keys[0], "a", "b"]) == ["b", "a"]
    with pytest.raises(KeyError):
        store.read(["a"])


def test_new_weights_never_see_old_vectors(tmp_path):
    _filled(tmp_path)
    assert len(Store(embedding(revision="test-2"), tmp_path)) == 0
    assert len(Store(embedding(name="renamed"), tmp_path)) == 5


@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty"])
def test_unreadable_shard_is_ignored_reported_and_pruned(tmp_path, damage):
    store, keys, _ = _filled(tmp_path)
    shard = store.path / "u0.arrow"
    content = shard.read_bytes()
    shard.write_bytes({"truncate": content[: len(content) // 2], "garbage": b"x" * 500, "empty": b""}[damage])
    again = Store(embedding(), tmp_path)
    assert again.missing(keys) == keys
    assert again.damaged == [shard]
    assert "u0.arrow" in again.verify()[0]
    assert again.prune() == 1
    assert not shard.exists()
    assert again.verify() == []


def test_a_damaged_shard_that_is_written_again_is_sound(tmp_path):
    store, keys, vectors = _filled(tmp_path)
    (store.path / "u0.arrow").write_bytes(b"x" * 500)
    again = Store(embedding(), tmp_path)
    again.write("u0", keys, vectors)
    assert (again.verify(), again.prune()) == ([], 0)
    np.testing.assert_array_equal(again.read(keys), vectors)


def test_a_flipped_byte_is_found_by_verify(tmp_path):
    store, _, vectors = _filled(tmp_path)
    assert store.verify() == []
    shard = store.path / "u0.arrow"
    content = bytearray(shard.read_bytes())
    at = content.index(vectors.tobytes())
    content[at + 6] ^= 0x40
    shard.write_bytes(content)
    assert "checksum" in Store(embedding(), tmp_path).verify()[0]


def test_full_disk_keeps_what_is_there_and_leaves_no_scrap(tmp_path, monkeypatch):
    store, keys, vectors = _filled(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NslibError, match="NSLIB_CACHE"):
        store.write("u1", ["x"], np.ones((1, 2), np.float32))
    monkeypatch.undo()
    assert not list(store.path.glob(".tmp-*"))
    np.testing.assert_array_equal(Store(embedding(), tmp_path).read(keys), vectors)


def test_temporary_file_of_a_killed_run_is_not_a_shard(tmp_path):
    store, _, _ = _filled(tmp_path)
    (store.path / ".tmp-killed").write_bytes(b"half")
    assert len(Store(embedding(), tmp_path)) == 5
    assert store.prune() == 1
    assert len(store) == 5


def test_wrong_shape_is_refused(tmp_path):
    store, _, _ = _filled(tmp_path)
    with pytest.raises(ValueError, match="dim is 2"):
        store.write("u1", ["x"], np.ones((1, 3), np.float32))


def test_same_unit_gives_the_same_bytes(tmp_path):
    a, _, _ = _filled(tmp_path / "a")
    b, _, _ = _filled(tmp_path / "b")
    assert (a.path / "u0.arrow").read_bytes() == (b.path / "u0.arrow").read_bytes()


def test_every_store_of_the_cache_is_listed(cache):
    Store(embedding())
    Store(embedding(name="other", revision="test-2", dim=3))
    assert sorted((name, store.dim) for name, store in every()) == [("energy", 2), ("other", 3)]


def test_a_store_of_a_thousand_shards_opens_fast_and_maps_none(tmp_path):
    import psutil

    store = Store(embedding(), tmp_path)
    source = _filled(tmp_path / "one", n=1)[0].path / "u0.arrow"
    for k in range(1000):
        os.link(source, store.path / f"{k:024x}.arrow")
    began = time.process_time()
    again = Store(embedding(), tmp_path)
    assert time.process_time() - began < 3, "usually 0.4 s"
    assert len(again._shards) == 1000 and len(again) == 1
    assert not any(".arrow" in m.path for m in psutil.Process().memory_maps())
    began = time.process_time()
    again.refresh()
    assert time.process_time() - began < 0.5, "nothing new to read"


@given(st.lists(st.lists(st.integers(0, 60), max_size=12), max_size=12), st.integers(1, 40))
def test_index_is_a_dictionary_in_which_the_last_counts(shards, loose):
    index, expected = Index(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nslib.index._LOOSE", loose)
        for number, keys in enumerate(shards):
            index.add([f"k{k}" for k in keys], number)
            expected |= {f"k{k}": (number, row) for row, k in enumerate(keys)}
    names = [f"k{k}" for k in range(62)]
    assert [index.has(name) for name in names] == [name in expected for name in names]
    places = index.find(names)
    assert len(index) == len(expected)
    for name, place, shard, row in zip(names, places, *split(places), strict=True):
        assert (shard, row) == expected[name] if name in expected else place == -1


def test_a_key_that_only_hashes_alike_is_not_given_a_wrong_vector(tmp_path, monkeypatch):
    store, _, _ = _filled(tmp_path)
    monkeypatch.setattr("nslib.index.hash", lambda key: 7, raising=False)
    store.write("u1", ["x", "y"], np.ones((2, 2), np.float32))
    with pytest.raises(KeyError, match="same hash"):
        store.read(["x"])
