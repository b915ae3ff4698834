"""Open speech: recordings of hundreds of people, fetched from their repositories at pinned revisions.

A set is one file, ``<set>.tar``, whose members are named as in the repository. It lies in the cache, where
`fetch_open_speech` makes it of what has the sha256 of ``data/open_speech.csv``, or in a folder of yours that
``NSLIB_OPEN_SPEECH`` names. There a file is known by its name whatever its ending; one of another sha256 is a copy, not
the original: it is listed with the hash that it has, so that nothing made of it passes for more, and it is counted.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from nslib import audio, config
from nslib.audio import FloatArray
from nslib.datasets.table import read_list
from nslib.embeddings.downloads import download_archive, walk_archive
from nslib.errors import BadAudio, Unavailable, refuse_unknown

__all__ = ["OPEN_SETS", "archive_url", "fetch_open_speech", "list_open_speech", "note_copies", "read_open_speech"]

OPEN_SETS = ("librispeech-subset", "picovoice-speech-to-intent", "picovoice-wake-word", "arabic-speech-commands")
_COLUMNS = ["clip_id", "speaker", "sha256", "package", "member", "label", "seconds", "licence"]
_DECODED_AT_ONCE = 256
_AGAIN = "Delete that tar file and run again to have it made anew, or go on without."


def list_open_speech(names: Sequence[str], part: str) -> pd.DataFrame:
    """List the clips of sets in the part "train", "validation" or "choose" (kept out of training); fetches nothing.

    ``package`` is the set, ``member`` the path in the repository, ``sha256`` that of the file, ``label`` the command
    that is spoken. UnknownName for another set or part, Unavailable if the tar file of a folder of yours is damaged.
    """
    table = _read_clips()
    refuse_unknown("part", part, set(table["part"]))
    refuse_unknown("set of open speech", names, OPEN_SETS)
    clips = table[table["package"].isin(names) & (table["part"] == part)]
    clips = clips.merge(read_list(config.data_dir() / "sources.csv")[["package", "licence"]]).astype({"seconds": float})
    clips["clip_id"] = "open/" + clips["package"] + "/" + clips["member"].str.replace(r"\.\w+$", "", regex=True)
    for name, rows in clips.groupby("package") if os.environ.get("NSLIB_OPEN_SPEECH") else ():
        if _find_set(name).is_file():
            clips.loc[rows.index, "sha256"] = [
                hashlib.sha256(content).hexdigest() if file else known
                for known, (file, content) in zip(rows["sha256"], _read_files(name, rows["member"]), strict=True)]
    return clips[_COLUMNS]


def note_copies(clips: pd.DataFrame) -> list[str]:
    """Say how many of the clips that `list_open_speech` gave are copies; empty if none is."""
    count = int((~clips["sha256"].isin(_read_clips()["sha256"])).sum())
    note = f"{count:,} of {len(clips):,} clips of open speech are copies in another encoding, not the originals."
    return [note] if count else []


def fetch_open_speech(names: Iterable[str], *, progress: bool = True) -> dict[str, Path]:
    """Return the tar file of each set, fetched if it is not in the cache; UnknownName, or Unavailable with what to do.

    Files that are missing or have another sha256 are left out and counted on stderr; `read_open_speech` names each.
    """
    names = list(dict.fromkeys(names))
    refuse_unknown("set of open speech", names, OPEN_SETS)
    for name in names:
        if not _find_set(name).is_file():
            _fetch(name, progress)
    return {name: _find_set(name) for name in names}


def read_open_speech(clips: pd.DataFrame, progress: bool = True) -> Iterator[FloatArray | BadAudio]:
    """Yield for each clip of `list_open_speech` its waveform (float32 [samples], mono, 16 kHz), or what is wrong."""
    for note in note_copies(clips):
        print(note, file=sys.stderr)
    fetch_open_speech(clips["package"], progress=progress)
    with ThreadPoolExecutor() as pool:
        for name, group in itertools.groupby(clips.itertuples(), lambda row: row.package):
            rows = list(group)
            jobs = zip(rows, _read_files(name, (row.member for row in rows)), strict=True)
            while batch := list(itertools.islice(jobs, _DECODED_AT_ONCE)):  # few in memory
                yield from pool.map(_decode, *zip(*batch, strict=True))


def archive_url(name: str) -> str:
    """Return the address of a set's repository at its pinned revision, as one archive."""
    source = read_list(config.data_dir() / "sources.csv").set_index("package").loc[name]
    mirror = (os.environ.get("NSLIB_GITHUB_URL") or "https://github.com").rstrip("/")
    return f"{source['homepage'].replace('https://github.com', mirror)}/archive/{source['version']}.tar.gz"


def _read_clips() -> pd.DataFrame:
    """Read the committed list of clips."""
    return read_list(config.check_data(config.data_dir() / "open_speech.csv"))


def _find_set(name: str) -> Path:
    """Return where a set's tar file lies, or belongs."""
    folder = os.environ.get("NSLIB_OPEN_SPEECH")
    return (Path(folder).expanduser() if folder else config.cache_dir("open-speech")) / f"{name}.tar"


def _fetch(name: str, progress: bool) -> None:
    """Make a set's tar file of its repository's archive: whole, or not at all."""
    path, url, what = _find_set(name), archive_url(name), f"{name} (open speech)"
    by_hand = f"Set NSLIB_OPEN_SPEECH to a folder with {path.name}, or train without {name}."
    if os.environ.get("NSLIB_OPEN_SPEECH"):
        raise Unavailable(what, f"there is no {path}", "Put it there, or unset NSLIB_OPEN_SPEECH to have it fetched.")
    if config.offline():
        raise Unavailable(what, "NSLIB_OFFLINE forbids downloads, and it is not in the cache", f"Unset it. {by_hand}")
    clips = _read_clips().query("package == @name")
    left, others = dict(zip(clips["member"], clips["sha256"], strict=True)), list[str]()

    def take(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        member = entry.name.partition("/")[2]  # the first folder is named after the revision
        if entry.isfile() and member in left:
            content = archive.extractfile(entry).read()  # type: ignore[union-attr]
            if hashlib.sha256(content).hexdigest() != left[member]:
                others.append(member)
                return
            plain = tarfile.TarInfo(member)  # the entry would keep its old name in an extended header
            plain.size = len(content)
            kept.addfile(plain, io.BytesIO(content))
            del left[member]

    try:
        with (tempfile.TemporaryFile(dir=path.parent) as part,
              tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder):
            download_archive(url, part, what, by_hand, progress=progress)
            with tarfile.open(new := Path(folder) / path.name, "w") as kept:
                walk_archive(part, what, take)
            if len(left) == len(clips):
                raise Unavailable(what, f"{url} has none of its {len(clips)} files", by_hand)
            os.replace(new, path)
    except OSError as error:
        raise Unavailable(what, error.strerror or str(error), "Free some space, or set NSLIB_CACHE.") from error
    if left:
        print(f"{len(left)} of {len(clips)} files of {name} are not in {path}: {len(others)} are others in {url}, "
              f"{len(left) - len(others)} missing; the first is {min(left)}. {_AGAIN}", file=sys.stderr)


def _read_files(name: str, members: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield for each member its name in a set's tar file, and its bytes; both empty if it is not there."""
    try:
        with tarfile.open(path := _find_set(name), "r:") as tar:
            there = {PurePosixPath(entry.name).with_suffix(""): entry for entry in tar if entry.isfile()}
            for member in members:
                stem = PurePosixPath(member).with_suffix("")
                # copies may lack the outermost folder
                entry = there.get(stem) or there.get(PurePosixPath(*stem.parts[1:]))
                yield (entry.name, tar.extractfile(entry).read()) if entry else ("", b"")  # type: ignore[union-attr]
    except (tarfile.TarError, OSError) as error:
        raise Unavailable(f"{name} (open speech)", f"{path} is cut short or damaged ({error})",
                          "Delete it and run again, or copy it again.") from error


def _decode(row: Any, file: tuple[str, bytes]) -> FloatArray | BadAudio:
    """Decode the file of a clip, if it is the one of the list."""
    name, content = file
    if hashlib.sha256(content).hexdigest() != row.sha256:
        why = "is another one than was listed" if name else "is missing"
        return BadAudio(row.member, f"the file in {_find_set(row.package)} {why}", _AGAIN)
    try:
        return audio.read(name, content).wave
    except BadAudio as error:
        return BadAudio(row.member, error.reason, error.remedy)
