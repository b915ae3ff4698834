"""Vector cache: one vector a clip, found by what was heard and by what made it; and the log of what that cost.

A vector's key is the hash of the decoded waveform and the embedding's fingerprint, so renaming a data set recomputes
nothing and new weights can never be served an old vector.

``<cache>/vectors/<fingerprint>/<unit>.arrow`` holds the vectors of one work unit (Arrow IPC, uncompressed, so that it
can be memory-mapped). A shard is written under a temporary name, flushed and renamed: a shard that exists is whole. Its
schema carries a checksum of its vectors. Shards are never changed, only added or removed. In memory is an index only; a
shard is mapped while it is read. ``costs.jsonl`` beside the shards has one line for each extraction that computed
anything, so that a report can tell an embedding's speed also when every vector was cached.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib import config
from nslib.embeddings.base import Embedding, FloatArray
from nslib.errors import NslibError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Cost", "VectorCache", "list_caches", "read_costs"]

COST_LOG = "costs.jsonl"
_CHECKSUM = b"sha256"
_FACTS = "embedding.json"
_ROW_BITS = 24
_MAXIMA = ("peak_memory_gb", "batch_seconds")


class VectorCache:
    """Cached vectors of one embedding, whose fingerprint names the directory, `path`, in `root` (default: the cache's).

    Shards that could not be read when the cache was opened are `damaged`: they are left where they are and ignored, so
    their clips are computed again; `prune` removes them.
    """

    def __init__(self, embedding: Embedding, root: Path | None = None):
        path = (root or config.cache_dir("vectors")) / embedding.fingerprint
        path.mkdir(parents=True, exist_ok=True)
        if not (path / _FACTS).exists():
            facts = {k: v for k, v in vars(embedding).items() if k not in ("embed", "replica")}
            config.write_file(path / _FACTS, json.dumps(facts, indent=1).encode())
        self._open(path, embedding.dim)

    @classmethod
    def at(cls, path: Path) -> VectorCache:
        """Open the existing cache in a directory, without its embedding."""
        self = cls.__new__(cls)
        self._open(path, json.loads((path / _FACTS).read_text())["dim"])
        return self

    def _open(self, path: Path, dim: int) -> None:
        """Read the index of the shards."""
        import pyarrow as pa

        self.path, self.dim, self._index = path, dim, _Index()
        self.damaged: list[Path] = []
        self._shards: dict[str, int] = {}
        for name in sorted(entry.name for entry in os.scandir(path) if entry.name.endswith(".arrow")):
            try:
                keys = self._table(self.path / name)["sha256"].to_pylist()
            except (pa.ArrowInvalid, OSError, KeyError, ValueError):
                self.damaged.append(self.path / name)
                continue
            self._index.add(keys, self._shards.setdefault(name, len(self._shards)))

    def _table(self, shard: Path) -> pa.Table:
        import pyarrow as pa

        table = pa.ipc.open_file(pa.memory_map(str(shard))).read_all()
        if table["vector"].type.list_size != self.dim:
            raise ValueError(f"vectors of {table['vector'].type.list_size}, expected {self.dim}")
        return table

    def __len__(self) -> int:
        return len(self._index)

    def holds(self, keys: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Tell for each waveform hash whether there is a vector, bool [clips]."""
        return self._index.find(keys) >= 0

    def missing(self, keys: Iterable[str]) -> list[str]:
        """List the waveform hashes that have no vector yet, each once, in order of first appearance."""
        unique = list(dict.fromkeys(keys))
        return [unique[i] for i in np.flatnonzero(~self.holds(unique))]

    def read(self, keys: Iterable[str], *, mapped: bool = False) -> FloatArray:
        """Read the vectors of clips by their waveform hashes, float32 [clips, dim]; repeats are allowed.

        `mapped` puts them into a memory-mapped file without a name, which the system frees with the last array on it or
        with the process: they count as the file system's cache, not as memory of the process. Raises ``KeyError`` for a
        clip without a vector (ask `missing` first), `NslibError` if the disk has no room for the file.
        """
        keys = list(keys)
        places = self._index.find(keys)
        if (places < 0).any():
            raise KeyError(keys[int(np.argmin(places))])
        out = _map_empty(len(keys), self.dim) if mapped and keys else np.empty((len(keys), self.dim), np.float32)
        shards, rows = places >> _ROW_BITS, places & ((1 << _ROW_BITS) - 1)
        order = np.argsort(shards, kind="stable")
        names = list(self._shards)
        for part in np.split(order, np.flatnonzero(np.diff(shards[order])) + 1) if len(keys) else []:
            table = self._table(self.path / names[shards[part[0]]])
            stored = table["sha256"].take(rows[part]).to_pylist()
            if any(key != keys[i] for key, i in zip(stored, part, strict=True)):
                raise KeyError(f"two keys of the store {self.path} have the same hash; run it again")
            out[part] = _matrix(table, self.dim)[rows[part]]
        return out

    def write(self, unit: str, keys: Sequence[str], vectors: FloatArray) -> Path:
        """Add one shard, all or nothing, and give its path.

        `unit` is its name; the same work unit always holds the same clips. Row ``i`` of the vectors, [clips, dim],
        belongs to waveform hash ``i`` of `keys`. Raises `NslibError` if the disk is full; what was stored stays.
        """
        import pyarrow as pa

        flat = np.ascontiguousarray(vectors, np.float32)
        if flat.shape != (len(keys), self.dim):
            raise ValueError(f"{len(keys)} keys but vectors of shape {flat.shape}, dim is {self.dim}")
        column = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), self.dim)
        table = pa.table({"sha256": pa.array(list(keys), pa.string()), "vector": column})
        table = table.replace_schema_metadata({_CHECKSUM: hashlib.sha256(flat.tobytes()).hexdigest()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        shard = self.path / f"{unit}.arrow"
        config.write_file(shard, sink.getvalue())
        if shard in self.damaged:
            self.damaged.remove(shard)
        self._index.add(keys, self._shards.setdefault(shard.name, len(self._shards)))
        return shard

    def verify(self) -> list[str]:
        """Check every shard against its checksum; give a sentence for each damaged one, none if all is well."""
        bad = [f"{shard.name}: cannot be read" for shard in self.damaged]
        for shard in map(self.path.joinpath, sorted(self._shards)):
            try:
                table = self._table(shard)
            except (OSError, ValueError) as error:  # Arrow's errors are both
                bad.append(f"{shard.name}: cannot be read any more ({error})")
                continue
            checksum = hashlib.sha256(_matrix(table, self.dim).tobytes()).hexdigest()
            if checksum != (table.schema.metadata or {}).get(_CHECKSUM, b"").decode():
                bad.append(f"{shard.name}: vectors do not match their checksum")
        return bad

    def prune(self) -> int:
        """Delete damaged shards and temporary files left by killed runs; give the number of files deleted."""
        names = {sentence.split(":")[0] for sentence in self.verify()}
        doomed = [self.path / name for name in sorted(names)] + list(self.path.glob(".tmp-*"))
        for path in doomed:
            path.unlink(missing_ok=True)
        self._open(self.path, self.dim)
        return len(doomed)


def list_caches() -> list[tuple[str, VectorCache]]:
    """List the vector caches of this machine, each with the embedding's name."""
    paths = sorted(config.cache_dir("vectors").glob(f"*/{_FACTS}"))
    return [(json.loads(path.read_text())["name"], VectorCache.at(path.parent)) for path in paths]


class _Index:
    """Shard and row of keys in 16 bytes a clip: millions of clips need no gigabyte of names."""

    def __init__(self) -> None:
        self._hashes, self._places = np.empty(0, np.int64), np.empty(0, np.int64)
        self._new: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []

    def __len__(self) -> int:
        self._merge()
        return len(self._hashes)

    def add(self, keys: Sequence[str], shard: int) -> None:
        """Take the rows of a shard; where a key is known already, the new row counts."""
        places = (shard << _ROW_BITS) + np.arange(len(keys), dtype=np.int64)
        self._new.append((np.fromiter(map(hash, keys), np.int64), places))

    def find(self, keys: Iterable[str]) -> npt.NDArray[np.int64]:
        """Give shard and row of each key in one number (see `_ROW_BITS`), -1 for a key that is not there."""
        self._merge()
        wanted = np.fromiter(map(hash, keys), np.int64)
        if not len(self._hashes):
            return np.full(len(wanted), -1)
        at = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
        return np.where(self._hashes[at] == wanted, self._places[at], -1)

    def _merge(self) -> None:
        if not self._new:
            return
        hashes, places = zip((self._hashes, self._places), *self._new, strict=True)
        # of equal hashes the last counts: backwards that is the first, which `unique` takes
        self._hashes, first = np.unique(np.concatenate(hashes)[::-1], return_index=True)
        self._places = np.concatenate(places)[::-1][first]
        self._new = []


def _matrix(table: pa.Table, dim: int) -> FloatArray:
    """Give the vectors of a shard, float32 [clips, dim], without a copy where it is in one piece."""
    chunks = [c.flatten().to_numpy(zero_copy_only=True).reshape(-1, dim) for c in table["vector"].chunks]
    return chunks[0] if len(chunks) == 1 else np.concatenate([np.empty((0, dim), np.float32), *chunks])


def _map_empty(clips: int, dim: int) -> FloatArray:
    """Map a new file without a name; its space is reserved, so that a full disk is an error now, not a crash later."""
    size, folder = 4 * clips * dim, config.cache_dir("large")
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                os.truncate(file.fileno(), size)  # macOS has no such call; there a full disk shows late
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise NslibError(f"no space left in {folder} for {size / 1e9:.1f} GB of vectors. Free some space, or point "
                             "NSLIB_CACHE to a larger disk, and run the same command again.") from error
        return np.memmap(file, np.float32, "r+", shape=(clips, dim))


@dataclass
class Cost:
    """What computing vectors took, in one extraction or summed over several."""

    computed: int = 0  # clips that were embedded
    padded: int = 0  # of these, clips that did not fill the embedding's window
    audio_seconds: float = 0.0  # of the computed clips
    samples_real: int = 0  # of the clips
    samples_fed: int = 0  # of the batches that the model saw
    wall_seconds: float = 0.0  # from the first file to the last stored vector
    peak_memory_gb: float = 0.0  # highest memory of the process so far
    busy_seconds: float = 0.0  # in which the embedding's function ran, summed over devices
    waiting_seconds: float = 0.0  # in which a device waited for clips to be decoded, summed over devices
    watched_seconds: float = 0.0  # wall seconds of the extractions in which the two above were measured, times devices
    batch_seconds: float = 0.0  # most seconds of audio in a batch
    devices: list[str] = field(default_factory=list)  # what the function ran on; empty where it is not known

    def add(self, other: Cost) -> None:
        """Add another cost; of memory and batches the higher one counts."""
        for name, value in vars(other).items():
            old = getattr(self, name)
            if name == "devices":
                self.devices = list(dict.fromkeys([*old, *value]))
            else:
                setattr(self, name, max(old, value) if name in _MAXIMA else old + value)

    def log(self, folder: Path, wall_seconds: float) -> None:
        """Complete the cost of an extraction and append it to the cost log in the embedding's folder."""
        self.wall_seconds, self.peak_memory_gb = wall_seconds, _peak_memory_gb()
        self.watched_seconds = wall_seconds * max(1, len(self.devices))
        with open(folder / COST_LOG, "a") as file:
            file.write(json.dumps(vars(self)) + "\n")

    def summary(self) -> dict[str, Any]:
        """Give the cost as the report shows it, with the columns that docs/results.md explains."""
        # NaN where nothing was computed, or nothing was watched: the first versions of the kit did not
        per_second = 1 / self.wall_seconds if self.computed else float("nan")
        per_watched = 1 / self.watched_seconds if self.watched_seconds else float("nan")
        return {
            "computed": self.computed, "padded": self.padded, "audio_seconds": self.audio_seconds,
            "wall_seconds": self.wall_seconds, "clips_per_second": self.computed * per_second,
            "times_real_time": self.audio_seconds * per_second,
            "padding": 1 - self.samples_real / self.samples_fed if self.samples_fed else 0.0,
            "device_busy": self.busy_seconds * per_watched, "decode_wait": self.waiting_seconds * per_watched,
            "peak_memory_gb": self.peak_memory_gb, "batch_seconds": self.batch_seconds,
            "devices": ", ".join(self.devices),
        }


def read_costs(fingerprint: str) -> Cost:
    """Sum up the cost log of an embedding: what all its vectors took that were ever computed here; maybe zeros."""
    path = config.cache_dir("vectors") / fingerprint / COST_LOG
    costs = Cost()
    for line in path.read_text().splitlines() if path.exists() else []:
        costs.add(Cost(**json.loads(line)))
    return costs


def _peak_memory_gb() -> float:
    import psutil

    info = psutil.Process().memory_info()
    # Windows names the peak itself; elsewhere getrusage counts it, in kB (bytes on macOS).
    if hasattr(info, "peak_wset"):
        return float(info.peak_wset) / 1e9
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
