"""Manifests: the committed lists of clips that a task of recorded speech consists of.

``data/README.md`` explains the columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nslib import params

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = ("clip_id", "member", "sha256", "file_sha256", "seconds", "sample_rate", "label", "speaker",
            "split", "package", "licence")


class Row(NamedTuple):
    """One line of a manifest; see ``data/README.md``."""

    clip_id: str
    member: str
    sha256: str
    file_sha256: str
    seconds: float
    sample_rate: int
    label: str
    speaker: str
    split: str
    package: str
    licence: str

    @property
    def key(self) -> str:
        """str: names everything that the prepared clip depends on."""
        return f"{self.file_sha256}:{self.sha256}"


def manifest_path(name: str) -> Path:
    """Say where the manifest of a task lies.

    Parameters
    ----------
    name : str
        Of the task.

    Returns
    -------
    Path
    """
    return params.data_dir() / "manifests" / f"{name}.csv"


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest.

    Parameters
    ----------
    path : Path

    Returns
    -------
    DataFrame
        With the columns `MANIFEST`.
    """
    import pandas as pd

    types = {name: {"seconds": float, "sample_rate": int}.get(name, str) for name in MANIFEST}
    return pd.read_csv(path, dtype=types, keep_default_na=False, usecols=list(MANIFEST))[list(MANIFEST)]


def rows(manifest: pd.DataFrame) -> list[Row]:
    """Turn a manifest into records.

    Parameters
    ----------
    manifest : DataFrame
        With the columns `MANIFEST`.

    Returns
    -------
    list of Row
    """
    return [Row(*values) for values in manifest[list(MANIFEST)].itertuples(index=False, name=None)]
