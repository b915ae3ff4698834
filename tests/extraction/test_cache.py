"""The vector cache keeps vectors whole, finds them by what was heard, and says when they are damaged."""

import contextlib
import errno
import os
import platform
import re
from unittest.mock import Mock

import numpy as np
import pytest
from helpers import embedding
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib.errors import NslibError
from nslib.extraction.cache import DamagedVectors, VectorCache, list_caches

DEAD = f".tmp-{re.sub('[^A-Za-z0-9.]', '', platform.node())}-{2**22 + 1}-killed"  # no system has such a process


def fill(root):
    store, keys = VectorCache(embedding(), root), [f"u0-{i}" for i in range(5)]
    vectors = np.arange(10, dtype=np.float32).reshape(5, 2)
    store.write("u0", keys, vectors)
    return store, keys, vectors


@pytest.mark.parametrize("mapped", [False, True])
def test_vectors_come_back_in_the_order_asked_for(tmp_path, cache, mapped):
    store, keys, vectors = fill(tmp_path)
    store.write("u1", ["x", "y"], np.array([[9, 9], [8, 8]], np.float32))
    order = [keys[3], "y", keys[0], keys[3], "x"]
    for opened in (store, VectorCache(embedding(), tmp_path)):
        np.testing.assert_array_equal(opened.read(order, mapped=mapped), [vectors[3], [8, 8], *vectors[[0, 3]], [9, 9]])
    assert store.read([], mapped=mapped).shape == (0, 2)
    assert store.missing(["b", keys[0], "a", "b"]) == ["b", "a"]  # each once, in order
    with pytest.raises(KeyError):
        store.read(["a"])


def test_new_weights_never_see_old_vectors_and_the_same_unit_gives_the_same_bytes(tmp_path, cache):
    store, other = fill(tmp_path)[0], fill(tmp_path / "b")[0]
    assert (store.path / "u0.arrow").read_bytes() == (other.path / "u0.arrow").read_bytes()
    assert len(VectorCache(embedding(revision="test-2"), tmp_path)) == 0
    assert len(VectorCache(embedding(name="renamed", replica=print), tmp_path)) == 5
    with pytest.raises(ValueError, match="dim is 2"):
        store.write("u1", ["x"], np.ones((1, 3), np.float32))
    VectorCache(embedding())
    VectorCache(embedding(name="other", revision="test-2", dim=3))
    assert sorted((name, listed.dim) for name, listed in list_caches()) == [("energy", 2), ("other", 3)]


@pytest.mark.parametrize("size", [500, 0])
def test_unreadable_shard_is_ignored_reported_and_pruned_or_written_again(tmp_path, size):
    store, keys, vectors = fill(tmp_path)
    shard = store.path / "u0.arrow"
    shard.write_bytes(shard.read_bytes()[:size])
    (store.path / DEAD).write_bytes(b"half")
    mended, again = VectorCache(embedding(), tmp_path), VectorCache(embedding(), tmp_path)
    assert again.missing(keys) == keys and again.damaged == [shard]
    assert "u0.arrow" in again.verify()[0]
    assert again.prune() == 2 and not shard.exists() and again.verify() == []
    mended.write("u0", keys, vectors)
    assert (mended.verify(), mended.prune()) == ([], 0)
    np.testing.assert_array_equal(mended.read(keys), vectors)
    flipped = bytearray(shard.read_bytes())
    flipped[flipped.index(vectors.tobytes()) + 6] ^= 0x40
    shard.write_bytes(flipped)
    assert "checksum" in VectorCache(embedding(), tmp_path).verify()[0]


def test_any_damaged_byte_costs_a_shard_at_most(tmp_path):
    store, keys, vectors = fill(tmp_path)
    whole = (store.path / "u0.arrow").read_bytes()
    for place in range(len(whole)):
        (store.path / "u0.arrow").write_bytes(whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1:])
        damaged = VectorCache(embedding(), tmp_path)
        with contextlib.suppress(DamagedVectors):
            assert damaged.missing(keys) or (damaged.read(keys) == vectors).all()


def test_full_disk_keeps_what_is_there_and_leaves_no_scrap(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path))
    store, keys, vectors = fill(tmp_path)
    for name in ("fsync", "posix_fallocate"):
        monkeypatch.setattr(os, name, Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(NslibError, match="NSLIB_CACHE"):
        store.write("u1", ["x"], np.ones((1, 2), np.float32))
    with pytest.raises(NslibError, match=r"no space left for .*0\.0 GB of vectors.*NSLIB_CACHE"):
        store.read(keys, mapped=True)
    assert not list(store.path.glob(".tmp-*"))
    np.testing.assert_array_equal(VectorCache(embedding(), tmp_path).read(keys), vectors)


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(0, 60), max_size=12), max_size=8))
def test_of_a_key_that_comes_again_the_last_vector_counts(tmp_path_factory, shards):
    store, expected = VectorCache(embedding(), tmp_path_factory.mktemp("store")), {}
    for number, keys in enumerate(shards):
        vectors = np.array([[number, row] for row in range(len(keys))], np.float32).reshape(-1, 2)
        store.write(f"u{number}", [f"k{k}" for k in keys], vectors)
        expected |= {f"k{k}": (number, row) for row, k in enumerate(keys)}
        assert len(store) == len(expected)
    names = [f"k{k}" for k in range(62)]
    assert store.holds(names).tolist() == [name in expected for name in names]
    for opened in (store, VectorCache.at(store.path)):
        assert [tuple(v) for v in opened.read(expected)] == list(expected.values())


def test_a_key_that_only_hashes_alike_is_not_given_a_wrong_vector(tmp_path, monkeypatch):
    store, _, _ = fill(tmp_path)
    monkeypatch.setattr("nslib.extraction.cache.hash", lambda key: 7, raising=False)
    store.write("u1", ["x", "y"], np.ones((2, 2), np.float32))
    with pytest.raises(KeyError, match="same hash"):
        store.read(["x"])
