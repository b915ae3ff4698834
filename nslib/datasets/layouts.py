"""Which clips somebody's own recordings hold: one reader a layout, each giving the same records.

- ``tfds:NAME``: a data set of TensorFlow Datasets (`noss.list_tfds_clips`)
- list: CSV, TSV or Parquet with the column ``audio`` (from the list) and perhaps ``label, speaker, split, clip_id``
- Kaldi's: a folder with ``wav.scp`` (``RECORDING PATH``) and perhaps ``segments`` (``UTTERANCE RECORDING START END``,
  seconds, END -1 for the end), ``utt2spk`` and the first there is of `KALDI_LABELS`; or a folder with one a split
- audiofolder: ``metadata.csv`` (or ``.tsv``, ``.jsonl``, ``.parquet``), or one a split; ``file_name`` is a path from
  there, ``label`` and ``speaker`` (or ``speaker_id``, ``client_id``) are read
- folder: ``label/clip.wav`` or ``label/speaker/clip.wav``, deeper folders are part of the name; the same below
  ``train``, ``validation`` and ``test``, if nothing else is at the top; ``clip.wav`` alone can only be embedded

A reader lists, it decodes nothing. A clip that cannot be used, as far as names and rows tell, has a `ClipFile.fault`;
whatever else is not read is named in the notes. What contradicts itself is refused. References: Kaldi's "Data
preparation" (commands, ``... |``, and archives, ``x.ark:17``, are refused); Hugging Face datasets, AudioFolder.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nslib.datasets.noss import list_tfds_clips
from nslib.datasets.splits import SPLIT_NAMES, SPLITS
from nslib.datasets.table import read_list
from nslib.errors import BadParameter, UnknownName

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["recordings_exist"]

AUDIO_ENDINGS = frozenset((
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd",
    ".caf", ".w64", ".rf64", ".sph", ".nist", ".m4a", ".aac", ".wma", ".mp4", ".mka", ".mkv", ".mov", ".webm",
    ".amr", ".3gp", ".ac3", ".g722", ".gsm",
))  # taken for audio in a folder; a list may name any file
KALDI_LABELS = ("utt2label", "utt2lang", "utt2emo", "spk2gender")  # the first that is there; the last is a speaker's
_LISTS = (".csv", ".tsv", ".parquet")
_COLUMNS = ("audio", "label", "speaker", "split", "clip_id")
_METADATA = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
_TFDS = "tfds:"


@dataclass(frozen=True)
class ClipFile:
    """One clip before it is read: a file, or a part of it."""

    audio: Path
    clip_id: str
    label: str = ""
    speaker: str = ""
    split: str = ""
    start: float = 0.0  # seconds
    end: float | None = None  # None: that of the file
    fault: str = ""  # why it cannot be used
    remedy: str = "Mend the row, or remove it."  # of the fault


Listing = tuple[list[ClipFile], list[str]]  # clips, and notes on what was not read


def recordings_exist(source: str | os.PathLike[str]) -> bool:
    """Whether there are, or could be, recordings; only TensorFlow Datasets knows which ``tfds:`` names there are."""
    return os.fspath(source).startswith(_TFDS) or Path(source).expanduser().exists()


def name_recordings(source: str | os.PathLike[str]) -> str:
    """How recordings are called in tables: as the folder, the list without its ending, or the data set."""
    if os.fspath(source).startswith(_TFDS):
        return re.split("[/:?]", os.fspath(source).removeprefix(_TFDS))[0]
    return Path(source).expanduser().resolve().stem


def list_clips(source: str | os.PathLike[str], *, progress: bool = True) -> Listing:
    """List the clips of recordings in whatever layout; arguments and errors are those of `folder.read_recordings`."""
    if os.fspath(source).startswith(_TFDS):
        rows, notes = list_tfds_clips(os.fspath(source).removeprefix(_TFDS), progress=progress)
        return [ClipFile(**{**row, "audio": Path(row["audio"]), "split": SPLIT_NAMES.get(row["split"].lower(), "")})
                for row in rows], notes
    path = Path(source).expanduser()
    if not path.exists():
        siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        raise BadParameter(f"there is no {path}{f' (did you mean {near[0]}?)' if near else ''}; a relative path starts "
                           f"at {Path.cwd()}.")
    if path.is_dir():
        clips, notes = next(reader for holds, reader in _FOLDERS if holds(path))(path)
    elif path.suffix.lower() in _LISTS:
        clips, notes = _read_rows(path, read_list(path))
    else:
        raise BadParameter(f"{path} is neither a folder nor a list ({', '.join(_LISTS)}); for one audio file, "
                           "give the folder that it is in.")
    if not clips:
        raise BadParameter(f"{path} holds no audio; endings that are read: {' '.join(sorted(AUDIO_ENDINGS))}.")
    return clips, notes


def read_folder(root: Path) -> Listing:
    """Labels, speakers and splits from the names of folders."""
    files = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    files = [path for path in files if not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)]
    sound = [path for path in files if path.suffix.lower() in AUDIO_ENDINGS]
    top = {SPLIT_NAMES.get(path.parts[0].lower(), "") for path in sound}
    has_splits = {"train", "test"} <= top and all(top) and all(len(path.parts) > 2 for path in sound)
    count = Counter(path.with_suffix("") for path in sound)
    clips = []
    for path in sound:
        label, speaker = (*path.parts[1 if has_splits else 0:-1], "", "")[:2]
        split = SPLIT_NAMES[path.parts[0].lower()] if has_splits else ""
        # clips that differ in their ending only (a.wav, a.mp3) get it back
        name = path if count[path.with_suffix("")] > 1 else path.with_suffix("")
        clips.append(ClipFile(root / path, name.as_posix(), label, speaker, split))
    if any(clip.label for clip in clips):
        clips = [clip if clip.label else replace(clip, fault="it lies outside the label folders", remedy=(
            "Move it into the folder of its label.")) for clip in clips]
    other = Counter(path.suffix.lower() or "(none)" for path in files if path.suffix.lower() not in AUDIO_ENDINGS)
    return clips, [f"{other.total()} files were not read, because of their endings: {' '.join(sorted(other))}."
                   ] if other else []


def _read_rows(path: Path, table: pd.DataFrame) -> Listing:
    """Clips of a list; paths in it start at its folder."""
    if "audio" not in table:
        raise UnknownName(f"column in {path.name}: it needs", "audio", map(str, table.columns))
    unused = [str(name) for name in table.columns if name not in _COLUMNS]
    for name in unused:
        near = difflib.get_close_matches(name.lower(), _COLUMNS, n=1, cutoff=0.8)
        if near and near[0] not in table:
            raise UnknownName(f"column in {path.name}", name, _COLUMNS)
    text = table.reindex(columns=list(_COLUMNS), fill_value="").fillna("").astype(str).map(str.strip)
    clips: list[ClipFile] = []
    row_of: dict[str, int] = {}
    first = 2 if path.suffix.lower() in (".csv", ".tsv") else 1  # row 1 of these is their header
    for number, (name, label, speaker, split, clip_id) in enumerate(text.itertuples(index=False), start=first):
        if split and split.lower() not in SPLIT_NAMES:
            raise UnknownName(f"split in row {number} of {path.name}", split, SPLITS)
        clip_id = clip_id or name or f"row-{number}"
        if (other := row_of.setdefault(clip_id, number)) != number:
            raise BadParameter(f"rows {other} and {number} of {path.name} are both {clip_id!r}; give each clip one "
                               "row, or different names in a column clip_id.")
        fault = "" if name else f"row {number} of {path.name} has nothing in the column audio"
        audio = (path.parent / Path(name).expanduser()).resolve() if name else path
        clips.append(ClipFile(audio, clip_id, label, speaker, SPLIT_NAMES.get(split.lower(), ""), fault=fault))
    return clips, [f"Columns that were not read: {', '.join(unused)}."] if unused else []


def read_audiofolder(root: Path) -> Listing:
    """A folder with metadata, or with folders of a split each that have some."""
    clips: list[ClipFile] = []
    notes: list[str] = []
    for path in _find_metadata(root):
        table = read_list(path)
        if "file_name" not in table:  # in the first line, but as something else
            raise UnknownName(f"column in {path}: it needs", "file_name", map(str, table.columns))
        if "audio" in table:
            raise BadParameter(f"{path} has the columns file_name and audio; keep the one that holds the paths.")
        speaker = next((name for name in ("speaker", "speaker_id", "client_id") if name in table), "speaker")
        part, more = _read_rows(path, table.rename(columns={"file_name": "audio", speaker: "speaker"}))
        if path.parent == root:
            part = _split_by_first_folder(part)
        else:
            split = _name_split(path.parent, f"split (the name of a folder with {path.name})")
            part = [replace(clip, split=split, clip_id=f"{path.parent.name}/{clip.clip_id}") for clip in part]
        clips += part
        notes += more
    listed = {clip.audio for clip in clips}
    rest = sum(path.suffix.lower() in AUDIO_ENDINGS and path.resolve() not in listed for path in root.rglob("*"))
    return clips, [*notes, f"{rest} audio files have no row in the metadata and were not read."] if rest else notes


def _find_metadata(root: Path) -> list[Path]:
    """Metadata of a folder, or of those right below it; other data sets have a metadata.csv too."""
    def names_files(path: Path) -> bool:
        if path.suffix == ".parquet":
            return "file_name" in read_list(path)
        with path.open("rb") as file:
            return b"file_name" in file.readline(1 << 16)

    at_top, below = ([path for name in _METADATA for path in root.glob(f"{where}{name}")
                      if path.is_file() and names_files(path)] for where in ("", "*/"))
    return at_top[:1] or sorted(below)


def _split_by_first_folder(clips: list[ClipFile]) -> list[ClipFile]:
    """Splits from the first folder of each path, if no clip has one by its column and every folder is a split."""
    first = [Path(clip.clip_id).parts[0].lower() if len(Path(clip.clip_id).parts) > 1 else "" for clip in clips]
    if any(clip.split for clip in clips) or not {"train", "test"} <= set(first) <= set(SPLIT_NAMES):
        return clips
    return [replace(clip, split=SPLIT_NAMES[name]) for clip, name in zip(clips, first, strict=True)]


def _name_split(folder: Path, what: str) -> str:
    """The split that a folder is."""
    if folder.name.lower() not in SPLIT_NAMES:
        raise UnknownName(what, folder.name, SPLIT_NAMES)
    return SPLIT_NAMES[folder.name.lower()]


def read_kaldi(root: Path) -> Listing:
    """A data directory, or a folder with one a split."""
    clips: list[ClipFile] = []
    notes: list[str] = []
    split_of: dict[str, str] = {}
    for folder in _find_kaldi(root):
        part, more = _read_kaldi_directory(folder)
        if folder != root:
            split = _name_split(folder, f"split (the name of a data directory in {root})")
            part = [replace(clip, split=split) for clip in part]
            more = [f"{folder.name}: {note}" for note in more]
        for clip in part:
            if (other := split_of.setdefault(clip.clip_id, clip.split)) != clip.split:
                raise BadParameter(f"utterance {clip.clip_id!r} is in {other} and in {clip.split} of {root}; an "
                                   "utterance can be in one split only.")
        clips += part
        notes += more
    return clips, notes


def _find_kaldi(root: Path) -> list[Path]:
    """The folder itself if it is a data directory, or those right below it."""
    return [root] if (root / "wav.scp").is_file() else sorted(path.parent for path in root.glob("*/wav.scp"))


def _read_kaldi_directory(folder: Path) -> Listing:
    """One data directory."""
    paths = {name: _find_audio(folder, number, value) for number, name, value in _read_lines(folder / "wav.scp")}
    speaker = _read_map(folder / "utt2spk")
    there = [name for name in KALDI_LABELS if (folder / name).is_file()]
    label = _read_map(folder / there[0]) if there else {}
    rest = f"; {' and '.join(there[1:])} was not read" if there[1:] else ""
    notes = [f"Labels are those of {there[0]}{rest}." if there else
             f"No labels: none of {', '.join(KALDI_LABELS)} is there."]
    if there and there[0].startswith("spk"):
        label = {name: label[who] for name, who in speaker.items() if who in label}
    clips = []
    for name, recording, start, end in _read_utterances(folder, paths):
        fault = "" if recording in paths else f"row of {name} in segments: there is no {recording} in wav.scp"
        clips.append(ClipFile(paths.get(recording, folder / recording), name, label.get(name, ""),
                              speaker.get(name, ""), "", start, end, fault))
    for file, names in (("utt2spk", speaker), ("the labels", label)):
        if other := len(set(names) - {clip.clip_id for clip in clips}):
            notes.append(f"{other} utterances of {file} have no audio and were not read.")
    return clips, notes


def _read_utterances(folder: Path, paths: Iterable[str]) -> Iterator[tuple[str, str, float, float | None]]:
    """Name, recording, start and end of each utterance."""
    segments = folder / "segments"
    if not segments.is_file():
        yield from ((name, name, 0.0, None) for name in paths)
        return
    for number, name, value in _read_lines(segments):
        try:
            recording, start, end = value.split()
            first, last = float(start), float(end)
        except ValueError:
            raise _bad_line(segments, number, value, "RECORDING START END, times in seconds") from None
        if not (math.isfinite(first) and math.isfinite(last)) or first < 0 or (last <= first and last != -1):
            raise _bad_line(segments, number, value, "a start from 0 on, and a later end (-1: that of the file)")
        yield name, recording, first, None if last == -1 else last


def _read_map(path: Path) -> dict[str, str]:
    """A file of pairs; empty if it is not there."""
    return {name: value for _, name, value in _read_lines(path)} if path.is_file() else {}


def _read_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Number, first word and rest of each line that is not empty."""
    seen: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), 1):
        if not line.strip():
            continue
        name, _, value = line.strip().replace("\t", " ").partition(" ")
        if not value.strip():
            raise _bad_line(path, number, line, "a name and, after a space, what belongs to it")
        if (first := seen.setdefault(name, number)) != number:
            raise BadParameter(f"lines {first} and {number} of {path} are both of {name!r}; remove one.")
        yield number, name, value.strip()


def _find_audio(folder: Path, number: int, value: str) -> Path:
    """A path of wav.scp, from the directory, the two folders above it, or here: Kaldi's start where its recipe runs."""
    where = f"line {number} of {folder / 'wav.scp'}"
    if value.endswith("|"):
        raise BadParameter(f"{where} is a command ({value}), which is not run here. Run it, write the sound to a file, "
                           "and put the file's path in its place.")
    if re.search(r"\.ark:\d+$", value):
        raise BadParameter(f"{where} points into an archive ({value}), which is not read here. Write its clips to "
                           "files, for example with Kaldi's wav-copy.")
    starts = (folder, folder.parent, folder.parent.parent, Path.cwd())
    paths = [start / Path(value).expanduser() for start in starts]
    return next((path for path in paths if path.exists()), paths[0])


def _bad_line(path: Path, number: int, line: str, wanted: str) -> BadParameter:
    """The error of a line that cannot be read."""
    return BadParameter(f"line {number} of {path} is {line.strip()!r}; wanted is {wanted}.")


_FOLDERS = ((_find_kaldi, read_kaldi), (_find_metadata, read_audiofolder), (Path.is_dir, read_folder))
"""What tells that a folder is in a layout, and its reader; the first that fits counts."""
