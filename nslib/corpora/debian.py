"""Recorded speech from Debian packages, checked clip by clip against a committed manifest.

A manifest (``data/manifests/<task>.csv``) names for every clip its package, the file inside it, the
sha256 of that file's bytes and the sha256 of the waveform that the kit made of them. Packages
differ between releases, so archives are never compared, only clips:

=================  ==========  ============  =====================================================
file's bytes       waveform    status        what happens
=================  ==========  ============  =====================================================
same               same        (empty)       used
other              same        re-encoded    used, counted
same               other       platform      used with its own hash, counted: another decoder build
other              other       changed       not used: not the recording that the manifest means
not there          -           missing       not used
not decodable      -           undecodable   not used
=================  ==========  ============  =====================================================
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nslib import audio, packages
from nslib.corpora import containers, table
from nslib.corpora.manifests import Row
from nslib.corpora.manifests import rows as rows_of
from nslib.corpora.shelf import LIMITED, Entry, Shelf
from nslib.errors import BadAudio, Unavailable

if TYPE_CHECKING:
    import pandas as pd

_REMEDIES = {
    "changed": "Use the package of Debian 12 (bookworm), for which the manifest was made.",
    "missing": "Use the package of Debian 12 (bookworm), for which the manifest was made.",
    "undecodable": "Check that soundfile and av are installed as in requirements.lock.",
}
_SENTENCES = {
    "platform": "{} decoded to other samples here than where the manifest was made, from the same file: "
                "used, with a hash of their own, so vectors are comparable but not identical.",
    "re-encoded": "{} came in other bytes than the manifest says and decoded to the same samples: used.",
}


def load(corpus: str, manifest: pd.DataFrame, also: pd.DataFrame | None = None, *,
         progress: bool = True) -> table.Corpus:
    """Have every clip of a manifest as a 16 kHz WAV file.

    Parameters
    ----------
    corpus : str
        Name of the folder of prepared clips; tasks of the same audio share it.
    manifest : DataFrame
        With the columns of `nslib.corpora.manifests.MANIFEST`.
    also : DataFrame, optional
        Clips to prepare on the occasion, because reading an archive takes longer than decoding:
        those of other tasks of the same corpus.
    progress : bool

    Returns
    -------
    Corpus

    Raises
    ------
    Unavailable
        If a package that is needed cannot be had, or an archive or the disk fails. What was
        prepared before stays.
    """
    shelf = Shelf(corpus)
    rows = rows_of(manifest)
    if any(_known(shelf, row) is None for row in rows):
        every = {row.clip_id: row for row in (*(rows_of(also) if also is not None else ()), *rows)}
        _prepare(shelf, [row for row in every.values() if _known(shelf, row) is None], progress)
    return _corpus(shelf, [(row, _there(_known(shelf, row), row)) for row in rows])


def packages_needed(corpus: str, manifest: pd.DataFrame) -> list[str]:
    """List the packages that must be read because clips are not prepared yet.

    Parameters
    ----------
    corpus : str
    manifest : DataFrame

    Returns
    -------
    list of str
        Sorted; empty if everything is there.
    """
    shelf = Shelf(corpus)
    return sorted({row.package for row in rows_of(manifest) if _known(shelf, row) is None})


def verify(corpus: str, manifest: pd.DataFrame) -> list[str]:
    """Hash every prepared clip again; forget those that changed on disk, so the next load makes them.

    Parameters
    ----------
    corpus : str
    manifest : DataFrame

    Returns
    -------
    list of str
        clip_id of every clip that was damaged.
    """
    shelf, damaged = Shelf(corpus), []
    for row in rows_of(manifest):
        entry = shelf.get(row.clip_id, row.key)
        if entry and not shelf.verify(entry):
            shelf.forget(row.clip_id)
            damaged.append(row.clip_id)
    return damaged


def _known(shelf: Shelf, row: Row) -> Entry | None:
    entry = shelf.get(row.clip_id, row.key)
    if entry is None and (archive := packages.cached_deb(row.package)):
        return shelf.get(row.clip_id, _failure_key(row, archive))
    return entry


def _there(entry: Entry | None, row: Row) -> Entry:
    if entry is None:
        raise Unavailable(f"clip {row.clip_id}", "its file vanished during the run", "Run again.")
    return entry


def _failure_key(row: Row, archive: Path) -> str:
    # what one version of a package lacks, another may have
    return f"{row.key}@{archive.name}"


def _prepare(shelf: Shelf, rows: list[Row], progress: bool) -> None:
    from tqdm.std import tqdm

    found = packages.debian(sorted({row.package for row in rows}), progress=progress)
    title = f"preparing {shelf.folder.name}"
    with tqdm(total=len(rows), desc=title, unit="clip", disable=not progress) as bar:
        for name, archive in found.items():
            _unpack(shelf, archive, [row for row in rows if row.package == name], bar.update)


def _unpack(shelf: Shelf, archive: Path, rows: list[Row], done: Callable[[int], object]) -> None:
    row_of = {row.member: row for row in rows}

    def jobs() -> Iterator[Callable[[], Entry]]:
        for member, data in containers.read_deb(archive, row_of.keys()):
            row = row_of.pop(member)
            yield lambda row=row, data=data: _one(shelf, row, data, archive)  # type: ignore[misc]

    for _ in _in_threads(jobs()):
        done(1)
    for row in row_of.values():
        _fail(shelf, row, archive, "missing", f"{archive.name} has no file {row.member}")
        done(1)


def _in_threads(jobs: Iterable[Callable[[], Entry]]) -> Iterator[Entry]:
    """Run jobs in threads, in order, with few in memory: decoders release the interpreter's lock."""
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        waiting: list[Future[Entry]] = []
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > 4 * workers:
                yield waiting.pop(0).result()
        yield from (future.result() for future in waiting)


def _one(shelf: Shelf, row: Row, data: bytes, archive: Path) -> Entry:
    same_file = hashlib.sha256(data).hexdigest() == row.file_sha256
    try:
        clip = decode(data, PurePosixPath(row.member).suffix)
    except BadAudio as error:
        return _fail(shelf, row, archive, "undecodable", error.reason)
    entry = shelf.add(row.clip_id, row.key, clip.wave)
    same_wave = entry.sha256 == row.sha256
    if not same_wave and not same_file:
        shelf.forget(row.clip_id)
        return _fail(shelf, row, archive, "changed", f"the recording in {archive.name} is another one")
    status = "" if same_file and same_wave else "platform" if same_file else "re-encoded"
    return shelf.record(dataclasses.replace(entry, status=status)) if status else entry


def decode(data: bytes, suffix: str) -> audio.Clip:
    """Decode the bytes of an audio file.

    Parameters
    ----------
    data : bytes
    suffix : str
        Of the file's name, with the dot: raw G.722 and GSM cannot be told from their bytes.

    Returns
    -------
    Clip

    Raises
    ------
    BadAudio
        As `nslib.audio.read`.
    """
    with tempfile.TemporaryDirectory(prefix="nslib-") as folder:
        path = Path(folder) / f"clip{suffix}"
        path.write_bytes(data)
        return audio.read(path)


def _fail(shelf: Shelf, row: Row, archive: Path, status: str, why: str) -> Entry:
    return shelf.record(Entry(row.clip_id, _failure_key(row, archive), status, note=why))


def _corpus(shelf: Shelf, pairs: list[tuple[Row, Entry]]) -> table.Corpus:
    clips, problems = [], []
    for row, entry in pairs:
        if entry.size:
            clips.append(_clip(shelf, row, entry))
        else:
            problems.append({"clip_id": row.clip_id, "audio": f"{row.package}: {row.member}",
                             "reason": f"{entry.status}: {entry.note}", "remedy": _REMEDIES[entry.status]})
    return table.make(clips, problems, _notes([entry for _, entry in pairs]))


def _clip(shelf: Shelf, row: Row, entry: Entry) -> dict[str, object]:
    return {"clip_id": row.clip_id, "audio": str(shelf.path(row.clip_id)), "sha256": entry.sha256,
            "seconds": entry.seconds, "sample_rate": row.sample_rate, "label": row.label,
            "speaker": row.speaker, "split": row.split, "source": row.package}


def _notes(entries: list[Entry]) -> list[str]:
    counts = Counter(entry.status for entry in entries)
    notes = [text.format(_clips(counts[status])) for status, text in _SENTENCES.items() if counts[status]]
    lost = sum(counts[status] for status in _REMEDIES)
    if lost:
        words = ", ".join(f"{counts[status]} {status}" for status in _REMEDIES if counts[status])
        notes.append(f"{lost} of {_clips(len(entries))} are not used ({words}).")
    limited = sum(entry.note == LIMITED for entry in entries if entry.size)
    if limited:
        notes.append(f"{_clips(limited)} had a peak above full scale after decoding, cut off there.")
    return notes


def _clips(count: int) -> str:
    return f"{count} clip{'' if count == 1 else 's'}"

