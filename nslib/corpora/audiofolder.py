"""A folder with ``metadata.csv``, as Hugging Face's ``audiofolder`` has it, as a list of clips.

Reference: the documentation of the package datasets, "Create an audio dataset", AudioFolder.

Conventions
-----------
``metadata.csv`` (or ``.tsv``, ``.jsonl``, ``.parquet``) lies in the folder or in each of its subfolders of a split; its
column ``file_name`` is a path from there. ``label`` and ``speaker`` are read, and ``speaker_id`` or ``client_id`` where
there is no ``speaker``; the other columns are named and left alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nslib.corpora.listing import ENDINGS, SPLIT_NAMES, Listed, read_table, rows
from nslib.errors import BadParameter, UnknownName

NAMES = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
_SPEAKERS = ("speaker", "speaker_id", "client_id")


def tables(root: Path) -> list[Path]:
    """Find the metadata of a folder.

    Parameters
    ----------
    root : Path

    Returns
    -------
    list of Path
        That of the folder, or those right below it, with the column ``file_name``; empty if it has none.
    """
    own = [root / name for name in NAMES if _names_files(root / name)]
    return own[:1] or sorted(path for name in NAMES for path in root.glob(f"*/{name}") if _names_files(path))


def _names_files(path: Path) -> bool:
    """Whether it is metadata of this kind: other data sets have a metadata.csv too."""
    if not path.is_file():
        return False
    if path.suffix == ".parquet":
        return "file_name" in read_table(path)
    with path.open("rb") as file:
        return b"file_name" in file.readline(1 << 16)


def scan(root: Path) -> tuple[list[Listed], list[str]]:
    """List the clips of a folder with metadata.

    Parameters
    ----------
    root : Path

    Returns
    -------
    clips : list of Listed
    notes : list of str

    Raises
    ------
    BadParameter
        If metadata cannot be read, or a clip has two rows.
    UnknownName
        If the column ``file_name`` is missing, or a folder's name is no split.
    """
    found, notes = [], []
    for path in tables(root):
        clips, said = _clips(path)
        if path.parent != root:
            split = SPLIT_NAMES.get(path.parent.name.lower())
            if split is None:
                raise UnknownName(f"split (the name of a folder with {path.name})", path.parent.name, SPLIT_NAMES)
            clips = [replace(clip, split=split, clip_id=f"{path.parent.name}/{clip.clip_id}") for clip in clips]
        else:
            clips = _by_first_folder(clips)
        found += clips
        notes += said
    return found, [*notes, *_without_row(root, found)]


def _clips(path: Path) -> tuple[list[Listed], list[str]]:
    table = read_table(path)
    if "file_name" not in table:  # in the first line, but as something else
        raise UnknownName(f"column in {path}: it needs", "file_name", map(str, table.columns))
    if "audio" in table:
        raise BadParameter(f"{path} has the columns file_name and audio; keep the one that holds the paths.")
    speaker = next((name for name in _SPEAKERS if name in table), "speaker")
    return rows(path, table.rename(columns={"file_name": "audio", speaker: "speaker"}))


def _by_first_folder(clips: list[Listed]) -> list[Listed]:
    """Splits from the first folder of each path, if no clip has one by its column and every folder is a split."""
    first = [Path(clip.clip_id).parts[0].lower() if len(Path(clip.clip_id).parts) > 1 else "" for clip in clips]
    if any(clip.split for clip in clips) or not {"train", "test"} <= set(first) or not set(first) <= set(SPLIT_NAMES):
        return clips
    return [replace(clip, split=SPLIT_NAMES[name]) for clip, name in zip(clips, first, strict=True)]


def _without_row(root: Path, clips: list[Listed]) -> list[str]:
    named = {clip.audio for clip in clips}
    files = [path for path in root.rglob("*") if path.suffix.lower() in ENDINGS and path.resolve() not in named]
    return [f"{len(files)} audio files have no row in the metadata and were not read."] if files else []
