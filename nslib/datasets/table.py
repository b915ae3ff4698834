"""The clip table: what every source of recordings returns.

One row a clip, columns `COLUMNS` and, of tasks with folds, `FOLD_COLUMNS`, sorted by ``clip_id``. Clips that cannot be
used are rows of a second table, with a reason and a remedy: nothing is left out silently.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nslib.errors import BadParameter, NslibError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "FOLD_COLUMNS", "PROBLEM_COLUMNS", "Dataset", "limit_clips", "make_dataset", "read_parquet"]

COLUMNS = ("clip_id", "audio", "sha256", "seconds", "sample_rate", "label", "speaker", "split", "source")
FOLD_COLUMNS = ("fold", "text")  # see `nslib.datasets.splits`; absent where they are empty in every row
PROBLEM_COLUMNS = ("clip_id", "audio", "reason", "remedy")
_TYPES = {"seconds": float, "sample_rate": int}


@dataclass(frozen=True)
class Dataset:
    """Clips that can be used (`COLUMNS`), and clips that cannot (`PROBLEM_COLUMNS`).

    Of a clip, ``audio`` is an absolute path, ``sha256`` is of the decoded 16 kHz waveform, and ``sample_rate`` is the
    original's. Empty text means unknown.
    """

    clips: pd.DataFrame
    problems: pd.DataFrame
    notes: tuple[str, ...] = ()  # sentences for the report


def make_dataset(clips: Iterable[Mapping[str, object]], problems: Iterable[Mapping[str, object]] = (),
                 notes: Iterable[str] = ()) -> Dataset:
    """Make a dataset of rows with the columns `COLUMNS` and `PROBLEM_COLUMNS`, sorted by clip_id."""
    import pandas as pd

    rows = list(clips)
    columns = [*COLUMNS, *(name for name in FOLD_COLUMNS if any(row.get(name) for row in rows))]
    table = pd.DataFrame(rows, columns=columns).astype({name: _TYPES.get(name, str) for name in columns})
    excluded = pd.DataFrame(list(problems), columns=list(PROBLEM_COLUMNS)).astype(str)
    by_id = {"by": "clip_id", "ignore_index": True}
    return Dataset(table.sort_values(**by_id), excluded.sort_values(**by_id), tuple(notes))


def limit_clips(clips: pd.DataFrame, per_class: int | None, seed: int = 0) -> pd.DataFrame:
    """Keep at most `per_class` clips of each label in each split, or fold if there are any, spread over its speakers.

    None keeps all; `seed` decides which are kept, whatever the order of the rows (columns ``clip_id, label, speaker,
    split``, perhaps ``fold``). The result is a subset of the rows, in their order.
    """
    if per_class is None:
        return clips
    draw = clips["clip_id"].map(lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())
    order = clips.assign(_draw=draw).sort_values("_draw")
    part = "fold" if "fold" in clips and clips["fold"].ne("").any() else "split"
    # first one clip of every speaker, then a second of every speaker, ...
    turn = order.groupby([part, "label", "speaker"]).cumcount()
    order = order.assign(_turn=turn).sort_values(["_turn", "_draw"])
    place = order.groupby([part, "label"]).cumcount()
    return clips[place.reindex(clips.index) < per_class]


def read_parquet(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table and hold it to its checksums; `NslibError`, with the path, whatever is wrong with the file."""
    import pandas as pd

    try:
        return pd.read_parquet(path, page_checksum_verification=True)
    except Exception as error:  # of a changed byte pandas and pyarrow may make anything, a KeyError or a MemoryError
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise NslibError(f"{path} cannot be read ({why}).") from error


def read_list(path: Path) -> pd.DataFrame:
    """Read a CSV, TSV, Parquet or JSON Lines list, whatever its columns; all text, but for Parquet."""
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        if path.suffix.lower() == ".jsonl":
            return pd.read_json(path, lines=True, dtype=False).fillna("").astype(str)
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        raise BadParameter(f"{path} cannot be read as a {path.suffix[1:].upper()} list: {error}") from error
