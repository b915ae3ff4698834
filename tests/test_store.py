"""The store keeps vectors whole, finds them by what was heard, and says when they are damaged."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from helpers import embedding

from nslib.errors import NslibError
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
