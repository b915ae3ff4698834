"""A Kaldi-style data directory as a list of clips.

Reference: the data preparation page of Kaldi's documentation (``wav.scp``, ``segments``, ``utt2spk``). Kaldi has no
file for classes: read is the first there is of `LABELS`, two of which are in common use.

Conventions
-----------
=============  ============================================================================
``wav.scp``    ``RECORDING PATH``; commands (``... |``) and archives (``x.ark:17``) are refused
``segments``   ``UTTERANCE RECORDING START END``, seconds, END -1 for the end; may be missing
``utt2spk``    ``UTTERANCE SPEAKER``; may be missing
=============  ============================================================================

A folder whose subfolders ``train``, ``dev`` (or ``validation``) and ``test`` are such directories has splits. Paths
start at the directory, at the two folders above it, or where the program was started: Kaldi's start where its recipe
runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from nslib.corpora.listing import SPLIT_NAMES, Listed
from nslib.errors import BadParameter, UnknownName

INDEX = "wav.scp"
LABELS = ("utt2label", "utt2lang", "utt2emo", "spk2gender")
"""Files of classes, the first of which that is there is read; the last is a speaker's."""

_ARCHIVE = re.compile(r"\.ark:\d+$")


def directories(root: Path) -> list[Path]:
    """Find the data directories of a folder.

    Parameters
    ----------
    root : Path

    Returns
    -------
    list of Path
        The folder itself, or those right below it; empty if it has none.
    """
    if (root / INDEX).is_file():
        return [root]
    return sorted(path.parent for path in root.glob(f"*/{INDEX}"))


def scan(root: Path) -> tuple[list[Listed], list[str]]:
    """List the utterances of a data directory, or of one a split.

    Parameters
    ----------
    root : Path

    Returns
    -------
    clips : list of Listed
        ``fault`` says why one cannot be used, as far as the files tell.
    notes : list of str

    Raises
    ------
    BadParameter
        For a line that cannot be read, with its number, and for commands in place of paths.
    UnknownName
        For a directory beside others whose name is no split.
    """
    found, notes = [], []
    for folder in directories(root):
        clips, said = _directory(folder)
        if folder != root:
            if folder.name.lower() not in SPLIT_NAMES:
                raise UnknownName(f"split (the name of a data directory in {root})", folder.name, SPLIT_NAMES)
            clips = [replace(clip, split=SPLIT_NAMES[folder.name.lower()]) for clip in clips]
            said = [f"{folder.name}: {note}" for note in said]
        found += clips
        notes += said
    _refuse_doubles(found, root)
    return found, notes


def _directory(folder: Path) -> tuple[list[Listed], list[str]]:
    paths = {name: _path(folder, number, value) for number, name, value in _lines(folder / INDEX)}
    speaker = _table(folder / "utt2spk")
    label, notes = _labels(folder, speaker)
    clips = []
    for name, recording, start, end in _utterances(folder, paths):
        audio = paths.get(recording)
        fault = "" if audio else f"row of {name} in segments: there is no {recording} in {INDEX}"
        clips.append(Listed(audio or folder / recording, name, label.get(name, ""), speaker.get(name, ""), "",
                            fault, start, end))
    known = {clip.clip_id for clip in clips}
    for file, names in (("utt2spk", speaker.keys()), ("the labels", label.keys())):
        if other := len(set(names) - known):
            notes.append(f"{other} utterances of {file} have no audio and were not read.")
    return clips, notes


def _utterances(folder: Path, paths: Iterable[str]) -> Iterator[tuple[str, str, float, float | None]]:
    if not (folder / "segments").is_file():
        yield from ((name, name, 0.0, None) for name in paths)
        return
    for number, name, value in _lines(folder / "segments"):
        try:
            recording, start, end = value.split()
            first, last = float(start), float(end)
        except ValueError:
            raise _bad(folder / "segments", number, value, "RECORDING START END, times in seconds") from None
        if not (math.isfinite(first) and math.isfinite(last)) or first < 0 or (last <= first and last != -1):
            raise _bad(folder / "segments", number, value, "a start from 0 on, and a later end (-1: that of the file)")
        yield name, recording, first, None if last == -1 else last


def _labels(folder: Path, speaker: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    there = [name for name in LABELS if (folder / name).is_file()]
    if not there:
        return {}, [f"No labels: none of {', '.join(LABELS)} is there."]
    label = _table(folder / there[0])
    if there[0].startswith("spk"):
        label = {name: label[who] for name, who in speaker.items() if who in label}
    rest = f"; {' and '.join(there[1:])} was not read" if there[1:] else ""
    return label, [f"Labels are those of {there[0]}{rest}."]


def _table(path: Path) -> dict[str, str]:
    return {name: value for _, name, value in _lines(path)} if path.is_file() else {}


def _lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Number, first word and rest of each line that is not empty."""
    seen: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), 1):
        if not line.strip():
            continue
        name, _, value = line.strip().replace("\t", " ").partition(" ")
        if not value.strip():
            raise _bad(path, number, line, "a name and, after a space, what belongs to it")
        if first := seen.get(name):
            raise BadParameter(f"lines {first} and {number} of {path} are both of {name!r}; remove one.")
        seen[name] = number
        yield number, name, value.strip()


def _path(folder: Path, number: int, value: str) -> Path:
    if value.endswith("|"):
        raise BadParameter(f"line {number} of {folder / INDEX} is a command ({value}), which is not run here. Run it, "
                           f"write the sound to a file, and put the file's path in its place.")
    if _ARCHIVE.search(value):
        raise BadParameter(f"line {number} of {folder / INDEX} points into an archive ({value}), which is not read "
                           "here. Write its clips to files, for example with Kaldi's wav-copy.")
    given = Path(value).expanduser()
    starts = (folder, folder.parent, folder.parent.parent, Path.cwd())
    return next((path for start in starts if (path := start / given).exists()), folder / given)


def _bad(path: Path, number: int, line: str, wanted: str) -> BadParameter:
    return BadParameter(f"line {number} of {path} is {line.strip()!r}; wanted is {wanted}.")


def _refuse_doubles(clips: list[Listed], root: Path) -> None:
    split_of: dict[str, str] = {}
    for clip in clips:
        first = split_of.setdefault(clip.clip_id, clip.split)
        if first != clip.split:
            raise BadParameter(f"utterance {clip.clip_id!r} is in {first} and in {clip.split} of {root}; an utterance "
                               "can be in one split only.")
