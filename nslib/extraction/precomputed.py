"""Vectors that were computed elsewhere, as an embedding: one row a clip.

==================  =========================================================================================
Parquet, CSV, TSV   column ``vector`` (a list of numbers), else all columns of numbers, as openSMILE writes its
                    functionals; and one of `_KEYS`
NPZ                 arrays ``vectors`` [clips, dim] and ``sha256`` or ``clip_id`` [clips]
NPY                 array [clips, dim]; the keys are in a table, one row a vector: ``vectors.npy?names=clips.csv``,
                    by default the table of the same name beside it
==================  =========================================================================================

``sha256`` is that of the decoded sound (`nslib.audio.sha256`), so that a vector can only go to the sound that it was
made of; ``clip_id`` and `_PATHS` (a path, or the end of one) are names, which are trusted. Where several are there, the
first counts. The clip tables of `nslib.datasets.loading.load_clips` and of ``nslib data clips`` have hash and name. The
fingerprint is the hash of the file: another file, other results.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from nslib import audio
from nslib.datasets.layouts import list_names
from nslib.datasets.table import COLUMNS, FOLD_COLUMNS, PROBLEM_COLUMNS, read_parquet
from nslib.embeddings.base import Embedding, FloatArray, IntArray
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName
from nslib.extraction.extract import Extraction

__all__ = ["ENDINGS", "Precomputed", "is_vector_file", "read_vectors"]

ENDINGS = (".parquet", ".csv", ".tsv", ".npz", ".npy")
_TABLES = ENDINGS[:3]
_PATHS = ("file", "audio", "filename", "path")
_KEYS = ("sha256", "clip_id", *_PATHS)
# columns that are no feature: what the kit and openSMILE say of a clip
_NO_FEATURE = {*_KEYS, *COLUMNS, *FOLD_COLUMNS, "task", "index", "name", "start", "end", "frameTime"}
_REMEDY = ("Add them to the file, so that its row is of the same clips as the others. The clips of a task are listed "
           "by: python -m nslib data clips TASK --out clips.parquet")


@dataclass(frozen=True)
class Precomputed:
    """Vectors of a file."""

    path: Path
    name: str  # as shown in tables
    by: str  # what the rows are found by: one of `_KEYS`
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
        row_of = {key: row for row, key in enumerate(self.keys)}
        named = self.by in _PATHS
        column = clips["audio" if named else self.by]
        rows = column.map((lambda path: _find_path(path, row_of)) if named else row_of)
        lost = clips[rows.isna()]
        if len(lost):
            raise NslibError(f"{self.path.name} has no vector of {len(lost)} of the {len(clips)} clips, the first "
                             f"{lost['clip_id'].iloc[0]} ({self.by} {column[lost.index[0]]}; its own first is "
                             f"{self.keys[0]}). {_REMEDY}")
        shared = clips[rows.duplicated()] if named else clips[:0]
        if len(shared):
            raise NslibError(f"{self.path.name} names {self.keys[int(rows[shared.index[0]])]}, which is the end of the "
                             "paths of several clips. Give longer paths, or a column sha256 or clip_id.")
        cost = {"clips": len(clips), "from_store": len(clips), "computed": 0, "padded": 0}
        return Extraction(self.vectors[rows.to_numpy(np.int64)], clips.reset_index(drop=True),
                          pd.DataFrame(columns=list(PROBLEM_COLUMNS), dtype=str), cost)

    def _refuse(self, waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        raise Unavailable(f"a new vector of {self.name}", f"it is known by the vectors in {self.path.name} only",
                          "Give the model itself: a function, a SavedModel, TFLite or ONNX file.")


def _find_path(path: str, row_of: dict[str, int]) -> int | None:
    """Find the row whose name is the longest end of a path."""
    parts = PurePosixPath(Path(path).as_posix()).parts
    ends = (str(PurePosixPath(*parts[k:])) for k in range(len(parts)))
    return next((row_of[end] for end in ends if end in row_of), None)


def is_vector_file(given: object) -> bool:
    """Tell by its ending whether something is an existing file of vectors."""
    return isinstance(given, str | Path) and Path(given).suffix.lower() in ENDINGS and Path(given).is_file()


def read_vectors(path: str | Path, name: str | None = None, **options: Any) -> Precomputed:
    """Read vectors of a file with one of `ENDINGS`; their name in tables is that of the file unless one is given.

    The only option is ``names`` of an NPY file.

    Raises
    ------
    BadParameter
        If it cannot be read, a column is missing, a row has no key, a clip has two different vectors, vectors differ in
        length or hold NaN or infinite numbers; with the row.
    UnknownName
        For another option.
    """
    path = Path(path)
    allowed = ["names"] if path.suffix.lower() == ".npy" else []
    if unknown := next((option for option in options if option not in allowed), None):
        raise UnknownName(f"option of {path.suffix} files of vectors", unknown, allowed)
    columns, digest = _read_columns(path), hashlib.sha256(path.read_bytes())
    if path.suffix.lower() == ".npy":
        beside = [options["names"]] if options else [path.with_suffix(ending) for ending in _TABLES]
        names = next((Path(table).expanduser() for table in beside if Path(table).expanduser().is_file()), None)
        if names is None:
            raise BadParameter(f"{path.name} does not say whose vectors its rows are. Write a table of the same rows "
                               f"with a column {' or '.join(_KEYS)}, such as {path.with_suffix('.csv').name} beside "
                               f"it, or give it: {path.name}?names=clips.parquet.")
        columns = _read_columns(names) | columns
        digest.update(names.read_bytes())
    by = next((key for key in _KEYS if key in columns), None)
    if by is None or "vectors" not in columns:
        raise BadParameter(f"{path.name} has {list_names(list(columns.get('all', columns))) or 'nothing'}; it needs "
                           f"vectors ('vector', or columns of numbers), and {' or '.join(_KEYS)}.")
    keys, vectors = [_read_key(key, by) for key in columns[by]], _stack(path, columns["vectors"])
    if len(keys) != len(vectors) or not keys:
        raise BadParameter(f"{path.name} has {len(keys)} {by}s and {len(vectors)} vectors; one each is needed.")
    if "" in keys:
        raise BadParameter(f"row {keys.index('') + 1} of {path.name} has no {by}; each vector needs one.")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise BadParameter(f"{len(bad)} vectors of {path.name} hold NaN or infinite numbers, the first that of "
                           f"{keys[bad[0]]} (row {bad[0] + 1}).")
    first: dict[str, int] = {}  # clips may come twice with the same vector, as two names of one sound do
    for row, key in enumerate(keys):
        before = first.setdefault(key, row)
        if before != row and not np.array_equal(vectors[before], vectors[row]):
            raise BadParameter(f"rows {before + 1} and {row + 1} of {path.name} have different vectors for the same "
                               f"{by}, {key}; one row a clip is needed.")
    if by != "sha256":
        warnings.warn(f"{path.name} has names of clips ({by}), no hashes (sha256): that a vector was made of the "
                      "clip it is given to cannot be checked.", stacklevel=2)
    return Precomputed(path, name or path.stem, by, tuple(first), vectors[list(first.values())], digest.hexdigest())


def _read_key(cell: Any, by: str) -> str:
    """Read a key as text; empty if the cell is."""
    text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
    if not isinstance(cell, str | bytes) and text in ("None", "nan", "<NA>", "NaT"):
        return ""
    return str(PurePosixPath(text.replace("\\", "/"))) if text and by in _PATHS else text


def _read_columns(path: Path) -> dict[str, Any]:
    """Read keys and vectors of a file, and the names of all that it has."""
    kind = path.suffix.lower()
    try:
        audio.refuse_stand_in(path)
        if kind == ".npy":
            return {"vectors": np.load(path, allow_pickle=False)}
        if kind == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in (*_KEYS, "vectors") if name in arrays.files}
        return _read_table(path)
    except BadParameter:
        raise
    except Exception as error:  # a damaged file makes its library raise anything
        how = f"{kind[1:].upper()} without pickles" if kind in (".npy", ".npz") else kind[1:].capitalize()
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadParameter(f"{path} cannot be read as {how}: {why}") from error


def _read_table(path: Path) -> dict[str, Any]:
    if path.suffix.lower() == ".parquet":
        table = read_parquet(path)
    else:
        with path.open(encoding="utf-8-sig") as file:
            line = file.readline()
        # openSMILE's own program writes semicolons
        table = pd.read_csv(path, sep=max(",;\t", key=line.count), dtype=dict.fromkeys(_KEYS, str),
                            encoding="utf-8-sig")
    if any(table.index.names):  # openSMILE's index is file, start, end
        table = table.reset_index()
    if "start" in table and (pd.to_timedelta(table["start"], errors="coerce") != pd.Timedelta(0)).any():
        raise BadParameter(f"{path.name} has vectors of parts of files (column start); one row a clip is needed.")
    columns = {"all": list(table.columns)} | {name: table[name].to_numpy() for name in _KEYS if name in table}
    if "vector" in table:
        return columns | {"vectors": [_read_numbers(path, k, cell) for k, cell in enumerate(table["vector"])]}
    features = [name for name in table.columns if pd.api.types.is_numeric_dtype(table[name])
                and name not in _NO_FEATURE and not str(name).startswith("Unnamed")]
    if not features:
        return columns
    others = ", ".join(str(name) for name in table.columns if name not in features)
    warnings.warn(f"{path.name}: the vector is {len(features)} columns of numbers, {features[0]} to {features[-1]}; "
                  f"not of it are: {others}.", stacklevel=2)
    return columns | {"vectors": table[features].to_numpy(np.float64)}


def _read_numbers(path: Path, row: int, cell: Any) -> Any:
    """Read a cell of a vector: a list as it is, and text as a list of numbers."""
    if not isinstance(cell, str):
        return cell
    try:
        return [float(number) for number in cell.strip("[] ").replace(",", " ").split()]
    except ValueError as error:
        raise BadParameter(f"the vector in row {row + 1} of {path.name} is no list of numbers ({error}): {cell[:60]}. "
                           "Text with dots was shortened by its writer.") from error


def _stack(path: Path, rows: Any) -> FloatArray:
    """Make a matrix, float32 [clips, dim], of rows that must be equally long."""
    lengths = [np.size(row) if row is not None else 0 for row in rows]
    other = next((i for i, length in enumerate(lengths) if length != lengths[0] or not length), None)
    if other is not None:
        raise BadParameter(f"the vector in row {other + 1} of {path.name} has {lengths[other]} numbers, the first has "
                           f"{lengths[0]}; all need as many, and at least one.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)  # half of each number would be dropped
            return np.stack([np.asarray(row, np.float32).reshape(-1) for row in rows])
    except (TypeError, ValueError, np.exceptions.ComplexWarning) as error:
        raise BadParameter(f"the vectors of {path.name} are no numbers: {error}") from error
