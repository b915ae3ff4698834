"""Which clips you have: from the layout of a folder, or from a list (CSV, TSV, Parquet).

Folder
------
=================================  ========================================================
``clip.wav``                       no label (enough to embed)
``label/clip.wav``                 label
``label/speaker/clip.wav``         label and speaker; deeper folders are part of the name
``train/label/[speaker/]clip.wav`` the same below ``train``, ``validation`` and ``test``, if the
                                   folder has nothing else at its top
=================================  ========================================================

List
----
Columns ``audio`` (path, relative to the list) and, if there are, ``label, speaker, split, clip_id``.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nslib.errors import BadParameter, UnknownName
from nslib.splits import SPLITS

if TYPE_CHECKING:
    import pandas as pd

OUTSIDE = "it lies outside the label folders"
"""The fault of a file beside label folders."""

LISTS = (".csv", ".tsv", ".parquet")
COLUMNS = ("audio", "label", "speaker", "split", "clip_id")
SPLIT_NAMES = {name: name for name in SPLITS} | dict.fromkeys(("val", "valid", "dev"), "validation")
ENDINGS = frozenset((
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd",
    ".caf", ".w64", ".rf64", ".sph", ".nist", ".m4a", ".aac", ".wma", ".mp4", ".mka", ".mkv", ".mov", ".webm",
    ".amr", ".3gp", ".ac3", ".g722", ".gsm",
))
"""File endings that are taken for audio in a folder; a list may name any file."""


@dataclass(frozen=True)
class Listed:
    """One clip, before it is read: a file, or the part of it from `start` to `end` (seconds; None: its end).

    `sample_rate` is that of the recording, Hz, where `audio` is a file that the kit made of it; else 0.
    """

    audio: Path
    clip_id: str
    label: str = ""
    speaker: str = ""
    split: str = ""
    fault: str = ""
    start: float = 0.0
    end: float | None = None
    sample_rate: int = 0


def scan(path: Path) -> tuple[list[Listed], list[str]]:
    """List the clips of a folder or of a list.

    Parameters
    ----------
    path : Path

    Returns
    -------
    clips : list of Listed
        ``fault`` says why one cannot be used, as far as its name and row tell.
    notes : list of str

    Raises
    ------
    BadParameter
        If there is nothing to read, or the list cannot be read.
    UnknownName
        For a column or split that does not exist, with the nearest name.
    """
    if path.is_dir():
        clips, notes = _folder(path)
    elif path.suffix.lower() in LISTS and path.exists():
        clips, notes = _list(path)
    elif path.exists():
        raise BadParameter(f"{path} is neither a folder nor a list ({', '.join(LISTS)}); for one audio file, "
                           "give the folder that it is in.")
    else:
        raise BadParameter(f"there is no {path}{_near(path)}; a relative path starts at {Path.cwd()}.")
    if not clips:
        raise BadParameter(f"{path} holds no audio; endings that are read: {' '.join(sorted(ENDINGS))}.")
    return clips, notes


def _near(path: Path) -> str:
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, siblings, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _folder(root: Path) -> tuple[list[Listed], list[str]]:
    files = sorted(p for p in root.rglob("*") if p.is_file() and not _hidden(p.relative_to(root)))
    sound = [p for p in files if p.suffix.lower() in ENDINGS]
    parts = [p.relative_to(root).parts for p in sound]
    has_splits = _are_splits({names[0] for names in parts if len(names) > 1}, parts)
    clips = [_placed(p, names, has_splits) for p, names in zip(sound, parts, strict=True)]
    if any(clip.label for clip in clips):
        clips = [clip if clip.label else replace(clip, fault=OUTSIDE) for clip in clips]
    other = Counter(p.suffix.lower() or "(none)" for p in files if p.suffix.lower() not in ENDINGS)
    left_out = [f"{other.total()} files were not read, because of their endings: {' '.join(sorted(other))}."]
    return _unique(clips), left_out if other else []


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _are_splits(top: set[str], parts: Iterable[tuple[str, ...]]) -> bool:
    names = [SPLIT_NAMES.get(name.lower(), "") for name in top]
    return "train" in names and "test" in names and all(names) and all(len(p) > 2 for p in parts)


def _placed(path: Path, parts: tuple[str, ...], has_splits: bool) -> Listed:
    split = SPLIT_NAMES[parts[0].lower()] if has_splits else ""
    folders = parts[1 if has_splits else 0:-1]
    label = folders[0] if folders else ""
    speaker = folders[1] if len(folders) > 1 else ""
    return Listed(path, "/".join((*parts[:-1], path.stem)), label, speaker, split)


def _unique(clips: list[Listed]) -> list[Listed]:
    """Give clips that differ in their ending only (a.wav, a.mp3) their ending back."""
    count = Counter(clip.clip_id for clip in clips)
    return [clip if count[clip.clip_id] == 1 else replace(clip, clip_id=clip.clip_id + clip.audio.suffix)
            for clip in clips]


def _list(path: Path) -> tuple[list[Listed], list[str]]:
    return rows(path, read_table(path))


def rows(path: Path, table: pd.DataFrame) -> tuple[list[Listed], list[str]]:
    """Clips of a list that has been read.

    Parameters
    ----------
    path : Path
        Of the list: paths in it start at its folder.
    table : DataFrame
        One row a clip, columns as the module describes.

    Returns
    -------
    clips : list of Listed
    notes : list of str

    Raises
    ------
    BadParameter, UnknownName
        As `scan`.
    """
    _check_columns(path, list(table.columns))
    text = table.reindex(columns=list(COLUMNS), fill_value="").fillna("").astype(str)
    text = text.apply(lambda column: column.str.strip())
    first = 2 if path.suffix.lower() in (".csv", ".tsv") else 1  # row 1 of these is their header
    clips = [_row(path, number, row) for number, row in enumerate(text.itertuples(index=False), start=first)]
    _check_ids(path, clips, first)
    unused = [str(name) for name in table.columns if name not in COLUMNS]
    return clips, [f"Columns that were not read: {', '.join(unused)}."] if unused else []


def read_table(path: Path) -> pd.DataFrame:
    """Read a list, whatever its columns.

    Parameters
    ----------
    path : Path
        With an ending of `LISTS`, or ``.jsonl``.

    Returns
    -------
    DataFrame
        Text, but of Parquet.

    Raises
    ------
    BadParameter
        If it cannot be read.
    """
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


def _check_columns(path: Path, columns: list[str]) -> None:
    if "audio" not in columns:
        raise UnknownName(f"column in {path.name}: it needs", "audio", columns)
    for name in map(str, columns):
        near = difflib.get_close_matches(name.lower(), COLUMNS, n=1, cutoff=0.8)
        if name not in COLUMNS and near and near[0] not in columns:
            raise UnknownName(f"column in {path.name}", name, COLUMNS)


def _row(path: Path, number: int, values: tuple[str, ...]) -> Listed:
    name, label, speaker, split, clip_id = values
    if split and split.lower() not in SPLIT_NAMES:
        raise UnknownName(f"split in row {number} of {path.name}", split, SPLITS)
    fault = "" if name else f"row {number} of {path.name} has nothing in the column audio"
    audio = (path.parent / Path(name).expanduser()).resolve() if name else path
    identity = clip_id or name or f"row-{number}"
    return Listed(audio, identity, label, speaker, SPLIT_NAMES.get(split.lower(), ""), fault)


def _check_ids(path: Path, clips: list[Listed], start: int) -> None:
    row_of: dict[str, int] = {}
    for number, clip in enumerate(clips, start=start):
        first = row_of.setdefault(clip.clip_id, number)
        if first != number:
            raise BadParameter(f"rows {first} and {number} of {path.name} are both {clip.clip_id!r}; give "
                               "each clip one row, or different names in a column clip_id.")
