"""Vector store: one vector a clip, found by what was heard and by what made it.

A vector's key is the hash of the decoded waveform and the embedding's fingerprint, so renaming a
data set recomputes nothing and new weights can never be served an old vector.

Conventions
-----------
``<cache>/vectors/<fingerprint>/<unit>.arrow`` holds the vectors of one work unit (Arrow IPC,
uncompressed, so that it is memory-mapped). A shard is written under a temporary name, flushed and
renamed: a shard that exists is whole. Its schema carries a checksum of its vectors. Shards are
never changed, only added or removed. In memory is an index only (`nslib.index`); a shard is mapped
while it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nslib import files, params
from nslib.embeddings.base import Embedding, FloatArray
from nslib.index import Index, split

if TYPE_CHECKING:
    import pyarrow as pa

_CHECKSUM = b"sha256"
_FACTS = "embedding.json"


class Store:
    """Vectors of one embedding.

    Parameters
    ----------
    embedding : Embedding
        Whose vectors; its fingerprint names the directory.
    root : Path, optional
        Directory of all stores (default: ``vectors`` in the cache).

    Attributes
    ----------
    damaged : list of Path
        Shards that could not be read when the store was opened. They are left where they are and
        ignored, so their clips are computed again; `prune` removes them.
    """

    def __init__(self, embedding: Embedding, root: Path | None = None):
        path = (root or params.cache_dir("vectors")) / embedding.fingerprint
        path.mkdir(parents=True, exist_ok=True)
        if not (path / _FACTS).exists():
            facts = {k: v for k, v in vars(embedding).items() if k not in ("embed", "replica")}
            files.write(path / _FACTS, json.dumps(facts, indent=1).encode())
        self._read(path, embedding.dim)

    @classmethod
    def at(cls, path: Path) -> Store:
        """Open a store that exists, without its embedding.

        Parameters
        ----------
        path : Path
            Directory of the store.

        Returns
        -------
        Store
        """
        self = cls.__new__(cls)
        self._read(path, json.loads((path / _FACTS).read_text())["dim"])
        return self

    def _read(self, path: Path, dim: int) -> None:
        self.path, self.dim = path, dim
        self.damaged: list[Path] = []
        self._shards: dict[str, int] = {}
        self._index = Index()
        self.refresh()

    def refresh(self) -> None:
        """Read the index of shards that were added since, by this or another process."""
        skip = {*self._shards, *(shard.name for shard in self.damaged)}
        names = (entry.name for entry in os.scandir(self.path))
        for name in sorted(name for name in names if name.endswith(".arrow") and name not in skip):
            self._note(self.path / name)

    def _note(self, shard: Path) -> None:
        import pyarrow as pa

        try:
            keys = self._table(shard)["sha256"].to_pylist()
        except (pa.ArrowInvalid, OSError, KeyError, ValueError):
            self.damaged.append(shard)
            return
        self._index.add(keys, self._shards.setdefault(shard.name, len(self._shards)))

    def _table(self, shard: Path) -> pa.Table:
        import pyarrow as pa

        table = pa.ipc.open_file(pa.memory_map(str(shard))).read_all()
        if table["vector"].type.list_size != self.dim:
            raise ValueError(f"vectors of {table['vector'].type.list_size}, expected {self.dim}")
        return table

    def __contains__(self, key: str) -> bool:
        return self._index.has(key)

    def __len__(self) -> int:
        return len(self._index)

    def holds(self, keys: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Whether there is a vector, clip by clip.

        Parameters
        ----------
        keys : iterable of str
            Waveform hashes.

        Returns
        -------
        bool [clips]
        """
        return self._index.find(keys) >= 0

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Keys that have no vector yet, each once, in order of first appearance.

        Parameters
        ----------
        keys : iterable of str
            Waveform hashes.

        Returns
        -------
        list of str
        """
        unique = list(dict.fromkeys(keys))
        return [unique[i] for i in np.flatnonzero(~self.holds(unique))]

    def read(self, keys: Iterable[str]) -> FloatArray:
        """Vectors of the given clips.

        Parameters
        ----------
        keys : iterable of str
            Waveform hashes; repeats are allowed.

        Returns
        -------
        ndarray of float32, [clips, dim]

        Raises
        ------
        KeyError
            If one of them has no vector; ask `missing` first.
        """
        keys = list(keys)
        places = self._index.find(keys)
        if (places < 0).any():
            raise KeyError(keys[int(np.argmin(places))])
        out = np.empty((len(keys), self.dim), np.float32)
        shards, rows = split(places)
        order = np.argsort(shards, kind="stable")
        names = list(self._shards)
        for some in np.split(order, np.flatnonzero(np.diff(shards[order])) + 1) if len(keys) else []:
            table = self._table(self.path / names[shards[some[0]]])
            found = table["sha256"].take(rows[some]).to_pylist()
            if any(key != keys[i] for key, i in zip(found, some, strict=True)):
                raise KeyError(f"two keys of the store {self.path} have the same hash; run it again")
            out[some] = _matrix(table, self.dim)[rows[some]]
        return out

    def write(self, unit: str, keys: Sequence[str], vectors: FloatArray) -> Path:
        """Add one shard, all or nothing.

        Parameters
        ----------
        unit : str
            Name of the work unit: the same unit always holds the same clips.
        keys : sequence of str
            Waveform hashes.
        vectors : ndarray of float32, [clips, dim]

        Returns
        -------
        Path
            The shard.

        Raises
        ------
        NslibError
            If the disk is full; what was stored before stays.
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
        files.write(shard, sink.getvalue())
        if shard in self.damaged:
            self.damaged.remove(shard)
        self._index.add(keys, self._shards.setdefault(shard.name, len(self._shards)))
        return shard

    def verify(self) -> list[str]:
        """Check every shard against its checksum.

        Returns
        -------
        list of str
            One sentence for each damaged shard; empty if all is well.
        """
        bad = [f"{shard.name}: cannot be read" for shard in self.damaged]
        for shard in map(self.path.joinpath, sorted(self._shards)):
            try:
                table = self._table(shard)
            except (OSError, ValueError) as error:  # of Arrow too: its errors are both
                bad.append(f"{shard.name}: cannot be read any more ({error})")
                continue
            found = hashlib.sha256(_matrix(table, self.dim).tobytes()).hexdigest()
            if found != (table.schema.metadata or {}).get(_CHECKSUM, b"").decode():
                bad.append(f"{shard.name}: vectors do not match their checksum")
        return bad

    def prune(self) -> int:
        """Delete damaged shards and temporary files left by killed runs.

        Returns
        -------
        int
            How many files were deleted.
        """
        names = {sentence.split(":")[0] for sentence in self.verify()}
        doomed = [self.path / name for name in sorted(names)] + list(self.path.glob(".tmp-*"))
        for path in doomed:
            path.unlink(missing_ok=True)
        self._read(self.path, self.dim)
        return len(doomed)


def every() -> list[tuple[str, Store]]:
    """Every store in the cache.

    Returns
    -------
    list of (str, Store)
        The embedding's name and its store.
    """
    found = sorted(params.cache_dir("vectors").glob(f"*/{_FACTS}"))
    return [(json.loads(path.read_text())["name"], Store.at(path.parent)) for path in found]


def _matrix(table: pa.Table, dim: int) -> FloatArray:
    chunks = [c.flatten().to_numpy(zero_copy_only=True).reshape(-1, dim) for c in table["vector"].chunks]
    return chunks[0] if len(chunks) == 1 else np.concatenate([np.empty((0, dim), np.float32), *chunks])
