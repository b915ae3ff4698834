"""A split as a file: written once, given again, shared with others.

A CSV with the columns ``clip_id`` and ``split`` (train, validation or test; empty: not used), and, to be read by
people, ``label`` and ``speaker``, which are compared with the recordings when it is given again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nslib import files
from nslib.corpora.listing import SPLIT_NAMES, Listed, read_table
from nslib.errors import BadParameter, UnknownName

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("clip_id", "split", "label", "speaker")


def write(clips: pd.DataFrame, path: Path) -> Path:
    """Write the split of clips.

    Parameters
    ----------
    clips : DataFrame
        A clip table (`nslib.corpora.table`).
    path : Path
        Ending in ``.csv``.

    Returns
    -------
    Path

    Raises
    ------
    BadParameter
        For another ending.
    """
    if path.suffix.lower() != ".csv":
        raise BadParameter(f"a split is written as .csv; got {path.name}.")
    files.write(path, clips[list(COLUMNS)].sort_values("clip_id").to_csv(index=False))
    return path


def apply(clips: list[Listed], path: Path) -> tuple[list[Listed], list[str]]:
    """Give clips the splits of a file.

    Parameters
    ----------
    clips : list of Listed
    path : Path

    Returns
    -------
    clips : list of Listed
        All of them; those that the file has not are in no split.
    notes : list of str

    Raises
    ------
    BadParameter
        If the file cannot be read, has a clip twice, none of the clips, or another label or speaker of a clip.
    UnknownName
        For a column, a split or a clip that does not exist, with the nearest.
    """
    if not path.is_file():
        raise BadParameter(f"there is no file of splits {path}; one is written by: python -m nslib data card FOLDER "
                           "--save-splits FILE.csv")
    rows = _rows(path)
    known = {clip.clip_id: clip for clip in clips}
    if not set(rows) & set(known):
        raise BadParameter(f"{path} is of other recordings: it has none of these {len(known)} clips, its first is "
                           f"{next(iter(rows), 'missing')!r}, theirs {next(iter(known), 'missing')!r}.")
    for name, (number, row) in rows.items():
        if name in known:
            _compare(known[name], row, f"row {number} of {path.name}")
    placed = [replace(clip, split=rows[clip.clip_id][1]["split"] if clip.clip_id in rows else "") for clip in clips]
    gone, new = len(set(rows) - set(known)), len(set(known) - set(rows))
    notes = [f"Splits are those of {path.name}."]
    notes += [f"{gone} clips of {path.name} are not among the recordings that can be read."] if gone else []
    notes += [f"{new} clips are not in {path.name}, and so in no split."] if new else []
    return placed, notes


def _rows(path: Path) -> dict[str, tuple[int, dict[str, str]]]:
    table = read_table(path)
    for column in COLUMNS[:2]:
        if column not in table:
            raise UnknownName(f"column in {path.name}: it needs", column, map(str, table.columns))
    found: dict[str, tuple[int, dict[str, str]]] = {}
    for number, row in enumerate(table.astype(str).to_dict("records"), start=2):
        name, split = row["clip_id"], row["split"].strip().lower()
        if split and split not in SPLIT_NAMES:
            raise UnknownName(f"split in row {number} of {path.name}", row["split"], SPLIT_NAMES)
        if name in found:
            raise BadParameter(f"rows {found[name][0]} and {number} of {path.name} are both of {name!r}; remove one.")
        found[name] = number, {**row, "split": SPLIT_NAMES.get(split, "")}
    return found


def _compare(clip: Listed, row: dict[str, str], where: str) -> None:
    for column, own in (("label", clip.label), ("speaker", clip.speaker)):
        if column in row and row[column] != own:
            raise BadParameter(f"{where} says that the {column} of {clip.clip_id!r} is {row[column]!r}; the recordings "
                               f"say {own!r}. Correct one of them, or remove the column from the file.")
