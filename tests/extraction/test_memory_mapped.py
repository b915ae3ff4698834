"""Vectors in files that nobody has to delete."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import embedding

from nslib.errors import NslibError
from nslib.large import matrix
from nslib.store import Store


def filled(clips):
    store, x = Store(embedding()), np.random.default_rng(0).normal(size=(clips, 2)).astype(np.float32)
    keys = [f"key{i}" for i in range(clips)]
    store.write("one", keys[:90], x[:90])
    store.write("two", keys[90:], x[90:])
    return store, keys, x


def test_vectors_are_read_from_the_store_into_a_file(monkeypatch, cache):
    monkeypatch.setattr(matrix, "_BLOCK", 100)
    store, keys, x = filled(200)
    order = np.random.default_rng(1).permutation(200)
    found = matrix.read(store, [keys[i] for i in order])
    assert isinstance(found, np.memmap) and (found == x[order]).all() and not list((cache / "large").iterdir())
    with pytest.raises(KeyError):
        matrix.read(store, ["unknown"])


def test_a_full_disk_is_said_before_anything_is_written(monkeypatch, cache):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    store, keys, _ = filled(100)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(NslibError, match=r"no space left in .*large for 0\.0 GB of vectors"):
        matrix.read(store, keys)
    assert not list((cache / "large").iterdir())


def test_even_a_kill_leaves_no_file(cache):
    code = ("from nslib.large import matrix; import time\n"
            "x = matrix._make_file(100, 1000); x[:] = 1; print('ready', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    assert not list((cache / "large").iterdir())
