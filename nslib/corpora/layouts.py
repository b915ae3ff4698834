"""Somebody's own recordings: which layout they are in, and the clips that it lists.

====================  =====================================================================
``tfds:NAME``         a data set of TensorFlow Datasets (`nslib.corpora.own_tfds`)
list                  CSV, TSV or Parquet, a row a clip (`nslib.corpora.listing`)
Kaldi's               a folder with ``wav.scp``, or one a split (`nslib.corpora.kaldi`)
audiofolder           a folder with ``metadata.csv`` (`nslib.corpora.audiofolder`)
folder                a subfolder a label (`nslib.corpora.listing`)
====================  =====================================================================
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from nslib.corpora import audiofolder, kaldi, listing
from nslib.corpora.listing import Listed

TFDS = "tfds:"


def exists(source: str | os.PathLike[str]) -> bool:
    """Whether there are, or could be, recordings.

    Parameters
    ----------
    source : str or path-like

    Returns
    -------
    bool
        True for whatever begins with ``tfds:``: only TensorFlow Datasets knows its names.
    """
    return is_tfds(source) or Path(source).expanduser().exists()


def is_tfds(source: str | os.PathLike[str]) -> bool:
    """Whether a data set of TensorFlow Datasets is named.

    Parameters
    ----------
    source : str or path-like

    Returns
    -------
    bool
    """
    return os.fspath(source).startswith(TFDS)


def name(source: str | os.PathLike[str]) -> str:
    """How recordings are called in tables.

    Parameters
    ----------
    source : str or path-like

    Returns
    -------
    str
        Name of the folder, of the list without its ending, or of the data set.
    """
    if is_tfds(source):
        return re.split(r"[/:?]", os.fspath(source).removeprefix(TFDS))[0]
    return Path(source).expanduser().resolve().stem


def scan(path: Path) -> tuple[list[Listed], list[str]]:
    """List the clips of a folder or a list, in whatever layout.

    Parameters
    ----------
    path : Path

    Returns
    -------
    clips : list of Listed
    notes : list of str

    Raises
    ------
    BadParameter, UnknownName
        See the modules above.
    """
    if path.is_dir() and kaldi.directories(path):
        return kaldi.scan(path)
    if path.is_dir() and audiofolder.tables(path):
        return audiofolder.scan(path)
    return listing.scan(path)
