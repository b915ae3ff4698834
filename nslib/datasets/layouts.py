"""Which clips somebody's own recordings hold: one reader a layout, each giving the same records.

- ``tfds:NAME``: see `noss.list_tfds_clips`; ``audb:NAME``, ``hf:OWNER/NAME``: a folder that is fetched first
- list: CSV, TSV, JSON Lines or Parquet with the column ``audio`` (a path from the list, in Parquet perhaps the
  recording itself) and perhaps ``label, speaker, split, clip_id``; ``start`` (``offset``) and ``end`` or ``duration``,
  seconds, make a row a part of its file (no ``duration`` alone), ``channel`` (from 0) one of its channels
- Kaldi's: ``wav.scp`` (``RECORDING PATH``, or ``x.ark:17``) and perhaps ``segments`` (``UTTERANCE RECORDING START END
  [CHANNEL]``, END -1 for the end), ``utt2spk`` and the first there is of `KALDI_LABELS`; or a folder a split
- audformat (``db.yaml``) and lhotse (``*recordings*.jsonl[.gz]``, ``*supervisions*``): see `corpora`
- audiofolder: ``metadata.csv`` (``.tsv``, ``.jsonl``, ``.parquet``), or one a split, with ``file_name``, a path from
  there; or ``train-00000-of-00002.parquet`` (``.arrow``), as datasets writes; ``train.csv`` with ``?audio=COLUMN``
- folder: ``label/clip.wav`` or ``label/speaker/clip.wav``, perhaps with a level of folders called as splits are;
  ``clip.wav`` alone can only be embedded; with ``?recipe=ravdess`` the names of files tell

A reader lists, it decodes nothing. Whatever is there is a clip; or a clip with a `ClipFile.fault`, as far as names and
rows tell that it cannot be used; or it is no clip, and is counted in the notes. What contradicts itself is refused, as
is a command in ``wav.scp``. ``list.csv?label=emotion`` names a column otherwise called (of any layout with columns).
"""

from __future__ import annotations

import difflib
import itertools
import json
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from nslib.datasets import corpora
from nslib.datasets.noss import list_tfds_clips
from nslib.datasets.splits import SPLITS, find_split
from nslib.datasets.table import read_list, read_seconds
from nslib.errors import BadParameter, UnknownName
from nslib.statistics.scores import parse_number

__all__ = ["recordings_exist"]

AUDIO_ENDINGS = frozenset((
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd",
    ".caf", ".w64", ".rf64", ".sph", ".nist", ".m4a", ".aac", ".wma", ".mp4", ".mka", ".mkv", ".mov", ".webm",
    ".amr", ".3gp", ".ac3", ".g722", ".gsm",
))  # taken for audio in a folder; a list may name any file
KALDI_LABELS = ("utt2label", "utt2lang", "utt2emo", "spk2gender")  # the first that is there; the last is a speaker's
_LISTS = (".csv", ".tsv", ".jsonl", ".parquet")
_COLUMNS = ("audio", "label", "speaker", "split", "clip_id")
_WORDS = (*_COLUMNS, "recipe", "table")  # that may stand behind a path
_USUAL = {"audio": ("file_name",), "speaker": ("speaker_id", "client_id")}  # in the metadata of an audiofolder
# what may be meant, and is not taken unasked
_LIKELY = {"audio": ("audio", "file", "path", "filename", "filepath", "audio_filepath", "wav"),
           "speaker": ("speaker_id", "client_id", "spk", "spk_id", "speaker_name")}
# columns that change what a row is, as they may be called in words of lower case
_PARTS = {"start": ("start", "offset", "begin", "onset", "start_time"), "end": ("end", "stop", "end_time"),
          "duration": ("duration",), "channel": ("channel",)}
_MARKS = ("((start|begin|onset|offset|end|stop|finish|until|duration|dur)(time|ms|s)?|[xt]_?(min|max)|t_?[01]"
          "|(from|to|length|len)(?=_(m?s(ec)?s?(_|$)|second|sample|frame))|ch|chan|channel(id|no)?)")
_UNITS = "t|time|stamp|(m?s|m?sec|(milli)?second|sample|frame|segment|seg)s?|audio|clip|id|index|no|number"
_OTHER_PARTS = re.compile(f"(?=(.*_)?{_MARKS}(_|$))(({_MARKS}|{_UNITS})(_|$))+")
_METADATA = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
_SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5})")  # a file of several, as the package datasets calls them
_TFDS = "tfds:"
_COLLECTIONS = ("audb:", "hf:", _TFDS)
_NEAR = 0.1  # seconds by which an end and a duration may differ
_MANY = 51  # values, from which on a column is hardly the label
_MOST_NAMES = 5  # in a sentence; the others are counted


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
    channel: int | None = None  # from 0; None: all, mixed
    fault: str = ""  # why it cannot be used
    remedy: str = ""  # of the fault
    sample_rate: int = 0  # of the recording, Hz, where the file is a copy; else 0
    notes: tuple[str, ...] = ()  # what was done to the samples of such a copy
    cut_from: str = ""  # the file, if other clips are of it too
    recording: str = ""  # the first of those that overlap in it
    told: float = math.nan  # seconds that a list says its file has

    def fail(self, fault: str, remedy: str = "Mend the row, or remove it.") -> ClipFile:
        """The clip, as one that cannot be used."""
        return replace(self, fault=fault, remedy=remedy)


Listing = tuple[list[ClipFile], list[str]]  # clips, and notes on what was not read


def recordings_exist(source: str | os.PathLike[str]) -> bool:
    """Whether there are, or could be, recordings; only a collection knows which names it has."""
    return os.fspath(source).startswith(_COLLECTIONS) or os.path.exists(split_source(source)[0])


def name_recordings(source: str | os.PathLike[str]) -> str:
    """How recordings are called in tables: as the folder, the list without its ending, or the data set."""
    if os.fspath(source).startswith(_COLLECTIONS):
        kind, name, *_ = re.split("[:?]", os.fspath(source))
        return name.split("/")[1 if kind == "hf" and "/" in name else 0]
    return split_source(source)[0].resolve().stem


def split_source(source: str | os.PathLike[str]) -> tuple[Path, dict[str, str]]:
    """The path of recordings, and the columns that are named behind it (``?label=emotion``)."""
    whole = Path(os.path.expanduser(source))
    path, _, asked = str(whole).rpartition("?")
    if not path or "=" not in asked or os.path.exists(whole):
        return whole, {}
    columns = dict(parse_qsl(asked))
    if other := next((role for role in columns if role not in _WORDS), ""):
        raise UnknownName(f"word in {source}", other, _WORDS)
    return Path(path), columns


def list_clips(source: str | os.PathLike[str], *, progress: bool = True) -> Listing:
    """List the clips of recordings in whatever layout; arguments and errors are those of `folder.read_recordings`."""
    if os.fspath(source).startswith(_TFDS):
        rows, notes = list_tfds_clips(os.fspath(source).removeprefix(_TFDS), progress=progress)
        return [ClipFile(**{**row, "audio": Path(row["audio"]), "split": find_split(row["split"])})
                for row in rows], notes
    path, asked = split_source(source)
    if os.fspath(source).startswith(_COLLECTIONS):
        path = corpora.fetch_collection(str(path), progress)
    if not os.path.exists(path):
        siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        raise BadParameter(f"there is no {path}{f' (did you mean {near[0]}?)' if near else ''}; a relative path starts "
                           f"at {Path.cwd()}.")
    if path.is_file() and "audio" not in asked:
        corpora.refuse_lhotse(path)
    if path.is_dir():
        clips, notes = next(reader for holds, reader in _FOLDERS if holds(path, asked))(path, asked)
    elif "recipe" in asked:
        raise BadParameter(f"a recipe reads the names of files in a folder, and {path} is none.")
    elif path.suffix.lower() in _LISTS:
        clips, notes = _read_rows(path, asked)
    else:
        raise BadParameter(f"{path} is neither a folder nor a list ({', '.join(_LISTS)}); for one audio file, "
                           "give the folder that it is in.")
    if not clips:
        corpora.refuse_lhotse(path)
        read = (f"audio; endings that are read: {' '.join(sorted(AUDIO_ENDINGS))}" if path.is_dir() else
                "row below the names of its columns")
        raise BadParameter(" ".join([f"{path} holds no {read}.", *notes]))
    return clips, notes


def _walk(root: Path) -> tuple[list[Path], list[ClipFile], list[str], list[Path]]:
    """The audio below a folder, what leads to nothing, notes on the rest, and lists; paths start there."""
    audio, lost, lists = list[Path](), list[ClipFile](), list[Path]()
    others, hidden, again = list[str](), list[str](), list[str]()
    folders, links, seen = [""], list[str](), set[tuple[int, int]]()
    while folders or links:  # folders before links to them; each is read once
        name = folders.pop() if folders else links.pop(0)
        try:
            stat = os.stat(root / name)
            if (stat.st_dev, stat.st_ino) in seen:
                again.append(name)
                continue
            seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(root / name) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            lost.append(ClipFile(root / name, name).fail(f"the folder cannot be opened ({error.strerror})",
                                                         "Change its permissions (chmod +rx), or leave it out."))
            continue
        for entry in entries:
            path = f"{name}/{entry.name}" if name else entry.name
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                hidden.append(path)
            elif os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
                (links if entry.is_symlink() else folders).append(path)
            elif entry.is_symlink() and not os.path.exists(entry.path):
                lost.append(ClipFile(root / path, path).fail(*explain_missing(root / path, {})))
            elif (ending := os.path.splitext(path)[1].lower()) in AUDIO_ENDINGS:
                audio.append(Path(path))
            else:
                others.append(path)
                known = entry.name in (*_METADATA, "wav.scp") or (ending in _LISTS and not name)
                lists += [Path(path)] if known else []
    endings = " ".join(sorted({os.path.splitext(path)[1].lower() or "(none)" for path in others}))
    notes = [f"{len(names)} {what}: {list_names(names)}." for what, names in (
        (f"files were not read, because of their endings ({endings})", others),
        ("hidden files or folders were not read", hidden),
        ("links were not followed, to folders that are read already", again)) if names]
    return sorted(audio), lost, notes, lists


def explain_missing(path: Path, names: dict[Path, dict[str, str]]) -> tuple[str, str]:
    """Why there is no such file, and what to do, by what is there; `names` remembers that of each folder."""
    if os.path.islink(path) or "/annex/objects/" in str(path):
        where = f"it points to {os.readlink(path)}" if os.path.islink(path) else "it is a link of git annex to a file"
        return f"{where}, which is not there", "Fetch what it points to (git annex get), or connect its disk."
    if re.search("/(https?|s3|gs|hf|file):/", str(path)):
        return "it is an address, and only files are read", "Download it, and write its path."
    if os.path.exists(str(path).replace("\\", "/")):
        return "there is no such file: its path has backslashes", "Write / instead."

    def spell(name: str) -> list[str]:
        plain = unicodedata.normalize("NFC", name).casefold()
        return [plain, os.path.splitext(plain)[0] + "/"]

    first = next(place for place in (*reversed(path.parents), path) if not os.path.lexists(place))
    if first.parent not in names:
        there = sorted(os.listdir(first.parent)) if os.access(first.parent, os.R_OK | os.X_OK) else []
        names[first.parent] = {key: name for name in there for key in spell(name)}
    near = next((names[first.parent][key] for key in spell(first.name) if key in names[first.parent]), "")
    return ("there is no such file" + (f", but one that is spelt otherwise: {near!r}" if near else ""),
            "Capitals, endings and the form of accents (Unicode) count." if near else
            "Check the path: in a list it starts at the folder of the list.")


def list_names(given: Iterable[object], most: int = _MOST_NAMES) -> str:
    """The first few of some names, and how many more."""
    names = [*map(str, given)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def read_folder(root: Path, asked: dict[str, str]) -> Listing:
    """Labels, speakers and splits from the names of folders."""
    if other := ", ".join(asked if "recipe" not in asked else asked.keys() - {"recipe", "label"}):
        raise BadParameter(f"{root} is a folder without columns, so none can be named ({other}).")
    audio, lost, notes, lists = _walk(root)
    level = _find_split_level(audio)
    count = Counter(path.with_suffix("") for path in audio)
    clips = []
    for path in audio:
        folders = list(path.parts[:-1])
        split = find_split(folders.pop(level)) if level is not None and level < len(folders) else ""
        label, speaker = (*folders, "", "")[:2]
        # clips that differ in their ending only (a.wav, a.mp3) get it back
        name = path if count[path.with_suffix("")] > 1 else path.with_suffix("")
        clip = ClipFile(root / path, name.as_posix(), label, speaker, split)
        clips.append(clip if split or level is None else clip.fail("it lies outside the folders of the splits",
                                                                   "Move it into one of them."))
    if asked:
        named, more = corpora.read_names(asked["recipe"], audio, asked.get("label", "emotion"))
        clips = [clip if clip.fault else clip.fail(fault, "Rename it, or leave it out.") if fault else
                 replace(clip, label=label, speaker=speaker)
                 for clip, (label, speaker, fault) in zip(clips, named, strict=True)]
        return clips + lost, notes + more
    notes += corpora.suggest_recipe(audio)
    if any(clip.label for clip in clips if not clip.fault):
        clips = [clip if clip.label or clip.fault else
                 clip.fail("it lies outside the label folders", "Move it into the folder of its label.")
                 for clip in clips]
    if any(len(path.parts) > 2 for path in audio) and len({path.parts[0] for path in audio}) == 1:
        notes.append(f"All clips lie in {audio[0].parts[0]}, which so is their label; if it is none, read that folder.")
    for path in lists:
        near = difflib.get_close_matches("file_name", header := _read_header(root / path), n=1)
        lacks = f"it has no column file_name{f' ({near[0]}?)' if near else ''}; " if str(path) in _METADATA else ""
        column = next((name for name in header if name in _LIKELY["audio"]), "COLUMN")
        label = "&label=emotion" if "emotion" in header and "label" not in header else ""
        how = "its folder is given" if path.suffix == ".scp" else f"it is given ({root / path}?audio={column}{label})"
        notes.append(f"{path} was not read: {lacks}a list is read if {how}.")
    return clips + lost, notes


def _find_split_level(paths: Sequence[Path]) -> int | None:
    """The level of folders that are splits: all are called so, and two are there; at the top, train and another do."""
    for level in range(max((len(path.parts) - 1 for path in paths), default=0)):
        names = {path.parts[level] for path in paths if len(path.parts) > level + 1}
        splits = {find_split(name) for name in names}
        if len(splits - {""}) > 1 and ("" not in splits or (level == 0 and "train" in splits)):
            return level
    return None


def _read_rows(path: Path, asked: dict[str, str], usual: dict[str, tuple[str, ...]] | None = None) -> Listing:
    """Clips of a list; paths in it start at its folder."""
    table = read_list(path, asked.get("audio", "file_name" if usual else "audio"))
    columns, unused = _choose_columns(path, list(table.columns), asked, usual or {})
    rows = zip(table.index, table.to_dict("records"), strict=True)
    clips = _make_clips(path, ((number, {role: row[columns[role]] for role in columns}, "") for number, row in rows))
    channels = {clip.channel for clip in clips} - {None}
    if channels and 0 not in channels:
        raise BadParameter(f"channels are counted from 0, and no row of {path.name} is of channel 0; subtract 1 in the "
                           "column channel, or write each channel to a file.")
    notes = [f"Columns that were not read: {', '.join(name or '(no name)' for name in unused)}."] if unused else []
    if "length" in columns:
        notes.append(f"Nothing is cut by the column {columns['length']}: without a start it tells how long a file is.")
    likely = {"speaker": [name for name in unused if name in _LIKELY["speaker"]], "label": [
        name for name in unused if 1 < len({cell for cell in table[name] if isinstance(cell, str)}) < _MANY] or unused}
    notes += [f"There is no column {role}; if one of these is it ({list_names(names)}), say so: --{role} COLUMN "
              f"(?{role}=COLUMN behind the path)." for role, names in likely.items() if names and role not in columns]
    return clips, notes


def _make_clips(path: Path, rows: Iterable[tuple[int, dict[str, Any], str]]) -> list[ClipFile]:
    """Clips of rows (number, cells by role, what is wrong with it), which are held against each other."""
    clips: list[ClipFile] = []
    row_of: dict[str, int] = {}
    label_of: dict[tuple[object, ...], tuple[int, str]] = {}
    for number, cells, known in rows:
        row = {role: value.strip(" \t\r\n") for role, value in cells.items() if isinstance(value, str)}
        fault = known or next((f"the cell {role} is no text" for role in cells if role not in row), "")
        clip = _read_row(path, number, row)
        if (other := row_of.setdefault(clip.clip_id, number)) != number:
            raise BadParameter(f"rows {other} and {number} of {path.name} are both {clip.clip_id!r}; give each clip "
                               "one row, or different names in a column clip_id.")
        if fault := fault or clip.fault:
            clip = clip.fail(f"row {number} of {path.name}: {fault}")
        what = clip.audio, clip.start, clip.end, clip.channel
        other, label = (number, clip.label) if fault else label_of.setdefault(what, (number, clip.label))
        if label != clip.label:
            raise BadParameter(f"rows {other} and {number} of {path.name} are both of {row['audio']}, with the labels "
                               f"{label!r} and {clip.label!r}; keep one, or say in columns start and end which part "
                               "each is.")
        clips.append(clip)
    return clips


def _choose_columns(path: Path, names: list[str], asked: dict[str, str],
                    usual: dict[str, tuple[str, ...]]) -> tuple[dict[str, str], list[str]]:
    """Which column is what, and those that are nothing; what may change what a row is, is refused if it is not read."""
    columns = {role: name for role in _COLUMNS for name in (*usual.get(role, ()), role) if name in names} | asked
    for role, name in {"audio": "audio", **columns}.items():
        if name not in names:
            how = f" (--{role.replace('_', '-')} names one)" if role not in asked else ""
            raise UnknownName(f"column in {path.name}{how}: it needs", (usual.get(role) or [name])[0] if how else name,
                              names)
    for role, spellings in _PARTS.items():
        given = [name for name in names if _join_words(name) in spellings]
        if len(given) > 1:
            raise BadParameter(f"{path.name} has the columns {' and '.join(given)}, which say the same; keep one.")
        columns |= dict.fromkeys((role,), *given) if given else {}
    if whole := not columns.keys() & {"start", "end"}:  # a length that stands alone is a fact, often rounded
        columns |= {"length": columns.pop("duration")} if "duration" in columns else {}
    unused = [name for name in names if name not in columns.values()]
    ends = ("to", "till", "length", "len") if columns.keys() & {"start", "end", "duration"} == {"start"} else ()
    for name in unused:
        if (words := _join_words(name)) in ends or (_OTHER_PARTS.fullmatch(words) and not (whole and "dur" in words)):
            raise BadParameter(f"the column {name} of {path.name} may change what a row is, and is not read; give "
                               "start and end (or duration) in seconds, channel from 0, or rename it if it says "
                               "nothing of the kind.")
        near = difflib.get_close_matches(name.lower(), _COLUMNS, n=1, cutoff=0.8)
        if near and near[0] not in columns:
            how = f"--{near[0].replace('_', '-')} {name}, or ?{near[0]}={name} behind the path, says what it is"
            raise UnknownName(f"column in {path.name} ({how})", name, _COLUMNS)
    return columns, unused


def _join_words(name: str) -> str:
    """Words of a name in lower case: of ``startTime`` and ``Start (time)``, ``start_time``."""
    return "_".join(re.findall("[a-z0-9]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower()))


def _read_row(path: Path, number: int, row: dict[str, str]) -> ClipFile:
    """A clip of the cells of a row, with what is wrong with them."""
    name, given = row.get("audio", ""), row.get("split", "")
    if given and not find_split(given):
        raise UnknownName(f"split in row {number} of {path.name}", given, SPLITS)
    parts = {role: row[role] for role in _PARTS if row.get(role)}
    audio, where, fault = path, dict[str, Any](), "" if name else "it has nothing in the column audio"
    try:
        if name:
            given_path = os.path.join(path.parent, os.path.expanduser(name))
            audio = Path(os.path.realpath(given_path))
            if os.path.islink(given_path) and not audio.exists():
                fault = explain_missing(Path(given_path), {})[0]
        where = _read_part(parts) if parts else where
    except ValueError as error:
        fault = fault or str(error)
    clip_id = row.get("clip_id") or " ".join([name or f"row-{number}", *parts.values()])
    return ClipFile(audio, clip_id, row.get("label", ""), row.get("speaker", ""), find_split(given) if given else "",
                    fault=fault, remedy="Mend the row, or remove it." if fault else "",
                    told=parse_number(row.get("length", "")), **where)


def _read_part(cells: dict[str, str]) -> dict[str, Any]:
    """Start, end and channel; `ValueError` says what is wrong."""
    try:
        # a column of pandas with an empty cell holds 1.0
        start, channel = read_seconds(cells.get("start", "0")), int(re.sub(r"\.0$", "", cells.get("channel", "-1")))
        ends = [read_seconds(cells["end"])] if "end" in cells else []
        ends += [start + read_seconds(cells["duration"])] if "duration" in cells else []
    except ValueError:
        start, ends, channel = math.nan, [], -1
    if not 0 <= start < min(ends, default=math.inf) or math.inf in ends or (channel < 0 and "channel" in cells):
        said = ", ".join(f"{role} {cell}" for role, cell in cells.items())
        raise ValueError(f"it says {said}; wanted are seconds, the end behind the start, and a channel from 0 on")
    if ends and max(ends) - min(ends) > _NEAR:
        raise ValueError("its end and its duration contradict each other")
    return {"start": start, "end": ends[0] if ends else None, "channel": channel if channel >= 0 else None}


def read_audiofolder(root: Path, asked: dict[str, str]) -> Listing:
    """A folder with metadata, with folders of a split each that have some, or with lists called by a split."""
    clips: list[ClipFile] = []
    notes: list[str] = []
    found = _find_metadata(root, asked)
    read = [path for path in found if path.parent == root and path.name in _METADATA][:1] or found
    shards: set[Path] = set()
    for path in read:
        shard = _SHARD.fullmatch(path.stem)
        place = path.stem if shard or path.name not in _METADATA else "" if path.parent == root else path.parent.name
        if shard and path.parent != root and (not find_split(place) or len({other.parent for other in read}) > 1):
            place = f"{path.parent.name}/{place}"
        part, more = _read_rows(path, asked, {} if shard else _USUAL)
        if not place:
            part = _split_by_folders(part, root.resolve())
        elif shard or find_split(place):
            part = [replace(clip, split=clip.split or find_split(place), clip_id=f"{place}/{clip.clip_id}")
                    for clip in part]
        else:
            raise UnknownName(f"split (the name of a folder with {path.name})", place, SPLITS)
        shards |= {path.with_name(f"{shard[1]}-{number:05d}-of-{shard[2]}{path.suffix}")
                   for number in range(int(shard[2]))} if shard else set()
        clips += part
        notes += [note for note in more if note not in notes]
    notes += [f"{path.relative_to(root)} was not read, as {read[0].name} is there."
              for path in found if path not in read]
    lost = [ClipFile(path, path.stem).fail("this file of the data set is not there", "Download it.")
            for path in sorted(shards.difference(read))]
    return _add_unlisted(root, clips, lost), notes


def _add_unlisted(root: Path, clips: list[ClipFile], lost: list[ClipFile]) -> list[ClipFile]:
    """Clips, and with their reasons files that are in no row of the metadata, and what else was lost."""
    audio, broken, _, _ = _walk(root)
    listed, named, home = {clip.audio for clip in clips}, {clip.clip_id for clip in clips}, root.resolve()
    broken += [ClipFile(root / path, path.as_posix()).fail("it has no row in the metadata", "Add a row, or leave it "
                                                           "out.") for path in audio if home / path not in listed]
    return clips + [replace(clip, clip_id=f"{clip.clip_id} (file)") if clip.clip_id in named else clip
                    for clip in (*(clip for clip in broken if clip.audio.resolve() not in listed), *lost)]


def _read_corpus(root: Path, asked: dict[str, str]) -> Listing:
    """A database of audformat, or manifests of lhotse."""
    rows, notes = (corpora.read_audformat if corpora.is_audformat(root) else corpora.read_lhotse)(root, asked)
    return _add_unlisted(root, _make_clips(root / root.name, rows), []), notes


def _find_metadata(root: Path, asked: dict[str, str]) -> list[Path]:
    """Metadata, or Parquet files, of a folder and of those right below it; other data sets have a metadata.csv too."""
    column = asked.get("audio", "file_name")
    return sorted(path for name in (*_METADATA, "*.parquet", "*.arrow") for path in (*root.glob(name),
                                                                                     *root.glob(f"*/{name}"))
                  if path.is_file() and (column in _read_header(path) if name in _METADATA else
                                         _SHARD.fullmatch(path.stem))) or [
        path for path in sorted(root.iterdir()) if "audio" in asked and path.suffix.lower() in _LISTS
        and find_split(path.stem) and column in _read_header(path)]


def _read_header(path: Path) -> list[str]:
    """Columns of a list, as its first line tells them; none if it cannot be read."""
    from pyarrow.parquet import read_schema

    try:
        if path.suffix.lower() == ".parquet":
            return list(read_schema(path).names)
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            line = file.readline(1 << 16)
        return list(json.loads(line)) if path.suffix.lower() == ".jsonl" else [
            cell.strip(' "\r\n') for cell in re.split(r"[,;\t]", line)]
    except (ValueError, OSError, TypeError):
        return []


def _split_by_folders(clips: list[ClipFile], home: Path) -> list[ClipFile]:
    """Splits from the folders that clips are in, if no clip has one by its column."""
    paths = [clip.audio.relative_to(home) if clip.audio.is_relative_to(home) else Path() for clip in clips]
    level = None if any(clip.split for clip in clips) else _find_split_level(paths)
    if level is None:
        return clips
    return [replace(clip, split=find_split(path.parts[level]) if len(path.parts) > level + 1 else "")
            for clip, path in zip(clips, paths, strict=True)]


def read_kaldi(root: Path, asked: dict[str, str]) -> Listing:
    """A data directory, or a folder with one a split."""
    clips: list[ClipFile] = []
    notes: list[str] = []
    split_of: dict[str, str] = {}
    for folder in _find_kaldi(root, asked):
        part, more = _read_kaldi_directory(folder, asked)
        if folder != root:
            if not (split := find_split(folder.name)):
                raise UnknownName(f"split (the name of a data directory in {root})", folder.name, SPLITS)
            part = [replace(clip, split=split) for clip in part]
            more = [f"{folder.name}: {note}" for note in more]
        for clip in part:
            if (other := split_of.setdefault(clip.clip_id, clip.split)) != clip.split:
                raise BadParameter(f"utterance {clip.clip_id!r} is in {other} and in {clip.split} of {root}; an "
                                   "utterance can be in one split only.")
        clips += part
        notes += more
    return clips, notes


def _find_kaldi(root: Path, _: dict[str, str]) -> list[Path]:
    """The folder itself if it is a data directory, or those right below it."""
    return [root] if (root / "wav.scp").is_file() else sorted(path.parent for path in root.glob("*/wav.scp"))


def _read_kaldi_directory(folder: Path, asked: dict[str, str]) -> Listing:
    """One data directory."""
    if other := next((role for role in asked if role != "label"), ""):
        raise BadParameter(f"{folder} has no columns, so {other} cannot be named; label can: a file such as "
                           f"{KALDI_LABELS[0]}.")
    paths = _find_recordings(folder)
    speaker = _read_map(folder / "utt2spk")
    there = [name for name in (asked.get("label"), *KALDI_LABELS) if name and (folder / name).is_file()]
    if (wanted := asked.get("label")) and wanted not in there:
        raise UnknownName(f"file of labels in {folder}", wanted, there)
    label = _read_map(folder / there[0]) if there else {}
    rest = f"; not read: {', '.join(there[1:])}" if there[1:] else ""
    notes = [f"Labels are those of {there[0]}{rest}." if there else
             f"No labels: none of {', '.join(KALDI_LABELS)} is there."]
    if there and there[0].startswith("spk"):
        label = {name: label[who] for name, who in speaker.items() if who in label}
    clips = []
    idle = dict(paths)
    for name, recording, start, end, channel in _read_utterances(folder, paths):
        idle.pop(recording, None)
        path, fault = paths.get(recording, (folder / recording, f"row of {name} in segments: there is no {recording} "
                                            "in wav.scp"))
        clip = ClipFile(path, name, label.get(name, ""), speaker.get(name, ""), "", start, end, channel)
        clips.append(clip.fail(fault) if fault else clip)
    read = {clip.clip_id for clip in clips}
    for what, names in (("recordings of wav.scp are in no line of segments", list(idle)),
                        ("utterances of utt2spk have no audio", [name for name in speaker if name not in read]),
                        ("utterances of the labels have no audio", [name for name in label if name not in read])):
        notes += [f"{len(names)} {what} and were not read: {list_names(names)}."] if names else []
    return clips, notes


def _read_utterances(folder: Path, paths: Iterable[str]) -> Iterator[tuple[str, str, float, float | None, int | None]]:
    """Name, recording, start, end and channel of each utterance."""
    segments = folder / "segments"
    if not segments.is_file():
        yield from ((name, name, 0.0, None, None) for name in paths)
        return
    for number, name, value in _read_lines(segments):
        try:
            recording, start, end, *more = value.split()
            first, last, (channel,) = float(start), float(end), map(int, more or ["-1"])
        except ValueError:
            raise _bad_line(segments, number, value, "RECORDING START END, times in seconds, and perhaps a channel, "
                            "counted from 0") from None
        if not (math.isfinite(first) and math.isfinite(last)) or first < 0 or (last <= first and last != -1):
            raise _bad_line(segments, number, value, "a start from 0 on, and a later end (-1: that of the file)")
        yield name, recording, first, None if last == -1 else last, None if channel == -1 else channel


def _read_map(path: Path) -> dict[str, str]:
    """A file of pairs; empty if it is not there."""
    return {name: value for _, name, value in _read_lines(path)} if path.is_file() else {}


def _read_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Number, first word and rest of each line that is not empty."""
    seen: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").split("\n"), 1):
        if not line.strip():
            continue
        name, _, value = line.strip().replace("\t", " ").partition(" ")
        if not value.strip():
            raise _bad_line(path, number, line, "a name and, after a space, what belongs to it")
        if (first := seen.setdefault(name, number)) != number:
            raise BadParameter(f"lines {first} and {number} of {path} are both of {name!r}; remove one.")
        yield number, name, value.strip()


def _find_recordings(folder: Path) -> dict[str, tuple[Path, str]]:
    """File of each recording of wav.scp, or why there is none; a part of an archive is written to a file first."""
    found, members = dict[str, tuple[Path, str]](), dict[Path, dict[int, list[str]]]()
    starts = (folder, folder.parent, folder.parent.parent, Path.cwd())  # Kaldi's paths start where its recipe runs
    for number, name, value in _read_lines(folder / "wav.scp"):
        if value.endswith("|"):
            raise BadParameter(f"line {number} of {folder / 'wav.scp'} is a command ({value}), which is not run here. "
                               "Run it, write the sound to a file, and put the file's path in its place.")
        part = re.fullmatch(r"(.+):(\d+)(\[.*\])?", value)
        paths = [os.path.join(start, os.path.expanduser(part[1] if part else value)) for start in starts]
        path = Path(next((path for path in paths if os.path.exists(path)), paths[0]))
        found[name] = path, f"{value} is a range of what is in the archive" if part and part[3] else ""
        if part and not part[3]:
            members.setdefault(path, {}).setdefault(int(part[2]), []).append(name)
    for path, names in members.items():
        places = sorted(names)
        for start, after in itertools.zip_longest(places, places[1:], fillvalue=0):
            stored = corpora.store_member(path, start, (after, names[after]) if after else None)
            found |= dict.fromkeys(names[start], stored)
    return found


def _bad_line(path: Path, number: int, line: str, wanted: str) -> BadParameter:
    """The error of a line that cannot be read."""
    return BadParameter(f"line {number} of {path} is {line.strip()!r}; wanted is {wanted}.")


_FOLDERS = ((lambda path, asked: "recipe" in asked, read_folder),
            (lambda path, _: corpora.is_audformat(path) or corpora.find_manifests(path), _read_corpus),
            (_find_kaldi, read_kaldi), (_find_metadata, read_audiofolder), (lambda path, _: True, read_folder))
"""What tells that a folder is in a layout, and its reader; the first that fits counts."""
