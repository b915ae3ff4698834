"""The vector store against one file a vector: writing, opening, reading, bytes and files; ratios in one run.

store   `nslib.store.Store`: a shard for each work unit, flushed and renamed when it is whole, with a checksum
files   one ``.npy`` for each clip, named by its hash, as embedding kits usually cache vectors: a plain `numpy.save`,
        neither flushed nor checked

Reading is in random order, as a task's splits ask for vectors. It is warm (the system's cache holds the files) and,
where the system can be asked to forget them, cold, which still leaves what the disk or its host keeps. Opening means to
know which clips have a vector: the index of a store, the listing of a folder.

Usage: ``python benchmarks/store.py [--vectors N] [--rounds K]``
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import Figure, in_turn, report, seconds_of

from nslib.embeddings.base import Embedding
from nslib.extraction.cache import VectorCache

UNIT = 100
"""Vectors in a shard: a unit of 240 s holds about as many clips of 2.4 s."""


def embedding(dim: int) -> Embedding:
    """An embedding that is never asked for a vector."""

    def never(waves: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise AssertionError("nothing is computed here")

    return Embedding("benchmark", "0", dim, never)


def write_shards(folder: Path, keys: list[str], x: np.ndarray) -> VectorCache:
    """Write a store."""
    store = VectorCache(embedding(x.shape[1]), folder)
    for start in range(0, len(keys), UNIT):
        store.write(f"{start:08d}", keys[start : start + UNIT], x[start : start + UNIT])
    return store


def write_files(folder: Path, keys: list[str], x: np.ndarray) -> None:
    """Write one file a vector."""
    folder.mkdir(exist_ok=True)
    for key, row in zip(keys, x, strict=True):
        np.save(folder / f"{key}.npy", row)


def usage(folder: Path) -> tuple[int, int]:
    """Files below a folder, and the bytes that they take on disk."""
    found = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return len(found), sum(getattr(stat, "st_blocks", -(-stat.st_size // 512)) * 512 for stat in found)


def forget(folder: Path) -> None:
    """Ask the system to drop the files of a folder from its cache; what is not on disk yet cannot be dropped."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cold(read: Callable[[], object], folder: Path, rounds: int) -> float:
    """Median seconds of a reading that finds nothing in the system's cache; NaN where that cannot be had."""
    taken = []
    for _ in range(rounds if hasattr(os, "posix_fadvise") else 0):
        forget(folder)
        taken.append(seconds_of(read))
    return statistics.median(taken) if taken else math.nan


def fresh(root: Path, write: Callable[[Path], object]) -> Callable[[], object]:
    """Write into a folder that is new each time."""
    return lambda: write(Path(tempfile.mkdtemp(dir=root)))


def compare(dim: int, vectors: int, rounds: int) -> list[Figure]:
    """Both ways at one size."""
    x = np.random.default_rng(dim).normal(size=(vectors, dim)).astype(np.float32)
    keys = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(vectors)]
    order = [keys[i] for i in np.random.default_rng(1).permutation(vectors)]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        store, one_each = write_shards(root / "store", keys, x), root / "files"
        write_files(one_each, keys, x)
        # the reader of files gets the array ready made too
        def read_files() -> np.ndarray:
            return np.stack([np.load(one_each / f"{key}.npy") for key in order])

        assert np.array_equal(store.read(order), read_files())
        taken = in_turn({
            "write store": fresh(root, lambda where: write_shards(where, keys, x)),
            "write files": fresh(root, lambda where: write_files(where / "files", keys, x)),
            "open store": lambda: VectorCache(embedding(dim), root / "store"),
            "open files": lambda: {entry.name for entry in os.scandir(one_each)},
            "read store": lambda: store.read(order),
            "read files": read_files}, rounds)
        taken["cold store"] = cold(lambda: store.read(order), root / "store", rounds)
        taken["cold files"] = cold(read_files, one_each, rounds)
        (files, size), (many, large) = usage(root / "store"), usage(one_each)
    gb = x.nbytes / 1e9
    return [
        Figure(f"{dim}-d: write, files / store", taken["write files"] / taken["write store"], "x",
               note=f"{gb / taken['write store']:.2f} GB/s, flushed to disk and with checksums; the files are not"),
        Figure(f"{dim}-d: read, files / store", taken["read files"] / taken["read store"], "x", at_least=1.0,
               note=f"{gb / taken['read store']:.2f} GB/s"),
        Figure(f"{dim}-d: read cold, files / store", taken["cold files"] / taken["cold store"], "x",
               note=f"{gb / taken['cold store']:.2f} GB/s"),
        Figure(f"{dim}-d: open", 1e3 * taken["open store"], "ms", at_most=1000,
               note=f"a listing of the files: {1e3 * taken['open files']:.1f} ms"),
        Figure(f"{dim}-d: files on disk", files, note=f"one a vector: {many}"),
        Figure(f"{dim}-d: bytes on disk, store / vectors", size / x.nbytes, at_most=1.1,
               note=f"one file each: {large / x.nbytes:.2f}")]


def opening(shards: int) -> Figure:
    """How long a store of many shards takes to open."""
    keys = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(shards * UNIT)]
    with tempfile.TemporaryDirectory() as name:
        write_shards(Path(name), keys, np.zeros((len(keys), 64), np.float32))
        taken = in_turn({"open": lambda: VectorCache(embedding(64), Path(name))}, 3)["open"]
    return Figure(f"open a store of {shards} shards, {len(keys)} vectors", taken, "s", at_most=2.0)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=4000, help="at 512 dimensions; a tenth of it at 12,288")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shards", type=int, default=1000)
    given = parser.parse_args()
    report(compare(512, given.vectors, given.rounds))
    report(compare(12_288, max(UNIT, given.vectors // 10), given.rounds))
    report([opening(given.shards)])


if __name__ == "__main__":
    main()
