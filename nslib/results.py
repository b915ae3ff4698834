"""Results: one row a score, kept in files that are never changed, each with its origin.

Conventions
-----------
The columns of both tables, `ROWS` and `PREDICTIONS`, are explained in `nslib.schema`. A result
(all rows of one embedding on one task) has a `key` made of everything that decides it. It is kept as
``<key>.predictions.parquet`` and ``<key>.rows.parquet``, each written whole or not at all, the second
last: a result without rows does not exist.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nslib import files, kept, provenance
from nslib.errors import BadParameter, NslibError
from nslib.schema import PREDICTIONS, ROWS, Column, conforming, empty, schema
from nslib.tables import selected, table

if TYPE_CHECKING:
    import pandas as pd

    from nslib.probe import Grid

__all__ = ["PREDICTIONS", "ROWS", "complete", "export", "find", "join", "key", "load", "save", "schema",
           "selected", "table"]


def key(
    *,
    task: str,
    embedding: str,
    data_hash: str,
    split_hash: str,
    weights_hash: str,
    settings: Mapping[str, object],
) -> str:
    """Key of a result: equal keys mean that the same thing would be computed again.

    Parameters
    ----------
    task, embedding : str
        Names, as shown in tables.
    data_hash, split_hash, weights_hash : str
        As in the schema.
    settings : mapping
        Keyword arguments of `nslib.probe.grid` that can change a score (not ``jobs``).

    Returns
    -------
    str
        32 hex digits. The code of the probe and the packages it uses are part of the key.
    """
    made_of = [task, embedding, data_hash, split_hash, weights_hash, dict(settings), provenance.probe_hash()]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True, default=list).encode()).hexdigest()[:32]


def complete(
    found: Grid,
    *,
    key: str,
    task: str,
    corpus_kind: str,
    embedding: str,
    data_hash: str,
    split_hash: str,
    weights_hash: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Say of what and from where a grid's scores are.

    Parameters
    ----------
    found : Grid
        From `nslib.probe.grid`.
    key, task, corpus_kind, embedding, data_hash, split_hash, weights_hash : str
        As in the schema; the rest of the origin is found out here.

    Returns
    -------
    rows, predictions : DataFrame
        As in `ROWS` and `PREDICTIONS`, ready to `save`.
    """
    names = {"key": key, "task": task, "embedding": embedding}
    origin = {"corpus_kind": corpus_kind, "data_hash": data_hash, "split_hash": split_hash,
              "weights_hash": weights_hash, "notes": "\n".join(found.notes), **provenance.provenance()}
    return (conforming(found.rows.assign(**names, **origin), ROWS),
            conforming(found.predictions.assign(**names), PREDICTIONS))


def save(rows: pd.DataFrame, predictions: pd.DataFrame, folder: Path | None = None) -> list[Path]:
    """Keep results.

    Parameters
    ----------
    rows, predictions : DataFrame
        As in `ROWS` and `PREDICTIONS`, of one or more keys.
    folder : Path, optional
        Default: ``results`` below the reports.

    Returns
    -------
    list of Path
        The files of rows, one a key. A key that was kept before is written anew.

    Raises
    ------
    UnknownName
        For a column that is not in the schema.
    BadParameter
        For a missing column, a value of the wrong type, or predictions without rows.
    NslibError
        If the disk is full; what was kept before stays.
    """
    rows, predictions = conforming(rows, ROWS), conforming(predictions, PREDICTIONS)
    orphans = set(predictions["key"]) - set(rows["key"])
    if orphans:
        raise BadParameter(f"predictions without rows for the keys {', '.join(sorted(orphans))}.")
    written = []
    for name, part in rows.groupby("key", sort=False):
        answers, scores = _paths(str(name), folder)
        kept.write(answers, predictions[predictions["key"] == name])
        kept.write(scores, part)
        written.append(scores)
    return written


def load(folder: Path | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All results that were kept.

    Parameters
    ----------
    folder : Path, optional
        Default: ``results`` below the reports.

    Returns
    -------
    rows, predictions : DataFrame
        Oldest first; empty tables with the right columns if there are none.

    Warns
    -----
    UserWarning
        Once, naming every file that cannot be read and was left out.
    """
    readable, unreadable = [], []
    for path in sorted(kept.place("0", "rows", folder).parent.glob("*.rows.parquet")):
        try:
            readable.append(_read(path.name.removesuffix(".rows.parquet"), folder))
        except NslibError as error:
            unreadable.append(str(error))
    if unreadable:
        warnings.warn(f"{len(unreadable)} results were left out: {' '.join(unreadable)}", stacklevel=2)
    readable.sort(key=lambda pair: (str(pair[0]["when"].max()), str(pair[0]["key"].iloc[0])))
    return join([rows for rows, _ in readable], ROWS), join([found for _, found in readable], PREDICTIONS)


def find(key: str, folder: Path | None = None) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """The result with this key, or None; one that cannot be read counts as none, with a warning.

    Parameters
    ----------
    key : str
        From `key`.
    folder : Path, optional
        Default: ``results`` below the reports.

    Returns
    -------
    (rows, predictions) or None
    """
    if not _paths(key, folder)[1].exists():
        return None
    try:
        return _read(key, folder)
    except NslibError as error:
        warnings.warn(f"{error} It is computed again.", stacklevel=2)
        return None


def join(parts: Sequence[pd.DataFrame], columns: Sequence[Column]) -> pd.DataFrame:
    """Put tables of one schema below each other.

    Parameters
    ----------
    parts : sequence of DataFrame
        Maybe none.
    columns : sequence of Column
        `ROWS` or `PREDICTIONS`.

    Returns
    -------
    DataFrame
        With the right columns and types, also if `parts` is empty.
    """
    import pandas as pd

    return pd.concat([empty(columns), *parts], ignore_index=True)


def export(rows: pd.DataFrame, path: Path) -> None:
    """Write rows for other programs, in full precision.

    Parameters
    ----------
    rows : DataFrame
        As in `ROWS`.
    path : Path
        A ``.csv`` or ``.parquet`` file; replaced in one step.

    Raises
    ------
    BadParameter
        For another ending.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise BadParameter(f"cannot write {str(path)!r}: give a file name that ends in .csv or .parquet.")
    table = conforming(rows, ROWS)
    if path.suffix == ".parquet":
        kept.write(path, table)
    else:
        files.write(path, table.to_csv(index=False, lineterminator="\n"))


def _paths(key: str, folder: Path | None) -> tuple[Path, Path]:
    return kept.place(key, "predictions", folder), kept.place(key, "rows", folder)


def _read(key: str, folder: Path | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    answers, scores = _paths(key, folder)
    return (kept.read(scores, key, ROWS, may_be_empty=False), kept.read(answers, key, PREDICTIONS, may_be_empty=True))
