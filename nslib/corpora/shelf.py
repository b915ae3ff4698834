"""Prepared clips on disk: 16 kHz WAV files and a ledger that says what each was made from.

A clip is written whole or not at all, and the ledger gets its line afterwards, so a run that was
killed loses only the clip it was at. A second load reads the ledger and compares sizes; `verify`
hashes again.

Conventions
-----------
One shelf is a folder: ``wav/<clip_id>.wav`` (``/`` in the id is a subfolder) and ``ledger.jsonl``,
one JSON object a line; the last line of a clip counts, a line torn by a crash is ignored. ``key``
names everything the clip was made from: another key means that it is made again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nslib import audio, params
from nslib.errors import Unavailable

LIMITED = "limited to full scale"


@dataclass(frozen=True)
class Entry:
    """What the ledger knows of a clip.

    Attributes
    ----------
    clip_id, key : str
    status : str
        Empty for a clip that is as it should be, else a word of the module that made it.
    sha256 : str
        Of the waveform that the file holds; empty if there is no file.
    seconds : float
        At 16 kHz.
    size : int
        Of the file, bytes; 0 if there is none.
    note : str
        In words: what was done to it, or why there is none.
    """

    clip_id: str
    key: str
    status: str = ""
    sha256: str = ""
    seconds: float = 0.0
    size: int = 0
    note: str = ""


class Shelf:
    """A folder of prepared clips.

    Parameters
    ----------
    name : str
        Folder below ``corpora`` in the cache.
    """

    def __init__(self, name: str):
        self.folder = params.cache_dir("corpora", name)
        self._ledger = self.folder / "ledger.jsonl"
        self._lock = threading.Lock()
        self._entries = self._read()

    def path(self, clip_id: str) -> Path:
        """Say where a clip's file is or would be.

        Parameters
        ----------
        clip_id : str

        Returns
        -------
        Path
        """
        return self.folder / "wav" / f"{clip_id}.wav"

    def get(self, clip_id: str, key: str) -> Entry | None:
        """Find a clip that was made from `key` and whose file has its size.

        Parameters
        ----------
        clip_id, key : str

        Returns
        -------
        Entry or None
        """
        entry = self._entries.get(clip_id)
        if entry is None or entry.key != key:
            return None
        if entry.size and _size(self.path(clip_id)) != entry.size:
            return None
        return entry

    def add(self, clip_id: str, key: str, wave: npt.NDArray[np.float32], status: str = "") -> Entry:
        """Write a clip and what it was made from.

        Parameters
        ----------
        clip_id, key : str
        wave : float32 [samples]
            16 kHz, mono. That a peak was above full scale (see `serve`) is noted.
        status : str

        Returns
        -------
        Entry
            With the hash of what the file gives when it is read.

        Raises
        ------
        Unavailable
            If the disk is full.
        """
        path = self.path(clip_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        served = serve(path, wave)
        note = LIMITED if float(np.abs(wave).max(initial=0.0)) > 1 else ""
        entry = Entry(clip_id, key, status, audio.sha256(served.wave), served.seconds, _size(path), note)
        return self.record(entry)

    def record(self, entry: Entry) -> Entry:
        """Write a line of the ledger.

        Parameters
        ----------
        entry : Entry

        Returns
        -------
        Entry
            The same.

        Raises
        ------
        Unavailable
            If the disk is full.
        """
        line = json.dumps(dataclasses.asdict(entry), ensure_ascii=False) + "\n"
        try:
            with self._lock, self._ledger.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            remedy = "Free some space, or set NSLIB_CACHE to another disk."
            raise Unavailable(f"a place for {self._ledger}", error.strerror or str(error), remedy) from error
        self._entries[entry.clip_id] = entry
        return entry

    def verify(self, entry: Entry) -> bool:
        """Hash a clip's file again.

        Parameters
        ----------
        entry : Entry

        Returns
        -------
        bool
            Whether it still gives the waveform that was written.
        """
        from nslib.errors import BadAudio

        try:
            return audio.sha256(audio.read(self.path(entry.clip_id)).wave) == entry.sha256
        except BadAudio:
            return False

    def forget(self, clip_id: str) -> None:
        """Remove a clip, so that the next load makes it again.

        Parameters
        ----------
        clip_id : str
        """
        self.path(clip_id).unlink(missing_ok=True)
        self._entries.pop(clip_id, None)

    def _read(self) -> dict[str, Entry]:
        entries = {}
        lines = self._ledger.read_bytes().split(b"\n") if self._ledger.exists() else []
        if lines and lines[-1]:  # the crash that tore it must not eat the next line too
            with self._ledger.open("ab") as file:
                file.write(b"\n")
        for line in lines:
            try:
                entry = Entry(**json.loads(line))
            except (ValueError, TypeError):
                continue
            entries[entry.clip_id] = entry
        return entries


def serve(path: Path, wave: npt.NDArray[np.float32]) -> audio.Clip:
    """Write a waveform as the kit serves it, and read it back.

    Parameters
    ----------
    path : Path
    wave : float32 [samples]
        16 kHz, mono. A peak above full scale, which lossy codecs and resampling produce, is cut
        off there, as any player does.

    Returns
    -------
    Clip
        Its samples are whole numbers over 32767.
    """
    return audio.read(audio.write_wav(path, np.clip(wave, -1, 1)))


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
