"""From a data set to its clip table: every clip a 16 kHz WAV file on a shelf, made once.

Three files beside the clips let a stopped run go on and a finished one be used alone:

=================  ==========================================================================
``index.parquet``  which clips there are, with label, speaker and split; listed before any is made
``ledger.jsonl``   the shelf's, a line for each clip that has been made
``clips.parquet``  the finished table; with it, nothing else of the data set is read any more
=================  ==========================================================================

Each names the key of what it was made from, so that another version of the data set is never mixed in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import files
from nslib.corpora import table
from nslib.corpora.noss import room
from nslib.corpora.noss.origin import Origin
from nslib.corpora.noss.sources import Source
from nslib.corpora.noss.state import finished, shelf_name
from nslib.corpora.shelf import LIMITED, Entry, Shelf
from nslib.errors import BadAudio, Unavailable
from nslib.params import Params

if TYPE_CHECKING:
    import pandas as pd

_UNUSABLE = "unusable"
_REMEDY = "Compare it with the original recording; without it the numbers are of fewer clips than others have."
_MADE = ("sha256", "seconds", "note")


def load(source: Source, origin: Origin, params: Params, *, progress: bool = True) -> table.Corpus:
    """Have the clips of a data set, making those that are not there.

    Parameters
    ----------
    source : Source
    origin : Origin
    params : Params
        `Params.clips_per_class` limits what is made and returned.
    progress : bool

    Returns
    -------
    Corpus

    Raises
    ------
    Unavailable
        If there is no room, or the data set cannot be read.
    """
    shelf = Shelf(shelf_name(source.name))
    index = _index(shelf, origin)
    wanted = table.limit(index, params.clips_per_class, params.seed)
    missing = [name for name in wanted["clip_id"] if shelf.get(name, origin.key) is None]
    if missing:
        room.check_clips(source, origin.part * len(missing) / len(index))
        _make(shelf, origin, missing, source.name, progress)
    rows = _with_entries(shelf, origin.key, wanted)
    if params.clips_per_class is None:
        _write(finished(source.name), rows, origin.key, origin.notes)
    return _corpus(shelf, rows, origin.notes)


def load_finished(source: Source, params: Params, key: str = "") -> table.Corpus | None:
    """Read a finished clip table, which needs nothing but itself and the clips.

    Parameters
    ----------
    source : Source
    params : Params
    key : str
        Of the data set as it lies there now; empty if it is not there any more.

    Returns
    -------
    Corpus or None
        None if there is no such table, it is of another key, or clips are missing or cut short.
    """
    path = finished(source.name)
    if not path.is_file():
        return None
    rows, known, notes = _read(path)
    if key not in ("", known):
        return None
    rows, shelf = table.limit(rows, params.clips_per_class, params.seed), Shelf(shelf_name(source.name))
    if any(shelf.get(name, known) is None for name in rows["clip_id"]):
        return None
    return _corpus(shelf, rows, notes)


def _index(shelf: Shelf, origin: Origin) -> pd.DataFrame:
    path = shelf.folder / "index.parquet"
    if path.is_file():
        rows, key, _ = _read(path)
        if key == origin.key:
            return rows
    rows = origin.index()
    _write(path, rows, origin.key, ())
    return rows


def _make(shelf: Shelf, origin: Origin, missing: list[str], name: str, progress: bool) -> None:
    from tqdm.std import tqdm

    with tqdm(total=len(missing), desc=f"clips of {name}", unit="clip", disable=not progress) as bar:
        for clip_id, decode in origin.read(set(missing)):
            try:
                shelf.add(clip_id, origin.key, decode().wave)
            except BadAudio as error:
                shelf.record(Entry(clip_id, origin.key, _UNUSABLE, note=error.reason))
            bar.update()


def _with_entries(shelf: Shelf, key: str, wanted: pd.DataFrame) -> pd.DataFrame:
    entries = [shelf.get(name, key) for name in wanted["clip_id"]]
    gone = [name for name, entry in zip(wanted["clip_id"], entries, strict=True) if entry is None]
    if gone:
        raise Unavailable(f"clip {gone[0]}", f"it and {len(gone) - 1} more were listed but could not be read again, "
                          "or their files vanished during the run", "Run again.")
    made = {field: [getattr(entry, field) for entry in entries] for field in _MADE}
    return wanted.assign(**made)


def _corpus(shelf: Shelf, rows: pd.DataFrame, notes: tuple[str, ...]) -> table.Corpus:
    usable = rows["sha256"] != ""
    clips = rows[usable].assign(audio=[str(shelf.path(name)) for name in rows.loc[usable, "clip_id"]])
    problems = [{"clip_id": row.clip_id, "audio": row.source, "reason": row.note, "remedy": _REMEDY}
                for row in rows[~usable].itertuples()]
    return table.make(clips.to_dict("records"), problems, [*notes, *_counts(rows)])


def _counts(rows: pd.DataFrame) -> list[str]:
    notes = []
    rates = sorted({int(rate) for rate in rows["sample_rate"]} - {0, 16_000})
    if rates:
        notes.append(f"resampled from {' and '.join(map(str, rates))} to 16000 Hz by soxr HQ; the authors used "
                     "resampy's kaiser_best, so vectors agree closely but not to the last bit.")
    limited, unusable = int((rows["note"] == LIMITED).sum()), int((rows["sha256"] == "").sum())
    if limited:
        notes.append(f"{limited} clips reach beyond full scale and were cut off there.")
    if unusable:
        notes.append(f"{unusable} of {len(rows)} clips cannot be used; the report names them.")
    return notes


def _write(path: Path, rows: pd.DataFrame, key: str, notes: tuple[str, ...]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    made_of = {"key": key, "notes": json.dumps(notes)}
    arrow = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(made_of)
    buffer = pa.BufferOutputStream()
    pq.write_table(arrow, buffer)
    files.write(path, buffer.getvalue().to_pybytes())


def _read(path: Path) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        arrow = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise Unavailable(str(path), f"it is damaged ({error})", "Remove it and run again; the clips stay.") from error
    metadata: dict[bytes, Any] = arrow.schema.metadata or {}
    return arrow.to_pandas(), metadata.get(b"key", b"").decode(), tuple(json.loads(metadata.get(b"notes", b"[]")))
