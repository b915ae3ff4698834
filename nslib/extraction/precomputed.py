"""Vectors that were computed elsewhere, as an embedding: one row a clip in a Parquet or NPZ file.

=========  ==========================================================================================
Parquet    column ``vector`` (a list of numbers) and ``sha256`` or ``clip_id``; others are not read
NPZ        arrays ``vectors`` [clips, dim] and ``sha256`` or ``clip_id`` [clips]
=========  ==========================================================================================

``sha256`` is that of the decoded sound (`nslib.audio.sha256`), so that a vector can only go to the sound that it was
made of; ``clip_id`` is a name, which is trusted. Where both are there, the hash counts. The clip tables of
`nslib.datasets.loading.load_clips` and of ``nslib data clips`` have both. The fingerprint is the hash of the file:
another file, other results.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib.datasets.table import PROBLEM_COLUMNS, read_parquet
from nslib.embeddings.base import Embedding, FloatArray, IntArray
from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.extraction.extract import Extraction

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Precomputed", "is_vector_file", "read_vectors"]

_ENDINGS = (".parquet", ".npz")
_KEYS = ("sha256", "clip_id")
_REMEDY = ("Add them to the file, so that its row is of the same clips as the others. The clips of a task are listed "
           "by: python -m nslib data clips TASK --out clips.parquet")


@dataclass(frozen=True)
class Precomputed:
    """Vectors of a file."""

    path: Path
    name: str  # as shown in tables
    by: str  # what the rows are found by: sha256 or clip_id
    keys: tuple[str, ...]  # of each row
    vectors: FloatArray  # [rows, dim]
    digest: str  # of the file

    @property
    def embedding(self) -> Embedding:
        """Embedding: what is known of it. It cannot embed anything."""
        return Embedding(self.name, self.digest, self.vectors.shape[1], self._refuse, licence="not stated",
                         source=f"{self.path.name}, precomputed elsewhere; only its vectors are known")

    def extraction(self, clips: pd.DataFrame) -> Extraction:
        """Give the clips of a table their vectors; `NslibError` if one has none.

        A score over the others would be of another test set than its neighbours in the results.
        """
        import pandas as pd

        row_of = {key: row for row, key in enumerate(self.keys)}
        rows = clips[self.by].map(row_of)
        lost = clips[rows.isna()]
        if len(lost):
            raise NslibError(f"{self.path.name} has no vector of {len(lost)} of the {len(clips)} clips, the first "
                             f"{lost['clip_id'].iloc[0]} ({self.by} {lost[self.by].iloc[0]}; its own first is "
                             f"{self.keys[0]}). {_REMEDY}")
        cost = {"clips": len(clips), "from_store": len(clips), "computed": 0, "padded": 0}
        return Extraction(self.vectors[rows.to_numpy(np.int64)], clips.reset_index(drop=True),
                          pd.DataFrame(columns=list(PROBLEM_COLUMNS), dtype=str), cost)

    def _refuse(self, waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        raise Unavailable(f"a new vector of {self.name}", f"it is known by the vectors in {self.path.name} only",
                          "Give the model itself: a function, a SavedModel, TFLite or ONNX file.")


def is_vector_file(given: object) -> bool:
    """Tell by its ending whether something is an existing file of vectors."""
    return isinstance(given, str | Path) and Path(given).suffix.lower() in _ENDINGS and Path(given).is_file()


def read_vectors(path: str | Path, name: str | None = None) -> Precomputed:
    """Read vectors of a ``.parquet`` or ``.npz`` file; their name in tables is that of the file unless one is given.

    Raises
    ------
    BadParameter
        If it cannot be read, a column is missing, a clip has two different vectors, vectors differ in length or hold
        NaN or infinite numbers; with the row.
    """
    path = Path(path)
    is_parquet = path.suffix.lower() == ".parquet"
    columns = _read_parquet(path) if is_parquet else _read_npz(path)
    by = next((key for key in _KEYS if key in columns), None)
    if by is None or "vectors" not in columns:
        raise BadParameter(f"{path.name} has {', '.join(sorted(columns)) or 'nothing'}; it needs "
                           f"{'vector' if is_parquet else 'vectors'}, and {' or '.join(_KEYS)}.")
    keys, vectors = [str(key) for key in columns[by]], _stack(path, columns["vectors"])
    if len(keys) != len(vectors) or not keys:
        raise BadParameter(f"{path.name} has {len(keys)} {by}s and {len(vectors)} vectors; one each is needed.")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise BadParameter(f"{len(bad)} vectors of {path.name} hold NaN or infinite numbers, the first that of "
                           f"{keys[bad[0]]} (row {bad[0] + 1}).")
    first: dict[str, int] = {}  # clips may come twice with the same vector, as two names of one sound do
    for row, key in enumerate(keys):
        before = first.setdefault(key, row)
        if before != row and not np.array_equal(vectors[before], vectors[row]):
            raise BadParameter(f"rows {before + 1} and {row + 1} of {path.name} have different vectors for the same "
                               f"{by}, {key}.")
    if by == "clip_id":
        warnings.warn(f"{path.name} has names of clips (clip_id), no hashes (sha256): that a vector was made of the "
                      "clip it is given to cannot be checked.", stacklevel=2)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Precomputed(path, name or path.stem, by, tuple(first), vectors[list(first.values())], digest)


def _read_parquet(path: Path) -> dict[str, Any]:
    try:
        table = read_parquet(path)
    except NslibError as error:
        raise BadParameter(f"{path} cannot be read as Parquet: {error}") from error
    columns = {name: table[name].to_numpy() for name in _KEYS if name in table}
    return columns | ({"vectors": list(table["vector"])} if "vector" in table else {})


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in (*_KEYS, "vectors") if name in arrays.files}
    except Exception as error:  # a damaged archive raises what zipfile and zlib have
        raise BadParameter(f"{path} cannot be read as NPZ without pickles: {error}") from error


def _stack(path: Path, rows: Any) -> FloatArray:
    """Make a matrix, float32 [clips, dim], of rows that must be equally long."""
    lengths = [np.size(row) if row is not None else 0 for row in rows]
    other = next((i for i, length in enumerate(lengths) if length != lengths[0] or not length), None)
    if other is not None:
        raise BadParameter(f"the vector in row {other + 1} of {path.name} has {lengths[other]} numbers, the first has "
                           f"{lengths[0]}; all need as many, and at least one.")
    try:
        return np.stack([np.asarray(row, np.float32).reshape(-1) for row in rows])
    except (TypeError, ValueError) as error:
        raise BadParameter(f"the vectors of {path.name} are no numbers: {error}") from error
