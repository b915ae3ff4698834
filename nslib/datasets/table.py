"""The clip table: what every source of recordings returns.

One row a clip, columns `COLUMNS` and, of tasks with folds, `FOLD_COLUMNS`, sorted by ``clip_id``. Clips that cannot be
used are rows of a second table, with a reason and a remedy: nothing is left out silently.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import audio, config
from nslib.errors import BadParameter, NslibError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "FOLD_COLUMNS", "PROBLEM_COLUMNS", "Dataset", "limit_clips", "make_dataset", "read_parquet"]

COLUMNS = ("clip_id", "audio", "sha256", "seconds", "sample_rate", "label", "speaker", "split", "source")
FOLD_COLUMNS = ("fold", "text")  # see `nslib.datasets.splits`; absent where they are empty in every row
PROBLEM_COLUMNS = ("clip_id", "audio", "reason", "remedy")
_TYPES = {"seconds": float, "sample_rate": int}
FEW_LABELS, FEW_SPEAKERS = 8, 2  # of a rehearsal


@dataclass(frozen=True)
class Dataset:
    """Clips that can be used (`COLUMNS`), and clips that cannot (`PROBLEM_COLUMNS`).

    Of a clip, ``audio`` is an absolute path, ``sha256`` is of the decoded 16 kHz waveform, and ``sample_rate`` is the
    original's. Empty text means unknown. ``recording``, a column of parts of files only, is one where they overlap.
    """

    clips: pd.DataFrame
    problems: pd.DataFrame
    notes: tuple[str, ...] = ()  # sentences for the report


def make_dataset(clips: Iterable[Mapping[str, object]], problems: Iterable[Mapping[str, object]] = (),
                 notes: Iterable[str] = ()) -> Dataset:
    """Make a dataset of rows with the columns `COLUMNS` and `PROBLEM_COLUMNS`, sorted by clip_id."""
    import pandas as pd

    rows = list(clips)
    columns = [*COLUMNS, *(name for name in (*FOLD_COLUMNS, "recording") if any(row.get(name) for row in rows))]
    table = pd.DataFrame(rows, columns=columns).astype({name: _TYPES.get(name, str) for name in columns})
    excluded = pd.DataFrame(list(problems), columns=list(PROBLEM_COLUMNS)).astype(str)
    by_id = {"by": "clip_id", "ignore_index": True}
    return Dataset(table.sort_values(**by_id), excluded.sort_values(**by_id), tuple(notes))


def limit_clips(clips: pd.DataFrame, per_class: int | None, seed: int = 0, few: bool = False) -> pd.DataFrame:
    """Keep at most `per_class` clips of each label in each split, or fold if there are any, spread over its speakers.

    None keeps all; `seed` decides which are kept, whatever the order of the rows (columns ``clip_id, label, speaker,
    split``, perhaps ``fold``). The result is a subset of the rows, in their order. `few` keeps `FEW_LABELS` labels, and
    of each in a split the clips of `FEW_SPEAKERS` speakers, the same ones for all labels if these have them.
    """
    if per_class is None:
        return clips

    def draw(names: Iterable[object]) -> dict[object, str]:
        return {name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest() for name in names}

    order = clips.assign(_draw=clips["clip_id"].map(draw(clips["clip_id"]))).sort_values("_draw")
    if few:
        labels, speakers = draw(clips["label"].unique()), draw(clips["speaker"].unique())
        order = order[order["label"].isin(sorted(labels, key=labels.__getitem__)[:FEW_LABELS])]
        turns = order.assign(_turn=order["speaker"].map(speakers)).groupby(["split", "label"])["_turn"]
        order = order[turns.rank("dense") <= FEW_SPEAKERS]
    part = "fold" if "fold" in clips and clips["fold"].ne("").any() else "split"
    # first one clip of every speaker, then a second of every speaker, ...
    turn = order.groupby([part, "label", "speaker"]).cumcount()
    order = order.assign(_turn=turn).sort_values(["_turn", "_draw"])
    place = order.groupby([part, "label"]).cumcount()
    return clips[(place < per_class).reindex(clips.index, fill_value=False)]


def read_parquet(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table and hold it to its checksums; `NslibError`, with the path, whatever is wrong with the file."""
    import pandas as pd

    try:
        return pd.read_parquet(path, page_checksum_verification=True)
    except Exception as error:  # of a changed byte pandas and pyarrow may make anything, a KeyError or a MemoryError
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise NslibError(f"{path} cannot be read ({why}).") from error


def read_list(path: Path, recordings: str = "") -> pd.DataFrame:
    """Read a CSV, TSV, Parquet, Arrow or JSON Lines list, whatever its columns; cells are text, its index their row.

    Nothing is repaired: `BadParameter` names the row whose cells are not as many as the columns, or that took others
    in. Cells of Parquet and JSON Lines that are no scalars stay as they are, but for the column `recordings`, where
    what the package datasets writes ({bytes, path}) becomes a path.
    """
    import pandas as pd

    readers = {".parquet": _read_parquet, ".arrow": _read_parquet, ".jsonl": _read_json_lines}
    read = readers.get(Path(path.name.lower().removesuffix(".gz")).suffix, _read_cells)
    try:
        audio.refuse_stand_in(path)
        return pd.DataFrame(*read(path, recordings), dtype=object)
    except UnicodeDecodeError as error:
        raise BadParameter(f"{path} is not UTF-8 (byte {error.object[error.start]:#04x}); save it as CSV UTF-8, as "
                           "spreadsheets call it.") from error
    except (ValueError, OSError, EOFError, zlib.error) as error:  # pyarrow's own errors are ValueErrors
        if isinstance(error, BadParameter):
            raise
        raise BadParameter(f"{path} cannot be read as a {path.suffix[1:].upper()} list: {error}") from error


_Columns = tuple[dict[str, list[object]], list[int]]  # cells by column, and the row of each


def _read_cells(path: Path, _: str) -> _Columns:
    """Text between separators; in a TSV a quote is a letter like others."""
    tabs = path.suffix.lower() == ".tsv"
    separator = "\t" if tabs else ","
    header: list[str] = []
    rows: dict[int, list[str]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines, last = file.readlines(), 0
    reader = csv.reader(lines, delimiter=separator, strict=True, quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL)
    try:
        for cells in reader:
            number, last = last + 1, reader.line_num
            if any(line.count(separator) >= len(header or cells) - 1 for line in lines[number:last]):
                raise BadParameter(f"row {number} of {path.name} goes on to line {last} and takes whole rows in: a "
                                   "quote is not closed. Close it, or write it twice.")
            if not header:
                header = [cell.strip() for cell in cells]
                _check_header(path, header, separator)
            elif len(cells) == len(header):
                rows[number] = cells
            elif cells:
                raise BadParameter(f"row {number} of {path.name} has {len(cells)} cells, and there are {len(header)} "
                                   f"columns. Mend the row, or put quotes around a cell that holds {separator!r}.")
    except csv.Error as error:
        raise BadParameter(f"line {reader.line_num} of {path.name} cannot be read ({error}). A quote within a cell is "
                           "written twice, and the cell between quotes.") from error
    if not header:
        raise BadParameter(f"{path} cannot be read as a list: it is empty.")
    columns = zip(*rows.values(), strict=True) if rows else ([] for _ in header)
    return {name: list(cells) for name, cells in zip(header, columns, strict=True)}, list(rows)


def _check_header(path: Path, header: list[str], separator: str) -> None:
    """Refuse columns that are not apart, or of one name."""
    line = separator.join(header)
    other = max(",;\t|", key=line.count)
    if line.count(other) > line.count(separator):
        raise BadParameter(f"the columns of {path.name} are separated by {other!r}; save it with commas (.csv) or tabs "
                           "(.tsv).")
    if twice := [name for name in dict.fromkeys(header) if name and header.count(name) > 1]:
        raise BadParameter(f"{path.name} has several columns {', '.join(twice)}; keep one of each.")


def _read_json_lines(path: Path, _: str) -> _Columns:
    """An object a line."""
    with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rt", encoding="utf-8-sig") as file:
        # of a name that comes twice, JSON takes the last value
        rows = {number: json.loads(line, object_pairs_hook=lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs)
                                   else None) for number, line in enumerate(file, start=1) if line.strip()}
    if other := next((number for number, row in rows.items() if not isinstance(row, dict)), None):
        raise BadParameter(f"line {other} of {path.name} is no object whose names are apart; write one a line.")
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return {name: [_write_cell(row.get(name)) for row in rows.values()] for name in names}, list(rows)


def _read_parquet(path: Path, recordings: str) -> _Columns:
    """Batch by batch, as whole recordings may be in it; classes of the package datasets get their names."""
    from pyarrow import ipc, memory_map
    from pyarrow.parquet import ParquetFile

    stream = path.suffix.lower() == ".arrow"
    file: Any = ipc.open_stream(memory_map(str(path))) if stream else ParquetFile(path)
    schema, batches = (file.schema, file) if stream else (file.schema_arrow, file.iter_batches(256))
    columns: dict[str, list[object]] = {name: [] for name in schema.names}
    features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    names = {name: kind["names"] for name, kind in features.get("info", {}).get("features", {}).items()
             if isinstance(kind, dict) and kind.get("_type") == "ClassLabel" and name in columns}
    ids: list[object] = []
    for batch in batches:
        for name, cells in columns.items():
            values = batch.column(name).to_pylist()
            if name == recordings:
                stored = [_store_recording(value, len(cells) + k) for k, value in enumerate(values, start=1)]
                ids += [clip_id for clip_id, _ in stored]
                values = [value for _, value in stored]
            elif name in names:
                values = [names[name][value] if value is not None and value >= 0 else "" for value in values]
            cells += [_write_cell(value) for value in values]
    if any(ids) and "clip_id" not in columns:
        columns["clip_id"] = ids
    return columns, list(range(1, 1 + max(map(len, columns.values()), default=0)))


def _store_recording(cell: object, row: int) -> tuple[str, object]:
    """Write a recording that a cell holds to a file of the cache; its name there, and the path of the file."""
    held = cell if isinstance(cell, dict) else {"bytes": cell}
    data, name = held.get("bytes"), str(held.get("path") or "")
    if not isinstance(data, bytes):
        return "", name if isinstance(cell, dict) and name else cell
    ending = suffix if (suffix := Path(name).suffix)[1:].isalnum() and suffix.isascii() else ""
    path = config.cache_dir("corpora", "embedded") / (hashlib.sha256(data).hexdigest() + ending)
    if not path.exists():
        config.write_file(path, data)
    return name or f"row-{row}", str(path)


def read_seconds(cell: str) -> float:
    """Seconds of a cell: a number, or a time as pandas writes it (``0 days 00:00:01.42``); `ValueError` for others."""
    import pandas as pd

    return float(pd.Timedelta(cell).total_seconds() if ":" in cell else cell or "nan")


def _write_cell(value: object) -> object:
    """A scalar as text, nothing as empty text."""
    if value is None or value != value:
        return ""
    return str(value) if isinstance(value, int | float) or not hasattr(value, "__len__") else value
