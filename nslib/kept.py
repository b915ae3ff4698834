"""Tables of results on disk: one Parquet file a key and kind, whole or not at all, checked when read."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nslib import files, params
from nslib.errors import BadParameter, NslibError
from nslib.schema import Column, conforming

if TYPE_CHECKING:
    import pandas as pd


def place(key: str, kind: str, folder: Path | None = None) -> Path:
    """Say where a table is or would be.

    Parameters
    ----------
    key : str
        Letters and digits.
    kind : str
        Second part of the file's name.
    folder : Path, optional
        Default: ``results`` below the reports.

    Returns
    -------
    Path

    Raises
    ------
    BadParameter
        For a key that could lead elsewhere.
    """
    if not key.isalnum():
        raise BadParameter(f"a key is letters and digits, as nslib makes it; got {key!r}.")
    return (Path(folder) if folder is not None else params.reports_dir() / "results") / f"{key}.{kind}.parquet"


def write(path: Path, frame: pd.DataFrame) -> None:
    """Write a table with checksums, in one step.

    Parameters
    ----------
    path : Path
    frame : DataFrame

    Raises
    ------
    NslibError
        If the disk is full; what was there before stays.
    """
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, write_page_checksum=True)
    files.write(path, buffer.getvalue())


def read(path: Path, key: str, columns: Sequence[Column], *, may_be_empty: bool) -> pd.DataFrame:
    """Read a table and hold it to its checksums, its schema and its name.

    Parameters
    ----------
    path : Path
    key : str
        That all of its rows must have.
    columns : sequence of Column
        Its schema.
    may_be_empty : bool

    Returns
    -------
    DataFrame

    Raises
    ------
    NslibError
        If it cannot be read or is another table.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        frame = conforming(pd.read_parquet(path, page_checksum_verification=True), columns)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise NslibError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error
    if set(frame["key"]) - {key} or (frame.empty and not may_be_empty):
        raise NslibError(f"{path} holds another result than its name says.")
    return frame


def find(key: str, kind: str, columns: Sequence[Column], folder: Path | None = None) -> pd.DataFrame | None:
    """Read a table if it is there and whole.

    Parameters
    ----------
    key, kind, folder
        As for `place`.
    columns : sequence of Column
        Its schema.

    Returns
    -------
    DataFrame or None
        None if it is not there, and, with a warning, if it cannot be read.
    """
    path = place(key, kind, folder)
    if not path.exists():
        return None
    try:
        return read(path, key, columns, may_be_empty=False)
    except NslibError as error:
        warnings.warn(f"{error} It is not used.", stacklevel=3)
        return None
