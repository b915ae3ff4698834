"""Vector cache: one vector a clip, found by what was heard and by what made it; and the log of what that cost.

A vector's key is the hash of the decoded waveform and the embedding's fingerprint, so renaming a data set recomputes
nothing and new weights can never be served an old vector.

``<cache>/vectors/<fingerprint>/<unit>.arrow`` holds the vectors of one work unit (Arrow IPC, uncompressed, so that it
can be memory-mapped). A shard is written under a temporary name, flushed and renamed: a shard that exists is whole. Its
schema carries two checksums of its vectors: sha256, for `VectorCache.verify`, and that of `sum_vectors`, which costs so
little that every read compares it. A shard that fails is renamed to ``.damaged``, and its clips are computed again.
Shards are never changed, only added or removed. In memory is an index only; a shard is mapped while it is read.
``costs.jsonl`` beside the shards has a line an extraction, for the speed to be known when every vector is cached.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nslib import config
from nslib.datasets.clip_cache import Ledger
from nslib.embeddings.base import Embedding, FloatArray, hash_facts
from nslib.errors import NslibError

__all__ = ["Cost", "DamagedVectors", "VectorCache", "list_caches", "read_costs"]

COST_LOG = "costs.jsonl"
_CHECKSUM, _SUMS = b"sha256", b"sums"
_FACTS = "embedding.json"
_ASIDE = ".damaged"
_ROW_BITS = 24
_SUM_BYTES = 8 * 509
_MAXIMA = ("peak_memory_gb", "batch_seconds")


class DamagedVectors(NslibError):
    """Stored vectors are not what was written; they are set aside, so `VectorCache.missing` lists their clips now."""


class VectorCache:
    """Cached vectors of one embedding, whose fingerprint names the directory, `path`, in `root` (default: the cache's).

    Shards that could not be read when the cache was opened are `damaged`: they are left where they are and ignored, so
    their clips are computed again; `prune` removes them.
    """

    def __init__(self, embedding: Embedding, root: Path | None = None):
        path = (root or config.cache_dir("vectors")) / embedding.fingerprint
        with config.explain_failures(path):
            path.mkdir(parents=True, exist_ok=True)
        if not _read_facts(path):
            facts = {k: v for k, v in vars(embedding).items() if k not in ("embed", "replica", "part")}
            config.write_file(path / _FACTS, json.dumps(facts, indent=1).encode())
        self._open(path, embedding.dim)

    @classmethod
    def at(cls, path: Path) -> VectorCache:
        """Open the existing cache in a directory, without its embedding; `dim` is 0 where its facts are damaged."""
        self = cls.__new__(cls)
        self._open(path, _read_facts(path).get("dim", 0))
        return self

    def _open(self, path: Path, dim: int) -> None:
        """Read the index of the shards."""
        self.path, self.dim, self._index = path, dim, _Index()
        self.damaged: list[Path] = []
        self._shards: dict[str, int] = {}
        for name in sorted(entry.name for entry in os.scandir(path) if entry.name.endswith(".arrow")):
            try:
                keys = self._table(self.path / name)["sha256"].to_pylist()
            except (pa.ArrowException, OSError, KeyError, ValueError):
                self.damaged.append(self.path / name)
                continue
            self._index.add(keys, self._shards.setdefault(name, len(self._shards)))

    def _table(self, shard: Path) -> pa.Table:
        table = pa.ipc.open_file(pa.memory_map(str(shard))).read_all()
        table.validate(full=True)  # a damaged offset would lead outside of the file, which ends the process
        if self.dim not in (0, table["vector"].type.list_size):
            raise ValueError(f"vectors of {table['vector'].type.list_size}, expected {self.dim}")
        return table

    def _take(self, shard: Path) -> tuple[pa.Table, FloatArray]:
        """Read a shard and its vectors."""
        table = self._table(shard)
        column = table["vector"].combine_chunks()  # no copy of a single piece
        return table, column.flatten().to_numpy().reshape(-1, column.type.list_size)

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
        clip without a vector (ask `missing` first), `DamagedVectors` if some are not what was written, and `NslibError`
        if the disk has no room for the file.
        """
        keys = list(keys)
        places = self._index.find(keys)
        if (places < 0).any():
            raise KeyError(keys[int(np.argmin(places))])
        out = _map_empty(len(keys), self.dim) if mapped and keys else np.empty((len(keys), self.dim), np.float32)
        shards, rows = places >> _ROW_BITS, places & ((1 << _ROW_BITS) - 1)
        order = np.argsort(places, kind="stable")
        names, damaged = list(self._shards), []
        for part in np.split(order, np.flatnonzero(np.diff(shards[order])) + 1) if len(keys) else []:
            shard = self.path / names[shards[part[0]]]
            try:
                table, vectors = self._take(shard)
                # a whole shard, which is the rule, needs no copy of it
                whole = len(part) == len(vectors) and rows[part[0]] == 0 and (np.diff(rows[part]) == 1).all()
                out[part] = vectors if whole else vectors[rows[part]]
                _compare_sums(table, vectors)  # after the copy, which has brought them into the processor's cache
            except Exception as error:
                if not _is_damage(error):
                    raise
                damaged.append(shard)
                continue
            stored = (table["sha256"] if whole else table["sha256"].take(rows[part])).to_pylist()
            if stored != [keys[i] for i in part]:
                raise KeyError(f"two keys of the store {self.path} have the same hash; run it again")
        if damaged:
            self._set_aside(damaged)
        return out

    def _set_aside(self, shards: Sequence[Path]) -> NoReturn:
        """Take shards that are not what was written out of the cache, and say so."""
        clips = len(self)
        for shard in shards:
            with contextlib.suppress(FileNotFoundError), config.explain_failures(shard):
                os.replace(shard, shard.with_suffix(_ASIDE))
        self._open(self.path, self.dim)
        raise DamagedVectors(f"{len(shards)} files of stored vectors were damaged (they do not match their checksums) "
                             f"and set aside, {shards[0]} for one: {clips - len(self)} clips are computed again when "
                             "they are asked for.")

    def write(self, unit: str, keys: Sequence[str], vectors: FloatArray) -> Path:
        """Add one shard, all or nothing, and give its path.

        `unit` is its name; the same work unit always holds the same clips. Row ``i`` of the vectors, [clips, dim],
        belongs to waveform hash ``i`` of `keys`. Raises `NslibError` if the disk is full; what was stored stays.
        """
        flat = np.ascontiguousarray(vectors, np.float32)
        if flat.shape != (len(keys), self.dim):
            raise ValueError(f"{len(keys)} keys but vectors of shape {flat.shape}, dim is {self.dim}")
        column = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), self.dim)
        table = pa.table({"sha256": pa.array(list(keys), pa.string()), "vector": column},
                         metadata={_CHECKSUM: hashlib.sha256(flat.data).hexdigest(), _SUMS: sum_vectors(flat)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        shard = self.path / f"{unit}.arrow"
        config.write_file(shard, sink.getvalue())
        self.damaged = [path for path in self.damaged if path != shard]
        self._index.add(keys, self._shards.setdefault(shard.name, len(self._shards)))
        return shard

    def verify(self) -> list[str]:
        """Check every shard against its checksum; give a sentence for each damaged one, none if all is well."""
        facts = [] if _read_facts(self.path) else [f"{_FACTS}: damaged; the next run of the embedding writes it again"]
        return [*facts, *(f"{shard.name}: {why}" for shard, why, _ in self._find_damaged())]

    def _find_damaged(self) -> Iterator[tuple[Path, str, bool]]:
        """Give each shard that cannot be used, why, and whether that is for sure and for ever."""
        for shard in sorted({*self.damaged, *map(self.path.joinpath, self._shards), *self.path.glob(f"*{_ASIDE}")}):
            try:
                table, vectors = self._take(shard)
                _compare_sums(table, vectors, every=True)
                if shard.suffix == _ASIDE or "sha256" not in table.column_names:
                    raise ValueError("it was damaged when it was read")
            except Exception as error:
                yield shard, f"cannot be used ({error})", _is_damage(error)

    def prune(self) -> int:
        """Delete damaged shards and what dead runs have left; give the number of files deleted."""
        doomed = [shard for shard, _, sure in self._find_damaged() if sure]
        for path in doomed:
            path.unlink(missing_ok=True)
        self._open(self.path, self.dim)
        return len(doomed) + config.sweep(self.path)


def list_caches() -> list[tuple[str, VectorCache]]:
    """List the vector caches of this machine, each with the embedding's name, or, if that is damaged, its folder's."""
    paths = [path for path in sorted(config.cache_dir("vectors").iterdir()) if path.is_dir() and any(path.iterdir())]
    return [(_read_facts(path).get("name", path.name), VectorCache.at(path)) for path in paths]


def _read_facts(path: Path) -> dict[str, Any]:
    """Read what is known of the embedding of a folder, which bears its fingerprint; empty if it is damaged."""
    try:
        facts = json.loads((path / _FACTS).read_text())
        return facts if hash_facts(SimpleNamespace(**facts)) == path.name else {}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def sum_vectors(vectors: FloatArray) -> bytes:
    """Hash the sums of every 509th eight bytes, as whole numbers: tens of GB a second.

    A change escapes only if another one, in the same sum, is its very opposite: chance does not do that. 509 is prime,
    so that vectors of any usual size that change places change the sums.
    """
    raw = vectors.reshape(-1).view(np.uint8)
    rows = len(raw) // _SUM_BYTES
    words = raw[: rows * _SUM_BYTES].view(np.uint64).reshape(rows, _SUM_BYTES // 8)
    digest = hashlib.sha256(np.add.reduce(words).data)
    digest.update(raw[rows * _SUM_BYTES:].data)
    return digest.hexdigest().encode()


def _compare_sums(table: pa.Table, vectors: FloatArray, *, every: bool = False) -> None:
    """Hold vectors to the cheapest checksum of their shard, or to `every` one: ValueError."""
    said = table.schema.metadata or {}
    fine = _SUMS not in said or said[_SUMS] == sum_vectors(vectors)
    if every or _SUMS not in said:  # as in the shards of older kits
        fine = fine and said.get(_CHECKSUM) == hashlib.sha256(vectors.data).hexdigest().encode()
    if not fine:
        raise ValueError("vectors do not match their checksum")


def _is_damage(error: Exception) -> bool:
    """Tell whether a file is to blame for an error of reading it, and not the system or its memory."""
    system = isinstance(error, MemoryError) or getattr(error, "errno", None)
    return isinstance(error, pa.ArrowException | OSError | LookupError | ValueError | SystemError) and not system


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


def _map_empty(clips: int, dim: int) -> FloatArray:
    """Map a new file without a name; its space is reserved, so that a full disk is an error now, not a crash later."""
    size, folder = 4 * clips * dim, config.cache_dir("large")
    place = folder / f"{size / 1e9:.1f} GB of vectors"
    with config.explain_failures(place), tempfile.TemporaryFile(dir=folder) as file:
        # macOS has no such call; there a full disk shows late
        getattr(os, "posix_fallocate", lambda number, _, size: os.truncate(number, size))(file.fileno(), 0, size)
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
            both = max(old, value) if name in _MAXIMA else old + value
            setattr(self, name, list(dict.fromkeys(both)) if name == "devices" else both)

    def log(self, folder: Path, wall_seconds: float) -> None:
        """Complete the cost of an extraction and append it to the cost log in the embedding's folder."""
        self.wall_seconds, self.peak_memory_gb = wall_seconds, peak_memory_gb()
        self.watched_seconds = wall_seconds * max(1, len(self.devices))
        Ledger(folder / COST_LOG).append(vars(self))

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
    costs = Cost()
    for cost in Ledger(config.cache_dir("vectors") / fingerprint / COST_LOG).read(lambda line: Cost(**line)):
        costs.add(cost)
    return costs


def peak_memory_gb() -> float:
    """GB of memory that this process had at most."""
    import psutil

    info = psutil.Process().memory_info()
    # Windows names the peak itself; elsewhere getrusage counts it, in kB (bytes on macOS).
    if hasattr(info, "peak_wset"):
        return float(info.peak_wset) / 1e9
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
